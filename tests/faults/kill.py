# SPDX-License-Identifier: Apache-2.0
"""kill -9: a writer under load dies at a random moment, and whoever opens the log next finishes what it began."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

from laboratory import SIZES, Plan, Shelf, Writer, dice, judge
from tally import Tally
from witnessing import consistent

#: Entries of one commit; the large ones cross a tile's end.
BATCHES = ((1,), (1, 2, 3), (7,), (60,), (300, 1))

#: So often one log is killed before another begins.
LIVES = 12


def kill(scratch: Path, trials: int, seed: int, *, stop: bool = False, **broken: Any) -> Tally:
    """Kill writers of one home after another, `LIVES` times each, cosigned and not."""
    tally, shelf = Tally("kill -9 under load", stop), Shelf(scratch)
    left = trials
    for life in range(-(-trials // LIVES)):
        chance = dice(f"{seed}/{life}")
        home = shelf.home(scratch / "home", chance.choice(SIZES))
        memory = scratch / f"witnesses-{life}" if life % 4 == 3 else None
        acks, seen, first = [], [], 0
        for death in range(min(LIVES, left)):
            plan = Plan(home, first=first, batches=chance.choice(BATCHES), witnessed=memory, **broken)
            writer = Writer(plan)
            patience = chance.choice((0.001, 0.01, 0.03, 0.1))
            # Counted from the first acknowledgement, or from the start, where recovery itself is killed.
            if chance.random() < 0.7:
                writer.listen(5, writer.has(1))
            writer.listen(chance.random() * patience)
            if chance.random() < 0.2:
                _watch(writer)
            writer.kill()
            acks, seen = acks + writer.acks, seen + writer.seen
            verdict = judge(home, acks, seen[-400:], more=first + 900_000)
            if memory:
                consistent(verdict, home, memory)
            tally.trial(verdict, writer, about=f"seed {seed}, life {life}, death {death}")
            first = max([first, *(ack.number + 1 for ack in acks)]) + 1000
        left -= LIVES
    tally.seconds = time.monotonic() - tally.started
    return tally


def _watch(writer: Writer) -> None:
    """Come back at the moment when a new checkpoint can be read: what it stands on had better be durable."""
    path, until = writer.plan.home / "log" / "checkpoint", time.monotonic() + 0.2
    before = path.read_bytes() if path.exists() else b""
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            if path.read_bytes() != before:
                writer.look()
                return
