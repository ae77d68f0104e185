# SPDX-License-Identifier: Apache-2.0
"""The one writer: crowds share a commit, nobody waits for a timer, and every end is told to everybody."""

from __future__ import annotations

import threading
from concurrent.futures import Future

import pytest

from pausectl.durable import Disk
from pausectl.errors import Broken, Refused, Unavailable
from pausectl.history import receipt
from pausectl.history.decode import decode
from pausectl.log import admission
from pausectl.log.commit import Committer
from pausectl.net.door import Busy
from pausectl.wire import proof

WAIT = 30


class Writing:
    """A log of its own with its writer. `gate` holds up the first witness, and so the writer's turn."""

    def __init__(self, world, tmp_path, *, disk: Disk | None = None, **options) -> None:
        self.world = world
        self.log = world.create(disk=disk)
        witnesses = world.witnesses(tmp_path / "witness")
        self.log.cosign(witnesses, world.now)  # so that its first mark stands, at 1, and the next one is not due
        self.gate = threading.Event()
        self.gate.set()
        self.asked = threading.Event()
        self.refusing = False
        self.turns, self.said = [], []

        def first(request: bytes) -> bytes:
            self.asked.set()
            assert self.gate.wait(WAIT)
            if self.refusing:
                raise Unavailable("gone for lunch")
            return witnesses[0](request)

        def other(request: bytes, ask) -> bytes:
            if self.refusing:
                raise Unavailable("gone for lunch")
            return ask(request)

        asks = [first, *(lambda request, ask=ask: other(request, ask) for ask in witnesses[1:])]
        clock = options.pop("clock", lambda: world.now)
        self.writer = Committer(self.log, asks, clock=clock, say=self.said.append, watch=self.turns.append, **options)

    def submit(self, entry: bytes) -> Future:
        return self.writer.submit(entry, admission.admit(entry, self.world.agreement))

    def __enter__(self):
        self.writer.__enter__()
        return self

    def __exit__(self, *_) -> None:
        self.gate.set()
        self.writer.close()
        self.log.close()


@pytest.fixture
def writing(world, tmp_path):
    def build(**options) -> Writing:
        return Writing(world, tmp_path, **options)

    return build


def checked(entry: bytes, got, agreement) -> None:
    made = proof.parse(got.proof)
    assert made.index == got.index
    receipt.check(made, entry, agreement)


def test_a_lone_entry_is_committed_at_once_and_answered_with_its_proof(writing, world):
    with writing() as our:
        entry = world.entry(0)
        got = our.submit(entry).result(WAIT)
        assert (got.index, got.duplicate) == (2, False)
        checked(entry, got, world.agreement)
    assert [(turn.entries, turn.fresh) for turn in our.turns] == [(1, 1)]


def test_http_6_nobody_is_answered_before_a_quorum_has_cosigned(writing, world):
    with writing() as our:
        our.gate.clear()
        future = our.submit(world.entry(0))
        assert our.asked.wait(WAIT)
        assert our.log.size == 3
        assert not future.done()
        our.gate.set()
        assert future.result(WAIT).index == 2


def test_a_crowd_shares_commits_and_their_fsyncs(writing, world):
    synced = []
    disk = Disk(lambda call, path: synced.append(path) if call == "fsync" else None)
    with writing(disk=disk) as our:
        our.gate.clear()
        before = len(synced)
        lone = our.submit(world.entry(0))
        assert our.asked.wait(WAIT)
        alone = len(synced) - before
        entries = [world.entry(number) for number in range(1, 201)]
        crowd: list[Future | None] = [None] * len(entries)
        threads = [
            threading.Thread(target=lambda place=place: crowd.__setitem__(place, our.submit(entries[place])))
            for place in range(len(entries))
        ]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        before = len(synced)
        our.gate.set()
        got = [future.result(WAIT) for future in crowd]
        shared = len(synced) - before
        assert lone.result(WAIT).index == 2
    assert sorted(each.index for each in got) == list(range(3, 203))
    for entry, each in zip(entries[::50], got[::50], strict=True):
        checked(entry, each, world.agreement)
    assert [turn.entries for turn in our.turns] == [1, 200]
    assert shared <= 4 * alone  # and not 200 times


def test_a_refused_entry_harms_no_neighbour(writing, world):
    """A mark that passes the first look, since only the writer knows what stands before it."""
    with writing() as our:
        our.gate.clear()
        first = our.submit(world.entry(0))
        assert our.asked.wait(WAIT)
        bad = our.writer.submit(*_bad_mark(world))
        good = our.submit(world.entry(1))
        our.gate.set()
        assert first.result(WAIT).index == 2
        with pytest.raises(Refused, match="mark: covers 9 entries"):
            bad.result(WAIT)
        checked(world.entry(1), good.result(WAIT), world.agreement)


def _bad_mark(world):
    from pausectl.log import marks
    from pausectl.wire import checkpoint, cosignature
    from pausectl.wire.checkpoint import Checkpoint

    text = checkpoint.sign(Checkpoint(world.agreement.log_key.name, 9, bytes(32)), world.signer)
    for name, key in world.agreement.witness_keys.items():
        text = _add(text, cosignature.cosign(text.text, key.name, world.keys[name], world.now))
    party = world.roll.log
    entry = marks.write(text, world.agreement, party, 0, world.signer).raw
    return entry, admission.admit(entry, world.agreement)


def _add(text, line):
    from pausectl.wire import note

    return note.add(text, [line])


def test_a_duplicate_gets_the_proof_of_the_first_and_writes_nothing(writing, world):
    with writing() as our:
        first = our.submit(world.entry(0)).result(WAIT)
        size = our.log.size
        again = our.submit(world.entry(0)).result(WAIT)
        assert (again.index, again.duplicate, our.log.size) == (first.index, True, size)
        checked(world.entry(0), again, world.agreement)


def test_twice_in_one_batch_is_one_entry(writing, world):
    with writing() as our:
        our.gate.clear()
        our.submit(world.entry(0))
        assert our.asked.wait(WAIT)
        pair = [our.submit(world.entry(1)) for _ in range(2)]
        our.gate.set()
        assert len({each.result(WAIT).index for each in pair}) == 1


def test_without_a_quorum_nothing_is_acknowledged_and_a_retry_finds_it(writing, world):
    with writing() as our:
        our.refusing = True
        with pytest.raises(Busy, match="has no quorum of witnesses yet") as caught:
            our.submit(world.entry(0)).result(WAIT)
        assert caught.value.after >= 1
        assert "gone for lunch" in our.writer.trouble
        assert len(our.said) == 1
        our.refusing = False
        got = our.submit(world.entry(0)).result(WAIT)
        assert got.duplicate
        checked(world.entry(0), got, world.agreement)
        assert our.writer.trouble == ""


def test_what_comes_and_goes_is_said_once(writing, world):
    with writing() as our:
        for number in range(6):
            our.refusing = number % 2 == 0
            our.submit(world.entry(number)).exception(WAIT)
    assert len(our.said) == len(set(our.said)) <= 4  # the texts name the size


def test_the_quorum_is_asked_again_when_nobody_submits(writing, world, monkeypatch):
    monkeypatch.setattr("pausectl.log.commit._FIRST_WAIT", 0.01)
    with writing() as our:
        our.refusing = True
        with pytest.raises(Unavailable):
            our.submit(world.entry(0)).result(WAIT)
        assert our.log.published_size < our.log.size or not our.log.cosigned
        our.asked.clear()
        our.refusing = False
        assert our.asked.wait(WAIT)
    assert our.log.cosigned
    assert our.log.published_size == our.log.size


def test_a_mark_that_is_due_is_written_when_nobody_submits(writing, world, monkeypatch):
    monkeypatch.setattr("pausectl.log.commit._FIRST_WAIT", 0.01)
    interval = world.agreement.document.log.mark_interval_seconds
    with writing() as our:
        our.submit(world.entry(0)).result(WAIT)
        our.submit(world.entry(1)).result(WAIT)
        marked = our.log.size
        assert our.log.mark_due_at is not None
        our.asked.clear()
        world.now += interval + 1  # the writer sleeps until then by its clock, so it is woken
        our.submit(world.entry(1)).result(WAIT)
        assert our.asked.wait(WAIT)
    assert our.log.size == marked + 1
    assert our.log.mark_due_at is None


def test_http_5_a_full_queue_takes_nothing_in(writing, world):
    with writing(queue=3) as our:
        our.gate.clear()
        first = our.submit(world.entry(0))
        assert our.asked.wait(WAIT)
        taken = [our.submit(world.entry(number)) for number in (1, 2)]
        with pytest.raises(Busy, match="3 entries wait already"):
            our.submit(world.entry(3))
        our.gate.set()
        assert [future.result(WAIT).duplicate for future in (first, *taken)] == [False] * 3
        assert not our.submit(world.entry(3)).result(WAIT).duplicate


def test_what_waits_is_committed_before_it_closes_and_nothing_is_taken_after(writing, world):
    with writing() as our:
        our.gate.clear()
        futures = [our.submit(world.entry(number)) for number in range(20)]
        assert our.asked.wait(WAIT)
        threading.Timer(0.05, our.gate.set).start()
        our.writer.close()
        assert all(future.done() and future.exception() is None for future in futures)
        with pytest.raises(Busy, match="ending"):
            our.submit(world.entry(21))
        assert our.writer.ended.result(WAIT) is None


class FullDisk(Disk):
    """Refuses to write while `full`, below `at`."""

    full = False
    at = "stage"

    def put(self, path, data, mode=0o444):
        if self.full and self.at in path.parts:
            raise OSError(28, "No space left on device")
        super().put(path, data, mode)


def test_a_full_disk_is_503_and_the_log_goes_on_when_there_is_room(writing, world):
    disk = FullDisk()
    with writing(disk=disk) as our:
        disk.full = True
        with pytest.raises(Busy, match="not stored: the entries cannot be stored: No space left"):
            our.submit(world.entry(0)).result(WAIT)
        disk.full = False
        assert our.submit(world.entry(0)).result(WAIT).index == 2


def test_a_log_that_stopped_half_way_ends_and_tells_everybody(writing, world):
    disk = FullDisk()
    disk.at = "tile"
    with writing(disk=disk) as our:
        our.submit(world.entry(0)).result(WAIT)
        our.gate.clear()
        our.asked.clear()
        slow = our.submit(world.entry(1))
        assert our.asked.wait(WAIT)
        disk.full = True
        crowd = [our.submit(world.entry(number)) for number in (2, 3)]
        our.gate.set()
        slow.exception(WAIT)
        assert {type(future.exception(WAIT)) for future in crowd} == {Busy}
        with pytest.raises(Broken):
            our.writer.ended.result(WAIT)
        with pytest.raises(Busy):
            our.submit(world.entry(4))


def test_whoever_cancels_harms_nobody(writing, world):
    with writing() as our:
        our.gate.clear()
        gone = our.submit(world.entry(0))
        assert our.asked.wait(WAIT)
        assert gone.cancel()
        other = our.submit(world.entry(1))
        our.gate.set()
        assert not other.result(WAIT).duplicate


def test_what_admission_said_is_what_is_entered(world):
    entry = world.entry(0)
    assert admission.admit(entry, world.agreement) == decode(entry, world.agreement.keys)
