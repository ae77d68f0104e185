# SPDX-License-Identifier: Apache-2.0
"""The second memory of a log: the last checkpoint it signed, in a file that does not lie where the log does.

A store that is restored from a backup is an old copy of everything, register and public files alike, and nothing in it
says so. Witnesses would; this file says it first, and where there are no witnesses yet.
"""

from __future__ import annotations

from pathlib import Path

from pausectl.durable import Disk
from pausectl.errors import Unavailable


class SecondMemory:
    """One file, which is made once and then only replaced."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self.path = path
        self._disk = disk

    def create(self) -> None:
        """Make it, with nothing in it; one that is there already stays, since it may remember."""
        if not self.path.exists():
            self.write(b"")

    def read(self) -> bytes:
        """The checkpoint; Unavailable if the file is missing, since nobody knows then what it held."""
        try:
            return self.path.read_bytes()
        except OSError as error:
            hint = "mount or restore it; only if it is lost for good, make an empty file there"
            told = f"the log's second memory cannot be read: {error.strerror}"
            raise Unavailable(told, where=str(self.path), hint=hint) from error

    def write(self, raw: bytes) -> None:
        """Remember a checkpoint, durably."""
        try:
            self._disk.put(self.path, raw, 0o600)
        except OSError as error:
            told = f"the log's second memory cannot be written: {error.strerror}"
            raise Unavailable(told, where=str(self.path)) from error
