# SPDX-License-Identifier: Apache-2.0
"""Limits of the state in force: total compute, training compute, compute of one lineage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from pausectl.accounting import compute
from pausectl.history.booked import booked
from pausectl.history.records import Case, RunRecord
from pausectl.predicates.base import TRAINING
from pausectl.predicates.model import Model
from pausectl.verify.quantities import ACTIVE, Amount, largest
from pausectl.verify.rules.base import Said, holds, not_applicable, rule, unproven, violated

_Z = 1.6449  # one-sided 95 %: the margin given to a run's own stated uncertainty (specs/verification.md, CAP-3)


@rule("CAP-1")
def total_compute_is_within_its_limit(case: Case) -> Iterator[Said]:
    """[CAP-1] The operations of a lab in all categories but idle, maintenance, sealed and leased_out MUST NOT exceed
    total_pflop of the state in force, in any window.

    Why: labels are the weakest evidence. A limit on everything that computes catches training under another name.

    Cannot see: accelerators that are in no filing, and work that keeps under the limit.
    """
    yield _capped(case, largest(case, ACTIVE), case.limits.total_pflop if case.limits else None, "total compute")


@rule("CAP-2")
def training_compute_is_within_its_limit(case: Case) -> Iterator[Said]:
    """[CAP-2] The operations of a lab in the categories pretrain, posttrain_sft, rl_rollout, rl_update and distill MUST
    NOT exceed training_pflop of the state in force, in any window.

    Why: it is what a pause of training means.

    Cannot see: training that is filed under another label; CAP-1 bounds how much that can be.
    """
    yield _capped(
        case, largest(case, TRAINING), case.limits.training_pflop if case.limits else None, "training compute"
    )


def _capped(case: Case, amount: Amount, limit: int | None, what: str) -> Said:
    if limit is None:
        return not_applicable(f"{what}: no limit in state {case.state}")
    caps = case.agreement.document.mfu.caps
    basis = f"at MFU {float(caps.value):g} of the attested precision's peak"
    said = f"{what}: {amount.pflop:,} pflop of {limit:,} allowed in {case.state} ({basis})"
    if amount.pflop > limit:
        return violated(said, *amount.entries)
    if amount.missing:
        known = f"{said}, and no usage statement" if amount.entries else f"{what}: no usage statement"
        return unproven(f"{known} of {', '.join(amount.missing)}", *amount.entries)
    if amount.unknown:
        return unproven(f"{said}, without {', '.join(amount.unknown)}, for which no peak is agreed", *amount.entries)
    return holds(said, *amount.entries)


@rule("CAP-3")
def lineages_are_within_their_limit(case: Case) -> Iterator[Said]:
    """[CAP-3] The operations of a lineage to which a lab books time in a window MUST NOT exceed run_pflop of the state
    in force, counted from the lineage's beginning over all its runs.

    Why: a run that is cut into pieces is still one run. Runs that share a parent model, or both code and data, or of
    which one goes on from the other's weights, count together.

    Cannot see: fragments whose common origin is not declared.
    """
    limit = case.limits.run_pflop if case.limits else None
    now = booked(case.agreement, case.book.usage.values())
    if limit is None:
        yield not_applicable(f"lineages: no limit in state {case.state}")
        return
    if not now:
        yield not_applicable("no time is booked to a run")
        return
    for lineage in lineages(case.record.runs, (filed.claim for filed in case.record.models.values())):
        if not now.keys() & lineage:
            continue
        yield _lineage(case, lineage, now, limit)


def _lineage(case: Case, lineage: frozenset[str], now: dict[str, int], limit: int) -> Said:
    records = [case.record.runs.get(run, RunRecord()) for run in sorted(lineage)]
    gflops = sum(record.booked_gflop for record in records) + sum(now.get(run, 0) for run in lineage)
    derived = compute.ceil(compute.pflop(gflops, case.agreement.document.mfu.caps.value))
    closed = [max((f.claim for f in r.closed), key=lambda claim: claim.actual_pflop or 0) for r in records if r.closed]
    actual = sum(claim.actual_pflop or 0 for claim in closed)
    margin = _Z * sum((claim.actual_uncertainty_pflop or 0) ** 2 for claim in closed) ** 0.5
    entries = tuple(filed.index for record in records for filed in (*record.registered, *record.closed))
    evidence = (*entries, *(filed.index for versions in case.book.usage.values() for filed in versions))
    booked_and_closed = f"{derived:,} pflop by booked time, {actual:,} ± {margin:,.0f} as closed"
    said = f"lineage {' + '.join(sorted(lineage))}: {booked_and_closed}, of {limit:,}"
    if derived > limit or actual - margin > limit:
        return violated(said, *evidence)
    return holds(said, *evidence) if actual + margin <= limit else unproven(said, *evidence)


def lineages(runs: Mapping[str, RunRecord], models: Iterable[Model]) -> list[frozenset[str]]:
    """Groups of runs that count as one.

    Two runs belong together if they share a parent model, or code and data, or if one made weights, or weights that
    were derived from, that the other starts from.
    """
    groups: list[tuple[set[str], set[str]]] = []
    for members, marks in (*map(_of_run, runs.items()), *map(_of_model, models)):
        touching = [group for group in groups if group[1] & marks]
        groups = [group for group in groups if not group[1] & marks]
        joined = members.union(*(m for m, _ in touching)), marks.union(*(k for _, k in touching))
        groups.append(joined)
    return [frozenset(members) for members, _ in groups if members]


def _of_run(item: tuple[str, RunRecord]) -> tuple[set[str], set[str]]:
    run_id, record = item
    marks = {f"run {run_id}"}
    for filed in (*record.registered, *record.closed):
        marks |= {f"weights {parent}" for parent in filed.claim.parent_models}
        marks |= {f"code {filed.claim.code_commit} on {data}" for data in filed.claim.dataset_digests}
    return {run_id}, marks


def _of_model(model: Model) -> tuple[set[str], set[str]]:
    made_by = {f"run {model.training_run}"} if model.training_run else set()
    return set(), {f"weights {root}" for root in (model.weights_root, *model.parents)} | made_by
