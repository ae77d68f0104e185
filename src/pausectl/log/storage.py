# SPDX-License-Identifier: Apache-2.0
"""Where a log lies: two thin seams, and what stands behind them on one POSIX machine.

    DIR/log/checkpoint, tile/…            public: any web server may serve DIR/log as it is
    DIR/log.vkey, agreement.json          public: the log's key and the agreement it keeps
    DIR/state/head                        the register: the newest checkpoint that was signed
    DIR/state/stage/<size>-<root>         what the newest checkpoint needs, until it is all published
    DIR/state/index.db                    derived: statement id → first leaf; may be deleted
    DIR/state/lock                        held while somebody has the log open for writing

The register is trusted: whoever can set it back can make the log sign two histories. The objects are not: whoever
changes them can at most make the log stop (the division is Sunlight's).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pausectl import durable
from pausectl.durable import Disk
from pausectl.errors import Refused, Unavailable
from pausectl.registry import enforces
from pausectl.wire.tile import CHECKPOINT_PATH

_PARTIAL = ".p"


class Objects(Protocol):
    """Immutable blobs by path: tiles and bundles, and elsewhere the staged ones.

    Durability: when `put` returns, the blob and the path to it survive a power cut; an object of which `put` did not
    return may be there, whole, or not. Concurrency: one writer (who holds the log's lock) and any number of readers,
    who see an object whole or not at all. Retry: every call may be repeated after any error or crash. An error is an
    OSError or a PausectlError, and never means that a different object was written.
    """

    def put(self, path: str, data: bytes, *, afresh: bool = False) -> None:
        """Create an object. The same bytes again change nothing; Refused for others.

        afresh: write it even so, because that it can be read does not show that it is durable.
        """

    def get(self, path: str) -> bytes:
        """The whole object; Unavailable if there is none."""

    def discard(self, path: str) -> None:
        """Remove an object, which may be gone already. It may come back after a power cut."""


class Head(Protocol):
    """A register with one value, the newest checkpoint that was signed, and b"" before there is one.

    Durability: when `swap` returns, the value survives a power cut; if it does not return, the value is the old or the
    new one, and the caller must end and read it again. Concurrency: linearizable among any number of processes; of two
    that swap the same old value for different new ones, one fails. Retry: `swap(x, x)` is allowed, and makes a value
    durable that was read after a crash. A register is never made by reading or swapping: one that is missing was lost.
    """

    def read(self) -> bytes:
        """The value; Unavailable if there is no register."""

    def swap(self, old: bytes, new: bytes) -> None:
        """Make `new` the value if it is `old`; Refused, with nothing changed, if it is another."""


@dataclass(frozen=True, slots=True)
class Store:
    """All that a sequencer needs. publish: replaces the one public file that changes, durably and whole."""

    objects: Objects
    staging: Objects
    head: Head
    publish: Callable[[bytes], None]


class PosixObjects:
    """Objects as files below a directory. Paths come from `wire.tile` and from us, never from data.

    cold: read from the device and not from the page cache, so that what is checked is what was stored.
    """

    def __init__(self, root: Path, disk: Disk, *, cold: bool = False) -> None:
        self._root = root
        self._disk = disk
        self._read = durable.read_back if cold else Path.read_bytes

    @enforces("LOG-3")
    def put(self, path: str, data: bytes, *, afresh: bool = False) -> None:
        """Create a file, mode 0444.

        [LOG-3] A log MUST NOT replace a published tile or bundle by one of other bytes.
        """
        file = self._root / path
        with contextlib.suppress(Unavailable):
            if self.get(path) != data:
                raise Refused("expected the bytes that are to be written, or no file", where=str(file))
            if not afresh:
                return
        self._disk.folder(file.parent, within=self._root, afresh=afresh)
        self._disk.put(file, data)

    def get(self, path: str) -> bytes:
        """The bytes of a file."""
        try:
            return self._read(self._root / path)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise Unavailable("no such file in this log", where=str(self._root / path)) from error
        except OSError as error:
            raise Unavailable(f"cannot be read: {error.strerror}", where=str(self._root / path)) from error

    def discard(self, path: str) -> None:
        """Remove a file, and the directory of partial tiles that it leaves empty."""
        file = self._root / path
        self._disk.discard(file)
        if file.parent.suffix == _PARTIAL:
            self._disk.prune(file.parent)


class PosixHead:
    """The register as a file, read and replaced under a lock of its own."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self._path = path
        self._disk = disk

    @classmethod
    def create(cls, path: Path, disk: Disk) -> PosixHead:
        """Make a register with the value b""; Refused if there is one."""
        if path.exists():
            raise Refused("there is a head register already", where=str(path))
        disk.put(path, b"", 0o600)
        return cls(path, disk)

    def read(self) -> bytes:
        """The bytes of the file."""
        try:
            return self._path.read_bytes()
        except OSError as error:
            hint = "this is the log's memory of what it signed: restore it, never make a new one"
            raise Unavailable("the head register is missing", where=str(self._path), hint=hint) from error

    @enforces("LOG-4")
    def swap(self, old: bytes, new: bytes) -> None:
        """Replace the file if its bytes are `old`.

        [LOG-4] A log MUST make its newest checkpoint the value of its head register by one compare-and-swap, before
        anything that the checkpoint commits to can be read by others.
        """
        held = durable.lock(self._path.with_name(f"{self._path.name}.lock"), wait=True)
        try:
            if self.read() != old:
                hint = "another process writes this log, or its state was restored: end one of them"
                raise Refused("the head register is not where this process left it", where=str(self._path), hint=hint)
            self._disk.put(self._path, new, 0o600)
        finally:
            os.close(held)


def posix(home: Path, disk: Disk) -> Store:
    """The store in a log's home directory."""
    public, state = home / "log", home / "state"
    return Store(
        objects=PosixObjects(public, disk),
        staging=PosixObjects(state / "stage", disk, cold=True),
        head=PosixHead(state / "head", disk),
        publish=lambda raw: disk.put(public / CHECKPOINT_PATH, raw),
    )


def create_posix(home: Path, disk: Disk) -> Store:
    """Make the directories of a new log and its register, as the last of them; Refused if there is one."""
    for name in ("log", "state", "state/stage"):
        disk.folder(home / name, within=home, afresh=True)
    PosixHead.create(home / "state" / "head", disk)
    return posix(home, disk)


def clear_stage(home: Path, disk: Disk) -> None:
    """Remove what was staged and never decided; nobody was promised anything. The lock must be held."""
    for path in (home / "state" / "stage").iterdir():
        disk.discard(path)
