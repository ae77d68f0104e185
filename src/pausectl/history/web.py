# SPDX-License-Identifier: Apache-2.0
"""A log behind a web server. Loaded for a URL and never otherwise, so that offline work has no socket to open."""

from __future__ import annotations

import weakref
import zlib

from pausectl.errors import Malformed, Unavailable, UsageFault
from pausectl.history.source import MAX_FILE, capped
from pausectl.net.client import Client, Oversized

#: For a whole file, however it trickles: the largest there can be, at 2.3 Mbit/s.
_TIMEOUT_SECONDS = 60


class UrlSource:
    """A log behind any web server. Any number of threads may share it; a redirect is an error like any other."""

    def __init__(self, url: str, *, timeout: float = _TIMEOUT_SECONDS) -> None:
        """timeout: seconds for each file."""
        self.name = url.rstrip("/")
        try:
            self._client = Client(f"{self.name}/", timeout=timeout, headers={"accept-encoding": "gzip, identity"})
        except UsageFault as error:  # like any other address at which no evidence can be had
            raise Unavailable(f"cannot be reached: {error.message}", where=self.name) from error
        weakref.finalize(self, self._client.close)  # nobody closes a source

    def fetch(self, path: str) -> bytes:
        """GET one path, gunzipping what a server compressed without being asked (C2SP tlog-tiles allows it)."""
        where = f"{self.name}/{path}"
        try:
            answer = self._client.get(path, max_bytes=MAX_FILE)
        except Oversized as error:
            raise Malformed(f"expected at most {MAX_FILE} bytes", where=where) from error
        if answer.status != 200:
            raise Unavailable(f"the server answered {answer.status}", where=where)
        packed = answer.headers.get("content-encoding") == "gzip"
        return capped(gunzip(answer.body, where) if packed else answer.body, where)


def gunzip(data: bytes, where: str) -> bytes:
    """The bytes that a server packed with gzip, no more of them than any published file has."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        plain = unpacker.decompress(data, MAX_FILE + 1)
    except zlib.error as error:
        raise Malformed("expected gzip as its header says", where=where) from error
    if len(plain) <= MAX_FILE and (not unpacker.eof or unpacker.unused_data):
        raise Malformed("expected gzip as its header says, whole and nothing after it", where=where)
    return plain
