# SPDX-License-Identifier: Apache-2.0
"""A ledger in your pocket: a zip with the same paths as the log's web server.

Only what the newest checkpoint needs goes in, every byte of it checked on the way, so a bundle can be verified exactly
if the log could. It is a copy, not a format of its own: unzip it behind a web server and it is the log.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

from pausectl.errors import UsageFault
from pausectl.history.reader import Ledger, key_path
from pausectl.wire import tile

Progress = Callable[[int, int], None]


def write(ledger: Ledger, path: Path, progress: Progress = lambda _done, _all: None) -> int:
    """Copy a ledger into a zip at `path`; the number of files. A crash leaves no half-written bundle behind.

    UsageFault if there is something at `path`, or it cannot be written.
    """
    if path.exists():
        raise UsageFault("exists already, and is left as it is", where=str(path))
    bundles = list(tile.bundles_for(ledger.size))
    tiles = list(tile.tiles_for(ledger.size))
    keys = ledger.agreement.resolved
    total = 1 + len(keys) + len(bundles) + len(tiles)
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        handle = os.open(
            draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666
        )  # and not 0600: it is there to be passed on
    except OSError as error:
        raise UsageFault(f"cannot be written: {error.strerror}", where=str(path)) from error
    try:
        with os.fdopen(handle, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as pocket:
            _put(pocket, "checkpoint", ledger.head.raw)
            for digest, key in sorted(keys.items()):
                _put(pocket, key_path(digest), key.raw)
            for done, each in enumerate(tiles, 1 + len(keys)):
                _put(pocket, each.path, ledger.tiles.tile(each))
                progress(done, total)
            for done, each_bundle in enumerate(bundles, 1 + len(keys) + len(tiles)):
                _put(pocket, each_bundle.path, tile.format_bundle(ledger.tiles.bundle(each_bundle)))
                progress(done, total)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise UsageFault(f"cannot be written: {error.strerror}", where=str(path)) from error
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return total


def _put(pocket: zipfile.ZipFile, name: str, data: bytes) -> None:
    """Same bytes for the same ledger: no clock and no owner in the zip."""
    entry = zipfile.ZipInfo(name)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16  # what unzip gives it
    pocket.writestr(entry, data)
