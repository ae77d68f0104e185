# SPDX-License-Identifier: Apache-2.0
"""Logs of any size whose every byte the test can change, as a source and behind a web server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pausectl.errors import Unavailable
from pausectl.mirror.follow import Mirror
from pausectl.mirror.trust import Cosigner, Trust
from pausectl.sim.terms import demo_key
from pausectl.wire import checkpoint, merkle, note, tile
from pausectl.wire.checkpoint import Checkpoint

ORIGIN = "log.example/mirrored"
LOG = demo_key("mirrored log")
KEY = note.VerifierKey(ORIGIN, note.TYPE_ED25519, LOG.public)
NOW = 1_800_000_000


class Tree:
    """A log of the entries `<name>-0`, `<name>-1`, … as public files; `kept` are sizes whose partial files it has.

    changed: path → what is served instead; None for a file that is not there. asked: every path, in order.
    """

    def __init__(self, size: int, *, other: int | None = None, kept: tuple[int, ...] = ()) -> None:
        self.name = "log"
        self.size = size
        self.entries = [b"entry-%d" % n if n != other else b"something else" for n in range(size)]
        self.changed: dict[str, bytes | None] = {}
        self.asked: list[str] = []
        levels = [[merkle.leaf_hash(entry) for entry in self.entries]]
        while len(levels[-1]) >= tile.WIDTH:
            whole = len(levels[-1]) // tile.WIDTH * tile.WIDTH
            levels.append([merkle.root(levels[-1][n : n + tile.WIDTH]) for n in range(0, whole, tile.WIDTH)])
        self.files: dict[str, bytes] = {}
        for each in {*tile.tiles_for(size), *(t for s in kept for t in tile.tiles_for(s))}:
            first = each.index * tile.WIDTH
            self.files[each.path] = b"".join(levels[each.level][first : first + each.width])
        for each in {*tile.bundles_for(size), *(b for s in kept for b in tile.bundles_for(s))}:
            first = each.index * tile.WIDTH
            self.files[each.path] = tile.format_bundle(self.entries[first : first + each.width])
        self.files["checkpoint"] = self.signed(size)

    def signed(self, size: int) -> bytes:
        """The log's checkpoint of the first so many entries."""
        leaves = [merkle.leaf_hash(entry) for entry in self.entries[:size]]
        return checkpoint.sign(Checkpoint(ORIGIN, size, merkle.root(leaves)), LOG).raw

    def fetch(self, path: str) -> bytes:
        """As a source."""
        self.asked.append(path)
        data = self.changed[path] if path in self.changed else self.files.get(path)
        if data is None:
            raise Unavailable("no such file", where=f"{self.name}/{path}")
        return data


@pytest.fixture
def tree() -> type[Tree]:
    return Tree


@pytest.fixture
def trust() -> Trust:
    return Trust(KEY)


@pytest.fixture
def opened(tmp_path, trust) -> Iterator[Callable[..., Mirror]]:
    """`opened(home=…, cosigner=…)`: a mirror, closed when the test ends."""
    made: list[Mirror] = []

    def open_one(home=None, name: str | None = None, **options) -> Mirror:
        cosigner = Cosigner(name, [demo_key(name)], trust) if name else None
        mirror = Mirror(home or tmp_path / "mirror", trust, cosigner, **options)
        made.append(mirror)
        return mirror

    yield open_one
    for mirror in made:
        mirror.close()


class Site:
    """A web server on loopback that answers every GET with one function."""

    def __init__(self, answer: Callable[[BaseHTTPRequestHandler], None]) -> None:
        self.answer = answer
        self.asked: list[str] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                site.asked.append(self.path)
                site.answer(self)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def files(source: Tree) -> Callable[[BaseHTTPRequestHandler], None]:
    """The answer of a web server that serves a tree as it is."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        try:
            say(handler, source.fetch(handler.path.lstrip("/")))
        except Unavailable:
            say(handler, b"no\n", status=404)

    return answer


def say(handler: BaseHTTPRequestHandler, body: bytes, *, status: int = 200, **headers: str) -> None:
    """A whole answer."""
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture
def serve() -> Iterator[Callable[..., Site]]:
    """`serve(tree)`, or `serve(answer)`."""
    made: list[Site] = []

    def one(what) -> Site:
        made.append(Site(files(what) if isinstance(what, Tree) else what))
        return made[-1]

    yield one
    for site in made:
        site.close()


@pytest.fixture(name="say")
def _say():
    return say
