# SPDX-License-Identifier: Apache-2.0
"""A place to check behind a URL. Loaded for a URL and never otherwise, like `history.web`."""

from __future__ import annotations

import time
from collections.abc import Iterator

from pausectl.errors import Malformed, Unavailable
from pausectl.history.source import MAX_FILE, capped
from pausectl.history.web import gunzip
from pausectl.net.client import Client, Oversized
from pausectl.wire.tile import Bundle, Tile

#: Seconds for one file behind a URL, however it trickles, and between attempts.
_TIMEOUT = 30
_PAUSES = (0.5, 2.0)


class Behind:
    """A log behind a web server, which tells nobody what else it has."""

    def __init__(self, url: str) -> None:
        self.name = url.rstrip("/")
        self._client = Client(f"{self.name}/", timeout=_TIMEOUT)

    def read(self, path: str) -> bytes | None:
        """GET a file, gunzipping what a server compressed without being asked; twice more if it cannot be had."""
        for pause in (*_PAUSES, None):
            try:
                return self._get(path)
            except Unavailable:
                if pause is None:
                    raise
                time.sleep(pause)
        return None

    def _get(self, path: str) -> bytes | None:
        try:
            answer = self._client.get(path, max_bytes=MAX_FILE)
        except Oversized as error:
            raise Malformed(f"has more than {MAX_FILE} bytes, as no published file has") from error
        if answer.status in (404, 410):
            return None
        where = f"{self.name}/{path}"
        if answer.status != 200:
            raise Unavailable(f"the server answered {answer.status}", where=where)
        packed = answer.headers.get("content-encoding") == "gzip"
        return capped(gunzip(answer.body, where) if packed else answer.body, where)

    def partials(self, whole: Tile | Bundle) -> list[int]:  # noqa: ARG002
        """Nobody can tell."""
        return []

    def walk(self) -> Iterator[str]:
        """Nobody can tell."""
        return iter(())

    def register(self) -> bytes:
        """Nobody shows it."""
        return b""

    def close(self) -> None:
        """Close all connections."""
        self._client.close()
