# SPDX-License-Identifier: Apache-2.0
"""Everything about an entry that depends on nothing but its bytes and the agreement's keys.

Stateless, so that it runs in as many processes as there are cores: leaf hash, envelope, signatures, statement. The
result is small and says either what the entry claims or why it has no effect; it never raises for any bytes in a tree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pausectl.agreement.document import TYPE as AGREEMENT_TYPE
from pausectl.errors import Forged, Malformed
from pausectl.history.records import Trouble
from pausectl.predicates import base, catalogue
from pausectl.predicates.base import Predicate, UnknownType
from pausectl.wire import dsse
from pausectl.wire.keys import PublicKey

assert catalogue.TYPES  # noqa: S101 - importing it is what makes the types known

#: keyid → (principal, key), as `Agreement.keys`.
KeyRing = Mapping[str, tuple[str, PublicKey]]


@dataclass(frozen=True, slots=True)
class Decoded:
    """id: statement id (hex), or "" where there is no envelope. signers: principals whose signatures verified, sorted.

    Exactly one of claim, unknown and trouble is set. payload: the statement's bytes.
    """

    id: str
    payload: bytes = b""
    signers: tuple[str, ...] = ()
    keyids: tuple[str, ...] = ()
    claim: Predicate | None = None
    unknown: str | None = None
    trouble: Trouble | None = None
    message: str = ""

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        """Cross a process boundary as bytes: reading a claim again is quicker than pickling its model."""
        return _arrived, (self.id, self.payload, self.signers, self.keyids, self.unknown, self.trouble, self.message)


def _arrived(*parts: Any) -> Decoded:  # noqa: ANN401 - as `rebuild`
    """What another process of ours decoded a moment ago."""
    return rebuild(*parts, base.again)  # type: ignore[call-arg]  # the parts are its first seven


def rebuild(
    statement_id: str, payload: bytes, signers: tuple[str, ...], keyids: tuple[str, ...],
    unknown: str | None, trouble: Trouble | None, message: str,
    read: Callable[[bytes], Predicate | UnknownType] = base.read,
) -> Decoded:  # fmt: skip
    """A decoded entry from its parts; the claim is read again from the payload."""
    claim = read(payload) if unknown is None and trouble is None else None
    return Decoded(
        statement_id,
        payload,
        signers,
        keyids,
        claim if isinstance(claim, Predicate) else None,
        unknown,
        trouble,
        message,
    )


def decode(raw: bytes, keys: KeyRing) -> Decoded:
    """What an entry says and who signed it."""
    try:
        envelope = dsse.parse_fast(raw) or dsse.parse(raw)
    except Malformed as error:
        return Decoded("", trouble=Trouble.MALFORMED, message=str(error))
    statement_id = envelope.statement_id
    try:
        ring = {s.keyid: keys[s.keyid][1] for s in envelope.signatures if s.keyid in keys}
        keyids = tuple(key.keyid for key in dsse.open(envelope, ring))
    except Forged as error:
        return Decoded(statement_id, trouble=Trouble.UNAUTHORISED, message=str(error))
    signers = tuple(sorted({keys[keyid][0] for keyid in keyids}))
    try:
        claim = base.read(envelope.payload)
    except Malformed as error:
        return Decoded(statement_id, signers=signers, trouble=Trouble.MALFORMED, message=str(error))
    if isinstance(claim, UnknownType):
        return Decoded(statement_id, envelope.payload, signers, keyids, unknown=claim.predicate_type)
    return Decoded(statement_id, envelope.payload, signers, keyids, claim)


__all__ = ["AGREEMENT_TYPE", "Decoded", "KeyRing", "decode"]
