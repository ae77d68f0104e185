# SPDX-License-Identifier: Apache-2.0
"""From numbers to a signed claim: the header is filled in from the ledger, so that nobody types a sequence number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pydantic import ValidationError

from pausectl.agreement.document import Agreement
from pausectl.agreement.types import Span, instant
from pausectl.errors import Malformed, Unavailable, UsageFault
from pausectl.history.chain import Chain
from pausectl.history.decode import decode
from pausectl.history.replay import LAB_STREAMS
from pausectl.predicates import base
from pausectl.predicates.base import Header, Predicate
from pausectl.predicates.catalogue import TYPES
from pausectl.predicates.usage import Usage
from pausectl.wire import dsse
from pausectl.wire.dsse import Envelope
from pausectl.wire.keys import Signer

#: Next sequence number by stream.
Counts = dict[str, int]


def counts(chain: Chain, party: str) -> Counts:
    """How far each stream of a party goes in a log, and in those that it succeeded; Unavailable if one is missing."""
    if chain.missing is not None:
        hint = "numbers go on across logs: name it with --before"
        raise Unavailable(f"the log before this one, {chain.missing}, is not at hand", hint=hint)
    found: Counts = {}
    for segment in chain.segments:
        for _, raw in islice(segment.ledger.entries(), segment.size):
            count(found, raw, segment.ledger.agreement, party)
    return found


def count(found: Counts, raw: bytes, agreement: Agreement, party: str) -> bool:
    """Let numbers go on after that of one entry; False if it is no claim of this party's."""
    claim = decode(raw, agreement.keys).claim
    if claim is None or claim.header.party != party:
        return False
    found[claim.header.stream] = max(found.get(claim.header.stream, 0), claim.header.sequence + 1)
    return True


def kind_of(name: str) -> type[Predicate]:
    """The type that a user's word names: `usage`, `inventory`, `run` …"""
    known = {kind.name: kind for kind in TYPES}
    if name not in known:
        raise UsageFault(f"no claim is called {name}", hint=f"there are {', '.join(known)}")
    return known[name]


def window_of(agreement: Agreement, start: int, end: int) -> Span:
    """The agreement's window with these bounds (POSIX seconds), or UsageFault naming the nearest."""
    number = max(agreement.window_of(start), 0)
    bounds = agreement.start(number), agreement.start(number + 1)
    if (start, end) != bounds:
        raise UsageFault(
            f"{instant(start)} to {instant(end)} is no window of the agreement",
            hint=f"the nearest is {instant(bounds[0])}/{instant(bounds[1])}",
        )
    return Span(end_at=instant(bounds[1]), start_at=instant(bounds[0]))


@dataclass(frozen=True, slots=True)
class Desk:
    """Where a party signs. counts: of its streams, kept up to date as it attests."""

    agreement: Agreement
    party: str
    signers: tuple[Signer, ...]
    counts: Counts

    def attest(self, kind: type[Predicate], body: dict[str, Any], window: Span | None = None) -> Envelope:
        """Fill in the header (and a usage statement's heads, where they are left out), sign, and count."""
        if (window is not None) != kind.windowed:
            raise UsageFault(f"{kind.name}: expected {'a window' if kind.windowed else 'no window'}")
        stream = f"{kind.stream}/{body.get('facility', '')}" if kind.per_facility else kind.stream
        try:
            header = Header(
                agreement=self.agreement.id, log=self.agreement.origin, party=self.party,
                sequence=self.counts.get(stream, 0), stream=stream, window=window,
            )  # fmt: skip
        except ValidationError as error:
            raise Malformed(
                f"facility: expected an id, found {str(body.get('facility'))[:80]!r}", where=kind.name
            ) from error
        if kind is Usage and "heads" not in body:
            body = {**body, "heads": list(self.heads())}
        envelope = dsse.sign(base.write(base.construct(kind, body, header)), *self.signers)
        self.counts[stream] = header.sequence + 1
        return envelope

    def heads(self) -> Iterable[dict[str, Any]]:
        """The heads that a usage statement must carry."""
        for stream in LAB_STREAMS:
            yield {"count": self.counts.get(stream, 0), "party": self.party, "stream": stream}
