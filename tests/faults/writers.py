# SPDX-License-Identifier: Apache-2.0
"""Two writers on one log, with its lock and without; and writes that arrive long after newer ones."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from laboratory import AGREEMENT, SIGNER, Plan, Shelf, Tell, Verdict, Writer, acknowledge, dice, entry, judge
from power import both
from tally import Tally

from pausectl import durable
from pausectl.durable import Disk
from pausectl.errors import Broken, PausectlError, Refused
from pausectl.log import log
from pausectl.log.log import Log
from pausectl.log.storage import posix
from pausectl.wire import checkpoint

#: Writers at once.
_WRITERS = 3


def two(
    scratch: Path,
    trials: int,
    seed: int,
    *,
    locked: bool = True,
    stop: bool = False,
    change: Callable[[], object] = lambda: None,
) -> Tally:
    """Several processes open one log again and again, add, and leave or die.

    locked: with the log's lock. Without, as on a file system whose locks do nothing, the head register alone decides:
    it lets no fork happen, but who opens the log clears what another has staged, so a death may end in a refusal.
    """
    name = "several writers, one lock" if locked else "several writers, no lock, one register"
    tally, shelf = Tally(name, stop), Shelf(scratch)
    for trial in range(trials):
        chance = dice(f"{seed}/{trial}")
        home = shelf.home(scratch / "home", chance.choice((1, 3, 254)))
        changes = (change,) if locked else (unlock, change)
        writers = [
            Writer(Plan(home, first=1000 * n, batches=(1, 2), work=_race, change=partial(both, *changes)))
            for n in range(_WRITERS)
        ]
        until = time.monotonic() + 0.05 + chance.random() * 0.2
        while time.monotonic() < until:
            for writer in writers:
                writer.listen(0.004)
        for writer in writers:
            writer.kill()
        acks = [ack for writer in writers for ack in writer.acks]
        seen = [raw for writer in writers for raw in writer.seen]
        verdict = judge(home, sorted(acks, key=lambda ack: ack.index), seen, may_refuse=not locked, more=900_000)
        _two_trees(verdict, seen)
        _count(tally, verdict, writers)
        tally.acks, tally.seen = tally.acks + len(acks), tally.seen + len(seen)
        tally.trial(verdict, about=f"seed {seed}, trial {trial}")
    tally.seconds = time.monotonic() - tally.started
    return tally


def _two_trees(verdict: Verdict, seen: list[bytes]) -> None:
    """Two checkpoints of one size and of two trees, whether or not the log starts."""
    roots: dict[int, bytes] = {}
    for raw in seen:
        told = checkpoint.open(raw, AGREEMENT.log_key)[0]
        if roots.setdefault(told.size, told.root) != told.root:
            verdict.forks += 1
            verdict.wrong.append(f"two trees of {told.size} entries were published")
            return


def _count(tally: Tally, verdict: Verdict, writers: list[Writer]) -> None:
    for writer in writers:
        for said in writer.said:
            kind = said.split(":", 1)[0]
            tally.count({"Refused": "refusals", "Broken": "ends half way"}.get(kind, kind))
            if kind not in ("Refused", "Broken", "Unavailable"):
                verdict.wrong.append(f"a writer ended with an error of no kind of ours: {said[:200]}")


def unlock() -> None:
    """For the writer: the log's lock lets everybody in."""
    lock = durable.lock

    def everybody(path: Path, *, wait: bool = False) -> int:
        return lock(path if path.name != "lock" else path.with_name(f"lock-{time.monotonic_ns()}"), wait=wait)

    durable.lock = everybody
    index = log.Index
    # SQLite's own lock would be one too.
    log.Index = lambda path: index(path.with_name(f"index-{os.getpid()}.db"))


def no_register() -> None:
    """For the writer, as a sabotage: the register is replaced whatever its value is."""

    def swap(self: Any, _: bytes, new: bytes) -> None:
        self._disk.put(self._path, new, self._mode)

    posix.PosixHead.swap = swap


def _race(plan: Plan, tell: Tell) -> int:
    number = plan.first
    chance = dice(number)
    while True:
        try:
            with Log.open(plan.home, SIGNER, disk=plan.disk()) as opened:
                for _ in range(chance.randrange(1, 4)):
                    batch = range(number, number + chance.choice(plan.batches))
                    answers = opened.add([entry(n) for n in batch])
                    acknowledge(tell, batch, answers)
                    tell(f"C {opened.checkpoint.hex()}\n".encode())
                    number = batch.stop
        except (Refused, Broken) as error:
            tell(f"E {type(error).__name__}: {error}\n".encode())
            number += 1
        except PausectlError as error:
            tell(f"E Unavailable: {error}\n".encode())
            number += 1
        time.sleep(chance.random() * 0.004)


# ── writes that are late ───────────────────────────────────────────────────────────────────────────────────────────


class _Recorded:
    """A seam that remembers what was written through it."""

    def __init__(self, inner: Any, kept: list[tuple[str, tuple[Any, ...]]], name: str) -> None:
        self._inner, self._kept, self._name = inner, kept, name

    def __getattr__(self, call: str) -> Any:
        done = getattr(self._inner, call)

        def record(*args: Any, **options: Any) -> Any:
            if call in ("put", "swap"):
                self._kept.append((self._name, args))
            return done(*args, **options)

        return record


def late(
    scratch: Path, trials: int, seed: int, *, stop: bool = False, change: Callable[[], Any] | None = None
) -> Tally:
    """Every write of a log's life again, in any order: refused or without effect, and never an older byte."""
    tally, shelf = Tally("late duplicate writes", stop), Shelf(scratch)
    undo = change() if change else lambda: None
    try:
        _repeat_all(tally, shelf, scratch, trials, seed)
    finally:
        undo()
    tally.seconds = time.monotonic() - tally.started
    return tally


def _repeat_all(tally: Tally, shelf: Shelf, scratch: Path, trials: int, seed: int) -> None:
    for trial in range(trials):
        chance = dice(f"{seed}/{trial}")
        home, kept = shelf.home(scratch / "home", chance.choice((3, 253))), []
        store = posix.open(home, Disk())
        with Log.open(home, SIGNER) as opened:
            for name in ("objects", "head", "public"):
                object.__setattr__(opened.store, name, _Recorded(getattr(opened.store, name), kept, name))
            for number in range(6):
                opened.add([entry(number)])
            seen = [opened.checkpoint]
        before = _bytes(home)
        for name, args in chance.sample(kept, len(kept)):
            try:
                getattr(getattr(store, name), "put" if name == "objects" else "swap")(*args)
                tally.count("without effect")
            except Refused:
                tally.count("refused")
        after = _bytes(home)
        changed = [path for path in before if after.get(path) != before[path]]
        verdict = judge(home, [], seen)
        if changed:
            verdict.wrong.append(f"a late write changed {changed[0]}")
        tally.trial(verdict, about=f"seed {seed}, trial {trial}")


def _bytes(home: Path) -> dict[str, bytes]:
    """What is public, and the register; a superseded tile that comes back is nobody's harm."""
    places = [home / "state" / "head", *(path for path in (home / "log").rglob("*") if path.is_file())]
    return {str(path): path.read_bytes() for path in places}
