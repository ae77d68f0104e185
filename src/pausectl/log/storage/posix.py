# SPDX-License-Identifier: Apache-2.0
"""The store on one POSIX machine: the default, whose files a log's HOME has.

HOME/log/checkpoint, tile/…           public: any web server may serve HOME/log as it is
HOME/log.vkey, agreement.json         public: the log's key and the agreement it keeps
HOME/state/head                       the register: the newest checkpoint that was signed
HOME/state/stage/<size>-<root>        what the newest checkpoint needs, until it is all published
HOME/state/index.db                   derived: statement id → first leaf; may be deleted
HOME/state/lock                       held while somebody has the log open for writing
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from pausectl import durable
from pausectl.durable import Disk
from pausectl.errors import Refused, Unavailable
from pausectl.log.storage.seams import Absent, Store
from pausectl.registry import enforces
from pausectl.wire.tile import CHECKPOINT_PATH

_PARTIAL = ".p"


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
        with contextlib.suppress(Absent):
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
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise Absent("no such file in this log", where=str(self._root / path)) from error
        except OSError as error:
            raise Unavailable(f"cannot be read: {error.strerror}", where=str(self._root / path)) from error

    def discard(self, path: str) -> None:
        """Remove a file, and the directory of partial tiles that it leaves empty."""
        file = self._root / path
        self._disk.discard(file)
        if file.parent.suffix == _PARTIAL:
            self._disk.prune(file.parent)


class PosixHead:
    """A register as a file, read and replaced under a lock of its own.

    missing: the value of a register without a file; None for one that never is without, since it would be lost then.
    """

    def __init__(
        self, path: Path, disk: Disk, *, lock: Path | None = None, mode: int = 0o600, missing: bytes | None = None
    ) -> None:
        self._path = path
        self._disk = disk
        self._lock = lock or path.with_name(f"{path.name}.lock")
        self._mode = mode
        self._missing = missing

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
            if self._missing is not None and isinstance(error, FileNotFoundError):
                return self._missing
            hint = "this is the log's memory of what it signed: restore it, never make a new one"
            raise Unavailable("the head register is missing", where=str(self._path), hint=hint) from error

    @enforces("LOG-4")
    def swap(self, old: bytes, new: bytes) -> None:
        """Replace the file if its bytes are `old`.

        [LOG-4] A log MUST make its newest checkpoint the value of its head register by one compare-and-swap, before
        anything that the checkpoint commits to can be read by others.
        """
        held = durable.lock(self._lock, wait=True)
        try:
            if self.read() != old:
                hint = "another process writes this log, or its state was restored: end one of them"
                raise Refused("the head register is not where this process left it", where=str(self._path), hint=hint)
            self._disk.put(self._path, new, self._mode)
        finally:
            os.close(held)


def open(home: Path, disk: Disk) -> Store:
    """The store in a log's home directory, whose lock must be held by whoever writes."""
    public, state = home / "log", home / "state"

    def clear() -> None:
        for path in (state / "stage").iterdir():
            disk.discard(path)

    return Store(
        objects=PosixObjects(public, disk),
        staging=PosixObjects(state / "stage", disk, cold=True),
        head=PosixHead(state / "head", disk),
        # Its lock is not for readers to see, and a checkpoint that was moved away is published again.
        public=PosixHead(
            public / CHECKPOINT_PATH, disk, lock=state / f"{CHECKPOINT_PATH}.lock", mode=0o444, missing=b""
        ),
        exclusive=True,
        clear=clear,
    )


def create(home: Path, disk: Disk) -> Store:
    """Make the directories of a new log and its register, as the last of them; Refused if there is one."""
    for name in ("log", "state", "state/stage"):
        disk.folder(home / name, within=home, afresh=True)
    PosixHead.create(home / "state" / "head", disk)
    return open(home, disk)
