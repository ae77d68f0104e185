# SPDX-License-Identifier: Apache-2.0
"""A mirror holds what the log signed, byte for byte, or says why not and goes on serving what it holds."""

from __future__ import annotations

import tarfile

import pytest

from pausectl.errors import Forged, Malformed, PausectlError, Refused, SplitView, Unavailable
from pausectl.history.source import DirectorySource
from pausectl.history.tiles import Tiles
from pausectl.mirror.follow import Mirror
from pausectl.mirror.memory import partials
from pausectl.mirror.trust import Cosigner, Trust
from pausectl.sim.terms import demo_key
from pausectl.wire import checkpoint, cosignature, evidence, merkle, note, tile

NOW = 1_800_000_000


def public(mirror: Mirror) -> dict[str, bytes]:
    folder = mirror.memory.public
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ── copying ──


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 600])
def test_a_copy_has_the_files_of_the_log_and_no_others(tree, opened, size):
    log, mirror = tree(size), opened()
    assert mirror.follow(log, NOW).size == size
    assert public(mirror) == log.files
    assert not list((mirror.memory.home / "evidence").iterdir())


def test_every_file_is_fetched_once_and_an_unchanged_log_costs_one(tree, opened):
    log, mirror = tree(600), opened()
    mirror.follow(log, NOW)
    assert len(log.asked) == len(set(log.asked)) == len(log.files)
    del log.asked[:]
    assert not mirror.follow(log, NOW).published
    assert log.asked == ["checkpoint"]


@pytest.mark.parametrize("sizes", [(1, 2, 3), (255, 256, 257), (100, 600, 601, 1100), (0, 5), (600, 600)])
def test_growing_step_by_step_ends_where_one_step_does_and_fetches_only_what_is_new(tree, opened, sizes):
    mirror = opened()
    for size in sizes:
        log = tree(size)
        mirror.follow(log, NOW)
        assert mirror.size == size
        assert public(mirror).items() >= log.files.items()
    assert not any(f"tile/entries/{n:03}" in log.asked for n in range(sizes[-2] // 256))
    last, kept = tree(sizes[-1]), {path for size in sizes for path in partials(size)}
    assert public(mirror).keys() == last.files.keys() | kept


def test_partial_files_of_the_last_eight_checkpoints_stay_and_older_ones_go(tree, opened):
    mirror = opened()
    for size in range(1, 21):
        mirror.follow(tree(size), NOW)
    found = {int(path.rpartition("/")[2]) for path in public(mirror) if "entries" in path}
    assert found == set(range(13, 21))


def test_a_log_that_removed_what_was_superseded_is_copied_from_its_full_files(tree, opened):
    log, mirror = tree(300), opened()
    log.changed["checkpoint"] = log.signed(200)  # the files are those of a later tree
    mirror.follow(log, NOW)
    assert mirror.size == 200
    assert public(mirror)["tile/entries/000.p/200"] == tree(200).files["tile/entries/000.p/200"]


def test_an_empty_log_is_held_and_then_grows(tree, opened):
    mirror = opened(name="mirror.example")
    assert mirror.follow(tree(0), NOW).published
    assert mirror.size == 0
    mirror.follow(tree(3), NOW)
    assert mirror.size == 3


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 600])
def test_logs_that_other_peoples_code_wrote(shared, tmp_path, size):
    folder = shared("vectors/golden-go")
    with tarfile.open(folder / f"log-size{size}.tar.gz") as packed:
        packed.extractall(tmp_path, filter="data")
    trust = Trust(note.parse_vkey((folder / "log.vkey").read_text().strip()))
    with Mirror(tmp_path / "mirror", trust) as mirror:
        mirror.follow(DirectorySource(tmp_path / f"size{size}"), NOW)
        there = tmp_path / f"size{size}"
        assert public(mirror) == {
            str(path.relative_to(there)): path.read_bytes() for path in there.rglob("*") if path.is_file()
        }


@pytest.mark.slow
def test_the_log_of_70000_entries(shared, tmp_path):
    folder = shared("vectors/golden-go")
    with tarfile.open(folder / "log-size70000.tar.gz") as packed:
        packed.extractall(tmp_path, filter="data")
    trust = Trust(note.parse_vkey((folder / "log.vkey").read_text().strip()))
    with Mirror(tmp_path / "mirror", trust) as mirror:
        mirror.follow(DirectorySource(tmp_path / "size70000"), NOW)
        assert len(public(mirror)) == 552


def test_a_mirror_of_a_mirror(tree, opened, tmp_path):
    log, first = tree(300), opened(home=tmp_path / "first", name="first.example")
    first.follow(log, NOW)
    second = opened(home=tmp_path / "second", name="second.example")
    second.follow(DirectorySource(first.memory.public), NOW + 1)
    found = public(second)
    names = [line.name for line in note.parse(found.pop("checkpoint")).signatures]
    assert names == ["log.example/mirrored", "first.example", "second.example"]
    assert found == {path: data for path, data in log.files.items() if path != "checkpoint"}


# ── forged bytes: MIR-2 ──


def paths(size: int) -> list[str]:
    return [each.path for each in (*tile.tiles_for(size), *tile.bundles_for(size))]


@pytest.mark.parametrize("path", paths(600))
def test_a_changed_file_is_not_held(tree, opened, path):
    log, mirror = tree(600), opened()
    good = log.files[path]
    middle = len(good) // 2
    for wrong in (good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :], good[:-1], good + b"\0", b"", None):
        log.changed[path] = wrong
        with pytest.raises((Forged, Malformed, Unavailable)):
            mirror.follow(log, NOW)
        assert mirror.size == 0
        assert "checkpoint" not in public(mirror)
        assert path not in public(mirror) or public(mirror)[path] == good
    log.changed.clear()
    mirror.follow(log, NOW)
    assert public(mirror) == log.files


def test_only_the_logs_own_checkpoint_is_taken(tree, opened):
    log, mirror = tree(3), opened()
    other = note.sign(note.parse(log.files["checkpoint"]).text, [("log.example/mirrored", demo_key("a thief"))]).raw
    crossed = note.sign("log.example/other\n" + note.parse(log.signed(3)).text.partition("\n")[2],
                        [("log.example/mirrored", demo_key("mirrored log"))]).raw  # fmt: skip
    for wrong in (other, crossed, b"", b"nonsense", log.signed(3)[:-1], log.signed(3) + b"\n"):
        log.changed["checkpoint"] = wrong
        with pytest.raises((Forged, Malformed)) as caught:
            mirror.follow(log, NOW)
        assert caught.value.where.startswith("log")
    assert public(mirror) == {}


def test_an_agreement_asks_for_its_quorum(tree, tmp_path):
    world = pytest.importorskip("pausectl.sim.world").World(windows=1)
    world.run()
    agreement, found = world.agreement, world.memory.files()
    log = tree(0)
    log.files = dict(found)
    with Mirror(tmp_path / "mirror", Trust.of(agreement)) as mirror:
        signed = note.parse(found["checkpoint"])
        log.changed["checkpoint"] = note.Note(signed.text, signed.signatures[:2]).raw
        with pytest.raises(Forged, match="cosigned by"):
            mirror.follow(log, NOW)
        log.changed.clear()
        mirror.follow(log, NOW)
        assert public(mirror) == found
        later, earlier = world.memory.cosigned(NOW + 60), world.memory.cosigned(1_700_000_000)
        log.changed["checkpoint"] = later
        assert mirror.follow(log, NOW).published
        log.changed["checkpoint"] = earlier  # an old copy of the same tree makes nothing older
        assert not mirror.follow(log, NOW).published
        assert public(mirror)["checkpoint"] == later


# ── other histories: MIR-1 ──


def convicted(mirror: Mirror, split: SplitView, key: note.VerifierKey) -> tuple[int, int]:
    [file] = (mirror.memory.home / "evidence").iterdir()
    assert file.read_bytes() == split.evidence
    assert str(file) in split.hint
    first, second = evidence.check(evidence.parse(split.evidence), key)
    return first.size, second.size


@pytest.mark.parametrize(("held", "shown", "other"), [(5, 9, 1), (5, 5, 1), (9, 5, 1), (300, 700, 299), (256, 257, 0)])
def test_a_fork_is_refused_and_kept_as_evidence(tree, opened, trust, held, shown, other):
    log, mirror = tree(held), opened()
    mirror.follow(log, NOW)
    for _ in range(2):  # the second time nothing is written anew
        with pytest.raises(SplitView) as caught:
            mirror.follow(tree(shown, other=other), NOW)
        assert convicted(mirror, caught.value, trust.log_key) == tuple(sorted((held, shown)))
    assert public(mirror) == log.files
    assert mirror.follow(tree(held + 1), NOW).size == held + 1


def test_a_log_that_is_rolled_back_convicts_nobody(tree, opened):
    log, mirror = tree(9), opened()
    mirror.follow(log, NOW)
    with pytest.raises(Unavailable, match="shows 5 entries of the 9 that are held"):
        mirror.follow(tree(5), NOW)
    assert public(mirror) == log.files
    assert not list((mirror.memory.home / "evidence").iterdir())


def test_what_was_seen_and_not_finished_binds_the_log_too(tree, opened, trust):
    """The first visit dies half way; the log then shows another tree of that size."""
    log, mirror = tree(600), opened()
    log.changed["tile/entries/002.p/88"] = None
    with pytest.raises(Unavailable):
        mirror.follow(log, NOW)
    mirror.close()
    mirror = opened()
    with pytest.raises(SplitView) as caught:
        mirror.follow(tree(601, other=7), NOW)
    assert convicted(mirror, caught.value, trust.log_key) == (600, 601)
    with pytest.raises(Unavailable, match="showed 600 before"):
        mirror.follow(tree(500), NOW)
    mirror.follow(tree(700), NOW)
    assert mirror.size == 700
    assert public(mirror).keys() >= tree(700).files.keys()


# ── cosigning: MIR-4, MIR-6, MIR-7 ──


def own_time(mirror: Mirror, name: str) -> int:
    key = note.VerifierKey(name, note.TYPE_COSIGNATURE, demo_key(name).public)
    return cosignature.cosignatures(note.parse(public(mirror)["checkpoint"]), [key]).get(name, 0)


def test_a_mirror_cosigns_what_it_holds_and_nothing_else(tree, opened):
    mirror = opened(name="mirror.example")
    mirror.follow(tree(5), NOW)
    assert own_time(mirror, "mirror.example") == NOW
    broken = tree(9)
    broken.changed["tile/entries/000.p/9"] = None
    with pytest.raises(Unavailable):
        mirror.follow(broken, NOW + 9)
    opened_again, _ = checkpoint.open(public(mirror)["checkpoint"], mirror.trust.log_key)
    assert (opened_again.size, own_time(mirror, "mirror.example")) == (5, NOW)


def test_a_clock_that_falls_back_cosigns_nothing(tree, opened):
    mirror = opened(name="mirror.example")
    mirror.follow(tree(5), NOW)
    with pytest.raises(Unavailable, match="clock: expected"):
        mirror.follow(tree(6), NOW - 1)
    assert own_time(mirror, "mirror.example") == NOW
    mirror.follow(tree(6), NOW)
    assert mirror.size == 6


def test_a_key_given_later_cosigns_what_was_held_before(tree, opened):
    mirror = opened()
    mirror.follow(tree(5), NOW)
    mirror.close()
    mirror = opened(name="mirror.example")
    assert mirror.follow(tree(5), NOW).published
    assert own_time(mirror, "mirror.example") == NOW
    assert not mirror.follow(tree(5), NOW + 5).published


def test_new_lines_of_witnesses_are_passed_on_and_cosigned_again(tree, opened):
    log, mirror = tree(5), opened(name="mirror.example")
    mirror.follow(log, NOW)
    line = cosignature.cosign(note.parse(log.signed(5)).text, "witness.example", demo_key("witness.example"), NOW)
    log.changed["checkpoint"] = note.add(note.parse(log.signed(5)), [line]).raw
    assert mirror.follow(log, NOW + 60).published
    assert line in note.parse(public(mirror)["checkpoint"]).signatures
    assert own_time(mirror, "mirror.example") == NOW + 60
    log.changed["checkpoint"] = public(mirror)["checkpoint"]  # a log that collects the mirror's line
    assert not mirror.follow(log, NOW + 90).published


def test_a_hundred_lines_leave_room_for_the_mirrors(tree, opened):
    log, mirror = tree(5), opened(name="mirror.example")
    strangers = [note.Signature(f"w{n}.example", b"abcd", b"x") for n in range(99)]
    log.changed["checkpoint"] = note.add(note.parse(log.signed(5)), strangers).raw
    mirror.follow(log, NOW)
    assert own_time(mirror, "mirror.example") == NOW
    assert len(note.parse(public(mirror)["checkpoint"]).signatures) == 100


def test_a_key_of_the_log_or_of_a_witness_is_refused(trust):
    world = pytest.importorskip("pausectl.sim.world").World(windows=0)
    under = Trust.of(world.agreement)
    witness = next(iter(world.agreement.witness_keys.values()))
    for name, key, whom in (
        ("mirror.example", demo_key("mirrored log"), trust),
        (trust.origin, demo_key("m"), trust),
        (witness.name, demo_key("m"), under),
        ("mirror.example", world.keys[next(iter(world.agreement.witness_keys))], under),
    ):
        with pytest.raises(Refused, match="neither the log nor a witness"):
            Cosigner(name, [key], whom)
    with pytest.raises(Refused, match="one of each suite"):
        Cosigner("mirror.example", [demo_key("a"), demo_key("b")], trust)
    Cosigner("mirror.example", [demo_key("m")], under)


# ── starting again: MIR-8 ──


def test_only_the_edge_is_read_at_a_start_and_damage_to_it_is_refused(tree, opened, tmp_path):
    log, mirror = tree(600), opened()
    mirror.follow(log, NOW)
    mirror.close()
    edge = ("tile/0/002.p/88", "tile/1/000.p/2", "tile/entries/002.p/88", "state/held")
    for name in edge:
        file = mirror.memory.home / name if name.startswith("state") else mirror.memory.public / name
        good = file.read_bytes()
        file.unlink()
        file.write_bytes(good[:-5] + bytes([good[-5] ^ 1]) + good[-4:])
        with pytest.raises(Refused, match="not those of the held checkpoint"):
            opened()
        file.unlink()
        if name == "state/held":
            with pytest.raises(Refused, match="the held checkpoint is missing"):
                opened()
        file.write_bytes(good)
    assert opened().size == 600


def test_the_public_checkpoint_is_put_back_from_memory(tree, opened):
    log, mirror = tree(5), opened()
    mirror.follow(log, NOW)
    mirror.close()
    (mirror.memory.public / "checkpoint").unlink()
    assert public(opened()) == log.files


def test_two_processes_do_not_share_a_mirror(opened, tree):
    opened()
    with pytest.raises(Refused, match="another process"):
        opened()


def test_a_mirror_of_another_log_is_refused(tree, opened, tmp_path):
    mirror = opened()
    mirror.follow(tree(5), NOW)
    mirror.close()
    other = Trust(note.VerifierKey("log.example/mirrored", note.TYPE_ED25519, demo_key("another").public))
    with pytest.raises(Refused):
        Mirror(tmp_path / "mirror", other)


def test_a_damaged_cursor_says_what_to_do(tree, opened):
    mirror = opened()
    mirror.follow(tree(5), NOW)
    mirror.close()
    file = mirror.memory.home / "state" / "cursor"
    file.unlink()
    file.write_bytes(b"pausectl-mirror/v1\nkept 05\ndone 5\n\n")
    with pytest.raises(PausectlError) as caught:
        opened()
    assert "may be removed" in caught.value.hint
    file.unlink()
    mirror = opened()
    mirror.follow(tree(9), NOW)
    assert mirror.size == 9


def test_what_is_held_makes_the_root_it_says(tree, opened):
    """By the code that readers use, over every tile and bundle."""
    mirror = opened()
    for size in (3, 255, 257, 900):
        mirror.follow(tree(size), NOW)
        shown, _ = checkpoint.open(public(mirror)["checkpoint"], mirror.trust.log_key)
        tiles = Tiles(mirror.memory.get, shown.size, shown.root)
        entries = [entry for bundle in tile.bundles_for(size) for entry in tiles.bundle(bundle)]
        assert merkle.root([merkle.leaf_hash(entry) for entry in entries]) == shown.root
