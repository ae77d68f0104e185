# SPDX-License-Identifier: Apache-2.0
"""Logs that succeed one another, read as one ledger (specs/succession.md).

    chain = link(newest, [older])          segments, oldest first; what of them counts, and under which index
    chain.missing                          the origin of the log before the first segment, if that is not at hand
    chain.excess                           logs that signed more entries than their successor begins with

A successor says itself where it begins, so that an entry has one index, whoever has which of the logs at hand.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pausectl.agreement.types import instant
from pausectl.errors import Forged, SplitView, Unavailable, UsageFault
from pausectl.history.authority import objection
from pausectl.history.decode import decode
from pausectl.history.reader import Ledger, Sighting, open_seen, origin_of, sight
from pausectl.predicates.succession import Succession
from pausectl.registry import enforces


@dataclass(frozen=True, slots=True)
class Segment:
    """One log. first: the index of its entry 0 among all. end: the checkpoint up to which it counts."""

    ledger: Ledger
    first: int
    end: Sighting

    @property
    def size(self) -> int:
        """How many of its entries count."""
        return self.end.checkpoint.size


@dataclass(frozen=True, slots=True)
class Excess:
    """A log signed `size` entries, and its successor, whose statement is entry `index`, begins with `counted`.

    by: until when, in words, or "".
    """

    origin: str
    size: int
    counted: int
    index: int
    by: str = ""


@dataclass(frozen=True, slots=True)
class Before:
    """What a successor says of the log before it, checked: where it ended, and how many entries there were before."""

    origin: str
    end: Sighting
    first: int
    index: int


@dataclass(slots=True)
class Chain:
    """segments: oldest first. before: what each successor among them says of the log before it, newest first."""

    segments: list[Segment]
    before: list[Before] = field(default_factory=list)
    excess: list[Excess] = field(default_factory=list)

    @property
    def missing(self) -> str | None:
        """The log before the first segment, if there was one."""
        return self.before[-1].origin if len(self.before) == len(self.segments) else None

    def see(self, raw: bytes) -> None:
        """Compare with a checkpoint of any of these logs that was got elsewhere.

        SplitView if there are two trees of one size, Unavailable if the newest log is shorter; a larger one of a log
        that was succeeded is kept as excess.
        """
        origin, newest = origin_of(raw), self.segments[-1].ledger
        past = next((past for past in self.before if past.origin == origin), None)
        if past is None:
            newest.agrees_with(open_seen(raw, newest.agreement), raw)
            return
        seen = open_seen(raw, newest.agreement.of_log(origin))
        ledger = next((s.ledger for s in self.segments if s.ledger.agreement.origin == origin), None)
        counted = past.end.checkpoint
        if ledger is not None and seen.size <= ledger.size:
            ledger.agrees_with(seen, raw)
        elif seen.size == counted.size and seen.root != counted.root:
            raise SplitView(f"{origin} signed two different trees of {seen.size} entries", raw, past.end.raw)
        if seen.size > counted.size:
            self.excess.append(Excess(origin, seen.size, counted.size, past.index))


@enforces("SUC-1")
def before(ledger: Ledger) -> Before | None:
    """What a successor says of the log before it; None for the agreement's first log.

    [SUC-1] A reader MUST refuse a successor whose entry 0 is not the agreement, or whose entry 1 is not a succession
    statement of that log with a checkpoint of a log that the agreement names before it, with the log's signature and
    the agreement's quorum of cosignatures.
    """
    agreement = ledger.agreement
    if not agreement.log_number:
        return None
    start = [decode(raw, agreement.keys) for _, raw in zip(range(2), _entries(ledger), strict=False)]
    claim = start[1].claim if len(start) > 1 else None
    if start[0].id != agreement.digest or not isinstance(claim, Succession) or objection(start[1], agreement):
        raise Forged(f"{agreement.origin}: expected the agreement and a succession statement as its first entries")
    origin = origin_of(claim.checkpoint.encode())
    if origin not in agreement.origins[:-1] or claim.header.log != agreement.origin:
        raise Forged(f"{agreement.origin}: its succession statement is not about a log that came before it")
    end = sight(claim.checkpoint.encode(), agreement.of_log(origin))
    first = claim.before_count - end.checkpoint.size
    if first < 0 or (first == 0) is not (origin == agreement.origins[0]):
        raise Forged(f"{agreement.origin}: before_count {claim.before_count} cannot be, after {end.checkpoint.size}")
    return Before(origin, end, first, claim.before_count + 1)


def _entries(ledger: Ledger) -> Iterable[bytes]:
    return (raw for _, raw in ledger.entries())


@enforces("SUC-2")
def link(newest: Ledger, older: Iterable[Ledger] = ()) -> Chain:
    """All logs from the oldest that is at hand to the newest; UsageFault for one that is not among them.

    [SUC-2] A reader MUST take from a log that was succeeded the entries below the size of its successor's checkpoint
    and no others, and refuse it if its tree of that size has another root or it is not as large.
    """
    at_hand = {ledger.agreement.origin: ledger for ledger in older}
    said, chain = before(newest), Chain([])
    ledger, end = newest, newest.head
    while said is not None:
        chain.before.append(said)
        chain.segments.insert(0, Segment(ledger, said.first + said.end.checkpoint.size, end))
        held = at_hand.pop(said.origin, None)
        if held is None:
            break
        _check(held, said, chain)
        ledger, end, expected = held, said.end, said.first
        said = before(ledger)
        if (said.first + said.end.checkpoint.size if said else 0) != expected:
            raise Forged(f"{ledger.agreement.origin}: its successor counts the entries before it otherwise")
    else:
        chain.segments.insert(0, Segment(ledger, 0, end))
    if at_hand:
        raise UsageFault(f"{min(at_hand)} is not a log before {newest.agreement.origin}")
    return chain


def _check(held: Ledger, said: Before, chain: Chain) -> None:
    counted = said.end.checkpoint
    if held.size < counted.size:
        found = f"this copy has {held.size} entries, and its successor begins with {counted.size}"
        raise Unavailable(f"{said.origin}: {found}")
    if held.tiles.root(counted.size) != counted.root:
        message = f"{said.origin} signed two different trees of {counted.size} entries"
        raise SplitView(message, said.end.raw, held.head.raw)
    if held.size > counted.size:
        by = f" by {instant(held.head.by)}"
        chain.excess.append(Excess(said.origin, held.size, counted.size, said.index, by))
