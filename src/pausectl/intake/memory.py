# SPDX-License-Identifier: Apache-2.0
"""What an intake party must never forget, in one SQLite file: what it was handed, and the receipts it gave.

    memory.give("b243…", entry, sign)     the receipt, durable; of a statement it knows, the one it gave first
    memory.untaken()                       what the log has not taken, oldest first

WAL with synchronous=FULL, as for witnesses. The file is never made by opening it: a party that forgot which numbers it
gave would give them again, to other statements.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pausectl import durable
from pausectl.durable import Disk
from pausectl.errors import Unavailable
from pausectl.registry import enforces

_VERSION = 1
_SCHEMA = f"""
PRAGMA journal_mode = WAL;
PRAGMA user_version = {_VERSION};
CREATE TABLE intake (
    row INTEGER PRIMARY KEY CHECK (row = 1), agreement TEXT NOT NULL, party TEXT NOT NULL, first INTEGER NOT NULL
) STRICT;
CREATE TABLE handed (
    number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, time INTEGER NOT NULL, entry BLOB NOT NULL,
    receipt BLOB NOT NULL, taken INTEGER, filed INTEGER, tries INTEGER NOT NULL DEFAULT 0,
    trouble TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX untaken ON handed (number) WHERE taken IS NULL;
CREATE INDEX unfiled ON handed (number) WHERE filed IS NULL;
"""
_FSYNC = (sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC)
_ROW = "number, id, time, entry, receipt, taken, filed, tries, trouble"


@dataclass(frozen=True, slots=True)
class Row:
    """One statement. number, time: of its receipt (POSIX seconds). entry, receipt: envelopes.

    taken, filed: when the log was seen to hold the statement, and the receipt. tries: to hand it on, in vain. trouble:
    what the log said the last time.
    """

    number: int
    statement: str
    time: int
    entry: bytes
    receipt: bytes
    taken: int | None
    filed: int | None
    tries: int
    trouble: str


class Memory:
    """The database, for the threads of one process; `close` it."""

    def __init__(self, path: Path, *, reading: bool = False) -> None:
        """Open it; Unavailable if it is not there, Refused if another process has it. reading: beside that process."""
        if not path.is_file():
            hint = (
                "'pausectl intake init' makes a new one; one that was lost had given numbers that nobody may get again"
            )
            raise Unavailable("an intake party's memory is missing", where=str(path), hint=hint)
        self._path = path
        self._guard = threading.RLock()
        self._lock = -1 if reading else durable.lock(path.with_name("lock"))
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def _begin(self) -> None:
        with self._told() as db:
            for pragma in ("synchronous=FULL", "fullfsync=1", "checkpoint_fullfsync=1", "trusted_schema=0"):
                db.execute(f"PRAGMA {pragma}")
            version = db.execute("PRAGMA user_version").fetchone()
        if version != (_VERSION,):
            raise Unavailable("expected an intake party's memory, found another database", where=str(self._path))

    @staticmethod
    def create(path: Path, agreement: str, party: str, first: int, disk: Disk) -> None:
        """Make a file that remembers nothing; it is there with its tables, or not at all. first: the next number."""
        disk.home(path.parent)
        temporary = path.with_name(f".{path.name}.new")
        for suffix in ("", "-wal", "-shm"):
            Path(f"{temporary}{suffix}").unlink(missing_ok=True)
        db = sqlite3.connect(temporary, isolation_level=None)
        try:
            db.executescript(_SCHEMA)
            db.execute("INSERT INTO intake VALUES (1, ?, ?, ?)", (agreement, party, first))
        finally:
            db.close()
        made = temporary.read_bytes()
        temporary.unlink()
        disk.put(path, made, 0o600)

    def close(self) -> None:
        """Let others open it."""
        with self._guard:
            self._db.close()
            if self._lock >= 0:
                os.close(self._lock)
                self._lock = -1

    @property
    def identity(self) -> tuple[str, str]:
        """(agreement id, party) that this memory is of."""
        with self._told() as db:
            found: tuple[str, str] = db.execute("SELECT agreement, party FROM intake").fetchone()
        return found

    @enforces("INT-4", "INT-5")
    def give(self, statement: str, entry: bytes, sign: Callable[[int, int], tuple[int, bytes]]) -> bytes:
        """The receipt for a statement. sign: next number and time of the last receipt → time and receipt of this one.

        [INT-4] An intake party MUST make a statement and its receipt durable, under the next of its numbers, before the
        receipt leaves it.

        [INT-5] An intake party MUST answer a statement that it was handed before with the receipt that it gave then.
        """
        with self._told() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                known = db.execute("SELECT receipt FROM handed WHERE id = ?", (bytes.fromhex(statement),)).fetchone()
                if known is None:
                    number, last = self._next(db)
                    time, receipt = sign(number, last)
                    row = (number, bytes.fromhex(statement), time, entry, receipt)
                    db.execute("INSERT INTO handed (number, id, time, entry, receipt) VALUES (?, ?, ?, ?, ?)", row)
                    known = (receipt,)
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
        return bytes(known[0])

    @staticmethod
    def _next(db: sqlite3.Connection) -> tuple[int, int]:
        last = db.execute("SELECT number, time FROM handed ORDER BY number DESC LIMIT 1").fetchone()
        if last is not None:
            return last[0] + 1, last[1]
        return db.execute("SELECT first FROM intake").fetchone()[0], 0

    @property
    def count(self) -> int:
        """How many receipts there are: the next one has this number."""
        with self._told() as db:
            return self._next(db)[0]

    def find(self, statement: bytes) -> Row | None:
        """One statement, by the bytes of its id."""
        return next(self._rows("id = ?", statement), None)

    def untaken(self) -> Iterator[Row]:
        """Statements that the log has not been seen to hold, oldest first."""
        return self._rows("taken IS NULL")

    def unfiled(self) -> Iterator[Row]:
        """Receipts that the log has not been seen to hold, in order of their numbers."""
        return self._rows("filed IS NULL")

    def rows(self) -> Iterator[Row]:
        """Everything, oldest first."""
        return self._rows("TRUE")

    def took(self, number: int, column: str, time: int) -> None:
        """The log holds the statement (`taken`) or the receipt (`filed`)."""
        with self._told() as db:
            db.execute(f"UPDATE handed SET {column} = ?, trouble = '' WHERE number = ?", (time, number))  # noqa: S608

    def failed(self, number: int, trouble: str) -> None:
        """The log did not take it, and said so or nothing."""
        with self._told() as db:
            db.execute("UPDATE handed SET tries = tries + 1, trouble = ? WHERE number = ?", (trouble[:500], number))

    def _rows(self, where: str, *values: bytes) -> Iterator[Row]:
        last = -1
        while True:  # by hundreds, so that nobody waits for a long list to be read
            query = f"SELECT {_ROW} FROM handed WHERE {where} AND number > ? ORDER BY number LIMIT 100"  # noqa: S608
            with self._told() as db:
                found = db.execute(query, (*values, last)).fetchall()
            if not found:
                return
            for number, statement, *rest in found:
                yield Row(number, bytes(statement).hex(), *rest)
                last = number

    @contextmanager
    def _told(self) -> Iterator[sqlite3.Connection]:
        """The connection, for one thread at a time; what SQLite says becomes an error of ours."""
        with self._guard:
            try:
                yield self._db
            except sqlite3.Error as error:
                if getattr(error, "sqlite_errorcode", 0) in _FSYNC:
                    durable.die(f"{self._path}: fsync failed: {error}; start again, no receipt that left is lost")
                raise Unavailable(f"the intake party's memory: {error}", where=str(self._path)) from error
