# SPDX-License-Identifier: Apache-2.0
"""Throw damaged bytes at every parser and every HTTP door: `python tests/fuzz/run.py [--inputs N] [--only NAME …]`.

Every input follows from the seed, the target's name and its index, so what is found is found again. A parser accepts an
input, and then writes it back byte for byte, or refuses it as Malformed or Forged; a door answers it in time and with
no 5xx. Anything else ends with exit code 1 and a line that reproduces it. Slow is wrong too: nobody may make a reader
wait for seconds with 64 KiB; and so is a process that has grown large.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
import traceback
from base64 import b64encode
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from math import ceil
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parent))  # these tests are no package

import targets as shelf
from targets import Target, Violation

#: Processor seconds for one input of at most 1 MiB.
SLOW = 2.0
#: MiB that a process may have held at most, whatever it was given.
LARGE = 1_024
_CHUNK = 500


@dataclass
class Found:
    """What came of one chunk."""

    name: str
    counts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    slowest: float = 0.0
    peak: int = 0
    violations: list[str] = field(default_factory=list)


@cache
def targets() -> dict[str, Target]:
    return {target.name: target for target in shelf.all_targets()}


def make(target: Target, seed: str, index: int) -> bytes:
    """Input number `index`; the first ones are the valid inputs themselves."""
    if index < len(target.seeds):
        return target.seeds[index]
    return target.make(Random(f"{seed}/{target.name}/{index}"))  # noqa: S311 - to be repeatable is the point


def throw(target: Target, raw: bytes) -> tuple[str, str, float]:
    """(accepted, refused or violation; what was wrong; processor seconds)."""
    started = time.process_time()
    try:
        outcome, wrong = target.check(raw), ""
    except Violation as error:
        outcome, wrong = "violation", str(error)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what we look for
        where = traceback.extract_tb(error.__traceback__)[-1]
        outcome, wrong = "violation", f"{type(error).__name__}: {str(error)[:300]} ({where.filename}:{where.lineno})"
    took = time.process_time() - started
    if took > SLOW:
        outcome, wrong = "violation", f"took {took:.1f} s"
    return outcome, wrong, took


def chunk(name: str, seed: str, start: int, end: int) -> Found:
    """Inputs `start` to `end` of one parser."""
    target, found = targets()[name], Found(name)
    for index in range(start, end):
        raw = make(target, seed, index)
        outcome, wrong, took = throw(target, raw)
        if index < len(target.seeds) and outcome != "accepted":
            outcome, wrong = "violation", f"a valid input was refused {wrong}"
        found.counts[outcome] += 1
        found.seconds += took
        found.slowest = max(found.slowest, took)
        if wrong:
            found.violations.append(f"{name} {index}: {wrong}\n  {again(name, seed, index)}\n  {shown(raw)}")
    found.peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    if found.peak > LARGE:
        found.violations.append(f"{name}: the process held {found.peak} MiB by input {end}")
    return found


def again(name: str, seed: str, index: int) -> str:
    return f"python tests/fuzz/run.py --seed {seed} --only {name} --at {index}"


def shown(raw: bytes) -> str:
    """Base64 of an input that fits on a page."""
    return f"{len(raw)} bytes: {b64encode(raw[:3000]).decode()}{'…' if len(raw) > 3000 else ''}"


def plan(inputs: int, only: str | None) -> list[tuple[str, int, int]]:
    """(name, start, end) of every chunk; each parser gets its share."""
    chosen = [target for target in targets().values() if only in (None, target.name)]
    whole = sum(target.share for target in chosen)
    counts = {target.name: max(ceil(inputs * target.share / whole), len(target.seeds)) for target in chosen}
    return [(name, at, min(at + _CHUNK, count)) for name, count in counts.items() for at in range(0, count, _CHUNK)]


def run(chunks: list[tuple[str, int, int]], seed: str, jobs: int) -> dict[str, Found]:
    """Everything that came of it, by parser."""
    found = {name: Found(name) for name, _, _ in chunks}
    with ProcessPoolExecutor(jobs) as pool:
        for part in pool.map(chunk, *zip(*((name, seed, start, end) for name, start, end in chunks), strict=True)):
            whole = found[part.name]
            whole.counts += part.counts
            whole.seconds += part.seconds
            whole.slowest = max(whole.slowest, part.slowest)
            whole.peak = max(whole.peak, part.peak)
            whole.violations += part.violations
    return found


def table(found: dict[str, Found]) -> str:
    lines = [f"{'parser':18} {'accepted':>9} {'refused':>9} {'wrong':>6} {'s':>7} {'slowest ms':>11}"]
    for each in found.values():
        accepted, refused, wrong = (each.counts[kind] for kind in ("accepted", "refused", "violation"))
        times = f"{each.seconds:7.1f} {each.slowest * 1000:11.1f}"
        lines.append(f"{each.name:18} {accepted:9} {refused:9} {wrong:6} {times}")
    total = sum((each.counts for each in found.values()), Counter[str]())
    lines.append(f"{'in all':18} {total['accepted']:9} {total['refused']:9} {total['violation']:6}")
    lines.append(f"{total.total():,} inputs, no process larger than {max(each.peak for each in found.values())} MiB")
    return "\n".join(lines)


def one(name: str, seed: str, index: int) -> int:
    """Show one input again, with its traceback."""
    target = targets()[name]
    raw = make(target, seed, index)
    print(shown(raw))
    print(target.check(raw))
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=1_000_000, help="in all")
    parser.add_argument("--each", type=int, help="for each parser, instead")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--only", choices=targets())
    parser.add_argument("--at", type=int, help="this input alone")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    if options.at is not None:
        return one(options.only, options.seed, options.at)
    chunks = plan(options.inputs, options.only)
    if options.each:
        chunks = [(name, 0, options.each) for name in dict.fromkeys(name for name, _, _ in chunks)]
    with tempfile.TemporaryDirectory(dir=Path("/dev/shm") if Path("/dev/shm").is_dir() else None) as scratch:  # noqa: S108
        shelf.doors.ROOT.append(Path(scratch))
        found = run(chunks, options.seed, options.jobs)
    print(table(found))
    violations = [line for each in found.values() for line in each.violations]
    print("\n".join(violations[:20]), file=sys.stderr)
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
