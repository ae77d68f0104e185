# SPDX-License-Identifier: Apache-2.0
"""Corrections: cheap to make, always visible, and never a way out.

Nothing is taken back. Caps count the largest of all filings; identities look at the latest, and COR-3 looks after what
the earlier ones got wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

from pausectl.history.records import Case, Filed, LabBook
from pausectl.verify.quantities import ACTIVE, gflop
from pausectl.verify.rules import energy, hours, runs
from pausectl.verify.rules.base import CaseCheck, Outcome, Said, holds, not_applicable, rule, unproven, violated


@rule("COR-1")
def corrections_are_explained(case: Case) -> Iterator[Said]:
    """[COR-1] A second or later usage or inventory of one facility and window MUST come with a correction that names
    it, the one before it, and a reason.

    Why: honest errors must be cheap, and visible.

    Cannot see: whether the reason is true.
    """
    explained = {(filed.claim.supersedes, filed.claim.replacement): filed.index for filed in case.book.corrections}
    later = list(_pairs(case))
    for earlier, filed in later:
        correction = explained.get((earlier.id, filed.id))
        if correction is not None:
            yield holds(f"entry {filed.index} corrects entry {earlier.index}, with a reason", filed.index, correction)
        elif not case.counted or any(gap.party == case.lab for gap in case.gaps):
            yield unproven(
                f"entry {filed.index} replaces entry {earlier.index}; the correction may be missing", filed.index
            )
        else:
            yield violated(
                f"entry {filed.index} replaces entry {earlier.index} without a word", earlier.index, filed.index
            )
    yield from _dangling(case)
    if not later:
        yield not_applicable("nothing was corrected")


def _dangling(case: Case) -> Iterator[Said]:
    """A correction vouches for two statements: if one is not here, it was taken out."""
    books: list[list[Filed[Any]]] = [*case.book.usage.values(), *case.book.inventory.values()]
    present = {filed.id for versions in books for filed in versions}
    for correction in case.book.corrections:
        if not {correction.claim.supersedes, correction.claim.replacement} <= present:
            yield unproven(f"entry {correction.index} corrects what is missing from the ledger", correction.index)


def _pairs(case: Case) -> Iterator[tuple[Filed[Any], Filed[Any]]]:
    books: list[list[Filed[Any]]] = [*case.book.usage.values(), *case.book.inventory.values()]
    for versions in books:
        yield from pairwise(versions)


@rule("COR-2")
def corrections_do_not_excuse(case: Case) -> Iterator[Said]:
    """[COR-2] A usage statement that lowers the compute which its lab filed before for the same facility and window
    MUST cap the verdict at INCONCLUSIVE.

    Why: otherwise every violation could be corrected away. Limits go on counting the larger filing, and this window
    stays open to question.

    Cannot see: which of the two filings is true.
    """
    found = False
    for versions in case.book.usage.values():
        for earlier, later in pairwise(versions):
            found = True
            before, after = (gflop(case.agreement, filed.claim.work, ACTIVE) for filed in (earlier, later))
            if after < before:
                yield unproven("lowers the lab's own compute; the larger filing counts", earlier.index, later.index)
            else:
                yield holds("does not lower the lab's compute", earlier.index, later.index)
    if not found:
        yield not_applicable("no usage was corrected")


#: What looks at the latest filing only, by the book whose correction could hide it.
_LATEST: Mapping[str, Mapping[str, CaseCheck]] = {
    "usage": {
        "HRS-1": hours.hours_balance,
        "RUN-3": runs.training_is_booked,
        "ENG-1": energy.work_is_physically_possible,
    },
    "inventory": {"HRS-1": hours.hours_balance, "INV-1": hours.items_balance, "INV-2": hours.inventories_join},
}


@rule("COR-3")
def corrections_do_not_lift(case: Case) -> Iterator[Said]:
    """[COR-3] A correction MUST NOT lift a VIOLATED that an earlier filing earned, unless it is of usage and the
    independent meter agrees with the corrected filing.

    Why: otherwise contradictions could be filed to see which of them is noticed, and taken back.

    Cannot see: an honest mistake as one; only independent books or a ruling can.
    """
    books: Mapping[str, Mapping[str, list[Filed[Any]]]] = {"usage": case.book.usage, "inventory": case.book.inventory}
    found = False
    for kind, by_facility in books.items():
        for facility, versions in by_facility.items():
            for earlier in versions[:-1]:
                found = True
                yield _lifted(case, kind, facility, earlier, versions[-1])
    if not found:
        yield not_applicable("nothing was corrected")


def _lifted(case: Case, kind: str, facility: str, earlier: Filed[Any], latest: Filed[Any]) -> Said:
    then, now = (_wrong(case, kind, facility, filed) for filed in (earlier, latest))
    if not then - now:
        return holds(
            f"entry {earlier.index}: nothing that it got wrong is hidden by entry {latest.index}", earlier.index
        )
    rules = ", ".join(sorted(then - now))
    if kind == "usage" and energy.meter_agrees(case, facility):
        return holds(f"entry {latest.index} mends {rules}, and the meter agrees with it", earlier.index, latest.index)
    return violated(
        f"entry {earlier.index} broke {rules}; entry {latest.index} does not lift that", earlier.index, latest.index
    )


def _wrong(case: Case, kind: str, facility: str, filed: Filed[Any]) -> set[str]:
    """What one filing, as if it were the last of its facility, is found to violate."""
    alone = replace(case, book=_with(case.book, kind, facility, filed), facilities=(facility,))
    return {name for name, check in _LATEST[kind].items() if any(s.outcome is Outcome.VIOLATED for s in check(alone))}


def _with(book: LabBook, kind: str, facility: str, filed: Filed[Any]) -> LabBook:
    changed: dict[str, Any] = {kind: {**getattr(book, kind), facility: [filed]}}
    return replace(book, **changed)
