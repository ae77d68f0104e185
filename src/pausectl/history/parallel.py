# SPDX-License-Identifier: Apache-2.0
"""Decoding on every core: bundles go out, small results come back, in order.

The parent reads tiles and bundles and checks nothing else; leaf hashes, envelopes, signatures and statements are the
workers' (`decode` is stateless). A few bundles per worker are under way at a time, so memory stays small.
"""

from __future__ import annotations

import gc
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor

from pausectl.history.decode import Decoded, KeyRing, decode
from pausectl.history.reader import Ledger
from pausectl.history.tiles import check_leaves
from pausectl.wire import tile
from pausectl.wire.tile import Bundle

Progress = Callable[[int, int], None]

#: Below this many entries the start of a process pool costs more than it saves.
WORTH_A_POOL = 4_000
_UNDER_WAY = 4

_ring: KeyRing = {}


def _begin(keys: KeyRing) -> None:
    global _ring  # noqa: PLW0603 - one per process: cheaper than sending the keys with every bundle
    _ring = keys
    gc.set_threshold(100_000)  # as in `pausectl verify`: cycles are few, walking the statements often is not cheap


def _work(entries: tuple[bytes, ...], leaves: bytes, bundle: Bundle) -> list[Decoded]:
    check_leaves(entries, leaves, bundle)
    return [decode(raw, _ring) for raw in entries]


def decoded(ledger: Ledger, start: int, jobs: int | None, progress: Progress) -> Iterator[tuple[int, Decoded]]:
    """(index, decoded entry) from `start` to the head, in order, whatever the number of processes."""
    jobs = jobs or os.cpu_count() or 1
    if jobs == 1 or ledger.size - start < WORTH_A_POOL:
        for index, raw in ledger.entries(start):
            yield index, decode(raw, ledger.agreement.keys)
            if index % tile.WIDTH == 0:
                progress(index, ledger.size)
        progress(ledger.size, ledger.size)
        return
    with ProcessPoolExecutor(jobs, initializer=_begin, initargs=(ledger.agreement.keys,)) as pool:
        under_way: deque[tuple[Bundle, Future[list[Decoded]]]] = deque()
        for bundle in ledger.bundles(start):
            entries, leaves = ledger.tiles.unchecked_bundle(bundle), ledger.tiles.leaves(bundle)
            under_way.append((bundle, pool.submit(_work, entries, leaves, bundle)))
            if len(under_way) > _UNDER_WAY * jobs:
                yield from _collect(*under_way.popleft(), start)
                progress(bundle.index * tile.WIDTH, ledger.size)
        while under_way:
            yield from _collect(*under_way.popleft(), start)
        progress(ledger.size, ledger.size)


def _collect(bundle: Bundle, future: Future[list[Decoded]], start: int) -> Iterator[tuple[int, Decoded]]:
    first = bundle.index * tile.WIDTH
    for offset, entry in enumerate(future.result()):
        if first + offset >= start:
            yield first + offset, entry
