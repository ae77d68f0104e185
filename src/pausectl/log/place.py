# SPDX-License-Identifier: Apache-2.0
"""What fsck reads, all by the paths of tlog-tiles: a directory, a zip, a URL, a store.

A file that is absent is None; one that cannot be read, or that nobody could have published, is Malformed: both are
damage. Unavailable means that nobody can say, and ends the check: of a server that is gone, not every file is damaged.
"""

from __future__ import annotations

import errno
import os
import stat
import zipfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Protocol

from pausectl.errors import Malformed, UsageFault
from pausectl.history.source import MAX_FILE, ZipSource, capped
from pausectl.log.storage import config
from pausectl.wire import tile
from pausectl.wire.tile import Bundle, Tile

_PARTIAL = ".p"
_ABSENT = (errno.ENOENT, errno.ENOTDIR)
_GZIP = b"\x1f\x8b\x08"


class Place(Protocol):
    """Where the public files of one log lie."""

    name: str

    def read(self, path: str) -> bytes | None:
        """The bytes of a file, None if there is none; Malformed or Unavailable as said above."""

    def partials(self, whole: Tile | Bundle) -> list[int]:
        """Widths of the partial versions of a tile or bundle that lie there, as far as one can tell, rising."""

    def walk(self) -> Iterator[str]:
        """Paths of all files, as far as one can tell."""

    def register(self) -> bytes:
        """The newest checkpoint that was signed, as far as this place has it; b"" if it has not."""

    def close(self) -> None:
        """Let connections and files go."""


def open_place(word: str) -> Place:
    """The place that a user's word names; UsageFault if it names none."""
    if "://" in word:
        opened: Place = import_module("pausectl.log.behind").Behind(word)
        return opened
    path = Path(word)
    if lies_elsewhere(path):
        stored: Place = import_module("pausectl.log.stored").Stored(path)
        return stored
    if path.is_dir():
        return Directory(path)
    if path.is_file():
        return Zip(path)
    raise UsageFault("no such directory or bundle", where=word)


def lies_elsewhere(home: Path) -> bool:
    """Whether a directory is the home of a log whose files are in a database or a bucket."""
    return (home / "store.toml").is_file() and bool(config.read(home).objects)


class Directory:
    """A directory that a log writes and a web server may serve."""

    def __init__(self, root: Path) -> None:
        self.name = str(root)
        self._root = str(root)

    def read(self, path: str) -> bytes | None:
        """Read a file; of what is none, a pipe for example, nothing is read."""
        try:
            descriptor = os.open(f"{self._root}/{path}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise Malformed(f"cannot be read: {error.strerror}") from error
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise Malformed("is no file")
            if status.st_size > MAX_FILE:
                raise Malformed(f"has {status.st_size} bytes, more than any published file")
            return _whole(descriptor, status.st_size)
        except OSError as error:
            raise Malformed(f"cannot be read: {error.strerror}") from error
        finally:
            os.close(descriptor)

    def partials(self, whole: Tile | Bundle) -> list[int]:
        """What the directory of partial versions holds."""
        try:
            names = os.listdir(f"{self._root}/{whole.path}{_PARTIAL}")  # noqa: PTH208 - once for every tile
        except OSError:
            return []
        return _widths(names)

    def walk(self) -> Iterator[str]:
        """Everything but what a writer has not finished, or never will: that is nobody's to read and no damage."""
        for folder, _, names in os.walk(self._root):
            inside = os.path.relpath(folder, self._root)
            for name in names:
                if not (name.startswith(".") and name.endswith(".tmp")):
                    yield name if inside == "." else f"{inside}/{name}"

    def register(self) -> bytes:
        """It lies elsewhere."""
        return b""

    def close(self) -> None:
        """Nothing is held."""


class Zip:
    """A bundle: the same paths in a zip. It was made for a reader, so it holds nothing superseded."""

    def __init__(self, file: Path) -> None:
        self.name = str(file)
        self._source = ZipSource(file)
        with zipfile.ZipFile(file) as pocket:
            self._names = frozenset(pocket.namelist())

    def read(self, path: str) -> bytes | None:
        """Read a member."""
        return self._source.fetch(path) if path in self._names else None

    def partials(self, whole: Tile | Bundle) -> list[int]:
        """Those among the members."""
        return _widths(str(width) for width in range(1, tile.WIDTH) if f"{whole.path}{_PARTIAL}/{width}" in self._names)

    def walk(self) -> Iterator[str]:
        """The members."""
        return iter(sorted(self._names))

    def register(self) -> bytes:
        """Nobody packs it."""
        return b""

    def close(self) -> None:
        """Close the file."""
        self._source.close()


def packed(data: bytes) -> str:
    """What to say of a file that was compressed where it lies, as some storage does; else empty."""
    return ", and is compressed with gzip, which only a server can say" if data.startswith(_GZIP) else ""


def _widths(names: Iterator[str] | list[str]) -> list[int]:
    """Those names that are the width of a partial tile."""
    return sorted(int(name) for name in names if name.isdecimal() and name == str(int(name)) and 0 < int(name) < 256)


def _whole(descriptor: int, size: int) -> bytes:
    parts = []
    while part := os.read(descriptor, size + 1):
        parts.append(part)
    return capped(b"".join(parts), "")
