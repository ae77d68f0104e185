# SPDX-License-Identifier: Apache-2.0
"""A tree that somebody else serves, every tile checked before a byte of it is used.

The right edge of every level together determines the root, so those partial tiles are read first and compared with the
signed root; a full tile is then read only under the hash that its parent, itself authenticated, holds for it. Go's
reference client once skipped the second half (CVE-2026-56865).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from pausectl.errors import Forged, Unavailable
from pausectl.registry import enforces
from pausectl.wire import merkle, tile
from pausectl.wire.tile import Bundle, Tile

Fetch = Callable[[str], bytes]

#: Full tiles kept: enough for one path down the largest tree and its neighbours. 64 × 8 KiB.
_KEPT = 64


class Tiles:
    """The authenticated tiles of the tree of `size` with `root`."""

    def __init__(self, fetch: Fetch, size: int, root: merkle.Hash) -> None:
        self.size = size
        self._fetch = fetch
        self._edge = {t: self._unchecked(t) for t in self._edge_tiles()}
        self._kept: OrderedDict[Tile, bytes] = OrderedDict()
        self._check_edge(root)
        self.read = tile.hash_reader(size, self.tile)

    def _edge_tiles(self) -> list[Tile]:
        return [Tile(level, full, partial) for level, (full, partial) in enumerate(tile.widths(self.size)) if partial]

    def _unchecked(self, wanted: Tile) -> bytes:
        try:
            data = self._fetch(wanted.path)
        except Unavailable:
            if wanted.width == tile.WIDTH:
                raise
            data = self._fetch(wanted.full.path)[: wanted.width * merkle.HASH_BYTES]
        tile.parse_hashes(data, wanted.width)
        return data

    @enforces("READ-2")
    def _check_edge(self, root: merkle.Hash) -> None:
        """Compare the right edge with the signed root.

        [READ-2] A reader MUST compute the root from the partial tiles of the right edge and refuse the tree if it
        differs from the root of the checkpoint.
        """
        read = tile.hash_reader(self.size, self._edge.__getitem__)
        parts = [read(level, index) for level, index in merkle.complete_subtrees(0, self.size)]
        if merkle.Range(self.size, parts).root() != root:
            raise Forged("the tiles of the right edge do not make the root of the checkpoint", where="tile")

    @enforces("READ-3")
    def tile(self, wanted: Tile) -> bytes:
        """The bytes of a tile of this tree.

        [READ-3] A reader MUST refuse a full tile whose root is not the hash that the tile above it, itself checked,
        holds for it.
        """
        if wanted in self._edge:
            return self._edge[wanted]
        if wanted in self._kept:
            self._kept.move_to_end(wanted)
            return self._kept[wanted]
        data = self._unchecked(wanted)
        parent, part = tile.locate(tile.HEIGHT * (wanted.level + 1), wanted.index, self.size)
        if merkle.root(tile.parse_hashes(data, wanted.width)) != self.tile(parent)[part.start * 32 : part.stop * 32]:
            raise Forged("the tile is not the one that the tile above it commits to", where=wanted.path)
        self._kept[wanted] = data
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return data

    def root(self, size: int) -> merkle.Hash:
        """Root of the first `size` leaves: what an honest checkpoint of that size says."""
        return merkle.subtree_root(0, size, self.read)

    @enforces("READ-4")
    def bundle(self, wanted: Bundle) -> tuple[bytes, ...]:
        """The entries of a bundle.

        [READ-4] A reader MUST refuse a bundle of entries in which any leaf hash is not the one that the level 0 tile,
        itself checked, holds for it.
        """
        entries = self.unchecked_bundle(wanted)
        check_leaves(entries, self.leaves(wanted), wanted)
        return entries

    def unchecked_bundle(self, wanted: Bundle) -> tuple[bytes, ...]:
        """A bundle whose leaves the caller compares (`check_leaves`), perhaps in another process."""
        try:
            data = self._fetch(wanted.path)
        except Unavailable:
            if wanted.width == tile.WIDTH:
                raise
            data = self._fetch(wanted.full.path)
            return tile.parse_bundle(data, tile.WIDTH)[: wanted.width]
        return tile.parse_bundle(data, wanted.width)

    def leaves(self, wanted: Bundle) -> bytes:
        """The authenticated leaf hashes of a bundle, 32 bytes each."""
        return self.tile(Tile(0, wanted.index, wanted.width))


def check_leaves(entries: tuple[bytes, ...], leaves: bytes, wanted: Bundle) -> None:
    """Forged, naming the entry, unless every entry hashes to its leaf."""
    for offset, entry in enumerate(entries):
        if merkle.leaf_hash(entry) != leaves[offset * 32 : offset * 32 + 32]:
            place = f"{wanted.path}: entry {wanted.index * tile.WIDTH + offset}"
            raise Forged("the entry is not the one that the tree commits to", where=place)
