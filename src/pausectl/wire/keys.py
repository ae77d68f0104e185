# SPDX-License-Identifier: Apache-2.0
"""Keys and signatures, one table of suites and nothing about an algorithm outside its own entry.

    SHA256:HTkJsdh2Vtg4gZSi12ifzNvsZt3A0rRmb0wVkT6F18U        a keyid: the OpenSSH fingerprint of a public key

`PublicKey.verify` applies the pinned acceptance rule (specs/statements.md, KEY-1 to KEY-4), on which every library
agrees for every byte string; without it OpenSSL and libsodium differ on keys and nonces of small order. Batch and
cofactored verifiers (ZIP-215) accept more and do not conform.
"""

from __future__ import annotations

import binascii
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from typing import Any, Protocol

from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import BadSignatureError

from pausectl.errors import Malformed
from pausectl.registry import enforces

ED25519 = "ed25519"
MLDSA44 = "ml-dsa-44"

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_Y = 2**255 - 1  # clears bit 255, the sign of x, and leaves y

#: The fourteen encodings of the eight points of small order, canonical or not (C2SP/CCTV ed25519/README.md; orders
#: recomputed from the curve equation). Four of them also fail KEY-2; the list is complete so that it can be read alone.
LOW_ORDER = frozenset(
    bytes.fromhex(point)
    for point in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    )
)


def _good_point(encoding: bytes) -> bool:
    return int.from_bytes(encoding, "little") & _Y < _P and encoding not in LOW_ORDER


@enforces("KEY-1", "KEY-2", "KEY-3", "KEY-4")
def _ed25519_verify(key: bytes, message: bytes, signature: bytes) -> bool:
    """Pure Ed25519 (RFC 8032, no context, no prehash) under the pinned acceptance rule.

    [KEY-1] A verifier MUST refuse an Ed25519 signature that is not 64 bytes long or whose S is not below the group
    order L.

    [KEY-2] A verifier MUST refuse a key or an R whose y-coordinate, the sign bit cleared, is not below 2^255 − 19.

    [KEY-3] A verifier MUST refuse a key or an R that is one of the fourteen encodings of the points of small order.

    [KEY-4] A verifier MUST use the cofactorless equation on what KEY-1 to KEY-3 let pass.
    """
    if len(signature) != 64 or int.from_bytes(signature[32:], "little") >= _L or not _good_point(signature[:32]):
        return False
    try:
        crypto_sign_open(signature + message, key)
    except BadSignatureError:
        return False
    return True


def _ed25519_public(raw: bytes) -> None:
    if not _good_point(raw):
        raise Malformed("ed25519 public key: small order or not below 2^255 - 19")


def _ed25519_sign(seed: bytes, message: bytes) -> bytes:
    _, secret = crypto_sign_seed_keypair(seed)
    return crypto_sign(message, secret)[:64]


def _ed25519_derive(seed: bytes) -> bytes:
    return crypto_sign_seed_keypair(seed)[0]


def _mldsa44() -> Any:  # noqa: ANN401
    """A module that is loaded when the first key needs it, and not with every program that imports this one."""
    return import_module("pausectl.wire.mldsa")


@dataclass(frozen=True, slots=True)
class Suite:
    """One signature algorithm; every length and type byte that belongs to it.

    ssh_name: the name in an OpenSSH public key blob. note_type, cosignature_type: C2SP signed-note type bytes.
    """

    name: str
    ssh_name: bytes
    public_bytes: int
    seed_bytes: int
    signature_bytes: int
    note_type: int
    cosignature_type: int
    check_public: Callable[[bytes], None]
    derive: Callable[[bytes], bytes]
    sign: Callable[[bytes, bytes], bytes]
    verify: Callable[[bytes, bytes, bytes], bool]


SUITES: dict[str, Suite] = {
    ED25519: Suite(
        name=ED25519,
        ssh_name=b"ssh-ed25519",
        public_bytes=32,
        seed_bytes=32,
        signature_bytes=64,
        note_type=0x01,
        cosignature_type=0x04,
        check_public=_ed25519_public,
        derive=_ed25519_derive,
        sign=_ed25519_sign,
        verify=_ed25519_verify,
    ),
    MLDSA44: Suite(
        name=MLDSA44,
        ssh_name=b"ssh-mldsa-44",  # draft-sfluhrer-ssh-mldsa
        public_bytes=1_312,
        seed_bytes=32,
        signature_bytes=2_420,
        note_type=0x06,
        cosignature_type=0x06,
        check_public=lambda _raw: None,  # every byte string of this length is the encoding of a key
        derive=lambda seed: bytes(_mldsa44().derive(seed)),
        sign=lambda seed, message: bytes(_mldsa44().sign(seed, message)),
        verify=lambda key, message, signature: bool(_mldsa44().verify(key, message, signature)),
    ),
}


def suite(name: str) -> Suite:
    """The suite of that name; Malformed for one we do not know."""
    if name not in SUITES:
        raise Malformed(f"signature suite: expected one of {', '.join(SUITES)}, found {name[:40]!r}")
    return SUITES[name]


def unbase64(text: str | bytes, *, where: str = "") -> bytes:
    """Standard base64 with padding and zero spare bits, or Malformed: one text for one value."""
    try:
        raw = binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed("base64: expected the standard alphabet with padding", where=where) from error
    canonical = binascii.b2a_base64(raw, newline=False)
    if canonical != (text if isinstance(text, bytes) else text.encode()):
        raise Malformed("base64: not canonical (spare bits, or another alphabet)", where=where)
    return raw


def base64(raw: bytes) -> str:
    """The inverse of `unbase64`."""
    return binascii.b2a_base64(raw, newline=False).decode("ascii")


@dataclass(frozen=True, slots=True)
class PublicKey:
    """suite: a name in SUITES. raw: the key's bytes as its suite defines them."""

    suite: str
    raw: bytes
    keyid: str = field(init=False, repr=False, compare=False, default="")

    def __post_init__(self) -> None:
        """Refuse a key of the wrong length or one that no honest signer has."""
        entry = suite(self.suite)
        if len(self.raw) != entry.public_bytes:
            raise Malformed(f"{self.suite} public key: expected {entry.public_bytes} bytes, found {len(self.raw)}")
        entry.check_public(self.raw)
        object.__setattr__(self, "keyid", fingerprint(self.suite, self.raw))

    @property
    def digest(self) -> str:
        """SHA-256 of the raw key in hex: how an agreement names one that is too long to stand in it."""
        return hashlib.sha256(self.raw).hexdigest()

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature` is this key's over `message`; never raises for any bytes."""
        return SUITES[self.suite].verify(self.raw, message, signature)


@lru_cache(maxsize=4096)
def fingerprint(suite_name: str, raw: bytes) -> str:
    """What `ssh-keygen -lf` prints: `SHA256:` and 43 characters. The only non-empty keyid every DSSE verifier takes."""
    blob = b"".join(len(part).to_bytes(4, "big") + part for part in (suite(suite_name).ssh_name, raw))
    return "SHA256:" + base64(hashlib.sha256(blob).digest()).rstrip("=")


class Signer(Protocol):
    """What signs. An HSM or a cloud KMS fits as well as `PrivateKey`: the secret need not be in this process."""

    @property
    def public(self) -> PublicKey:
        """The key that will verify."""

    def sign(self, message: bytes) -> bytes:
        """The suite's signature over exactly these bytes."""


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A key held in memory as its seed. Its repr does not show the seed."""

    suite: str
    seed: bytes = field(repr=False)
    public: PublicKey = field(init=False)

    def __post_init__(self) -> None:
        """Derive the public half."""
        entry = suite(self.suite)
        if len(self.seed) != entry.seed_bytes:
            raise Malformed(f"{self.suite} seed: expected {entry.seed_bytes} bytes, found {len(self.seed)}")
        object.__setattr__(self, "public", PublicKey(self.suite, entry.derive(self.seed)))

    @classmethod
    def from_seed(cls, suite_name: str, seed: bytes) -> PrivateKey:
        """The key that this seed determines."""
        return cls(suite_name, seed)

    def sign(self, message: bytes) -> bytes:
        """Sign exactly these bytes."""
        return SUITES[self.suite].sign(self.seed, message)
