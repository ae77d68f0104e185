# SPDX-License-Identifier: Apache-2.0
"""LOG-5 to LOG-11, LOG-25: the crash order. Every system call is a place to be killed at, and for the power to go."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from pausectl.durable import Disk
from pausectl.errors import Broken, Refused, SplitView
from pausectl.log.sequencer import KEPT, Sequencer
from pausectl.log.storage import posix
from pausectl.sim import terms
from pausectl.wire import checkpoint, merkle, note
from pausectl.wire.tile import Bundle

SIGNER = terms.demo_key("log")
OTHER = terms.demo_key("witness")
KEY = note.VerifierKey("log.example/test", note.TYPE_ED25519, SIGNER.public)


def entries(start: int, end: int) -> list[bytes]:
    return [b"entry-%d" % index for index in range(start, end)]


def opened(home: Path, disk: Disk | None = None) -> Sequencer:
    return Sequencer(KEY, SIGNER, posix.open(home, disk or Disk()))


def created(home: Path, size: int, disk: Disk | None = None) -> Sequencer:
    home.mkdir()
    posix.create(home, Disk())
    made = opened(home, disk)
    made.append(entries(0, size))
    return made


def holds(sequencer: Sequencer, index: int, entry: bytes) -> bool:
    width = min(256, sequencer.size - index // 256 * 256)
    return sequencer.tiles.bundle(Bundle(index // 256, width))[index % 256] == entry


def copied(source: Path, target: Path) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    return target


@pytest.mark.parametrize("batches", [[600], [1, 1, 253, 1, 1, 200, 143], [256, 256, 88]])
def test_golden_600_in_any_batches_gives_the_files_of_go(golden, tmp_path, snapshot, batches):
    folder, key, signer = golden
    with tarfile.open(folder / "log-size600.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    home = tmp_path / "home"
    home.mkdir()
    sequencer = Sequencer(key, signer, posix.create(home, Disk()))
    size = 0
    for batch in batches:
        assert sequencer.append([b"golden-%d" % index for index in range(size, size + batch)]) == size
        size += batch
    ours, theirs = snapshot(home / "log"), snapshot(tmp_path / "size600")
    assert {path: ours.get(path) for path in theirs} == theirs
    assert all(".p/" in path for path in ours.keys() - theirs.keys())  # superseded, for readers still at work


def test_readers_see_tiles_before_the_checkpoint_and_the_register_before_both(tmp_path):
    """LOG-4, LOG-5: the order of what becomes visible, and that everything is synchronised before the next step."""
    calls = []
    sequencer = created(tmp_path / "home", 255)
    home = tmp_path / "home"
    del sequencer
    sequencer = opened(home, Disk(lambda call, path: calls.append((call, path.relative_to(home).as_posix()))))
    calls.clear()
    sequencer.append(entries(255, 258))
    renamed = [path for call, path in calls if call == "rename"]
    assert renamed[0].startswith("state/stage/258-")
    assert renamed[1:] == [
        "state/head",
        "log/tile/entries/000",
        "log/tile/entries/001.p/2",
        "log/tile/0/000",
        "log/tile/0/001.p/2",
        "log/tile/1/000.p/1",
        "log/checkpoint",
    ]
    for place, (call, path) in enumerate(calls):
        if call == "rename":
            folder = path.rpartition("/")[0]
            assert calls[place - 1] == ("fsync", f"{folder}/.{path.rpartition('/')[2]}.tmp")
            assert calls[place + 1] == ("fsync", folder)
    assert calls[-1][0] == "unlink"
    assert calls[-1][1].startswith("state/stage/258-")


def test_killed_at_every_system_call(tmp_path, in_child):
    """LOG-9: whatever was acknowledged is there after the next start, and the next start always succeeds."""
    created(tmp_path / "base", 255)
    at, finished = 0, False
    while not finished:
        home = copied(tmp_path / "base", tmp_path / "home")

        def work(disk, ack, home=home):
            sequencer = opened(home, disk)
            for batch in (entries(255, 258), entries(258, 259)):
                ack(str(sequencer.append(batch) + len(batch)))

        acks, finished = in_child(at, work)
        sequencer = opened(home)
        acknowledged = int(acks[-1]) if acks else 255
        assert acknowledged <= sequencer.size <= 259
        assert sequencer.size in (255, 258, 259)
        assert all(holds(sequencer, index, b"entry-%d" % index) for index in range(250, sequencer.size))
        assert sequencer.append([b"next"]) == sequencer.size - 1
        assert checkpoint.open((home / "log" / "checkpoint").read_bytes(), KEY)[0].size == sequencer.size
        at += 1
    assert at > 60


def test_power_cut_at_every_system_call(tmp_path, lossy, relay):
    """What was acknowledged, and whatever any reader could have seen, is in the tree that comes back."""
    sequencer = created(tmp_path / "home", 255)
    disk = lossy(tmp_path / "home")
    sequencer = opened(tmp_path / "home", Disk(disk))
    acks = []
    for batch in (entries(255, 258), entries(258, 259)):
        size = sequencer.append(batch) + len(batch)
        disk.cut()
        acks.append((len(disk.cuts) - 1, size))
    assert len(disk.cuts) > 60
    for at, (tree, seen) in enumerate(disk.cuts):
        home = relay(tree, tmp_path / "left")
        sequencer = opened(home)
        assert sequencer.size >= max([255, *(size for cut, size in acks if cut <= at)]), f"cut {at}"
        for raw in seen:
            shown = checkpoint.open(raw, KEY)[0]
            assert sequencer.tiles.root(shown.size) == shown.root, f"cut {at}"
        assert all(holds(sequencer, index, b"entry-%d" % index) for index in range(250, sequencer.size))
        assert sequencer.append([b"next"]) == sequencer.size - 1


@pytest.mark.parametrize("forgotten", ["a file", "a directory"])
def test_the_lossy_disk_loses_what_is_not_synchronised(tmp_path, lossy, forgotten):
    """The test of the tests above."""
    disk = lossy(tmp_path)

    def watch(call, path):
        if call != "fsync" or path.is_dir() is (forgotten == "a file"):
            disk(call, path)

    Disk(watch).put(tmp_path / "kept", b"data")
    disk.cut()
    assert disk.cuts[-1][0] == ({"kept": b""} if forgotten == "a file" else {})


@pytest.mark.parametrize("when", [1, 2, 3, 4, 6, 10])
def test_an_fsync_that_fails_ends_the_process_before_it_answers(tmp_path, when):
    """LOG-1, of the real thing: the kernel says no."""
    if shutil.which("strace") is None:
        pytest.skip("strace is absent")
    created(tmp_path / "home", 3)
    script = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path\n"
        "from pausectl.durable import Disk\nfrom pausectl.log.sequencer import Sequencer\n"
        "from pausectl.log.storage import posix\nfrom pausectl.sim import terms\nfrom pausectl.wire import note\n"
        "signer = terms.demo_key('log')\n"
        "key = note.VerifierKey('log.example/test', note.TYPE_ED25519, signer.public)\n"
        "print(Sequencer(key, signer, posix.open(Path(sys.argv[1]), Disk())).append([b'entry-3']), flush=True)\n"
    )
    command = ["strace", "-qq", "-o", tmp_path / "trace", "-e", f"inject=fsync:error=EIO:when={when}"]
    run = subprocess.run(
        [*command, sys.executable, "-c", script, tmp_path / "home", *sys.path],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "ptrace" in run.stderr:
        pytest.skip("strace may not trace here")
    trace = (tmp_path / "trace").read_text()
    assert "(INJECTED)" in trace, run.stderr
    assert (run.returncode, run.stdout) == (5, "")
    assert trace.partition("(INJECTED)")[2].count("fsync(") == 0
    sequencer = opened(tmp_path / "home")
    assert sequencer.size in (3, 4)
    assert sequencer.append([b"next"]) == sequencer.size - 1


def test_what_is_replayed_is_written_again_and_not_trusted(tmp_path):
    """LOG-9: after a failed fsync the page cache shows what the disk never got."""
    home = tmp_path / "home"
    sequencer = created(home, 3)
    staged = {}

    def keep(call, path):
        if call == "unlink" and path.parent.name == "stage":
            staged[path] = path.read_bytes()

    sequencer = opened(home, Disk(keep))
    sequencer.append(entries(3, 5))
    for path, data in staged.items():
        path.write_bytes(data)  # as if it had been killed before its last call
    calls = []
    opened(home, Disk(lambda call, path: calls.append((call, path.relative_to(home).as_posix()))))
    assert [path for call, path in calls if call == "rename"] == [
        "state/head",
        "log/tile/entries/000.p/5",
        "log/tile/0/000.p/5",
        "log/checkpoint",
    ]
    assert ("fsync", "log") in calls  # the directories too


def test_what_is_replayed_does_not_hide_what_was_published(tmp_path):
    """LOG-11: another checkpoint of the same size stays as evidence, though the last commit is still to be finished."""
    home = tmp_path / "home"
    created(home, 3)
    staged = {}

    def keep(call, path):
        if call == "unlink" and path.parent.name == "stage":
            staged[path] = path.read_bytes()

    opened(home, Disk(keep)).append([b"entry-3"])
    for path, data in staged.items():
        path.write_bytes(data)
    other = checkpoint.sign(checkpoint.Checkpoint(KEY.name, 4, bytes(32)), SIGNER).raw
    (home / "log/checkpoint").unlink()
    (home / "log/checkpoint").write_bytes(other)
    with pytest.raises(SplitView):
        opened(home)
    assert (home / "log/checkpoint").read_bytes() == other


def test_a_second_writer_loses_before_anything_of_it_is_visible(tmp_path, snapshot):
    """LOG-4: two sequencers, as if there were no lock."""
    home = tmp_path / "home"
    first = created(home, 3)
    second = opened(home)
    first.append([b"mine"])
    before = snapshot(home / "log")
    with pytest.raises(Refused, match="head register"):
        second.append([b"yours"])
    assert snapshot(home / "log") == before
    with pytest.raises(Broken, match="half way"):
        second.append([b"yours"])
    assert opened(home).append([b"yours"]) == 4


def test_an_append_costs_the_same_at_any_size(tmp_path):
    """Counted in system calls that write; a batch of 256 costs what one entry costs, and one level of tiles."""
    calls = []
    sequencer = created(tmp_path / "home", 300, Disk(lambda call, _: calls.append(call)))

    def cost(count: int) -> int:
        calls.clear()
        sequencer.append(entries(sequencer.size, sequencer.size + count))
        return calls.count("fsync")

    for _ in range(KEPT):
        cost(1)
    small = [cost(1) for _ in range(3)]
    batch = cost(256)
    sequencer.append(entries(sequencer.size, 66_000))
    for _ in range(KEPT):
        cost(1)
    large = [cost(1) for _ in range(3)]
    assert max(small) <= 12
    assert max(large) <= 12
    assert batch <= 24


def test_partial_tiles_of_the_last_eight_checkpoints_are_kept(tmp_path):
    """LOG-8, through a restart at every step, since a command line opens a log for one entry."""
    home = tmp_path / "home"
    created(home, 250)
    recent = (250,)
    for size in range(251, 270):
        sequencer = Sequencer(KEY, SIGNER, posix.open(home, Disk()), recent)
        sequencer.append([b"entry"])
        recent = sequencer.recent
        partial = sorted(int(p.name) + 256 * int(p.parent.stem) for p in (home / "log/tile/0").glob("*.p/*"))
        assert partial == [kept for kept in range(max(250, size - KEPT + 1), size + 1) if kept != 256]


def test_nothing_is_signed_when_the_disk_gives_back_something_else(tmp_path, snapshot):
    """LOG-6: a byte of the staged bundle flips between writing and reading."""
    home = tmp_path / "home"
    created(home, 3)
    before = snapshot(home)
    length = None
    for at in (0, 20, 60, -1, -40, -70):

        def flip(call, path, at=at):
            if call == "fsync" and path.name == "stage":
                staged = next(path.iterdir())
                data = bytearray(staged.read_bytes())
                data[at] ^= 1
                staged.chmod(0o600)
                staged.write_bytes(data)

        sequencer = opened(home, Disk(flip))
        with pytest.raises(Broken, match="does not make the tree"):
            sequencer.append([b"entry-3"])
        assert snapshot(home) == before
        length = at
    assert length is not None
    assert opened(home).append([b"entry-3"]) == 3


def test_nothing_is_signed_that_does_not_extend_the_register(tmp_path):
    """LOG-7: an edge in memory that went wrong would make a tree of its own."""
    home = tmp_path / "home"
    sequencer = created(home, 3)
    other = created(tmp_path / "other", 2)
    other.append([b"another third"])
    sequencer._edge = other._edge
    head = (home / "state/head").read_bytes()
    with pytest.raises(Broken, match="does not make the tree"):
        sequencer.append([b"entry-3"])
    assert (home / "state/head").read_bytes() == head


def test_files_older_than_the_register_are_refused(tmp_path):
    """LOG-10: a restored backup of the public files."""
    home = tmp_path / "home"
    sequencer = created(home, 3)
    shutil.copytree(home / "log", tmp_path / "old")
    for size in range(4, 4 + KEPT + 1):
        sequencer.append(entries(size - 1, size))
    shutil.rmtree(home / "log")
    shutil.copytree(tmp_path / "old", home / "log")
    with pytest.raises(Refused, match="not those of the head register"):
        opened(home)


def test_a_register_older_than_the_published_checkpoint_is_refused(tmp_path):
    """LOG-11: a restored backup of the state."""
    home = tmp_path / "home"
    sequencer = created(home, 3)
    old = (home / "state/head").read_bytes()
    sequencer.append([b"entry-3"])
    (home / "state/head").write_bytes(old)
    with pytest.raises(Refused, match="expected size 4, as published, found 3"):
        opened(home)


@pytest.mark.parametrize("size", [3, 4, 255, 256, 257, 600])
def test_a_register_older_than_commits_that_were_not_shown_is_refused(tmp_path, size):
    """LOG-25: what is published is older than both."""
    home = tmp_path / "home"
    sequencer = created(home, 2)
    sequencer.append(entries(2, 3))
    old, shown = (home / "state/head").read_bytes(), (home / "log/checkpoint").read_bytes()
    sequencer.append(entries(3, size))
    (home / "state/head").write_bytes(old)
    (home / "log/checkpoint").chmod(0o644)
    (home / "log/checkpoint").write_bytes(shown)
    if size == 3:
        assert opened(home).size == 3
    else:
        with pytest.raises(Refused, match=r"is of, found 3"):
            opened(home)


def test_a_quorum_is_not_given_up(tmp_path):
    """LOG-24, of the sequencer: what counts is what it was told to count."""
    home = tmp_path / "home"
    made = created(home, 3)
    once = note.parse(made.head)
    twice = note.add(once, checkpoint.sign(checkpoint.parse(once.text), OTHER).signatures)

    def two_lines(raw: bytes) -> bool:
        return raw.count(b"\n") == 6

    sequencer = Sequencer(KEY, SIGNER, posix.open(home, Disk()), (), two_lines)
    sequencer.publish(twice)
    with pytest.raises(Refused, match="lacks the quorum"):
        sequencer.publish(once)
    sequencer.append([b"entry-3"])
    assert (sequencer.published, sequencer.published_size, sequencer.size) == (twice.raw, 3, 4)
    with pytest.raises(Broken, match="another size"):
        sequencer.publish(twice)
    with pytest.raises(Refused, match="lacks the quorum"):
        sequencer.publish(note.parse(sequencer.head))
    assert (home / "log/checkpoint").read_bytes() == twice.raw


def test_a_published_checkpoint_of_another_tree_is_a_split_view(tmp_path):
    home = tmp_path / "home"
    created(home, 3)
    other = checkpoint.sign(checkpoint.Checkpoint(KEY.name, 2, bytes(32)), SIGNER).raw
    (home / "log/checkpoint").chmod(0o644)
    (home / "log/checkpoint").write_bytes(other)
    with pytest.raises(SplitView) as caught:
        opened(home)
    assert caught.value.first == other
    (home / "log/checkpoint").write_bytes(b"nothing of the kind\n")
    with pytest.raises(Refused, match="damaged"):
        opened(home)
    (home / "log/checkpoint").unlink()
    assert opened(home).published == (home / "log/checkpoint").read_bytes()


def test_another_signer_is_refused(tmp_path):
    created(tmp_path / "home", 1)
    with pytest.raises(Refused, match="expected the log's key"):
        Sequencer(KEY, terms.demo_key("other"), posix.open(tmp_path / "home", Disk()))


def test_an_empty_log_never_signed(tmp_path):
    (tmp_path / "home").mkdir()
    posix.create(tmp_path / "home", Disk())
    sequencer = opened(tmp_path / "home")
    assert (sequencer.size, sequencer.head, sequencer.append([])) == (0, b"", 0)
    assert sequencer.tiles.root(0) == merkle.EMPTY
    assert list((tmp_path / "home/log").iterdir()) == []


def test_no_space_is_a_refusal_that_changes_nothing(tmp_path, snapshot):
    home = tmp_path / "home"
    created(home, 3)
    before = snapshot(home)

    def full(call, path):
        if call == "write" and path.parent.name == "stage":
            raise OSError(28, "No space left on device", str(path))

    sequencer = opened(home, Disk(full))
    with pytest.raises(Refused, match="No space left"):
        sequencer.append([b"entry-3"])
    assert snapshot(home) == before


def test_no_space_behind_the_register_stops_the_log_until_it_is_opened_again(tmp_path):
    home = tmp_path / "home"
    created(home, 3)

    def full(call, path):
        if call == "write" and path.parent.parent.name == "entries":
            raise OSError(28, "No space left on device", str(path))

    sequencer = opened(home, Disk(full))
    with pytest.raises(Broken, match="half way"):
        sequencer.append([b"entry-3"])
    with pytest.raises(Broken, match="half way"):
        sequencer.append([b"entry-4"])
    again = opened(home)
    assert again.size == 4
    assert holds(again, 3, b"entry-3")
