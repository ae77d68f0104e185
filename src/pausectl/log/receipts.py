# SPDX-License-Identifier: Apache-2.0
"""The receipts under one checkpoint, many at a time: neighbours share nearly all of their hashes.

The same bytes as `proof.format(proof.make(tiles.read, index, checkpoint))`, which takes fifty times as long because it
reads every hash out of its tile anew. Kept for one checkpoint and dropped with it, so memory is that of its answers.
"""

from __future__ import annotations

from functools import cache

from pausectl.history.tiles import Tiles
from pausectl.wire import checkpoint, merkle, note, proof, tile
from pausectl.wire.keys import base64
from pausectl.wire.merkle import Hash
from pausectl.wire.tile import HEIGHT, Tile


class Receipts:
    """Of the entries that a published checkpoint covers. tiles: of its tree, or of a later one of the same log."""

    def __init__(self, tiles: Tiles, checkpoint_raw: bytes) -> None:
        self.checkpoint_raw = checkpoint_raw
        self.size = checkpoint.parse(note.parse(checkpoint_raw).text).size
        self._tiles = tiles
        self._line = cache(self._make_line)
        self._read = cache(self._find)
        self._hashes = cache(self._parse)

    def of(self, index: int) -> bytes:
        """The .tlog-proof of one entry below `size`."""
        lines: list[str] = []
        level = 0
        while 1 << level < self.size:
            start = (index >> level ^ 1) << level
            if start < self.size:
                lines.append(self._line(start, min(start + (1 << level), self.size)))
            level += 1
        head = f"{proof.HEADER}\nindex {index}\n{''.join(lines)}\n".encode()
        return head + self.checkpoint_raw

    def _make_line(self, start: int, end: int) -> str:
        return f"{base64(merkle.subtree_root(start, end, self._read))}\n"

    def _find(self, level: int, index: int) -> Hash:
        """The hash of a complete subtree, from its tile or from its two halves."""
        if level % HEIGHT:
            return merkle.node_hash(self._read(level - 1, 2 * index), self._read(level - 1, 2 * index + 1))
        place, part = tile.locate(level, index, self._tiles.size)
        start: int = part.start
        return self._hashes(place)[start]

    def _parse(self, place: Tile) -> tuple[Hash, ...]:
        return tile.parse_hashes(self._tiles.tile(place), place.width)
