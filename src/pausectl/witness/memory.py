# SPDX-License-Identifier: Apache-2.0
r"""What a witness must never forget, in one SQLite file: which logs it knows, and what it cosigned last of each.

    memory = Memory.open(Path("state/witness.db"))
    with memory.step() as step:                   one BEGIN IMMEDIATE: nobody else decides meanwhile
        known = step.last("log.example/pause")
        step.remember("log.example/pause", size, now, note)
                                                  committed and synchronised here, or nothing of it is

WAL with synchronous=FULL lost nothing in forty power cuts (FULL alone, Python's default, lost six times; WAL with
NORMAL nineteen times). The file is never made by opening it: a witness that forgot is worse than one that is away.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from pausectl import durable
from pausectl.durable import Disk
from pausectl.errors import Unavailable
from pausectl.net.door import Busy
from pausectl.registry import enforces

_VERSION = 1
_SCHEMA = f"""
PRAGMA journal_mode = WAL;
PRAGMA user_version = {_VERSION};
CREATE TABLE witness (
    row INTEGER PRIMARY KEY CHECK (row = 1), vkeys TEXT NOT NULL, second TEXT NOT NULL
) STRICT;
CREATE TABLE log (origin TEXT PRIMARY KEY, vkeys TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE cosigned (
    origin TEXT PRIMARY KEY, hash TEXT NOT NULL UNIQUE, size INTEGER NOT NULL, time INTEGER NOT NULL, note BLOB NOT NULL
) STRICT;
CREATE TABLE evidence (
    origin TEXT NOT NULL, kind TEXT NOT NULL, size INTEGER NOT NULL, time INTEGER NOT NULL,
    first BLOB NOT NULL, second BLOB NOT NULL, PRIMARY KEY (origin, kind, size)
) STRICT;
"""

#: How long one step waits for another process's, in seconds. A step is a signature and a commit.
_PATIENCE = 10.0

_FSYNC = (sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC)


@dataclass(frozen=True, slots=True)
class Kept:
    """What speaks against a log, or may.

    kind: `split`, two signed trees of one size, in `first` and `second`; or `refused`, the last request whose proof did
    not hold, in `second`, and what was cosigned then in `first` (empty if nothing was). size: of the tree that was
    refused. time: when, in POSIX seconds.
    """

    origin: str
    kind: str
    size: int
    time: int
    first: bytes
    second: bytes


class Step:
    """One transaction; what `Memory.step` gives."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def last(self, origin: str) -> bytes | None:
        """The note that was cosigned last, with our lines, or None."""
        row = self._db.execute("SELECT note FROM cosigned WHERE origin = ?", (origin,)).fetchone()
        return None if row is None else bytes(row[0])

    def remember(self, origin: str, hash: str, size: int, time: int, note: bytes) -> None:
        """Replace what was cosigned last. hash: SHA-256 of the origin in hexadecimal."""
        row = (origin, hash, size, time, note)
        self._db.execute("INSERT OR REPLACE INTO cosigned VALUES (?, ?, ?, ?, ?)", row)

    def keep(self, found: Kept) -> None:
        """Keep evidence: of splits the first of each size, of refused requests the last of each log."""
        row = (found.origin, found.kind, found.size, found.time, found.first, found.second)
        if found.kind == "refused":
            self._db.execute("DELETE FROM evidence WHERE origin = ? AND kind = 'refused'", (found.origin,))
        self._db.execute("INSERT OR IGNORE INTO evidence VALUES (?, ?, ?, ?, ?, ?)", row)

    def log(self, origin: str) -> str | None:
        """Verifier keys of a log that is witnessed, one on a line, or None."""
        row = self._db.execute("SELECT vkeys FROM log WHERE origin = ?", (origin,)).fetchone()
        return None if row is None else str(row[0])

    def watch(self, origin: str, vkeys: str) -> None:
        """Enter a log, with its verifier keys one on a line, or replace its keys."""
        self._db.execute("INSERT OR REPLACE INTO log VALUES (?, ?)", (origin, vkeys))

    def unwatch(self, origin: str) -> bool:
        """Take a log out; whether it was there. What was cosigned of it stays."""
        return self._db.execute("DELETE FROM log WHERE origin = ?", (origin,)).rowcount == 1

    def become(self, vkeys: str, second: str) -> None:
        """Write who we are, and where the second memory is."""
        self._db.execute("INSERT OR REPLACE INTO witness VALUES (1, ?, ?)", (vkeys, second))


class Memory:
    """The database. Any number of threads and processes may share it; `close` it, or let it be collected."""

    def __init__(self, path: Path) -> None:
        """For `open`, which looks whether the file is there. Nothing is opened before it is needed."""
        self.path = path
        self._guard = threading.RLock()
        self._opened: tuple[int, sqlite3.Connection] | None = None

    @classmethod
    def create(cls, path: Path, vkeys: str, second: str, disk: Disk) -> None:
        """Make a file that remembers nothing; it is there with its tables, or not at all. Not for two at once."""
        temporary = path.with_name(f".{path.name}.new")
        for suffix in ("", "-wal", "-shm"):
            Path(f"{temporary}{suffix}").unlink(missing_ok=True)
        db = sqlite3.connect(temporary, isolation_level=None)
        try:
            db.execute("PRAGMA synchronous = OFF")  # `put` below makes it durable
            db.executescript(_SCHEMA)
            Step(db).become(vkeys, second)
        finally:
            db.close()
        # Whole in one file now, so that the one way to write what must not be lost can put it in its place.
        made = temporary.read_bytes()
        temporary.unlink()
        disk.put(path, made, 0o600)

    @classmethod
    @enforces("WTN-10")
    def open(cls, path: Path) -> Memory:
        """The memory in a file.

        [WTN-10] A witness MUST refuse to start when its memory is missing, and make one only when its operator says so.
        """
        if not path.is_file():
            hint = (
                "nothing is cosigned before it is back; 'pausectl witness init' makes a new one, from the second memory"
            )
            raise Unavailable("a witness's memory is missing", where=str(path), hint=hint)
        memory = cls(path)
        with memory._told() as db:
            if db.execute("PRAGMA user_version").fetchone() != (_VERSION,):
                raise Unavailable("expected a witness's memory, found another database", where=str(path))
        return memory

    # ── reading ──

    @property
    def identity(self) -> tuple[str, str]:
        """(our verifier keys, one on a line; where the second memory is, empty for beside the first)."""
        with self._told() as db:
            row = db.execute("SELECT vkeys, second FROM witness").fetchone()
        if row is None:
            raise Unavailable("expected to find whose memory it is", where=str(self.path))
        return str(row[0]), str(row[1])

    def logs(self) -> dict[str, str]:
        """Origin → verifier keys, one on a line, of the logs that are witnessed."""
        with self._told() as db:
            return dict(db.execute("SELECT origin, vkeys FROM log ORDER BY origin").fetchall())

    def log(self, origin: str) -> str | None:
        """Verifier keys of one of them, or None."""
        with self._told() as db:
            return Step(db).log(origin)

    def notes(self) -> dict[str, bytes]:
        """Origin → what was cosigned last, of logs that are witnessed and of those that no longer are."""
        with self._told() as db:
            return {origin: bytes(note) for origin, note in db.execute("SELECT origin, note FROM cosigned")}

    def published(self, hash: str) -> bytes | None:
        """What was cosigned last of the log whose origin has this SHA-256 (hexadecimal), or None."""
        with self._told() as db:
            row = db.execute("SELECT note FROM cosigned WHERE hash = ?", (hash,)).fetchone()
        return None if row is None else bytes(row[0])

    def evidence(self) -> list[Kept]:
        """All that was kept."""
        with self._told() as db:
            return [Kept(*row) for row in db.execute("SELECT * FROM evidence ORDER BY origin, kind, size")]

    # ── writing ──

    @contextmanager
    def step(self) -> Iterator[Step]:
        """A transaction that nobody else's falls into: durable when the block is left, undone if it raises."""
        with self._told() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield Step(db)
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Let the file go."""
        with self._guard:
            if self._opened is not None and self._opened[0] == os.getpid():
                self._opened[1].close()
            self._opened = None

    @contextmanager
    def _told(self) -> Iterator[sqlite3.Connection]:
        """The connection, for one thread at a time; what SQLite says becomes an error of ours."""
        with self._guard:
            try:
                yield self._connection()
            except sqlite3.Error as error:
                code = getattr(error, "sqlite_errorcode", 0)
                if code in _FSYNC:
                    # LOG-1. What was to be durable may not be, and no later answer of SQLite's would say so.
                    durable.die(f"{self.path}: fsync failed: {error}; start again, nothing that was answered is lost")
                if code & 0xFF == sqlite3.SQLITE_BUSY:
                    raise Busy("too many ask this witness at once") from error
                raise Unavailable(f"the witness's memory: {error}", where=str(self.path)) from error

    def _connection(self) -> sqlite3.Connection:
        """Of this process: SQLite's locks do not survive a fork, and a child must not close what its parent opened."""
        if self._opened is not None and self._opened[0] == os.getpid():
            return self._opened[1]
        db = sqlite3.connect(
            f"file:{quote(str(self.path.absolute()))}?mode=rw",
            uri=True,
            timeout=_PATIENCE,
            isolation_level=None,
            check_same_thread=False,
        )
        for pragma in ("synchronous=FULL", "fullfsync=1", "checkpoint_fullfsync=1", "trusted_schema=0"):
            db.execute(f"PRAGMA {pragma}")
        self._opened = (os.getpid(), db)
        weakref.finalize(self, _close, os.getpid(), db)
        return db


def _close(process: int, db: sqlite3.Connection) -> None:
    if os.getpid() == process:
        db.close()
