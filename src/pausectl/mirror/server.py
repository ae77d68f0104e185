# SPDX-License-Identifier: Apache-2.0
r"""A mirror's doors: what it holds, at the paths of tlog-mirror, and at those of the log itself.

GET  /<hex SHA-256 of the origin>/checkpoint     cosigned by the log, its witnesses, and this mirror; never cached
GET  /<hex SHA-256 of the origin>/tile/…         never changes; so too …/key/<hex SHA-256>
GET  /checkpoint, /tile/…, /key/…                the same, for readers who put a mirror's address in the log's place
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from pausectl.errors import Malformed, PausectlError, Unavailable
from pausectl.mirror.compare import place
from pausectl.mirror.watch import Watch
from pausectl.net.door import OCTETS, Answer, Door, Request
from pausectl.net.metrics import Gauge, Metrics
from pausectl.registry import enforces
from pausectl.wire import tile
from pausectl.wire.tile import CHECKPOINT_PATH

_FOREVER = {"cache-control": "public, max-age=31536000, immutable"}
_NEVER = {"cache-control": "no-store"}
_KEY = re.compile(r"key/[0-9a-f]{64}")


def doors(public: Path, origin: str) -> list[Door]:
    """The doors of a mirror whose copy of the log `origin` lies in `public`."""
    found = []
    for prefix in (f"/{place(origin)}/", "/"):
        read = partial(_immutable, public, prefix)
        found += [
            Door("GET", f"{prefix}{CHECKPOINT_PATH}", partial(_checkpoint, public)),
            Door("GET", f"{prefix}tile/", read, status=_status),
            Door("GET", f"{prefix}key/", read, status=_status),
        ]
    return found


class Numbers(Metrics):
    """What a mirror counts."""

    def __init__(self, watch: Watch) -> None:
        """watch: whose numbers they are."""
        super().__init__()
        held = Gauge("pausectl_mirror_entries", "Entries held.", registry=self.registry)
        held.set_function(lambda: watch.size)
        trouble = Gauge("pausectl_mirror_trouble", "1 while a visit fails.", registry=self.registry)
        trouble.set_function(lambda: bool(watch.trouble))
        fork = Gauge("pausectl_mirror_fork", "1 once there is evidence against the log.", registry=self.registry)
        fork.set_function(lambda: bool(watch.code))


def _status(error: PausectlError) -> int:
    """A path that is none is not there, like any other."""
    return 404 if isinstance(error, Malformed | Unavailable) else 503


def _checkpoint(public: Path, _: Request) -> Answer:
    try:
        return Answer(200, (public / CHECKPOINT_PATH).read_bytes(), headers=_NEVER)
    except FileNotFoundError:
        return Answer(404, b"nothing is held yet\n", headers=_NEVER)


@enforces("MIR-10")
def _immutable(public: Path, prefix: str, request: Request) -> Answer:
    """A file that its path, or a tree, commits to.

    [MIR-10] A mirror MUST serve a tile, a bundle or a key under its canonical path only, below the hash of the log's
    origin.
    """
    path = request.path.removeprefix(prefix)
    if not _KEY.fullmatch(path):
        path = tile.parse_path(path).path
    try:
        return Answer(200, (public / path).read_bytes(), OCTETS, _FOREVER)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Unavailable("no such file here") from error
