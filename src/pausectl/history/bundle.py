# SPDX-License-Identifier: Apache-2.0
"""A ledger in your pocket: a zip with the same paths as the log's web server.

Only what the newest checkpoint needs goes in, every byte of it checked on the way, so a bundle can be verified exactly
if the log could. It is a copy, not a format of its own: unzip it behind a web server and it is the log.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from pausectl.errors import UsageFault
from pausectl.history.reader import Ledger
from pausectl.wire import tile

Progress = Callable[[int, int], None]


def write(ledger: Ledger, path: Path, progress: Progress = lambda _done, _all: None) -> int:
    """Copy a ledger into a zip at `path`; the number of files. A crash leaves no half-written bundle behind."""
    bundles = list(tile.bundles_for(ledger.size))
    tiles = list(tile.tiles_for(ledger.size))
    total = 1 + len(bundles) + len(tiles)
    try:
        handle, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise UsageFault(f"cannot be written: {error.strerror}", where=str(path)) from error
    try:
        with os.fdopen(handle, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as pocket:
            _put(pocket, "checkpoint", ledger.head.raw)
            for done, each in enumerate(tiles, 1):
                _put(pocket, each.path, ledger.tiles.tile(each))
                progress(done, total)
            for done, each_bundle in enumerate(bundles, 1 + len(tiles)):
                _put(pocket, each_bundle.path, tile.format_bundle(ledger.tiles.bundle(each_bundle)))
                progress(done, total)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
    return total


def _put(pocket: zipfile.ZipFile, name: str, data: bytes) -> None:
    """Same bytes for the same ledger: no clock and no owner in the zip."""
    entry = zipfile.ZipInfo(name)
    entry.compress_type = zipfile.ZIP_DEFLATED
    pocket.writestr(entry, data)
