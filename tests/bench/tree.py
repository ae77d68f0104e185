# SPDX-License-Identifier: Apache-2.0
"""Large trees of entries that say nothing, as the files of a log, made once and kept under build/bench."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pausectl.agreement.document import Agreement
from pausectl.log import growth
from pausectl.sim import terms
from pausectl.sim.terms import Roll
from pausectl.wire import checkpoint, tile

#: Bytes of one entry, about those of a signed statement.
ENTRY = 700


def parties() -> tuple[Roll, dict, Agreement]:
    """The demonstration's."""
    roll = Roll()
    keys = {name: terms.demo_key(name) for name in terms.names(roll)}
    return roll, keys, terms.agree(roll, keys)


def entry(index: int) -> bytes:
    """Bytes that differ from entry to entry and are quick to make."""
    return hashlib.sha256(b"%d" % index).hexdigest().encode() * (ENTRY // 64)


def right_edge(edge: growth.Edge) -> dict[str, bytes]:
    """The partial tiles and the partial bundle of a tree."""
    files = {}
    for level, hashes in enumerate(edge.levels):
        if hashes:
            files[tile.tile_path(level, (edge.size >> 8 * level) // 256, len(hashes))] = tile.format_hashes(hashes)
    if edge.entries:
        files[tile.bundle_path(edge.size // 256, len(edge.entries))] = tile.format_bundle(edge.entries)
    return files


def write(place: Path, files: dict[str, bytes]) -> None:
    """Files below a directory."""
    for name, data in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)


def build(entries: int, place: Path, step: int = 65_536) -> Path:
    """The public files of a log of `entries` entries, the agreement being the first, signed by the log alone."""
    if (place / "done").exists():
        return place / "log"
    roll, keys, agreement = parties()
    edge = growth.EMPTY_EDGE
    for start in range(0, entries, step):
        fresh = [entry(index) if index else agreement.raw for index in range(start, min(start + step, entries))]
        edge, files = growth.grow(edge, fresh)
        write(place / "log", {name: data for name, data in files.items() if ".p/" not in name})
    write(place / "log", right_edge(edge))
    head = checkpoint.Checkpoint(agreement.log_key.name, edge.size, edge.root)
    (place / "log" / "checkpoint").write_bytes(checkpoint.sign(head, keys[roll.log]).raw)
    (place / "log.vkey").write_text(agreement.document.log.vkey)
    (place / "done").touch()
    return place / "log"
