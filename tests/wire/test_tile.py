# SPDX-License-Identifier: Apache-2.0
"""Tiles and bundles against seven logs that Tessera wrote, and against the counts of the specification."""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import re
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pausectl.errors import Malformed
from pausectl.wire import checkpoint, keys, merkle, note, tile
from pausectl.wire.tile import Bundle, Tile

Shared = Callable[[str], Path]


def unpack(path: Path) -> dict[str, bytes]:
    """Relative path → bytes of a tile log in a .tar.gz."""
    files = {}
    with tarfile.open(fileobj=io.BytesIO(path.read_bytes())) as archive:
        for member in archive:
            if member.isfile():
                content = archive.extractfile(member)
                assert content is not None
                files[member.name.partition("/")[2]] = content.read()
    return files


def write(entries: Sequence[bytes]) -> dict[str, bytes]:
    """All tiles and bundles of a log of `entries`, by path."""
    level = [merkle.leaf_hash(entry) for entry in entries]
    hashes = []
    while level:
        hashes.append(level)
        level = [merkle.root(level[i : i + 256]) for i in range(0, len(level) // 256 * 256, 256)]
    files = {}
    for place in tile.tiles_for(len(entries)):
        files[place.path] = tile.format_hashes(hashes[place.level][256 * place.index :][: place.width])
    for bundle in tile.bundles_for(len(entries)):
        files[bundle.path] = tile.format_bundle(entries[256 * bundle.index :][: bundle.width])
    return files


def fetch(files: dict[str, bytes]) -> Callable[[Tile], bytes]:
    return lambda place: files[place.path]


def log_key(folder: Path) -> note.VerifierKey:
    return note.parse_vkey((folder / "log.vkey").read_text().strip())


def log_signer(folder: Path) -> keys.PrivateKey:
    """Go's form, `PRIVATE+KEY+<name>+<id>+<base64 of type and seed>`; base64 has plus signs too."""
    text = (folder / "log.skey.TEST-ONLY").read_text().strip()
    return keys.PrivateKey.from_seed(keys.ED25519, keys.unbase64(text.split("+", 4)[4])[1:])


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 600])
def test_we_write_what_tessera_wrote(shared: Shared, size: int) -> None:
    folder = shared("vectors/golden-go")
    entries = [b"golden-%d" % i for i in range(size)]
    ours = write(entries)
    root = merkle.root([merkle.leaf_hash(entry) for entry in entries])
    claim = checkpoint.Checkpoint("pause.example/golden", size, root)
    ours["checkpoint"] = note.format(checkpoint.sign(claim, log_signer(folder)))
    assert ours == unpack(folder / f"log-size{size}.tar.gz")


def test_we_read_the_70000_entries_that_tessera_wrote(shared: Shared) -> None:
    folder = shared("vectors/golden-go")
    files = unpack(folder / "log-size70000.tar.gz")
    claim, _ = checkpoint.open(files["checkpoint"], log_key(folder))
    bundles = list(tile.bundles_for(claim.size))
    entries = [entry for bundle in bundles for entry in tile.parse_bundle(files[bundle.path], bundle.width)]
    assert sorted(entries) == sorted(b"golden-%d" % i for i in range(70000))
    assert merkle.root([merkle.leaf_hash(entry) for entry in entries]) == claim.root
    assert write(entries) | {"checkpoint": files["checkpoint"]} == files
    assert len(files) == 552
    read = tile.hash_reader(claim.size, fetch(files))
    for index in (0, 255, 35_000, 65_535, 65_536, 69_887, 69_999):
        proof = merkle.prove_inclusion(index, claim.size, read)
        merkle.check_inclusion(index, claim.size, merkle.leaf_hash(entries[index]), claim.root, proof)
    for old in (1, 256, 600, 65_536, 69_999):
        root = merkle.root([merkle.leaf_hash(entry) for entry in entries[:old]])
        proof = merkle.prove_consistency(old, claim.size, read)
        merkle.check_consistency(old, root, claim.size, claim.root, proof)


def test_each_golden_log_grows_into_the_next(shared: Shared) -> None:
    folder = shared("vectors/golden-go")
    sizes = (1, 2, 255, 256, 257, 600)
    logs = {size: unpack(folder / f"log-size{size}.tar.gz") for size in sizes}
    claims = {size: checkpoint.open(logs[size]["checkpoint"], log_key(folder))[0] for size in sizes}
    for size in sizes:
        read = tile.hash_reader(size, fetch(logs[size]))
        assert merkle.subtree_root(0, size, read) == claims[size].root
        for old in sizes:
            if old <= size:
                proof = merkle.prove_consistency(old, size, read)
                merkle.check_consistency(old, claims[old].root, size, claims[size].root, proof)


def test_the_counts_of_the_specification(shared: Shared) -> None:
    # TILE-2
    example = json.loads(shared("vectors/c2sp-examples/examples.json").read_text())["tlog-tiles"]
    assert tile.tile_path(0, 1_234_067) == "tile/0/" + example["index 1234067"]
    (full0, part0), (full1, part1), (full2, part2) = tile.widths(70_000)
    assert example["size 70000"] == {
        "full_level0": full0,
        "partial_level0": part0,
        "full_level1": full1,
        "partial_level1": part1,
        "partial_level2": part2,
    }
    assert full2 == 0
    assert tile.widths(256) == ((1, 0), (0, 1))
    assert list(tile.tiles_for(256)) == [Tile(0, 0), Tile(1, 0, 1)]
    assert tile.widths(0) == ()
    assert len(tile.widths(2**63 - 1)) == 8


def test_the_example_of_the_module() -> None:
    entries = [b"golden-0", b"golden-1"]
    files = write(entries)
    lines = [line.split(None, 1) for line in (inspect.getdoc(tile) or "").splitlines() if re.match(" +tile/", line)]
    assert [path for path, _ in lines] == list(files) == ["tile/0/000.p/2", "tile/entries/000.p/2"]
    assert bytes.fromhex(lines[1][1]) == files["tile/entries/000.p/2"]
    for short, value in zip(re.findall("([0-9a-f]{8})…([0-9a-f]{6})", lines[0][1]), entries, strict=True):
        assert (merkle.leaf_hash(value).hex()[:8], merkle.leaf_hash(value).hex()[-6:]) == short


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("tile/0/000", Tile(0, 0)),
        ("tile/63/x001/x234/067.p/8", Tile(63, 1_234_067, 8)),
        ("tile/entries/999.p/255", Bundle(999, 255)),
        ("tile/entries/x001/000", Bundle(1000)),
        ("tile/7/x018/x446/x744/x073/x709/x551/615", Tile(7, 2**64 - 1)),
    ],
)
def test_paths(path: str, place: Tile | Bundle) -> None:
    assert tile.parse_path(path) == place
    assert place.path == path
    assert place.full.path == path.partition(".p")[0]


@pytest.mark.parametrize(
    "path",
    [
        "",
        "checkpoint",
        "/tile/0/000",
        "tile/0/000/",
        "tile/0/000\n",
        "tile/0/../0/000",
        "tile/0/%30%30%30",
        "tile/0//000",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/data/000",
        "tile/0/0",
        "tile/0/x000/001",
        "tile/0/001/002",
        "tile/0/x001",
        "tile/0/X001/002",
        "tile/0/٠٠٠",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/",
        "tile/0/000.p",
        "tile/0/x018/x446/x744/x073/x709/x551/616",
        "tile/0/x001/x001/x001/x001/x001/x001/x001/001",
        "tile/entries/x000/000",
        "tile/8/0/000",
    ],
)
def test_paths_that_are_not_the_one_encoding(path: str) -> None:
    # TILE-1
    with pytest.raises(Malformed):
        tile.parse_path(path)


places = st.tuples(st.integers(0, 2**64 - 1), st.integers(1, 256))


@given(st.integers(0, 63), places)
def test_every_place_has_a_path(level: int, place: tuple[int, int]) -> None:
    assert tile.parse_path(tile.tile_path(level, *place)) == Tile(level, *place)
    assert tile.parse_path(tile.bundle_path(*place)) == Bundle(*place)


@given(st.text(alphabet="tile/entries0123456789x.p-\n", max_size=40))
def test_any_path_is_canonical_or_malformed(path: str) -> None:
    for candidate in (path, f"tile/0/{path}", f"tile/entries/{path}", f"tile/{path}"):
        with contextlib.suppress(Malformed):
            assert tile.parse_path(candidate).path == candidate


def test_places_without_a_path() -> None:
    for level, index, width in ((-1, 0, 1), (64, 0, 1), (0, -1, 1), (0, 2**64, 1), (0, 0, 0), (0, 0, 257)):
        with pytest.raises(Malformed):
            tile.tile_path(level, index, width)
    with pytest.raises(Malformed):
        tile.bundle_path(0, 0)


@given(st.integers(0, 200_000), st.integers(0, 200_000))
def test_what_is_new_is_what_was_not_there(one: int, other: int) -> None:
    since, size = sorted((one, other))
    assert set(tile.tiles_for(size, since)) == set(tile.tiles_for(size)) - set(tile.tiles_for(since))
    assert set(tile.bundles_for(size, since)) == set(tile.bundles_for(size)) - set(tile.bundles_for(since))


@given(st.integers(1, 70_000), st.data())
def test_a_located_subtree_is_in_a_tile_that_exists(size: int, data: st.DataObject) -> None:
    level = data.draw(st.integers(0, size.bit_length() - 1))
    index = data.draw(st.integers(0, (size >> level) - 1))
    place, part = tile.locate(level, index, size)
    assert place in set(tile.tiles_for(size))
    assert part.stop <= place.width
    first_level, first = place.node(part.start)
    last_level, last = place.node(part.stop - 1)
    assert first_level == last_level
    assert first << first_level == index << level
    assert last + 1 << last_level == index + 1 << level


def test_subtrees_that_are_not_complete_are_nowhere() -> None:
    for level, index, size in ((0, 5, 5), (2, 1, 7), (0, -1, 5), (-1, 0, 5), (3, 0, 7)):
        with pytest.raises(Malformed):
            tile.locate(level, index, size)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=256))
def test_bundles_round_trip(entries: list[bytes]) -> None:
    # TILE-4
    data = tile.format_bundle(entries)
    assert tile.parse_bundle(data, len(entries)) == tuple(entries)
    for width in {1, len(entries) - 1, len(entries) + 1, 256} - {0, 257, len(entries)}:
        with pytest.raises(Malformed):
            tile.parse_bundle(data, width)
    for wrong in (data[:-1], data + b"\0"):
        with pytest.raises(Malformed):
            tile.parse_bundle(wrong, len(entries))


@given(st.binary(max_size=64), st.integers(-1, 258))
def test_any_bytes_are_a_bundle_of_this_width_or_malformed(data: bytes, width: int) -> None:
    with contextlib.suppress(Malformed):
        assert tile.format_bundle(tile.parse_bundle(data, width)) == data


def test_an_entry_has_at_most_65535_bytes() -> None:
    # TILE-5
    longest = bytes(65_535)
    assert tile.parse_bundle(tile.format_bundle([longest, b""]), 2) == (longest, b"")
    with pytest.raises(Malformed):
        tile.format_bundle([longest + b"\0"])
    for entries in ([], [b""] * 257):
        with pytest.raises(Malformed):
            tile.format_bundle(entries)


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=256))
def test_hashes_round_trip(hashes: list[bytes]) -> None:
    # TILE-3
    data = tile.format_hashes(hashes)
    assert tile.parse_hashes(data, len(hashes)) == tuple(hashes)
    for wrong, width in ((data[:-1], len(hashes)), (data + bytes(32), len(hashes)), (data, len(hashes) + 1)):
        with pytest.raises(Malformed):
            tile.parse_hashes(wrong, width)


def test_hashes_that_only_add_up_to_a_tile() -> None:
    for hashes in ([bytes(31), bytes(33)], [], [bytes(32)] * 257):
        with pytest.raises(Malformed):
            tile.format_hashes(hashes)


def sound(files: dict[str, bytes], size: int, root: bytes) -> bool:
    """Entries make the leaves, full tiles make the tiles above, and all together make the root."""
    try:
        hashes = {place: tile.parse_hashes(files[place.path], place.width) for place in tile.tiles_for(size)}
        bundles = [tile.parse_bundle(files[place.path], place.width) for place in tile.bundles_for(size)]
    except Malformed:
        return False
    leaves = [merkle.leaf_hash(entry) for entries in bundles for entry in entries]
    nodes = {place.node(i): value for place, values in hashes.items() for i, value in enumerate(values)}
    joins = all(
        nodes[place.level * 8 + 8, place.index] == merkle.root(values)
        for place, values in hashes.items()
        if place.width == 256
    )
    leads = merkle.subtree_root(0, size, tile.hash_reader(size, fetch(files))) == root
    return joins and leads and leaves == [nodes[0, i] for i in range(size)]


GOLDEN = [b"golden-%d" % i for i in range(600)]


@given(st.data())
def test_a_bit_changed_in_any_tile_or_bundle_is_found(data: st.DataObject) -> None:
    files = write(GOLDEN)
    root = merkle.root([merkle.leaf_hash(entry) for entry in GOLDEN])
    assert sound(files, 600, root)
    path = data.draw(st.sampled_from(sorted(files)))
    changed = bytearray(files[path])
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert not sound(files | {path: bytes(changed)}, 600, root)
