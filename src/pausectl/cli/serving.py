# SPDX-License-Identifier: Apache-2.0
"""What every command that serves has in common: where it listens, how much a stranger gets, and how it ends."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from importlib import import_module
from threading import Event
from typing import Any

import click

from pausectl.errors import UsageFault
from pausectl.net.door import Door
from pausectl.net.limits import Limits
from pausectl.net.record import remark, to_stderr

#: Set when a server listens.
_RAN = Event()


def serving_options(command: Callable[..., int]) -> Callable[..., int]:
    """--listen, --rate, --burst and --proxy, to be handed on to `limits` and `serve`."""
    given = Limits()
    options = (
        click.option("--listen", default="127.0.0.1:8080", show_default=True, metavar="HOST:PORT", help="Port 0: any."),
        click.option("--rate", type=click.FloatRange(0, min_open=True), default=given.rate, show_default=True,
                     help="Writes a second of one party, in the long run."),
        click.option("--burst", type=click.IntRange(1), default=given.burst, show_default=True,
                     help="Writes of one party at once."),
        click.option("--proxy", "proxies", multiple=True, metavar="ADDRESS",
                     help="A proxy of yours, whose X-Forwarded-For is believed."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return functools.wraps(command)(command)


def limits(rate: float, burst: int, proxies: Sequence[str]) -> Limits:
    """What the options say."""
    return Limits(rate=rate, burst=burst, proxies=frozenset(proxies))


def say(text: str) -> None:
    """One line into the log on stderr."""
    to_stderr(remark(text))


def serve(
    doors: Sequence[Door],
    listen: str,
    limits: Limits,
    *,
    metrics: Any = None,  # noqa: ANN401 - a `net.metrics.Metrics`, which not everybody has installed
    health: Callable[[], str] = lambda: "",
    until: Future[None] | None = None,
) -> None:
    """Serve doors until SIGTERM, or until `until` is done; its exception is raised here."""
    host, port = address(listen)
    net = import_module("pausectl.net.serve")
    app = net.application(doors, limits=limits, metrics=metrics, health=health)
    net.serve(app, host, port, announce=_started, limits=limits, until=until)


def _started(text: str) -> None:
    _RAN.set()
    say(text)


def leave(code: int) -> None:
    """End this process with `code` at once if it has served; everything of ours is closed by then.

    A thread of Granian's that still wants the interpreter while that is taken down aborts the process, with -6 for
    whoever supervises it, in one of some ten ends under load.
    """
    if _RAN.is_set():
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        os._exit(code)


def address(listen: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`, of which a host with colons stands in brackets."""
    host, _, port = listen.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not bare or (":" in host and bare == host) or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise UsageFault(f"--listen: expected HOST:PORT, found {listen!r}")
    return bare, int(port)
