# SPDX-License-Identifier: Apache-2.0
"""What replay keeps: statements with their interval in time, and what went wrong with the others.

Pure data. `Filed` is an effective statement; `Problem` an entry that has no effect; `Gap` a number that somebody says
exists and the ledger does not hold; `Case` everything the ledger says about one lab in one window, which is all that a
rule gets to see.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, NamedTuple, TypeVar

from pausectl.agreement.document import Agreement
from pausectl.agreement.lifecycle import State
from pausectl.agreement.terms import Limits
from pausectl.predicates.base import Predicate
from pausectl.predicates.capability import Capability
from pausectl.predicates.close import Close
from pausectl.predicates.correction import Correction
from pausectl.predicates.energy import Energy
from pausectl.predicates.inventory import Inventory
from pausectl.predicates.model import Model
from pausectl.predicates.run import Run
from pausectl.predicates.usage import Usage

C = TypeVar("C", bound=Predicate)


class Trouble(StrEnum):
    """Why an entry has no effect. Each is one rule's to report."""

    MALFORMED = "malformed"
    UNAUTHORISED = "unauthorised"
    FOREIGN = "foreign"
    DUPLICATE = "duplicate"
    BAD_MARK = "bad mark"
    UNKNOWN_TYPE = "unknown type"
    NO_SUCH_WINDOW = "no such window"
    CLOSED_WINDOW = "closed window"
    NO_SUCH_FACILITY = "no such facility"
    BENT_RECEIPT = "bent receipt"
    LEFT_OUT_RECEIPT = "left-out receipt"


@dataclass(frozen=True, slots=True)
class Problem:
    """index: the leaf. party: who answers for it, where that is not the log's operator.

    proven: False where the ledger's clock leaves open whether there was any trouble. statement: its id, and due: the
    POSIX second by which it should have been there, for what came after its window was closed.
    """

    trouble: Trouble
    index: int
    message: str
    party: str | None = None
    proven: bool = True
    statement: str = ""
    due: int = 0


@dataclass(frozen=True, slots=True)
class Filed(Generic[C]):
    """An effective statement: it existed at `by`, and had not been witnessed at `not_yet` (POSIX seconds, or None)."""

    index: int
    id: str
    claim: C
    not_yet: int | None
    by: int


class Attested(NamedTuple):
    """When a statement was handed in, by a quorum's word, and the leaves that say so."""

    at: int
    entries: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Gap:
    """`party` says (at leaf `index`) that its stream holds statement number `sequence`; the ledger does not show it."""

    party: str
    stream: str
    sequence: int
    index: int


@dataclass(frozen=True, slots=True)
class Twin:
    """Two different statements with one party, stream and number."""

    party: str
    stream: str
    sequence: int
    first: int
    second: int


@dataclass(slots=True)
class LabBook:
    """Everything filed about one lab for one window; each list in ledger order, corrections after what they correct."""

    usage: dict[str, list[Filed[Usage]]] = field(default_factory=dict)
    inventory: dict[str, list[Filed[Inventory]]] = field(default_factory=dict)
    energy: dict[str, list[Filed[Energy]]] = field(default_factory=dict)
    capability: list[Filed[Capability]] = field(default_factory=list)
    corrections: list[Filed[Correction]] = field(default_factory=list)
    runs: list[Filed[Run]] = field(default_factory=list)
    models: list[Filed[Model]] = field(default_factory=list)


@dataclass(slots=True)
class WindowBook:
    """Everything filed for one window: by lab, and what others said to close it.

    memo: answers that are the same for every lab, kept by the rule that gives them.
    """

    labs: dict[str, LabBook] = field(default_factory=dict)
    closes: dict[str, list[Filed[Close]]] = field(default_factory=dict)
    memo: dict[str, Any] = field(default_factory=dict)

    def lab(self, name: str) -> LabBook:
        """The book of one lab, made when first asked for."""
        return self.labs.setdefault(name, LabBook())

    def usage_of(self, name: str) -> list[Filed[Usage]]:
        """Every usage statement of one lab."""
        return [filed for versions in self.lab(name).usage.values() for filed in versions]


@dataclass(slots=True)
class RunRecord:
    """A run through its life: registrations, closures, and the accelerator time booked to it in windows judged so far.

    booked_gflop: Σ accelerator_seconds × peak (10^9 operations), before utilisation.
    """

    registered: list[Filed[Run]] = field(default_factory=list)
    closed: list[Filed[Run]] = field(default_factory=list)
    booked_gflop: int = 0


@dataclass(slots=True)
class LabRecord:
    """What outlives a window: runs by id, weights by root, and the last inventory of each facility."""

    runs: dict[str, RunRecord] = field(default_factory=dict)
    models: dict[str, Filed[Model]] = field(default_factory=dict)
    evaluated: dict[str, int] = field(default_factory=dict)
    last_inventory: dict[str, Filed[Inventory]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Case:
    """One lab in one window. state, limits: None when nothing is in force for it there.

    start, end: POSIX seconds. as_of: the instant of judging. book: what was filed about this lab. window_book: what was
    filed by those who can act against it. record: what outlives windows. pause_since: first window of the pause.
    counted: the lab has since said how many corrections it made, and none of them is missing. received: statement id →
    when it was handed in, for filings with receipts. handed: (stream, leaves) of what was handed in for
    this window and is not in the ledger. uncounted: intake parties that have not said, since the deadline for filing,
    how many receipts they gave, or lack one of them.
    """

    agreement: Agreement
    lab: str
    window: int
    start: int
    end: int
    as_of: int
    state: State | None
    limits: Limits | None
    pause_since: int | None
    book: LabBook
    window_book: WindowBook
    record: LabRecord
    gaps: tuple[Gap, ...]
    facilities: tuple[str, ...]
    counted: bool = True
    received: dict[str, Attested] = field(default_factory=dict)
    handed: tuple[tuple[str, tuple[int, ...]], ...] = ()
    uncounted: tuple[str, ...] = ()

    @property
    def deadlines(self) -> tuple[int, int]:
        """POSIX seconds by which the lab must have filed, and others must have closed the window."""
        limits = self.agreement.document.deadlines
        return self.end + limits.filing_seconds, self.end + limits.closing_seconds
