# SPDX-License-Identifier: Apache-2.0
r"""How far a check of a log has come: a file to go on from, whenever the check was killed.

    {"bundles":512,"damage":[],"of":"SHA256:…","rows":[[],["5f0f…","9882…"]],"type":"pausectl-fsck/v1"}
    7d7d2a…                                                        SHA-256 of the line above

`rows` are the roots of what was checked (`settle.Tree`), at most 255 for each level: they say which log it was, and the
rest of the check compares them with the tiles above, so that a place in another log, or in one that was changed since,
cannot pass for this one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from pausectl.durable import Disk
from pausectl.errors import Malformed, UsageFault
from pausectl.wire import canonical, merkle
from pausectl.wire.merkle import HASH_BYTES, Hash
from pausectl.wire.tile import HEIGHT, WIDTH

TYPE = "pausectl-fsck/v1"

#: Damage to each of 100,000 files fits.
_MAX_BYTES = 1 << 24

#: (path, index or None, message), as `fsck.Damage`
Found = tuple[str, int | None, str]


@dataclass(frozen=True, slots=True)
class Bookmark:
    """of: what was checked, and against what. bundles: how many full ones. found: the damage so far."""

    of: str
    bundles: int
    rows: tuple[tuple[Hash | None, ...], ...]
    found: tuple[Found, ...]

    def root(self) -> Hash | None:
        """Root of the tree of the entries that were checked; None where damage hides it."""
        pieces: list[Hash] = []
        for row in reversed(self.rows):
            known = [value for value in row if value is not None]
            if len(known) < len(row):
                return None
            pieces += [
                merkle.root(known[start << level : start + 1 << level])
                for level, start in merkle.complete_subtrees(0, len(known))
            ]
        return merkle.Range(self.bundles * WIDTH, pieces).root()


def format(mark: Bookmark) -> bytes:
    """The file."""
    line = canonical.dump(
        {
            "bundles": mark.bundles,
            "damage": [list(each) for each in mark.found],
            "of": mark.of,
            "rows": [[value.hex() if value else None for value in row] for row in mark.rows],
            "type": TYPE,
        }
    )
    return line + b"\n" + hashlib.sha256(line).hexdigest().encode() + b"\n"


def parse(raw: bytes) -> Bookmark:
    """The inverse of `format`."""
    line, _, end = raw.partition(b"\n")
    if end != hashlib.sha256(line).hexdigest().encode() + b"\n":
        raise Malformed("place of a check: its digest is another")
    try:
        value = canonical.load(line, limit=_MAX_BYTES)
        rows = tuple(tuple(_hash(text) for text in row) for row in value["rows"])
        found = tuple(_found(*each) for each in value["damage"])
        mark = Bookmark(str(value["of"]), int(value["bundles"]), rows, found)
    except (KeyError, TypeError, ValueError) as error:
        raise Malformed(f"place of a check: expected its members, found {error}") from error
    if format(mark) != raw or _count(mark) != mark.bundles:
        raise Malformed("place of a check: expected the one that was written")
    return mark


def _found(path: str, index: int | None, message: str) -> Found:
    return str(path), None if index is None else int(index), str(message)


def _hash(text: object) -> Hash | None:
    if text is None:
        return None
    value = bytes.fromhex(str(text))
    if len(value) != HASH_BYTES:
        raise ValueError("a hash of another length")
    return value


def _count(mark: Bookmark) -> int:
    if any(len(row) >= WIDTH for row in mark.rows):
        return -1
    return sum(len(row) << HEIGHT * level for level, row in enumerate(mark.rows))


def load(path: Path, of: str) -> Bookmark | None:
    """What a file says of this check; None if there is none. UsageFault if it is of another, or was changed."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageFault(f"cannot be read: {error.strerror}", where=str(path)) from error
    hint = "remove it to begin again"
    try:
        mark = parse(raw)
    except Malformed as error:
        raise UsageFault(error.message, where=str(path), hint=hint) from error
    if mark.of != of:
        raise UsageFault(f"is the place of a check of {mark.of}, not of {of}", where=str(path), hint=hint)
    return mark


def save(path: Path, mark: Bookmark) -> None:
    """Replace the file, whole."""
    Disk().put(path, format(mark), 0o644)
