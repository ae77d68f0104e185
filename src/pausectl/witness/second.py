# SPDX-License-Identifier: Apache-2.0
"""A witness's second memory: what left it last for each log, in files of their own, perhaps on another disk.

    PLACE/witness.vkeys                            whose it is; without it this is not the place
    PLACE/<hex SHA-256 of the origin>/checkpoint   what was cosigned last, with our lines
    PLACE/<hex SHA-256 of the origin>/lock         held from the comparison to the writing

It is written after the first memory is committed and before the answer leaves, so it is never ahead of the first one;
where it is, the first one was set back. It sees a database that was restored from a backup, or replaced under a running
process, and two databases that use one second memory. It does not see both being set back together, as a snapshot of
the whole machine does when the second place is on it, nor a second place that somebody sets back on purpose.

The files are C2SP's monitoring resource too: a web server may serve them as they lie.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pausectl import durable
from pausectl.durable import Disk
from pausectl.errors import Refused, Unavailable

_MARKER = "witness.vkeys"


class Second:
    """The files in one place."""

    def __init__(self, place: Path, disk: Disk) -> None:
        """place: an existing directory, or one that `create` will make."""
        self.place = place
        self._disk = disk

    def create(self, vkeys: str) -> None:
        """Make the place, or add to whose it is; what lies there is left. Refused if it is another witness's."""
        self._disk.home(self.place)
        marker = self.place / _MARKER
        if marker.exists() and not vkeys.startswith(marker.read_text(encoding="utf-8")):
            raise Refused("the second memory of another witness is here", where=str(self.place))
        self._disk.put(self.place / _MARKER, vkeys.encode(), 0o644)

    def check(self, vkeys: str) -> None:
        """Unavailable unless this is the place, and ours."""
        try:
            found = (self.place / _MARKER).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            hint = "is its disk mounted? nothing is cosigned without it"
            raise Unavailable("the witness's second memory is missing", where=str(self.place), hint=hint) from error
        if found != vkeys:
            raise Unavailable("expected the second memory of this witness, found another's", where=str(self.place))

    @contextmanager
    def held(self, hash: str) -> Iterator[None]:
        """Nobody else decides about the log with this origin hash meanwhile, whichever database they use."""
        self._disk.home(self.place / hash)
        held = durable.lock(self.place / hash / "lock", wait=True)
        try:
            yield
        finally:
            os.close(held)

    def read(self, hash: str) -> bytes | None:
        """What left last, or None."""
        try:
            return (self.place / hash / "checkpoint").read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Unavailable(f"cannot be read: {error.strerror}", where=str(self.place / hash)) from error

    def write(self, hash: str, note: bytes) -> None:
        """Replace what left last; for who holds the log."""
        try:
            self._disk.put(self.place / hash / "checkpoint", note, 0o644)
        except OSError as error:
            raise Unavailable(f"cannot be written: {error.strerror}", where=str(self.place / hash)) from error

    def hashes(self) -> list[str]:
        """Origin hashes of the logs of which something left."""
        return sorted(path.parent.name for path in self.place.glob(f"{'[0-9a-f]' * 64}/checkpoint"))
