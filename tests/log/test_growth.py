# SPDX-License-Identifier: Apache-2.0
"""The right edge, the files of a commit, and the bundle they are staged in."""

from __future__ import annotations

import contextlib
import re
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pausectl.errors import Malformed
from pausectl.history.tiles import Tiles
from pausectl.log import growth, stage
from pausectl.log.growth import EMPTY_EDGE, grow, load, partials, superseded
from pausectl.wire import merkle, tile
from pausectl.wire.checkpoint import Checkpoint


def golden_entries(count: int) -> list[bytes]:
    return [b"golden-%d" % index for index in range(count)]


def test_the_two_entries_of_the_example():
    edge, files = grow(EMPTY_EDGE, golden_entries(2))
    assert files["tile/entries/000.p/2"].hex() == "0008676f6c64656e2d300008676f6c64656e2d31"
    assert files["tile/0/000.p/2"].hex().startswith("98829286b36f66ce")
    assert sorted(files) == ["tile/0/000.p/2", "tile/entries/000.p/2"]
    assert edge.root.hex() == "5f0fcdef0d81f7ec2e0d834dfe6cdde0ac831cc522a7894d029a2636d9c5ff0c"


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 600])
def test_the_files_of_go_byte_for_byte(golden, size, tmp_path):
    """One commit of everything writes what Tessera wrote."""
    folder, _, _ = golden
    with tarfile.open(folder / f"log-size{size}.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    root = tmp_path / f"size{size}"
    theirs = {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}
    theirs.pop("checkpoint")
    assert grow(EMPTY_EDGE, golden_entries(size))[1] == theirs


@given(st.lists(st.integers(0, 700), max_size=6))
def test_growing_in_steps_gives_the_files_of_each_size_and_the_root(steps):
    edge, shelf, entries = EMPTY_EDGE, {}, []
    for step in steps:
        since = len(entries)
        fresh = [b"entry-%d" % index for index in range(since, since + step)]
        entries += fresh
        edge, files = grow(edge, fresh)
        shelf |= files
        expected = [*tile.tiles_for(len(entries), since), *tile.bundles_for(len(entries), since)]
        assert set(files) == {place.path for place in expected}
        assert edge.size == len(entries)
        assert edge.root == merkle.root([merkle.leaf_hash(entry) for entry in entries])
        tiles = Tiles(shelf.__getitem__, edge.size, edge.root)
        read = [entry for bundle in tile.bundles_for(edge.size) for entry in tiles.bundle(bundle)]
        assert read == entries
        assert load(tiles).root == edge.root
        trimmed = load(tiles)
        assert (trimmed.peaks, trimmed.entries) == (edge.peaks, edge.entries)
        assert [level for level in trimmed.levels if level] == [level for level in edge.levels if level]


def test_an_entry_that_no_bundle_can_hold_is_refused():
    assert grow(EMPTY_EDGE, [bytes(65_535)])[0].size == 1
    with pytest.raises(Malformed, match="65535"):
        grow(EMPTY_EDGE, [bytes(65_536)])


def test_partials_of_a_size():
    assert partials(0) == set()
    assert partials(256) == {"tile/1/000.p/1"}
    assert partials(70_000) == {"tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1", "tile/entries/273.p/112"}


def test_superseded_is_what_no_kept_size_needs():
    assert superseded([257], [258]) == {"tile/0/001.p/1", "tile/entries/001.p/1"}
    assert superseded([258], [258 + 256 * 256]) == {"tile/0/001.p/2", "tile/entries/001.p/2", "tile/1/000.p/1"}
    assert superseded([], [1]) == set()


paths = st.builds(tile.tile_path, st.integers(0, 63), st.integers(0, 2**64 - 1), st.integers(1, 256))


@given(st.dictionaries(paths, st.binary(max_size=40), max_size=5))
def test_a_staged_bundle_reads_back_in_order(files):
    assert list(stage.parse(stage.format(files)).items()) == list(files.items())


@given(st.binary(max_size=60), st.integers(0, 90), st.integers(0, 255))
def test_a_damaged_bundle_is_malformed_and_nothing_else(junk, at, value):
    good = bytearray(stage.format({"tile/0/000.p/1": bytes(32), "tile/entries/000.p/1": b"\0\1x"}))
    good[at % len(good)] = value
    for raw in (bytes(good), bytes(good[:at]), bytes(good) + junk, stage.format({}) + junk):
        with contextlib.suppress(Malformed):
            assert stage.format(stage.parse(raw)) == raw


def test_a_bundle_has_the_name_of_the_tree_it_completes():
    assert stage.name(Checkpoint("a", 2, bytes(31) + b"\xff")) == "2-" + "00" * 31 + "ff"
    assert growth.EMPTY_EDGE.root == merkle.EMPTY


def test_the_staged_bundle_of_the_specification():
    page = (Path(__file__).parents[2] / "specs" / "log.md").read_text()
    name, raw = re.search(r"`(2-[0-9a-f]{64})`:\n\n```\n([0-9a-f\n]+)```", page).groups()
    edge, files = grow(EMPTY_EDGE, golden_entries(2))
    assert stage.parse(bytes.fromhex(raw)) == files
    assert stage.name(Checkpoint("pause.example/golden", 2, edge.root)) == name
