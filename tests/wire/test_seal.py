# SPDX-License-Identifier: Apache-2.0
"""The seal against a second implementation, written from specs/sealing.md alone, and against every cheat it names."""

from __future__ import annotations

import hmac
import json
import re
import struct
from collections import defaultdict
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pausectl.errors import Forged, Malformed, UsageFault
from pausectl.wire import opening as opening_module
from pausectl.wire import seal as seal_module
from pausectl.wire import sealtree
from pausectl.wire.canonical import dump, load
from pausectl.wire.opening import (
    BlockOpening,
    RowOpening,
    format_block_opening,
    format_row_opening,
    open_block,
    open_path,
    open_row,
    parse_block_opening,
    parse_row_opening,
    prove_block,
    prove_row,
)
from pausectl.wire.rows import Row, device_id, milliwatts, rows_from_readings
from pausectl.wire.seal import Commitment, Context, Seal, row_salts, seal, seal_block
from pausectl.wire.sealtree import Node, Sums, format_node, parse_node

SPEC = Path(__file__).resolve().parents[2] / "specs" / "sealing.md"
MASTER = bytes(range(32))
START = 1715960307000
CONTEXT = Context("sha256:" + "11" * 32, "lab-a", "hall-1", "power", START, START + 60_000, block_rows=2)
EXAMPLE_ROWS = [
    Row(device_id("node-1"), START, START + 1000, 6852536, 6850000),
    Row(device_id("node-1"), START + 1000, START + 31000, 6900000, None),
    Row(device_id("node-2"), START, START + 1000, None, 6700000),
]

# ── the second implementation: recursive, unoptimised, sharing nothing with src but the Row and Context classes ──


def h(*parts):
    return sha256(b"".join(parts)).digest()


def u64(number):
    return number.to_bytes(8, "big")


def split(size):
    half = 1
    while 2 * half < size:
        half *= 2
    return half


def naive_ctx(c):
    fields = [c.agreement.encode(), c.lab.encode(), c.facility.encode(), c.stream.encode()]
    fields += [u64(c.window_start_ms), u64(c.window_end_ms), c.schema.encode(), u64(c.block_rows)]
    return h(*(struct.pack(">I", len(field)) + field for field in fields))


def naive_row(row):
    nulls = (row.power_mw is None) + 2 * (row.energy_mj is None)
    return (
        row.device
        + bytes([nulls])
        + b"".join(map(u64, (row.start_ms, row.end_ms, row.power_mw or 0, row.energy_mj or 0)))
    )


def naive_leaves(ctx, block, rows, master):
    secret = hmac.new(master, b"pausectl block" + ctx + u64(block), "sha256").digest()
    salts = [hmac.new(secret, struct.pack(">I", place), "sha256").digest()[:16] for place in range(len(rows))]
    return [
        h(b"\x10", ctx, u64(block), struct.pack(">I", place), naive_row(row), salt)
        for place, (row, salt) in enumerate(zip(rows, salts, strict=True))
    ]


def naive_plain(leaves):
    if len(leaves) <= 1:
        return leaves[0] if leaves else h()
    k = split(len(leaves))
    return h(b"\x01", naive_plain(leaves[:k]), naive_plain(leaves[k:]))


def naive_sums(rows):
    energy = sum(row.energy_mj or 0 for row in rows)
    gap = sum(row.end_ms - row.start_ms for row in rows if row.energy_mj is None)
    return energy, sum(row.end_ms - row.start_ms for row in rows) - gap, gap


def naive_block(ctx, block, rows, master):
    head = b"".join(map(u64, (len(rows), *naive_sums(rows))))
    return head + h(b"\x12", ctx, head, naive_plain(naive_leaves(ctx, block, rows, master)))


def naive_top(ctx, nodes):
    if len(nodes) == 1:
        return nodes[0]
    k = split(len(nodes))
    left, right = naive_top(ctx, nodes[:k]), naive_top(ctx, nodes[k:])
    totals = [a + b for a, b in zip(struct.unpack(">4Q", left[:32]), struct.unpack(">4Q", right[:32]), strict=True)]
    return struct.pack(">4Q", *totals) + h(b"\x11", ctx, left, right)


def naive_blocks(context, rows, master):
    size = context.block_rows
    chunks = [rows[i : i + size] for i in range(0, len(rows), size)] or [[]]
    return [naive_block(naive_ctx(context), block, chunk, master) for block, chunk in enumerate(chunks)]


def naive_seal(context, rows, master):
    return naive_top(naive_ctx(context), naive_blocks(context, rows, master))


# ── the worked example ──


def worked_example():
    ctx, rows = naive_ctx(CONTEXT), EXAMPLE_ROWS
    leaves = naive_leaves(ctx, 0, rows[:2], MASTER) + naive_leaves(ctx, 1, rows[2:], MASTER)
    blocks = naive_blocks(CONTEXT, rows, MASTER)
    secrets = [hmac.new(MASTER, b"pausectl block" + ctx + u64(block), "sha256").digest() for block in (0, 1)]
    places = [(0, 0), (0, 1), (1, 0)]
    salts = [hmac.new(secrets[block], struct.pack(">I", place), "sha256").digest()[:16] for block, place in places]
    top = naive_top(ctx, blocks)
    values = {"master": MASTER, "ctx": ctx, "secret 0": secrets[0], "secret 1": secrets[1]}
    for i in range(3):
        values |= {f"row {i}": naive_row(rows[i]), f"salt {i}": salts[i], f"leaf {i}": leaves[i]}
    values |= {"rows root 0": naive_plain(leaves[:2]), "rows root 1": leaves[2]}
    values |= {"block 0": blocks[0], "block 1": blocks[1], "top": top, "seal id": h(b"\x13", ctx, top)}
    return values


def hex_lines(text):
    return {
        m[1]: m[2].replace(" ", "")
        for m in re.finditer(r"^ *([a-z]+(?: [a-z]+)*(?: \d)?) {2,}([0-9a-f ]{32,})$", text, re.MULTILINE)
    }


def json_after(text, mark):
    """The JSON that follows `mark`; its line breaks and blanks are for the eye only."""
    body = re.sub(r"\s", "", text[text.index(mark) + len(mark) :])
    return json.JSONDecoder().raw_decode(body[body.index("{") :])[0]


def test_the_worked_example_of_the_spec_can_be_recomputed():
    assert hex_lines(SPEC.read_text()) == {name: value.hex() for name, value in worked_example().items()}


def test_the_code_gives_the_worked_example():
    # SEAL-11, SEAL-12, SEAL-14, SEAL-15, SEAL-17, SEAL-18, SEAL-21
    example, made = worked_example(), seal(EXAMPLE_ROWS, CONTEXT, MASTER)
    assert made.commitment.context.digest == example["ctx"]
    assert made.tower == ((example["block 0"], example["block 1"]), (example["top"],))
    assert made.commitment.seal_id == example["seal id"]
    for index in range(3):
        shown = prove_row(made, EXAMPLE_ROWS[index // 2 * 2 :][:2], index, MASTER)
        assert shown.salt == example[f"salt {index}"]


def test_the_openings_in_the_spec_and_the_docstrings_open():
    made = seal(EXAMPLE_ROWS, CONTEXT, MASTER)
    text = SPEC.read_text()
    assert open_row(made.commitment, parse_row_opening(json_after(text, "Opening of row 0"))) == EXAMPLE_ROWS[0]
    block = open_block(made.commitment, parse_block_opening(json_after(text, "Opening of block 1")))
    assert block == (EXAMPLE_ROWS[2],)
    shown = parse_row_opening(json_after(opening_module.__doc__, "has been in the seal all along."))
    assert open_row(made.commitment, shown) == EXAMPLE_ROWS[0]
    commitment = made.commitment
    parts = {
        "ctx": CONTEXT.digest,
        "sums": commitment.node[:32],
        "root": commitment.root,
        "seal id": commitment.seal_id,
    }
    assert hex_lines(seal_module.__doc__) == {name: value.hex() for name, value in parts.items()}
    node = bytes.fromhex(re.sub(r"\s", "", re.search(r"^ {4}[0-9a-f \n]{128,}$", sealtree.__doc__, re.MULTILINE)[0]))
    assert parse_node(node) == parse_node(worked_example()["block 0"])


# ── what holds for every seal ──


@st.composite
def many_rows(draw, most=14):
    rows = []
    for device in sorted(draw(st.sets(st.binary(min_size=16, max_size=16), max_size=3))):
        end = START
        for _ in range(draw(st.integers(0, most // 3))):
            start = end + draw(st.integers(0, 5))
            end = start + draw(st.integers(1, 5))
            number = st.none() | st.integers(0, 2**60)
            rows.append(Row(device, start, end, draw(number), draw(number)))
    return rows


contexts = st.builds(
    Context,
    *[st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9)] * 4,
    st.just(START - 1),
    st.just(START + 1000),
    st.integers(1, 5),
)
quick = settings(deadline=None, max_examples=40)


def rows_of(rows, context, block):
    return rows[block * context.block_rows :][: context.block_rows]


@quick
@given(many_rows(), contexts, st.binary(min_size=32, max_size=32))
def test_the_root_is_the_one_that_the_second_implementation_gives(rows, context, master):
    # SEAL-11, SEAL-12, SEAL-13, SEAL-14, SEAL-15, SEAL-17, SEAL-18
    made = seal(iter(rows), context, master)
    assert made.tower[-1][0] == made.commitment.node == naive_seal(context, rows, master)
    assert made.commitment.sums == Sums(*naive_sums(rows))
    assert made.commitment.rows_count == len(rows)
    assert {len(node) for level in made.tower for node in level} == {64}


@quick
@given(many_rows(), contexts, st.binary(min_size=32, max_size=32))
def test_every_row_and_every_block_opens(rows, context, master):
    made = seal(rows, context, master)
    for index, row in enumerate(rows):
        shown = prove_row(made, rows_of(rows, context, index // context.block_rows), index, master)
        assert parse_row_opening(load(dump(format_row_opening(shown)))) == shown
        assert open_row(made.commitment, shown) == row
    for block in range(made.commitment.blocks_count):
        mine = rows_of(rows, context, block)
        shown = prove_block(made, mine, block, master)
        assert parse_block_opening(load(dump(format_block_opening(shown)))) == shown
        assert open_block(made.commitment, shown) == tuple(mine)


def test_the_tree_has_the_shape_of_rfc_9162_at_every_size():
    # SEAL-15, SEAL-18
    ctx = CONTEXT.digest
    for size in range(1, 40):
        nodes = [format_node(Node(1, Sums(i, i, i), h(bytes([i])))) for i in range(size)]
        tower = sealtree.levels(nodes, partial(sealtree.join_nodes, ctx))
        assert tower[-1][0] == naive_top(ctx, nodes)
        for index in range(size):
            path = sealtree.prove_path(tower, index)
            join = partial(sealtree.join_nodes, ctx)
            assert sealtree.climb_path(index, size, nodes[index], path, join) == tower[-1][0]


def test_salts_are_hmac():
    # SEAL-13
    places = [place.to_bytes(4, "big") for place in range(300)]
    assert row_salts(MASTER, places) == [hmac.digest(MASTER, place, "sha256")[:16] for place in places]


def test_blocks_can_be_sealed_apart_and_joined():
    # SEAL-16
    blocks = [seal_block(rows_of(EXAMPLE_ROWS, CONTEXT, i), CONTEXT, MASTER, i) for i in (0, 1)]
    assert Seal.of_blocks(CONTEXT, blocks) == seal(EXAMPLE_ROWS, CONTEXT, MASTER)
    with pytest.raises(Malformed, match="expected 2, or fewer in the last block, found 1"):
        Seal.of_blocks(CONTEXT, blocks[::-1])
    with pytest.raises(Malformed, match="expected 2, or fewer in the last block, found 0") as caught:
        Seal.of_blocks(CONTEXT, [blocks[0], seal([], CONTEXT, MASTER).commitment.node])
    assert caught.value.where == "block 1"


def test_a_seal_of_no_rows_is_defined_and_opens_nothing():
    # SEAL-20
    commitment = seal([], CONTEXT, MASTER).commitment
    ctx = naive_ctx(CONTEXT)
    assert (commitment.rows_count, commitment.sums, commitment.blocks_count) == (0, Sums(), 0)
    assert commitment.root == h(b"\x12", ctx, bytes(32), h())
    with pytest.raises(Malformed, match="seal of no rows"):
        Commitment(CONTEXT, 0, Sums(), bytes(32))
    with pytest.raises(Malformed, match="seal of no rows"):
        Commitment(CONTEXT, 0, Sums(energy_mj=1), commitment.root)
    for cheat, opened in ((a_row_opening(0)[1], open_row), (a_block_opening(0)[1], open_block)):
        with pytest.raises(Forged, match="expected one of 0 committed rows"):
            opened(commitment, cheat)


# ── what a sealer refuses ──


def test_a_sealer_refuses_rows_out_of_order_overlapping_or_doubled():
    # SEAL-9
    first, second, other = EXAMPLE_ROWS
    early = replace(second, start_ms=second.start_ms - 1)
    for rows in ([second, first], [other, first], [first, early], [first, first], [first, second, first]):
        with pytest.raises(Malformed, match="expected a later row or a higher device"):
            seal(rows, CONTEXT, MASTER)
    with pytest.raises(Malformed, match="order") as caught:  # between two blocks
        seal([first, second, replace(second, end_ms=START + 40_000)], CONTEXT, MASTER)
    assert caught.value.where == "block 1: row 0"


def test_a_sealer_refuses_rows_outside_the_window():
    # SEAL-10
    for row in (replace(EXAMPLE_ROWS[0], start_ms=START - 1), replace(EXAMPLE_ROWS[1], end_ms=START + 60_001)):
        with pytest.raises(Malformed, match="window: expected a row within"):
            seal([row], CONTEXT, MASTER)


def heavy(*energies):
    return [Row(device_id(f"{i}"), START, START + 1, None, energy) for i, energy in enumerate(energies)]


@pytest.mark.parametrize("block_rows", [1, 2, 3])
def test_a_sealer_refuses_a_sum_beyond_64_bits(block_rows):
    # SEAL-19
    rows = sorted(heavy(2**63, 2**63 - 1, 1), key=lambda row: row.device)
    context = replace(CONTEXT, block_rows=block_rows)
    with pytest.raises(Malformed, match="energy_mj: expected"):
        seal(rows, context, MASTER)
    most = [replace(row, energy_mj=energy) for row, energy in zip(rows, (2**63, 2**63 - 1, 0), strict=True)]
    assert seal(most, context, MASTER).commitment.sums.energy_mj == 2**64 - 1


def test_a_prover_refuses_rows_and_secrets_that_were_not_sealed():
    made = seal(EXAMPLE_ROWS, CONTEXT, MASTER)
    for rows, master in ((EXAMPLE_ROWS[:1], MASTER), (EXAMPLE_ROWS[:2], bytes(32))):
        with pytest.raises(UsageFault, match="not those which were sealed"):
            prove_row(made, rows, 0, master)
        with pytest.raises(UsageFault, match="not those which were sealed"):
            prove_block(made, rows, 0, master)
    for index in (-1, 3, 4):
        with pytest.raises(UsageFault, match="expected one of"):
            prove_row(made, EXAMPLE_ROWS[2:], index, MASTER)
    with pytest.raises(UsageFault, match="master secret: expected 32 bytes, found 31"):
        seal(EXAMPLE_ROWS, CONTEXT, MASTER[1:])


# ── cheats, one by one ──

SIX = [Row(device_id("node-1"), START + i, START + i + 1, 10 + i, 100 + i) for i in range(6)]


def a_row_opening(index, rows=SIX, context=CONTEXT, master=MASTER):
    made = seal(rows, context, master)
    return made.commitment, prove_row(made, rows_of(rows, context, index // context.block_rows), index, master)


def a_block_opening(block, rows=SIX, context=CONTEXT, master=MASTER):
    made = seal(rows, context, master)
    return made.commitment, prove_block(made, rows_of(rows, context, block), block, master)


def commit_to(blocks, join=None, context=CONTEXT):
    """What a lab logs that builds its tree of nodes of its own choice."""
    tower = sealtree.levels(blocks, join or partial(sealtree.join_nodes, context.digest))
    top = parse_node(tower[-1][0])
    return tower, Commitment(context, top.rows_count, top.sums, top.hash)


def renumbered(shown, tower, block):
    return replace(shown, block_path=sealtree.prove_path(tower, block))


def forged(match, open_it, commitment, cheat):
    with pytest.raises(Forged, match=match):
        open_it(commitment, cheat)


TOP = "top of the path: expected"


def test_another_row_another_salt_another_place():
    # SEAL-22
    commitment, shown = a_row_opening(2)
    forged(TOP, open_row, commitment, replace(shown, row=replace(shown.row, energy_mj=101)))
    forged(TOP, open_row, commitment, replace(shown, row=replace(shown.row, energy_mj=None)))
    forged(TOP, open_row, commitment, replace(shown, salt=bytes(16)))
    forged(TOP, open_row, commitment, replace(shown, index=3))
    forged(TOP, open_row, commitment, replace(shown, index=0))
    forged("expected one of 6 committed rows, found row 6", open_row, commitment, replace(shown, index=6))
    forged(TOP, open_row, commitment, replace(shown, row_path=(bytes(32),)))


def test_a_null_is_not_a_zero():
    rows = [replace(SIX[0], energy_mj=0)]
    commitment, shown = a_row_opening(0, rows)
    forged(TOP, open_row, commitment, replace(shown, row=replace(rows[0], energy_mj=None)))


@pytest.mark.parametrize(
    "other",
    [
        {"agreement": "sha256:" + "12" * 32}, {"lab": "lab-b"}, {"facility": "hall-2"}, {"stream": "power2"},
        {"window_start_ms": START - 1}, {"window_end_ms": START + 59_999}, {"lab": "lab-ah", "facility": "all-1"},
    ],
)  # fmt: skip
def test_another_context(other):
    # SEAL-11, SEAL-22, SEAL-24
    commitment, shown = a_row_opening(2)
    _, block = a_block_opening(1)
    elsewhere = replace(commitment, context=replace(CONTEXT, **other))
    assert elsewhere.seal_id != commitment.seal_id
    forged(TOP, open_row, elsewhere, shown)
    forged(TOP, open_block, elsewhere, block)


def test_another_root_or_other_sums_in_the_commitment():
    # SEAL-21, SEAL-25
    commitment, shown = a_row_opening(2)
    _, block = a_block_opening(1)
    for other in (
        replace(commitment, root=bytes(32)),
        replace(commitment, sums=replace(commitment.sums, energy_mj=614)),
        replace(commitment, sums=replace(commitment.sums, duration_ms=7)),
        replace(commitment, sums=replace(commitment.sums, gap_ms=1)),
    ):
        assert other.seal_id != commitment.seal_id
        forged(TOP, open_row, other, shown)
        forged(TOP, open_block, other, block)


def test_another_block_size():
    commitment, shown = a_row_opening(2)
    forged("row", open_row, replace(commitment, context=replace(CONTEXT, block_rows=3)), shown)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 2**53 - 1])
def test_a_wrong_row_count_in_the_commitment(count):
    commitment, shown = a_row_opening(0)
    _, block = a_block_opening(0)
    forged("expected", open_row, replace(commitment, rows_count=count), shown)
    forged("expected", open_block, replace(commitment, rows_count=count), block)


def test_a_wrong_row_count_in_a_path():
    # SEAL-25
    commitment, shown = a_row_opening(0)
    node = parse_node(shown.block_path[1])
    wrong = format_node(replace(node, rows_count=3))
    with pytest.raises(Forged, match="row count: expected 2, found 3") as caught:
        open_row(commitment, replace(shown, block_path=(shown.block_path[0], wrong)))
    assert caught.value.where == "block path, level 1"


def test_a_tree_that_counts_rows_it_has_not():
    ctx = CONTEXT.digest
    fat = sealtree.block_node(ctx, 4, Sums(*naive_sums(SIX[:2])), naive_plain(naive_leaves(ctx, 0, SIX[:2], MASTER)))
    tower, commitment = commit_to([fat, *naive_blocks(CONTEXT, SIX, MASTER)[1:]])
    assert commitment.rows_count == 8
    forged("expected", open_row, commitment, renumbered(a_row_opening(0)[1], tower, 0))
    forged("expected", open_block, commitment, renumbered(a_block_opening(0)[1], tower, 0))


def test_paths_too_short_and_too_long():
    # SEAL-25
    commitment, shown = a_row_opening(0)
    _, block = a_block_opening(0)
    for path in (shown.block_path[:1], shown.block_path[1:], (), (*shown.block_path, shown.block_path[0])):
        forged("expected", open_row, commitment, replace(shown, block_path=path))
        forged("expected", open_block, commitment, replace(block, block_path=path))
    for path in ((), shown.row_path * 2):
        with pytest.raises(Forged, match="expected 1 nodes, found") as caught:
            open_row(commitment, replace(shown, row_path=path))
        assert caught.value.where == "row path"


def test_sums_swapped_between_neighbours():
    """The total stays what it was; each child's own sums are hashed, so one of the two no longer fits."""
    # SEAL-18
    made = seal(SIX[:4], CONTEXT, MASTER)
    left, right = map(parse_node, made.tower[0])
    commitment, shown = a_row_opening(0, SIX[:4])
    swapped = replace(shown, sums=right.sums, block_path=(format_node(replace(right, sums=left.sums)),))
    assert swapped.sums.energy_mj + left.sums.energy_mj == commitment.sums.energy_mj
    forged(TOP, open_row, commitment, swapped)


def test_a_tree_that_hashes_totals_only():
    """With such nodes the lab could divide one total among the children anew in every opening."""

    def total_only(left, right):
        mine, yours = parse_node(left), parse_node(right)
        sums = Sums(mine.sums.energy_mj + yours.sums.energy_mj, mine.sums.duration_ms + yours.sums.duration_ms, 0)
        node = Node(mine.rows_count + yours.rows_count, sums, bytes(32))
        return format_node(node)[:32] + h(b"\x11", CONTEXT.digest, format_node(node)[:32], mine.hash, yours.hash)

    tower, commitment = commit_to(naive_blocks(CONTEXT, SIX[:4], MASTER), total_only)
    assert (commitment.sums.energy_mj, commitment.rows_count) == (406, 4)
    forged(TOP, open_row, commitment, renumbered(a_row_opening(0, SIX[:4])[1], tower, 0))


def test_a_sum_that_wraps_round():
    """2^64 - 50 looks like minus fifty; the node above it is refused whatever the total says."""
    # SEAL-19

    def wrapping(left, right):
        mine, yours = parse_node(left), parse_node(right)
        energy = (mine.sums.energy_mj + yours.sums.energy_mj) % 2**64
        sums = Sums(energy, mine.sums.duration_ms + yours.sums.duration_ms, 0)
        return format_node(Node(4, sums, h(b"\x11", CONTEXT.digest, left, right)))

    rows = [*SIX[:2], replace(SIX[2], energy_mj=2**64 - 50), replace(SIX[3], energy_mj=0)]
    tower, commitment = commit_to(naive_blocks(CONTEXT, rows, MASTER), wrapping)
    assert commitment.sums.energy_mj == 201 - 50
    for block in (0, 1):
        shown = BlockOpening(
            block, seal_module.block_secret(MASTER, CONTEXT.digest, block), tuple(rows[2 * block :][:2]), ()
        )
        with pytest.raises(Malformed, match="energy_mj: expected a sum of at most") as caught:
            open_block(commitment, renumbered(shown, tower, block))
        assert caught.value.where == "block path"


def test_a_block_that_wraps_round():
    rows = (replace(SIX[0], energy_mj=2**64 - 50), replace(SIX[1], energy_mj=100))
    ctx = CONTEXT.digest
    node = sealtree.block_node(ctx, 2, Sums(50, 2, 0), naive_plain(naive_leaves(ctx, 0, rows, MASTER)))
    _, commitment = commit_to([node])
    with pytest.raises(Malformed, match="energy_mj: expected an integer of 0 to"):
        open_block(commitment, BlockOpening(0, seal_module.block_secret(MASTER, ctx, 0), rows, ()))


def a_block_that_lies(sums, rows):
    ctx = CONTEXT.digest
    node = sealtree.block_node(ctx, len(rows), sums, naive_plain(naive_leaves(ctx, 0, rows, MASTER)))
    _, commitment = commit_to([node])
    honest = a_row_opening(0, rows)[1]
    return commitment, replace(honest, sums=sums, block_path=()), a_block_opening(0, rows)[1]


def test_a_block_whose_sums_are_not_those_of_its_rows_fails_when_it_is_opened():
    # SEAL-24
    commitment, row, block = a_block_that_lies(Sums(150, 2, 0), SIX[:2])
    forged(TOP, open_block, commitment, block)
    assert open_row(commitment, row) == SIX[0]  # what a row opening does not show: specs/sealing.md


def test_a_block_smaller_than_a_row_in_it_fails_even_when_only_the_row_is_opened():
    # SEAL-23
    for sums in (Sums(99, 2, 0), Sums(201, 0, 2)):
        commitment, row, _ = a_block_that_lies(sums, SIX[:2])
        with pytest.raises(Malformed, match="block sums: expected room for the row's"):
            open_row(commitment, row)


def test_a_block_of_one_row_sums_to_it_exactly():
    # SEAL-23
    for sums in (Sums(101, 1, 0), Sums(100, 1, 1)):
        commitment, row, _ = a_block_that_lies(sums, SIX[:1])
        with pytest.raises(Malformed, match="block sums: expected room for the row's"):
            open_row(commitment, row)
    commitment, row, _ = a_block_that_lies(Sums(100, 1, 0), SIX[:1])
    assert open_row(commitment, row) == SIX[0]


def test_blocks_in_another_order():
    """The block index is in every leaf: a block moved in the tree can be opened nowhere."""
    blocks = naive_blocks(CONTEXT, SIX, MASTER)
    tower, commitment = commit_to([blocks[1], blocks[0], blocks[2]])
    for place, origin in ((0, 1), (1, 0)):
        row, block = a_row_opening(2 * origin)[1], a_block_opening(origin)[1]
        for index in (place, origin):
            forged(TOP, open_row, commitment, replace(renumbered(row, tower, place), index=2 * index))
            forged(TOP, open_block, commitment, replace(renumbered(block, tower, place), index=index))


def test_rows_in_another_order():
    # SEAL-24
    commitment, block = a_block_opening(1)
    forged(TOP, open_block, commitment, replace(block, rows=block.rows[::-1]))
    forged(
        "rows: expected 2 by the committed row count, found 1", open_block, commitment, replace(block, rows=SIX[2:3])
    )
    forged(TOP, open_block, commitment, replace(block, secret=bytes(32)))
    forged(TOP, open_block, commitment, replace(block, index=0))


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        (SIX[1::-1], "order: expected a later row"),
        ([SIX[0], SIX[0]], "order: expected a later row"),
        ([SIX[0], replace(SIX[1], end_ms=START + 60_001)], "window: expected a row within"),
    ],
)
def test_a_block_committed_against_the_rules(rows, match):
    # SEAL-9, SEAL-10
    _, commitment = commit_to(naive_blocks(CONTEXT, rows, MASTER))
    secret = seal_module.block_secret(MASTER, CONTEXT.digest, 0)
    with pytest.raises(Malformed, match=match) as caught:
        open_block(commitment, BlockOpening(0, secret, tuple(rows), ()))
    assert caught.value.where == "block 0: row 1"


def test_a_row_committed_outside_the_window():
    # SEAL-10
    row = replace(SIX[0], end_ms=START + 60_001)
    _, commitment = commit_to(naive_blocks(CONTEXT, [row], MASTER))
    salt = row_salts(seal_module.block_secret(MASTER, CONTEXT.digest, 0), [bytes(4)])[0]
    with pytest.raises(Malformed, match="window: expected a row within"):
        open_row(commitment, RowOpening(0, row, salt, (), Sums(100, 60_001, 0), ()))


def test_a_row_as_a_node_and_a_node_as_a_row():
    """Four rows sold as two, their inner nodes as leaves: no row hashes to an inner node, and counts fix the depth."""
    context = replace(CONTEXT, block_rows=4)
    ctx, rows = context.digest, SIX[:4]
    rows_root = naive_plain(naive_leaves(ctx, 0, rows, MASTER))
    _, commitment = commit_to([sealtree.block_node(ctx, 2, Sums(*naive_sums(rows)), rows_root)], context=context)
    honest = a_row_opening(0, rows, context)[1]
    forged("expected 1 nodes, found 2", open_row, commitment, honest)
    for path in (honest.row_path[:1], honest.row_path[1:]):
        forged(TOP, open_row, commitment, replace(honest, row_path=path))


def test_no_preimage_of_one_kind_is_one_of_another():
    """Second pre-images need two readings of the same bytes; prefix and length leave none."""
    kinds = [sealtree.ROW, b"\x01", sealtree.BLOCK, sealtree.SUM, sealtree.SEAL, b"\x00"]
    assert len(set(kinds)) == len(kinds)
    lengths = {"row": 1 + 32 + 8 + 4 + 49 + 16, "plain": 65, "block": 1 + 32 + 64, "sum": 1 + 32 + 128}
    assert len(set(lengths.values())) == len(lengths)
    made = seal(SIX[:4], CONTEXT, MASTER)
    for node in made.tower[0]:  # a block as the whole tree
        part = parse_node(node)
        pretended = Commitment(CONTEXT, part.rows_count, part.sums, part.hash)
        assert pretended.seal_id != made.commitment.seal_id
        forged("expected 0 nodes, found 1", open_row, pretended, a_row_opening(0, SIX[:4])[1])


def test_an_inner_node_as_a_block():
    made = seal([*SIX, replace(SIX[0], device=b"\xff" * 16), replace(SIX[1], device=b"\xff" * 16)], CONTEXT, MASTER)
    assert made.commitment.rows_count == 8
    with pytest.raises(Forged, match="row count: expected 2, found 4"):
        open_path(made.commitment, 0, made.tower[1][0], [made.tower[1][1]])
    with pytest.raises(Forged, match="expected 2 nodes, found 1"):
        open_path(made.commitment, 0, made.tower[0][0], [made.tower[0][1]])
    open_path(made.commitment, 0, made.tower[0][0], [made.tower[0][1], made.tower[1][1]])


def test_the_top_as_a_block_beyond_the_last():
    made = seal(SIX, CONTEXT, MASTER)
    for block in (-1, 3, 5):
        with pytest.raises(Forged, match="index: expected one of 6 committed rows"):
            open_path(made.commitment, block, made.tower[-1][0], [])
    with pytest.raises(Malformed, match="node: expected 64 bytes, found 63"):
        open_path(made.commitment, 0, made.tower[0][0][1:], [])


def test_a_row_beyond_the_last():
    """The leaf of a block's only row, made for the place after it: it would open as a row that nobody counted."""
    ctx = CONTEXT.digest
    _, leaf = naive_leaves(ctx, 0, [SIX[0], SIX[1]], MASTER)
    _, commitment = commit_to([sealtree.block_node(ctx, 1, Sums(*naive_sums(SIX[1:2])), leaf)])
    _, shown = a_row_opening(1, SIX[:2])
    cheat = replace(shown, sums=Sums(*naive_sums(SIX[1:2])), row_path=(), block_path=())
    forged("index: expected one of 1 committed rows, found row 1", open_row, commitment, cheat)


# ── strict readers ──

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("0123456789abcdefF ", max_size=130),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize(
    ("shown", "format_it", "parse_it", "open_it"),
    [
        (a_row_opening(2), format_row_opening, parse_row_opening, open_row),
        (a_block_opening(1), format_block_opening, parse_block_opening, open_block),
    ],
)
@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_a_reader_knows_no_other_error(shown, format_it, parse_it, open_it, data):
    commitment, honest = shown
    value = format_it(honest)
    name = data.draw(st.sampled_from(sorted(value)))
    changed = value | {name: data.draw(json_values)}
    if isinstance(value[name], list) and data.draw(st.booleans()):
        changed[name] = [*value[name][1:], data.draw(json_values)]
    try:
        cheat = parse_it(changed)
    except Malformed:
        return
    assert format_it(cheat) == changed
    if cheat != honest:
        with pytest.raises((Forged, Malformed)):
            open_it(commitment, cheat)


@pytest.mark.parametrize("opened", [a_row_opening(2), a_block_opening(1)])
@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_one_digit_changed_anywhere_is_found(opened, data):
    commitment, honest = opened
    row = isinstance(honest, RowOpening)
    text = dump((format_row_opening if row else format_block_opening)(honest)).decode()
    place = data.draw(
        st.sampled_from([m.start() for m in re.finditer(r"(?<=[0-9a-f\":])[0-9a-f](?=[0-9a-f\",])", text)])
    )
    digit = data.draw(st.sampled_from(sorted(set("0123456789abcdef") - {text[place]})))
    with pytest.raises((Forged, Malformed)):  # noqa: PT012
        value = load((text[:place] + digit + text[place + 1 :]).encode())
        if row:
            open_row(commitment, parse_row_opening(value))
        else:
            open_block(commitment, parse_block_opening(value))


def test_openings_are_read_strictly():
    # SEAL-26
    value = format_row_opening(a_row_opening(2)[1])
    for changed in (
        value | {"more": 1},
        {name: value[name] for name in value if name != "salt"},
        value | {"salt": value["salt"].upper()},
        value | {"salt": value["salt"] + " "},
        value | {"index": True},
        value | {"index": -1},
        value | {"index": 2**53 - 1},
        value | {"index": "2"},
        value | {"row_path": value["row_path"][0]},
        value | {"block_path": value["block_path"] * 27},
        [value],
        None,
    ):
        with pytest.raises(Malformed):
            parse_row_opening(changed)
    _, shown = a_row_opening(2)
    for wrong in ({"salt": bytes(15)}, {"row_path": (bytes(31),)}, {"block_path": (bytes(65),)}, {"index": -1}):
        with pytest.raises(Malformed):
            replace(shown, **wrong)
    with pytest.raises(Malformed, match="rows: expected 1 to 65536, found 0"):
        parse_block_opening(format_block_opening(a_block_opening(1)[1]) | {"rows": []})


@pytest.mark.parametrize(
    "wrong",
    [
        {"lab": ""}, {"lab": "x" * 256}, {"lab": "\ud800"}, {"lab": 5}, {"window_end_ms": START},
        {"window_start_ms": -1}, {"window_end_ms": 2**64}, {"block_rows": 0}, {"block_rows": 2**16 + 1},
        {"block_rows": True}, {"schema": "pausectl-power/v2"},
    ],
)  # fmt: skip
def test_a_context_is_refused_out_of_range(wrong):
    with pytest.raises(Malformed):
        replace(CONTEXT, **wrong)


@pytest.mark.parametrize(
    "wrong", [{"rows_count": -1}, {"rows_count": True}, {"rows_count": 2**53}, {"root": bytes(31)}]
)
def test_a_commitment_is_refused_out_of_range(wrong):
    with pytest.raises(Malformed):
        replace(a_row_opening(0)[0], **wrong)


@given(st.binary(max_size=70))
def test_a_node_is_64_bytes_and_reads_back(data):
    try:
        node = parse_node(data)
    except Malformed:
        assert len(data) != 64
    else:
        assert format_node(node) == data


# ── real readings ──


def test_the_energy_of_a_real_training_run(shared):
    """GPT-3 175B on 512 H100, 64 nodes, MLPerf Training v4.0; its submitter counted 415.22 kWh.

    Nobody read the meters at the edges of the run, so the energy depends on the rule there: 415.26 kWh with the silence
    as a gap, 415.44 with the first and last reading of each node held flat to the edges.
    """
    known = json.loads(shared("data/known_answers.json").read_text())["facts"]["mlperf_power"]["gpt3_512_h100"]
    table = shared("data/mlperf_power/power_readings.parquet")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = parquet.read_table(table, filters=[("run_id", "=", known["run_id"]["value"])])
    times = columns["time_ms"].cast("int64").to_pylist()
    readings = defaultdict(list)
    for node, time_ms, watts in zip(columns["node"].to_pylist(), times, columns["watts"].to_pylist(), strict=True):
        readings[device_id(node)].append((time_ms, milliwatts(watts)))
    start, end = known["run_start_ms"]["value"], known["run_stop_ms"]["value"]
    context = Context("sha256:" + "11" * 32, "smc", "64xSMC-H100-SXM-80GB", "node-power", start, end)

    rows = []
    for device in sorted(readings):
        rows += rows_from_readings(device, readings[device], start, end, max_gap_ms=10_000)
    made = seal(rows, context, MASTER)
    sums = made.commitment.sums
    assert sums.energy_mj / 3.6e9 == pytest.approx(415.255, abs=0.001)
    assert sums.energy_mj / 3.6e9 == pytest.approx(known["energy_kwh"]["value"], rel=1e-6)
    silent = sum(min(mine)[0] - start + end - max(mine)[0] for mine in readings.values())
    assert (len(readings), sums.gap_ms, sums.duration_ms) == (64, silent, 64 * (end - start) - silent)
    index = 77_777
    shown = prove_row(made, rows_of(rows, context, index // 256), index, MASTER)
    assert open_row(made.commitment, parse_row_opening(load(dump(format_row_opening(shown))))) == rows[index]
