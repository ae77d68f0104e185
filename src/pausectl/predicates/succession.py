# SPDX-License-Identifier: Apache-2.0
"""succession/v1: a log goes on where another one ended, with that one's last checkpoint."""

from __future__ import annotations

import hashlib
from typing import ClassVar

from pausectl.agreement.types import Count
from pausectl.predicates.base import Header, Predicate, predicate
from pausectl.predicates.checkpoint import NoteText
from pausectl.wire.statement import Subject


@predicate
class Succession(Predicate):
    """before_count: entries of all logs before this one. checkpoint: as in a mark, of the log just before it.

    Authenticated by the cosignatures in it, and by standing as entry 1 of the log that its header names.
    """

    name: ClassVar[str] = "succession"
    role: ClassVar[str] = "log"
    stream: ClassVar[str] = "succession"

    before_count: Count
    checkpoint: NoteText
    header: Header

    def subject(self) -> Subject:
        """The note."""
        return Subject("checkpoint", hashlib.sha256(self.checkpoint.encode()).hexdigest())
