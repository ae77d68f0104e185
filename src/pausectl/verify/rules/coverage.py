# SPDX-License-Identifier: Apache-2.0
"""Completeness: each prohibition needs a partner that notices when the evidence for it is missing.

What is expected comes from the agreement alone, never from what was filed. Missing evidence is UNPROVEN and not
VIOLATED: without an agreed intake path a lab's omission and a log's censorship look the same. With one, a lab could
have asked for a receipt, and the intake parties say how many they gave.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pausectl.agreement.document import Agreement
from pausectl.agreement.terms import OVERSEERS, Due
from pausectl.agreement.types import instant
from pausectl.history.records import C, Case, Filed, Gap, WindowBook
from pausectl.history.replay import LAB_STREAMS
from pausectl.predicates.inventory import Inventory
from pausectl.predicates.received import Received
from pausectl.predicates.usage import Usage
from pausectl.verify.rules.base import Said, holds, rule, unproven, violated

NO_INTAKE = "no intake path is agreed, so omission cannot be told from censorship"


def filed_by_lab(case: Case, stream: str, facility: str) -> Sequence[Filed[Usage] | Filed[Inventory]]:
    """A lab's filings of one kind for one facility and this window, in ledger order."""
    if stream == "usage":
        return case.book.usage.get(facility, [])
    return case.book.inventory.get(facility, []) if stream == "inventory" else []


def _due(case: Case, *roles: str) -> Iterator[Due]:
    return (due for due in case.agreement.document.due if due.role in roles)


@rule("COV-1")
def every_due_statement_is_filed(case: Case) -> Iterator[Said]:
    """[COV-1] A lab MUST file, for every window in which it is bound and every facility the agreement lists for it,
    each statement that the due list asks of labs, even where there is nothing to report.

    Why: silence must never look better than a bad number.

    Cannot see: facilities that are in nobody's books; nor a filing whose receipt all its intake parties deny.
    """
    if not case.facilities:
        yield unproven(f"the agreement lists no facility of {case.lab}, so nothing is asked of it")
    for due in _due(case, "lab"):
        for facility in case.facilities:
            filed = filed_by_lab(case, due.stream, facility)
            if filed:
                yield holds(f"{due.stream} of {facility} is filed", filed[0].index)
            else:
                yield _missing(case, due.stream, facility)


def _missing(case: Case, stream: str, facility: str) -> Said:
    """Omission is proven only where the lab could have had a receipt, and nobody's count leaves room for one."""
    what = f"no {stream} of {facility}"
    evidence = [leaf for name, leaves in case.handed if name == f"{stream}/{facility}" for leaf in leaves]
    if evidence:
        return unproven(f"{what} in the ledger, but an intake party was handed it", *evidence)
    if not case.agreement.holders("intake"):
        return unproven(f"{what}: {NO_INTAKE}")
    if case.uncounted:
        return unproven(f"{what}: {', '.join(case.uncounted)} may have been handed it, by what is counted so far")
    return violated(f"{what}: no intake party was handed it either, and each has counted its receipts since")


@rule("COV-2")
def the_lab_hides_no_number(case: Case) -> Iterator[Said]:
    """[COV-2] The streams of a lab MUST hold every statement up to the heads in its usage statements, and have no
    number missing below one that is there.

    Why: a statement that was taken out of the ledger leaves its number behind.

    Cannot see: a statement after the last head, until the next window is closed.
    """
    # Of other labs a case has the gaps in accessions: whether this one is bound may hang on them.
    yield from _gaps([gap for gap in case.gaps if gap.party in case.agreement.labs], case.lab)


@rule("COV-3")
def everybody_else_closes(case: Case) -> Iterator[Said]:
    """[COV-3] Every overseer, evaluator, meter and intake party MUST file, for every window, what the due list asks of
    its role.

    Why: an order, a result, a reading or a receipt that was kept out of the ledger is somebody else's statement; only
    its author can say that it exists.

    Cannot see: a party that hides its own statement and says that it made none; nor how late a close came.
    """
    for due in _due(case, "overseer", "evaluator", "meter", "intake"):
        for who, what, filed in _others(case, due):
            if filed is not None:
                yield holds(f"{who} filed {what}", filed)
            else:
                yield unproven(f"{who} has not filed {what}, so what it knows about {case.lab} may be missing")


def _others(case: Case, due: Due) -> Iterator[tuple[str, str, int | None]]:
    if due.per == "facility":
        for facility in case.facilities:
            readings = case.book.energy.get(facility, []) if due.stream == "energy" else []
            yield case.agreement.facilities[facility].meter, f"{due.stream} of {facility}", _first(case, readings)
        return
    for party in case.agreement.holders(due.role):
        yield party, due.stream, _first(case, case.window_book.closes.get(party, []) if due.stream == "close" else [])


def _first(case: Case, filed: Sequence[Filed[C]]) -> int | None:
    """The first that came after the window's end: what is said before it counts nothing of what is still to come."""
    return next((each.index for each in filed if each.by >= case.end), None)


@rule("COV-4")
def usage_carries_every_head(case: Case) -> Iterator[Said]:
    """[COV-4] A usage statement MUST carry the head of each of its lab's streams accession, corrections, declarations,
    models and runs, zero included.

    Why: a stream without a head could lose its tail unnoticed.

    Cannot see: whether the lab counted truly; a head too low hides only what the lab itself hides.
    """
    for versions in case.book.usage.values():
        for filed in versions:
            said = {head.stream for head in filed.claim.heads if head.party == case.lab}
            missing = sorted(set(LAB_STREAMS) - said)
            if missing:
                yield violated(f"usage of {filed.claim.facility} has no head of {', '.join(missing)}", filed.index)
            else:
                yield holds(f"usage of {filed.claim.facility} carries every head", filed.index)


@rule("COV-5")
def closes_carry_every_head(case: Case) -> Iterator[Said]:
    """[COV-5] A close MUST carry the head of each stream in which its party, or a body it sits in, can act against a
    lab or for it, and that of an overseer the head of every lab's accessions, zero included.

    Why: as COV-4, for orders, results, readings and receipts. A lab's accession can bind others, so others count it.

    Cannot see: streams that the agreement does not foresee.
    """
    memo = case.window_book.memo
    if "COV-5" not in memo:
        memo["COV-5"] = list(_closes(case.agreement, case.window_book))
    yield from memo["COV-5"]


def _closes(agreement: Agreement, book: WindowBook) -> Iterator[Said]:
    for party, filings in book.closes.items():
        required = set(required_heads(agreement, party))
        for filed in filings:
            missing = required - {(head.party, head.stream) for head in filed.claim.heads}
            if missing:
                names = ", ".join(f"{owner}:{stream}" for owner, stream in sorted(missing))
                yield unproven(f"the close of {party} has no head of {names}", filed.index)
            else:
                yield holds(f"the close of {party} carries every head", filed.index)


def required_heads(agreement: Agreement, party: str) -> list[tuple[str, str]]:
    """(party, stream) of every head that a close of `party` must carry."""
    roles = agreement.principals[party].roles
    heads = [(party, "capability")] if "evaluator" in roles else []
    if party in agreement.bodies[OVERSEERS].members:
        heads += [(OVERSEERS, "orders"), *((lab, "accession") for lab in agreement.labs)]
    if "meter" in roles:
        heads += [(party, f"energy/{f.id}") for f in agreement.document.facilities if f.meter == party]
    if "intake" in roles:
        heads.append((party, Received.stream))
    return heads


@rule("COV-6")
def nobody_else_hides_a_number(case: Case) -> Iterator[Said]:
    """[COV-6] The streams of every party that is no lab, bodies included, MUST hold every statement up to the heads in
    the closes of that party or of the body's members, and have no number missing below one that is there.

    Why: as COV-2. Whom the missing statement is about cannot be known, so it caps every lab.

    Cannot see: a statement after the last head, until the next window is closed.
    """
    yield from _gaps([gap for gap in case.gaps if gap.party not in case.agreement.labs], "other parties")


def _gaps(gaps: list[Gap], whose: str) -> Iterator[Said]:
    for gap in gaps:
        evidence = (gap.index,) if gap.index >= 0 else ()
        yield unproven(f"number {gap.sequence} of {gap.party}'s {gap.stream} is missing from the ledger", *evidence)
    if not gaps:
        yield holds(f"no gap in the streams of {whose}")


@rule("TIM-1")
def due_statements_are_in_time(case: Case) -> Iterator[Said]:
    """[TIM-1] A due statement of a lab MUST be in the ledger after its window ends and within filing_seconds of that.

    Why: evidence must come before it is useless, and no one can account for a week that is not over. Time is the
    ledger's own: the marks before and after the entry.

    A statement that intake parties were handed in time is in time.

    Cannot see: whether the lab was slow or the log was, where no intake receipt exists; nor the time between two marks.
    """
    deadline = case.deadlines[0]
    for due in _due(case, "lab"):
        for facility in case.facilities:
            filed = filed_by_lab(case, due.stream, facility)
            if filed and filed[0].by < case.end:
                end = instant(case.end)
                yield violated(
                    f"{due.stream} of {facility}: in the ledger before the window's end at {end}", filed[0].index
                )
            elif filed:
                yield in_time(case, f"{due.stream} of {facility}", filed[0], deadline)


def in_time(case: Case, what: str, filed: Filed[Any], deadline: int) -> Said:
    """Judge one deadline by the receipts for an entry and its interval, and by nothing else."""
    received = case.received.get(filed.id)
    if received is not None and received.at <= deadline < filed.by:
        message = f"{what}: handed in by {instant(received.at)}, due {instant(deadline)}"
        return holds(message, filed.index, *received.entries)
    if filed.by <= deadline:
        return holds(f"{what}: witnessed by {instant(filed.by)}, due {instant(deadline)}", filed.index)
    if filed.not_yet is not None and filed.not_yet > deadline and case.uncounted:
        parties = ", ".join(case.uncounted)
        return unproven(f"{what}: late in the ledger, but {parties} may have been handed it in time", filed.index)
    if filed.not_yet is not None and filed.not_yet > deadline:
        return violated(f"{what}: not yet witnessed at {instant(filed.not_yet)}, due {instant(deadline)}", filed.index)
    since = instant(filed.not_yet) if filed.not_yet is not None else "the beginning"
    return unproven(
        f"{what}: came between {since} and {instant(filed.by)}, due {instant(deadline)} between them", filed.index
    )
