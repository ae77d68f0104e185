# SPDX-License-Identifier: Apache-2.0
"""The Merkle sum tree over sealed blocks: 64-byte nodes which carry what lies below them.

    0000000000000002 00000000006885d0 00000000000003e8 0000000000007530
    b7e8391c700e3fce1131bf18866e8a3436865877df46018aaa713b8faf978b78

First line: rows (2), energy_mj, duration_ms, gap_ms; second line: the hash. A node is hashed into the node above it
whole, so each child's own sums are bound and not their total only: a tree that hashes totals lets its owner show one
inspector (5, 1) and another (1, 5) below the same root.

Shape: pair the nodes of a level from the left; a last one without a neighbour moves up unchanged. That is the shape
RFC 9162 section 2.1.1 describes from above, by splitting at the largest power of two. Pure functions on bytes.
Specification: specs/sealing.md, "Tree".
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from pausectl.errors import Forged, Malformed
from pausectl.registry import enforces
from pausectl.wire.rows import MAX_U64, Row, check_u64, format_row

NODE_BYTES = 64

ROW, SUM, BLOCK, SEAL = b"\x10", b"\x11", b"\x12", b"\x13"
_SUMS = struct.Struct(">QQQ")
_TOTALS = struct.Struct(">QQQQ")
_COLUMNS = ("rows", "energy_mj", "duration_ms", "gap_ms")

Join = Callable[[bytes, bytes], bytes]


@dataclass(frozen=True, slots=True)
class Sums:
    """What a set of rows adds up to: mJ, and ms of device time with known energy and without it."""

    energy_mj: int = 0
    duration_ms: int = 0
    gap_ms: int = 0

    def __post_init__(self) -> None:
        """Malformed unless all three are unsigned 64-bit."""
        for column in _COLUMNS[1:]:
            check_u64(column, getattr(self, column))


@dataclass(frozen=True, slots=True)
class Node:
    """One node of the sum tree, read."""

    rows_count: int
    sums: Sums
    hash: bytes

    def __str__(self) -> str:
        """For messages."""
        return f"{self.rows_count} rows of {self.sums} and hash {self.hash.hex()}"


def format_sums(sums: Sums) -> bytes:
    """The 24 bytes that are hashed."""
    return _SUMS.pack(sums.energy_mj, sums.duration_ms, sums.gap_ms)


def parse_sums(data: bytes) -> Sums:
    """The inverse of `format_sums`; Malformed unless there are 24 bytes."""
    if len(data) != _SUMS.size:
        raise Malformed(f"sums: expected {_SUMS.size} bytes, found {len(data)}")
    return Sums(*_SUMS.unpack(data))


def format_node(node: Node) -> bytes:
    """The 64 bytes that are hashed into the node above."""
    return node.rows_count.to_bytes(8, "big") + format_sums(node.sums) + node.hash


def parse_node(data: bytes) -> Node:
    """The inverse of `format_node`; Malformed unless there are 64 bytes."""
    if len(data) != NODE_BYTES:
        raise Malformed(f"node: expected {NODE_BYTES} bytes, found {len(data)}")
    return Node(int.from_bytes(data[:8], "big"), parse_sums(data[8:32]), data[32:])


def sum_rows(rows: Sequence[Row]) -> Sums:
    """Add up rows: a row's time is duration where its energy is known, else gap. Malformed: overflow."""
    known = [row.energy_mj for row in rows if row.energy_mj is not None]
    span = sum([row.end_ms for row in rows]) - sum([row.start_ms for row in rows])
    gap = 0 if len(known) == len(rows) else sum([row.end_ms - row.start_ms for row in rows if row.energy_mj is None])
    return Sums(sum(known), span - gap, gap)


@enforces("SEAL-14")
def row_leaves(
    ctx: bytes, block: int, places: Sequence[bytes], rows: Sequence[Row], salts: Sequence[bytes]
) -> list[bytes]:
    """The salted hashes of rows of one block, each bound to where it stands.

    [SEAL-14] The leaf of a row MUST be SHA-256 over 0x10, ctx, the block index in 8 bytes, the row's place in its
    block in 4 bytes, the row bytes and the salt.
    """
    head = ROW + ctx + block.to_bytes(8, "big")
    leaves = zip(places, map(format_row, rows), salts, strict=True)
    return [sha256(head + place + row + salt).digest() for place, row, salt in leaves]


@enforces("SEAL-17")
def block_node(ctx: bytes, rows_count: int, sums: Sums, rows_root: bytes) -> bytes:
    """The lowest node that carries sums.

    [SEAL-17] The hash of a block MUST be SHA-256 over 0x12, ctx, its row count, its three sums and its rows root.
    """
    head = format_node(Node(rows_count, sums, rows_root))
    return head[:32] + sha256(BLOCK + ctx + head).digest()


@enforces("SEAL-18", "SEAL-19")
def join_nodes(ctx: bytes, left: bytes, right: bytes) -> bytes:
    """The node above two nodes; Malformed where a sum leaves 64 bits.

    [SEAL-18] The hash of a node above two others MUST be SHA-256 over 0x11, ctx, and for the left and then the right
    child its row count, its three sums and its hash.

    [SEAL-19] A sealer and a verifier MUST refuse a node of which a sum exceeds 2^64 - 1.
    """
    totals = []
    for column, mine, yours in zip(_COLUMNS, _TOTALS.unpack(left[:32]), _TOTALS.unpack(right[:32]), strict=True):
        if mine + yours > MAX_U64:
            raise Malformed(f"{column}: expected a sum of at most 2^64 - 1, found {mine + yours}")
        totals.append(mine + yours)
    return _TOTALS.pack(*totals) + sha256(SUM + ctx + left + right).digest()


def levels(nodes: Sequence[bytes], join: Join) -> tuple[tuple[bytes, ...], ...]:
    """All levels of a tree, the given nodes first and the root last; at least one node."""
    tower = [tuple(nodes)]
    while len(tower[-1]) > 1:
        below = tower[-1]
        above = list(map(join, below[::2], below[1::2]))
        tower.append((*above, below[-1]) if len(below) % 2 else tuple(above))
    return tuple(tower)


def siblings(index: int, size: int) -> list[tuple[int, int]]:
    """(level, position) of the nodes that lead from node `index` of `size` to the root, lowest first."""
    found, level = [], 0
    while size > 1:
        if index ^ 1 < size:
            found.append((level, index ^ 1))
        index, size, level = index // 2, (size + 1) // 2, level + 1
    return found


def prove_path(tower: Sequence[Sequence[bytes]], index: int) -> tuple[bytes, ...]:
    """The nodes that, with node `index` of the lowest level, give the root."""
    return tuple(tower[level][position] for level, position in siblings(index, len(tower[0])))


def climb_path(index: int, size: int, node: bytes, path: Sequence[bytes], join: Join) -> bytes:
    """The inverse of `prove_path`: the root which a node and its path give. Forged: a path of the wrong length."""
    places = siblings(index, size)
    if len(path) != len(places):
        raise Forged(f"path of {index} in {size}: expected {len(places)} nodes, found {len(path)}")
    for (_, position), sibling in zip(places, path, strict=True):
        node = join(node, sibling) if position % 2 else join(sibling, node)
    return node
