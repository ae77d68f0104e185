# SPDX-License-Identifier: Apache-2.0
"""Load on a log's `POST /add`, ours or another's: N connections, each with one request under way at a time.

    python tests/bench/hammer.py make /tmp/bench --entries 20000     a log's HOME, keys, and signed envelopes
    python tests/bench/hammer.py witnesses /tmp/bench --listen 127.0.0.1:9001      its witnesses, in one process
    pausectl log serve /tmp/bench/home --key /tmp/bench/log.key --rate 1e9 --burst 1000000000 --witness …
    python tests/bench/hammer.py add http://127.0.0.1:8080 --connections 512 --envelopes /tmp/bench/envelopes
    python tests/bench/hammer.py add http://127.0.0.1:2024 --connections 512 --random 700 --count 20000   (Tessera)

Prints one line of JSON: answers by status, answers a second, latencies in milliseconds. The client is one process and
one thread, and needs a processor of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import struct
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

# ── adding ──


class Connection(asyncio.Protocol):
    """One connection: sends a body when the last one was answered, until there are none."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.heard = bytearray()
        self.begun = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.next()

    def next(self) -> None:
        body = next(self.load.bodies, None)
        if body is None:
            self.transport.close()
            return
        self.begun = time.perf_counter()
        self.transport.write(self.load.head + b"%d\r\n\r\n" % len(body) + body)

    def data_received(self, data: bytes) -> None:
        self.heard += data
        end = self.heard.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self.heard[:end]).lower()
        place = head.find(b"content-length:")
        length = int(head[place + 15 :].split(b"\r\n", 1)[0]) if place >= 0 else 0
        if len(self.heard) < end + 4 + length:
            return
        self.load.note(int(head[9:12]), time.perf_counter() - self.begun)
        self.heard.clear()
        self.next()

    def connection_lost(self, error: Exception | None) -> None:
        self.load.left -= 1
        if self.begun and error is not None:
            self.load.note(0, time.perf_counter() - self.begun)
        if not self.load.left:
            self.load.done.set()


class Load:
    """All connections together. statuses: 0 for a connection that broke."""

    def __init__(self, url: SplitResult, bodies: Iterator[bytes]) -> None:
        path = url.path.rstrip("/") + "/add"
        self.head = f"POST {path} HTTP/1.1\r\nhost: {url.netloc}\r\ncontent-length: ".encode()
        self.bodies = bodies
        self.statuses: Counter[int] = Counter()
        self.seconds: list[float] = []
        self.left = 0
        self.done = asyncio.Event()

    def note(self, status: int, seconds: float) -> None:
        self.statuses[status] += 1
        self.seconds.append(seconds)


async def add(url: str, bodies: Iterator[bytes], connections: int) -> dict:
    """Send all bodies; what came of it."""
    parts = urlsplit(url)
    load = Load(parts, bodies)
    load.left = connections
    loop = asyncio.get_running_loop()
    begun = time.perf_counter()
    await asyncio.gather(
        *(loop.create_connection(lambda: Connection(load), parts.hostname, parts.port) for _ in range(connections))
    )
    await load.done.wait()
    took = time.perf_counter() - begun
    ordered = sorted(load.seconds)
    return {
        "connections": connections,
        "statuses": {str(status): count for status, count in sorted(load.statuses.items())},
        "seconds": round(took, 2),
        "good_per_second": round(load.statuses[200] / took, 1),
        "ms": {name: _at(ordered, part) for name, part in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0))},
    }


def _at(ordered: Sequence[float], part: float) -> float:
    return round(1000 * ordered[min(len(ordered) - 1, int(part * len(ordered)))], 2) if ordered else 0.0


# ── what is added ──


def unpack(raw: bytes) -> Iterator[bytes]:
    """The envelopes of a file: u16 length, bytes, and so on, as in an entry bundle."""
    at = 0
    while at < len(raw):
        (size,) = struct.unpack_from(">H", raw, at)
        yield raw[at + 2 : at + 2 + size]
        at += 2 + size


def make(folder: Path, entries: int) -> None:
    """A new log with the demonstration's agreement, its key, its witnesses' keys, and envelopes that it admits."""
    from pausectl.agreement.types import seconds
    from pausectl.log.log import Log
    from pausectl.sim import terms
    from pausectl.wire import keyfile

    roll = terms.Roll()
    keys = {name: terms.demo_key(name) for name in terms.names(roll)}
    agreement = terms.agree(roll, keys)
    folder.mkdir(parents=True, exist_ok=True)
    Log.create(folder / "home", agreement, keys[roll.log], seconds(terms.ANCHOR)).close()
    (folder / "log.key").write_bytes(keyfile.format_key(roll.log, keys[roll.log], passphrase=None, salt=b"", nonce=b""))
    write_envelopes(folder / "envelopes", agreement, keys["probe"], entries)


def write_envelopes(file: Path, agreement, key, entries: int) -> None:
    """Statements of the demonstration's evaluator under an agreement."""
    from pausectl.agreement.types import Span, instant, seconds
    from pausectl.predicates import base
    from pausectl.predicates.base import Header
    from pausectl.predicates.close import Close
    from pausectl.sim import terms
    from pausectl.wire import dsse

    start = seconds(terms.ANCHOR)
    span = Span(end_at=instant(start + terms.WEEK), start_at=instant(start))
    with file.open("wb") as out:
        for number in range(entries):
            header = Header(
                agreement=agreement.id, log=terms.ORIGIN, party="probe", sequence=number, stream="close", window=span
            )
            raw = dsse.sign(base.write(Close(header=header, heads=())), key).raw
            out.write(struct.pack(">H", len(raw)) + raw)


def witnesses(folder: Path, listen: str) -> None:
    """All witnesses of the agreement that `make` wrote, at /<principal>, in one process; not independent at all."""
    from pausectl.agreement import document
    from pausectl.net.door import Answer, Door
    from pausectl.net.serve import application, serve
    from pausectl.sim import terms
    from pausectl.witness.witness import Witness

    agreement = document.parse((folder / "home" / "agreement.json").read_bytes())
    doors = []
    for name, key in agreement.witness_keys.items():
        witness = Witness.beside(key.name, terms.demo_key(name), agreement.log_key, folder / "witness" / name)

        def cosign(request, witness=witness):
            said = witness.cosign(request.body, int(time.time()))
            return Answer(200 if said.startswith("— ".encode()) else 409, said)

        doors.append(Door("POST", f"/{name}/add-checkpoint", cosign, max_body=1 << 16))
        print(f"--witness http://{listen}/{name}", file=sys.stderr)
    host, _, port = listen.rpartition(":")
    serve(application(doors, write=lambda _: None), host, int(port), announce=print)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make")
    making.add_argument("folder", type=Path)
    making.add_argument("--entries", type=int, default=20_000)
    witnessing = commands.add_parser("witnesses")
    witnessing.add_argument("folder", type=Path)
    witnessing.add_argument("--listen", default="127.0.0.1:9001")
    adding = commands.add_parser("add")
    adding.add_argument("url")
    adding.add_argument("--connections", type=int, default=512)
    adding.add_argument("--envelopes", type=Path)
    adding.add_argument("--random", type=int, help="bytes of each entry, instead of envelopes")
    adding.add_argument("--skip", type=int, default=0, help="envelopes at the beginning of the file")
    adding.add_argument("--count", type=int, default=10_000)
    given = parser.parse_args()
    if given.command == "make":
        make(given.folder, given.entries)
    elif given.command == "witnesses":
        witnesses(given.folder, given.listen)
    else:
        every = unpack(given.envelopes.read_bytes()) if given.envelopes else _random(given.random or 700)
        bodies = [body for _, body in zip(range(given.skip + given.count), every, strict=False)][given.skip :]
        print(json.dumps(asyncio.run(add(given.url, iter(bodies), given.connections))))


def _random(size: int) -> Iterator[bytes]:
    while True:
        yield secrets.token_bytes(size)


if __name__ == "__main__":
    main()
