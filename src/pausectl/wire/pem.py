# SPDX-License-Identifier: Apache-2.0
"""Ed25519 keys in other tools' formats: OpenSSH lines and PEM, through `cryptography` and nothing else.

    ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN6tu9KHl/3lvXvgY1HoISQtcnqMr0JX+dijzTxAgFkg

For keys that were made elsewhere (`ssh-keygen`, `openssl`) and public keys that go elsewhere. The import of
`cryptography` costs 50 ms, so no other module of wire/ may import this one. Whatever the bytes, the only error is
Malformed. A private key file of one's own is `pausectl.wire.keyfile`; nothing here writes a private key.
"""

from __future__ import annotations

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
    load_ssh_private_key,
    load_ssh_public_key,
)

from pausectl.errors import Malformed
from pausectl.wire.keys import ED25519, PrivateKey, PublicKey

#: No key in these formats is a tenth as long.
MAX_BYTES = 16_384

# InternalError: OpenSSL's answer to an Ed448 or X448 frame around 32 bytes, one damaged character away from Ed25519.
# Warning: deprecations (Diffie-Hellman) where the process turns warnings into errors.
_UNREADABLE = (ValueError, TypeError, Warning, InternalError, UnsupportedAlgorithm)
_SSH_PRIVATE = b"-----BEGIN OPENSSH PRIVATE KEY-----"


def public_from_openssh(text: str) -> PublicKey:
    """The key of one line of an `.pub` or `authorized_keys` file; a comment is ignored, options are refused."""
    fields = text.split(maxsplit=2)
    if len(text) > MAX_BYTES or len(text.strip().splitlines()) != 1 or fields[0] != "ssh-ed25519" or len(fields) < 2:
        raise Malformed(f"openssh public key: expected one line 'ssh-ed25519 BASE64', found {text[:24]!r}")
    line = " ".join(fields[:2])
    try:
        key = load_ssh_public_key(line.encode("ascii"))
    except _UNREADABLE as error:
        raise Malformed("openssh public key: expected the base64 of an ed25519 key") from error
    public = _public(key)
    if to_openssh(public) != line:
        raise Malformed("openssh public key: the base64 is not canonical")
    return public


def to_openssh(public: PublicKey) -> str:
    """`ssh-ed25519 BASE64`, without comment and line feed."""
    return _foreign(public).public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode("ascii")


def public_from_pem(text: str) -> PublicKey:
    """The key of one `BEGIN PUBLIC KEY` block (RFC 7468): lines may end anywhere, other text around it is refused."""
    if len(text) > MAX_BYTES:
        raise Malformed(f"pem public key: expected at most {MAX_BYTES} characters, found {len(text)}")
    try:
        key = load_pem_public_key(text.encode("ascii"))
    except _UNREADABLE as error:
        raise Malformed("pem public key: expected one PUBLIC KEY block") from error
    public = _public(key)
    if "".join(text.split()) != "".join(to_pem(public).split()):
        raise Malformed("pem public key: expected one PUBLIC KEY block and nothing else")
    return public


def to_pem(public: PublicKey) -> str:
    """SubjectPublicKeyInfo in PEM, what `openssl pkey -pubout` prints."""
    return _foreign(public).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


def private_from_pem(data: bytes, password: bytes | None) -> PrivateKey:
    """The key of a PKCS#8 or OpenSSH private key file, one's own: an encrypted one says itself how long opening takes.

    password: None for a file that is not encrypted. A missing, wrong or needless one is Malformed too.
    """
    if len(data) > MAX_BYTES:
        raise Malformed(f"private key: expected at most {MAX_BYTES} bytes, found {len(data)}")
    try:
        key = load_ssh_private_key(data, password) if _SSH_PRIVATE in data else load_pem_private_key(data, password)
    except UnsupportedAlgorithm as error:
        hint = "write it again without a passphrase (ssh-keygen -p), import it, and delete that copy"
        raise Malformed("private key: its encryption is not supported here", hint=hint) from error
    except _UNREADABLE as error:
        hint = "give its passphrase if, and only if, it is encrypted"
        raise Malformed("private key: expected PKCS#8 or OpenSSH, and the right passphrase", hint=hint) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise Malformed(f"private key: expected Ed25519, found {type(key).__name__.lstrip('_')}")
    return PrivateKey(ED25519, key.private_bytes_raw())


def _foreign(public: PublicKey) -> Ed25519PublicKey:
    if public.suite != ED25519:
        raise Malformed(f"expected an ed25519 key, found {public.suite}")
    return Ed25519PublicKey.from_public_bytes(public.raw)


def _public(key: object) -> PublicKey:
    if not isinstance(key, Ed25519PublicKey):
        raise Malformed(f"public key: expected Ed25519, found {type(key).__name__.lstrip('_')}")
    return PublicKey(ED25519, key.public_bytes_raw())
