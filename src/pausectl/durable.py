# SPDX-License-Identifier: Apache-2.0
r"""The one way to write what must not be lost: what stands under its name afterwards survives a power cut.

    openat(".000.tmp", O_CREAT|O_EXCL) → write → fsync → close → renameat(".000.tmp", "000") → fsync(the directory)

is a file; a new directory is mkdir → fsync(its parent). Without the last fsync every one of twenty power cuts lost what
had been acknowledged. The directory stays open throughout, so that a write-back error cannot be lost with its inode.
Logs, witnesses and vaults write through this module.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from pausectl.errors import Refused
from pausectl.registry import enforces

#: Exit status after an fsync that failed: an internal error, like `Broken`.
FATAL = 5

#: Called with the name of each system call and its path, before it is made; a test dies there, or keeps the list.
Watch = Callable[[str, Path], None]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def die(what: str) -> NoReturn:
    """End the process here and now; nothing is unwound, so that nobody can carry on or answer."""
    os.write(2, f"pausectl: error: {what}\n".encode())
    os._exit(FATAL)


@enforces("LOG-1")
def sync(fd: int, path: Path) -> None:
    """Make an open file or directory durable.

    [LOG-1] A writer MUST end at once when fsync fails, and not try again.

    The kernel reports a lost write once and then forgets it, so a second fsync that succeeds means nothing. Starting
    again writes everything anew from the staged bundle, whose fsync did succeed.
    """
    try:
        os.fsync(fd)
    except OSError as error:
        die(f"{path}: fsync failed: {error.strerror}; start again, nothing that was acknowledged is lost")


def _nobody(call: str, path: Path) -> None:
    """Nobody watches."""


class Disk:
    """Durable writes. Paths are given whole; whoever calls holds a lock over the directory it writes to."""

    def __init__(self, watch: Watch = _nobody) -> None:
        self._watch = watch

    @enforces("LOG-2")
    def put(self, path: Path, data: bytes, mode: int = 0o444) -> None:
        """Write a file, or replace it; a reader finds the old bytes or the new ones, never a part. OSError if not.

        [LOG-2] A file MUST be written under another name, synchronised, renamed, and its directory synchronised before
        anything is done that relies on it.
        """
        with self._opened(path.parent) as folder:
            temporary = self._write(path.with_name(f".{path.name}.tmp"), data, mode, folder)
            self._watch("rename", path)
            os.rename(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder)
            self._sync(folder, path.parent)

    def folder(self, path: Path, *, within: Path, afresh: bool = False) -> None:
        """Make the directory `path` and those missing between it and `within`, which exists.

        afresh: one that is there already may be in memory only, so make its name durable too.
        """
        if path == within:
            return
        if path.is_dir() and not afresh:
            return
        self.folder(path.parent, within=within, afresh=afresh)
        if not path.is_dir():
            self._watch("mkdir", path)
            path.mkdir(exist_ok=True)  # a witness has several processes, and another may just have made it
        with self._opened(path.parent) as parent:
            self._sync(parent, path.parent)

    def home(self, path: Path) -> None:
        """Make the directory `path`, and all that are missing above it, wherever that begins."""
        if not path.is_dir():
            whole = path.resolve()
            self.folder(whole, within=next(parent for parent in whole.parents if parent.is_dir()))

    def discard(self, path: Path) -> None:
        """Remove a file, which may be gone already. Not synchronised: one that comes back does no harm."""
        self._watch("unlink", path)
        path.unlink(missing_ok=True)

    def prune(self, folder: Path) -> None:
        """Remove a directory if it is empty."""
        self._watch("rmdir", folder)
        with suppress(OSError):
            folder.rmdir()

    def _write(self, path: Path, data: bytes, mode: int, folder: int) -> str:
        self._watch("create", path)
        fd = _create(path.name, mode, folder)
        try:
            self._watch("write", path)
            _write_all(fd, data)
            self._sync(fd, path)
        except OSError:
            os.unlink(path.name, dir_fd=folder)
            raise
        finally:
            os.close(fd)
        return path.name

    def _sync(self, fd: int, path: Path) -> None:
        self._watch("fsync", path)
        sync(fd, path)

    @contextmanager
    def _opened(self, folder: Path) -> Iterator[int]:
        fd = os.open(folder, _FOLDER)
        try:
            yield fd
        finally:
            os.close(fd)


def _create(name: str, mode: int, folder: int) -> int:
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
    try:
        return os.open(name, flags, mode, dir_fd=folder)
    except FileExistsError:
        # Left behind by a crash. Whoever writes here holds the lock, so it is nobody's now.
        os.unlink(name, dir_fd=folder)
        return os.open(name, flags, mode, dir_fd=folder)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def read_back(path: Path) -> bytes:
    """A file's bytes from the device and not from the page cache, as far as the system grants that."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return file.read()


def lock(path: Path, *, wait: bool = False) -> int:
    """Lock a file (flock), making it if need be; `os.close` of what is returned, or the end of the process, lets go.

    Refused if somebody else has it, unless wait.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(fd)
        raise Refused("another process has it open for writing", where=str(path)) from error
    return fd
