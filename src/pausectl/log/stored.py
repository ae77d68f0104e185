# SPDX-License-Identifier: Apache-2.0
"""A log to check that lies in a database or a bucket, as its HOME says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pausectl.durable import Disk
from pausectl.log.storage import config
from pausectl.log.storage.seams import Absent
from pausectl.wire.tile import CHECKPOINT_PATH, Bundle, Tile


class Stored:
    """The public files in a store, which tells nobody what else it has."""

    def __init__(self, home: Path) -> None:
        self.name = str(home)
        self._store = config.open(home, config.read(home), Disk())

    def read(self, path: str) -> bytes | None:
        """Get an object, or the published checkpoint."""
        if path == CHECKPOINT_PATH:
            return self._store.public.read() or None
        try:
            return self._store.objects.get(path)
        except Absent:
            return None

    def register(self) -> bytes:
        """The newest checkpoint that was signed."""
        return self._store.head.read()

    def partials(self, whole: Tile | Bundle) -> list[int]:  # noqa: ARG002
        """Nobody can tell."""
        return []

    def walk(self) -> Iterator[str]:
        """Nobody can tell."""
        return iter(())

    def close(self) -> None:
        """Close all connections."""
        self._store.close()
