# SPDX-License-Identifier: Apache-2.0
"""The ledger as a story: entries in, who said what by when under which state out.

A fold over entries in order. An entry is held back until a mark covers it, because only then is it known *by* when it
existed; then it takes effect, or becomes a `Problem`. Windows are settled when nothing can change them any more, judged
by whoever asked (`on_settled`), and forgotten, so memory follows the parties and the open windows, not the ledger.

The state at a fixed `as_of` is a function of the entries with by ≤ `as_of`, in index order, and of nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from pausectl.agreement.document import Agreement
from pausectl.agreement.terms import OVERSEERS
from pausectl.agreement.types import seconds
from pausectl.errors import Malformed, PausectlError, SplitView, Unavailable
from pausectl.history.authority import objection
from pausectl.history.books import Books
from pausectl.history.chain import Chain, Segment
from pausectl.history.decode import Decoded
from pausectl.history.reader import Sighting, sight
from pausectl.history.records import Attested, Case, Filed, Gap, LabBook, Problem, Trouble, Twin, WindowBook
from pausectl.history.streams import ID_BYTES, Streams
from pausectl.predicates.accession import Accession
from pausectl.predicates.base import Head, Predicate
from pausectl.predicates.capability import Capability
from pausectl.predicates.checkpoint import Mark
from pausectl.predicates.energy import Energy
from pausectl.predicates.inventory import Inventory
from pausectl.predicates.succession import Succession
from pausectl.predicates.usage import Usage
from pausectl.registry import enforces

RootAt = Callable[[int], bytes]
OnSettled = Callable[[Case], None]

#: The streams of a lab whose tail only its usage statements can vouch for.
LAB_STREAMS = ("accession", "corrections", "declarations", "models", "runs")


class History:
    """Everything replay knows at one point of the ledger."""

    def __init__(
        self, agreement: Agreement, head: Sighting, root_at: RootAt, *, as_of: int | None, on_settled: OnSettled
    ) -> None:
        self.agreement = agreement
        self.head = head
        self.as_of = head.by if as_of is None else as_of
        self.size = 0
        self.founded = False
        self.streams = Streams()
        self.books = Books(agreement, self.streams)
        self.standing, self.records, self.windows = self.books.standing, self.books.records, self.books.windows
        self.receipts = self.books.receipts
        self.marked: Sighting | None = None
        #: The most entries, of all logs, that mirrors were shown to have, and when (POSIX seconds), as of `as_of`.
        self.available: tuple[int, int] | None = None
        self.covered = 0
        self.problems: list[Problem] = []
        self.twins: list[Twin] = []
        limits = agreement.document.deadlines
        self._slack = max(limits.filing_seconds, limits.closing_seconds, limits.correction_seconds)
        self._end = max(agreement.first_boundary(seconds(agreement.document.expires_at)), 0)
        self.chain: Chain | None = None
        self._log, self._first, self._root_at = agreement, 0, root_at
        self._on_settled = on_settled
        self.waiting: list[tuple[int, Decoded]] = []
        self.bad_marks: dict[int, str] = {}
        self.stopped = False

    @property
    def settled(self) -> int:
        """The first window that is still open; everything before it is settled."""
        return self.books.settled

    # ── entries and marks ──────────────────────────────────────────────────────────────────────────────────────────

    def add(self, index: int, entry: Decoded) -> None:
        """Take the next entry; it takes effect when a mark covers it."""
        if index != self.size:
            raise Malformed(f"expected entry {self.size}, found {index}")
        self.size += 1
        self.founded = self.founded or entry.id == self.agreement.digest
        self.waiting.append((index, entry))
        if isinstance(entry.claim, Mark) and objection(entry, self._log) is None:
            self._mark(index, entry.claim)

    def enter_log(self, segment: Segment) -> None:
        """What is added from here on stands in this log, whose entry 0 has the index `segment.first`."""
        self._log, self._first, self._root_at = segment.ledger.agreement, segment.first, segment.ledger.tiles.root
        self.size = max(self.size, segment.first)

    def leave_log(self, segment: Segment) -> None:
        """A log ends with the checkpoint that its successor begins with: its last, implicit mark."""
        self._advance(segment.end)

    @enforces("MARK-2", "MARK-3")
    def _mark(self, index: int, claim: Mark) -> None:
        """Let a mark move time on.

        [MARK-2] A mark MUST carry a checkpoint of this log with the agreement's witness quorum, of a size not above the
        mark's own index, and has effect whichever principal signed it.

        [MARK-3] A mark MUST have no effect if its size does not exceed that of the last mark that had effect, if its
        time or its smallest timestamp is before that one's, or if these two lie further apart than clock_skew_seconds.

        The last condition keeps one liar, whose line a complicit operator chooses for the mark, from moving the clock.
        """
        try:
            seen = sight(claim.checkpoint.encode(), self._log)
        except PausectlError as error:
            self.bad_marks[index] = str(error)
            return
        if seen.checkpoint.size > index - self._first:
            self.bad_marks[index] = f"covers {seen.checkpoint.size} entries, but stands at {index - self._first}"
            return
        # Asked before MARK-3, because a mark without effect is evidence all the same.
        if self._root_at(seen.checkpoint.size) != seen.checkpoint.root:
            raise SplitView(
                f"entry {index} is a cosigned checkpoint of another tree of {seen.checkpoint.size} entries",
                seen.raw,
                self.head.raw,
            )
        self._had(seen)
        last = self.marked
        covered = self._first + seen.checkpoint.size
        if last and (covered <= self.covered or seen.by < last.by or seen.first < last.first):
            return
        if seen.by - seen.first > self.agreement.document.deadlines.clock_skew_seconds:
            return
        self._advance(seen)

    def finish(self) -> None:
        """The head is the last, implicit mark; timers run on to `as_of`."""
        self._had(self.head)
        self._advance(self.head)
        self._settle(self.as_of)

    @enforces("MARK-6")
    def _had(self, seen: Sighting) -> None:
        """Note what could be had from mirrors.

        [MARK-6] A mark that shows that its entries could be had MUST count for that whether or not MARK-3 lets it have
        effect on time.
        """
        known, size = self.available[0] if self.available else 0, self._first + seen.checkpoint.size
        if seen.mirrored is not None and seen.mirrored <= self.as_of and size > known:
            self.available = (size, seen.mirrored)

    @enforces("MARK-4")
    def _advance(self, seen: Sighting) -> None:
        """Give everything that this mark is the first to cover its interval, and let it take effect.

        [MARK-4] An entry MUST be taken to have existed by the time of the first mark that covers it, and to have been
        not yet witnessed at the smallest timestamp of the last mark that does not.
        """
        self.stopped = self.stopped or seen.by > self.as_of
        if self.stopped:
            return
        self._settle(seen.by)
        not_yet = self.marked.first if self.marked else None
        self.covered = self._first + seen.checkpoint.size
        covered = [item for item in self.waiting if item[0] < self.covered]
        self.waiting = self.waiting[len(covered) :]
        for index, entry in covered:
            self._apply(index, entry, not_yet, seen.by)
        self.marked = seen

    # ── one entry takes effect ─────────────────────────────────────────────────────────────────────────────────────

    def _apply(self, index: int, entry: Decoded, not_yet: int | None, by: int) -> None:
        trouble = objection(entry, self._log) or self._misplaced(index, entry)
        if trouble is not None:
            self._problem(trouble[0], index, trouble[1])
            return
        if entry.claim is None:
            self._unknown(index, entry)
            return
        claim = entry.claim
        if isinstance(claim, Succession):
            return
        if isinstance(claim, Mark):
            if index in self.bad_marks:
                self._problem(Trouble.BAD_MARK, index, self.bad_marks.pop(index))
            return
        filed = Filed(index, entry.id, claim, not_yet, by)
        if self._numbered(filed) and self._placed(filed):
            upshot = self.books.enter(filed)
            if upshot is not None:
                self._problem(upshot[0], index, upshot[1], claim.header.party)

    def _misplaced(self, index: int, entry: Decoded) -> tuple[Trouble, str] | None:
        if not isinstance(entry.claim, Succession) or (self._log.log_number and index == self._first + 1):
            return None
        return Trouble.UNAUTHORISED, "a succession that is not entry 1 of a successor"

    def _unknown(self, index: int, entry: Decoded) -> None:
        if entry.id == self.agreement.digest:
            return
        for party in entry.signers:
            self._problem(Trouble.UNKNOWN_TYPE, index, f"{party} said something of type {entry.unknown}", party)

    def _numbered(self, filed: Filed[Predicate]) -> bool:
        """Enter a statement's number; False for a repetition or a twin, which have no effect."""
        header = filed.claim.header
        prefix = bytes.fromhex(filed.id)[:ID_BYTES]
        known = self.streams.of(header.party, header.stream).at(header.sequence)
        if known is None:
            self.streams.put(header.party, header.stream, header.sequence, prefix, filed.index)
        elif known[0] == prefix and known[1] < self._first:
            pass  # the log before this one had it, and this one need not know
        elif known[0] == prefix:
            self._problem(Trouble.DUPLICATE, filed.index, f"the same statement as entry {known[1]}")
        else:
            self.twins.append(Twin(header.party, header.stream, header.sequence, known[1], filed.index))
        return known is None

    def _placed(self, filed: Filed[Predicate]) -> bool:
        """Whether the window and the facility that a statement names exist, and the window is still open."""
        trouble = self._window_trouble(filed) or self._facility_trouble(filed)
        span, party = filed.claim.header.window, filed.claim.header.party
        if trouble is not None and trouble[0] is Trouble.CLOSED_WINDOW and span is not None:
            due = seconds(span.end_at) + self._slack
            proven = filed.not_yet is not None and filed.not_yet > due
            self.problems.append(Problem(*trouble[:1], filed.index, trouble[1], party, proven, filed.id, due))
        elif trouble is not None:
            self._problem(trouble[0], filed.index, trouble[1], party)
        return trouble is None

    def _window_trouble(self, filed: Filed[Predicate]) -> tuple[Trouble, str] | None:
        span = filed.claim.header.window
        if span is None:
            return None
        start, end = seconds(span.start_at), seconds(span.end_at)
        window = self.agreement.window_of(start)
        if window < 0 or (start, end) != (self.agreement.start(window), self.agreement.start(window + 1)):
            return Trouble.NO_SUCH_WINDOW, f"{span.start_at} to {span.end_at} is no window of the agreement"
        if window < self.settled:
            return Trouble.CLOSED_WINDOW, f"the window from {span.start_at} was closed to corrections by then"
        return None

    @enforces("HDR-7")
    def _facility_trouble(self, filed: Filed[Predicate]) -> tuple[Trouble, str] | None:
        """Whether the facility, meter and lab that a statement names belong together.

        [HDR-7] A statement about a listed facility MUST come from the lab that the agreement lists for it, or be a
        reading by its listed meter for that lab; what is said about a lab must name a lab of the agreement.
        """
        claim = filed.claim
        if isinstance(claim, (Energy, Capability)) and claim.lab not in self.records:
            return Trouble.NO_SUCH_FACILITY, f"{claim.lab} is no lab of the agreement"
        if not isinstance(claim, (Usage, Inventory, Energy)):
            return None
        facility = self.agreement.facilities.get(claim.facility)
        if isinstance(claim, Energy):
            if facility is None or (facility.meter, facility.lab) == (claim.header.party, claim.lab):
                return None
            return Trouble.NO_SUCH_FACILITY, f"{claim.facility} is read by {facility.meter} for {facility.lab}"
        if facility is not None and facility.lab == claim.header.party:
            return None
        return Trouble.NO_SUCH_FACILITY, f"{claim.facility} is no facility of {claim.header.party} in the agreement"

    # ── windows ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _problem(self, trouble: Trouble, index: int, message: str, party: str | None = None) -> None:
        self.problems.append(Problem(trouble, index, message, party))

    def due_at(self, window: int) -> int:
        """POSIX seconds at which everything about a window is due."""
        limits = self.agreement.document.deadlines
        return self.agreement.start(window + 1) + max(limits.filing_seconds, limits.closing_seconds)

    def _settle(self, now: int) -> None:
        """Close every window whose time for corrections is over, oldest first; a timer, so it runs before entries.

        Windows that begin after the agreement's end are closed and not judged: nothing is in force there, and a far-off
        `now` must cost no time.
        """
        closed = self.agreement.window_of(now - self._slack)
        while self.settled < min(closed, self._end):
            for case in self.cases(self.settled, now):
                self._on_settled(case)
            self.books.fold(self.windows.pop(self.settled, WindowBook()))
            self.books.settled += 1
            self._forget()
        if self.settled < closed:
            for number in [number for number in self.windows if number < closed]:
                self.books.fold(self.windows.pop(number))
            self.books.settled = closed
            self._forget()

    def _forget(self) -> None:
        self.standing.forget(self.settled)
        self.receipts.forget(self.settled)

    def open_cases(self) -> Iterator[Case]:
        """One case for each lab and window that is due at `as_of` but still open to corrections, oldest first.

        Folds each window into the records as it goes: ask once, after `finish`.
        """
        window = self.settled
        while window < self._end and self.due_at(window) <= self.as_of:
            yield from self.cases(window, self.as_of)
            self.books.fold(self.windows.get(window, WindowBook()))
            window += 1

    def cases(self, window: int, now: int) -> Iterator[Case]:
        """The case of every lab of the agreement in one window, judged at `now`."""
        book = self.books.window(window)
        others = tuple(self._gaps_of_others(book))
        own = {lab: tuple(self._gaps_of_lab(lab, book)) for lab in self.agreement.labs}
        missing = tuple(gap for gaps in own.values() for gap in gaps if gap.stream == Accession.stream)
        handed = self._handed(window)
        uncounted = tuple(party for party in self.agreement.holders("intake") if not self._counts(party, window))
        for lab in self.agreement.labs:
            state, since = self.standing.state(lab, window)
            yield Case(
                agreement=self.agreement,
                lab=lab,
                window=window,
                start=self.agreement.start(window),
                end=self.agreement.start(window + 1),
                as_of=now,
                state=state,
                limits=getattr(self.agreement.document.limits, state) if state else None,
                pause_since=since,
                book=book.lab(lab),
                window_book=book,
                record=self.records[lab],
                gaps=(*own[lab], *(gap for gap in missing if gap.party != lab), *others),
                facilities=tuple(f.id for f in self.agreement.document.facilities if f.lab == lab),
                counted=self._counted(lab, window),
                received=self._received(book.lab(lab)),
                handed=tuple(handed.get(lab, ())),
                uncounted=uncounted,
            )

    def _received(self, book: LabBook) -> dict[str, Attested]:
        if not self.receipts.known:
            return {}
        filings = [filed for kind in (book.usage, book.inventory) for each in kind.values() for filed in each]
        names = [filed.id for filed in (*filings, *book.runs)]
        return {name: found for name in names if (found := self.receipts.attested(name))}

    def _handed(self, window: int) -> dict[str, list[tuple[str, tuple[int, ...]]]]:
        """Lab → what it handed to intake parties about a window that the ledger does not hold."""
        found: dict[str, list[tuple[str, tuple[int, ...]]]] = {}
        for _, handed in self.receipts.outstanding():
            span = handed.of.window
            if span is not None and self.agreement.window_of(seconds(span.start_at)) == window:
                entries = tuple(sorted(given.leaf for given in handed.receipts.values()))
                found.setdefault(handed.of.party, []).append((handed.of.stream, entries))
        return found

    def _counts(self, party: str, window: int) -> bool:
        """Whether an intake party has said, once filings were due, how many receipts it gave, and all are here."""
        due = self.agreement.start(window + 1) + self.agreement.document.deadlines.filing_seconds
        later = [book for number, book in self.windows.items() if self.agreement.start(number + 1) >= due]
        return self.receipts.counts((filed for book in later for filed in book.closes.get(party, ())), party)

    def _counted(self, lab: str, window: int) -> bool:
        later = [filed for number, book in self.windows.items() if number > window for filed in book.usage_of(lab)]
        heads = [
            head for filed in later for head in filed.claim.heads if (head.party, head.stream) == (lab, "corrections")
        ]
        return bool(heads) and max(head.count for head in heads) <= self.streams.count(lab, "corrections")

    def _gaps_of_lab(self, lab: str, book: WindowBook) -> Iterator[Gap]:
        for versions in book.lab(lab).usage.values():
            for filed in versions:
                yield from self.streams.short(filed.claim.heads, filed.index, lambda head: head.party == lab)
        yield from self.streams.holes(frozenset({lab}))

    def _gaps_of_others(self, book: WindowBook) -> Iterator[Gap]:
        for party, filings in book.closes.items():
            bodies = {b.id for b in self.agreement.bodies.values() if party in b.members}

            def speaks_for(head: Head, own: frozenset[str] = frozenset({party, *bodies})) -> bool:
                # An accession binds others too, so the overseers count those of every lab.
                return head.party in own or (head.stream == Accession.stream and OVERSEERS in own)

            for filed in filings:
                yield from self.streams.short(filed.claim.heads, filed.index, speaks_for)
        yield from self.streams.holes(frozenset(self.records), others=True)


@enforces("READ-7")
def replay(history: History, entries: Iterable[tuple[int, Decoded]]) -> History:
    """Fold entries into a history that holds everything before them; `finish` is left to the caller.

    [READ-7] A verifier MUST give no verdict from a ledger that does not hold, byte for byte, the statement of the
    agreement that it was told to trust.
    """
    for index, entry in entries:
        history.add(index, entry)
    if not history.founded:
        raise Unavailable("the trusted agreement is not in this ledger, so nothing in it can be judged by it")
    return history
