# SPDX-License-Identifier: Apache-2.0
"""A store in PostgreSQL: `postgresql://host/database#name`, with two tables that several logs may share.

    pausectl_object    log text, path text, data bytea       "log/tile/0/000.p/2", "stage/2-5f0f…"
    pausectl_register  log text, name text, value bytea      "head", "log/checkpoint"

What follows the # tells logs of one database apart; "log" if nothing does. Passwords come from the environment, from
~/.pgpass or from a service file, as libpq has it. One connection, made again after it was lost; for any threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from urllib.parse import unquote, urldefrag

import psycopg

from pausectl.errors import Refused, Unavailable
from pausectl.log.storage.seams import Absent
from pausectl.registry import enforces

_TABLES = """
CREATE TABLE IF NOT EXISTS pausectl_object (
    log text NOT NULL, path text NOT NULL, data bytea NOT NULL, PRIMARY KEY (log, path)
);
CREATE TABLE IF NOT EXISTS pausectl_register (
    log text NOT NULL, name text NOT NULL, value bytea NOT NULL, PRIMARY KEY (log, name)
);
"""

#: Seconds until a server that does not answer counts as unreachable.
_PATIENCE = 30

Row = tuple[bytes, ...]


class Backend:
    """One log's part of a database."""

    def __init__(self, url: str) -> None:
        """url: without a password. Nothing is asked of the server yet."""
        self._url, fragment = urldefrag(url)
        self._log = unquote(fragment) or "log"
        self._lock = Lock()
        self._connection: psycopg.Connection | None = None

    def objects(self, folder: str) -> PostgresObjects:
        """Objects whose paths begin with `folder`."""
        return PostgresObjects(self, folder)

    def register(self, name: str) -> PostgresHead:
        """A register; it need not be there."""
        return PostgresHead(self, name)

    def create(self, *registers: str) -> None:
        """Make the tables, if they are missing, and the registers; Refused if there is one of them already."""
        with self._lock:
            try:
                connection = self._connected()
                with connection.transaction():
                    # Two that make the same table at once would both find none.
                    connection.execute("SELECT pg_advisory_xact_lock(hashtext('pausectl'))")
                    connection.execute(_TABLES)
                    for name in registers:
                        statement = "INSERT INTO pausectl_register VALUES (%s, %s, '') ON CONFLICT DO NOTHING"
                        if connection.execute(statement, (self._log, name)).rowcount != 1:
                            raise Refused(f"there is a register {name!r} of the log {self._log!r} already")
            except psycopg.Error as error:
                raise self._lost(error) from error

    def run(self, statement: str, *arguments: str | bytes) -> tuple[int, Sequence[Row]]:
        """Rows affected and rows found by one statement, which is a transaction; %s of it is the log, then arguments.

        Unavailable for whatever else happens; then it may have been done, or may still be.
        """
        with self._lock:
            try:
                cursor = self._connected().execute(statement.encode(), (self._log, *arguments), binary=True)
                rows = cursor.fetchall() if cursor.description else ()
            except psycopg.Error as error:
                raise self._lost(error) from error
            return cursor.rowcount, rows

    def close(self) -> None:
        """Let the connection go."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def _connected(self) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                self._url, autocommit=True, connect_timeout=_PATIENCE, target_session_attrs="read-write",
                tcp_user_timeout=_PATIENCE * 1000, application_name="pausectl",
            )  # fmt: skip
            try:
                _need_durable(self._connection)
            except BaseException:
                self._connection.close()
                raise
        return self._connection

    def _lost(self, error: psycopg.Error) -> Unavailable:
        """After an error nobody knows in which state the connection is."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        told = str(error).strip().partition("\n")[0]
        hint = "`pausectl log init` makes the tables" if isinstance(error, psycopg.errors.UndefinedTable) else ""
        return Unavailable(f"PostgreSQL: {told or type(error).__name__}", hint=hint)


@enforces("STORE-9")
def _need_durable(connection: psycopg.Connection) -> None:
    """Have every commit of this connection on disk before it is answered; Refused where the server cannot.

    [STORE-9] A store MUST make what it accepts durable before it answers.
    """
    connection.execute(f"SET statement_timeout = {_PATIENCE * 1000}")
    for name in ("fsync", "full_page_writes"):
        if _setting(connection, name) != "on":
            raise Refused(f"PostgreSQL: expected {name} = on, or a power cut takes back what was acknowledged")
    # One that waits for a replica as well, or for the replica to show it, is more and stays.
    if _setting(connection, "synchronous_commit") not in ("on", "remote_apply"):
        connection.execute("SET synchronous_commit = on")


def _setting(connection: psycopg.Connection, name: str) -> str:
    found = connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
    return str(found[0]) if found else ""


class PostgresObjects:
    """Objects as rows."""

    def __init__(self, backend: Backend, folder: str) -> None:
        self._run = backend.run
        self._folder = folder

    def put(self, path: str, data: bytes, *, afresh: bool = False) -> None:  # noqa: ARG002 - a row that can be read is durable
        """Insert a row."""
        full = f"{self._folder}/{path}"
        statement = "INSERT INTO pausectl_object VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
        while self._run(statement, full, data)[0] != 1:
            found = self._find(full)
            if found is not None and found != data:
                raise Refused("expected the bytes that are to be written, or no object", where=full)
            if found is not None:
                return

    def get(self, path: str) -> bytes:
        """The bytes of a row."""
        found = self._find(f"{self._folder}/{path}")
        if found is None:
            raise Absent("no such object in this log", where=f"{self._folder}/{path}")
        return found

    def discard(self, path: str) -> None:
        """Delete a row."""
        self._run("DELETE FROM pausectl_object WHERE log = %s AND path = %s", f"{self._folder}/{path}")

    def _find(self, full: str) -> bytes | None:
        _, rows = self._run("SELECT data FROM pausectl_object WHERE log = %s AND path = %s", full)
        return bytes(rows[0][0]) if rows else None


class PostgresHead:
    """A register as a row. One conditional UPDATE decides: whoever waited for its lock sees the winner's value."""

    def __init__(self, backend: Backend, name: str) -> None:
        self._run = backend.run
        self._name = name

    def read(self) -> bytes:
        """The value in the row."""
        _, rows = self._run("SELECT value FROM pausectl_register WHERE log = %s AND name = %s", self._name)
        if not rows:
            hint = "this is the log's memory of what it signed: restore it, never make a new one"
            raise Unavailable("the register is missing", where=self._name, hint=hint)
        return bytes(rows[0][0])

    def swap(self, old: bytes, new: bytes) -> None:
        """Update the row if it has the value `old`."""
        # The log stands first among the arguments of every statement, hence the form.
        statement = (
            "UPDATE pausectl_register r SET value = n.value FROM (VALUES (%s, %s, %s::bytea, %s::bytea)) "
            "AS n (log, name, old, value) WHERE r.log = n.log AND r.name = n.name AND r.value = n.old"
        )
        if self._run(statement, self._name, old, new)[0] != 1:
            self.read()
            raise Refused("the register has another value than the one to be replaced", where=self._name)
