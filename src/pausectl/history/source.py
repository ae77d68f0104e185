# SPDX-License-Identifier: Apache-2.0
"""Where a ledger lies: a directory, a zip or a URL, all read by the same paths (`checkpoint`, `tile/…`).

The only file of the reading side that does I/O. Nothing here trusts what it reads: sizes are capped before memory is
spent, no redirect is followed, and every path comes from `wire.tile`, never from data.
"""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
import zipfile
import zlib
from pathlib import Path
from typing import Protocol

from pausectl.errors import Malformed, Unavailable, UsageFault
from pausectl.registry import enforces

#: A full entry bundle: 256 entries of 65,535 bytes and their lengths.
MAX_FILE = 256 * (65_535 + 2)
MAX_ZIP_MEMBERS = 2_000_000
_TIMEOUT_SECONDS = 20
_HEADERS = {"Accept-Encoding": "gzip, identity", "User-Agent": "pausectl"}

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
        return _capped(data, f"{self._root / path}")


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
                return _capped(opened.read(MAX_FILE + 1), where)
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


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object, **__: object) -> None:
        """Answer a redirect as the error it is: a log's address is what the user said."""


class UrlSource:
    """A log behind any web server."""

    def __init__(self, url: str) -> None:
        self.name = url.rstrip("/")
        self._opener = urllib.request.build_opener(_NoRedirect)

    def fetch(self, path: str) -> bytes:
        """GET one path, gunzipping what a server compressed without being asked (C2SP tlog-tiles allows it)."""
        where = f"{self.name}/{path}"
        try:
            request = urllib.request.Request(where, headers=_HEADERS)  # noqa: S310 - `open_source` saw to the scheme
            with self._opener.open(request, timeout=_TIMEOUT_SECONDS) as answer:
                data = answer.read(MAX_FILE + 1)
                whole = not answer.length  # what Content-Length promised and did not come
                packed = answer.headers.get("Content-Encoding") == "gzip"
        except urllib.error.HTTPError as error:
            error.close()
            raise Unavailable(f"the server answered {error.code}", where=where) from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise Unavailable(f"cannot be reached: {error}", where=where) from error
        if not whole and len(data) <= MAX_FILE:
            raise Unavailable(f"the answer was cut off after {len(data)} bytes", where=where)
        return _capped(_gunzip(data, where) if packed else data, where)


def _gunzip(data: bytes, where: str) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        plain = unpacker.decompress(data, MAX_FILE + 1)
    except zlib.error as error:
        raise Malformed("expected gzip as its header says", where=where) from error
    if len(plain) <= MAX_FILE and (not unpacker.eof or unpacker.unused_data):
        raise Malformed("expected gzip as its header says, whole and nothing after it", where=where)
    return plain


def _capped(data: bytes, where: str) -> bytes:
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
        return UrlSource(place)
    path = Path(place)
    if place and path.is_dir():
        return DirectorySource(path)
    if path.is_file():
        return ZipSource(path)
    raise UsageFault("no such directory or bundle", where=place)
