# SPDX-License-Identifier: Apache-2.0
"""Openings of sealed telemetry: show a row, or a whole block, and prove that it has been in the seal all along.

    {"block_path": ["00000000000000010000000000663be000000000000003e80000000000000000
                    5fbf7fbee17813ac3c8ab123a4f4e5e5ff0c2b4cb0d1c80c6256745997728d35"],
     "block_sums": "00000000006885d000000000000003e80000000000007530",
     "index": 0,
     "row": "3c5c418c3a1390b38b7e279e15d7bd25000000018f87345d380000018f873461200000000000688fb800000000006885d0",
     "row_path": ["ab3c5c30b54504fed4270f6ce472b0e5bac7a0d25c1c09606bf45177cd28b5af"],
     "salt": "739576cf0cbb14760c32bd83d02f7c7b"}

That is the first of three rows. Every field is the bytes that were hashed, in lower-case hex (broken here to fit the
page), since sums of 64 bits are no JSON integers; `rows.parse_row` and `sealtree.parse_node` make them readable.

`prove_…` is the lab's, `open_…` anybody's. Forged: an opening that is not of this commitment. Malformed: what no
sealer writes, be it bytes, a sum beyond 64 bits, or committed rows that break the rules of a seal. Specification:
specs/sealing.md, "Openings".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from pausectl.errors import Forged, Malformed, PausectlError, UsageFault
from pausectl.registry import enforces
from pausectl.wire import seal as sealing
from pausectl.wire import sealtree
from pausectl.wire.canonical import Json
from pausectl.wire.merkle import node_hash
from pausectl.wire.rows import ROW_BYTES, Row, format_row, parse_row
from pausectl.wire.seal import MAX_BLOCK_ROWS, MAX_ROWS, SALT_BYTES, SECRET_BYTES, Commitment, Seal
from pausectl.wire.sealtree import NODE_BYTES, Sums

_HEX = re.compile("(?:[0-9a-f]{2})*")
_MAX_PATH = 53  # nodes from one block of 2^53 to the root


@dataclass(frozen=True, slots=True)
class RowOpening:
    """One row, and the way from its leaf to the root.

    index: of the row among all rows of the seal. row_path: hashes inside the block. sums: of the row's block.
    block_path: nodes of 64 bytes from the block to the root.
    """

    index: int
    row: Row
    salt: bytes
    row_path: tuple[bytes, ...]
    sums: Sums
    block_path: tuple[bytes, ...]

    def __post_init__(self) -> None:
        """Malformed unless every part has its length."""
        _check_index(self.index)
        _check_bytes("salt", self.salt, SALT_BYTES)
        _check_path("row_path", self.row_path, 32)
        _check_path("block_path", self.block_path, NODE_BYTES)


@dataclass(frozen=True, slots=True)
class BlockOpening:
    """All rows of a block, the secret their salts come from, and the way from the block to the root."""

    index: int
    secret: bytes
    rows: tuple[Row, ...]
    block_path: tuple[bytes, ...]

    def __post_init__(self) -> None:
        """Malformed unless every part has its length."""
        _check_index(self.index)
        _check_bytes("secret", self.secret, SECRET_BYTES)
        if not 1 <= len(self.rows) <= MAX_BLOCK_ROWS:
            raise Malformed(f"rows: expected 1 to {MAX_BLOCK_ROWS}, found {len(self.rows)}")
        _check_path("block_path", self.block_path, NODE_BYTES)


def _check_index(index: int) -> None:
    if type(index) is not int or not 0 <= index < MAX_ROWS:
        raise Malformed(f"index: expected an integer of 0 to 2^53 - 2, found {index!r}")


def _check_bytes(name: str, data: bytes, length: int) -> None:
    if not isinstance(data, bytes) or len(data) != length:
        raise Malformed(f"{name}: expected {length} bytes, found {repr(data)[:60]}")


def _check_path(name: str, path: tuple[bytes, ...], length: int) -> None:
    if len(path) > _MAX_PATH:
        raise Malformed(f"{name}: expected at most {_MAX_PATH} nodes, found {len(path)}")
    for place, node in enumerate(path):
        _check_bytes(f"{name}[{place}]", node, length)


def prove_row(seal: Seal, rows: Sequence[Row], index: int, master: bytes) -> RowOpening:
    """Open row `index` of a seal; `rows` are all rows of the block it is in. UsageFault: they are not."""
    block, place = divmod(index, seal.context.block_rows)
    ctx = seal.context.digest
    _check_rows(seal, rows, block, master)
    if place >= len(rows):
        raise UsageFault(f"row: expected one of {seal.commitment.rows_count}, found {index}")
    secret = sealing.block_secret(master, ctx, block)
    tower = sealing.row_tower(ctx, block, rows, secret)
    salt = sealing.row_salts(secret, [place.to_bytes(4, "big")])[0]
    row_path = sealtree.prove_path(tower, place)
    sums = sealtree.sum_rows(rows)
    return RowOpening(index, rows[place], salt, row_path, sums, sealtree.prove_path(seal.tower, block))


@enforces("SEAL-22", "SEAL-23")
def open_row(commitment: Commitment, opening: RowOpening) -> Row:
    """The inverse of `prove_row`: the row, if it is row `opening.index` of this seal.

    [SEAL-22] A verifier MUST refuse a row opening of which the leaf, the row path and the block path do not give the
    committed root.

    [SEAL-23] A verifier MUST refuse a row opening whose block sums are less than what the row adds to them, or are
    anything else than that where the block has no other row.
    """
    block, place = divmod(opening.index, commitment.context.block_rows)
    count = _block_rows(commitment, block, place)
    ctx = commitment.context.digest
    leaf = sealtree.row_leaves(ctx, block, [place.to_bytes(4, "big")], [opening.row], [opening.salt])[0]
    try:
        rows_root = sealtree.climb_path(place, count, leaf, opening.row_path, node_hash)
    except PausectlError as error:
        raise error.at("row path") from error
    open_path(commitment, block, sealtree.block_node(ctx, count, opening.sums, rows_root), opening.block_path)
    mine, whole = sealtree.sum_rows([opening.row]), opening.sums
    less = whole.energy_mj < mine.energy_mj or whole.duration_ms < mine.duration_ms or whole.gap_ms < mine.gap_ms
    if less or (count == 1 and whole != mine):
        raise Malformed(f"block sums: expected room for the row's {mine}, found {whole}", where=f"block {block}")
    sealing.check_window([opening.row], commitment.context)
    return opening.row


def prove_block(seal: Seal, rows: Sequence[Row], block: int, master: bytes) -> BlockOpening:
    """Open a whole block of a seal; `rows` are its rows. UsageFault: they are not."""
    _check_rows(seal, rows, block, master)
    secret = sealing.block_secret(master, seal.context.digest, block)
    return BlockOpening(block, secret, tuple(rows), sealtree.prove_path(seal.tower, block))


@enforces("SEAL-24")
def open_block(commitment: Commitment, opening: BlockOpening) -> tuple[Row, ...]:
    """The inverse of `prove_block`: the rows, if they are exactly those of block `opening.index` of this seal.

    [SEAL-24] A verifier MUST refuse a block opening of which the rows, hashed and added up anew with the salts that
    its secret gives, do not with the block path give the committed root.
    """
    block, rows = opening.index, opening.rows
    count = _block_rows(commitment, block, 0)
    if len(rows) != count:
        raise Forged(f"rows: expected {count} by the committed row count, found {len(rows)}", where=f"block {block}")
    ctx = commitment.context.digest
    rows_root = sealing.row_tower(ctx, block, rows, opening.secret)[-1][0]
    node = sealtree.block_node(ctx, count, sealtree.sum_rows(rows), rows_root)
    open_path(commitment, block, node, opening.block_path)
    try:
        sealing.check_order(rows)
        sealing.check_window(rows, commitment.context)
    except PausectlError as error:
        raise error.at(f"block {block}") from error
    return rows


@enforces("SEAL-25")
def open_path(commitment: Commitment, block: int, node: bytes, path: Sequence[bytes]) -> None:
    """Refuse a block node which is not block `block` of this seal.

    [SEAL-25] A verifier MUST refuse a path with more or fewer nodes than the place of the block calls for, with a
    node whose row count is not the number of rows which its place covers, or with a top that differs from the
    commitment in root or sums.
    """
    _block_rows(commitment, block, 0)
    context, blocks = commitment.context, commitment.blocks_count
    places = [(0, block), *sealtree.siblings(block, blocks)]
    for (level, position), below in zip(places, [node, *path], strict=False):  # climb_path counts them
        expected, found = commitment.rows_below(level, position), sealtree.parse_node(below).rows_count
        if found != expected:
            raise Forged(f"row count: expected {expected}, found {found}", where=f"block path, level {level}")
    try:
        top = sealtree.climb_path(block, blocks, node, path, partial(sealtree.join_nodes, context.digest))
    except PausectlError as error:
        raise error.at("block path") from error
    if top != commitment.node:
        expected_top, found_top = sealtree.parse_node(commitment.node), sealtree.parse_node(top)
        raise Forged(f"top of the path: expected {expected_top}, found {found_top}", where=f"block {block}")


def _block_rows(commitment: Commitment, block: int, place: int) -> int:
    """Rows in a block; Forged where the commitment has no such block or row."""
    if not 0 <= block < commitment.blocks_count or place >= commitment.rows_below(0, block):
        found = f"row {block * commitment.context.block_rows + place}"
        raise Forged(f"index: expected one of {commitment.rows_count} committed rows, found {found}")
    return commitment.rows_below(0, block)


def _check_rows(seal: Seal, rows: Sequence[Row], block: int, master: bytes) -> None:
    if not 0 <= block < seal.commitment.blocks_count:
        raise UsageFault(f"block: expected one of {seal.commitment.blocks_count}, found {block}")
    if sealing.seal_block(rows, seal.context, master, block) != seal.tower[0][block]:
        raise UsageFault("rows or master secret are not those which were sealed", where=f"block {block}")


def format_row_opening(opening: RowOpening) -> dict[str, Json]:
    """A row opening as a JSON value."""
    return {
        "block_path": [node.hex() for node in opening.block_path],
        "block_sums": sealtree.format_sums(opening.sums).hex(),
        "index": opening.index,
        "row": format_row(opening.row).hex(),
        "row_path": [node.hex() for node in opening.row_path],
        "salt": opening.salt.hex(),
    }


@enforces("SEAL-26")
def parse_row_opening(value: Json) -> RowOpening:
    """The inverse of `format_row_opening`.

    [SEAL-26] A reader MUST refuse an opening with a missing or unknown member, or with bytes that are not lower-case
    hex of the length that the member has.
    """
    block_path, sums, index, row, row_path, salt = _members(
        value, "block_path", "block_sums", "index", "row", "row_path", "salt"
    )
    return RowOpening(
        index,
        _row(row, "row"),
        _bytes("salt", salt, SALT_BYTES),
        tuple(_bytes(f"row_path[{place}]", node, 32) for place, node in enumerate(_list("row_path", row_path))),
        sealtree.parse_sums(_bytes("block_sums", sums, 24)),
        _nodes(block_path),
    )


def format_block_opening(opening: BlockOpening) -> dict[str, Json]:
    """A block opening as a JSON value."""
    return {
        "block_path": [node.hex() for node in opening.block_path],
        "index": opening.index,
        "rows": [format_row(row).hex() for row in opening.rows],
        "secret": opening.secret.hex(),
    }


def parse_block_opening(value: Json) -> BlockOpening:
    """The inverse of `format_block_opening`."""
    block_path, index, rows, secret = _members(value, "block_path", "index", "rows", "secret")
    return BlockOpening(
        index,
        _bytes("secret", secret, SECRET_BYTES),
        tuple(_row(row, f"rows[{place}]") for place, row in enumerate(_list("rows", rows))),
        _nodes(block_path),
    )


def _members(value: Json, *names: str) -> tuple[Json, ...]:
    if not isinstance(value, dict) or set(value) != set(names):
        found = sorted(map(str, value)) if isinstance(value, dict) else type(value).__name__
        raise Malformed(f"opening: expected the members {sorted(names)}, found {found}")
    return tuple(value[name] for name in names)


def _list(name: str, value: Json) -> list[Json]:
    if not isinstance(value, list):
        raise Malformed(f"{name}: expected an array, found {type(value).__name__}")
    return value


def _bytes(name: str, value: Json, length: int) -> bytes:
    if not isinstance(value, str) or len(value) != 2 * length or not _HEX.fullmatch(value):
        raise Malformed(f"{name}: expected {2 * length} digits of lower-case hex, found {repr(value)[:60]}")
    return bytes.fromhex(value)


def _row(value: Json, name: str) -> Row:
    try:
        return parse_row(_bytes(name, value, ROW_BYTES))
    except PausectlError as error:
        raise error.at(name) from error


def _nodes(value: Json) -> tuple[bytes, ...]:
    return tuple(
        _bytes(f"block_path[{place}]", node, NODE_BYTES) for place, node in enumerate(_list("block_path", value))
    )
