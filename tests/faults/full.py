# SPDX-License-Identifier: Apache-2.0
"""No room: bytes or inodes of a tmpfs or an ext4 run out at a random moment, and come back.

A filler takes what the trial is not to have; removing it is the room that comes back. A log that refused goes on by
itself, one that stopped half way goes on when it is opened again.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from laboratory import SIGNER, Ack, Plan, Shelf, Tell, Verdict, Writer, acknowledge, dice, entry, judge
from power import Disc, need, sh
from served import Crowd, Server, Town, need_servers
from tally import Tally

from pausectl.durable import FATAL
from pausectl.errors import PausectlError, Refused
from pausectl.log.log import Log

KINDS = ("tmpfs", "ext4")
_BLOCK = 4096


def full(scratch: Path, trials: int, seed: int, *, kind: str, what: str, stop: bool = False, **broken: Any) -> Tally:
    """Run out of `what`: bytes or inodes."""
    need("mount")
    tally, shelf = Tally(f"no {what} left, {kind}", stop), Shelf(scratch)
    with _place(scratch, kind, what) as top:
        for trial in range(trials):
            chance = dice(f"{seed}/{trial}")
            home = shelf.home(top / "home", chance.choice((1, 3, 254)))
            room = chance.randrange(2, 40)
            _fill(top / "filler", what, room)
            writer = Writer(Plan(home, batches=(chance.choice((1, 1, 3)),), work=_stubborn, **broken))
            writer.listen(20, lambda writer: bool(writer.said))
            verdict = _resume(tally, home, top / "filler", writer, trial)
            tally.trial(verdict, writer, about=f"seed {seed}, trial {trial}, room {room}")
    tally.seconds = time.monotonic() - tally.started
    return tally


def _resume(tally: Tally, home: Path, filler: Path, writer: Writer, trial: int) -> Verdict:
    """With no room the log refuses, with a reason; with room it goes on."""
    alive = writer.said and writer.said[0].startswith("full:")
    if not alive:
        writer.listen(5)
        writer.end()
        with contextlib.suppress(PausectlError):  # a reason is an answer, and anything else ends the trials
            Log.open(home, SIGNER).close()
    before = len(writer.acks)
    shutil.rmtree(filler)
    if alive:
        writer.listen(20, writer.has(before + 3))
        tally.count("went on by themselves", len(writer.acks) >= before + 3)
        writer.kill()
    else:
        tally.count("stopped half way")
    verdict = judge(home, writer.acks, writer.seen, more=900_000 + trial)
    if alive and len(writer.acks) < before + 3:
        verdict.wrong.append("there is room again, and the log does not go on")
    if not writer.said or writer.said[0].startswith("!"):
        verdict.wrong.append(f"no reason was given: {writer.said[:1]}")
    return verdict


def _stubborn(plan: Plan, tell: Tell) -> int:
    """Adds, and asks again when it is refused."""
    number = 0
    with Log.open(plan.home, SIGNER, disk=plan.disk()) as log:
        while True:
            batch = range(number, number + plan.batches[0])
            try:
                answers = log.add([entry(n) for n in batch])
            except Refused as error:
                tell(f"E full: {error}\n".encode())
                time.sleep(0.005)
                continue
            acknowledge(tell, batch, answers)
            tell(f"C {log.checkpoint.hex()}\n".encode())
            number = batch.stop


@contextlib.contextmanager
def _place(scratch: Path, kind: str, what: str) -> Iterator[Path]:
    if kind == "tmpfs":
        top = scratch / "tmpfs"
        top.mkdir(exist_ok=True)
        sh("mount", "-t", "tmpfs", "-o", "size=3M,nr_inodes=400", "none", top)
        try:
            yield top
        finally:
            sh("umount", top)
    else:
        # Without blocks that are kept for root, who runs this.
        with Disc(scratch, kind, "-m", "0", *(("-N", "256") if what == "inodes" else ()), size="4M").mounted() as top:
            yield top


def _fill(filler: Path, what: str, room: int) -> None:
    """Leave `room` blocks or inodes."""
    shutil.rmtree(filler, ignore_errors=True)
    filler.mkdir()
    with contextlib.suppress(OSError):
        if what == "inodes":
            for number in range(os.statvfs(filler).f_ffree - room):
                (filler / str(number)).touch()
        else:
            free = os.statvfs(filler).f_bavail * os.statvfs(filler).f_frsize
            with (filler / "bytes").open("wb") as file:
                for _ in range(max(0, free // _BLOCK - room)):
                    file.write(bytes(_BLOCK))


def serve(scratch: Path, trials: int, seed: int, *, stop: bool = False, **_: Any) -> Tally:
    """The same with a log that serves: 503 while there is no room, then it goes on, or ends with 5 and comes back."""
    need("mount")
    need_servers()
    tally, numbers = Tally("no bytes left under a serving log", stop), itertools.count()
    acks: list[Ack] = []
    seen: list[bytes] = []
    with _place(scratch, "tmpfs", "bytes") as top:
        home = Shelf(scratch).home(top / "home", 3)
        town = Town(scratch, home, lambda _: ("127.0.0.1", ()))
        town.start()
        try:
            for trial in range(trials):
                crowd = Crowd(town.log.url, numbers)
                crowd.wait(1, 30)
                _fill(top / "filler", "bytes", dice(f"{seed}/{trial}").randrange(2, 40))
                verdict = _no_room(tally, town.log, crowd, top / "filler")
                crowd.end()
                verdict.wrong += [said for said in crowd.wrong if "answered 5" not in said][:2]
                acks, seen = acks + crowd.acks, seen + crowd.seen
                tally.trial(verdict, about=f"seed {seed}, trial {trial}")
        finally:
            town.stop()
        tally.acks, tally.seen = len(acks), len(seen)
        tally.trial(judge(home, acks, seen, more=900_000), about="the end")
    tally.seconds = time.monotonic() - tally.started
    return tally


def _no_room(tally: Tally, log: Server, crowd: Crowd, filler: Path) -> Verdict:
    verdict, until, refused = Verdict(), time.monotonic() + 20, crowd.refusals
    while log.process.poll() is None and crowd.refusals < refused + 3 and time.monotonic() < until:
        time.sleep(0.01)
    if crowd.refusals == refused and log.process.poll() is None:
        verdict.wrong.append("was not refused anything")
    shutil.rmtree(filler)
    if not crowd.wait(2, 2) and log.process.poll() is None and not crowd.wait(2, 30):
        verdict.wrong.append(f"there is room again, and nothing is acknowledged: {log.told[-300:]}")
    code = log.process.poll()
    if code is None:
        tally.count("refused, and went on by themselves")
        return verdict
    tally.count("ended with 5")
    if code != FATAL:
        verdict.wrong.append(f"ended with {code}: {log.told[-200:]}")
    log.start()
    if not crowd.wait(1, 30):
        verdict.wrong.append(f"started again, and nothing is acknowledged: {log.told[-300:]}")
    return verdict
