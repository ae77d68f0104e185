# SPDX-License-Identifier: Apache-2.0
"""The bulk of a check: entries and leaf tiles hashed again, on every core, the results in order.

    for index, found in readings(word, 0, 273, jobs=2): …      found: the tile's root, if everything about it agrees

`merkle` hashes less than 2 KiB at a time, for which Python lets nobody else run, hence processes and no threads.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import TypeVar

from pausectl.errors import Malformed
from pausectl.log.place import Place, open_place, packed
from pausectl.wire import merkle, tile
from pausectl.wire.merkle import HASH_BYTES, Hash
from pausectl.wire.tile import WIDTH, Bundle, Tile

#: The hashes of one tile as somebody claims them; None where nobody could say.
Claim = Sequence[Hash | None]

P = TypeVar("P")

#: (path, index of the entry or None, message)
Complaint = tuple[str, int | None, str]

#: Bundles that a process is given at a time, and how many such errands it has before it.
_ERRAND = 16
_UNDER_WAY = 3

#: Below this many bundles the start of processes costs more than it saves.
_WORTH_A_POOL = 64


@dataclass(slots=True)
class Reading:
    """One tile of level 0, its bundle, and the partial versions of both that are still there, as they were found.

    root: that of the tile, if it is full and both agree; then nothing but complaints is left to say. stored, below:
    what the tile says and what the entries say; None if the file is not what it should be.
    """

    root: Hash | None = None
    stored: Claim | None = None
    below: Claim | None = None
    spares: list[tuple[Tile | Bundle, Claim]] = field(default_factory=list)
    complaints: list[Complaint] = field(default_factory=list)


def readings(word: str, start: int, stop: int, jobs: int, first: bytes | None) -> Iterator[tuple[int, Reading]]:
    """(index, reading) of the full bundles from `start` to before `stop`, in order.

    first: what entry 0 must be. PausectlError as the place raises it.
    """
    if jobs == 1 or stop - start < _WORTH_A_POOL:
        with closing(open_place(word)) as place:
            for index in range(start, stop):
                yield index, leaf_reading(place, index, WIDTH, first)
        return
    with ProcessPoolExecutor(jobs, initializer=_begin, initargs=(word, first, os.getpid())) as pool:
        under_way: deque[tuple[int, Future[list[Reading]]]] = deque()
        try:
            for at in range(start, stop, _ERRAND):
                under_way.append((at, pool.submit(_errand, at, min(at + _ERRAND, stop))))
                if len(under_way) > _UNDER_WAY * jobs:
                    yield from _collect(*under_way.popleft())
            while under_way:
                yield from _collect(*under_way.popleft())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _collect(at: int, future: Future[list[Reading]]) -> Iterator[tuple[int, Reading]]:
    yield from enumerate(future.result(), at)


_task: tuple[Place, bytes | None] | None = None


def _begin(word: str, first: bytes | None, parent: int) -> None:
    global _task  # noqa: PLW0603 - one per process, so that connections are used again
    _task = (open_place(word), first)
    threading.Thread(target=_outlive_nobody, args=(parent,), daemon=True).start()


def _outlive_nobody(parent: int) -> None:
    """End this process once its parent is gone, which a killed parent cannot say."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)


def _errand(start: int, stop: int) -> list[Reading]:
    assert _task is not None  # noqa: S101 - set by `_begin`
    place, first = _task
    return [leaf_reading(place, index, WIDTH, first) for index in range(start, stop)]


def leaf_reading(place: Place, index: int, width: int, first: bytes | None) -> Reading:
    """Read one bundle and its tile, hash the entries, and compare."""
    found = Reading()
    found.below = entries_claim(place, Bundle(index, width), first, found.complaints)
    found.stored = tile_claim(place, Tile(0, index, width), found.complaints)
    found.spares = [
        *spare_tiles(place, Tile(0, index, width), found.complaints),
        *_spare_bundles(place, Bundle(index, width), first, found.complaints),
    ]
    if found.below is not None and found.below == found.stored and width == WIDTH:
        found.root = merkle.root([leaf for leaf in found.below if leaf is not None])
        found.complaints += differing(found.spares, found.below)
        found.below, found.stored, found.spares = None, None, []  # a root is quicker to pass on than two tiles
    return found


def entries_claim(
    place: Place, bundle: Bundle, first: bytes | None, complaints: list[Complaint], *, needed: bool = True
) -> Claim | None:
    """The leaf hashes of a bundle's entries; None, and a complaint, where it is not what it should be.

    needed: complain also if there is none.
    """
    data = _read(place, bundle.path, complaints, needed=needed)
    if data is None:
        return None
    try:
        entries = tile.parse_bundle(data, bundle.width)
    except Malformed as error:
        complaints.append((bundle.path, None, f"{error}{packed(data)}"))
        return None
    if first is not None and bundle.index == 0 and entries[0] != first:
        complaints.append((bundle.path, 0, "is not the agreement"))
    hash = hashlib.sha256
    return tuple([hash(b"\x00" + entry).digest() for entry in entries])  # `merkle.leaf_hash`, once per entry


def tile_claim(place: Place, wanted: Tile, complaints: list[Complaint], *, needed: bool = True) -> Claim | None:
    """The hashes of a tile's own file; None, and a complaint, where it is not what it should be."""
    data = _read(place, wanted.path, complaints, needed=needed)
    if data is None:
        return None
    if len(data) != wanted.width * HASH_BYTES:
        expected = wanted.width * HASH_BYTES
        complaints.append((wanted.path, None, f"has {len(data)} bytes, not {expected}{packed(data)}"))
        return None
    return tile.parse_hashes(data, wanted.width)


def spare_tiles(place: Place, wanted: Tile, complaints: list[Complaint]) -> list[tuple[Tile, Claim]]:
    """The narrower versions of a tile that are still there for late readers."""
    narrower = [
        Tile(wanted.level, wanted.index, width) for width in place.partials(wanted.full) if width < wanted.width
    ]
    return _there((each, tile_claim(place, each, complaints, needed=False)) for each in narrower)


def _spare_bundles(
    place: Place, wanted: Bundle, first: bytes | None, complaints: list[Complaint]
) -> list[tuple[Bundle, Claim]]:
    narrower = [Bundle(wanted.index, width) for width in place.partials(wanted.full) if width < wanted.width]
    return _there((each, entries_claim(place, each, first, complaints, needed=False)) for each in narrower)


def differing(spares: Iterable[tuple[Tile | Bundle, Claim]], believed: Claim) -> list[Complaint]:
    """Of the narrower versions those that are not the beginning of what is believed."""
    return [
        (spare.path, None, "is not the beginning of the larger one")
        for spare, claim in spares
        if not agree(claim, believed[: spare.width])
    ]


def agree(one: Claim, other: Claim) -> bool:
    """Whether two claims agree as far as both could say."""
    return all(a is None or b is None or a == b for a, b in zip(one, other, strict=True))


def _there(claims: Iterable[tuple[P, Claim | None]]) -> list[tuple[P, Claim]]:
    return [(place, claim) for place, claim in claims if claim is not None]


def _read(place: Place, path: str, complaints: list[Complaint], *, needed: bool) -> bytes | None:
    try:
        data = place.read(path)
    except Malformed as error:
        complaints.append((path, None, error.message))
        return None
    if data is None and needed:
        complaints.append((path, None, "is missing"))
    return data
