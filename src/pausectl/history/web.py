# SPDX-License-Identifier: Apache-2.0
"""A log behind a web server. Loaded for a URL and never otherwise, so that offline work has no socket to open."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
import zlib

from pausectl.errors import Malformed, Unavailable
from pausectl.history.source import MAX_FILE, capped

_TIMEOUT_SECONDS = 20
_HEADERS = {"Accept-Encoding": "gzip, identity", "User-Agent": "pausectl"}


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
        return capped(_gunzip(data, where) if packed else data, where)


def _gunzip(data: bytes, where: str) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        plain = unpacker.decompress(data, MAX_FILE + 1)
    except zlib.error as error:
        raise Malformed("expected gzip as its header says", where=where) from error
    if len(plain) <= MAX_FILE and (not unpacker.eof or unpacker.unused_data):
        raise Malformed("expected gzip as its header says, whole and nothing after it", where=where)
    return plain
