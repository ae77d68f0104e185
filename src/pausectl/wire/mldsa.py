# SPDX-License-Identifier: Apache-2.0
"""ML-DSA-44 (FIPS 204), the post-quantum suite, pure and with an empty context, through `cryptography`.

`wire.keys` loads this when the first such key is used: the import costs 50 ms, and most ledgers have none. Signing is
hedged, so one message has many signatures, and whoever compares bytes compares messages.
"""

from __future__ import annotations

from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from pausectl.registry import enforces

PUBLIC_BYTES = 1_312
SIGNATURE_BYTES = 2_420
SEED_BYTES = 32


@enforces("KEY-8")
def verify(key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the signature is this key's; never raises for any message or signature.

    [KEY-8] A verifier MUST refuse an ML-DSA-44 signature that is not 2,420 bytes long, or that FIPS 204 does not verify
    with an empty context under the key of 1,312 bytes.
    """
    if len(signature) != SIGNATURE_BYTES:
        return False
    try:
        _public(key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def sign(seed: bytes, message: bytes) -> bytes:
    """A signature by the key of this seed, another one each time."""
    return MLDSA44PrivateKey.from_seed_bytes(seed).sign(message)


def derive(seed: bytes) -> bytes:
    """The public key of a seed, FIPS 204 algorithm 6."""
    return MLDSA44PrivateKey.from_seed_bytes(seed).public_key().public_bytes_raw()


@lru_cache(maxsize=256)
def _public(raw: bytes) -> MLDSA44PublicKey:
    """The key with its matrix expanded, which costs as much as a verification."""
    return MLDSA44PublicKey.from_public_bytes(raw)
