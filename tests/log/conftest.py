# SPDX-License-Identifier: Apache-2.0
"""A world with a log in it, and disks that lose what was not made durable."""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from pausectl.agreement.types import Span, instant, seconds
from pausectl.durable import Disk
from pausectl.log.log import Log
from pausectl.predicates import base
from pausectl.predicates.base import Header
from pausectl.predicates.close import Close
from pausectl.sim import terms
from pausectl.wire import dsse, note
from pausectl.wire.keys import ED25519, PrivateKey, unbase64
from pausectl.witness.witness import Witness

START = seconds(terms.ANCHOR)


@dataclass
class World:
    """Parties with their keys and their agreement; entries that a log must admit."""

    roll: terms.Roll
    keys: dict
    agreement: object
    home: Path
    now: int = START

    @property
    def signer(self):
        return self.keys[self.roll.log]

    def create(self, **options) -> Log:
        return Log.create(self.home, self.agreement, self.signer, self.now, **options)

    def open(self, home: Path | None = None, **options) -> Log:
        return Log.open(home or self.home, self.signer, **options)

    def statement(self, sequence: int, party: str = "probe", **header) -> bytes:
        span = Span(end_at=instant(START + terms.WEEK), start_at=instant(START))
        fields = {
            "agreement": self.agreement.id, "log": terms.ORIGIN, "party": party, "sequence": sequence,
            "stream": "close", "window": span,
        }  # fmt: skip
        return base.write(Close(header=Header(**{**fields, **header}), heads=()))

    def entry(self, sequence: int, party: str = "probe", signer: str | None = None, **header) -> bytes:
        return dsse.sign(self.statement(sequence, party, **header), self.keys[signer or party]).raw

    def witnesses(self, state: Path, clock=None) -> list:
        """One callable for each witness of the agreement, which tells the time by this world's clock."""
        made = [
            Witness.beside(key.name, self.keys[name], self.agreement.log_key, state / name)
            for name, key in self.agreement.witness_keys.items()
        ]
        return [lambda request, w=w: w.cosign(request, (clock or (lambda: self.now))()) for w in made]


@pytest.fixture(scope="session")
def parties():
    roll = terms.Roll()
    keys = {name: terms.demo_key(name) for name in terms.names(roll)}
    return roll, keys, terms.agree(roll, keys)


@pytest.fixture
def world(parties, tmp_path) -> World:
    return World(*parties, tmp_path / "home")


@pytest.fixture
def golden(shared):
    """The log key of the golden vectors, and where they are."""
    folder = shared("vectors/golden-go")
    fields = (folder / "log.skey.TEST-ONLY").read_text().strip().split("+", 4)
    seed = unbase64(fields[4])[1:]
    key = note.parse_vkey((folder / "log.vkey").read_text().strip())
    return folder, key, PrivateKey.from_seed(ED25519, seed)


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(name="snapshot")
def _snapshot():
    return snapshot


class Killed:
    """Kills its process, as `kill -9` would, just before system call number `at`."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, *_: object) -> None:
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1


@pytest.fixture
def in_child():
    """Run `work(disk, ack)` in a forked process that dies before system call `at`: (its acknowledgements, finished)."""

    def run(at: int, work) -> tuple[list[str], bool]:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            try:
                work(Disk(Killed(at)), lambda text: os.write(writing, f"{text}\n".encode()))
                os._exit(0)
            except BaseException as error:  # noqa: BLE001
                os.write(writing, f"! {error!r}\n".encode())
                os._exit(1)
        os.close(writing)
        with os.fdopen(reading) as lines:
            acks = lines.read().splitlines()
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0, acks
        return acks, os.WIFEXITED(status)

    return run


class Inode:
    """data: what of a file a power cut leaves."""

    def __init__(self) -> None:
        self.data = b""


class Lossy:
    """A pessimistic disk: of a file and of a directory only what it was at its last fsync remains.

    Watches a `Disk`, keeps in `cuts` what a power cut just before each system call would leave, and `seen`, every
    checkpoint that readers could have read by then.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: dict[int, Inode] = {}
        self.names: dict[Path, dict[str, Inode | None]] = {}
        self.cuts: list[tuple[dict, list[bytes]]] = []
        self.seen: list[bytes] = []
        for folder in (root, *(path for path in root.rglob("*") if path.is_dir())):
            for path in folder.iterdir():
                if path.is_file():
                    self.files[path.stat().st_ino] = inode = Inode()
                    inode.data = path.read_bytes()
            self._sync_names(folder)

    def __call__(self, call: str, path: Path) -> None:
        self.cut()
        if call == "write":
            self.files[path.stat().st_ino] = Inode()
        elif call == "fsync" and path.is_dir():
            self._sync_names(path)
        elif call == "fsync":
            self.files[path.stat().st_ino].data = path.read_bytes()

    def cut(self) -> None:
        shown = self.root / "log" / "checkpoint"
        if shown.exists() and shown.read_bytes() not in self.seen:
            self.seen.append(shown.read_bytes())
        self.cuts.append((self._left(self.root), list(self.seen)))

    def _sync_names(self, folder: Path) -> None:
        # SQLite's files and locks are nobody's here: they are lost, and made again.
        # A directory may get the number of a file that is gone, so a directory is never looked up.
        known = {path.name: None if path.is_dir() else self.files.get(path.stat().st_ino) for path in folder.iterdir()}
        self.names[folder] = {
            name: inode for name, inode in known.items() if inode is not None or (folder / name).is_dir()
        }

    def _left(self, folder: Path) -> dict:
        names = self.names.get(folder, {})
        return {name: self._left(folder / name) if inode is None else inode.data for name, inode in names.items()}


def lay_out(tree: dict, folder: Path) -> None:
    """Make real what a power cut left."""
    folder.mkdir(parents=True)
    for name, content in tree.items():
        if isinstance(content, dict):
            lay_out(content, folder / name)
        else:
            (folder / name).write_bytes(content)


@pytest.fixture
def lossy():
    return Lossy


@pytest.fixture
def relay():
    """Make a folder that holds what a cut left, in place of whatever was there."""

    def make(tree: dict, folder: Path) -> Path:
        shutil.rmtree(folder, ignore_errors=True)
        lay_out(tree, folder)
        return folder

    return make


@pytest.fixture(params=["posix", "postgres", "s3", "s3+postgres"])
def urls(request):
    """(objects, head) of each kind of store, as `pausectl log init` takes them."""
    return _urls(request, request.param)


@pytest.fixture(params=["postgres", "s3", "s3+postgres"])
def shared_urls(request):
    """The same, of those that two processes can share."""
    return _urls(request, request.param)


def _urls(request, kind):
    places = {name: request.getfixturevalue(name).url for name in ("postgres", "s3") if name in kind}
    return (
        ("", "")
        if kind == "posix"
        else (places.get("s3") or places["postgres"], places.get("postgres") or places["s3"])
    )
