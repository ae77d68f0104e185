# SPDX-License-Identifier: Apache-2.0
"""The checkpoint that readers begin with: which one it is to be, and that it only ever moves forward."""

from __future__ import annotations

from collections.abc import Callable

from pausectl.errors import PausectlError, Refused, Unavailable
from pausectl.log.storage.seams import Store
from pausectl.registry import enforces
from pausectl.wire.checkpoint import Checkpoint
from pausectl.wire.note import Note

#: How often another process may be quicker.
PATIENCE = 32

#: Whether a signed checkpoint has what readers ask for besides the log's signature.
Quorate = Callable[[bytes], bool]


class Shown:
    """The public register as this process saw it last. raw: b"" before there is one. seen: what it says."""

    def __init__(self, store: Store, opened: Callable[[bytes], Checkpoint], quorate: Quorate) -> None:
        self._register, self._exclusive = store.public, store.exclusive
        self._opened = opened
        self._quorate = quorate
        self.raw, self.seen = b"", None  # type: bytes, Checkpoint | None

    @property
    def size(self) -> int:
        """How many entries readers see."""
        return self.seen.size if self.seen else 0

    def look(self) -> None:
        """See what is published; Refused if it is no checkpoint of this log."""
        raw = self._register.read()
        try:
            self.raw, self.seen = raw, self._opened(raw) if raw else None
        except PausectlError as error:
            hint = "move it away, and the one in the head register is published again"
            raise Refused(f"the published checkpoint is damaged: {error}", hint=hint) from error

    def follow(self, head: bytes, size: int, *, again: bool = False) -> None:
        """Publish the newest signed checkpoint if it is due. again: write what is due even if it is there."""
        for _ in range(PATIENCE):
            due = self._due(head, size)
            if due == self.raw and not again:
                return
            if not due or self._swapped(due):
                return
        raise Unavailable("other processes publish checkpoints faster than this one")

    @enforces("LOG-28")
    def replace(self, signed: Note, size: int) -> None:
        """Publish the newest checkpoint, of `size`, with more signatures than the log's.

        [LOG-28] A log MUST NOT replace its published checkpoint by one of a smaller size.

        One of a larger size, which another process published, stays.
        """
        for _ in range(PATIENCE):
            if self.size > size:
                return
            if self._quorate(self.raw) and not self._quorate(signed.raw):
                raise Refused("the checkpoint lacks the quorum that the published one has")
            if self._swapped(signed.raw):
                return
        raise Unavailable("other processes publish checkpoints faster than this one")

    @enforces("LOG-24")
    def _due(self, head: bytes, size: int) -> bytes:
        """The checkpoint that is to be published where `raw` is now, and `head` is the newest.

        [LOG-24] A log that published a checkpoint with its agreement's quorum of cosignatures MUST NOT publish any
        other in its place but one with a quorum, of the same size or larger.

        Readers refuse a checkpoint without, so a log that showed its newest one at once could be read by nobody from
        each commit to the next quorum. A log that never had a quorum shows what it signed.
        """
        keep = self.seen is not None and (self.seen.size >= size or self._quorate(self.raw))
        return self.raw if keep else head

    def _swapped(self, due: bytes) -> bool:
        """Publish; False, and what is published now has been seen, if another process was quicker."""
        try:
            self._register.swap(self.raw, due)
        except Refused:
            if self._exclusive:
                raise
            self.look()
            return False
        self.raw, self.seen = due, self._opened(due)
        return True
