# SPDX-License-Identifier: Apache-2.0
"""Where a ledger lies: a directory, a zip or a URL, all read by the same paths (`checkpoint`, `tile/…`).

With `web`, which is loaded for a URL only, all the I/O of the reading side. Nothing here trusts what it reads: sizes
are capped before memory is spent, no redirect is followed, and every path comes from `wire.tile`, never from data.
"""

from __future__ import annotations

import zipfile
import zlib
from importlib import import_module
from pathlib import Path
from typing import Protocol

from pausectl.errors import Malformed, Unavailable, UsageFault
from pausectl.registry import enforces

#: A full entry bundle: 256 entries of 65,535 bytes and their lengths.
MAX_FILE = 256 * (65_535 + 2)
MAX_ZIP_MEMBERS = 2_000_000

#: Methods of which a little is unpacked at a time; the others fill memory before they can be stopped.
_SMALL_STEPS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class Source(Protocol):
    """One log's public files. `fetch` raises Unavailable for a path that is not there; it never returns part of one."""

    name: str

    def fetch(self, path: str) -> bytes:
        """The bytes at a path relative to the log's root."""


class DirectorySource:
    """A directory as the log writes it."""

    def __init__(self, root: Path) -> None:
        self.name = str(root)
        self._root = root

    def fetch(self, path: str) -> bytes:
        """Read a file; larger than any published one is Malformed."""
        try:
            with (self._root / path).open("rb") as file:
                data = file.read(MAX_FILE + 1)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise Unavailable("no such file in this log", where=str(self._root / path)) from error
        except OSError as error:
            raise Unavailable(f"cannot be read: {error.strerror}", where=str(self._root / path)) from error
        return capped(data, f"{self._root / path}")


class ZipSource:
    """A bundle: the same paths in a zip (`history.bundle`)."""

    @enforces("READ-6")
    def __init__(self, file: Path) -> None:
        """Open a bundle.

        [READ-6] A reader MUST refuse a zip in which a path occurs twice.
        """
        self.name = str(file)
        try:
            self._zip = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise Malformed(f"expected a bundle in zip format: {error}", where=self.name) from error
        names = self._zip.namelist()
        if len(names) > MAX_ZIP_MEMBERS or len(set(names)) != len(names):
            raise Malformed("expected each path once in the bundle", where=self.name)

    def fetch(self, path: str) -> bytes:
        """Read a member, never more than the cap, whatever its header says."""
        where = f"{self.name}: {path}"
        try:
            member = self._zip.getinfo(path)
            if member.compress_type not in _SMALL_STEPS:
                raise Malformed("expected a file that is stored or deflated", where=where)
            with self._zip.open(member) as opened:
                return capped(opened.read(MAX_FILE + 1), where)
        except KeyError as error:
            raise Unavailable("no such file in this bundle", where=where) from error
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            OSError,
            RuntimeError,
            NotImplementedError,
            ValueError,
        ) as error:
            raise Malformed(f"damaged bundle: {error}", where=where) from error

    def close(self) -> None:
        """Close the file."""
        self._zip.close()


def capped(data: bytes, where: str) -> bytes:
    """The data, if no published file could be larger."""
    if len(data) > MAX_FILE:
        raise Malformed(f"expected at most {MAX_FILE} bytes", where=where)
    return data


def open_source(place: str, *, offline: bool = False) -> Source:
    """The source that a user's word names: `https://…`, a directory, or a `.zip`."""
    if "://" in place:
        scheme = place.partition("://")[0].lower()
        if scheme not in ("http", "https"):
            raise UsageFault(f"expected http or https, found {scheme}", where=place)
        if offline:
            raise UsageFault("a URL cannot be read with --offline", where=place, hint="make a bundle first")
        opened: Source = import_module("pausectl.history.web").UrlSource(place)
        return opened
    path = Path(place)
    if place and path.is_dir():
        return DirectorySource(path)
    if path.is_file():
        return ZipSource(path)
    raise UsageFault("no such directory or bundle", where=place)
