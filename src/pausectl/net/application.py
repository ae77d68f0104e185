# SPDX-License-Identifier: Apache-2.0
"""Doors as an ASGI application: what comes in is measured before it is believed, what goes out is written down.

Starlette finds the door; nothing of it reads a body, a form or a Range, of which more has gone wrong than we need.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from threading import Lock

from starlette.routing import Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pausectl.errors import PausectlError
from pausectl.net.door import Answer, Busy, Door, Request, Throttled, refusal
from pausectl.net.limits import Buckets, Limits
from pausectl.net.metrics import Metrics
from pausectl.net.record import Line, Write, to_stderr
from pausectl.registry import enforces

_SAFE = ((b"x-content-type-options", b"nosniff"),)

#: Why a server is not well, or "".
Health = Callable[[], str]


class _Gone(Exception):
    """The client went away before its request was whole."""


def application(
    doors: Sequence[Door],
    *,
    limits: Limits | None = None,
    metrics: Metrics | None = None,
    health: Health = lambda: "",
    write: Write = to_stderr,
) -> ASGIApp:
    """An ASGI application of these doors, `GET /metrics` and `GET /health`. write: takes lines of the access log."""
    limits, metrics = limits or Limits(), metrics or Metrics()

    def numbers(_: Request) -> Answer:
        return Answer(200, metrics.text(), metrics.type)

    def well(_: Request) -> Answer:
        trouble = health()
        return refusal(Busy(trouble), 503) if trouble else Answer(200, b"ok\n")

    own = (Door("GET", "/metrics", numbers, inline=True), Door("GET", "/health", well, inline=True))
    return _Hall((*own, *doors), limits, metrics, write)


class _Hall:
    """Where all requests come in: finds the door, measures, and writes down."""

    def __init__(self, doors: Sequence[Door], limits: Limits, metrics: Metrics, write: Write) -> None:
        threads = ThreadPoolExecutor(limits.threads, "door")
        mail = _Mail()
        buckets = Buckets(limits.rate, limits.burst, limits.parties)
        routes = [
            Route(_pattern(door.path), _Desk(door, limits, buckets, threads, mail), methods=[door.method])
            for door in doors
        ]
        self._router = Router(routes, redirect_slashes=False, default=_nowhere)
        self._proxies = limits.proxies
        self._metrics = metrics
        self._write = write
        self._lines: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            raise ValueError(f"expected http, found {scope['type']}")
        begun = time.perf_counter()
        line = Line(_client(scope, self._proxies), scope["method"], scope["path"])
        scope["pausectl.line"] = line

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                line.status = message["status"]
            else:
                line.bytes += len(message.get("body", b""))
            await send(message)

        self._metrics.begin()
        try:
            await self._router(scope, receive, watched)
        finally:
            line.seconds = time.perf_counter() - begun
            desk = scope.get("endpoint")
            found = desk.door.path if isinstance(desk, _Desk) else "other"
            self._metrics.end(found, line.method, line.status, line.seconds)
            self._note(line)

    def _note(self, line: Line) -> None:
        # One write for all requests that this turn of the event loop answered.
        if not self._lines:
            asyncio.get_running_loop().call_soon(self._flush)
        self._lines.append(line.text(time.time()))

    def _flush(self) -> None:
        lines, self._lines = self._lines, []
        self._write("".join(lines))


class _Mail:
    """Answers that other threads finish. A crowd that is answered at once wakes the event loop once."""

    def __init__(self) -> None:
        self._done: list[tuple[asyncio.Future[Answer], Future[Answer]]] = []
        self._lock = Lock()

    async def wait_for(self, answer: Future[Answer]) -> Answer:
        """What the future has in the end; its exception is raised."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Answer] = loop.create_future()

        def post(done: Future[Answer]) -> None:
            with self._lock:
                first = not self._done
                self._done.append((waiter, done))
            if first:
                with suppress(RuntimeError):  # the loop has ended, and nobody waits any more
                    loop.call_soon_threadsafe(self._deliver)

        answer.add_done_callback(post)
        return await waiter

    def _deliver(self) -> None:
        with self._lock:
            arrived, self._done = self._done, []
        for waiter, done in arrived:
            if waiter.done():  # whoever asked has gone
                continue
            error = done.exception()
            if error is None:
                waiter.set_result(done.result())
            else:
                waiter.set_exception(error)


class _Desk:
    """One door: reads a body no larger and no slower than it may be, asks the handler, and answers."""

    def __init__(self, door: Door, limits: Limits, buckets: Buckets, threads: ThreadPoolExecutor, mail: _Mail) -> None:
        self.door = door
        self._mail = mail
        self._seconds = limits.body_seconds
        self._buckets = buckets
        self._threads = threads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens."""
        line: Line = scope["pausectl.line"]
        try:
            answer = await self._answer(scope, receive, line.client)
        except PausectlError as error:
            answer = refusal(error, self.door.status(error))
            line.error = str(error) if answer.status >= 500 else ""
        except _Gone:
            # Whoever only ended its own half of the connection hears this; without an answer the server would say 500.
            await _send(Answer(400, b"expected the whole body\n", headers={"connection": "close"}), send)
            line.status = 499
            return
        except Exception:  # noqa: BLE001 - a bug must not end the server, and nobody outside learns of it
            answer = Answer(500, b"internal error\n")
            line.error = traceback.format_exc()
        await _send(answer, send, head=scope["method"] == "HEAD")

    async def _answer(self, scope: Scope, receive: Receive, client: str) -> Answer:
        body = b""
        if self.door.max_body:
            taken = await self._body(scope, receive)
            if isinstance(taken, Answer):
                return taken
            body = taken
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        query = scope["query_string"].decode("latin-1")
        return await self._limited(Request(scope["method"], scope["path"], query, body, client, headers))

    @enforces("HTTP-1", "HTTP-2")
    async def _body(self, scope: Scope, receive: Receive) -> bytes | Answer:
        """The whole body, or the answer to one that is too large or too slow.

        [HTTP-1] A server MUST answer a body that is larger than its door takes with 413, and read no more of it.

        [HTTP-2] A server MUST answer a body that is not whole after its body time with 408.
        """
        announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if not announced.isdigit() or len(announced) > 18 or int(announced) > self.door.max_body:
            return self._too_large()
        try:
            async with asyncio.timeout(self._seconds):
                return await self._read(receive)
        except TimeoutError:
            return Answer(408, b"expected the whole body in less time\n", headers={"connection": "close"})

    async def _read(self, receive: Receive) -> bytes | Answer:
        parts, size, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _Gone
            part = message.get("body", b"")
            parts.append(part)
            size += len(part)
            if size > self.door.max_body:
                return self._too_large()
            more = message.get("more_body", False)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _too_large(self) -> Answer:
        text = f"expected a body of at most {self.door.max_body} bytes\n".encode()
        return Answer(413, text, headers={"connection": "close"})

    @enforces("HTTP-3")
    async def _limited(self, request: Request) -> Answer:
        """Ask the handler, if the party has not used up its share.

        [HTTP-3] A server MUST NOT count a read, or a request that it answers with 5xx, against a rate limit.
        """
        party = self.door.party(request) if self.door.party else None
        if party is None:
            return await self._handle(request)
        wait = self._buckets.take(party)
        if wait:
            raise Throttled("more requests than this server takes from one party", after=wait)
        status = 500
        try:
            answer = await self._handle(request)
            status = answer.status
        except PausectlError as error:
            status = self.door.status(error)
            raise
        finally:
            if status >= 500:
                self._buckets.give_back(party)
        return answer

    async def _handle(self, request: Request) -> Answer:
        if self.door.inline:
            answer = self.door.handle(request)
        else:
            answer = await asyncio.get_running_loop().run_in_executor(self._threads, self.door.handle, request)
        return await self._mail.wait_for(answer) if isinstance(answer, Future) else answer


def _pattern(path: str) -> str:
    return f"{path}{{rest:path}}" if path.endswith("/") else path


def _client(scope: Scope, proxies: frozenset[str]) -> str:
    """The address that a request came from; what a proxy of ours says, if it was one, and else nobody's word."""
    address: str = (scope.get("client") or ("",))[0]
    if address in proxies:
        said = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
        if said:
            return str(said[-1].decode("latin-1").rpartition(",")[2].strip())
    return address


async def _nowhere(_scope: Scope, _receive: Receive, send: Send) -> None:
    await _send(Answer(404, b"no such path\n"), send)


async def _send(answer: Answer, send: Send, *, head: bool = False) -> None:
    headers = [(b"content-type", answer.type.encode("latin-1")), (b"content-length", b"%d" % len(answer.body)), *_SAFE]
    headers += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else answer.body})
