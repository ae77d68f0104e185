# SPDX-License-Identifier: Apache-2.0
"""Who is wrong: a tree hashed again from the left, tile by tile, with one row of hashes for each level in memory.

A tile's hashes are known three times over: from what lies below (entries, or the tiles of the level below), from its
own file, and from the one hash that the tile above holds for it; for the right edge, from the signed root. Two that
agree outvote the third, so that what is listed is what has to be restored, and not everything that depends on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

from pausectl.log.place import Place
from pausectl.log.rehash import Claim, Complaint, Reading, agree, differing, leaf_reading, spare_tiles, tile_claim
from pausectl.wire import merkle, tile
from pausectl.wire.merkle import Hash
from pausectl.wire.tile import WIDTH, Bundle, Tile

#: Called with a path, a message and the index of an entry or None.
Blame = Callable[[str, str, int | None], None]

_NOT_BELOW = "is not the hashes of what lies below it"

Edge = list[tuple[Tile, Claim, Claim | None]]


class Tree:
    """The tree of `size`. rows: for each level the believed roots of its full tiles that no full tile above has yet."""

    def __init__(self, place: Place, size: int, first: bytes | None, blame: Blame) -> None:
        """Reads the right edge, which a growing log may soon remove. first: what entry 0 must be."""
        self.rows: list[list[Hash | None]] = []
        self._place = place
        self._size = size
        self._blame = blame
        self._parents: dict[int, tuple[Tile, Claim | None]] = {}
        self._edge: dict[int, tuple[Tile, Claim | None]] = {}
        self._last: Reading | None = None
        for level, (full, partial) in enumerate(tile.widths(size)):
            if partial and level == 0:
                self._last = leaf_reading(place, full, partial, first)
                self._complain(self._last.complaints)
                self._edge[0] = Tile(0, full, partial), self._last.stored
            elif partial:
                self._edge[level] = Tile(level, full, partial), self._stored(Tile(level, full, partial))

    def leaf(self, index: int, reading: Reading) -> None:
        """The next full tile of level 0, and the tiles above it that are full with it."""
        self._complain(reading.complaints)
        root = reading.root
        if root is None:
            place = Tile(0, index)
            above = self._above(place)
            believed = self._settle(place, reading.below or [None] * WIDTH, reading.stored, above)
            self._complain(differing(reading.spares, believed))
            root = _root(believed) or above
        self._rise(0, root)

    def _rise(self, level: int, root: Hash | None) -> None:
        if level == len(self.rows):
            self.rows.append([])
        row = self.rows[level]
        row.append(root)
        if len(row) < WIDTH:
            return
        place = Tile(level + 1, self._done(level + 1))
        above = self._above(place)
        believed = self._settle(place, row, self._stored(place), above)
        self._complain(differing(self._spares(place), believed))
        self.rows[level] = []
        self._rise(level + 1, _root(believed) or above)

    def _done(self, level: int) -> int:
        """How many full tiles of a level there were before."""
        return sum(len(row) * WIDTH**height for height, row in enumerate(self.rows[level:]))

    def _complain(self, complaints: Sequence[Complaint]) -> None:
        for path, index, message in complaints:
            self._blame(path, message, index)

    def _stored(self, place: Tile) -> Claim | None:
        complaints: list[Complaint] = []
        claim = tile_claim(self._place, place, complaints)
        self._complain(complaints)
        return claim

    def _spares(self, place: Tile) -> list[tuple[Tile, Claim]]:
        complaints: list[Complaint] = []
        spares = spare_tiles(self._place, place, complaints)
        self._complain(complaints)
        return spares

    def _above(self, place: Tile) -> Hash | None:
        """What the tile above says the root of a full tile is. One that is unfit is blamed in its own turn."""
        parent, part = tile.locate(tile.HEIGHT * (place.level + 1), place.index, self._size)
        held = self._edge.get(parent.level) if parent.width < WIDTH else self._parents.get(parent.level)
        if held is None or held[0] != parent:
            held = self._parents[parent.level] = parent, tile_claim(self._place, parent, [])
        return held[1][part.start] if held[1] else None

    def _settle(self, place: Tile, below: Claim, stored: Claim | None, above: Hash | None) -> Claim:
        """The hashes of a full tile that are to be believed; whoever disagrees is blamed."""
        if stored is None or agree(below, stored):
            return below if stored is None else stored
        if _root(stored) == above:
            self._blame_below(place, below, stored)
            return stored
        if above is not None and _root(below) == above:
            self._blame(place.path, _NOT_BELOW, None)
            return below
        self._blame(place.path, "is neither the hashes of what lies below it nor what the tile above it says", None)
        self._blame_below(place, below, stored)
        return stored

    def finish(self, root: Hash | None) -> bool:
        """The right edge, whose tiles have nothing above them but the signed root; False if they do not make it."""
        edge: Edge = []
        for level, (place, stored) in self._edge.items():
            if level == 0:
                below = self._last.below if self._last else None
            else:
                below = self.rows[level - 1] if level <= len(self.rows) else []
            edge.append((place, below or [None] * place.width, stored))
        options = [[c for c in (stored, below) if c and None not in c] or [below] for _, below, stored in edge]
        made = (dict(zip((place for place, _, _ in edge), choice, strict=True)) for choice in product(*options))
        chosen = next((choice for choice in made if root is not None and _edge_root(choice, self._size) == root), None)
        for place, below, stored in edge:
            believed = chosen[place] if chosen else (stored or below)
            self._settle_last(place, below, stored, believed, sure=chosen is not None)
            spares = self._spares(place) if place.level else self._last.spares if self._last else []
            self._complain(differing(spares, believed))
        whole = not any(None in option for choices in options for option in choices)
        return not (root is not None and chosen is None and whole)

    def _settle_last(self, place: Tile, below: Claim, stored: Claim | None, believed: Claim, *, sure: bool) -> None:
        if stored is None:
            return
        if not agree(stored, believed):
            self._blame(place.path, _NOT_BELOW, None)
        elif not agree(below, believed):
            if not sure:
                self._blame(place.path, f"{_NOT_BELOW}, and no root says who is right", None)
            self._blame_below(place, below, believed)

    def _blame_below(self, place: Tile, below: Claim, believed: Claim) -> None:
        """Whatever lies below a tile and does not have the hash that the tile, which is believed, says."""
        for offset, (found, expected) in enumerate(zip(below, believed, strict=True)):
            if found is None or found == expected:
                continue
            index = place.index * WIDTH + offset
            if place.level:
                self._blame(Tile(place.level - 1, index).path, "is not what the tile above it says", None)
            else:
                bundle = Bundle(place.index, place.width)
                self._blame(bundle.path, "is not the entry that was hashed into the tree", index)


def _root(claim: Claim) -> Hash | None:
    known = [value for value in claim if value is not None]
    return merkle.root(known) if len(known) == len(claim) else None


def _edge_root(choice: dict[Tile, Claim], size: int) -> Hash | None:
    hashes = {place: [value for value in claim if value is not None] for place, claim in choice.items()}
    if any(len(values) != place.width for place, values in hashes.items()):
        return None
    read = tile.hash_reader(size, lambda place: b"".join(hashes[place]))
    return merkle.Range(size, [read(level, index) for level, index in merkle.complete_subtrees(0, size)]).root()
