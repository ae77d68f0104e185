# SPDX-License-Identifier: Apache-2.0
"""capability/v1: an independent evaluator's result on one model (F-09)."""

from __future__ import annotations

from typing import ClassVar

from pausectl.agreement.types import Count, Decimal, Digest, Id, Name, Positive
from pausectl.predicates.base import Header, Predicate, predicate
from pausectl.wire.statement import Subject


@predicate
class Capability(Predicate):
    """score with its confidence bounds. validity_ceiling: above it the evaluation no longer measures."""

    name: ClassVar[str] = "capability"
    role: ClassVar[str] = "evaluator"
    stream: ClassVar[str] = "capability"

    ci_high: Decimal
    ci_low: Decimal
    elicitation_budget_pflop: Count
    eval_id: Id
    eval_version: Name
    header: Header
    lab: Id
    log_digest: Digest
    model: Digest
    sample_count: Positive
    scaffold_digest: Digest
    score: Decimal
    validity_ceiling: Decimal

    def subject(self) -> Subject:
        """The weights that were evaluated."""
        return Subject("weights", self.model)
