# SPDX-License-Identifier: Apache-2.0
"""Key files: one private key as one line of text, sealed under a passphrase or bare.

    {"kdf":null,"name":"lab-a","public":"3q270oeX/eW9e+BjUeghJC1yeoyvQlf52KPNPECAWSA=",
     "seed":"GWdXtVU8mcli5l4lvi6lfvkZclKMS1HoHAkFBwBm1XM=","suite":"ed25519","type":"pausectl-key/v1"}
                                                                            (one line, no spaces, and a line feed)

An encrypted file has `"kdf":{"memory_bytes":67108864,"name":"argon2id","operations":2,"salt":…}` and, for `seed`, the
member `sealed`. PKCS#8 was rejected: what OpenSSL writes is PBKDF2 with 2,048 iterations, and the file says how much
work the reader has to do. Here the cost is pinned, so a hostile file can demand neither time nor memory.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nacl.bindings import (
    crypto_pwhash_alg,
    crypto_pwhash_ALG_ARGON2ID13,
    crypto_pwhash_argon2id_MEMLIMIT_INTERACTIVE,
    crypto_pwhash_argon2id_OPSLIMIT_INTERACTIVE,
    crypto_secretbox,
    crypto_secretbox_KEYBYTES,
    crypto_secretbox_MACBYTES,
    crypto_secretbox_NONCEBYTES,
    crypto_secretbox_open,
)
from nacl.exceptions import CryptoError
from nacl.exceptions import RuntimeError as OutOfMemory

from pausectl.errors import Malformed, Refused, UsageFault
from pausectl.registry import enforces
from pausectl.wire.canonical import Json, dump, load
from pausectl.wire.keys import PrivateKey, PublicKey, base64, suite, unbase64

TYPE = "pausectl-key/v1"
SALT_BYTES = 16
NONCE_BYTES: int = crypto_secretbox_NONCEBYTES
MAX_BYTES = 16_384
MAX_NAME = 255

_OPERATIONS: int = crypto_pwhash_argon2id_OPSLIMIT_INTERACTIVE
_MEMORY: int = crypto_pwhash_argon2id_MEMLIMIT_INTERACTIVE
_MAC: int = crypto_secretbox_MACBYTES
_COMMON = ["kdf", "name", "public", "suite", "type"]


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A key file as it lies on disk, not yet opened.

    name: what the key is called, by the rule for key names in notes. public: the key that the file says it holds.
    secret: the seed, or nonce ‖ secretbox of it. salt: 16 bytes for Argon2id, or None where `secret` is bare.
    """

    name: str
    public: PublicKey
    secret: bytes = field(repr=False)
    salt: bytes | None

    @property
    def encrypted(self) -> bool:
        """Whether a passphrase is needed."""
        return self.salt is not None


def format_key(name: str, key: PrivateKey, *, passphrase: bytes | None, salt: bytes, nonce: bytes) -> bytes:
    """The key file of `key`, sealed under `passphrase`; None writes the seed bare, and salt and nonce are not used.

    salt: 16 bytes, nonce: 24 bytes, fresh from the system's generator each time. UsageFault for other lengths or an
    empty passphrase.
    """
    if passphrase is None:
        return format(KeyFile(name, key.public, key.seed, None))
    if not passphrase:
        raise UsageFault("passphrase: expected at least one byte")
    if len(salt) != SALT_BYTES or len(nonce) != NONCE_BYTES:
        raise UsageFault(
            f"expected {SALT_BYTES} bytes of salt and {NONCE_BYTES} of nonce, found {len(salt)}, {len(nonce)}"
        )
    sealed = nonce + crypto_secretbox(key.seed, nonce, _derive(passphrase, salt))
    return format(KeyFile(name, key.public, sealed, salt))


@enforces("KEY-7")
def open_key(raw: bytes, passphrase: bytes | None) -> tuple[str, PrivateKey]:
    """The inverse of `format_key`: the key's name and the key; a bare file opens with any passphrase.

    [KEY-7] A reader MUST refuse a key file whose public key is not the one that its seed determines.

    Malformed for bytes that are no key file, Refused for a passphrase that is missing or wrong.
    """
    file = parse(raw)
    key = PrivateKey(file.public.suite, _seed(file, passphrase))
    if key.public != file.public:
        raise Malformed(f"public: expected {key.public.keyid}, the key of this seed, found {file.public.keyid}")
    return file.name, key


def is_encrypted(raw: bytes) -> bool:
    """Whether `open_key` needs a passphrase; Malformed for bytes that are no key file."""
    return parse(raw).encrypted


def format(file: KeyFile) -> bytes:
    """The line of a key file; what `parse` would refuse is refused here."""
    kdf = None if file.salt is None else {**_kdf(), "salt": base64(file.salt)}
    value = {
        "kdf": kdf,
        "name": file.name,
        "public": base64(file.public.raw),
        "seed" if file.salt is None else "sealed": base64(file.secret),
        "suite": file.public.suite,
        "type": TYPE,
    }
    raw = dump(value) + b"\n"
    parse(raw)
    return raw


@enforces("KEY-5")
def parse(raw: bytes) -> KeyFile:
    """The inverse of `format`. Opens nothing, so it does not know whether the public key is the seed's.

    [KEY-5] A key file MUST be one line of canonical JSON and a line feed, with exactly the members kdf, name, public,
    suite, type and, where kdf is null, seed, otherwise sealed.
    """
    if not raw.endswith(b"\n"):
        raise Malformed("key file: expected one line that ends in a line feed")
    value = load(raw[:-1], limit=MAX_BYTES)
    if not isinstance(value, dict):
        raise Malformed("key file: expected an object")
    secret = "seed" if value.get("kdf") is None else "sealed"
    if sorted(value) != sorted([*_COMMON, secret]):
        raise Malformed(f"key file: expected exactly the members {', '.join(sorted([*_COMMON, secret]))}")
    if value["type"] != TYPE:
        raise Malformed(f"type: expected {TYPE}, found {str(value['type'])[:40]!r}")
    entry = suite(_text(value, "suite"))
    public = PublicKey(entry.name, _bytes(value, "public", entry.public_bytes))
    salt = None if value["kdf"] is None else _salt(value["kdf"])
    size = entry.seed_bytes + (0 if salt is None else NONCE_BYTES + _MAC)
    return KeyFile(_key_name(value), public, _bytes(value, secret, size), salt)


@enforces("KEY-6")
def _salt(kdf: Json) -> bytes:
    """The salt, once everything else about the derivation is what it must be.

    [KEY-6] A reader MUST refuse a key derivation other than argon2id (version 1.3, one lane) with a salt of 16 bytes,
    2 operations and 67,108,864 bytes of memory.
    """
    if not isinstance(kdf, dict) or {name: kdf[name] for name in kdf if name != "salt"} != _kdf() or "salt" not in kdf:
        raise Malformed(f"expected argon2id with salt, operations {_OPERATIONS}, memory_bytes {_MEMORY}", where="kdf")
    return _bytes(kdf, "salt", SALT_BYTES, within="kdf.")


def _kdf() -> dict[str, Json]:
    return {"memory_bytes": _MEMORY, "name": "argon2id", "operations": _OPERATIONS}


def _text(value: dict[str, Json], name: str, within: str = "") -> str:
    text = value[name]
    if not isinstance(text, str):
        raise Malformed("expected a text", where=within + name)
    return text


def _bytes(value: dict[str, Json], name: str, length: int, within: str = "") -> bytes:
    raw = unbase64(_text(value, name, within), where=within + name)
    if len(raw) != length:
        raise Malformed(f"expected {length} bytes, found {len(raw)}", where=within + name)
    return raw


def _key_name(value: dict[str, Json]) -> str:
    name = _text(value, "name")
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable() or " " in name or "+" in name:
        raise Malformed(f"expected 1 to {MAX_NAME} printable characters, no space and no plus sign", where="name")
    return name


def _seed(file: KeyFile, passphrase: bytes | None) -> bytes:
    if file.salt is None:
        return file.secret
    if passphrase is None:
        hint = "give the passphrase that it was sealed under"
        raise Refused(f"the key file of {file.name} is encrypted and no passphrase was given", hint=hint)
    nonce, box = file.secret[:NONCE_BYTES], file.secret[NONCE_BYTES:]
    try:
        return crypto_secretbox_open(box, nonce, _derive(passphrase, file.salt))
    except CryptoError as error:
        hint = "check the passphrase; if it is right, the file was altered: restore it from a copy"
        raise Refused(f"the passphrase does not open the key file of {file.name}", hint=hint) from error


def _derive(passphrase: bytes, salt: bytes) -> bytes:
    try:
        key: bytes = crypto_pwhash_alg(
            crypto_secretbox_KEYBYTES, passphrase, salt, _OPERATIONS, _MEMORY, crypto_pwhash_ALG_ARGON2ID13
        )
    except OutOfMemory as error:
        hint = f"free {_MEMORY // 2**20} MiB of memory and try again"
        raise Refused("argon2id found too little memory", hint=hint) from error
    return key
