# SPDX-License-Identifier: Apache-2.0
"""Everything that a log stores, hashed again: all damage is listed, and it always comes to an end.

    for damage in fsck(Path("home"), agreement): print(damage.path, damage.index, damage.message)

A tile's hashes are known three times over: from what lies below (entries, or the tiles of the level below), from its
own file, and from the one hash that the tile above holds for it; for the right edge, from the signed root. Two that
agree outvote the third, so that what is listed is what has to be restored, and not everything that depends on it.

Of public files alone, what goes beyond a cosigned checkpoint is left alone: it waits for its quorum, and nothing that
is public says what it should be.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TypeVar

from pausectl.agreement.document import Agreement
from pausectl.errors import PausectlError, UsageFault
from pausectl.history.reader import key_path, open_seen
from pausectl.history.tiles import Tiles
from pausectl.log import growth
from pausectl.log.publish import quorate
from pausectl.wire import cosignature, merkle, note, tile
from pausectl.wire.checkpoint import Checkpoint
from pausectl.wire.merkle import HASH_BYTES, Hash
from pausectl.wire.tile import CHECKPOINT_PATH, WIDTH, Bundle, Tile

#: (entries done, entries in all) after each bundle.
Progress = Callable[[int, int], None]

#: The hashes of one tile as somebody claims them; None where nobody could say.
Claim = Sequence[Hash | None]

F = TypeVar("F")


@dataclass(frozen=True, slots=True, order=True)
class Damage:
    """path: relative to the directory that was checked. index: of the entry, where it is one entry's."""

    path: str
    index: int | None
    message: str


def fsck(place: Path, agreement: Agreement, progress: Progress | None = None) -> list[Damage]:
    """All damage to a log's home directory, or to its public files alone, sorted by path; [] if it is whole.

    UsageFault if there is no such directory; nothing else is raised, whatever lies there.
    """
    if not place.is_dir():
        raise UsageFault("no such directory", where=str(place))
    home = (place / "log").is_dir()
    survey = _Survey(place / "log" if home else place, "log/" if home else "", agreement, progress)
    survey.keys()
    if home:
        survey.home(place)
    survey.public()
    return sorted(survey.found.values(), key=lambda damage: (damage.path, -1 if damage.index is None else damage.index))


class _Survey:
    """One run. found: (path, index) → damage, the first that was said of it."""

    def __init__(self, root: Path, prefix: str, agreement: Agreement, progress: Progress | None) -> None:
        self.found: dict[tuple[str, int | None], Damage] = {}
        self._root = root
        self._prefix = prefix
        self._agreement = agreement
        self._progress = progress
        self._spare: dict[tuple[int, int], list[Tile | Bundle]] = {}
        self._head: Checkpoint | None = None
        self._register: Checkpoint | None = None
        self._quorate = False
        self._tile_kept: tuple[Tile, Claim | None] | None = None

    def blame(self, path: str, message: str, index: int | None = None) -> None:
        """Note damage to a public file."""
        self._say(self._prefix + path, message, index)

    def _say(self, path: str, message: str, index: int | None = None) -> None:
        self.found.setdefault((path, index), Damage(path, index, message))

    # ── files ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def public(self) -> None:
        """Check everything that readers see."""
        files = list(self._files())
        shown = self._checkpoint()
        waits = bool(shown and self._register and self._quorate and shown.size < self._register.size)
        if shown and self._register not in (None, shown) and not waits:
            self.blame(CHECKPOINT_PATH, "is not the one in the head register: the last commit is not finished")
        # Where there is a register it says what must be there, whatever was published.
        self._head = self._register or shown
        size = self._head.size if self._head else _largest(files)
        self._sort_out(files, size)
        edge: list[tuple[Tile, Claim, Claim | None]] = []
        rising: list[Hash | None] = []
        for level, (full, partial) in enumerate(tile.widths(size)):
            below = self._leaves(full, partial, size) if level == 0 else _cut(rising, full, partial)
            rising = []
            for place, claim in zip(_tiles(level, full, partial), below, strict=True):
                stored = self._stored(place, quiet=False)
                if place.width < WIDTH:
                    edge.append((place, claim, stored))
                    continue
                above = self._above(place, size)
                believed = self._settle(place, claim, stored, above)
                self._check_spare(place, believed)
                rising.append(_root(believed) or above)
        self._settle_edge(edge, size)
        if shown and waits:
            self._check_shown(shown)

    def keys(self) -> None:
        """Check the keys that the agreement names by digest, and use those that are whole."""
        found = []
        for digest in self._agreement.pinned:
            raw = _bytes(self._root / key_path(digest))
            if raw is None or hashlib.sha256(raw).hexdigest() != digest:
                self.blame(key_path(digest), "is missing" if raw is None else "is not the key of this digest")
            else:
                found.append(raw)
        self._agreement = self._agreement.resolve(found)

    def home(self, home: Path) -> None:
        """Check what else lies in a log's home: the agreement, the key, the register."""
        for name, expected in (
            ("agreement.json", self._agreement.raw + b"\n"),
            ("log.vkey", f"{note.format_vkey(self._agreement.log_key)}\n".encode()),
        ):
            if _bytes(home / name) != expected:
                self._say(name, "missing, or not what the agreement makes it")
        try:
            self._register = open_seen(_bytes(home / "state" / "head") or b"", self._agreement)
        except PausectlError as error:
            self._say("state/head", str(error))

    def _files(self) -> Iterator[str]:
        for folder, _, names in os.walk(self._root):
            for name in names:
                # What a writer has not finished, or never will, is nobody's to read and no damage.
                if not (name.startswith(".") and name.endswith(".tmp")):
                    yield (Path(folder) / name).relative_to(self._root).as_posix()

    def _sort_out(self, files: Sequence[str], size: int) -> None:
        """Put aside partial tiles that larger ones superseded, and blame what belongs to no log of this size."""
        expected = {CHECKPOINT_PATH, *map(key_path, self._agreement.pinned)}
        expected |= {*(t.path for t in tile.tiles_for(size)), *(b.path for b in tile.bundles_for(size))}
        widths = tile.widths(size)
        for path in files:
            if path in expected:
                continue
            place = _parse(path)
            level = place.level if isinstance(place, Tile) else 0
            full, partial = widths[level] if place and level < len(widths) else (0, 0)
            if place and (place.index < full or (place.index == full and place.width < partial)):
                self._spare.setdefault((level, place.index), []).append(place)
            elif not place or self._register or not self._quorate:
                self.blame(path, f"is no file of a log of size {size}")

    def _checkpoint(self) -> Checkpoint | None:
        raw = self._read(CHECKPOINT_PATH)
        self._quorate = quorate(raw, self._agreement)
        try:
            opened, signed = open_seen(raw, self._agreement), note.parse(raw)
            witnesses = list(self._agreement.witness_pairs.values())
            cosignature.together(signed, witnesses)
        except PausectlError as error:
            self.blame(CHECKPOINT_PATH, str(error))
            return None
        known = {(key.name, key.key_id) for own in (self._agreement.log_pair, *witnesses) for key in own}
        for line in signed.signatures:
            if (line.name, line.key_id) not in known:
                self.blame(CHECKPOINT_PATH, f"a signature line by {line.name!r}, whom the agreement does not know")
        return opened

    def _read(self, path: str) -> bytes:
        return _bytes(self._root / path) or b""

    # ── claims ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _leaves(self, full: int, partial: int, size: int) -> Iterator[Claim]:
        """The leaf hashes of each bundle's entries, as its file has them."""
        for place in _tiles(0, full, partial):
            bundle = Bundle(place.index, place.width)
            leaves = self._bundle(bundle)
            yield leaves or [None] * place.width
            if self._progress:
                self._progress(place.index * WIDTH + place.width, size)

    def _bundle(self, bundle: Bundle) -> list[Hash] | None:
        entries = self._parsed(bundle, tile.parse_bundle)
        if entries and bundle.index == 0 and entries[0] != self._agreement.raw:
            self.blame(bundle.path, "is not the agreement", 0)
        return [merkle.leaf_hash(entry) for entry in entries] if entries else None

    def _stored(self, place: Tile, *, quiet: bool) -> Claim | None:
        """What a tile's own file says, or None; a file that is missing or too short is blamed in its own turn."""
        if self._tile_kept and self._tile_kept[0] == place and quiet:
            return self._tile_kept[1]
        data = _bytes(self._root / place.path)
        claim = None
        if data is not None and len(data) == place.width * HASH_BYTES:
            claim = tile.parse_hashes(data, place.width)
        elif not quiet:
            self.blame(place.path, "is missing" if data is None else f"has {len(data)} bytes, not {place.width * 32}")
        if quiet:
            self._tile_kept = (place, claim)
        return claim

    def _parsed(self, place: Tile | Bundle, parse: Callable[[bytes, int], F]) -> F | None:
        data = _bytes(self._root / place.path)
        try:
            if data is not None:
                return parse(data, place.width)
            self.blame(place.path, "is missing")
        except PausectlError as error:
            self.blame(place.path, str(error))
        return None

    def _above(self, place: Tile, size: int) -> Hash | None:
        """What the tile above says the root of a full tile is."""
        parent, part = tile.locate(tile.HEIGHT * (place.level + 1), place.index, size)
        claim = self._stored(parent, quiet=True)
        return claim[part.start] if claim else None

    # ── who is wrong ───────────────────────────────────────────────────────────────────────────────────────────────

    def _settle(self, place: Tile, below: Claim, stored: Claim | None, above: Hash | None) -> Claim:
        """The hashes of a full tile that are to be believed; whoever disagrees is blamed."""
        if stored is None or _same(below, stored):
            return below if stored is None else stored
        if _root(stored) == above:
            self._blame_below(place, below, stored)
            return stored
        if above is not None and _root(below) == above:
            self.blame(place.path, "is not the hashes of what lies below it")
            return below
        self.blame(place.path, "is neither the hashes of what lies below it nor what the tile above it says")
        self._blame_below(place, below, stored)
        return stored

    def _settle_edge(self, edge: Sequence[tuple[Tile, Claim, Claim | None]], size: int) -> None:
        """The same for the right edge, whose tiles have nothing above them but the signed root."""
        options = [[c for c in (stored, below) if c and None not in c] or [below] for _, below, stored in edge]
        made = (dict(zip((place for place, _, _ in edge), choice, strict=True)) for choice in product(*options))
        root = self._head.root if self._head else None
        chosen = next((choice for choice in made if root is not None and _edge_root(choice, size) == root), None)
        for place, below, stored in edge:
            believed = chosen[place] if chosen else (stored or below)
            if stored is not None and not _same(stored, believed):
                self.blame(place.path, "is not the hashes of what lies below it")
            elif stored is not None and not _same(below, believed):
                if chosen is None:
                    self.blame(place.path, "is not the hashes of what lies below it, and no root says who is right")
                self._blame_below(place, below, believed)
            self._check_spare(place, believed)
        whole = not any(None in option for options_ in options for option in options_)
        if root is not None and chosen is None and whole:
            self.blame(CHECKPOINT_PATH, "its root is not the root of these tiles")

    def _check_shown(self, shown: Checkpoint) -> None:
        """A cosigned checkpoint behind which newer ones wait: its partial tiles are there, and make its root."""
        edge = growth.partials(shown.size)
        for path in edge:
            if not (self._root / path).is_file():
                self.blame(path, "is missing")
        if {path for path, _ in self.found} & {self._prefix + path for path in edge}:
            return  # the larger tiles say who is wrong
        try:
            Tiles(self._read, shown.size, shown.root)
        except PausectlError:
            self.blame(CHECKPOINT_PATH, f"its root is not the root of the first {shown.size} entries")

    def _blame_below(self, place: Tile, below: Claim, believed: Claim) -> None:
        """Whatever lies below a tile and does not have the hash that the tile, which is believed, says."""
        for offset, (found, expected) in enumerate(zip(below, believed, strict=True)):
            if found is None or found == expected:
                continue
            index = place.index * WIDTH + offset
            if place.level:
                self.blame(Tile(place.level - 1, index).path, "is not what the tile above it says")
            else:
                self.blame(
                    Bundle(place.index, place.width).path, "is not the entry that was hashed into the tree", index
                )

    def _check_spare(self, place: Tile, believed: Claim) -> None:
        """The smaller versions of a tile, and of its bundle, that are still there for late readers."""
        for spare in self._spare.get((place.level, place.index), ()):
            if isinstance(spare, Tile):
                hashes: Sequence[Hash] | None = self._parsed(spare, tile.parse_hashes)
            else:
                hashes = self._bundle(spare)
            if hashes is not None and not _same(hashes, believed[: spare.width]):
                self.blame(spare.path, "is not the beginning of the larger one")


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes() if path.is_file() else None  # reading a pipe would never end
    except OSError:
        return None


def _parse(path: str) -> Tile | Bundle | None:
    try:
        return tile.parse_path(path)
    except PausectlError:
        return None


def _largest(files: Sequence[str]) -> int:
    """The size that the bundles speak of, where no checkpoint does."""
    bundles = [place for place in map(_parse, files) if isinstance(place, Bundle)]
    return max((bundle.index * WIDTH + bundle.width for bundle in bundles), default=0)


def _tiles(level: int, full: int, partial: int) -> Iterator[Tile]:
    yield from (Tile(level, index) for index in range(full))
    if partial:
        yield Tile(level, full, partial)


def _cut(hashes: Sequence[Hash | None], full: int, partial: int) -> Iterator[Claim]:
    for at in range(0, full * WIDTH + partial, WIDTH):
        yield hashes[at : at + WIDTH]


def _same(one: Claim, other: Claim) -> bool:
    """Whether two claims agree as far as both could say."""
    return all(a is None or b is None or a == b for a, b in zip(one, other, strict=True))


def _root(claim: Claim) -> Hash | None:
    known = [value for value in claim if value is not None]
    return merkle.root(known) if len(known) == len(claim) else None


def _edge_root(choice: dict[Tile, Claim], size: int) -> Hash | None:
    hashes = {place: [value for value in claim if value is not None] for place, claim in choice.items()}
    if any(len(values) != place.width for place, values in hashes.items()):
        return None
    read = tile.hash_reader(size, lambda place: b"".join(hashes[place]))
    return merkle.Range(size, [read(level, index) for level, index in merkle.complete_subtrees(0, size)]).root()
