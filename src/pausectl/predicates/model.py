# SPDX-License-Identifier: Apache-2.0
"""model/v1: a set of weights enters the registry (F-16)."""

from __future__ import annotations

from typing import ClassVar

from pausectl.agreement.types import Digest, Id, Instant
from pausectl.predicates.base import Header, Precision, Predicate, predicate
from pausectl.wire.statement import Subject


@predicate
class Model(Predicate):
    """weights_root: digest of the weights. training_run: the run that made them, null for a derivation without one."""

    name: ClassVar[str] = "model"
    role: ClassVar[str] = "lab"
    stream: ClassVar[str] = "models"

    created_at: Instant
    custody_log: Digest | None
    header: Header
    parents: tuple[Digest, ...]
    precision_variants: tuple[Precision, ...]
    served_since_at: Instant | None
    training_run: Id | None
    weights_root: Digest

    def subject(self) -> Subject:
        """The weights."""
        return Subject("weights", self.weights_root)
