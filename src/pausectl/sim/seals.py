# SPDX-License-Identifier: Apache-2.0
"""One small seal with its openings, and what a lab could try with one: specs/sealing.md, "How each cheat fails".

    {"cheat": "shows another row", "error": "Forged", "id": "SEAL-22", "context": {…}, "row_opening": {…}}

Five rows of three devices, two rows to a block. The master secret is no secret; it makes the bytes the same every time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from pausectl.wire import opening, seal, sealtree
from pausectl.wire.opening import BlockOpening, RowOpening
from pausectl.wire.rows import Row, device_id, format_row
from pausectl.wire.seal import Commitment, Context, Seal
from pausectl.wire.sealtree import Node, Sums

MASTER = bytes(range(32))
START, MIDDLE, END = 1_715_960_307_000, 1_715_960_337_000, 1_715_960_367_000
CONTEXT = Context("1" * 64, "lab-a", "hall-1", "telemetry/hall-1", START, END, block_rows=2)
CTX = CONTEXT.digest
FIRST, SECOND, THIRD = sorted(map(device_id, ("node-1", "node-2", "node-3")))
ROWS = (
    Row(FIRST, START, MIDDLE, 6_852_536, 205_500_000),
    Row(FIRST, MIDDLE, END, None, 205_000_000),
    Row(SECOND, START, MIDDLE, 6_899_000, None),
    Row(SECOND, MIDDLE, END, 6_700_000, 201_000_000),
    Row(THIRD, START, END, None, 410_000_000),
)


@dataclass(frozen=True)
class Cheat:
    """id: of the sentence that fails it. error: class of error. shown: what is shown, by its name in the file."""

    id: str
    error: str
    cheat: str
    commitment: Commitment
    shown: dict[str, Any]

    def json(self) -> dict[str, Any]:
        """As it stands in a file."""
        told = {"cheat": self.cheat, "error": self.error, "id": self.id}
        return {
            **told,
            "commitment": _commitment(self.commitment),
            "context": asdict(self.commitment.context),
            **self.shown,
        }


def honest() -> dict[str, Any]:
    """The seal, and one opening of each kind."""
    sealed = seal.seal(ROWS, CONTEXT, MASTER)
    return {
        "block_opening": opening.format_block_opening(_show_block(sealed, _block(2), 2)),
        "commitment": _commitment(sealed.commitment),
        "context": asdict(CONTEXT),
        "master": MASTER.hex(),
        "row_opening": opening.format_row_opening(_show_row(sealed, _block(0), 0)),
        "rows": _hex(ROWS),
    }


def cheats() -> Iterator[Cheat]:
    """One for each way that fails."""
    for part in (_shown, _contexts, _trees, _sums, _counts, _orders, _forms):
        yield from part(seal.seal(ROWS, CONTEXT, MASTER))


# ── by hand what a sealer does ──


def _commitment(commitment: Commitment) -> dict[str, Any]:
    """By the names of specs/predicates/usage.md."""
    sums = {name: str(value) for name, value in asdict(commitment.sums).items()}
    ids = {"seal_id": commitment.seal_id.hex(), "seal_root": commitment.root.hex()}
    return {**sums, **ids, "rows_count": commitment.rows_count}


def _hex(rows: Sequence[Row]) -> list[str]:
    return [format_row(row).hex() for row in rows]


def _block(index: int) -> tuple[Row, ...]:
    return ROWS[2 * index : 2 * index + 2]


def _node(index: int, rows: Sequence[Row], sums: Sums | None = None) -> bytes:
    """The node of a block that nobody checked, with sums of one's choice."""
    root = seal.row_tower(CTX, index, rows, seal.block_secret(MASTER, CTX, index))[-1][0]
    return sealtree.block_node(CTX, len(rows), sums or sealtree.sum_rows(rows), root)


def _join(left: bytes, right: bytes) -> bytes:
    return sealtree.join_nodes(CTX, left, right)


def _tree(*blocks: bytes, join: Callable[[bytes, bytes], bytes] = _join) -> Seal:
    return Seal(CONTEXT, sealtree.levels(blocks, join))


def _with_block(index: int, node: bytes, **how: Any) -> Seal:  # noqa: ANN401
    return _tree(*(node if place == index else _node(place, _block(place)) for place in range(3)), **how)


def _show_row(sealed: Seal, rows: Sequence[Row], index: int) -> RowOpening:
    block, place = divmod(index, CONTEXT.block_rows)
    secret = seal.block_secret(MASTER, CTX, block)
    row_path = sealtree.prove_path(seal.row_tower(CTX, block, rows, secret), place)
    salt = seal.row_salts(secret, [place.to_bytes(4, "big")])[0]
    sums = sealtree.parse_node(sealed.tower[0][block]).sums
    return RowOpening(index, rows[place], salt, row_path, sums, sealtree.prove_path(sealed.tower, block))


def _show_block(sealed: Seal, rows: Sequence[Row], index: int) -> BlockOpening:
    return BlockOpening(
        index, seal.block_secret(MASTER, CTX, index), tuple(rows), sealtree.prove_path(sealed.tower, index)
    )


def _row_cheat(id: str, error: str, cheat: str, commitment: Commitment, shown: RowOpening) -> Cheat:
    return Cheat(id, error, cheat, commitment, {"row_opening": opening.format_row_opening(shown)})


def _block_cheat(id: str, error: str, cheat: str, commitment: Commitment, shown: BlockOpening) -> Cheat:
    return Cheat(id, error, cheat, commitment, {"block_opening": opening.format_block_opening(shown)})


# ── cheats ──


def _shown(sealed: Seal) -> Iterator[Cheat]:
    good, told = _show_row(sealed, _block(0), 0), sealed.commitment
    for cheat, shown in (
        ("shows another row", replace(good, row=replace(good.row, power_mw=1))),
        ("shows another salt", replace(good, salt=bytes(16))),
        ("shows a row at another place", replace(good, index=1)),
        ("shows a row of another block", replace(good, index=2)),
        ("shows a row and not its neighbour", replace(good, row_path=())),
    ):
        yield _row_cheat("SEAL-22", "Forged", cheat, told, shown)


def _contexts(sealed: Seal) -> Iterator[Cheat]:
    for cheat, context in (
        ("shows a row of another agreement", replace(CONTEXT, agreement="2" * 64)),
        ("shows a row of another lab", replace(CONTEXT, lab="lab-b")),
        ("shows a row of another facility", replace(CONTEXT, facility="hall-2")),
        ("shows a row of another window", replace(CONTEXT, window_end_ms=END + 1)),
    ):
        told = replace(sealed.commitment, context=context)
        yield _row_cheat("SEAL-11", "Forged", cheat, told, _show_row(sealed, _block(0), 0))


def _trees(sealed: Seal) -> Iterator[Cheat]:
    good = _show_row(sealed, _block(0), 0)
    beside = sealtree.parse_node(good.block_path[0])
    moved = Node(beside.rows_count, replace(beside.sums, energy_mj=beside.sums.energy_mj - 1), beside.hash)
    path = (sealtree.format_node(moved), *good.block_path[1:])
    sums = replace(good.sums, energy_mj=good.sums.energy_mj + 1)
    yield _row_cheat(
        "SEAL-18", "Forged", "moves energy from one child to the other", sealed.commitment,
        replace(good, sums=sums, block_path=path),
    )  # fmt: skip
    totals = _tree(*sealed.tower[0], join=_join_totals)
    yield _row_cheat(
        "SEAL-18", "Forged", "hashes totals only", totals.commitment, _show_row(totals, _block(0), 0)
    )  # fmt: skip
    swapped = _tree(sealed.tower[0][1], sealed.tower[0][0], sealed.tower[0][2])
    path = sealtree.prove_path(swapped.tower, 0)
    yield _row_cheat(
        "SEAL-14", "Forged", "swaps blocks after hashing them", swapped.commitment,
        replace(_show_row(sealed, _block(1), 2), index=0, block_path=path),
    )  # fmt: skip


def _join_totals(left: bytes, right: bytes) -> bytes:
    head = _join(left, right)[:32]
    return head + hashlib.sha256(sealtree.SUM + CTX + head + left[32:] + right[32:]).digest()


def _join_wrapped(left: bytes, right: bytes) -> bytes:
    pairs = ((left[at : at + 8], right[at : at + 8]) for at in range(0, 32, 8))
    head = b"".join(((int.from_bytes(a) + int.from_bytes(b)) % 2**64).to_bytes(8) for a, b in pairs)
    return head + hashlib.sha256(sealtree.SUM + CTX + left + right).digest()


def _sums(_sealed: Seal) -> Iterator[Cheat]:
    true = sealtree.sum_rows(_block(1))
    wrapped = _with_block(1, _node(1, _block(1), replace(true, energy_mj=2**64 - 410_000_000)), join=_join_wrapped)
    yield _row_cheat(
        "SEAL-19", "Malformed", "hides a block behind 2^64", wrapped.commitment, _show_row(wrapped, _block(0), 0)
    )
    huge = [replace(row, energy_mj=2**64 - 1) for row in ROWS[:2]]
    empty = seal.seal((), CONTEXT, MASTER).commitment
    yield Cheat("SEAL-19", "Malformed", "seals rows beyond 2^64", empty, {"master": MASTER.hex(), "rows": _hex(huge)})
    less = _with_block(0, _node(0, _block(0), Sums(400_000_000, 60_000, 0)))
    yield _block_cheat(
        "SEAL-24", "Forged", "commits a block with less energy", less.commitment, _show_block(less, _block(0), 0)
    )
    none = _with_block(0, _node(0, _block(0), Sums(0, 60_000, 0)))
    yield _row_cheat(
        "SEAL-23", "Malformed", "commits a block with less energy than one row has", none.commitment,
        _show_row(none, _block(0), 0),
    )  # fmt: skip
    single = _with_block(2, _node(2, _block(2), Sums(500_000_000, 60_000, 0)))
    yield _row_cheat(
        "SEAL-23", "Malformed", "commits a block of one row with other sums", single.commitment,
        _show_row(single, _block(2), 4),
    )  # fmt: skip


def _counts(sealed: Seal) -> Iterator[Cheat]:
    good, told = _show_row(sealed, _block(0), 0), sealed.commitment
    pair = _tree(*sealed.tower[0][:2])
    empty = seal.seal((), CONTEXT, MASTER).commitment
    other = {"commitment": {**_commitment(empty), "seal_root": "0" * 64}}
    yield Cheat("SEAL-20", "Malformed", "commits no rows under a root of its own", empty, other)
    short = _tree(_node(0, ROWS[:1]), _node(1, ROWS[1:3]), _node(2, ROWS[3:]))
    longer = replace(good, block_path=(*good.block_path, good.block_path[0]))
    part = replace(told, root=pair.commitment.root)
    for cheat, commitment, shown in (
        ("says one row more", replace(told, rows_count=6), good),
        ("says one block more", replace(told, rows_count=7), good),
        ("says less energy", replace(told, sums=replace(told.sums, energy_mj=1)), good),
        ("shows a part of the tree as the whole", part, _show_row(pair, _block(0), 0)),
        ("shows a path with a node more", told, longer),
    ):
        yield _row_cheat("SEAL-25", "Forged", cheat, commitment, shown)
    yield _block_cheat(
        "SEAL-16", "Forged", "begins with a block of one row", short.commitment, _show_block(short, ROWS[:1], 0)
    )


def _orders(_sealed: Seal) -> Iterator[Cheat]:
    empty = seal.seal((), CONTEXT, MASTER).commitment
    for id, cheat, rows in (
        ("SEAL-9", "seals rows out of order", (ROWS[1], ROWS[0], *ROWS[2:])),
        ("SEAL-9", "seals rows that overlap", (ROWS[0], replace(ROWS[1], start_ms=MIDDLE - 1), *ROWS[2:])),
        ("SEAL-10", "seals a row of the time after the window", (*ROWS[:4], replace(ROWS[4], end_ms=END + 1))),
    ):
        yield Cheat(id, "Malformed", cheat, empty, {"master": MASTER.hex(), "rows": _hex(rows)})
    for id, cheat, block in (
        ("SEAL-9", "commits rows out of order", (ROWS[1], ROWS[0])),
        ("SEAL-9", "commits rows that overlap", (ROWS[0], replace(ROWS[1], start_ms=MIDDLE - 1))),
        ("SEAL-10", "commits a row of the time before the window", (replace(ROWS[0], start_ms=START - 1), ROWS[1])),
    ):
        sealed = _with_block(0, _node(0, block))
        yield _block_cheat(id, "Malformed", cheat, sealed.commitment, _show_block(sealed, block, 0))


def _forms(sealed: Seal) -> Iterator[Cheat]:
    told, good = sealed.commitment, opening.format_row_opening(_show_row(sealed, _block(0), 0))
    row = good["row"]
    for id, cheat, members in (
        ("SEAL-2", "shows a row that ends when it starts", {"row": row[:50] + row[34:50] + row[66:]}),
        ("SEAL-3", "shows a row of 48 bytes", {"row": row[:-2]}),
        ("SEAL-3", "shows a row with an unknown null bit", {"row": f"{row[:32]}04{row[34:]}"}),
        ("SEAL-3", "shows a null energy that is not zero", {"row": f"{row[:32]}02{row[34:]}"}),
        ("SEAL-26", "shows a member more", {"comment": "x"}),
        ("SEAL-26", "shows upper case", {"salt": good["salt"].upper()}),
        ("SEAL-26", "shows a salt of 15 bytes", {"salt": good["salt"][:-2]}),
    ):
        yield Cheat(id, "Malformed", cheat, told, {"row_opening": {**good, **members}})
