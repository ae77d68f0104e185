# SPDX-License-Identifier: Apache-2.0
r"""Where a copy lies, and what a mirror has to remember.

    DIR/log/checkpoint, tile/…      public, in a log's own layout: any web server may serve DIR/log as it is
    DIR/state/held                  the checkpoint all of whose entries are held, with our line; published only after
    DIR/state/cursor                how far the copying towards the next one has come
    DIR/state/seen/<size>-<root>    checkpoints that others showed, of sizes that the log has not shown us yet
    DIR/evidence/                   what convicts the log, if anything does
    DIR/state/lock                  held by the one process that writes here

A cursor is

    pausectl-mirror/v1
    kept 2 600                      sizes of the last checkpoints: their partial files stay here
    done 256                        entries that are durable here, beyond which nothing is certain

    pause.example/golden            the checkpoint that is being copied, if one is
    …
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pausectl import durable
from pausectl.durable import Disk
from pausectl.errors import Malformed, Refused, Unavailable
from pausectl.wire import tile
from pausectl.wire.merkle import format_size, parse_size
from pausectl.wire.tile import CHECKPOINT_PATH, WIDTH, Bundle, Tile

HEADER = "pausectl-mirror/v1"


@dataclass(frozen=True, slots=True)
class Cursor:
    """kept: sizes, rising. done: entries from the first on that are durable. target: the note worked towards."""

    kept: tuple[int, ...] = ()
    done: int = 0
    target: bytes = b""


def parse_cursor(raw: bytes) -> Cursor:
    """Read a cursor; Malformed if this program did not write it."""
    head, _, target = raw.partition(b"\n\n")
    try:
        first, kept, done = head.decode("ascii").split("\n")
        sizes = tuple(parse_size(size) for size in kept.removeprefix("kept").split())
        cursor = Cursor(sizes, parse_size(done.removeprefix("done ")), target)
    except ValueError as error:
        raise Malformed("cursor: expected three lines") from error
    if first != HEADER or format_cursor(cursor) != raw:
        raise Malformed(f"cursor: expected {HEADER}, kept and done")
    return cursor


def format_cursor(cursor: Cursor) -> bytes:
    """The inverse of `parse_cursor`."""
    kept = "".join(f" {format_size(size)}" for size in cursor.kept)
    return f"{HEADER}\nkept{kept}\ndone {format_size(cursor.done)}\n\n".encode() + cursor.target


class Memory:
    """The files of one mirror, open for one process until `close`."""

    def __init__(self, home: Path, disk: Disk) -> None:
        """Make what is missing; Refused if another process has it open."""
        self.home = home
        self.public = home / "log"
        self._disk = disk
        self._made: set[Path] = set()
        disk.home(home)
        for name in ("log", "state", "state/seen", "evidence"):
            disk.folder(home / name, within=home, afresh=True)
        self._lock = durable.lock(home / "state" / "lock")

    def close(self) -> None:
        """Let others open it."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    # ── what is public ─────────────────────────────────────────────────────────────────────────────────────────────

    def get(self, path: str) -> bytes:
        """A public file; Unavailable if there is none."""
        try:
            return (self.public / path).read_bytes()
        except OSError as error:
            raise Unavailable(f"cannot be read: {error.strerror}", where=str(self.public / path)) from error

    def folder(self, path: str) -> None:
        """Make the directory of a public file, durably. Not for two threads at once."""
        folder = (self.public / path).parent
        if folder not in self._made:
            self._disk.folder(folder, within=self.public, afresh=True)
            self._made.add(folder)

    def put(self, path: str, data: bytes) -> None:
        """Write a public file whose directory was made; whatever of it was there may be of an attempt that died."""
        self._disk.put(self.public / path, data)

    def publish(self, raw: bytes) -> None:
        """Make `raw` the held checkpoint, durably, and only then the public one: what is seen is remembered."""
        self._disk.put(self.home / "state" / "held", raw, 0o600)
        self._disk.put(self.public / CHECKPOINT_PATH, raw)

    def prune(self, kept: tuple[int, ...], dropped: set[int]) -> None:
        """Remove the partial files that only checkpoints of `dropped` sizes need."""
        needed = {path for size in kept for path in partials(size)}
        for path in sorted({path for size in dropped for path in partials(size)} - needed):
            file = self.public / path
            self._disk.discard(file)
            self._disk.prune(file.parent)
            self._made.discard(file.parent)

    # ── what is not ────────────────────────────────────────────────────────────────────────────────────────────────

    def held(self) -> bytes:
        """The checkpoint that is held, b"" before there is one; a public one without it is refused."""
        with suppress(FileNotFoundError):
            return (self.home / "state" / "held").read_bytes()
        if (self.public / CHECKPOINT_PATH).exists():
            hint = (
                "this is the mirror's memory of what it vouched for: restore it, or begin a new mirror with a new key"
            )
            raise Refused("the held checkpoint is missing", where=str(self.home / "state" / "held"), hint=hint)
        return b""

    def cursor(self) -> Cursor:
        """How far copying came."""
        path = self.home / "state" / "cursor"
        try:
            return parse_cursor(path.read_bytes())
        except FileNotFoundError:
            return Cursor()
        except Malformed as error:
            error.hint = "it may be removed: copying then begins where the held checkpoint ends"
            raise error.at(str(path)) from error

    def save(self, cursor: Cursor) -> None:
        """Remember how far copying came; what it says is durable has to be."""
        self._disk.put(self.home / "state" / "cursor", format_cursor(cursor), 0o600)

    def seen(self) -> dict[str, bytes]:
        """Name → note of the checkpoints that wait for the log to show their size."""
        return {path.name: path.read_bytes() for path in sorted((self.home / "state" / "seen").glob("[0-9]*"))}

    def note_seen(self, name: str, raw: bytes) -> None:
        """Keep one."""
        self._disk.put(self.home / "state" / "seen" / name, raw, 0o600)

    def forget_seen(self, name: str) -> None:
        """It was compared."""
        self._disk.discard(self.home / "state" / "seen" / name)

    def convict(self, name: str, raw: bytes) -> Path:
        """Keep evidence; the file."""
        file = self.home / "evidence" / name
        if not file.exists():
            self._disk.put(file, raw)
        return file


def partials(size: int) -> set[str]:
    """Paths of the partial tiles and bundle that a tree of `size` has."""
    found = {Tile(level, full, part).path for level, (full, part) in enumerate(tile.widths(size)) if part}
    return found | ({Bundle(size // WIDTH, size % WIDTH).path} if size % WIDTH else set())
