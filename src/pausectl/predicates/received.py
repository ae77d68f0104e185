# SPDX-License-Identifier: Apache-2.0
"""received/v1: an intake party says when it was handed a statement, against a log that is slow or takes it never."""

from __future__ import annotations

from typing import ClassVar

from pausectl.agreement.types import Digest, Instant
from pausectl.predicates.base import Header, Predicate, predicate
from pausectl.wire.statement import Subject


@predicate
class Received(Predicate):
    """of: the header of what was handed in, so that it can be missed. statement: its id."""

    name: ClassVar[str] = "received"
    role: ClassVar[str] = "intake"
    stream: ClassVar[str] = "received"

    header: Header
    of: Header
    received_at: Instant
    statement: Digest

    def subject(self) -> Subject:
        """The statement that was handed in."""
        return Subject("statement", self.statement)
