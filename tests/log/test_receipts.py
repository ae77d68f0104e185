# SPDX-License-Identifier: Apache-2.0
"""Receipts made many at a time are those made one by one."""

from __future__ import annotations

import pytest

from pausectl.history.tiles import Tiles
from pausectl.log.growth import EMPTY_EDGE, grow
from pausectl.log.receipts import Receipts
from pausectl.wire import checkpoint, proof
from pausectl.wire.checkpoint import Checkpoint
from pausectl.wire.keys import ED25519, PrivateKey

SIGNER = PrivateKey.from_seed(ED25519, bytes(32))


def tree(*sizes: int):
    """The tiles of the last size, and a signed checkpoint of the first."""
    edge, files, roots = EMPTY_EDGE, {}, {}
    for size in sizes:
        edge, new = grow(edge, [b"%d" % number for number in range(edge.size, size)])
        files |= new
        roots[size] = edge.root
    signed = checkpoint.sign(Checkpoint("log.example", sizes[0], roots[sizes[0]]), SIGNER)
    return Tiles(files.__getitem__, sizes[-1], roots[sizes[-1]]), signed.raw


@pytest.mark.parametrize(
    "sizes",
    [(1,), (2,), (3,), (7,), (8,), (255,), (256,), (257,), (700,), (65_537,), (3, 9), (300, 301), (256, 70_000)],
)
def test_they_are_the_same_bytes(sizes):
    tiles, raw = tree(*sizes)
    made = Receipts(tiles, raw)
    size = sizes[0]
    for index in {*range(min(size, 300)), *range(max(0, size - 20), size), size // 2}:
        assert made.of(index) == proof.format(proof.make(tiles.read, index, raw))
