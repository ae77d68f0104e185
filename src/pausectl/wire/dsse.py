# SPDX-License-Identifier: Apache-2.0
"""DSSE v1.0.2 envelopes in the one serialisation that may be a ledger leaf.

    {"payload":"eyJ…","payloadType":"application/vnd.in-toto+json","signatures":[{"keyid":"SHA256:…","sig":"…"}]}

Signatures are over the PAE, `DSSEv1 SP len(type) SP type SP len(body) SP body`, lengths in decimal *of bytes* (the DSSE
reference and its followers count characters: the same for ASCII types, wrong by the text). A keyid is a hint that is
not signed, so it must equal the fingerprint of the key that verified; otherwise a stranger could make a second leaf.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from pausectl.errors import Forged, Malformed
from pausectl.registry import enforces
from pausectl.wire.canonical import MAX_BYTES, dump, load
from pausectl.wire.keys import PublicKey, Signer, base64, unbase64

IN_TOTO = "application/vnd.in-toto+json"
MAX_SIGNATURES = 100
_KEYID = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")

_HEAD = b'{"payload":"'
_MIDDLE = b'","payloadType":"application/vnd.in-toto+json","signatures":['


@dataclass(frozen=True, slots=True)
class Signature:
    """keyid: OpenSSH fingerprint. value: the suite's signature over the PAE."""

    keyid: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """What was signed, and by which keys. `raw` is the canonical leaf it came from or will be."""

    payload: bytes
    signatures: tuple[Signature, ...]
    raw: bytes

    @property
    def pae(self) -> bytes:
        """The bytes under each signature."""
        return pae(IN_TOTO.encode(), self.payload)

    @property
    def statement_id(self) -> str:
        """Hex SHA-256 of the PAE: what references and de-duplication use, never the leaf."""
        return statement_id(self.payload)


def pae(kind: bytes, body: bytes) -> bytes:
    """Pre-authentication encoding (DSSE protocol.md)."""
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(body), body)


@enforces("ENV-1")
def statement_id(payload: bytes) -> str:
    """Hex SHA-256 of the payload's PAE.

    [ENV-1] A statement MUST be referred to by the SHA-256 of its PAE, in lower-case hexadecimal.
    """
    return hashlib.sha256(pae(IN_TOTO.encode(), payload)).hexdigest()


def format(payload: bytes, signatures: Iterable[Signature]) -> bytes:
    """The canonical leaf of an envelope; signatures are put in order of keyid."""
    listed = [
        {"keyid": s.keyid, "sig": base64(s.value)} for s in sorted(signatures, key=lambda signature: signature.keyid)
    ]
    return dump({"payload": base64(payload), "payloadType": IN_TOTO, "signatures": listed})


@enforces("ENV-2", "ENV-3")
def parse(raw: bytes) -> Envelope:
    """The inverse of `format`.

    [ENV-2] An entry MUST be a DSSE envelope of payload type `application/vnd.in-toto+json` in its canonical
    serialisation: canonical JSON with exactly the members payload, payloadType and signatures, base64 with padding and
    zero spare bits, at most 65,535 bytes.

    [ENV-3] The signatures of an envelope MUST be between 1 and 100, in strictly rising order of keyid.
    """
    value = load(raw, limit=MAX_BYTES)
    if not isinstance(value, dict) or sorted(value) != ["payload", "payloadType", "signatures"]:
        raise Malformed("envelope: expected exactly the members payload, payloadType, signatures")
    if value["payloadType"] != IN_TOTO:
        raise Malformed(f"payloadType: expected {IN_TOTO}, found {str(value['payloadType'])[:60]!r}")
    if not isinstance(value["payload"], str):
        raise Malformed("payload: expected base64 text")
    listed = value["signatures"]
    if not isinstance(listed, list) or not 1 <= len(listed) <= MAX_SIGNATURES:
        raise Malformed(f"signatures: expected a list of 1 to {MAX_SIGNATURES}")
    signatures = tuple(_signature(item, f"signatures[{i}]") for i, item in enumerate(listed))
    if any(a.keyid >= b.keyid for a, b in pairwise(signatures)):
        raise Malformed("signatures: expected strictly rising keyids")
    return Envelope(unbase64(value["payload"], where="payload"), signatures, raw)


def _signature(item: object, where: str) -> Signature:
    if not isinstance(item, dict) or sorted(item) != ["keyid", "sig"]:
        raise Malformed("expected exactly the members keyid, sig", where=where)
    keyid, sig = item["keyid"], item["sig"]
    if not isinstance(keyid, str) or not _KEYID.fullmatch(keyid):
        raise Malformed("keyid: expected SHA256: and 43 base64 characters", where=where)
    if not isinstance(sig, str):
        raise Malformed("sig: expected base64 text", where=where)
    return Signature(keyid, unbase64(sig, where=where))


def parse_fast(raw: bytes) -> Envelope | None:
    """The envelope of a canonical single-signature leaf by slicing, or None: then `parse` says what is wrong.

    Accepts a subset of what `parse` accepts and agrees with it there (tests/wire/test_dsse.py holds the two together).
    It takes a half to a fifth of the time, because a canonical text has one place for everything.
    """
    close = raw.find(b'"', 12)
    if len(raw) > MAX_BYTES or not raw.startswith(_HEAD) or not raw.startswith(_MIDDLE, close):
        return None
    start = close + len(_MIDDLE)
    tail = raw[start:]
    if len(tail) < 73 or tail[:10] != b'{"keyid":"' or tail[60:69] != b'","sig":"' or tail[-4:] != b'"}]}':
        return None
    try:
        keyid = tail[10:60].decode("ascii")
        if not _KEYID.fullmatch(keyid):
            return None
        return Envelope(unbase64(raw[12:close]), (Signature(keyid, unbase64(tail[69:-4])),), raw)
    except (Malformed, UnicodeDecodeError):
        return None


def sign(payload: bytes, *signers: Signer) -> Envelope:
    """Sign a payload: one signer for an attestation, several only on k-of-n documents."""
    message = pae(IN_TOTO.encode(), payload)
    return join(payload, [Signature(signer.public.keyid, signer.sign(message)) for signer in signers])


def join(payload: bytes, signatures: Iterable[Signature]) -> Envelope:
    """An envelope from signatures made elsewhere, refusing what `parse` would refuse."""
    return parse(format(payload, signatures))


@enforces("ENV-4", "ENV-5")
def open(envelope: Envelope, keys: Mapping[str, PublicKey]) -> tuple[PublicKey, ...]:
    """The distinct keys that signed, out of `keys` (by keyid).

    [ENV-4] A keyid MUST be the OpenSSH SHA-256 fingerprint of the key that made the signature.

    [ENV-5] A verifier MUST refuse an envelope that carries a signature by an unknown key or a signature that fails.

    Unlike a note, an envelope is one party's own: a line that nobody can check has no business in it.
    """
    message = envelope.pae
    for signature in envelope.signatures:
        key = keys.get(signature.keyid)
        if key is None or key.keyid != signature.keyid:
            raise Forged(f"signed by {signature.keyid}, which is no key of this agreement")
        if not key.verify(message, signature.value):
            raise Forged(f"the signature of {signature.keyid} does not verify")
    return tuple(keys[signature.keyid] for signature in envelope.signatures)
