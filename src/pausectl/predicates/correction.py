# SPDX-License-Identifier: Apache-2.0
"""correction/v1: why a later statement replaces an earlier one (F-22). Nothing is taken back; both stay and count."""

from __future__ import annotations

from typing import ClassVar

from pausectl.agreement.types import Digest, Instant, Text
from pausectl.predicates.base import Header, Predicate, predicate
from pausectl.wire.statement import Subject


@predicate
class Correction(Predicate):
    """supersedes, replacement: statement ids of the two filings for the same stream and window."""

    name: ClassVar[str] = "correction"
    role: ClassVar[str] = "lab"
    stream: ClassVar[str] = "corrections"
    windowed: ClassVar[bool] = True

    discovered_at: Instant
    header: Header
    impact: Text
    reason: Text
    replacement: Digest
    supersedes: Digest

    def subject(self) -> Subject:
        """The statement that is replaced."""
        return Subject("statement", self.supersedes)
