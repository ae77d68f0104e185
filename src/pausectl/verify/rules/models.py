# SPDX-License-Identifier: Apache-2.0
"""Weights and what they can do: no new model out of nowhere, none above a ceiling, none served unseen."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from pausectl.agreement.lifecycle import State
from pausectl.agreement.types import seconds
from pausectl.history.records import Case, Filed
from pausectl.predicates.capability import Capability
from pausectl.predicates.model import Model
from pausectl.verify.rules.base import Said, holds, not_applicable, rule, unproven, violated


@rule("MOD-1")
def new_weights_come_from_registered_runs(case: Case) -> Iterator[Said]:
    """[MOD-1] A model that enters the registry while its lab is PAUSED MUST come from a run that is registered.

    Why: during a pause the set of models is frozen but for what was announced.

    Cannot see: weights that are never shown.
    """
    if case.state is not State.PAUSED or not case.book.models:
        yield not_applicable("no model entered the registry during a pause")
        return
    for filed in case.book.models:
        run = case.record.runs.get(filed.claim.training_run or "")
        name = filed.claim.weights_root[:12]
        if run is not None and run.registered:
            yield holds(f"model {name}… comes from {filed.claim.training_run}", filed.index, run.registered[0].index)
        elif filed.claim.training_run is not None and not _counted(case, filed):
            yield unproven(f"model {name}…: the registration of its run may be missing from the ledger", filed.index)
        else:
            yield violated(f"model {name}… comes from no registered run", filed.index)


def _counted(case: Case, filed: Filed[Model]) -> bool:
    """Whether the lab has since said how many runs it registered, and none of them is missing."""
    later = any(usage.index > filed.index for versions in case.book.usage.values() for usage in versions)
    return later and not any(gap.party == case.lab and gap.stream == "runs" for gap in case.gaps)


@rule("CPB-1")
def results_are_below_their_ceiling(case: Case) -> Iterator[Said]:
    """[CPB-1] The lower confidence bound of a capability result MUST NOT exceed the ceiling that the state in force
    sets for its evaluation.

    Why: a pause may limit what models can do as well as what they cost. A ceiling between the two bounds leaves it
    UNPROVEN, and so does a score beyond the range in which the evaluation measures.

    Cannot see: capability that was not elicited, or hidden from the evaluator.
    """
    ceilings = {(c.eval_id, c.eval_version): Fraction(c.ceiling) for c in case.limits.capability} if case.limits else {}
    judged = [f for f in case.book.capability if (f.claim.eval_id, f.claim.eval_version) in ceilings]
    for filed in judged:
        yield _below(filed, ceilings[filed.claim.eval_id, filed.claim.eval_version])
    if not judged:
        yield not_applicable("no result for an evaluation with a ceiling")


def _below(filed: Filed[Capability], ceiling: Fraction) -> Said:
    claim = filed.claim
    score = f"{claim.score} [{claim.ci_low}, {claim.ci_high}]"
    said = f"{claim.eval_id} {claim.eval_version} of {claim.model[:12]}…: {score}, ceiling {float(ceiling):g}"
    low, score_of, high = (Fraction(text) for text in (claim.ci_low, claim.score, claim.ci_high))
    if not low <= score_of <= high:
        return unproven(f"{said}; its bounds do not hold its score", filed.index)
    if low > ceiling:
        return violated(said, filed.index)
    if score_of > Fraction(claim.validity_ceiling):
        return unproven(f"{said}; above {claim.validity_ceiling} it does not measure", filed.index)
    return holds(said, filed.index) if high <= ceiling else unproven(said, filed.index)


@rule("CPB-2")
def served_models_are_evaluated(case: Case) -> Iterator[Said]:
    """[CPB-2] Every registered model that a lab serves MUST have a capability result while the state in force sets a
    ceiling.

    Why: no result is not a low result.

    Cannot see: whether the weights served are the weights registered; nor whether the result is of the evaluation that
    has the ceiling.
    """
    served = [
        f
        for f in case.record.models.values()
        if f.claim.served_since_at and seconds(f.claim.served_since_at) < case.end
    ]
    if not case.limits or not case.limits.capability or not served:
        yield not_applicable("no ceiling, or no served model")
        return
    results = {**case.record.evaluated, **{f.claim.model: f.index for f in case.book.capability}}
    for filed in served:
        result = results.get(filed.claim.weights_root)
        if result is None:
            yield unproven(f"no result for served model {filed.claim.weights_root[:12]}…", filed.index)
        else:
            yield holds(f"served model {filed.claim.weights_root[:12]}… was evaluated", filed.index, result)
