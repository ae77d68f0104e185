# SPDX-License-Identifier: Apache-2.0
"""Fixtures every room uses."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest

from pausectl.net.door import Door

ROOT = Path(__file__).resolve().parent.parent


def shared_root() -> Path:
    """Where other people's vectors and data lie: PAUSECTL_SHARED, or ../shared beside the clone."""
    return Path(os.environ.get("PAUSECTL_SHARED") or ROOT.parent / "shared")


@pytest.fixture
def shared() -> Callable[[str], Path]:
    """Path to something in the shared folder; the test is skipped, by name, where it is absent."""

    def find(name: str) -> Path:
        path = shared_root() / name
        if not path.exists():
            pytest.skip(f"shared data absent: {name} (set PAUSECTL_SHARED)")
        return path

    return find


class Hall:
    """A server of ours on loopback, in a thread of this process. url: its address. lines: of its access log."""

    def __init__(self, doors: Sequence[Door], **options: object) -> None:
        from pausectl.net.serve import application, serve

        self.lines: list[str] = []
        self._end: Future[None] = Future()
        said: queue.SimpleQueue[str] = queue.SimpleQueue()
        limits = options.get("limits")
        app = application(doors, write=lambda lines: self.lines.extend(lines.splitlines()), **options)
        self._thread = threading.Thread(
            target=serve,
            args=(app, "127.0.0.1", 0),
            kwargs={"announce": said.put, "limits": limits, "until": self._end},
        )
        self._thread.start()
        self.url = said.get(timeout=20).removeprefix("listening on ")

    def close(self) -> None:
        """End it; by then everything is in `lines`."""
        if not self._end.done():
            self._end.set_result(None)
        self._thread.join()


@pytest.fixture
def hall() -> Iterator[Callable[..., Hall]]:
    """`hall(doors, limits=…, health=…)`: a server of ours, for the length of a test."""
    opened: list[Hall] = []

    def build(doors: Sequence[Door], **options: object) -> Hall:
        opened.append(Hall(doors, **options))
        return opened[-1]

    yield build
    for each in opened:
        each.close()


@pytest.fixture(scope="session")
def servers():
    """The module that starts other people's servers: tests/stores.py."""
    spec = importlib.util.spec_from_file_location("stores", ROOT / "tests" / "stores.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def postgres(servers):
    """A running PostgreSQL."""
    with _running(servers, servers.postgres()) as server:
        yield server


@pytest.fixture(scope="session")
def s3(servers):
    """A running S3-compatible server, which this process and those that it starts know from their environment."""
    with _running(servers, servers.s3()) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.env.items():
            patch.setenv(name, value)
        yield server


@contextlib.contextmanager
def _running(servers, starting):
    try:
        server = starting.__enter__()
    except servers.Absent as error:
        pytest.skip(str(error))
    try:
        yield server
    finally:
        starting.__exit__(None, None, None)


@pytest.fixture
def plain_s3(servers, s3):
    """Makes clients that sign plain HTTP requests to it themselves."""
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(contextlib.closing(servers.Client(s3.address)))
