# SPDX-License-Identifier: Apache-2.0
"""The log beside Tessera's POSIX server and beside pymerkle, in one run on one machine: `make bench`.

Called by run.py; alone, `python tests/bench/log.py [--quick]`. Where a peer was not built, its half is left out, and
that is said. Client and server share the processors, so every rate is one of both together, for ours and for theirs.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import served
import tree

from pausectl.history.source import open_source
from pausectl.history.tiles import Tiles
from pausectl.log.log import Log
from pausectl.wire import merkle, note, tile
from pausectl.wire.keys import ED25519, PrivateKey, base64

HERE = Path(__file__).resolve().parent
PEERS = HERE.parent / "interop" / "bin"
CACHE = HERE.parent.parent / "build" / "bench"


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    adds: int
    lone: int
    fsck: int
    proofs: int
    appends: tuple[int, ...]
    pymerkle: int


FULL = Sizes(
    adds=20_000, lone=60, fsck=500_000, proofs=1_000_000, appends=(10_000, 100_000, 1_000_000), pymerkle=1_000_000
)
QUICK = Sizes(adds=2_000, lone=20, fsck=50_000, proofs=100_000, appends=(1_000, 10_000), pymerkle=50_000)


# ── servers ──


def memory(pid: int) -> float:
    """Peak resident MiB of a process."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found.group(1)) / 1024 if found else 0.0


@contextmanager
def running(command: Sequence[str | Path], url: str = "") -> Iterator[tuple[str, int]]:
    """(URL, process id) of a server while it runs; url: of one that does not say where it listens."""
    # Two openings of one file: with one, reading it here would move the place where the server writes next.
    with tempfile.NamedTemporaryFile("ab") as heard, Path(heard.name).open() as said:
        child = subprocess.Popen(list(map(str, command)), stdout=heard, stderr=heard)
        try:
            for _ in range(600):
                said.seek(0)
                told = said.read()
                found = re.search(r"listening on (http://[0-9.:]+)", told)
                if found or (url and _answers(url)):
                    break
                if child.poll() is not None:
                    raise RuntimeError(told)
                time.sleep(0.05)
            else:
                raise RuntimeError(f"does not say where it listens: {told}")
            yield found.group(1) if found else url, child.pid
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait(30)


def _answers(url: str) -> bool:
    host, _, port = url.rpartition("/")[2].rpartition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def hammer(url: str, connections: int, count: int, envelopes: Path, skip: int = 0) -> dict[str, Any]:
    """What tests/bench/hammer.py says of it, in a process of its own."""
    words = ["--connections", connections, "--count", count, "--envelopes", envelopes, "--skip", skip]
    command = [sys.executable, HERE / "hammer.py", "add", url, *words]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def usage(place: Path) -> tuple[int, int]:
    """(bytes on disk, files) below a directory, lock files and the like included."""
    found = [path.stat() for path in place.rglob("*") if path.is_file()]
    return sum(each.st_blocks * 512 for each in found), len(found)


@contextmanager
def tessera(folder: Path) -> Iterator[tuple[str, int]]:
    """Tessera's POSIX conformance server with a new log."""
    key = PrivateKey.from_seed(ED25519, bytes(range(32)))
    vkey = note.format_vkey(note.VerifierKey("tessera.example/bench", note.TYPE_ED25519, key.public))
    name, key_id, _ = vkey.split("+", 2)
    folder.mkdir(parents=True)
    (folder / "key").write_text(f"PRIVATE+KEY+{name}+{key_id}+{base64(bytes([1]) + key.seed)}")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = (f"--storage_dir={folder / 'log'}", f"--private_key={folder / 'key'}", f"--listen=127.0.0.1:{port}")
    with running((PEERS / "tessera-posix", *options), f"http://127.0.0.1:{port}") as made:
        yield made


@contextmanager
def witnessed(folder: Path) -> Iterator[tuple[str, int]]:
    """`pausectl log serve` with a process of witnesses beside it, as anybody runs it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    with running((sys.executable, HERE / "hammer.py", "witnesses", folder, "--listen", listen), f"http://{listen}"):
        asked = [word for name in tree.parties()[0].witnesses for word in ("--witness", f"http://{listen}/{name}")]
        options = ("--key", folder / "log.key", "--listen", "127.0.0.1:0", "--rate", "1e9", "--burst", "1000000000")
        command = (sys.executable, "-m", "pausectl", "log", "serve", folder / "home", *options, *asked)
        with running(command) as made:
            yield made


def envelopes(folder: Path, sizes: Sizes) -> Path:
    """Signed statements that a log of the demonstration admits, and the log that hammer.py makes for them."""
    count = str(sizes.adds + sizes.lone)
    command = [sys.executable, str(HERE / "hammer.py"), "make", str(folder), "--entries", count]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder / "envelopes"


def own_envelopes(folder: Path, sizes: Sizes) -> Path:
    """The same for the agreement with one witness that served.py has."""
    from hammer import write_envelopes

    folder.mkdir()
    agreement, keys, _ = served.parties()
    write_envelopes(folder / "envelopes", agreement, keys["probe"], sizes.adds + sizes.lone)
    return folder / "envelopes"


@dataclass
class Adding:
    """What one server did."""

    name: str
    rate: float
    lone: float
    peak: float
    bytes: float
    files: float


def measure(name: str, server: Any, public: Callable[[], Path], raw: Path, sizes: Sizes, lone: int) -> Adding:
    """A crowd of 512, then somebody alone, on one server with an empty log."""
    with server as (url, pid):
        crowd = hammer(url, 512, sizes.adds, raw)
        if set(crowd["statuses"]) != {"200"}:
            print(f"  {name}: statuses {crowd['statuses']}")
        alone = hammer(url, 1, lone, raw, skip=sizes.adds)
        peak = memory(pid)
        time.sleep(2.5)  # Tessera tidies up once a second
    size, files = usage(public())
    million = 1_000_000 / sizes.adds
    return Adding(name, crowd["good_per_second"], alone["ms"]["p50"], peak, size * million, files * million)


def adds(sizes: Sizes) -> None:
    """Durable adds: one table, ratios to Tessera's."""
    found: list[Adding] = []
    with tempfile.TemporaryDirectory(dir=_disk()) as scratch:
        place = Path(scratch)
        raw, own = envelopes(place / "whole", sizes), own_envelopes(place / "own", sizes)
        if (PEERS / "tessera-posix").exists():
            # A lone add takes it a second, so it is asked for fewer.
            server = tessera(place / "tessera")
            found.append(measure("Tessera POSIX v1.0.4", server, lambda: place / "tessera" / "log", raw, sizes, 6))
        else:
            print("  Tessera's server is not built (.ci/setup): nothing to compare with")
        for kind, name in (
            ("hashed", "pausectl, hash-only admission"),
            ("signed", "pausectl, every signature checked"),
        ):
            server = running((sys.executable, HERE / "served.py", kind, place / kind))
            public = place / kind / "home" / "log"
            found.append(measure(name, server, lambda public=public: public, own, sizes, sizes.lone))
        server = witnessed(place / "whole")
        public = place / "whole" / "home" / "log"
        found.append(measure("pausectl, with 4 durable witnesses", server, lambda: public, raw, sizes, sizes.lone))
    floor = found[0] if found[0].name.startswith("Tessera") else None
    print(f"adds: {sizes.adds:,} at 512 connections, then one at a time; files extrapolated to a million entries")
    print(f"  {'':36} {'adds/s':>8} {'ratio':>6} {'lone p50':>9} {'ratio':>6} {'peak':>8} {'GB/M':>6} {'files/M':>8}")
    for each in found:
        rate, lone = (f"{each.rate / floor.rate:.2f}", f"{each.lone / floor.lone:.3f}") if floor else ("", "")
        print(
            f"  {each.name:36} {each.rate:8,.0f} {rate:>6} {each.lone:6.1f} ms {lone:>6} {each.peak:4.0f} MiB "
            f"{each.bytes / 1e9:6.2f} {each.files:8,.0f}"
        )


def _disk() -> Path:
    """On the disk of the checkout: /tmp is in memory on some machines."""
    CACHE.mkdir(parents=True, exist_ok=True)
    return CACHE


# ── reading ──


def fsck(sizes: Sizes) -> None:
    """Everything hashed again, by ours and by Tessera's, on one directory, from start to end of a process."""
    place = tree.build(sizes.fsck, CACHE / f"tree-{sizes.fsck}")
    vkey = place.parent / "log.vkey"
    command = (sys.executable, "-m", "pausectl", "log", "fsck", place, "--vkey", vkey.read_text())
    ours = min(_seconds(command) for _ in range(2))
    line = f"fsck of {sizes.fsck:,} entries, {os.cpu_count()} cores: {sizes.fsck / ours:,.0f} entries/s"
    if (PEERS / "fsck").exists():
        options = (f"--storage_url=file://{place}", f"--public_key={vkey}", "--ui=false", "-N", "4")
        theirs = min(_seconds((PEERS / "fsck", *options)) for _ in range(2))
        line += f"; Tessera's {sizes.fsck / theirs:,.0f}, ratio {theirs / ours:.2f}"
    print(line)


def _seconds(command: Sequence[str | Path]) -> float:
    begun = time.perf_counter()
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    return time.perf_counter() - begun


def hash_tiles(size: int, place: Path) -> Path:
    """The hash tiles of a tree, without entries, which no inclusion proof reads."""
    if not (place / "root").exists():
        hashes = [merkle.leaf_hash(b"%d" % index) for index in range(size)]
        for level in range(len(tile.widths(size))):
            chunks = [hashes[at : at + 256] for at in range(0, len(hashes), 256)]
            files = {
                tile.tile_path(level, index, len(chunk)): tile.format_hashes(chunk)
                for index, chunk in enumerate(chunks)
            }
            tree.write(place, files)
            hashes = [merkle.root(chunk) for chunk in chunks if len(chunk) == 256]
        source = open_source(str(place))
        read = tile.hash_reader(size, lambda wanted: source.fetch(wanted.path))
        root = merkle.Range(size, [read(*each) for each in merkle.complete_subtrees(0, size)]).root()
        (place / "root").write_bytes(root)
    return place


def proofs(sizes: Sizes) -> None:
    """Inclusion proofs of random leaves: from a directory, each tile checked; beside pymerkle's."""
    size, rng = sizes.proofs, Random(1)  # noqa: S311 - to be repeatable
    place = hash_tiles(size, CACHE / f"hashes-{size}")
    tiles = Tiles(open_source(str(place)).fetch, size, (place / "root").read_bytes())
    taken = []
    for index in [rng.randrange(size) for _ in range(200)]:
        begun = time.perf_counter()
        proof = merkle.prove_inclusion(index, size, tiles.read)
        taken.append(time.perf_counter() - begun)
        merkle.check_inclusion(index, size, merkle.leaf_hash(b"%d" % index), tiles.root(size), proof)
    print(f"inclusion proof at {size:,} leaves, tiles from disk and checked: {median(taken) * 1000:.2f} ms", end="")
    print(pymerkle(sizes.pymerkle, rng))


def pymerkle(size: int, rng: Random) -> str:
    """What pymerkle needs for the same, in SQLite; on one line."""
    try:
        from pymerkle import SqliteTree
    except ImportError:
        return "; pymerkle is not installed"
    with tempfile.TemporaryDirectory(dir=_disk()) as scratch:
        made = SqliteTree(f"{scratch}/tree.db", algorithm="sha256")
        made.append_entries([b"%d" % index for index in range(size)])
        taken = []
        for index in [rng.randrange(1, size) for _ in range(5)]:
            begun = time.perf_counter()
            made.prove_inclusion(index)
            taken.append(time.perf_counter() - begun)
    return f"; pymerkle 7.0.0 in SQLite at {size:,}: {median(taken) * 1000:.1f} ms"


# ── growing ──


def growth(sizes: Sizes) -> None:
    """What an append costs in a log that is large already; it must not depend on that."""
    print("append to a log of so many entries: one alone, and 256 in one commit")
    roll, keys, agreement = tree.parties()
    with tempfile.TemporaryDirectory(dir=_disk()) as scratch, ExitStack() as stack:
        now = served.terms.seconds(served.terms.ANCHOR)
        log = stack.enter_context(Log.create(Path(scratch) / "log", agreement, keys[roll.log], now))
        count = 1
        for size in sizes.appends:
            while log.size < size:
                step = min(65_536, size - log.size)
                log.append([(b"%d" % (count + number), f"{count + number:064x}") for number in range(step)])
                count += step
            costs = []
            for batch, times in ((1, 60), (256, 20)):
                taken = []
                for _ in range(times):
                    entries = [(tree.entry(count + number), f"{count + number:064x}") for number in range(batch)]
                    count += batch
                    begun = time.perf_counter()
                    log.append(entries)
                    taken.append(time.perf_counter() - begun)
                costs.append(median(taken) * 1000)
            print(f"  {size:>9,}: {costs[0]:6.2f} ms, {costs[1]:6.2f} ms")


def main(*, quick: bool) -> None:
    """All of it."""
    sizes = QUICK if quick else FULL
    for part in (adds, fsck, proofs, growth):
        begun = time.perf_counter()
        part(sizes)
        print(f"  ({part.__name__}: {time.perf_counter() - begun:.0f} s)", file=sys.stderr)


if __name__ == "__main__":
    main(quick="--quick" in sys.argv)
