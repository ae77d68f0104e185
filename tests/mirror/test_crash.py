# SPDX-License-Identifier: Apache-2.0
"""A mirror that is killed, or loses its power, at any system call goes on where it stopped and took nothing back.

MIR-3, MIR-4, MIR-5.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from threading import Lock

import pytest

from pausectl.durable import Disk
from pausectl.history.tiles import Tiles
from pausectl.mirror import follow
from pausectl.mirror.follow import Mirror
from pausectl.mirror.memory import parse_cursor
from pausectl.mirror.trust import Cosigner
from pausectl.sim.terms import demo_key
from pausectl.wire import checkpoint, tile

NOW = 1_800_000_000
MEMORY = Path("/dev/shm")  # noqa: S108 - for what need not survive
_disks = importlib.util.spec_from_file_location("lossy_disks", Path(__file__).parent.parent / "log" / "conftest.py")
disks = importlib.util.module_from_spec(_disks)
sys.modules[_disks.name] = disks
_disks.loader.exec_module(disks)


@pytest.fixture
def quick() -> Iterator[Path]:
    """A folder in memory: what is killed here need not be durable."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture(autouse=True)
def _short_strides(monkeypatch):
    monkeypatch.setattr(follow, "STRIDE", 2)


def opened(home: Path, trust, **options) -> Mirror:
    return Mirror(home, trust, Cosigner("mirror.example", [demo_key("mirror.example")], trust), **options)


def shown(home: Path, trust) -> int:
    """Size of the public checkpoint, 0 if there is none; every byte of its tree has to be there."""
    file = home / "log" / "checkpoint"
    if not file.exists():
        return 0
    found, _ = checkpoint.open(file.read_bytes(), trust.log_key)
    tiles = Tiles(lambda path: (home / "log" / path).read_bytes(), found.size, found.root)
    for each in tile.bundles_for(found.size):
        tiles.bundle(each)
    return found.size


def killed_at(at: int, work) -> bool:
    """Run `work(disk)` in a process that dies before system call `at`; whether it came to its end."""
    child = os.fork()
    if child == 0:
        try:
            work(Disk(disks.Killed(at)))
            os._exit(0)
        except BaseException:  # noqa: BLE001
            os._exit(1)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return False
    assert os.waitstatus_to_exitcode(status) == 0
    return True


@pytest.mark.parametrize(("before", "after"), [(0, 600), (300, 1_300)])
def test_killed_at_every_system_call(tree, trust, quick, before, after):
    start, small, log = quick / "start", tree(before), tree(after)
    with opened(start, trust) as mirror:
        mirror.follow(small, NOW)
    at = resumed = 0
    while True:
        home = quick / "mirror"
        shutil.copytree(start, home)

        def work(disk: Disk, home: Path = home) -> None:
            with opened(home, trust, disk=disk, jobs=1) as mirror:
                mirror.follow(log, NOW)

        finished = killed_at(at, work)
        assert shown(home, trust) in (before, after)
        cursor = parse_cursor((home / "state" / "cursor").read_bytes())
        del log.asked[:]
        with opened(home, trust) as mirror:
            mirror.follow(log, NOW)
        # Only the first time may a bundle below the cursor be asked for: when the cursor was not written.
        assert all(f"tile/entries/{n:03}" not in log.asked for n in range(cursor.done // 256))
        resumed += before < cursor.done < after
        assert shown(home, trust) == after
        found = {str(p.relative_to(home / "log")) for p in (home / "log").rglob("*") if p.is_file()}
        assert found >= log.files.keys()
        spare = {path for path in found - log.files.keys() if not path.rpartition("/")[2].startswith(".")}
        assert spare <= small.files.keys()
        shutil.rmtree(home)
        if finished:
            break
        at += 1
    assert at > 60
    assert resumed > 5, "some of them stopped between two cursors"


def test_a_power_cut_before_any_system_call(tree, trust, quick):
    """Of files and names only what was synchronised remains, in every order that the threads came to."""
    home, small, log = quick / "mirror", tree(300), tree(600)
    with opened(home, trust) as mirror:
        mirror.follow(small, NOW)
    lossy, lock = disks.Lossy(home), Lock()

    def watch(call: str, path: Path) -> None:
        with lock:
            lossy(call, path)

    with opened(home, trust, disk=Disk(watch), jobs=1) as mirror:
        mirror.follow(log, NOW)
    lossy.cut()
    assert len(lossy.cuts) > 60
    for number, (left, seen) in enumerate(lossy.cuts):
        there = quick / f"cut-{number}"
        disks.lay_out(left, there)
        known = max(checkpoint.open(raw, trust.log_key)[0].size for raw in seen)
        with opened(there, trust) as mirror:
            assert mirror.size >= known, "what was cosigned and seen was forgotten"
            mirror.follow(log, NOW)
        assert shown(there, trust) == 600
        shutil.rmtree(there)


@pytest.mark.parametrize("call", ["create", "write", "rename", "mkdir"])
def test_a_full_disk_loses_nothing(tree, trust, quick, call):
    """Every system call of its kind fails once; the next visit goes on."""
    start, small, log = quick / "start", tree(300), tree(600)
    with opened(start, trust) as mirror:
        mirror.follow(small, NOW)
    at, failed = 0, True
    while failed:
        home, left, lock = quick / "mirror", [at], Lock()
        shutil.copytree(start, home)

        def watch(made: str, path: Path, left: list[int] = left, lock: Lock = lock) -> None:
            with lock:
                left[0] -= made == call
                if made == call and left[0] == -1:
                    raise OSError(errno.ENOSPC, "No space left on device", str(path))

        with opened(home, trust, disk=Disk(watch)) as mirror:
            failed = False
            try:
                mirror.follow(log, NOW)
            except OSError as error:
                failed = error.errno == errno.ENOSPC
            assert shown(home, trust) in (300, 600)
            mirror.follow(log, NOW)
            assert shown(home, trust) == 600
        shutil.rmtree(home)
        at += 1
    assert at > 1
