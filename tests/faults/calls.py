# SPDX-License-Identifier: Apache-2.0
"""Every file-system call of one append fails in turn, by strace: EIO, ENOSPC, EDQUOT, EINTR, or the process dies there.

strace attaches to a writer that is about to open its log, so the start of the interpreter is not swept. It filters by
absolute paths; with others it would inject nothing and everything would pass, so each run has to show what it injected.
It is blind to an fsync that is missing (`power`), and has no short writes.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from laboratory import SIGNER, Plan, Shelf, Verdict, Writer, judge
from power import Disc, sh
from tally import Skipped, Tally

from pausectl.durable import FATAL
from pausectl.errors import PausectlError
from pausectl.log.log import Log

FAULTS = ("EIO", "ENOSPC", "EDQUOT", "EINTR", "KILL")

#: Three entries that complete the first full tile, one that begins the next.
_SIZE, _BATCHES, _LIMIT = 253, (3, 1), 4

_SYNCS = ("fsync", "fdatasync")
#: SQLite synchronises the directory of a new journal and does not look whether that succeeded. The index is derived.
_SQLITES = "/state>)"

_CALL = re.compile(r"^(?P<at>[0-9.]+) (?P<name>[a-z0-9_]+)\(")
_FULL = re.compile(r'</(?P<folder>[^>]*)>, "(?P<name>[A-Za-z0-9._-]+)"|</(?P<fd>[^>]*)>|"/(?P<path>[^"\\]*)"')


@dataclass(frozen=True)
class Point:
    """The k-th call of this name fails so."""

    name: str
    fault: str
    k: int

    @property
    def option(self) -> str:
        what = "signal=KILL" if self.fault == "KILL" else f"error={self.fault}"
        return f"inject={self.name}:{what}:when={self.k}"

    def __str__(self) -> str:
        return f"{self.name} number {self.k}: {self.fault}"


class Bench:
    """One home, made anew for each run at the same place, so that the k-th call is always the same."""

    def __init__(self, scratch: Path, place: Path | None = None, **broken: Any) -> None:
        """place: where the home is, if not in the scratch folder; what is made there is durable before a run."""
        self._shelf = Shelf(scratch)
        self._trace = scratch / "trace"
        self.home = (place or scratch).resolve() / "home"
        self._broken = broken
        self._paths: list[str] = []

    def run(self, options: Sequence[str]) -> tuple[Writer, list[str]]:
        """The writer, ended, and the lines of its trace."""
        self._shelf.home(self.home, _SIZE)
        sh("sync", "-f", self.home)
        plan = Plan(self.home, batches=_BATCHES, limit=_LIMIT, wait=True, finish=True, **self._broken)
        writer = Writer(plan)
        writer.listen(20, lambda writer: writer.ready)
        only = [word for path in self._paths for word in ("-P", path)]
        command = ["strace", "-qq", "-y", "-ttt", "-o", str(self._trace), *options, *only, "-p", str(writer.pid)]
        strace = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            _attached(writer.pid, strace)
            writer.go()
            writer.listen(60)
            writer.end()
        finally:
            writer.kill()
            strace.wait(10)
            strace.stderr.close()
        return writer, self._trace.read_text(errors="replace").splitlines()

    def learn(self) -> Counter[str]:
        """Which paths the append touches, and how often it makes each call on them."""
        _, lines = self.run([])
        self._paths = sorted({path for line in lines for path in _paths(line) if path.startswith(str(self.home))})
        writer, lines = self.run([])
        if os.waitstatus_to_exitcode(writer.end()) or len(writer.acks) != _LIMIT:
            raise RuntimeError(f"the append that is to be swept does not work: {writer.said}")
        return Counter(match["name"] for line in lines if (match := _CALL.match(line)))


def _paths(line: str) -> Iterator[str]:
    """Absolute paths in a line of `strace -y`."""
    for match in _FULL.finditer(line):
        if match["folder"]:
            yield f"/{match['folder']}"
            yield f"/{match['folder']}/{match['name']}"
        else:
            yield f"/{match['fd'] or match['path']}"


def _attached(pid: int, strace: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 20
    while "TracerPid:\t0\n" in Path(f"/proc/{pid}/status").read_text():
        if strace.poll() is not None or time.monotonic() > until:
            raise Skipped(f"strace cannot attach: {strace.stderr.read().decode().strip()[:200]}")
        time.sleep(0.0005)


def points(calls: Counter[str], faults: Sequence[str] = FAULTS, only: Sequence[str] = ()) -> list[Point]:
    """Every call × every fault."""
    names = [name for name in sorted(calls) if not only or name in only]
    return [Point(name, fault, k) for name in names for fault in faults for k in range(1, calls[name] + 1)]


def sweep(
    scratch: Path, trials: int, seed: int, *, only: Sequence[str] = (), stop: bool = False, **broken: Any
) -> Tally:
    """At most `trials` points, evenly spread over all of them; 0 for all."""
    tally = Tally("a system call of one append fails", stop)
    if subprocess.run(["which", "strace"], capture_output=True, check=False).returncode:
        raise Skipped("strace absent: run .ci/setup as root")
    bench = Bench(scratch, **broken)
    calls = bench.learn()
    every = points(calls, only=only)
    step = max(1, len(every) // trials) if trials else 1
    chosen = list(itertools.islice(every, seed % step, None, step))
    for point in chosen:
        writer, lines = bench.run(["-e", point.option])
        tally.trial(_judged(bench.home, writer, lines, point), writer, about=str(point))
        tally.count(point.fault)
    beyond = [Point(name, "EIO", calls[name] + 1) for name in sorted(calls) if not only or name in only]
    for point in beyond if not broken else ():
        writer, lines = bench.run(["-e", point.option])
        tally.check(not any("INJECTED" in line for line in lines), f"{point}: there is one more", about="the end")
    tally.note = f"{sum(calls.values())} calls of {len(calls)} kinds, of {len(every):,} points {len(chosen):,}"
    tally.seconds = time.monotonic() - tally.started
    return tally


def _judged(home: Path, writer: Writer, lines: Sequence[str], point: Point) -> Verdict:
    """What must hold after a call failed."""
    code = os.waitstatus_to_exitcode(writer.end())
    verdict = judge(home, writer.acks, writer.seen, more=900_000)
    injected = [line for line in lines if "(INJECTED)" in line]
    if point.fault == "KILL":
        if code != -signal.SIGKILL:
            verdict.wrong.append(f"was to die, and ended with {code}")
        return verdict
    if not injected:
        verdict.wrong.append("nothing was injected")
        return verdict
    if code == 70:
        verdict.wrong.append(f"ended with an error of no kind of ours: {writer.said}")
    elif code and not writer.said and code != 5:
        verdict.wrong.append(f"ended with {code} and no reason")
    if point.name in _SYNCS and point.fault != "EINTR" and not _is_sqlites(point, injected[0]):
        at = float(_CALL.match(injected[0])["at"])
        if any(ack.at > at for ack in writer.acks):
            verdict.wrong.append("an entry was acknowledged after fsync had failed")
    return verdict


def _is_sqlites(point: Point, line: str) -> bool:
    """Our own of that directory is an fsync, and has to end the process."""
    return point.name == "fdatasync" and _SQLITES in line


def lost_sync(scratch: Path, trials: int, seed: int, *, kind: str, stop: bool = False) -> Tally:
    """An fsync fails, and nothing of it is on the disk; the log starts again, and then the power goes.

    What the page cache shows after the first error the disk may never have got: a start that believes it loses it here.
    """
    tally = Tally(f"fsync fails, restart, power cut, {kind}", stop)
    if subprocess.run(["which", "strace"], capture_output=True, check=False).returncode:
        raise Skipped("strace absent: run .ci/setup as root")
    disc = Disc(scratch, kind)
    with disc.mounted() as top:
        bench = Bench(scratch, top)
        syncs = bench.learn()["fsync"]
    for trial in range(trials):
        point = Point("fsync", "EIO", 1 + (seed + trial) % syncs)
        with disc.mounted():
            writer, _ = bench.run(["-e", point.option])
            ended = os.waitstatus_to_exitcode(writer.end())
            with contextlib.suppress(PausectlError):
                Log.open(bench.home, SIGNER).close()
            disc.cut()
        with disc.mounted():
            verdict = judge(bench.home, writer.acks, writer.seen, more=900_000)
        if ended != FATAL:
            verdict.wrong.append(f"ended with {ended}, not {FATAL}")
        tally.trial(verdict, writer, about=str(point))
    tally.seconds = time.monotonic() - tally.started
    return tally
