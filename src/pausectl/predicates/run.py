# SPDX-License-Identifier: Apache-2.0
"""run/v1: a training run, registered before it starts and closed when it is over (F-07, F-15)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pausectl.agreement.types import Count, Digest, Id, Instant, Name, Positive
from pausectl.predicates.base import Header, Precision, Predicate, predicate


@predicate
class Run(Predicate):
    """status registered: a plan, with the members named actual_* null. status closed: what happened.

    Runs that share a parent, or both code and data, are one lineage. actual_uncertainty_pflop: one standard deviation.
    """

    name: ClassVar[str] = "run"
    role: ClassVar[str] = "lab"
    stream: ClassVar[str] = "runs"

    accelerator_count: Positive
    actual_accelerator_seconds: Count | None
    actual_pflop: Count | None
    actual_uncertainty_pflop: Count | None
    code_commit: Name
    dataset_digests: tuple[Digest, ...]
    end_at: Instant
    header: Header
    method: Literal["hardware", "architecture"]
    parent_models: tuple[Digest, ...]
    planned_pflop: Count
    precision: Precision
    run_id: Id
    sku: Id
    start_at: Instant
    status: Literal["registered", "closed"]
