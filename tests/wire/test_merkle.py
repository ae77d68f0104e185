# SPDX-License-Identifier: Apache-2.0
"""The tree against transparency-dev/merkle, golang.org/x/mod and the IETF draft, and against the text of the RFC."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pausectl.errors import Forged, Malformed
from pausectl.wire import merkle
from pausectl.wire.keys import unbase64
from pausectl.wire.merkle import EMPTY, MAX_SIZE, Range

Shared = Callable[[str], Path]

LEAVES = [merkle.leaf_hash(b"leaf-%d" % i) for i in range(1101)]


def mth(leaves: Sequence[bytes]) -> bytes:
    """RFC 9162 section 2.1.1, word for word."""
    if len(leaves) <= 1:
        return leaves[0] if leaves else EMPTY
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def reader(leaves: Sequence[bytes]) -> merkle.Read:
    """`read` over leaf hashes in memory, which refuses whatever is not a complete subtree of them."""

    def read(level: int, index: int) -> bytes:
        assert 0 <= index < index + 1 << level <= len(leaves)
        return mth(leaves[index << level : index + 1 << level])

    return read


def even(level: int, _index: int) -> bytes:
    """`read` of the endless tree of equal leaves, in which any size can be proven."""
    value = LEAVES[0]
    for _ in range(level):
        value = merkle.node_hash(value, value)
    return value


def accepts(check: Callable[..., None], *arguments: Any) -> bool:
    try:
        check(*arguments)
    except (Malformed, Forged):
        return False
    return True


# --- other people's vectors


def probes(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(folder.rglob("*.json")):
        probe = json.loads(path.read_text())
        if "wantErr" in probe:
            yield str(path.relative_to(folder)), probe


#: Must verify according to the library, with stand-ins of 12 bytes where hashes should be.
TWELVE_BYTES = {
    f"{name}-proof-is-empty.json"
    for name in (
        "consistency/additional/sizes-are-equal-one-and",
        "subtreeconsistency/additional/sizes-are-equal-one-and",
        "subtreeconsistency/additional/subtree-is-empty-sizes-are-equal-one-subtree-root-valid-tree-root-random",
        "subtreeconsistency/additional/subtree-is-empty-sizes-are-equal-zero-subtree-root-valid-tree-root-random",
    )
}


def verifies(name: str, probe: dict[str, Any], hash_of: Callable[[str], bytes]) -> bool:
    proof = [hash_of(text) for text in probe["proof"] or ()]
    leaf, root, old, new = (
        hash_of(probe[key]) if key in probe else b"" for key in ("leafHash", "root", "root1", "root2")
    )
    match name.partition("/")[0]:
        case "inclusion":
            return accepts(merkle.check_inclusion, probe["leafIdx"], probe["treeSize"], leaf, root, proof)
        case "consistency":
            return accepts(merkle.check_consistency, probe["size1"], old, probe["size2"], new, proof)
        case "subtreeinclusion":
            place = probe["leafIdx"], probe["start"], probe["end"]
            return accepts(merkle.check_subtree_inclusion, *place, leaf, root, proof)
        case "subtreeconsistency":
            return accepts(merkle.check_subtree, probe["start"], probe["end"], probe["size"], old, new, proof)
    raise AssertionError(name)


def test_every_probe_of_transparency_dev(shared: Shared) -> None:
    # TREE-2, TREE-3, TREE-4
    found = dict(probes(shared("vectors/merkle")))
    wrong = {name for name, probe in found.items() if verifies(name, probe, unbase64) == probe["wantErr"]}
    assert len(found) == 518
    assert wrong == TWELVE_BYTES


def test_every_probe_with_stand_ins_widened_to_hashes(shared: Shared) -> None:
    """The length check must not be what decides, except where the probe is about length (0 bytes, truncation)."""

    def widened(text: str) -> bytes:
        raw = unbase64(text)
        return hashlib.sha256(raw).digest() if raw.startswith(b"don't care") else raw

    found = dict(probes(shared("vectors/merkle")))
    assert [name for name, probe in found.items() if verifies(name, probe, widened) == probe["wantErr"]] == []


@pytest.mark.parametrize(
    "name",
    [
        "inclusion/single-entry/empty-root-and-leaf.json",
        "subtreeinclusion/single-entry/empty-root-and-leaf.json",
        "subtreeinclusion/single-entry/empty-root-and-leaf-subtree.json",
        "consistency/additional/roots-do-not-match-and-sizes-are-zero.json",
        "consistency/additional/size1-is-zero-and-size2-is-not-zero.json",
    ],
)
def test_the_five_probes_that_a_transcription_of_the_rfc_accepts(shared: Shared, name: str) -> None:
    probe = json.loads((shared("vectors/merkle") / name).read_text())
    assert not verifies(name, probe, unbase64)


def naive_cover(start: int, end: int) -> list[tuple[int, int]]:
    """From every position, the largest aligned power of two that fits, found by trying."""
    cover = []
    while start < end:
        level = max(level for level in range(64) if start % (1 << level) == 0 and start + (1 << level) <= end)
        cover.append((level, start >> level))
        start += 1 << level
    return cover


def test_ranges_of_the_fuzz_corpus_fall_into_complete_subtrees(shared: Shared) -> None:
    files = sorted(shared("vectors/merkle/fuzzcorpus/FuzzRangeNodes").iterdir())
    assert len(files) == 19
    for path in files:
        start, end = map(int, re.findall(r"uint64\((\d+)\)", path.read_text()))
        if start <= end:
            assert list(merkle.complete_subtrees(start, end)) == naive_cover(start, end)
        else:
            with pytest.raises(Malformed):
                list(merkle.complete_subtrees(start, end))


def test_roots_and_proofs_of_golang_mod(shared: Shared) -> None:
    # TREE-1
    vectors = json.loads(shared("vectors/golden-go/rfc6962_trees_xmod.json").read_text())
    roots = {int(size): unbase64(root) for size, root in vectors["roots"].items()}
    assert sorted(roots) == list(range(1101))
    growing = Range()
    for size in range(1101):
        assert merkle.root(LEAVES[:size]) == growing.root() == roots[size]
        growing.append(LEAVES[size])
    read = reader(LEAVES[:1100])
    for case in vectors["inclusion"]:
        index, size, proof = case["index"], case["size"], tuple(map(unbase64, case["proof"]))
        assert merkle.prove_inclusion(index, size, read) == proof
        merkle.check_inclusion(index, size, LEAVES[index], roots[size], proof)
    for case in vectors["consistency"]:
        old, size, proof = case["old"], case["size"], tuple(map(unbase64, case["proof"]))
        assert merkle.prove_consistency(old, size, read) == proof
        merkle.check_consistency(old, roots[old], size, roots[size], proof)
    assert len(vectors["inclusion"]) == len(vectors["consistency"]) == 430


def valid(start: int, end: int) -> bool:
    return start % (1 << max(end - start - 1, 0).bit_length()) == 0


def test_every_subtree_up_to_130_of_the_ietf_draft(shared: Shared) -> None:
    vectors = json.loads(shared("vectors/mtc-subtree/accumulated.json").read_text())
    n = vectors["max_size"]
    leaves = [merkle.leaf_hash(bytes([i])) for i in range(n)]
    known = {(0, i): leaf for i, leaf in enumerate(leaves)}
    for level in range(1, n.bit_length()):
        for i in range(n >> level):
            known[level, i] = merkle.node_hash(known[level - 1, 2 * i], known[level - 1, 2 * i + 1])

    def read(level: int, index: int) -> bytes:
        return known[level, index]

    spans = [(start, end) for end in range(n + 1) for start in range(end + 1)]
    subtrees = [span for span in spans if valid(*span)]
    lines: dict[str, list[str]] = {
        "subtree_hashes": [f"[{s}, {e}) {merkle.subtree_root(s, e, read).hex()}" for s, e in subtrees],
        "subtree_inclusion_proofs": [
            " ".join((f"{i} [{s}, {e})", *(h.hex() for h in merkle.prove_subtree_inclusion(i, s, e, read))))
            for s, e in subtrees
            for i in range(s, e)
        ],
        "subtree_consistency_proofs": [
            " ".join((f"[{s}, {e}) {size}", *(h.hex() for h in merkle.prove_subtree(s, e, size, read))))
            for size in range(n + 1)
            for s, e in subtrees
            if e <= size
        ],
        "covering_subtrees": [
            "[{}, {}) [{}, {})".format(*(bound for span in merkle.covering_subtrees(s, e) for bound in span))
            for s, e in spans
        ],
    }
    for kind, expected in vectors["expected"].items():
        text = "".join(f"{line}\n" for line in lines[kind])
        assert hashlib.sha256(text.encode()).hexdigest() == expected, kind


# --- our own


def test_the_example_of_the_module() -> None:
    hashes = re.findall("[0-9a-f]{64}", inspect.getdoc(merkle) or "")
    first, second, root = map(bytes.fromhex, hashes)
    assert [merkle.leaf_hash(b"golden-0"), merkle.leaf_hash(b"golden-1")] == [first, second]
    assert merkle.root([first, second]) == root


@given(st.integers(0, 300), st.data())
def test_what_is_proven_is_accepted_and_read_as_announced(size: int, data: st.DataObject) -> None:
    end = data.draw(st.integers(0, size))
    start = data.draw(st.sampled_from([s for s in range(end + 1) if valid(s, end)]))
    asked: list[tuple[int, int]] = []
    plain = reader(LEAVES[:size])

    def read(level: int, index: int) -> bytes:
        asked.append((level, index))
        return plain(level, index)

    proof = merkle.prove_subtree(start, end, size, read)
    assert tuple(asked) == merkle.subtree_coordinates(start, end, size)
    subtree, root = mth(LEAVES[start:end]), mth(LEAVES[:size])
    assert merkle.subtree_root(start, end, plain) == subtree
    merkle.check_subtree(start, end, size, subtree, root, proof)
    if start < end:
        index = data.draw(st.integers(start, end - 1))
        inner = merkle.prove_subtree_inclusion(index, start, end, plain)
        merkle.check_subtree_inclusion(index, start, end, LEAVES[index], subtree, inner)


@given(st.integers(2, 300), st.data())
def test_a_proof_changed_anywhere_is_forged(size: int, data: st.DataObject) -> None:
    # TREE-4
    read = reader(LEAVES[:size])
    end = data.draw(st.integers(1, size))
    start = data.draw(st.sampled_from([s for s in range(end) if valid(s, end)]))
    hashes = [mth(LEAVES[start:end]), mth(LEAVES[:size]), *merkle.prove_subtree(start, end, size, read)]
    at, byte = data.draw(st.integers(0, len(hashes) - 1)), data.draw(st.integers(0, 31))
    changed = bytearray(hashes[at])
    changed[byte] ^= data.draw(st.integers(1, 255))
    proof = tuple(hashes[2:])
    for subtree, root, *wrong in (
        [*hashes[:at], bytes(changed), *hashes[at + 1 :]],
        [*hashes, LEAVES[0]],
        [*hashes[:2], LEAVES[0], *proof],
        [*hashes[:2], *proof[:-1]] if proof else [hashes[0], LEAVES[-1]],
    ):
        with pytest.raises(Forged):
            merkle.check_subtree(start, end, size, subtree, root, wrong)


def test_consistency_holds_for_no_other_pair_of_sizes() -> None:
    roots = [mth(LEAVES[:n]) for n in range(33)]
    read = reader(LEAVES[:32])
    for size in range(1, 33):
        for old in range(1, size):
            proof = merkle.prove_consistency(old, size, read)
            merkle.check_consistency(old, roots[old], size, roots[size], proof)
            assert not accepts(merkle.check_consistency, old, roots[old - 1], size, roots[size], proof)
            assert not accepts(merkle.check_consistency, old, roots[old], size, roots[size - 1], proof)


@pytest.mark.parametrize("size", [1, 2**62, 2**62 + 1, 2**63 - 1])
def test_the_largest_trees(size: int) -> None:
    root = merkle.subtree_root(0, size, even)
    for index in {0, size // 2, size - 1}:
        proof = merkle.prove_inclusion(index, size, even)
        assert len(proof) <= 63
        merkle.check_inclusion(index, size, LEAVES[0], root, proof)
    for old in {1, size // 2 + 1, size}:
        proof = merkle.prove_consistency(old, size, even)
        merkle.check_consistency(old, merkle.subtree_root(0, old, even), size, root, proof)


def test_wrong_shapes_are_malformed() -> None:
    # TREE-2, TREE-3
    root, leaf = mth(LEAVES[:8]), LEAVES[3]
    proof = merkle.prove_inclusion(3, 8, reader(LEAVES[:8]))
    for index, size in ((8, 8), (-1, 8), (0, 0), (3, -8), (3, 2**63)):
        with pytest.raises(Malformed):
            merkle.check_inclusion(index, size, leaf, root, proof)
        with pytest.raises(Malformed):
            merkle.prove_inclusion(index, size, even)
    for start, end in ((1, 3), (2, 5), (3, 2), (0, 9), (-2, 0)):
        with pytest.raises(Malformed):
            merkle.check_subtree(start, end, 8, leaf, root, proof)
        with pytest.raises(Malformed):
            merkle.prove_subtree(start, end, 8, even)
    for wrong in ((leaf[:31], root, proof), (leaf, root + b"0", proof), (leaf, root, (*proof[:2], b""))):
        with pytest.raises(Malformed):
            merkle.check_inclusion(3, 8, *wrong)
    with pytest.raises(Malformed):
        merkle.root([leaf, b""])
    pair = mth(LEAVES[1:3])  # no subtree, although a proof of what is in it can be made
    with pytest.raises(Malformed):
        merkle.check_subtree_inclusion(1, 1, 3, LEAVES[1], pair, [LEAVES[2]])


def test_nothing_follows_from_the_empty_tree() -> None:
    # TREE-5, TREE-6
    with pytest.raises(Malformed, match="old size above 0"):
        merkle.check_consistency(0, EMPTY, 5, mth(LEAVES[:5]), ())
    merkle.check_consistency(0, EMPTY, 0, EMPTY, ())
    with pytest.raises(Forged):
        merkle.check_consistency(0, EMPTY, 0, LEAVES[0], ())
    assert merkle.prove_consistency(0, 5, even) == ()


@given(st.integers(0, 200), st.integers(0, 100))
def test_a_range_goes_on_from_its_hashes(size: int, more: int) -> None:
    first = Range()
    first.extend(LEAVES[:size])
    assert (first.size, first.root()) == (size, mth(LEAVES[:size]))
    second = Range(first.size, first.hashes)
    second.extend(LEAVES[size : size + more])
    assert (second.size, second.root()) == (size + more, mth(LEAVES[: size + more]))
    assert first.size == size
    places = merkle.complete_subtrees(0, size)
    assert first.hashes == tuple(reader(LEAVES[:size])(level, index) for level, index in places)


def test_a_range_refuses_what_it_cannot_be() -> None:
    for size, hashes in ((3, LEAVES[:1]), (0, LEAVES[:1]), (1, [b"short"]), (2**63, LEAVES[:1])):
        with pytest.raises(Malformed):
            Range(size, hashes)
    full = Range(MAX_SIZE, LEAVES[:63])
    with pytest.raises(Malformed):
        full.append(LEAVES[0])
    with pytest.raises(Malformed):
        Range().append(b"")


@given(st.integers(0, MAX_SIZE))
def test_sizes_round_trip(size: int) -> None:
    assert merkle.parse_size(merkle.format_size(size)) == size


@pytest.mark.parametrize(
    "text",
    ["", "007", "+7", " 7", "7 ", "-7", "7\n", "0x7", "1_0", "٥", "²", "7.0", "00", str(2**63), str(2**64), "9" * 5000],
)
def test_numbers_that_are_not_decimal(text: str) -> None:
    with pytest.raises(Malformed):
        merkle.parse_size(text)


@given(st.text())
def test_any_text_is_a_size_or_malformed(text: str) -> None:
    with contextlib.suppress(Malformed):
        assert merkle.format_size(merkle.parse_size(text)) == text
