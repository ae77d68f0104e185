# SPDX-License-Identifier: Apache-2.0
"""Training runs: registered before they start, booked while they run, plausible when they are closed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pausectl.accounting import compute
from pausectl.agreement.document import Agreement
from pausectl.agreement.types import seconds
from pausectl.history.booked import booked
from pausectl.history.records import Case
from pausectl.predicates.base import TRAINING
from pausectl.predicates.run import Run
from pausectl.predicates.usage import Usage
from pausectl.verify.quantities import peak
from pausectl.verify.rules.base import Said, holds, not_applicable, rule, unproven, violated
from pausectl.verify.rules.coverage import in_time


@rule("RUN-1")
def runs_are_registered_before_they_start(case: Case) -> Iterator[Said]:
    """[RUN-1] A run MUST be registered in the ledger at least registration_lead_seconds before its start_at.

    Why: a run that is announced afterwards is a run that nobody could object to. The date in the statement proves
    nothing; the ledger's marks do.

    Cannot see: a run that is never registered; RUN-2 and RUN-3 look for its hours. Nor a run that begins before the
    start_at which its lab wrote down.
    """
    lead = case.agreement.document.deadlines.registration_lead_seconds
    found = False
    for filed in case.book.runs:
        record = case.record.runs[filed.claim.run_id]
        if filed.claim.status == "registered" and record.registered[0].index == filed.index:
            found = True
            yield in_time(case, f"registration of {filed.claim.run_id}", filed, seconds(filed.claim.start_at) - lead)
    if not found:
        yield not_applicable("no run was registered in this window")


@rule("RUN-2")
def time_is_booked_to_registered_runs(case: Case) -> Iterator[Said]:
    """[RUN-2] The operations that a lab books in a window to runs that are not registered, or whose registered start_at
    is not before that window's end, MUST stay below registration_pflop in sum.

    Why: a run is judged by its lineage, and an unregistered one has none; one that begins next year is not running.
    In sum, because sixty small names are one large run.

    Cannot see: training that is booked to no run, which is for RUN-3; nor at which hour of a window a run began.
    """
    now = booked(case.agreement, case.book.usage.values())
    evidence = tuple(filed.index for versions in case.book.usage.values() for filed in versions)
    loose = {}
    for run_id, amount in sorted(now.items()):
        record = case.record.runs.get(run_id)
        first = record.registered[0] if record and record.registered else None
        if first is not None and seconds(first.claim.start_at) < case.end:
            yield holds(f"{run_id}: registered to start at {first.claim.start_at}", *evidence, first.index)
        else:
            loose[run_id] = amount
    if loose:
        yield _loose(case, loose, evidence)
    elif not now:
        yield not_applicable("no time is booked to a run")


def _loose(case: Case, loose: Mapping[str, int], evidence: tuple[int, ...]) -> Said:
    threshold = case.agreement.document.statistics.registration_pflop
    pflop = compute.ceil(compute.pflop(sum(loose.values()), case.agreement.document.mfu.caps.value))
    names = ", ".join([*loose][:5]) + (f" and {len(loose) - 5} more" if len(loose) > 5 else "")
    said = (
        f"{pflop:,} pflop booked to runs that are not registered, or not to start yet ({names}); {threshold:,} allowed"
    )
    if pflop < threshold:
        return holds(said, *evidence)
    if any(gap.party == case.lab and gap.stream == "runs" for gap in case.gaps):
        return unproven(f"{said}; a registration may be missing from the ledger", *evidence)
    return violated(said, *evidence)


@rule("RUN-3")
def training_is_booked(case: Case) -> Iterator[Said]:
    """[RUN-3] The training operations that a lab files for a facility and books to no run, counted for each sku and
    precision, MUST stay below registration_pflop in a window, and so must what it books beyond the training it files.

    Why: otherwise the whole of a large run could be filed as training of nothing in particular, or hidden behind
    bookings of time that never was.

    Cannot see: how many small runs share the rest.
    """
    threshold = case.agreement.document.statistics.registration_pflop
    caps = case.agreement.document.mfu.caps.value
    for facility in case.facilities:
        versions = case.book.usage.get(facility, [])
        if not versions:
            yield unproven(f"{facility}: no usage statement")
            continue
        usage = versions[-1]
        loose, beyond = (
            compute.ceil(compute.pflop(amount, caps)) for amount in _unmatched(case.agreement, usage.claim)
        )
        said = (
            f"{facility}: {loose:,} pflop of training without a run, {beyond:,} booked without training; less than "
            f"{threshold:,} of each allowed"
        )
        wrong = loose >= max(threshold, 1) or beyond >= max(threshold, 1)
        yield violated(said, usage.index) if wrong else holds(said, usage.index)


def _unmatched(agreement: Agreement, usage: Usage) -> tuple[int, int]:
    """(training that is booked to no run, bookings that no training stands behind), in 10^9 operations at peak."""
    open_seconds: dict[tuple[str, str | None], int] = {}
    for work in usage.work:
        if work.category in TRAINING:
            place = (work.sku, work.precision)
            open_seconds[place] = open_seconds.get(place, 0) + work.accelerator_seconds
    for booking in usage.bookings:
        at = (booking.sku, booking.precision)
        open_seconds[at] = open_seconds.get(at, 0) - booking.accelerator_seconds
    gflops = [amount * peak(agreement, *place) for place, amount in open_seconds.items()]
    return sum(amount for amount in gflops if amount > 0), -sum(amount for amount in gflops if amount < 0)


@rule("RUN-4")
def closed_runs_are_plausible(case: Case) -> Iterator[Said]:
    """[RUN-4] The utilisation that a closed run implies at its attested precision MUST NOT exceed mfu.strict, and is
    unproven above mfu.plausible.

    Why: more operations than the hardware can do are not true. Precision belongs to the claim: an honest FP8 run is
    at 74 % of the BF16 peak.

    Cannot see: operations that are under-stated; ENG-2 looks at those.
    """
    found = False
    for filed in case.book.runs:
        if filed.claim.status == "closed":
            found = True
            yield _plausible(case, filed.claim, filed.index)
    if not found:
        yield not_applicable("no run was closed in this window")


def _plausible(case: Case, run: Run, index: int) -> Said:
    available = (run.actual_accelerator_seconds or 0) * peak(case.agreement, run.sku, run.precision)
    if run.actual_pflop is None or not available:
        return unproven(f"{run.run_id}: closed without operations, time, or a known peak of {run.sku}", index)
    implied = compute.utilisation(run.actual_pflop, available)
    mfu = case.agreement.document.mfu
    said = f"{run.run_id}: {float(implied):.3f} of the {run.precision} peak of {run.sku}"
    if implied > mfu.strict.value:
        return violated(f"{said}, more than it can do", index)
    return holds(said, index) if implied <= mfu.plausible.value else unproven(f"{said}, to be explained", index)
