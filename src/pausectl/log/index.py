# SPDX-License-Identifier: Apache-2.0
"""Which statements a log holds, and how far its marks go: derived from the ledger, rebuilt when it is behind.

    find("b2436328…") → 17, the first leaf that has this statement to effect

One SQLite file, because a lookup must not cost memory for every entry. WAL with synchronous=FULL lost nothing in forty
power cuts (FULL alone, Python's default, lost six times); it may lose everything here, and then costs a reading.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pausectl import durable
from pausectl.errors import Broken
from pausectl.wire.merkle import EMPTY, Hash

_VERSION = 4
_MODULUS = 1 << 256
_FSYNC = (sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC)
_SCHEMA = f"""
PRAGMA user_version = {_VERSION};
CREATE TABLE IF NOT EXISTS statement (id BLOB PRIMARY KEY, leaf INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS book (
    row INTEGER PRIMARY KEY CHECK (row = 1), size INTEGER NOT NULL, root BLOB NOT NULL, recent TEXT NOT NULL,
    marks INTEGER NOT NULL, last_claim INTEGER NOT NULL, mark_size INTEGER NOT NULL, mark_first INTEGER NOT NULL,
    mark_by INTEGER NOT NULL, mirror_size INTEGER NOT NULL, mirror_by INTEGER NOT NULL, total BLOB NOT NULL,
    digest BLOB NOT NULL
) STRICT;
"""


@dataclass(frozen=True, slots=True)
class Book:
    """What was read of the tree of `size` with `root`.

    recent: sizes of the last checkpoints. marks: how many the log itself wrote. last_claim: the last leaf that is no
    mark, or -1. mark_size, mark_first, mark_by: of the last mark that moved time on (`history.reader.Sighting`), or 0.
    mirror_size, mirror_by: of the largest one that shows that mirrors have it, or 0.
    """

    size: int = 0
    root: Hash = EMPTY
    recent: tuple[int, ...] = ()
    marks: int = 0
    last_claim: int = -1
    mark_size: int = 0
    mark_first: int = 0
    mark_by: int = 0
    mirror_size: int = 0
    mirror_by: int = 0

    @property
    def unmarked(self) -> bool:
        """Whether anything but marks stands behind what the last mark covers."""
        return self.last_claim >= self.mark_size


class Index:
    """The index file of one log; `close` it. Not for several threads at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._db = _open(path)
            self.book, self._total = _read(self._db)
        except (sqlite3.Error, ValueError, TypeError) as error:  # a damaged file has NULL where none can be
            _need_no_lost_sync(path, error)
            # Derived, so a file that is no index of ours is simply made again.
            with self._told():
                self._db = _fresh(path)
            self.book, self._total = Book(), 0

    def find(self, statement_id: str) -> int | None:
        """The first leaf with this statement to effect, or None. Broken if that cannot be read."""
        with self._told():
            row = self._db.execute("SELECT leaf FROM statement WHERE id = ?", (bytes.fromhex(statement_id),)).fetchone()
        return None if row is None else int(row[0])

    def record(self, leaves: Iterable[tuple[str, int]], book: Book) -> None:
        """Add (statement id, leaf) in order of leaves, of which the first of an id stays, and what is known now.

        Broken if that cannot be written: close it, it is brought up to the ledger when it is opened.
        """
        rows = [(bytes.fromhex(statement_id), leaf) for statement_id, leaf in leaves]
        recent = " ".join(map(str, book.recent))
        marks = (
            book.marks,
            book.last_claim,
            book.mark_size,
            book.mark_first,
            book.mark_by,
            book.mirror_size,
            book.mirror_by,
        )
        with self._told():
            self._db.execute("BEGIN IMMEDIATE")
            total = self._total
            for each in rows:
                inserted = self._db.execute("INSERT OR IGNORE INTO statement VALUES (?, ?)", each).rowcount
                total += _weight(*each) * inserted
            known = (1, book.size, book.root, recent, *marks, (total % _MODULUS).to_bytes(32, "big"))
            row = (*known, _digest(known))
            self._db.execute("INSERT OR REPLACE INTO book VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
            self._db.execute("COMMIT")
        self.book, self._total = book, total % _MODULUS

    def reset(self) -> None:
        """Forget everything, to read the ledger from its beginning."""
        with self._told():
            self._db.close()
            self._db = _fresh(self._path)
        self.book, self._total = Book(), 0

    def close(self) -> None:
        """Let the file go."""
        with suppress(sqlite3.Error):  # all that was recorded is committed
            self._db.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What SQLite says becomes an error of ours."""
        try:
            yield
        except sqlite3.Error as error:
            _need_no_lost_sync(self._path, error)
            hint = "open the log again: nothing is lost"
            raise Broken(f"the index: {error}", where=str(self._path), hint=hint) from error


def _need_no_lost_sync(path: Path, error: Exception) -> None:
    """LOG-1: end here after an fsync that failed; SQLite would try again, and be believed."""
    if getattr(error, "sqlite_errorcode", 0) in _FSYNC:
        durable.die(f"{path}: fsync failed: {error}; start again, nothing that was acknowledged is lost")


def _read(db: sqlite3.Connection) -> tuple[Book, int]:
    """The book, and the total of all rows; ValueError if anything was changed but by us: SQLite has no checksums."""
    if db.execute("PRAGMA user_version").fetchone() != (_VERSION,):
        db.close()
        raise ValueError("an index of another version")
    row = db.execute("SELECT * FROM book").fetchone()
    if row is None:
        return Book(), 0
    *row, digest = row
    total = sum(_weight(*each) for each in db.execute("SELECT id, leaf FROM statement")) % _MODULUS
    if _digest(row) != digest or row.pop() != total.to_bytes(32, "big"):
        raise ValueError("an index that was changed")
    _, size, root, recent, *last = row
    return Book(size, root, tuple(map(int, recent.split())), *last), total


def _weight(id: bytes, leaf: int) -> int:
    """What a row adds to the total: no bit of it can change, and no row be lost, without changing that."""
    return int.from_bytes(id, "big") * (2 * leaf + 1)


def _digest(row: Sequence[object]) -> bytes:
    return hashlib.sha256(repr(tuple(row)).encode()).digest()


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        # Exclusive: the log has a lock of its own, and a lookup then writes nothing, not even to shared memory.
        for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL", "fullfsync=1"):
            db.execute(f"PRAGMA {pragma}")
        db.executescript(_SCHEMA)
    except sqlite3.DatabaseError:
        db.close()
        raise
    return db


def _fresh(path: Path) -> sqlite3.Connection:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return _open(path)
