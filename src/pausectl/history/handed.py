# SPDX-License-Identifier: Apache-2.0
"""What intake parties say they were handed, and when (specs/intake.md): dates for filings that the log held back.

    enter(…)              a receipt takes effect as an entry; what is wrong with its time, if anything is
    attested(id) → (time, leaves)   of the agreement's quorum of intake parties, or None
    outstanding() → what was handed in and is not in the ledger

Receipts of statements whose window is settled are forgotten; of each intake party 16 bytes a receipt are kept.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from pausectl.agreement.document import Agreement
from pausectl.agreement.types import instant, seconds
from pausectl.history.records import Attested, Filed, Trouble
from pausectl.history.streams import ID_BYTES, Streams
from pausectl.predicates.base import Header
from pausectl.predicates.close import Close
from pausectl.predicates.received import Received
from pausectl.registry import enforces


class Given(NamedTuple):
    """One receipt: its time, its leaf, by when that existed. dated: its time counts."""

    at: int
    leaf: int
    by: int
    dated: bool


@dataclass(slots=True)
class Handed:
    """A statement that somebody was handed. of: its header. receipts: by intake party."""

    of: Header
    receipts: dict[str, Given] = field(default_factory=dict)


@dataclass(slots=True)
class Series:
    """One intake party. numbers, times: of its receipts, in order of number. closed: (count, end of window) so far."""

    numbers: array[int] = field(default_factory=lambda: array("q"))
    times: array[int] = field(default_factory=lambda: array("q"))
    closed: list[tuple[int, int]] = field(default_factory=list)


class Receipts:
    """All receipts of a ledger that can still matter. known: statement id → what was handed in."""

    def __init__(self, agreement: Agreement, streams: Streams) -> None:
        self.known: dict[str, Handed] = {}
        self.series: dict[str, Series] = {party: Series() for party in agreement.holders("intake")}
        self.until: dict[str, int] = {}
        self._agreement = agreement
        self._streams = streams

    def enter(self, filed: Filed[Received]) -> tuple[Trouble, str] | None:
        """A receipt takes effect; what contradicts its time, which then counts for nothing."""
        claim, at = filed.claim, seconds(filed.claim.received_at)
        trouble = self._bent(filed, at) or self._left_out(claim.header, at)
        handed = self.known.setdefault(claim.statement, Handed(claim.of))
        handed.receipts[claim.header.party] = Given(at, filed.index, filed.by, trouble is None)
        if not self._missing(claim.statement, claim.of):
            self.until.setdefault(claim.statement, self._agreement.window_of(filed.by))
        return trouble

    @enforces("INT-3")
    def _bent(self, filed: Filed[Received], at: int) -> tuple[Trouble, str] | None:
        """What its neighbours or the ledger's clock have against a time.

        [INT-3] The time of a receipt MUST count for nothing if it falls below that of a receipt with a lower number by
        the same party, exceeds that of one with a higher number, lies more than clock_skew_seconds after the receipt's
        own `by`, or before the end of a window that the party closed with a head of not more than its number.
        """
        header = filed.claim.header
        series, number = self.series[header.party], header.sequence
        place = bisect_left(series.numbers, number)
        if filed.by + self._agreement.document.deadlines.clock_skew_seconds < at:
            return Trouble.BENT_RECEIPT, f"{_says(header, at)}, and it was in the ledger by {instant(filed.by)}"
        if place and series.times[place - 1] > at:
            other, then = series.numbers[place - 1], series.times[place - 1]
            return Trouble.BENT_RECEIPT, f"{_says(header, at)}, and number {other} {instant(then)}"
        if place < len(series.times) and series.times[place] < at:
            other, then = series.numbers[place], series.times[place]
            return Trouble.BENT_RECEIPT, f"{_says(header, at)}, and number {other} {instant(then)}"
        series.numbers.insert(place, number)
        series.times.insert(place, at)
        return None

    def _left_out(self, header: Header, at: int) -> tuple[Trouble, str] | None:
        for count, end in self.series[header.party].closed:
            if count <= header.sequence and at < end:
                said = f"closed the window to {instant(end)} with {count} receipts"
                return Trouble.LEFT_OUT_RECEIPT, f"{_says(header, at)}, and {said}"
        return None

    def close(self, filed: Filed[Close]) -> tuple[Trouble, str] | None:
        """An intake party closes a window; what its own receipts have against the number of them that it gives."""
        count, end = self.count_in(filed), self._end(filed)
        if count is None or end is None:
            return None
        party = filed.claim.header.party
        insort(self.series[party].closed, (count, end))
        place = self._denied(party, count, end)
        if place is None:
            return None
        series = self.series[party]
        header = filed.claim.header.model_copy(update={"sequence": series.numbers[place]})
        said = f"closed the window to {instant(end)} with {count} receipts"
        return Trouble.LEFT_OUT_RECEIPT, f"{_says(header, series.times[place])}, and {said}"

    def counts(self, closes: Iterable[Filed[Close]], party: str) -> bool:
        """Whether one of these closes of an intake party has a count, and the ledger holds all that was ever counted.

        A party whose own receipts contradict its count has not counted.
        """
        stream = self._streams.known.get((party, Received.stream))
        said = [(count, end) for filed in closes if (count := self.count_in(filed)) is not None
                if (end := self._end(filed)) is not None]  # fmt: skip
        whole = stream is None or stream.hole is None
        there = stream.count if stream else 0
        return (
            bool(said)
            and whole
            and all(count <= there and self._denied(party, count, end) is None for count, end in said)
        )

    def _end(self, filed: Filed[Close]) -> int | None:
        """The end of the window that an intake party closes, if it does so after it; else the close counts nothing."""
        span = filed.claim.header.window
        if span is None or filed.claim.header.party not in self.series or filed.by < seconds(span.end_at):
            return None
        return seconds(span.end_at)

    def _denied(self, party: str, count: int, end: int) -> int | None:
        """The place of the first receipt that this count leaves out, although it is dated before `end`."""
        series = self.series[party]
        place = bisect_left(series.numbers, count)
        return place if place < len(series.times) and series.times[place] < end else None

    @staticmethod
    def count_in(filed: Filed[Close]) -> int | None:
        """How many receipts a close says that its party gave, or None."""
        own = (filed.claim.header.party, Received.stream)
        return next((head.count for head in filed.claim.heads if (head.party, head.stream) == own), None)

    @enforces("INT-2")
    def attested(self, statement: str) -> Attested | None:
        """When a statement was handed in, or None where too few say so.

        [INT-2] A statement MUST be taken to have been filed at the k-th smallest time that counts in receipts for it,
        each of another intake party, k being the agreement's quorum of intake parties, whenever they were logged.
        """
        quorum, handed = self._agreement.document.intake.quorum, self.known.get(statement)
        given = sorted(given for given in handed.receipts.values() if given.dated) if handed else []
        if not quorum or len(given) < quorum:
            return None
        return Attested(given[quorum - 1].at, tuple(sorted(each.leaf for each in given[:quorum])))

    def outstanding(self) -> Iterator[tuple[str, Handed]]:
        """(statement id, what was handed in) for everything that the ledger does not hold."""
        return ((name, handed) for name, handed in self.known.items() if self._missing(name, handed.of))

    def _missing(self, statement: str, of: Header) -> bool:
        stream = self._streams.known.get((of.party, of.stream))
        there = stream.at(of.sequence) if stream else None
        return there is None or there[0] != bytes.fromhex(statement)[:ID_BYTES]

    def came(self, statement: str, window: int) -> None:
        """A statement took effect; once this window is settled its receipts matter no more."""
        if self.series:
            self.until[statement] = window

    def forget(self, settled: int) -> None:
        """Let go of receipts of statements that took effect in windows before this one."""
        for statement in [name for name, window in self.until.items() if window < settled]:
            del self.until[statement]
            self.known.pop(statement, None)


def _says(header: Header, at: int) -> str:
    return f"{header.party} dates its receipt number {header.sequence} {instant(at)}"
