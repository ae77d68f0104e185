# SPDX-License-Identifier: Apache-2.0
r"""How a log lies on disk and on the web: tiles of 256 hashes and bundles of 256 entries, C2SP tlog-tiles.

    checkpoint                  the log of the two entries golden-0 and golden-1 is these three files
    tile/0/000.p/2              98829286…f6604d 556f498b…423b7a, the leaf hashes, 32 bytes each
    tile/entries/000.p/2        0008 676f6c64656e2d30 0008 676f6c64656e2d31

Hash i of tile n at level l is the complete subtree (8·l, 256·n + i) of `merkle`: a level above holds the roots of the
*full* tiles below. A tile is written once per width and never changed, so everything but `checkpoint` can be cached
for ever; what is between the levels is computed. Paths are relative, without a leading slash.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pausectl.errors import Malformed
from pausectl.registry import enforces
from pausectl.wire import merkle
from pausectl.wire.merkle import HASH_BYTES, MAX_SIZE, Coordinates, Hash

HEIGHT = 8
WIDTH = 256
MAX_LEVEL = 63
MAX_ENTRY_BYTES = 65_535

CHECKPOINT_PATH = "checkpoint"

_MAX_INDEX = 2**64 - 1
_PATH = re.compile(r"tile/(entries|[0-9]{1,2})/((?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/([0-9]{1,3}))?")


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """The first `width` hashes of tile `index` at `level`."""

    level: int
    index: int
    width: int = WIDTH

    def __post_init__(self) -> None:
        """Refuse coordinates that have no path."""
        if not 0 <= self.level <= MAX_LEVEL:
            raise Malformed(f"tile level: expected 0 to {MAX_LEVEL}, found {self.level}")
        _need_place(self.index, self.width)

    @property
    def path(self) -> str:
        """Relative path, as in `tile/0/x001/x234/067.p/8`."""
        return tile_path(self.level, self.index, self.width)

    @property
    def full(self) -> Tile:
        """The full tile that takes the place of a partial one once the log has grown."""
        return Tile(self.level, self.index)

    def node(self, offset: int) -> Coordinates:
        """Complete subtree (level, index) whose hash stands at `offset`."""
        return self.level * HEIGHT, self.index * WIDTH + offset


@dataclass(frozen=True, slots=True, order=True)
class Bundle:
    """The first `width` entries of entry bundle `index`, those from 256·index on."""

    index: int
    width: int = WIDTH

    def __post_init__(self) -> None:
        """Refuse coordinates that have no path."""
        _need_place(self.index, self.width)

    @property
    def path(self) -> str:
        """Relative path, as in `tile/entries/x001/x234/067`."""
        return bundle_path(self.index, self.width)

    @property
    def full(self) -> Bundle:
        """The full bundle that takes the place of a partial one once the log has grown."""
        return Bundle(self.index)


def tile_path(level: int, index: int, width: int = WIDTH) -> str:
    """Path of a hash tile: (0, 1234067, 8) is `tile/0/x001/x234/067.p/8`."""
    Tile(level, index, width)
    return f"tile/{level}/{_place(index, width)}"


def bundle_path(index: int, width: int = WIDTH) -> str:
    """Path of an entry bundle: (5, 256) is `tile/entries/005`."""
    Bundle(index, width)
    return f"tile/entries/{_place(index, width)}"


@enforces("TILE-1")
def parse_path(path: str) -> Tile | Bundle:
    """The inverse of `tile_path` and `bundle_path`.

    [TILE-1] A reader or server MUST refuse a tile path that is not the one encoding of its coordinates: a level of 0 to
    63 without leading zeros, an index in groups of three digits of which the first of several is not 000, and for a
    partial tile a width of 1 to 255 without leading zeros.
    """
    match = _PATH.fullmatch(path)
    if match is None:
        raise Malformed(f"tile path: expected tile/<level or entries>/<index>[.p/<width>], found {path[:60]!r}")
    level, digits, width = match.groups()
    index = int(digits.replace("x", "").replace("/", ""))
    place = (index, WIDTH if width is None else int(width))
    found = Bundle(*place) if level == "entries" else Tile(int(level), *place)
    if found.path != path:
        raise Malformed(f"tile path: expected {found.path}, found {path!r}")
    return found


def widths(size: int) -> tuple[tuple[int, int], ...]:
    """(full tiles, width of the partial one or 0) of every level of the tree of `size`, level 0 first.

    70,000 is ((273, 112), (1, 17), (0, 1)). Entry bundles are as level 0.
    """
    _need_tree(size)
    levels = []
    while size:
        levels.append((size // WIDTH, size % WIDTH))
        size //= WIDTH
    return tuple(levels)


@enforces("TILE-2")
def tiles_for(size: int, since: int = 0) -> Iterator[Tile]:
    """Tiles that the tree of `size` has and that of `since` had not, level 0 first.

    [TILE-2] A log MUST serve, for each of the last 8 checkpoints that it published, the full tiles and bundles of that
    tree and at each level a partial one of width ⌊size / 256^level⌋ mod 256, unless that is 0.

    Which those are is said here and in `bundles_for`; that they stay so long is `log.sequencer`'s affair.
    """
    _need_since(size, since)
    for level, (full, partial) in enumerate(widths(size)):
        had = since >> HEIGHT * level
        yield from (Tile(level, index) for index in range(had // WIDTH, full))
        if partial and had != full * WIDTH + partial:
            yield Tile(level, full, partial)


def bundles_for(size: int, since: int = 0) -> Iterator[Bundle]:
    """Entry bundles that the log of `size` has and that of `since` had not."""
    _need_since(size, since)
    yield from (Bundle(index) for index in range(since // WIDTH, size // WIDTH))
    if size % WIDTH and size != since:
        yield Bundle(size // WIDTH, size % WIDTH)


def locate(level: int, index: int, size: int) -> tuple[Tile, slice]:
    """Where the complete subtree (level, index) is in the tree of `size`: a tile, and the hashes of it to be joined."""
    _need_tree(size)
    if level < 0 or index < 0 or index + 1 << level > size:
        raise Malformed(f"subtree ({level}, {index}): expected one that is complete in the tree of size {size}")
    tile_level, rise = divmod(level, HEIGHT)
    number, offset = divmod(index << rise, WIDTH)
    width = min(WIDTH, (size >> HEIGHT * tile_level) - number * WIDTH)
    return Tile(tile_level, number, width), slice(offset, offset + (1 << rise))


def hash_reader(size: int, fetch: Callable[[Tile], bytes]) -> merkle.Read:
    """A `read` for the provers of `merkle` over the tiles of the tree of `size`; `fetch` gives a tile's bytes.

    What it returns is a claim of whoever served the tiles, until a proof made of it leads to a signed root. `fetch`
    may be asked for one tile many times; caching, and falling back from a partial tile to the full one (cut to
    width), are its affair.
    """

    def read(level: int, index: int) -> Hash:
        tile, part = locate(level, index, size)
        data = fetch(tile)
        _need_hashes(data, tile.width)
        return merkle.root([data[at * HASH_BYTES : (at + 1) * HASH_BYTES] for at in range(part.start, part.stop)])

    return read


@enforces("TILE-3")
def parse_hashes(data: bytes, width: int) -> tuple[Hash, ...]:
    """The hashes of a tile.

    [TILE-3] A reader MUST refuse a tile that is not exactly as many hashes of 32 bytes as the width it was asked for.
    """
    _need_hashes(data, width)
    return tuple(data[i : i + HASH_BYTES] for i in range(0, len(data), HASH_BYTES))


def _need_hashes(data: bytes, width: int) -> None:
    _need_place(0, width)
    if len(data) != width * HASH_BYTES:
        raise Malformed(f"tile of width {width}: expected {width * HASH_BYTES} bytes, found {len(data)}")


def format_hashes(hashes: Sequence[Hash]) -> bytes:
    """The inverse of `parse_hashes`, for 1 to 256 hashes."""
    _need_place(0, len(hashes))
    for value in hashes:
        if len(value) != HASH_BYTES:
            raise Malformed(f"hash: expected {HASH_BYTES} bytes, found {len(value)}")
    return b"".join(hashes)


@enforces("TILE-4")
def parse_bundle(data: bytes, width: int) -> tuple[bytes, ...]:
    """The entries of a bundle, each behind its length as an unsigned 16-bit big-endian number; an entry may be empty.

    [TILE-4] A reader MUST refuse a bundle that does not hold exactly as many entries as the width it was asked for, to
    its last byte.
    """
    _need_place(0, width)
    entries = []
    at = 0
    for _ in range(width):
        start = at + 2
        at = start + int.from_bytes(data[at:start], "big")
        entries.append(data[start:at])
    # A length or an entry that is cut, or not there at all, puts `at` behind the end, whatever was sliced.
    if at != len(data):
        raise Malformed(f"bundle of width {width}: its entries have {at} bytes, and the file {len(data)}")
    return tuple(entries)


@enforces("TILE-5")
def format_bundle(entries: Sequence[bytes]) -> bytes:
    """The inverse of `parse_bundle`, for 1 to 256 entries.

    [TILE-5] A log MUST NOT admit an entry of more than 65,535 bytes.
    """
    _need_place(0, len(entries))
    for entry in entries:
        if len(entry) > MAX_ENTRY_BYTES:
            raise Malformed(f"entry: expected at most {MAX_ENTRY_BYTES} bytes, found {len(entry)}")
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def _place(index: int, width: int) -> str:
    """`x001/x234/067`, with `.p/<width>` behind it if partial."""
    groups = [f"{index % 1000:03}"]
    while index := index // 1000:
        groups.append(f"x{index % 1000:03}")
    suffix = "" if width == WIDTH else f".p/{width}"
    return "/".join(reversed(groups)) + suffix


def _need_place(index: int, width: int) -> None:
    if not 0 <= index <= _MAX_INDEX:
        raise Malformed(f"tile index: expected 0 to 2^64 - 1, found {index}")
    if not 1 <= width <= WIDTH:
        raise Malformed(f"tile width: expected 1 to {WIDTH}, found {width}")


def _need_tree(size: int) -> None:
    if not 0 <= size <= MAX_SIZE:
        raise Malformed(f"size: expected 0 to 2^63 - 1, found {size}")


def _need_since(size: int, since: int) -> None:
    if not 0 <= since <= size:
        raise Malformed(f"growth: expected 0 <= since <= size, found {since} and {size}")
