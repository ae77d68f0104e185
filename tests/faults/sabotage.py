# SPDX-License-Identifier: Apache-2.0
"""Programs with one mistake each, which the trials have to find: a harness that cannot fail proves nothing.

Each is used by the writer process of a trial alone; whoever judges opens the log with the program as it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pausectl import durable
from pausectl.durable import Disk
from pausectl.log import index, sequencer
from pausectl.log.held import Held
from pausectl.log.log import Admission, Log
from pausectl.log.storage import posix
from pausectl.wire import cosignature, witness
from pausectl.witness.witness import Witness


class NoFsync(Disk):
    """Files are written and renamed; their bytes stay in memory."""

    def _sync(self, fd: int, path: Path) -> None:
        if path.is_dir():
            super()._sync(fd, path)


class NoFolderFsync(Disk):
    """The bytes are durable; their names are not."""

    def _sync(self, fd: int, path: Path) -> None:
        if not path.is_dir():
            super()._sync(fd, path)


class EarlyAnswer(Log):
    """Answers when entries are admitted; writes their tiles when the next ones come."""

    _kept: list[tuple[bytes, str]] | None = None

    def append(self, batch: Sequence[tuple[bytes, str]]) -> int:
        if self._kept:
            super().append(self._kept)
        self._kept = list(batch)
        return self.size

    def add(self, entries: Sequence[bytes]) -> list[Admission]:
        waiting = len(self._kept or ())
        return [Admission(each.index + waiting, each.statement_id, each.duplicate) for each in super().add(entries)]


def forgive_fsync() -> None:
    """An fsync that failed is tried again, and its second answer believed."""

    def sync(fd: int, _: Path) -> None:
        try:
            os.fsync(fd)
        except OSError:
            os.fsync(fd)

    durable.sync = sync


def swap_last() -> None:
    """The register moves when the checkpoint is already published."""
    commit = sequencer.Sequencer._commit

    def late(self: Any, *args: Any) -> None:
        store, moves = self._store, []
        self._store = replace(store, head=_Later(moves))
        try:
            commit(self, *args)
        finally:
            self._store = store
        for old, new in moves:
            store.head.swap(old, new)

    sequencer.Sequencer._commit = late


class _Later:
    """A register that only notes down what is asked of it."""

    def __init__(self, moves: list[tuple[bytes, bytes]]) -> None:
        self._moves = moves

    def swap(self, old: bytes, new: bytes) -> None:
        self._moves.append((old, new))


def clobber() -> Callable[[], None]:
    """Whatever is asked for is written, over whatever is there; what is returned takes it back."""
    put, swap = posix.PosixObjects.put, posix.PosixHead.swap

    def put_over(self: Any, path: str, data: bytes, **_: Any) -> None:
        (self._root / path).parent.mkdir(parents=True, exist_ok=True)
        self._disk.put(self._root / path, data)

    def swap_over(self: Any, _: bytes, new: bytes) -> None:
        self._disk.put(self._path, new, self._mode)

    def undo() -> None:
        posix.PosixObjects.put, posix.PosixHead.swap = put, swap

    posix.PosixObjects.put, posix.PosixHead.swap = put_over, swap_over
    return undo


def trust_cache() -> Callable[[], None]:
    """A start writes only what cannot be read; what is returned takes it back."""
    put = posix.PosixObjects.put

    def undo() -> None:
        posix.PosixObjects.put = put

    posix.PosixObjects.put = lambda self, path, data, **_: put(self, path, data)
    return undo


def believe_index() -> Callable[[], None]:
    """What the index says is the answer; what is returned takes it back."""
    leaf, weight = Held.leaf, index._weight

    def undo() -> None:
        Held.leaf, index._weight = leaf, weight

    index._weight = lambda *_: 0
    Held.leaf = lambda self, statement_id: self._index.find(statement_id)
    return undo


class HastyWitness(Witness):
    """Answers, and remembers what it cosigned when it is asked the next time."""

    _late: tuple[bytes, Any] | None = None

    def cosign(self, request: bytes, now: Any) -> bytes:
        if self._late:
            super().cosign(*self._late)
        self._late = (request, now)
        text = witness.parse_request(request).signed.text
        return witness.format_response([cosignature.cosign(text, *cosigner, now) for cosigner in self._cosigners])
