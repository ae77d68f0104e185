# SPDX-License-Identifier: Apache-2.0
"""Doors on a socket: Granian, in this process, one worker. The only module that needs it, with `application`.

serve(application(doors), "127.0.0.1", 0, announce=say)     "listening on http://127.0.0.1:40123", until SIGTERM
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from pausectl.errors import Broken, UsageFault

try:
    from granian import net as granian_net
    from granian.constants import HTTPModes, Interfaces
    from granian.http import HTTP1Settings
    from granian.server.embed import Server
    from starlette.types import ASGIApp

    from pausectl.net.application import application
except ImportError as error:
    raise UsageFault("a server needs more than is installed", hint="pip install 'pausectl[log]'") from error

from pausectl.net.limits import Limits
from pausectl.registry import enforces

__all__ = ["application", "serve"]

_HEAD_BYTES = 16_384
_BACKLOG = 1_024
#: How long requests that are under way at the end have; then the end comes all the same.
_GRACE_SECONDS = 5.0
#: Files that are open besides connections: the log's own, at most some dozens.
_OTHER_FILES = 256


class _Embedded(Server):
    """Granian on a socket that is bound already: two servers cannot share a port by mistake, and 0 is a free one."""

    @enforces("HTTP-9")
    def __init__(self, app: ASGIApp, bound: socket.socket, limits: Limits) -> None:
        """Set up one worker of HTTP/1.1 and nothing else.

        [HTTP-9] A server MUST close a connection on which no whole head of a request has come after its header time.
        """
        super().__init__(
            app,
            interface=Interfaces.ASGINL,
            http=HTTPModes.http1,
            websockets=False,
            backlog=_BACKLOG,
            backpressure=limits.connections,
            log_enabled=False,
            http1_settings=HTTP1Settings(
                header_read_timeout=int(limits.header_seconds * 1000), max_buffer_size=_HEAD_BYTES
            ),
        )
        self._bound = bound

    def _init_shared_socket(self) -> None:
        compiled: Any = granian_net  # its stubs know no arguments
        self._shd = compiled.SocketHolder(self._bound.detach(), False, _BACKLOG)  # which closes it


def serve(
    app: ASGIApp,
    host: str,
    port: int,
    *,
    announce: Callable[[str], object],
    limits: Limits | None = None,
    until: Future[None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, or until `until` is done, whose exception is raised here.

    announce: told "listening on http://HOST:PORT" when it is so. UsageFault if the address cannot be had. Signals are
    heard in the main thread only.
    """
    limits = limits or Limits()
    _allow_files(limits.connections + _OTHER_FILES)
    with _bind(host, port) as bound:
        server = _Embedded(app, bound, limits)
        address = bound.getsockname()
        shown = f"[{address[0]}]" if bound.family == socket.AF_INET6 else address[0]
        asyncio.run(_run(server, lambda: announce(f"listening on http://{shown}:{address[1]}"), until))
    if until is not None and until.done():
        until.result()


def _allow_files(number: int) -> None:
    """As many open files as connections need, as far as the system grants that; a server without any accepts nobody."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = number if hard == resource.RLIM_INFINITY else min(number, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, proto)
    except (OSError, OverflowError) as error:
        raise UsageFault(f"cannot listen: {error}", where=f"{host}:{port}") from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(_BACKLOG)
        bound.setblocking(False)
    except OSError as error:
        bound.close()
        raise UsageFault(f"cannot listen: {error.strerror}", where=f"{host}:{port}") from error
    return bound


async def _run(server: _Embedded, announce: Callable[[], object], until: Future[None] | None) -> None:
    loop = asyncio.get_running_loop()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, server.stop)
    if until is not None:
        until.add_done_callback(lambda _: _stop(loop, server))
    serving = asyncio.ensure_future(server.serve())
    await asyncio.sleep(0)  # it has started its worker; from the kernel's queue nothing was lost before
    announce()
    interrupted: Any = server.main_loop_interrupt  # of asyncio, whatever the type of the base class says
    stopped = asyncio.ensure_future(interrupted.wait())
    await asyncio.wait([serving, stopped], return_when=asyncio.FIRST_COMPLETED)
    await asyncio.wait([serving], timeout=_GRACE_SECONDS)
    if server.interrupt_children:
        raise Broken("the server ended of itself")


def _stop(loop: asyncio.AbstractEventLoop, server: _Embedded) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended already
        loop.call_soon_threadsafe(server.stop)
