# SPDX-License-Identifier: Apache-2.0
"""The examples of specs/ledger.md are what they say they are."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from pausectl.wire import checkpoint, cosignature, keys, merkle, note, tile, witness

PAGE = (Path(__file__).resolve().parents[2] / "specs" / "ledger.md").read_text(encoding="utf-8")

SECTIONS = dict(re.findall(r"^(# .*?|## .*?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def blocks(title: str) -> list[str]:
    return re.findall(r"^```\n(.*?)^```$", SECTIONS[title], re.MULTILINE | re.DOTALL)


CHECKPOINT, VKEYS, BUNDLE, TILE = blocks("# The ledger")
LOG, WITNESS = map(note.parse_vkey, VKEYS.splitlines())


def test_the_whole_ledger_verifies() -> None:
    claim, signed = checkpoint.open(CHECKPOINT.encode(), LOG)
    assert cosignature.cosignatures(signed, [WITNESS]) == {"witness.example/ed": 1795312863}
    assert [place.path for place in tile.tiles_for(claim.size)] == ["tile/0/000.p/2"]
    assert [place.path for place in tile.bundles_for(claim.size)] == ["tile/entries/000.p/2"]
    entries = tile.parse_bundle(bytes.fromhex(BUNDLE), 2)
    assert entries == (b"golden-0", b"golden-1")
    hashes = tile.parse_hashes(bytes.fromhex(TILE), 2)
    assert hashes == tuple(map(merkle.leaf_hash, entries))
    assert merkle.root(hashes) == claim.root


def test_the_hashes_of_the_tree() -> None:
    first, second, two, none = map(bytes.fromhex, re.findall("[0-9a-f]{64}", blocks("## The tree")[0]))
    assert (first, second) == tuple(map(merkle.leaf_hash, (b"golden-0", b"golden-1")))
    assert (two, none) == (merkle.node_hash(first, second), merkle.EMPTY)


def listed(start: int, end: int, size: int, subtree: bytes, root: bytes, proof: list[bytes]) -> bool:  # noqa: C901
    """The verification that the page lists, line by line."""

    def node(left: bytes, right: bytes) -> bytes:
        return hashlib.sha256(b"\x01" + left + right).digest()

    rest = list(proof)
    first, last, top = start, end - 1, size - 1
    if last == top:
        while first != last:
            first, last, top = first >> 1, last >> 1, top >> 1
    else:
        while not (first == last or last % 2 == 0):
            first, last, top = first >> 1, last >> 1, top >> 1
    if first != last and not rest:
        return False
    ours = whole = subtree if first == last else rest.pop(0)
    for value in rest:
        if top == 0:
            return False
        if last % 2 or last == top:
            if first < last:
                ours = node(value, ours)
            whole = node(value, whole)
            while last % 2 == 0:
                first, last, top = first >> 1, last >> 1, top >> 1
        else:
            whole = node(whole, value)
        first, last, top = first >> 1, last >> 1, top >> 1
    return top == 0 and ours == subtree and whole == root


@pytest.mark.parametrize("size", range(1, 20))
def test_the_listed_verification_accepts_what_is_proven(size: int) -> None:
    leaves = [merkle.leaf_hash(bytes([i])) for i in range(size)]

    def read(level: int, index: int) -> bytes:
        return merkle.root(leaves[index << level : index + 1 << level])

    for end in range(1, size + 1):
        for start in range(end):
            if start % (1 << (end - start - 1).bit_length()):
                continue
            subtree, root = merkle.root(leaves[start:end]), merkle.root(leaves)
            proof = list(merkle.prove_subtree(start, end, size, read))
            assert listed(start, end, size, subtree, root, proof)
            assert not listed(start, end, size, subtree, root, [*proof, root])
            assert not listed(start, end, size, merkle.EMPTY, root, proof)


def test_the_note_and_its_key() -> None:
    text, vkey = blocks("## Signed notes")
    assert note.open(note.parse(text.encode()), [note.parse_vkey(vkey.strip())])


def test_the_text_of_the_checkpoint() -> None:
    (text,) = blocks("## Checkpoints")
    assert text == note.parse(CHECKPOINT.encode()).text
    assert checkpoint.format(checkpoint.parse(text)) == text


def test_the_cosignature_taken_apart() -> None:
    line = note.parse(CHECKPOINT.encode()).signatures[1]
    message, _ = blocks("## Cosignatures")
    assert cosignature.message(note.parse(CHECKPOINT.encode()).text, 1795312863).decode() == message
    assert WITNESS.public.verify(message.encode(), line.payload[8:])
    cells = dict(re.findall(r"^\| ([a-z ]+) \| `(.*?)`", SECTIONS["## Cosignatures"], re.MULTILINE))
    assert cells["key name"] == line.name
    assert cells["key id"] == line.key_id.hex()
    assert cells["time"] == line.payload[:8].hex()
    start, end = cells["signature"].replace(" ", "").split("…")
    assert line.payload[8:].hex().startswith(start)
    assert line.payload.hex().endswith(end)


def test_the_exchange_with_a_witness() -> None:
    body, answer, conflict = (block.encode() for block in blocks("## Add-checkpoint"))
    request = witness.parse_request(body)
    assert witness.format_request(request) == body
    entry = merkle.leaf_hash(b"golden-0")
    merkle.check_consistency(request.old_size, entry, 2, request.checkpoint.root, request.proof)
    whole = note.add(request.signed, witness.parse_response(answer))
    assert note.format(whole).decode() == CHECKPOINT
    assert witness.parse_conflict(conflict) == 2


def test_numbers_of_the_text() -> None:
    assert keys.unbase64("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=") == merkle.EMPTY
    assert "`x001/x234/067`" in PAGE
    assert tile.tile_path(0, 1234067) == "tile/0/x001/x234/067"
    assert tile.widths(70_000) == ((273, 112), (1, 17), (0, 1))
