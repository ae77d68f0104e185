# SPDX-License-Identifier: Apache-2.0
"""One log through several pairs of eyes: what its witnesses and other mirrors were shown, against what is held here.

    comparison = Comparison(mirror, sources)
    comparison.look()       {"http://witness.example": "shows 12 entries, of which the log shows 9"}, or SplitView

Each of them serves what it cosigned last at `<hex SHA-256 of the origin>/checkpoint`. What is not larger than the copy
is compared with it at once; what is larger waits, across restarts, until the copy has grown as far.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from pausectl.errors import PausectlError, SplitView
from pausectl.history.source import Source
from pausectl.mirror.follow import Mirror
from pausectl.registry import enforces
from pausectl.wire import note
from pausectl.wire.checkpoint import Checkpoint
from pausectl.wire.tile import CHECKPOINT_PATH

#: Checkpoints that wait, at most. Only the log can sign more, and it would have to sign ahead of what it shows.
MAX_WAITING = 64


def place(origin: str) -> str:
    """Where witnesses and mirrors keep a log's files: below the SHA-256 of its origin, in hexadecimal."""
    return hashlib.sha256(origin.encode()).hexdigest()


class Comparison:
    """A mirror and those it is compared with."""

    def __init__(self, mirror: Mirror, sources: Sequence[Source]) -> None:
        """sources: by their monitoring prefixes, as they are without the hash of the origin."""
        self._mirror = mirror
        self._sources = sources
        self._path = f"{place(mirror.trust.origin)}/{CHECKPOINT_PATH}"

    def look(self) -> dict[str, str]:
        """Ask each of them once: name → what is to be said about it.

        SplitView, with evidence, if two contradict each other. All are asked before anything is raised, so that one
        that cannot be reached hides no other.
        """
        told: dict[str, str] = {}
        split: SplitView | None = None
        for source in self._sources:
            try:
                said = self._heard(source)
            except SplitView as error:
                split = split or error
                continue
            except PausectlError as error:
                said = str(error)
            if said:
                told[source.name] = said
        split = split or self._settled()
        if split is not None:
            raise split
        return told

    def _heard(self, source: Source) -> str:
        raw = source.fetch(self._path)
        try:
            seen = self._mirror.trust.signed(raw)
        except PausectlError as error:
            raise error.at(source.name) from error
        if seen.size > self._mirror.size:
            return self._ahead(source.name, seen, raw)
        self._agree(source.name, seen, raw)
        return ""

    @enforces("MIR-9")
    def _agree(self, where: str, seen: Checkpoint, raw: bytes) -> None:
        """Compare with what is held, which reaches as far.

        [MIR-9] A mirror that is shown a checkpoint of its log by somebody else MUST keep evidence if that is not the
        checkpoint of the beginning of the tree that it holds.
        """
        mirror = self._mirror
        if mirror.tiles.root(seen.size) != seen.root and mirror.held is not None:
            raise mirror.split((where, raw), (str(mirror.memory.home), mirror.held.raw), mirror.tiles.read)

    def _ahead(self, where: str, seen: Checkpoint, raw: bytes) -> str:
        """Keep what nothing here can be compared with yet, but what else waits at this size."""
        memory = self._mirror.memory
        waiting = memory.seen()
        for name, other in waiting.items():
            if self._mirror.trust.signed(other).size == seen.size and not name.endswith(seen.root.hex()):
                raise self._mirror.split((_where(other), other), (where, raw), self._mirror.tiles.read)
        name = f"{seen.size:020}-{seen.root.hex()}"
        if name not in waiting and len(waiting) < MAX_WAITING:
            memory.note_seen(name, raw)
        return f"{where}: shows {seen.size} entries, of which the log shows {self._mirror.size}"

    def _settled(self) -> SplitView | None:
        """Compare what waited and is within reach now; the first contradiction."""
        found: SplitView | None = None
        for name, raw in self._mirror.memory.seen().items():
            seen = self._mirror.trust.signed(raw)
            if seen.size > self._mirror.size:
                continue
            try:
                self._agree(_where(raw), seen, raw)
            except SplitView as split:
                found = found or split
            else:
                self._mirror.memory.forget_seen(name)
        return found


def _where(raw: bytes) -> str:
    """Whose cosignature a note carries, where its address is forgotten."""
    names = [line.name for line in note.parse(raw).signatures]
    return f"shown before, signed by {', '.join(names)}"
