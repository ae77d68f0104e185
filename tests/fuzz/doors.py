# SPDX-License-Identifier: Apache-2.0
"""Every HTTP door, fuzzed: the servers' own application in this process, with real state below it.

An input is a request as text: a line with method and target, header lines, an empty line, the body. It must be answered
in time with a status below 500; a 5xx is a violation, and so is an exception that gets as far as here. The real HTTP
server is another target: whatever bytes arrive on its socket, it answers or hangs up, and never with a 5xx.
"""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import cache, partial
from pathlib import Path
from queue import SimpleQueue
from random import Random
from typing import Any
from urllib.parse import unquote

import mutations

from pausectl.intake.intake import Intake
from pausectl.intake.server import doors as intake_doors
from pausectl.log.commit import Committer
from pausectl.log.log import Log
from pausectl.log.server import doors as log_doors
from pausectl.mirror.compare import place
from pausectl.mirror.server import doors as mirror_doors
from pausectl.net.door import Door
from pausectl.net.limits import Limits
from pausectl.net.serve import application, serve
from pausectl.predicates import base
from pausectl.predicates.base import Header
from pausectl.predicates.pause import Declaration
from pausectl.sim import terms
from pausectl.sim.world import World
from pausectl.wire import checkpoint, cosignature, dsse, merkle, note, tile, witness
from pausectl.wire.checkpoint import Checkpoint
from pausectl.witness.server import Doorkeeper, Numbers
from pausectl.witness.witness import Witness, origin_hash

NOW = terms.seconds(terms.ANCHOR) + 3_600
FREE = Limits(rate=1e9, burst=1_000_000_000)

#: So that nobody waits for the rest of a request of which there is no more.
IMPATIENT = Limits(rate=1e9, burst=1_000_000_000, body_seconds=0.05, header_seconds=0.05)

#: Seconds in which a request has to be answered.
PATIENCE = 20.0

#: Where state lies; the process that starts the others makes it and removes it.
ROOT: list[Path] = []


def folder() -> Path:
    """A fresh directory, in memory if there is such a disk: fsync is not what is tried here."""
    root = ROOT[0] if ROOT else None
    return Path(tempfile.mkdtemp(dir=root or ("/dev/shm" if Path("/dev/shm").is_dir() else None)))  # noqa: S108


# ── servers ──


@cache
def world() -> World:
    """Whose statements and agreement all of this is about."""
    return World(windows=3).run()


@cache
def handed() -> tuple[Any, bytes]:
    """An agreement with an intake party, and something to hand in."""
    roll = terms.Roll(intake=("quay",))
    agreement = terms.agree(roll, {name: terms.demo_key(name) for name in terms.names(roll)})
    header = Header(
        agreement=agreement.id, log=terms.ORIGIN, party="aurora", sequence=0, stream="declarations", window=None
    )
    claim = Declaration(action="pause", header=header, reason="x", term_windows=1)
    return agreement, dsse.sign(base.write(claim), terms.demo_key("aurora")).raw


def _cosign(name: str, key: Any, request: bytes) -> bytes:
    """A witness that believes everything, so that only the log is tried."""
    text = witness.parse_request(request).checkpoint_raw
    return witness.format_response([cosignature.cosign(note.parse(text).text, name, key, NOW)])


@cache
def _log(_process: int) -> tuple[Log, Committer]:
    keys, agreement = world().keys, world().agreement
    log = Log.create(folder() / "home", agreement, keys[world().roll.log], NOW)
    witnesses = [partial(_cosign, key.name, keys[name]) for name, key in agreement.witness_keys.items()]
    log.append([(b"entry %d" % number, "") for number in range(300)])
    log.cosign(witnesses, NOW)
    writer = Committer(log, witnesses, clock=lambda: NOW)
    writer._thread.daemon = True
    writer.__enter__()
    return log, writer


def _log_doors() -> Sequence[Door]:
    log, writer = _log(os.getpid())
    return log_doors(log.store, writer, FREE)


def _witness_doors() -> Sequence[Door]:
    cosigners = [("wharf.example", terms.demo_key("wharf"))]
    state = folder() / "witness"
    Witness.init(state, cosigners)
    made = Witness.open(state, cosigners)
    made.add_log([world().agreement.log_key])
    leaves = [merkle.leaf_hash(b"%d" % number) for number in range(8)]
    head = checkpoint.sign(Checkpoint(terms.ORIGIN, 8, merkle.root(leaves)), terms.demo_key("ledgerco"))
    made.cosign(witness.format_request(witness.Request(0, (), head.raw)), NOW)
    return Doorkeeper(made, Numbers(), lambda: NOW).doors()


def _mirror_doors() -> Sequence[Door]:
    log, _ = _log(os.getpid())
    return mirror_doors(log.home / "log", terms.ORIGIN)


def _intake_doors() -> Sequence[Door]:
    agreement, key = handed()[0], terms.demo_key("quay")
    state = folder() / "intake"
    Intake.create(state, agreement, [key])
    return intake_doors(Intake.open(state, agreement, [key]), None, clock=lambda: NOW)


SERVERS: dict[str, Callable[[], Sequence[Door]]] = {
    "log": _log_doors, "witness": _witness_doors, "mirror": _mirror_doors, "intake": _intake_doors,
}  # fmt: skip


@cache
def _app(server: str, _process: int) -> Any:
    return application(SERVERS[server](), limits=FREE, write=lambda _: None)


@cache
def _loop(_process: int) -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


# ── requests ──


def split(raw: bytes) -> tuple[str, str, bytes, list[tuple[bytes, bytes]], bytes]:
    """(method, path, query, headers, body) of whatever was made of a request."""
    head, _, body = raw.partition(b"\n\n")
    first, *lines = head.split(b"\n")
    method, _, target = first.partition(b" ")
    path, _, query = target.partition(b"?")
    headers = [(name.lower().strip(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    return method.decode("latin-1") or "GET", unquote(path.decode("latin-1")) or "/", query, headers, body


async def _ask(app: Any, raw: bytes) -> tuple[int, int]:
    """(status, bytes of the answer)."""
    method, path, query, headers, body = split(raw)
    pieces = [body[: len(body) // 2], body[len(body) // 2 :]] if len(body) % 2 else [body]
    sent = iter([{"type": "http.request", "body": part, "more_body": part is not pieces[-1]} for part in pieces])
    answer: list[Any] = []

    async def receive() -> Any:
        return next(sent, {"type": "http.disconnect"})

    async def send(message: Any) -> None:
        answer.append(message)

    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode("utf-8", "surrogatepass"),
        "query_string": query, "headers": headers, "client": ("192.0.2.1", 1), "http_version": "1.1", "root_path": "",
    }  # fmt: skip
    await asyncio.wait_for(app(scope, receive, send), PATIENCE)
    status = next(each["status"] for each in answer if each["type"] == "http.response.start")
    return status, sum(len(each.get("body", b"")) for each in answer)


class ServerError(AssertionError):
    """A 5xx."""


def check(server: str, raw: bytes) -> str:
    """Accepted is 200."""
    app, loop = _app(server, os.getpid()), _loop(os.getpid())
    status, size = loop.run_until_complete(_ask(app, raw))
    if status >= 500:
        raise ServerError(f"answered {status}")
    if size > 1 << 24:
        raise ServerError(f"answered with {size} bytes")
    return "accepted" if status == 200 else "refused"


def request(method: str, path: str, body: bytes = b"") -> bytes:
    return b"%b %b\ncontent-length: %d\n\n%b" % (method.encode(), path.encode(), len(body), body)


def reads(prefix: str = "/") -> list[bytes]:
    """Requests for files that a log of 301 entries has."""
    paths = ["checkpoint", tile.tile_path(0, 0), tile.bundle_path(0), tile.tile_path(1, 0, 1)]
    return [request(method, prefix + path) for path in paths for method in ("GET", "HEAD")]


def strays() -> list[bytes]:
    """Requests for what is not there, or not to be had."""
    paths = [
        "tile/0/001.p/46",
        f"key/{'0' * 64}",
        "tile/0/x001/000",
        "../state/head",
        "tile/%2e%2e/state/head",
        "metrics",
    ]
    return [request("GET", f"/{path}") for path in paths]


def posts(path: str, bodies: Sequence[bytes]) -> list[bytes]:
    return [request("POST", path, body) for body in bodies]


def maker(gets: Sequence[bytes], path: str, body: Callable[[Random], bytes]) -> Callable[[Random], bytes]:
    """A third damaged requests for files, a third damaged posts, a third posts whose body somebody signed."""

    def make(rng: Random) -> bytes:
        kind = rng.randrange(3)
        if kind == 0 or not path:
            return mutations.damage(rng, gets)
        whole = request("POST", path, body(rng))
        return whole if kind == 1 else mutations.damage(rng, [whole])

    return make


def told(rng: Random) -> bytes:
    """An add-checkpoint request: signed by the log, of some tree and with some proof."""
    sizes = (1, 2, 3, 7, 8, 0, 255, 256, 301, 2**31, 2**63 - 1)
    size, old = (8, 8) if rng.random() < 0.3 else (rng.choice(sizes), rng.choice(sizes))
    leaves = [merkle.leaf_hash(b"%d" % number) for number in range(min(size, 8))]
    root = merkle.root(leaves) if size <= 8 and rng.random() < 0.9 else rng.randbytes(32)
    head = checkpoint.sign(Checkpoint(rng.choice((terms.ORIGIN, "x.example")), size, root), terms.demo_key("ledgerco"))
    honest = size <= 8 and old and old <= size
    proof = merkle.prove_consistency(old, size, _reader(leaves)) if honest else [rng.randbytes(32)] * rng.randrange(4)
    return witness.format_request(witness.Request(old, tuple(proof), head.raw))


def _reader(leaves: Sequence[bytes]) -> merkle.Read:
    return lambda level, index: merkle.root(leaves[index << level : index + 1 << level])


def monitors() -> list[bytes]:
    return [request("GET", f"/{origin_hash(terms.ORIGIN)}/checkpoint"), request("GET", f"/{'0' * 64}/checkpoint")]


# ── the real server ──


@cache
def _url(_process: int) -> tuple[str, int]:
    """Host and port of the log's doors behind the real server, in a thread of this process."""
    said: SimpleQueue[str] = SimpleQueue()
    app = application(_log_doors(), limits=IMPATIENT, write=lambda _: None)
    options = {"announce": said.put, "limits": IMPATIENT, "until": Future()}
    threading.Thread(target=serve, args=(app, "127.0.0.1", 0), kwargs=options, daemon=True).start()
    host, _, port = said.get(timeout=PATIENCE).rpartition("/")[2].rpartition(":")
    return host, int(port)


def check_socket(raw: bytes) -> str:
    """Send bytes, and read until it hangs up."""
    answer = b""
    try:
        with socket.create_connection(_url(os.getpid()), timeout=PATIENCE) as line:
            line.sendall(raw)
            while part := line.recv(1 << 16):
                answer += part
    except TimeoutError as error:
        raise ServerError(f"held the connection for {PATIENCE} s") from error
    except OSError:
        pass  # it had heard enough and hung up
    if answer[9:10] == b"5":
        raise ServerError(f"answered {answer[:60]!r}")
    return "accepted" if answer[9:12] == b"200" else "refused"


def wire(text: bytes) -> bytes:
    """A request as it goes over the wire."""
    head, _, body = text.partition(b"\n\n")
    first, *lines = head.split(b"\n")
    return b"\r\n".join([first + b" HTTP/1.1", b"host: x", *lines, b"connection: close", b"", body])


def mirrored() -> list[bytes]:
    return [*reads(), *reads(f"/{place(terms.ORIGIN)}/")]
