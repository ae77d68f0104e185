# SPDX-License-Identifier: Apache-2.0
"""checkpoint/v1: the mark, a cosigned checkpoint of this log as an entry of it. It is how the ledger tells time."""

from __future__ import annotations

import hashlib
from typing import Annotated, ClassVar

from pydantic import StringConstraints

from pausectl.predicates.base import Header, Predicate, predicate
from pausectl.wire.statement import Subject

NoteText = Annotated[str, StringConstraints(min_length=1, max_length=47_104)]


@predicate
class Mark(Predicate):
    """checkpoint: the signed note with the log's lines and those of a minimal quorum of witnesses.

    Authenticated by those cosignatures and not by whoever submits it.
    """

    name: ClassVar[str] = "checkpoint"
    role: ClassVar[str] = "log"
    stream: ClassVar[str] = "marks"

    checkpoint: NoteText
    header: Header

    def subject(self) -> Subject:
        """The note."""
        return Subject("checkpoint", hashlib.sha256(self.checkpoint.encode()).hexdigest())
