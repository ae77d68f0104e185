# SPDX-License-Identifier: Apache-2.0
r"""The one HTTP client: no redirects, no more bytes and no more seconds than the caller grants, only the caller's URLs.

    get("https://log.example/checkpoint", timeout=10, max_bytes=65_536)      Answer(200, b"log.example\n…")

An answer of any status is an `Answer`; Unavailable is for those who did not give one.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from collections import deque
from collections.abc import Mapping
from contextlib import closing, suppress
from functools import partial
from typing import Any
from urllib.parse import SplitResult, urlsplit

from pausectl.errors import Unavailable, UsageFault
from pausectl.net.door import OCTETS, Answer

_AGENT = {"user-agent": "pausectl"}
_IDLE = 8


class Oversized(Unavailable):
    """An answer of more bytes than were granted; what of it came is thrown away."""


def get(url: str, *, timeout: float, max_bytes: int) -> Answer:
    """GET one URL. timeout: seconds for all of it, however it trickles. Unavailable if there is no whole answer."""
    with closing(Client(url, timeout=timeout)) as client:
        return client.get("", max_bytes=max_bytes)


def post(url: str, body: bytes, *, type: str = OCTETS, timeout: float, max_bytes: int) -> Answer:
    """POST one body. type: of the body."""
    with closing(Client(url, timeout=timeout)) as client:
        return client.post("", body, type=type, max_bytes=max_bytes)


class Client:
    """One server, whose connections are used again. Any number of threads may share it."""

    def __init__(self, base: str, *, timeout: float, headers: Mapping[str, str] | None = None) -> None:
        """base: a URL, http or https, before which nothing of a path is ever put. UsageFault if it is none."""
        self.base = base
        self._url = _split(base)
        self._timeout = timeout
        self._headers = {**_AGENT, **(headers or {})}
        self._idle: deque[_Connection] = deque()
        self._tls = ssl.create_default_context() if self._url.scheme == "https" else None

    def get(self, path: str, *, max_bytes: int) -> Answer:
        """GET `base` + path."""
        return self._ask("GET", path, None, {}, max_bytes)

    def post(self, path: str, body: bytes, *, type: str = OCTETS, max_bytes: int) -> Answer:
        """POST to `base` + path."""
        return self._ask("POST", path, body, {"content-type": type}, max_bytes)

    def close(self) -> None:
        """Close all connections."""
        while self._idle:
            self._idle.pop().close()

    def _ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], max_bytes: int) -> Answer:
        """One request and the whole answer; over a fresh connection if the server had closed the one that was idle.

        So a request can arrive twice. Whatever we post may: each of our doors answers a repetition like the first.
        """
        where = self.base + path
        deadline = time.monotonic() + self._timeout
        while True:
            used, connection = self._connection()
            connection.deadline = deadline
            try:
                answer, data = connection.ask(method, self._target(path), body, {**self._headers, **headers}, max_bytes)
                break
            except (OSError, ValueError, http.client.HTTPException) as error:
                connection.close()
                if not (used and isinstance(error, ConnectionError)):  # RemoteDisconnected is one
                    raise Unavailable(_told(error), where=where) from error
        if len(data) > max_bytes:
            connection.close()
            raise Oversized(f"expected an answer of at most {max_bytes} bytes", where=where)
        if connection.sock is not None and len(self._idle) < _IDLE:
            self._idle.append(connection)
        else:
            connection.close()
        names = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, data, names.get("content-type", ""), names)

    def _connection(self) -> tuple[bool, _Connection]:
        """Whether it was used before, and a connection."""
        try:
            return True, self._idle.pop()
        except IndexError:
            return False, _Connection(self._url, self._tls)

    def _target(self, path: str) -> str:
        query = f"?{self._url.query}" if self._url.query else ""
        return (self._url.path + path + query) or "/"


class _Connection(http.client.HTTPConnection):
    """A connection that is waited on until `deadline` (monotonic seconds) and no longer, whatever trickles in."""

    def __init__(self, url: SplitResult, tls: ssl.SSLContext | None) -> None:
        super().__init__(url.hostname or "", url.port or (443 if tls else 80))
        self._tls = tls
        self.deadline = 0.0
        self.response_class = partial(_Response, self)  # type: ignore[assignment] # called like the class

    def connect(self) -> None:
        """TCP, and TLS if it is to be."""
        self.timeout = self.left()
        super().connect()
        if self._tls is not None:
            self.sock.settimeout(self.left())
            self.sock = self._tls.wrap_socket(self.sock, server_hostname=self.host)

    def ask(
        self, method: str, target: str, body: bytes | None, headers: Mapping[str, str], max_bytes: int
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """Send a request and read the answer, of its body one byte more than max_bytes at most."""
        if self.sock is None:
            self.connect()
        self.sock.settimeout(self.left())
        with suppress(BrokenPipeError, ConnectionResetError):  # it may have answered before it had heard all
            self.request(method, target, body, dict(headers))
        answer = self.getresponse()
        data = answer.read(max_bytes + 1)
        if answer.length and len(data) <= max_bytes:
            raise http.client.IncompleteRead(data, answer.length)
        return answer, data

    def left(self) -> float:
        """Seconds to the deadline; TimeoutError if there are none."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left


class _Response(http.client.HTTPResponse):
    """An answer each part of which has to come before the deadline of its connection."""

    def __init__(self, connection: _Connection, sock: socket.socket, **options: Any) -> None:  # noqa: ANN401
        super().__init__(sock, **options)
        self.fp = io.BufferedReader(_Timed(connection, sock, self.fp))


class _Timed(io.RawIOBase):
    def __init__(self, connection: _Connection, sock: socket.socket, file: io.BufferedReader) -> None:
        self._connection, self._sock, self._file = connection, sock, file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any writable buffer
        self._sock.settimeout(self._connection.left())
        return self._file.readinto1(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()


def _told(error: Exception) -> str:
    if isinstance(error, http.client.IncompleteRead):
        return f"the answer was cut off after {len(error.partial)} bytes"
    return f"cannot be reached: {error or type(error).__name__}"


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UsageFault(f"expected a URL: {error}", where=url) from error
    if (
        any(character <= " " or character == "\x7f" for character in url)
        or parts.scheme not in {"http", "https"}
        or not parts.hostname
        or port == 0
        or parts.fragment
        or "@" in parts.netloc
    ):
        raise UsageFault("expected http://HOST or https://HOST, perhaps with a port and a path", where=url)
    return parts
