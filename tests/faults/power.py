# SPDX-License-Identifier: Apache-2.0
"""Power cuts: FS_IOC_SHUTDOWN drops whatever a real ext4 or xfs has not been made to keep; a mount is the reboot.

It neither reorders nor tears sectors (`simulation` does), and it forgives whatever a later fsync of another file makes
durable by the way: ext4 and xfs have one journal for all names. So the derived index is written without fsync here,
lest its own be the one that keeps the log's files.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import sqlite3
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from laboratory import Plan, Shelf, Tell, Verdict, Writer, dice, judge
from tally import Skipped, Tally

from pausectl.durable import Disk

_SHUTDOWN, _NOLOGFLUSH = 0x8004587D, 2
_MAKE = {"ext4": ("64M", "mkfs.ext4", "-q", "-F"), "xfs": ("320M", "mkfs.xfs", "-q", "-f")}

#: So often one file system is cut before it is made anew.
_CUTS = 10


def sh(*words: object) -> None:
    subprocess.run([str(word) for word in words], check=True, capture_output=True)


def need(*programs: str) -> None:
    """Skipped where this machine cannot do it: not root, or a program is absent."""
    if os.geteuid() != 0:
        raise Skipped("needs root, for mounts and namespaces")
    where = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    absent = [program for program in programs if shutil.which(program, path=where) is None]
    if absent:
        raise Skipped(f"{', '.join(absent)} absent: run .ci/setup as root")


def force_unmount(top: str) -> None:
    """After a trial that ended in the middle."""
    subprocess.run(["umount", "-l", top], capture_output=True, check=False)


class Disc:
    """A file system in a file."""

    def __init__(self, scratch: Path, kind: str, *options: str, size: str = "") -> None:
        need("mount", _MAKE[kind][1])
        self.image, self.top = scratch / f"{kind}.img", scratch / f"{kind}.mnt"
        self.top.mkdir(exist_ok=True)
        self.image.unlink(missing_ok=True)
        sh("truncate", "-s", size or _MAKE[kind][0], self.image)
        sh(*_MAKE[kind][1:], *options, self.image)

    def mount(self) -> None:
        """Mount it anew. Where a namespace of somebody else's has it still, what is mounted is what was cut: wait."""
        for _ in range(40):
            self._mount()
            try:
                (self.top / "alive").touch()
            except OSError:
                self.unmount()
                time.sleep(0.5)
            else:
                return
        raise RuntimeError(f"{self.top} was not unmounted everywhere")

    def _mount(self) -> None:
        try:
            sh("mount", "-o", "loop", self.image, self.top)
        except subprocess.CalledProcessError as error:
            raise Skipped(f"loop mounts do not work here: {error.stderr.decode().strip()}") from error

    def unmount(self) -> None:
        for attempt in range(50):
            done = subprocess.run(["umount", str(self.top)], capture_output=True, check=False)
            if done.returncode == 0:
                return
            time.sleep(0.01 * (attempt + 1))
        raise RuntimeError(f"{self.top} stays busy: {done.stderr.decode()}")

    def cut(self) -> None:
        """Whatever is not on the disk by now is gone, and nothing more gets there."""
        folder = os.open(self.top, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, _SHUTDOWN, struct.pack("I", _NOLOGFLUSH))
        finally:
            os.close(folder)

    @contextlib.contextmanager
    def mounted(self) -> Iterator[Path]:
        self.mount()
        try:
            yield self.top
        finally:
            self.unmount()


def unsynced_index() -> None:
    """For the writer: its index, which is derived, makes nothing durable."""
    connect = sqlite3.connect

    def quietly(*args: Any, **options: Any) -> sqlite3.Connection:
        return connect(*args, **options, factory=_Quiet)

    sqlite3.connect = quietly


class _Quiet(sqlite3.Connection):
    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        return super().execute(sql.replace("synchronous=FULL", "synchronous=OFF"), *args)


def both(*changes: Any) -> None:
    for change in changes:
        change()


def cut(
    scratch: Path, trials: int, seed: int, *, kind: str, after_ack: bool, stop: bool = False, **broken: Any
) -> Tally:
    """Cut the power just behind an acknowledgement, or at any moment; mount again and look."""
    name = f"power cut, {kind}, {'just after an answer' if after_ack else 'at a random moment'}"
    tally, shelf = Tally(name, stop), Shelf(scratch)
    change = partial(both, unsynced_index, *([broken.pop("change")] if "change" in broken else []))
    done = 0
    while done < trials:
        chance = dice(f"{seed}/{done}")
        disc = Disc(scratch, kind)
        acks, seen = [], []
        with disc.mounted() as top:
            home = shelf.home(top / "home", chance.choice((1, 3, 254, 255)))
            sh("sync", "-f", top)
        for _ in range(min(_CUTS, trials - done)):
            with disc.mounted():
                writer = _until(chance, home, after_ack, first=1000 * len(seen), change=change, **broken)
                disc.cut()
                writer.kill()
            acks, seen = acks + writer.acks, seen + writer.seen
            with disc.mounted():
                verdict = judge(home, acks, seen, more=900_000 + done)
            tally.trial(verdict, writer, about=f"seed {seed}, cut {done}")
            done += 1
    tally.seconds = time.monotonic() - tally.started
    return tally


def _until(chance: Random, home: Path, after_ack: bool, **plan: Any) -> Writer:
    """A writer that has just answered and idles, or one that is in the middle of something."""
    batches = tuple(chance.choice((1, 1, 1, 2, 5, 260)) for _ in range(8))
    if after_ack:
        limit = chance.randrange(1, 5)
        writer = Writer(Plan(home, batches=batches, limit=limit, **plan))
        writer.listen(20, lambda writer: len(writer.acks) >= limit and len(writer.seen) > 0)
        writer.listen(0.001)
        return writer
    writer = Writer(Plan(home, batches=batches, **plan))
    if chance.random() < 0.8:
        writer.listen(20, writer.has(1))
    writer.listen(chance.random() * 0.1)
    return writer


def files(
    scratch: Path, trials: int, seed: int, *, kind: str, stop: bool = False, disk: Callable[[], Disk] = Disk
) -> Tally:
    """The same for single files, written as vaults and witnesses write them, with nothing behind them that helps."""
    tally = Tally(f"power cut, {kind}, just after one file", stop)
    disc = Disc(scratch, kind)
    for trial in range(trials):
        count = dice(f"{seed}/{trial}").randrange(1, 6)
        with disc.mounted() as top:
            folder = top / f"trial-{trial}"
            writer = Writer(Plan(folder, limit=count, disk=disk, work=_put))
            writer.listen(20, writer.has(count))
            disc.cut()
            writer.kill()
        verdict = Verdict()
        with disc.mounted():
            for ack in writer.acks:
                path = folder / str(ack.number)
                if not path.is_file() or path.read_bytes() != b"file %d" % ack.number:
                    verdict.lost += 1
                    verdict.wrong.append(f"file {ack.number} of {count} was acknowledged and is lost")
        tally.trial(verdict, writer, about=f"seed {seed}, trial {trial}")
    tally.seconds = time.monotonic() - tally.started
    return tally


def _put(plan: Plan, tell: Tell) -> int:
    disk = plan.disk()
    disk.folder(plan.home, within=plan.home.parent)
    for number in range(plan.limit):
        disk.put(plan.home / str(number), b"file %d" % number)
        tell(f"A {number} 0 - - 0\n".encode())
    signal.pause()
    return 0
