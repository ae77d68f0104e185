# SPDX-License-Identifier: Apache-2.0
"""The append-only Merkle tree of RFC 9162, its proofs, and who may believe what from them.

    golden-0  98829286b36f66ce4035a9f82c95a1d674cc1f111aa8009841acc58723f6604d   leaf hash of entry 0
    golden-1  556f498ba5ab29ac76f60e0b59573c5984f02482efa3ebc131fd106af7423b7a   leaf hash of entry 1
    root      5f0fcdef0d81f7ec2e0d834dfe6cdde0ac831cc522a7894d029a2636d9c5ff0c   of the tree of size 2

A *complete subtree* (level, index) has the 2^level entries from index·2^level on; a tree is stored as the hashes of
its complete subtrees and nothing else. A *subtree* [start, end) is valid if start is a multiple of the smallest power
of two that is not below end − start; its hash never changes as the tree grows (draft-ietf-plants-merkle-tree-certs-05
section 4). One prover and one verifier serve subtrees, inclusion ([i, i+1)) and consistency ([0, old)).

Storage is a parameter: provers take `read(level, index)`, the hash of a complete subtree, and ask for nothing else.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

from pausectl.errors import Forged, Malformed
from pausectl.registry import enforces

Hash: TypeAlias = bytes
Span: TypeAlias = tuple[int, int]
Coordinates: TypeAlias = tuple[int, int]
Read: TypeAlias = Callable[[int, int], Hash]

HASH_BYTES = 32

#: No reader handles larger sizes or indices, although the specifications name no limit.
MAX_SIZE = 2**63 - 1

#: The root of the tree of no entries.
EMPTY: Hash = hashlib.sha256(b"").digest()

_DECIMAL = re.compile("0|[1-9][0-9]{0,18}")


def parse_size(text: str, what: str = "size") -> int:
    """A size, index or time as every text format of the ledger writes it: decimal digits, one text for one number."""
    if not _DECIMAL.fullmatch(text) or int(text) > MAX_SIZE:
        raise Malformed(f"{what}: expected decimal without leading zeros up to 2^63 - 1, found {text[:24]!r}")
    return int(text)


def format_size(size: int, what: str = "size") -> str:
    """The inverse of `parse_size`."""
    _need_size(size, what)
    return str(size)


def leaf_hash(entry: bytes) -> Hash:
    """SHA-256(0x00 ‖ entry)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: Hash, right: Hash) -> Hash:
    """SHA-256(0x01 ‖ left ‖ right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@enforces("TREE-1")
def root(leaf_hashes: Sequence[Hash]) -> Hash:
    """MTH of these leaf hashes, RFC 9162 section 2.1.1.

    [TREE-1] The tree MUST be hashed as RFC 9162 says: SHA-256(0x00 ‖ entry) for a leaf, SHA-256(0x01 ‖ left ‖ right)
    for a node split at the largest power of two below its size, and SHA-256("") for no entries.
    """
    level = list(leaf_hashes)
    _need_hashes(level)
    if not level:
        return EMPTY
    hash = hashlib.sha256
    while len(level) > 1:
        # The last hash of an odd level rises unpaired. Pairing it with itself gives two lists one root (CVE-2012-2459).
        odd = level[len(level) & ~1 :]
        pairs = zip(level[::2], level[1::2], strict=False)
        level = [hash(b"\x01" + left + right).digest() for left, right in pairs] + odd  # `node_hash`, without a call
    return level[0]


class Range:
    """The tree [0, size) as the hashes of its complete subtrees, largest first: enough to append and to know the root.

    At most 63 hashes, so it can be kept beside a checkpoint and continued: `Range(size, hashes)`.
    """

    __slots__ = ("_hashes", "_size")

    def __init__(self, size: int = 0, hashes: Sequence[Hash] = ()) -> None:
        _need_size(size)
        _need_hashes(hashes)
        if len(hashes) != size.bit_count():
            raise Malformed(f"range of size {size}: expected {size.bit_count()} hashes, found {len(hashes)}")
        self._size = size
        self._hashes = list(hashes)

    @property
    def size(self) -> int:
        """How many entries it covers."""
        return self._size

    @property
    def hashes(self) -> tuple[Hash, ...]:
        """One hash for every bit set in `size`, that of the largest subtree first."""
        return tuple(self._hashes)

    def append(self, leaf: Hash) -> None:
        """Add one leaf hash: two hashings on average, at most 63."""
        _need_hashes((leaf,))
        _need_size(self._size + 1)
        rest = self._size
        while rest & 1:
            leaf = node_hash(self._hashes.pop(), leaf)
            rest >>= 1
        self._hashes.append(leaf)
        self._size += 1

    def extend(self, leaves: Iterable[Hash]) -> None:
        """Add leaf hashes in order."""
        for leaf in leaves:
            self.append(leaf)

    def root(self) -> Hash:
        """MTH of everything appended so far."""
        return _join(self._hashes)


def complete_subtrees(start: int, end: int) -> Iterator[Coordinates]:
    """The fewest complete subtrees (level, index) that make up [start, end), left to right."""
    if not 0 <= start <= end:
        raise Malformed(f"interval: expected 0 <= start <= end, found [{start}, {end})")
    while start < end:
        level = (end - start).bit_length() - 1
        if start:
            level = min(level, (start & -start).bit_length() - 1)
        yield level, start >> level
        start += 1 << level


def subtree_root(start: int, end: int, read: Read) -> Hash:
    """Hash of the valid subtree [start, end), read as at most 63 complete subtrees."""
    _need_subtree(start, end)
    hashes = [read(level, index) for level, index in complete_subtrees(start, end)]
    _need_hashes(hashes)
    return _join(hashes)


def covering_subtrees(start: int, end: int) -> tuple[Span, Span]:
    """Two valid subtrees side by side that cover [start, end), exact on the right; draft-05 section 4.5.

    For a batch proof of any interval. Fewer than half of the entries of the left one lie before `start`.
    """
    if end - start <= 1:
        return (start, end), (end, end)
    last = end - 1
    mask = (1 << (start ^ last).bit_length() - 1) - 1
    middle = last & ~mask
    left = start & ~((1 << (~start & mask).bit_length()) - 1)
    return (left, middle), (middle, end)


def subtree_coordinates(start: int, end: int, size: int) -> tuple[Coordinates, ...]:
    """What `prove_subtree` will read, in order, so that a client can fetch it beforehand."""
    spans = _proof_spans(start, end, 0, size)
    return tuple(place for span in spans for place in complete_subtrees(*span))


def prove_subtree(start: int, end: int, size: int, read: Read) -> tuple[Hash, ...]:
    """Proof that [start, end) is a subtree of the tree of `size`; draft-05 section 4.4. At most 64 hashes."""
    return tuple(subtree_root(lo, hi, read) for lo, hi in _proof_spans(start, end, 0, size))


@enforces("TREE-2", "TREE-3", "TREE-4")
def check_subtree(start: int, end: int, size: int, subtree: Hash, root: Hash, proof: Sequence[Hash]) -> None:
    """Return if `proof` leads from the hash of the subtree [start, end) to `root`, the root of the tree of `size`.

    Malformed for arguments of a wrong shape, Forged for a proof that does not hold. An empty subtree says nothing
    about `root`: it is accepted with any.

    [TREE-2] A verifier MUST refuse a proof in which any hash, those of the leaf, subtree and roots included, is not 32
    bytes long.

    [TREE-3] A verifier MUST refuse an index not below the size, an interval that is no valid subtree or reaches beyond
    the tree, and a size above 2^63 − 1.

    [TREE-4] A verifier MUST refuse a proof that has a hash more or less than its path needs.
    """
    _need_size(size)
    _need_subtree(start, end, size)
    _need_hashes((subtree, root, *proof))
    if start == end:
        holds = not proof and subtree == EMPTY
    else:
        holds = _climb(start, end - 1, size - 1, subtree, proof) == (subtree, root)
    if not holds:
        raise Forged(f"proof of [{start}, {end}) in the tree of size {size}: does not lead to the root")


def inclusion_coordinates(index: int, size: int) -> tuple[Coordinates, ...]:
    """What `prove_inclusion` will read, in order."""
    return subtree_coordinates(index, index + 1, size)


def prove_inclusion(index: int, size: int, read: Read) -> tuple[Hash, ...]:
    """RFC 9162 section 2.1.3.1, sibling of the leaf first; empty in a tree of size 1."""
    return prove_subtree(index, index + 1, size, read)


def check_inclusion(index: int, size: int, leaf: Hash, root: Hash, proof: Sequence[Hash]) -> None:
    """Return if the tree of `size` with `root` has the leaf hash `leaf` at `index`; RFC 9162 section 2.1.3.2."""
    check_subtree(index, index + 1, size, leaf, root, proof)


def consistency_coordinates(old: int, size: int) -> tuple[Coordinates, ...]:
    """What `prove_consistency` will read, in order."""
    return subtree_coordinates(0, old, size)


def prove_consistency(old: int, size: int, read: Read) -> tuple[Hash, ...]:
    """RFC 9162 section 2.1.4.1; empty if old is 0 or size."""
    return prove_subtree(0, old, size, read)


@enforces("TREE-5", "TREE-6")
def check_consistency(old_size: int, old_root: Hash, size: int, root: Hash, proof: Sequence[Hash]) -> None:
    """Return if the tree of `size` only appends to the tree of `old_size`; RFC 9162 section 2.1.4.2.

    Whoever starts from nothing has nothing to compare with. A witness treats old size 0 itself (specs: add-checkpoint).

    [TREE-5] A verifier MUST NOT accept a consistency proof from size 0 to a larger size, which would hold for any root.

    [TREE-6] A verifier MUST refuse a tree of size 0 with another root than SHA-256("").
    """
    if old_size == 0 < size:
        raise Malformed("consistency proof: expected an old size above 0, from which something follows")
    check_subtree(0, old_size, size, old_root, root, proof)
    if size == 0 and root != EMPTY:
        raise Forged('tree of size 0: expected the root SHA-256("")')


def prove_subtree_inclusion(index: int, start: int, end: int, read: Read) -> tuple[Hash, ...]:
    """Proof that the entry `index` is in the subtree [start, end), whose hash is known; draft-05 section 4.3."""
    _need_subtree(start, end)
    return tuple(subtree_root(lo, hi, read) for lo, hi in _proof_spans(index, index + 1, start, end))


def check_subtree_inclusion(index: int, start: int, end: int, leaf: Hash, subtree: Hash, proof: Sequence[Hash]) -> None:
    """Return if the subtree [start, end) with the hash `subtree` has the leaf hash `leaf` at `index` of the tree."""
    _need_subtree(start, end)
    check_inclusion(index - start, end - start, leaf, subtree, proof)


def _proof_spans(start: int, end: int, lo: int, hi: int) -> list[Span]:
    """The intervals whose hashes make the proof of [start, end) in the valid subtree [lo, hi), innermost first."""
    _need_size(hi)
    if not lo <= start <= end <= hi:
        raise Malformed(f"interval: expected one within [{lo}, {hi}), found [{start}, {end})")
    _need_subtree(start, end)
    spans: list[Span] = []
    whole = True  # [start, end) is what is proven, and not its right end behind a known left part
    while start < end and (start, end) != (lo, hi):
        middle = lo + (1 << (hi - lo - 1).bit_length() - 1)
        if end <= middle:
            spans.append((middle, hi))
            hi = middle
        else:
            spans.append((lo, middle))
            whole = whole and start >= middle
            start, lo = max(start, middle), middle
    if not whole:
        spans.append((lo, hi))
    return spans[::-1]


def _climb(first: int, last: int, top: int, subtree: Hash, proof: Sequence[Hash]) -> tuple[Hash, Hash] | None:
    """From the subtree [first, last] to the tree [0, top], all bounds inclusive: (subtree hash, root), or None.

    `first` = `last`: the node is still inside the subtree. `last` = `top`: it is on the right edge of the tree, where
    a node without a sibling rises as it is. `top` = 0: we are at the root.
    """
    edge = last == top
    while first != last and (edge or last & 1):
        first, last, top = first >> 1, last >> 1, top >> 1
    if first != last and not proof:
        return None
    # A subtree that is a node of the tree is where the path starts; of any other, the proof gives a first part.
    start, siblings = (subtree, proof) if first == last else (proof[0], proof[1:])
    ours = whole = start
    for sibling in siblings:
        if top == 0:
            return None
        if last & 1 or last == top:
            if first < last:
                ours = node_hash(sibling, ours)
            whole = node_hash(sibling, whole)
            while not last & 1:
                first, last, top = first >> 1, last >> 1, top >> 1
        else:
            whole = node_hash(whole, sibling)
        first, last, top = first >> 1, last >> 1, top >> 1
    return (ours, whole) if top == 0 else None


def _join(hashes: Sequence[Hash]) -> Hash:
    """Root over complete subtrees that shrink from left to right."""
    if not hashes:
        return EMPTY
    *rest, result = hashes
    for left in reversed(rest):
        result = node_hash(left, result)
    return result


def _need_hashes(hashes: Sequence[Hash]) -> None:
    for value in hashes:
        if len(value) != HASH_BYTES:
            raise Malformed(f"hash: expected {HASH_BYTES} bytes, found {len(value)}")


def _need_size(size: int, what: str = "size") -> None:
    if not 0 <= size <= MAX_SIZE:
        raise Malformed(f"{what}: expected 0 to 2^63 - 1, found {size}")


def _need_subtree(start: int, end: int, size: int = MAX_SIZE) -> None:
    if not 0 <= start <= end <= size:
        raise Malformed(f"interval: expected 0 <= start <= end <= {size}, found [{start}, {end})")
    if start % (1 << max(end - start - 1, 0).bit_length()):
        raise Malformed(f"subtree: expected a start that is a multiple of its size rounded up, found [{start}, {end})")
