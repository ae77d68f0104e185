# SPDX-License-Identifier: Apache-2.0
"""Where each statement goes that has effect: the book of its window and lab, what outlives windows, the lifecycle.

books.enter(filed, settled)      one page of specs/predicates/ for each way in
books.fold(window)               what outlives a window that is over
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pausectl.agreement.document import Agreement
from pausectl.agreement.terms import OVERSEERS
from pausectl.agreement.types import seconds
from pausectl.errors import Broken
from pausectl.history.booked import booked
from pausectl.history.handed import Receipts
from pausectl.history.records import C, Filed, LabRecord, RunRecord, Trouble, WindowBook
from pausectl.history.standing import Standing
from pausectl.history.streams import Streams
from pausectl.predicates.accession import Accession
from pausectl.predicates.base import Predicate
from pausectl.predicates.capability import Capability
from pausectl.predicates.close import Close
from pausectl.predicates.correction import Correction
from pausectl.predicates.energy import Energy
from pausectl.predicates.inventory import Inventory
from pausectl.predicates.model import Model
from pausectl.predicates.pause import Declaration, Order
from pausectl.predicates.received import Received
from pausectl.predicates.run import Run
from pausectl.predicates.usage import Usage

#: What taking effect brought to light, if anything.
Upshot = tuple[Trouble, str] | None


class Books:
    """windows: by number, those that are open. settled: the first window that is. records: by lab."""

    def __init__(self, agreement: Agreement, streams: Streams) -> None:
        self.agreement = agreement
        self.standing = Standing(agreement)
        self.receipts = Receipts(agreement, streams)
        self.records: dict[str, LabRecord] = {lab: LabRecord() for lab in agreement.labs}
        self.windows: dict[int, WindowBook] = {}
        self.settled = 0
        self._enter_as: dict[type[Predicate], Callable[[Any], Upshot]] = {
            Usage: self._usage,
            Inventory: self._inventory,
            Energy: self._energy,
            Close: self._close,
            Correction: self._correction,
            Capability: self._capability,
            Run: self._run,
            Model: self._model,
            Accession: self._accession,
            Order: self._order,
            Declaration: self._declaration,
            Received: self.receipts.enter,
        }

    def enter(self, filed: Filed[Predicate]) -> Upshot:
        """Let a statement take effect."""
        self.receipts.came(filed.id, self._number(filed))
        return self._enter_as[type(filed.claim)](filed)

    def window(self, number: int) -> WindowBook:
        """The book of a window, made when first asked for."""
        return self.windows.setdefault(number, WindowBook())

    def fold(self, book: WindowBook) -> None:
        """Carry over what outlives a window: time booked to runs, the last inventory, models evaluated."""
        for lab, filed in book.labs.items():
            if lab not in self.records:
                continue
            record = self.records[lab]
            for run_id, gflop in booked(self.agreement, filed.usage.values()).items():
                record.runs.setdefault(run_id, RunRecord()).booked_gflop += gflop
            record.last_inventory.update({facility: versions[-1] for facility, versions in filed.inventory.items()})
            record.evaluated.update({result.claim.model: result.index for result in filed.capability})

    # ── one kind of statement each ─────────────────────────────────────────────────────────────────────────────────

    def _usage(self, filed: Filed[Usage]) -> None:
        book = self._named(filed).lab(filed.claim.header.party)
        book.usage.setdefault(filed.claim.facility, []).append(filed)

    def _inventory(self, filed: Filed[Inventory]) -> None:
        book = self._named(filed).lab(filed.claim.header.party)
        book.inventory.setdefault(filed.claim.facility, []).append(filed)

    def _energy(self, filed: Filed[Energy]) -> None:
        book = self._named(filed).lab(filed.claim.lab)
        book.energy.setdefault(filed.claim.facility, []).append(filed)

    def _close(self, filed: Filed[Close]) -> Upshot:
        self._named(filed).closes.setdefault(filed.claim.header.party, []).append(filed)
        return self.receipts.close(filed)

    def _correction(self, filed: Filed[Correction]) -> None:
        self._named(filed).lab(filed.claim.header.party).corrections.append(filed)

    def _capability(self, filed: Filed[Capability]) -> None:
        self._witnessed(filed).lab(filed.claim.lab).capability.append(filed)

    def _run(self, filed: Filed[Run]) -> None:
        lab = filed.claim.header.party
        record = self.records[lab].runs.setdefault(filed.claim.run_id, RunRecord())
        (record.registered if filed.claim.status == "registered" else record.closed).append(filed)
        self._witnessed(filed).lab(lab).runs.append(filed)

    def _model(self, filed: Filed[Model]) -> None:
        lab = filed.claim.header.party
        known = self.records[lab].models.setdefault(filed.claim.weights_root, filed)
        if filed.claim.served_since_at and not known.claim.served_since_at:
            self.records[lab].models[filed.claim.weights_root] = filed
        self._witnessed(filed).lab(lab).models.append(filed)

    def _accession(self, filed: Filed[Accession]) -> None:
        self.standing.accede(filed)

    def _order(self, filed: Filed[Order]) -> None:
        self.standing.happen(OVERSEERS, filed)

    def _declaration(self, filed: Filed[Declaration]) -> None:
        self.standing.happen(filed.claim.header.party, filed)

    def _named(self, filed: Filed[C]) -> WindowBook:
        if filed.claim.header.window is None:
            raise Broken(f"entry {filed.index}: a windowed statement without a window")
        return self.window(self._number(filed))

    def _witnessed(self, filed: Filed[C]) -> WindowBook:
        return self.window(self._number(filed))

    def _number(self, filed: Filed[C]) -> int:
        """The window that a statement names, or that it was witnessed in."""
        span = filed.claim.header.window
        if span is not None:
            return self.agreement.window_of(seconds(span.start_at))
        return max(self.agreement.window_of(filed.by), self.settled)
