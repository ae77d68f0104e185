# SPDX-License-Identifier: Apache-2.0
"""Sealed telemetry: promise rows now, show a few of them later, without having been able to change any.

    ctx      277217487ab4e80d18a308eafcec1ab3d0e3af71dc09189f12d22681271030c5
    sums     0000000000000003 0000000000cec1b0 00000000000007d0 0000000000007530
    root     bb6cde1482d6ecffd0de2f413ac523a01faad7d1e8ba6d49e286dd07b162258d
    seal id  e5f9fb408d167676859b376540439b933d86a1d61b8153df2ee7b25ff310cb0b

Three rows of two nodes, in the agreement, lab, facility, stream and window that ctx is the hash of; `sums` is how many
rows, their energy, and their time with and without it. A lab seals the rows of a window (`seal`) and logs this
`Commitment`. Afterwards chance picks rows or blocks, the lab opens them, and anybody checks: see opening.py.

Salts come from a master secret that is an argument: this module draws nothing. Whoever draws it, draws a new one for
every seal, since a salt that was shown once must hide nothing elsewhere.
Malformed: rows that break the rules of a seal. Specification: specs/sealing.md, "Tree" and "Commitment".
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import islice

from pausectl.errors import Malformed, PausectlError, UsageFault
from pausectl.registry import enforces
from pausectl.wire import sealtree
from pausectl.wire.merkle import node_hash
from pausectl.wire.rows import SCHEMA, Row, check_u64
from pausectl.wire.sealtree import Node, Sums

MAX_ROWS = 2**53 - 1  # a row index is a JSON integer
MAX_BLOCK_ROWS = 2**16
SALT_BYTES = 16
SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Context:
    """What a seal is about; hashed into every leaf and node, so that none of them fits another seal.

    agreement, lab, facility, stream: as the statement's header writes them, 1 to 255 bytes of UTF-8.
    window_start_ms, window_end_ms: Unix milliseconds, half-open. block_rows: rows of every block but the last.
    """

    agreement: str
    lab: str
    facility: str
    stream: str
    window_start_ms: int
    window_end_ms: int
    block_rows: int = 256
    schema: str = SCHEMA

    def __post_init__(self) -> None:
        """Malformed: a field out of its range, or a schema that is not this module's."""
        for name in ("agreement", "lab", "facility", "stream"):
            _check_text(name, getattr(self, name))
        check_u64("window_start_ms", self.window_start_ms)
        check_u64("window_end_ms", self.window_end_ms)
        if self.window_start_ms >= self.window_end_ms:
            raise Malformed(f"window_end_ms: expected more than {self.window_start_ms}, found {self.window_end_ms}")
        if type(self.block_rows) is not int or not 1 <= self.block_rows <= MAX_BLOCK_ROWS:
            raise Malformed(f"block_rows: expected 1 to {MAX_BLOCK_ROWS}, found {self.block_rows!r}")
        if self.schema != SCHEMA:
            raise Malformed(f"schema: expected {SCHEMA!r}, found {self.schema!r}")

    @property
    @enforces("SEAL-11")
    def digest(self) -> bytes:
        """The 32 bytes called ctx.

        [SEAL-11] ctx MUST be SHA-256 over agreement, lab, facility, stream, window start, window end, schema and
        block rows, in this order, each preceded by its length in 4 bytes, texts in UTF-8 and numbers in 8 bytes.
        """
        texts = [text.encode() for text in (self.agreement, self.lab, self.facility, self.stream)]
        window = [time_ms.to_bytes(8, "big") for time_ms in (self.window_start_ms, self.window_end_ms)]
        fields = [*texts, *window, self.schema.encode(), self.block_rows.to_bytes(8, "big")]
        return sha256(b"".join(len(field).to_bytes(4, "big") + field for field in fields)).digest()


def _check_text(name: str, text: str) -> None:
    try:
        size = len(text.encode("utf-8"))
    except (AttributeError, UnicodeEncodeError):  # no text, or half of a surrogate pair
        size = 0
    if not 1 <= size <= 255:
        raise Malformed(f"{name}: expected 1 to 255 bytes of UTF-8, found {text!r}")


@dataclass(frozen=True, slots=True)
class Commitment:
    """What is logged of a seal: enough to check every opening, and nothing of a single row."""

    context: Context
    rows_count: int
    sums: Sums
    root: bytes

    @enforces("SEAL-20")
    def __post_init__(self) -> None:
        """Malformed: a count or root out of range, or an impossible empty seal.

        [SEAL-20] The root of a seal of no rows MUST be the hash of a block of no rows, whose sums are zero and whose
        rows root is SHA-256 of nothing.
        """
        if type(self.rows_count) is not int or not 0 <= self.rows_count <= MAX_ROWS:
            raise Malformed(f"rows_count: expected 0 to {MAX_ROWS}, found {self.rows_count!r}")
        if not isinstance(self.root, bytes) or len(self.root) != 32:
            raise Malformed(f"root: expected 32 bytes, found {self.root!r}")
        if self.rows_count == 0 and self.node != _empty(self.context.digest):
            raise Malformed(f"seal of no rows: expected its fixed root and no sums, found {self.sums}")

    @property
    def blocks_count(self) -> int:
        """How many blocks there are to open."""
        return -(-self.rows_count // self.context.block_rows)

    @property
    def node(self) -> bytes:
        """The 64 bytes of the topmost node."""
        return sealtree.format_node(Node(self.rows_count, self.sums, self.root))

    @property
    @enforces("SEAL-21")
    def seal_id(self) -> bytes:
        """The 32 bytes by which draws and references name this seal.

        [SEAL-21] The id of a seal MUST be SHA-256 over 0x13, ctx, its row count, its three sums and its root.
        """
        return sha256(sealtree.SEAL + self.context.digest + self.node).digest()

    def rows_below(self, level: int, position: int) -> int:
        """How many rows a node of the sum tree covers: its place alone says so."""
        block_rows = self.context.block_rows
        first, end = position << level, (position + 1) << level
        return min(end * block_rows, self.rows_count) - first * block_rows


def _empty(ctx: bytes) -> bytes:
    return sealtree.block_node(ctx, 0, Sums(), sha256().digest())


@dataclass(frozen=True, slots=True)
class Seal:
    """A sealer's own copy of the sum tree: two 64-byte nodes per block, no rows and no secrets."""

    context: Context
    tower: tuple[tuple[bytes, ...], ...]

    @classmethod
    @enforces("SEAL-16")
    def of_blocks(cls, context: Context, blocks: Sequence[bytes]) -> Seal:
        """Put the nodes that `seal_block` gave together, first block first; they may come from many machines.

        The order of rows across blocks is the caller's duty here; `seal` checks it.

        [SEAL-16] Every block of a seal but the last MUST hold as many rows as its context says, and the last from one
        to that many.
        """
        for index, block in enumerate(blocks):
            found, full = sealtree.parse_node(block).rows_count, context.block_rows
            if found != full and not (index == len(blocks) - 1 and 1 <= found < full):
                raise Malformed(
                    f"rows: expected {full}, or fewer in the last block, found {found}", where=f"block {index}"
                )
        ctx = context.digest
        return cls(context, sealtree.levels(blocks or [_empty(ctx)], partial(sealtree.join_nodes, ctx)))

    @property
    def commitment(self) -> Commitment:
        """What to log."""
        top = sealtree.parse_node(self.tower[-1][0])
        return Commitment(self.context, top.rows_count, top.sums, top.hash)


def seal(rows: Iterable[Row], context: Context, master: bytes) -> Seal:
    """Seal rows, sorted by (device, start), holding one block of them at a time.

    Malformed: rows out of order, overlapping, or outside the window; a sum beyond 64 bits.
    """
    blocks: list[bytes] = []
    rest, previous = iter(rows), None
    while block := list(islice(rest, context.block_rows)):
        try:
            check_order(block, previous)
            blocks.append(seal_block(block, context, master, len(blocks)))
        except PausectlError as error:
            raise error.at(f"block {len(blocks)}") from error
        previous = block[-1]
    return Seal.of_blocks(context, blocks)


def seal_block(rows: Sequence[Row], context: Context, master: bytes, block: int) -> bytes:
    """The 64-byte node of one block; needs nothing but its own rows, so blocks can be sealed in parallel."""
    check_window(rows, context)
    ctx = context.digest
    secret = block_secret(master, ctx, block)
    rows_root = row_tower(ctx, block, rows, secret)[-1][0]
    return sealtree.block_node(ctx, len(rows), sealtree.sum_rows(rows), rows_root)


@enforces("SEAL-9")
def check_order(rows: Sequence[Row], previous: Row | None = None) -> None:
    """Refuse rows that are not sorted; `previous` is the row before the first.

    [SEAL-9] A sealer, and a verifier within one block, MUST refuse a row that does not follow the one before it, by a
    higher device id or by a start at or after its end on the same device.
    """
    for place, row in enumerate(rows):
        if previous is not None and (
            row.start_ms < previous.end_ms if row.device == previous.device else row.device < previous.device
        ):
            found = f"{row.device.hex()} from {row.start_ms} after {previous.device.hex()} to {previous.end_ms}"
            raise Malformed(f"order: expected a later row or a higher device, found {found}", where=f"row {place}")
        previous = row


@enforces("SEAL-10")
def check_window(rows: Sequence[Row], context: Context) -> None:
    """Refuse rows of another time.

    [SEAL-10] A sealer and a verifier MUST refuse a row that starts before the window or ends after it.
    """
    start, end = context.window_start_ms, context.window_end_ms
    for place, row in enumerate(rows):
        if row.start_ms < start or row.end_ms > end:
            found = f"{row.start_ms} to {row.end_ms}"
            raise Malformed(f"window: expected a row within {start} to {end}, found {found}", where=f"row {place}")


@enforces("SEAL-12")
def block_secret(master: bytes, ctx: bytes, block: int) -> bytes:
    """The 32 bytes that open one whole block and nothing else.

    [SEAL-12] A block secret MUST be HMAC-SHA256, keyed with the 32-byte master secret of the seal, over the ASCII text
    `pausectl block`, ctx and the block index in 8 bytes.
    """
    if len(master) != SECRET_BYTES:
        raise UsageFault(f"master secret: expected {SECRET_BYTES} bytes, found {len(master)}")
    return hmac.digest(master, b"pausectl block" + ctx + block.to_bytes(8, "big"), "sha256")


@enforces("SEAL-13")
def row_salts(secret: bytes, places: Iterable[bytes]) -> list[bytes]:
    """The salts of rows of one block, 16 bytes each.

    [SEAL-13] The salt of a row MUST be the first 16 bytes of HMAC-SHA256, keyed with its block secret, over its place
    in the block in 4 bytes.

    Written out instead of hmac.digest, which keys anew on every call and takes 2.4 times as long: it would be more
    than half the cost of a seal.
    """
    inner = sha256(bytes(byte ^ 0x36 for byte in secret.ljust(64, b"\0"))).copy
    outer = sha256(bytes(byte ^ 0x5C for byte in secret.ljust(64, b"\0"))).copy
    salts = []
    for place in places:
        first, second = inner(), outer()
        first.update(place)
        second.update(first.digest())
        salts.append(second.digest()[:SALT_BYTES])
    return salts


@enforces("SEAL-15")
def row_tower(ctx: bytes, block: int, rows: Sequence[Row], secret: bytes) -> tuple[tuple[bytes, ...], ...]:
    """The tree inside one block, its leaves first.

    [SEAL-15] The rows root of a block MUST be the RFC 9162 tree hash over its row leaves, taken as they are, with
    SHA-256 over 0x01 and both children for an interior node.
    """
    places = [place.to_bytes(4, "big") for place in range(len(rows))]
    leaves = sealtree.row_leaves(ctx, block, places, rows, row_salts(secret, places))
    return sealtree.levels(leaves, node_hash)
