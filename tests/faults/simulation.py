# SPDX-License-Identifier: Apache-2.0
"""A disk that keeps what it was made to keep, and of everything else whatever the seed says: torn, reordered, or lost.

More cruel than any power cut of a real file system: of each name that was not synchronised the old or the new one is
kept, each by itself; of each file that was not, nothing, all, a part, or a part and garbage. Everything follows from
the seed, the log runs in this process, and its last breath is an exception out of the system call where the power goes.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from laboratory import SIGNER, SIZES, START, Ack, Shelf, dice, entry, judge, told, witnesses
from tally import Tally

from pausectl.durable import Disk
from pausectl.log.log import Log

#: So often the power goes for one seed at most, in the middle of recoveries too.
_LIVES = 4


class Cut(BaseException):
    """The power is gone, or the process killed."""


class Inode:
    """data: what of a file is certainly on the disk."""

    def __init__(self, data: bytes = b"", *, safe: bool = False) -> None:
        self.data = data
        self.safe = safe


class Memory:
    """Watches a `Disk` below a folder, and knows what of it is durable. It ends when `left` calls were made."""

    def __init__(self, root: Path, chance: Random) -> None:
        self.root, self.chance, self.left = root, chance, -1
        self.seen: list[bytes] = []
        self._inodes: dict[int, Inode] = {}
        self._names: dict[Path, dict[str, int]] = {}
        for folder in (root, *(path for path in root.rglob("*") if path.is_dir())):
            for path in folder.iterdir():
                if path.is_file():
                    self._inodes[path.stat().st_ino] = Inode(path.read_bytes(), safe=True)
            self._names[folder] = self._now(folder)

    def __call__(self, call: str, path: Path) -> None:
        shown = self.root / "log" / "checkpoint"
        if shown.exists() and (raw := shown.read_bytes()) not in self.seen[-2:]:
            self.seen.append(raw)
        if self.left == 0:
            raise Cut
        self.left -= 1
        if call == "write":
            self._inodes[path.stat().st_ino] = Inode()
        elif call == "fsync" and path.is_dir():
            self._names[path] = self._now(path)
        elif call == "fsync":
            self._inodes[path.stat().st_ino] = Inode(path.read_bytes(), safe=True)

    def _now(self, folder: Path) -> dict[str, int]:
        """Names in a directory and what they lead to: an inode, or -1 for a directory; SQLite's files are nobody's."""
        if not folder.is_dir():
            return {}  # it was removed, and may come back
        return {
            path.name: -1 if path.is_dir() else path.stat().st_ino
            for path in folder.iterdir()
            if path.is_dir() or path.stat().st_ino in self._inodes
        }

    def lay_out(self, place: Path) -> None:
        """What the power cut left, at `place`."""
        self._lay_out(self.root, place)

    def _lay_out(self, folder: Path, place: Path) -> None:
        place.mkdir(parents=True)
        kept, now = self._names.get(folder, {}), self._now(folder)
        for name in sorted({*kept, *now}):
            inode = kept.get(name)
            if now.get(name) != inode and self.chance.random() < 0.5:
                inode = now.get(name)
            if inode == -1:
                self._lay_out(folder / name, place / name)
            elif inode is not None:
                (place / name).write_bytes(self._bytes(inode, folder, now))

    def _bytes(self, number: int, folder: Path, now: dict[str, int]) -> bytes:
        inode = self._inodes[number]
        if inode.safe:
            return inode.data
        name = next((name for name, other in now.items() if other == number), None)
        whole = (folder / name).read_bytes() if name else b""
        part = whole[: self.chance.randrange(len(whole) + 1)]
        return self.chance.choice((b"", whole, part, part + self.chance.randbytes(len(whole) - len(part))))


def simulate(
    scratch: Path, trials: int, seed: int, *, stop: bool = False, change: Callable[[], Any] | None = None, **broken: Any
) -> Tally:
    """One log for each seed, cut up to four times."""
    undo = change() if change else lambda: None
    try:
        return _simulate(scratch, trials, seed, stop, broken)
    finally:
        undo()


def _simulate(scratch: Path, trials: int, seed: int, stop: bool, broken: dict[str, Any]) -> Tally:
    tally, shelf = Tally("simulated disk that tears and reorders", stop), Shelf(scratch)
    for trial in range(trials):
        chance = dice(f"{seed}/{trial}")
        life = _Life(scratch, shelf, chance, broken)
        for _ in range(chance.randrange(1, _LIVES + 1)):
            life.live()
            tally.count(life.end or "closed", 1)
        life.settle()
        verdict = judge(life.home, life.acks, life.seen, more=900_000)
        verdict.wrong += life.complaints
        tally.acks, tally.seen = tally.acks + len(life.acks), tally.seen + len(life.seen)
        tally.trial(verdict, about=f"seed {seed}/{trial}")
        for path in life.places:
            shutil.rmtree(path, ignore_errors=True)
    tally.seconds = time.monotonic() - tally.started
    return tally


class _Life:
    """A log through several power cuts."""

    def __init__(self, scratch: Path, shelf: Shelf, chance: Random, broken: dict[str, Any]) -> None:
        self.home = shelf.home(scratch / "sim-0", chance.choice(SIZES))
        self.acks: list[Ack] = []
        self.seen: list[bytes] = []
        self.complaints: list[str] = []
        self.end = ""
        self._memory: Memory | None = None
        self.places = [self.home, scratch / "sim-witnesses"]
        self._chance, self._scratch = chance, scratch
        self._number = 0
        self._disk: Callable[..., Disk] = broken.get("disk", Disk)
        self._make_log = broken.get("make_log", Log.open)
        shutil.rmtree(self.places[1], ignore_errors=True)
        self._asked = witnesses(self.places[1], lambda: START + self._number) if chance.random() < 0.25 else []

    def live(self) -> None:
        """Open, add, and be cut, perhaps at once; or only die, and find again what the page cache shows."""
        chance = self._chance
        memory = self._memory or Memory(self.home, chance)
        memory.left = chance.randrange(chance.choice((3, 30, 120)))
        self.end = ""
        try:
            with self._make_log(self.home, SIGNER, disk=self._disk(memory)) as log:
                for _ in range(4):
                    self._add(log)
        except Cut:
            self.end = chance.choice(("power cuts", "power cuts", "deaths without"))
        self.seen += memory.seen
        self._memory = memory
        if self.end == "power cuts":
            self._reboot(memory)

    def settle(self) -> None:
        """If it only died last, or did not: it starts once more, and the power goes behind that."""
        if self._memory is not None:
            self._memory.left = -1
            self._make_log(self.home, SIGNER, disk=self._disk(self._memory)).close()
            self._reboot(self._memory)

    def _add(self, log: Log) -> None:
        batch = range(self._number, self._number + self._chance.choice((1, 1, 2, 5)))
        self._number = batch.stop
        answers = log.add([entry(n) for n in batch])
        if self._asked:
            log.cosign(self._asked, START + self._number)
            self.complaints += [f"a witness complained: {said}" for said in log.complaints]
        self.acks += [told(n, answer) for n, answer in zip(batch, answers, strict=True)]

    def _reboot(self, memory: Memory) -> None:
        place = self._scratch / f"sim-{len(self.places)}"
        shutil.rmtree(place, ignore_errors=True)
        memory.lay_out(place)
        for suffix in ("", "-wal"):
            index = self.home / "state" / f"index.db{suffix}"
            if index.exists() and self._chance.random() < 0.6:
                shutil.copy(index, place / "state" / index.name)
        self.places.append(place)
        self.home, self._memory = place, None
