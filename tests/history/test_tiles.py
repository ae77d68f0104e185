# SPDX-License-Identifier: Apache-2.0
"""READ-2, READ-3, READ-4: no byte of a tree is used before it is checked; a wrong one ends the reading."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Mapping

import pytest

from pausectl.errors import Forged, Malformed, PausectlError, Unavailable
from pausectl.history.tiles import Tiles
from pausectl.wire import checkpoint, merkle, tile
from pausectl.wire.note import parse_vkey
from pausectl.wire.tile import Bundle, Tile


def grow(entries: list[bytes]) -> dict[str, bytes]:
    """Tiles and bundles by the books, from all hashes at once."""
    files = {}
    for bundle in tile.bundles_for(len(entries)):
        files[bundle.path] = tile.format_bundle(entries[bundle.index * 256 : bundle.index * 256 + bundle.width])
    level = [merkle.leaf_hash(entry) for entry in entries]
    for number, (full, partial) in enumerate(tile.widths(len(entries))):
        for index in range(full):
            files[Tile(number, index).path] = b"".join(level[index * 256 : index * 256 + 256])
        if partial:
            files[Tile(number, full, partial).path] = b"".join(level[full * 256 : full * 256 + partial])
        level = [merkle.root(level[i * 256 : i * 256 + 256]) for i in range(full)]
    return files


def source(files: Mapping[str, bytes]):
    def fetch(path: str) -> bytes:
        if path not in files:
            raise Unavailable("no such file", where=path)
        return files[path]

    return fetch


def read_all(files: Mapping[str, bytes], size: int, root: bytes) -> list[bytes]:
    tiles = Tiles(source(files), size, root)
    return [entry for bundle in tile.bundles_for(size) for entry in tiles.bundle(bundle)]


def some(count: int) -> list[bytes]:
    return [b"entry %d " % i + bytes(i % 40) for i in range(count)]


def root_of(entries: list[bytes]) -> bytes:
    return merkle.root([merkle.leaf_hash(entry) for entry in entries])


@pytest.mark.parametrize("size", [1, 2, 3, 255, 256, 257, 300, 511, 512, 513, 600])
def test_every_size_reads_back(size):
    entries = some(size)
    assert read_all(grow(entries), size, root_of(entries)) == entries


@pytest.mark.parametrize(("size", "step"), [(300, 4), (7, 1)])
def test_every_byte_of_every_file_is_the_logs(size, step):
    """Bytes of each hash tile and bundle, spread over all of it: nothing may be read as if nothing had happened."""
    entries = some(size)
    files, root = grow(entries), root_of(entries)
    for number, (path, data) in enumerate(files.items()):
        for place in range(number % step, len(data), step):
            damaged = bytearray(data)
            damaged[place] ^= 1 << place % 8
            with pytest.raises((Forged, Malformed)):
                read_touched({**files, path: bytes(damaged)}, size, root, path)


def read_touched(files: Mapping[str, bytes], size: int, root: bytes, path: str) -> None:
    """Read what the file at `path` is about: an entry bundle, or under a hash tile."""
    tiles = Tiles(source(files), size, root)
    touched = tile.parse_path(path)
    if isinstance(touched, Bundle):
        tiles.bundle(touched)
    else:
        tiles.tile(touched)


@pytest.mark.parametrize("size", [300, 257])
def test_files_that_are_short_long_or_gone(size):
    entries = some(size)
    files, root = grow(entries), root_of(entries)
    for path, data in files.items():
        for other in (b"", data[:-1], data + b"\0", data[32:], data + data):
            with pytest.raises((Forged, Malformed)):
                read_all({**files, path: other}, size, root)
        with pytest.raises(Unavailable):
            read_all({other: raw for other, raw in files.items() if other != path}, size, root)


def test_files_that_are_exchanged():
    entries = some(600)
    files, root = grow(entries), root_of(entries)
    names = [path for path in files if not path.startswith("tile/1")]
    for first, second in [(a, b) for a in names for b in names if a < b]:
        with pytest.raises(PausectlError):
            read_all({**files, first: files[second], second: files[first]}, 600, root)


def test_two_entries_that_are_exchanged():
    entries = some(300)
    files, root = grow(entries), root_of(entries)
    for first, second in [(0, 1), (3, 255), (256, 299)]:
        swapped = list(entries)
        swapped[first], swapped[second] = swapped[second], swapped[first]
        with pytest.raises(Forged, match=f"entry {first}"):
            read_all({**files, **{p: d for p, d in grow(swapped).items() if "entries" in p}}, 300, root)


def test_another_log_of_the_same_size_with_its_own_right_edge():
    """Edge tiles are compared with the root, and a full tile with its parent: neither alone would do."""
    ours, theirs = grow(some(300)), grow([b"x" + entry for entry in some(300)])
    root = root_of(some(300))
    edge = {path: data for path, data in theirs.items() if ".p/" in path}
    with pytest.raises(Forged, match="right edge"):
        read_all({**ours, **edge}, 300, root)
    full = {path: data for path, data in theirs.items() if path == "tile/0/000"}
    with pytest.raises(Forged, match="the tile above"):
        read_all({**ours, **full}, 300, root)


def test_the_full_tile_stands_in_for_a_partial_one_that_is_gone():
    old, new = some(300), some(600)
    later = {path: data for path, data in grow(new).items() if not path.startswith("tile/1")}
    served = {**later, "tile/1/000.p/1": grow(old)["tile/1/000.p/1"]}
    assert "tile/0/001.p/44" not in served
    assert read_all(served, 300, root_of(old)) == old


def test_a_stand_in_of_another_history_does_not():
    old, new = some(300), [*some(300)[:299], *[b"x" + entry for entry in some(600)[299:]]]
    served = {**grow(new), "tile/1/000.p/1": grow(old)["tile/1/000.p/1"]}
    with pytest.raises(Forged):
        read_all(served, 300, root_of(old))


def test_roots_of_all_prefixes():
    entries = some(600)
    tiles = Tiles(source(grow(entries)), 600, root_of(entries))
    assert tiles.root(0) == hashlib.sha256(b"").digest()
    for size in [*range(1, 20), 255, 256, 257, 300, 511, 512, 513, 599, 600]:
        assert tiles.root(size) == root_of(entries[:size])


def test_few_tiles_are_kept_and_each_is_fetched_once_while_it_is(monkeypatch):
    entries = some(600)
    files, asked = grow(entries), []

    def fetch(path: str) -> bytes:
        asked.append(path)
        return files[path]

    tiles = Tiles(fetch, 600, root_of(entries))
    for bundle in tile.bundles_for(600):
        tiles.bundle(bundle)
    assert sorted(asked) == sorted(files)
    monkeypatch.setattr("pausectl.history.tiles._KEPT", 1)
    for index in (0, 1, 0, 1):
        tiles.tile(Tile(0, index))
        assert len(tiles._kept) <= 2


# ── what another implementation wrote ──


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 600])
def test_logs_of_the_go_implementation(shared, size):
    folder = shared("vectors/golden-go")
    with tarfile.open(folder / f"log-size{size}.tar.gz") as archive:
        files = {
            member.name.split("/", 1)[1]: archive.extractfile(member).read()
            for member in archive.getmembers()
            if member.isfile()
        }
    key = parse_vkey((folder / "log.vkey").read_text().strip())
    head, _ = checkpoint.open(files["checkpoint"], key)
    assert head.size == size
    assert read_all(files, size, head.root) == [b"golden-%d" % i for i in range(size)]


def test_a_large_log_of_the_go_implementation(shared):
    folder = shared("vectors/golden-go")
    with tarfile.open(folder / "log-size70000.tar.gz") as archive:
        names = {member.name.split("/", 1)[1]: member for member in archive.getmembers() if member.isfile()}

        def fetch(path: str) -> bytes:
            return archive.extractfile(names[path]).read()

        head, _ = checkpoint.open(fetch("checkpoint"), parse_vkey((folder / "log.vkey").read_text().strip()))
        tiles = Tiles(fetch, head.size, head.root)
        for bundle in (Bundle(0), Bundle(136), Bundle(272), Bundle(273, 112)):
            assert len(tiles.bundle(bundle)) == bundle.width
        for index in (0, 35_000, 69_999):
            bundle = Bundle(index // 256, 112 if index // 256 == 273 else 256)
            assert tiles.bundle(bundle)[index % 256] == (folder / f"size70000-index{index}.leaf").read_bytes()
        level_2 = bytearray(fetch("tile/1/000"))
        level_2[40] ^= 1
        lying = Tiles(lambda path: bytes(level_2) if path == "tile/1/000" else fetch(path), head.size, head.root)
        with pytest.raises(Forged, match="the tile above"):
            lying.bundle(Bundle(3))
