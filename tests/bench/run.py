# SPDX-License-Identifier: Apache-2.0
"""Ratios, all from one run on one machine: `make bench`, or `python tests/bench/run.py [--quick | --million]`.

Each figure stands beside the floor it is to be judged by: the bare signature check, the bare interpreter. Absolute
times say something about this machine; the ratios about this program.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median

import history
import log as of_log
from ledger import build
from nacl.bindings import crypto_sign_open

from pausectl.agreement import document
from pausectl.agreement.document import Agreement
from pausectl.history.reader import open_ledger
from pausectl.history.source import open_source
from pausectl.log.log import Log
from pausectl.sim.world import World
from pausectl.wire import dsse

ROOT = Path(__file__).resolve().parent.parent.parent
CACHE = ROOT / "build" / "bench"


def timed(action: Callable[[], object]) -> float:
    """Seconds that an action takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


#: Starts a command from a small process: the peak of a child counts what its parent held when it was started.
_LAUNCHER = """
import os, subprocess, sys, time
start = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
usage = os.wait4(child.pid, 0)[2]
print(time.perf_counter() - start, usage.ru_maxrss / 1024)
"""


def command(*words: str) -> tuple[float, float]:
    """(seconds, peak resident MiB of the largest process) of a command run to its end."""
    done = subprocess.run([sys.executable, "-S", "-c", _LAUNCHER, *words], capture_output=True, text=True, check=True)
    seconds, memory = done.stdout.split()
    return float(seconds), float(memory)


def bare_rate(log: Path, agreement: Agreement, most: int = 20_000) -> float:
    """Signatures a second that libsodium alone checks on one core, on the very signatures of the log."""
    ledger = open_ledger(open_source(str(log)).fetch, agreement)
    checks = []
    for _, raw in ledger.entries():
        envelope = dsse.parse(raw)
        message = envelope.pae
        checks += [
            (s.value + message, agreement.keys[s.keyid][1].raw)
            for s in envelope.signatures
            if s.keyid in agreement.keys
        ]
        if len(checks) >= most:
            break
    return len(checks) / timed(lambda: [crypto_sign_open(signed, key) for signed, key in checks])


def verification(entries: int) -> None:
    """A ledger from nothing, on one core and on all; then again with one window more, from a saved state."""
    place = build(entries, CACHE / str(entries))
    agreement = document.parse((place / "agreement.json").read_bytes())
    size = open_ledger(open_source(str(place / "log")).fetch, agreement).size
    bare, cores = bare_rate(place / "log", agreement), os.cpu_count() or 1
    pausectl = (sys.executable, "-m", "pausectl", "verify", "--agreement", str(place / "agreement.json"), "--json")
    print(f"verification of {size:,} entries; libsodium alone: {bare:,.0f} signatures/s on one core, {cores} cores")
    for jobs in sorted({1, cores}):
        seconds, memory = command(*pausectl, str(place / "log"), "--jobs", str(jobs))
        print(
            f"  {jobs} process(es): {size / seconds:,.0f} entries/s, "
            f"{size / seconds / (bare * jobs):.2f} of the bare rate, {memory:.0f} MiB"
        )
    with tempfile.TemporaryDirectory() as scratch:
        state = Path(scratch) / "state.json"
        fresh, _ = command(*pausectl, str(place / "log"), "--state", str(state))
        again, _ = command(*pausectl, str(place / "later"), "--state", str(state))
        print(f"  one window more, from a saved state: {again:.2f} s, {again / fresh:.3f} of a fresh run")


def _add_all(log: Log, batches: Sequence[Sequence[bytes]]) -> None:
    for each in batches:
        log.add(each)


def appends(entries: int = 2_000) -> None:
    """A durable log on this disk, with every check at its door."""
    world = World(windows=entries // 15, pause_at=None).run()
    raws = [raw for _, raw, _ in world.said]
    checks = [
        (e.signatures[0].value + e.pae, world.agreement.keys[e.signatures[0].keyid][1].raw)
        for e in map(dsse.parse, raws)
    ]
    bare = len(checks) / timed(lambda: [crypto_sign_open(signed, key) for signed, key in checks])
    for batch in (1, 256):
        with tempfile.TemporaryDirectory() as scratch:
            key = world.keys[world.roll.log]
            some = raws[: 200 if batch == 1 else len(raws)]
            with Log.create(Path(scratch) / "log", world.agreement, key, world.start(0)) as log:
                batches = [some[i : i + batch] for i in range(0, len(some), batch)]
                seconds = timed(partial(_add_all, log, batches))
        rate = len(some) / seconds
        print(
            f"appends, {batch} to a commit: {rate:,.0f}/s, {rate / bare:.3f} of the bare signature rate "
            f"({len(some)} entries)"
        )


def git_history(commits: int) -> None:
    """The git collector, beside git that only prints what is counted."""
    place = history.build(commits, CACHE / f"history-{commits}")
    bare, held = command("git", "-C", str(place), "log", "--numstat")
    words = ("lab", "collect", "git", str(place), "--window", "2020-01-01T00:00:00Z/2030-01-01T00:00:00Z", "--json")
    seconds, memory = command(sys.executable, "-m", "pausectl", *words)
    print(
        f"git, {commits:,} commits: {seconds:.1f} s, {seconds / bare:.2f} of git log --numstat, "
        f"{memory:.0f} MiB beside {held:.0f} of git"
    )


def starting() -> None:
    """What a person waits for."""
    with tempfile.TemporaryDirectory() as scratch:
        demo = Path(scratch) / "demo"
        pausectl = (sys.executable, "-m", "pausectl")
        command(*pausectl, "demo", "--dir", str(demo))
        agreement, pocket = str(demo / "agreement.json"), str(Path(scratch) / "demo.zip")
        command(*pausectl, "bundle", str(demo / "log"), "--agreement", agreement, "-o", pocket)
        floor = median(command(sys.executable, "-c", "pass")[0] for _ in range(9))
        for name, words in (
            ("--help", ("--help",)),
            ("verify, one bundle", ("verify", pocket, "--agreement", agreement, "--offline")),
        ):
            taken = median(command(*pausectl, *words)[0] for _ in range(9))
            print(f"start, {name}: {taken * 1000:.0f} ms beside {floor * 1000:.0f} ms of a bare interpreter")


def main() -> None:
    """All of it."""
    quick = "--quick" in sys.argv
    print(json.dumps({"python": sys.version.split()[0], "cores": os.cpu_count(), "quick": quick}))
    starting()
    appends(500 if quick else 2_000)
    of_log.main(quick=quick)
    git_history(4_000 if quick else 40_000)
    verification(5_000 if quick else 100_000)
    if "--million" in sys.argv:
        verification(1_000_000)
    print(f"peak of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
