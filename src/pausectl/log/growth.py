# SPDX-License-Identifier: Apache-2.0
"""What appending does to a tree: the right edge before and after, and the files that are new. Pure.

    grow(EMPTY_EDGE, [b"golden-0", b"golden-1"]) gives an edge of size 2 and
    {"tile/entries/000.p/2": 0008 676f6c64656e2d30 0008 676f6c64656e2d31, "tile/0/000.p/2": 98829286… 556f498b…}

The root comes from the leaf hashes alone and not from the tiles, so that tiles and root check each other later.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from pausectl.history.tiles import Tiles
from pausectl.wire import merkle, tile
from pausectl.wire.merkle import Hash
from pausectl.wire.tile import WIDTH, Bundle, Tile


@dataclass(frozen=True, slots=True)
class Edge:
    """All of a tree that appending to it needs, at most some 2,000 hashes and 255 entries.

    peaks: of `merkle.Range`. levels: the hashes of the partial tile of each level, level 0 first, perhaps none.
    entries: those of the partial bundle.
    """

    size: int
    peaks: tuple[Hash, ...]
    levels: tuple[tuple[Hash, ...], ...]
    entries: tuple[bytes, ...]

    @property
    def root(self) -> Hash:
        """MTH of the whole tree."""
        return merkle.Range(self.size, self.peaks).root()


EMPTY_EDGE = Edge(0, (), (), ())


def load(tiles: Tiles) -> Edge:
    """The right edge of a tree that lies in tiles."""
    size, levels = tiles.size, []
    for level, (full, partial) in enumerate(tile.widths(size)):
        levels.append(tile.parse_hashes(tiles.tile(Tile(level, full, partial)), partial) if partial else ())
    entries = tiles.bundle(Bundle(size // WIDTH, size % WIDTH)) if size % WIDTH else ()
    peaks = tuple(tiles.read(level, index) for level, index in merkle.complete_subtrees(0, size))
    return Edge(size, peaks, tuple(levels), entries)


def grow(edge: Edge, entries: Sequence[bytes]) -> tuple[Edge, dict[str, bytes]]:
    """The edge after appending, and the bundles and tiles (path → bytes) that the larger tree has and this one has not.

    Malformed for an entry that no bundle can hold.
    """
    leaves = [merkle.leaf_hash(entry) for entry in entries]
    tree = merkle.Range(edge.size, edge.peaks)
    tree.extend(leaves)
    files, rest = _bundles(edge, entries)
    levels: list[tuple[Hash, ...]] = []
    rising = leaves
    while rising or len(levels) < len(edge.levels):
        level = len(levels)
        held = edge.levels[level] if level < len(edge.levels) else ()
        hashes = [*held, *rising]
        first = (edge.size >> tile.HEIGHT * level) // WIDTH
        chunks = [hashes[at : at + WIDTH] for at in range(0, len(hashes), WIDTH)] if rising else []
        for number, chunk in enumerate(chunks):
            files[Tile(level, first + number, len(chunk)).path] = tile.format_hashes(chunk)
        full = len(hashes) // WIDTH
        levels.append(tuple(hashes[full * WIDTH :]))
        rising = [merkle.root(chunk) for chunk in chunks[:full]]
    return Edge(tree.size, tree.hashes, tuple(levels), rest), files


def _bundles(edge: Edge, entries: Sequence[bytes]) -> tuple[dict[str, bytes], tuple[bytes, ...]]:
    held = [*edge.entries, *entries]
    first = edge.size // WIDTH
    files = {}
    for at in range(0, len(held), WIDTH) if entries else ():
        chunk = held[at : at + WIDTH]
        files[Bundle(first + at // WIDTH, len(chunk)).path] = tile.format_bundle(chunk)
    return files, tuple(held[len(held) // WIDTH * WIDTH :])


def partials(size: int) -> set[str]:
    """Paths of the partial tiles and of the partial bundle of the tree of `size`."""
    paths = {Tile(level, full, part).path for level, (full, part) in enumerate(tile.widths(size)) if part}
    return paths | ({Bundle(size // WIDTH, size % WIDTH).path} if size % WIDTH else set())


def superseded(dropped: Iterable[int], kept: Collection[int]) -> set[str]:
    """Paths of the partial tiles and bundles that only the trees of the sizes `dropped` have."""
    return set().union(*map(partials, dropped)) - set().union(*map(partials, kept))
