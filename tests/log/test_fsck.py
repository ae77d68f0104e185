# SPDX-License-Identifier: Apache-2.0
"""fsck finds every flipped byte, names the file that has it, lists all there is, and never raises."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from pausectl.errors import UsageFault
from pausectl.log.fsck import fsck


@pytest.fixture(scope="module")
def whole(parties, tmp_path_factory):
    """A cosigned log of some 600 entries, with superseded partial tiles."""
    from pausectl.log.log import Log
    from pausectl.sim import terms
    from pausectl.witness.witness import Witness

    roll, keys, agreement = parties
    folder = tmp_path_factory.mktemp("fsck")
    state = [
        Witness.beside(key.name, keys[name], agreement.log_key, folder / name)
        for name, key in agreement.witness_keys.items()
    ]
    now = terms.seconds(terms.ANCHOR)
    with Log.create(folder / "home", agreement, keys[roll.log], now) as log:
        log.append([(b"entry %d" % index, "") for index in range(590)])
        log.append([(b"one more", "")])
        log.cosign([lambda request, w=w: w.cosign(request, now) for w in state], now)
    return folder / "home", agreement


@pytest.fixture
def home(whole, tmp_path) -> Path:
    shutil.copytree(whole[0], tmp_path / "home")
    for path in (tmp_path / "home").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return tmp_path / "home"


def flip(path: Path, at: int, bit: int = 1) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= bit
    path.write_bytes(data)


def test_a_whole_log_has_no_damage_and_progress_is_told(whole):
    home, agreement = whole
    told = []
    assert fsck(home, agreement, lambda done, size: told.append((done, size))) == []
    assert told == [(256, 593), (512, 593), (593, 593)]
    assert fsck(home / "log", agreement) == []
    assert {p.name for p in (home / "log/tile/entries/002.p").iterdir()} == {"79", "80", "81"}


def test_every_flipped_byte_is_found_in_the_file_that_has_it(whole, home):
    """At the ends and at random places of every file, and of `checkpoint` everywhere."""
    agreement = whole[1]
    rng = random.Random(5)  # noqa: S311
    for path in sorted([*(home / "log").rglob("*"), home / "state/head", home / "log.vkey", home / "agreement.json"]):
        if path.is_dir():
            continue
        data = path.read_bytes()
        places = {0, len(data) - 1, *(rng.randrange(len(data)) for _ in range(4))}
        if path.name == "checkpoint":
            places = range(0, len(data), 7)
        for at in places:
            flip(path, at, 1 << rng.randrange(8))
            found = fsck(home, agreement)
            assert {damage.path for damage in found} == {path.relative_to(home).as_posix()}, at
            path.write_bytes(data)
    assert fsck(home, agreement) == []


def test_the_entry_that_was_changed_is_named(whole, home):
    bundle = home / "log/tile/entries/001"
    flip(bundle, bundle.read_bytes().index(b"entry 299"))
    [damage] = fsck(home, whole[1])
    assert (damage.path, damage.index) == ("log/tile/entries/001", 300)


def test_all_damage_is_listed_at_once(whole, home):
    flip(home / "log/tile/0/000", 40)
    flip(home / "log/tile/entries/001", 4)
    flip(home / "log/tile/entries/001", 2000)
    (home / "log/tile/entries/002.p/81").unlink()
    (home / "log/tile/0/002.p/80").write_bytes(bytes(80 * 32))
    (home / "log/tile/0/notes.txt").write_text("mine")
    (home / "log/tile/0/099").write_bytes(bytes(8192))
    (home / "log/.checkpoint.tmp").write_bytes(b"of a writer that died")
    found = [(damage.path, damage.index) for damage in fsck(home, whole[1])]
    entries = [index for path, index in found if path == "log/tile/entries/001"]
    assert len(entries) == 2
    assert {path for path, _ in found} == {
        "log/tile/0/000",
        "log/tile/0/002.p/80",
        "log/tile/0/099",
        "log/tile/0/notes.txt",
        "log/tile/entries/001",
        "log/tile/entries/002.p/81",
    }


def test_where_too_much_is_damaged_to_say_whose_fault_it_is_all_of_it_is_blamed(whole, home):
    flip(home / "log/tile/0/000", 40)
    (home / "log/tile/entries/000").unlink()
    (home / "log/tile/1/000.p/2").write_bytes(b"short")
    found = {damage.path: damage.message for damage in fsck(home, whole[1])}
    assert found.keys() == {"log/checkpoint", "log/tile/1/000.p/2", "log/tile/entries/000"}
    assert "not the root of these tiles" in found["log/checkpoint"]


def test_two_files_that_were_changed_to_agree_are_both_found(whole, home):
    """An entry and its leaf hash: the tile above knows better."""
    from pausectl.wire import merkle, tile

    bundle, leaves = home / "log/tile/entries/001", home / "log/tile/0/001"
    entries = list(tile.parse_bundle(bundle.read_bytes(), 256))
    entries[7] = b"another"
    bundle.write_bytes(tile.format_bundle(entries))
    hashes = list(tile.parse_hashes(leaves.read_bytes(), 256))
    hashes[7] = merkle.leaf_hash(b"another")
    leaves.write_bytes(tile.format_hashes(hashes))
    assert [damage.path for damage in fsck(home, whole[1])] == ["log/tile/0/001"]


def test_without_a_checkpoint_the_rest_is_compared_all_the_same(whole, home):
    (home / "log/checkpoint").unlink()
    flip(home / "log/tile/entries/001", 4)
    flip(home / "log/tile/entries/002.p/81", 4)
    for place, prefix in ((home, "log/"), (home / "log", "")):
        paths = {damage.path for damage in fsck(place, whole[1])}
        assert {f"{prefix}checkpoint", f"{prefix}tile/entries/001", f"{prefix}tile/entries/002.p/81"} <= paths


def test_a_checkpoint_of_another_tree_is_found(whole, home, parties):
    from pausectl.wire import checkpoint

    roll, keys, agreement = parties
    other = checkpoint.Checkpoint(agreement.log_key.name, 593, bytes(32))
    (home / "log/checkpoint").write_bytes(checkpoint.sign(other, keys[roll.log]).raw)
    assert [damage.path for damage in fsck(home / "log", agreement)] == ["checkpoint"]
    assert [damage.path for damage in fsck(home, agreement)] == ["log/checkpoint"]


def test_any_junk_comes_to_an_end(whole, home):
    rng = random.Random(6)  # noqa: S311
    os.mkfifo(home / "log/tile/0/001.p")
    (home / "log/tile/entries/001").unlink()
    (home / "log/tile/entries/001").mkdir()
    (home / "log/tile/1/000.p/2").unlink()
    (home / "log/tile/1/000.p/2").symlink_to("nowhere")
    for path in (home / "log").rglob("*"):
        if path.is_file() and rng.random() < 0.5:
            path.write_bytes(rng.randbytes(rng.randrange(3000)))
    assert fsck(home, whole[1])
    shutil.rmtree(home / "log")
    (home / "log").mkdir()
    assert {damage.path for damage in fsck(home, whole[1])} >= {"log/checkpoint"}


# ── with commits that wait for their quorum ──


@pytest.fixture
def waiting(whole, parties, home) -> Path:
    from pausectl.log.log import Log

    with Log.open(home, parties[1][parties[0].log]) as log:
        log.append([(b"waiting %d" % index, "") for index in range(200)])
        log.append([(b"waiting", "")])
    for path in (home / "log").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return home


def test_what_waits_for_its_quorum_is_no_damage(whole, waiting):
    assert fsck(waiting, whole[1]) == []
    assert fsck(waiting / "log", whole[1]) == []


def test_of_commits_that_wait_every_file_is_checked_under_the_register(whole, waiting):
    agreement = whole[1]
    for path in ("tile/0/003.p/26", "tile/entries/003.p/26", "tile/0/002", "tile/0/002.p/81", "tile/1/000.p/2"):
        good = (waiting / "log" / path).read_bytes()
        flip(waiting / "log" / path, len(good) - 1)
        assert {damage.path for damage in fsck(waiting, agreement)} == {f"log/{path}"}
        (waiting / "log" / path).unlink()
        assert {damage.path for damage in fsck(waiting, agreement)} == {f"log/{path}"}
        (waiting / "log" / path).write_bytes(good)
    (waiting / "log/tile/0/099").write_bytes(bytes(8192))
    assert [damage.path for damage in fsck(waiting, agreement)] == ["log/tile/0/099"]


def test_a_cosigned_checkpoint_of_another_tree_is_found_behind_a_larger_register(whole, waiting, parties):
    from pausectl.wire import checkpoint, cosignature, note

    roll, keys, agreement = parties
    made = checkpoint.sign(checkpoint.Checkpoint(agreement.log_key.name, 593, bytes(32)), keys[roll.log])
    lines = [cosignature.cosign(made.text, key.name, keys[name], 9) for name, key in agreement.witness_keys.items()]
    (waiting / "log/checkpoint").write_bytes(note.add(made, lines).raw)
    [damage] = fsck(waiting, agreement)
    assert (damage.path, damage.message) == ("log/checkpoint", "its root is not the root of the first 593 entries")
    (waiting / "log/checkpoint").write_bytes(made.raw)
    [damage] = fsck(waiting, agreement)
    assert "the last commit is not finished" in damage.message


def test_no_directory_is_the_callers_mistake(whole, tmp_path):
    with pytest.raises(UsageFault):
        fsck(tmp_path / "nowhere", whole[1])
