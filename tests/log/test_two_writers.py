# SPDX-License-Identifier: Apache-2.0
"""LOG-26 to LOG-29: two processes on one store, and a store that is set back."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pausectl import durable
from pausectl.durable import Disk
from pausectl.errors import PausectlError, Refused, SplitView, Unavailable, UsageFault
from pausectl.history.tiles import Tiles
from pausectl.log import homes
from pausectl.log.log import Log
from pausectl.log.sequencer import KEPT, Sequencer
from pausectl.log.storage import config, memory
from pausectl.log.storage.config import Places
from pausectl.log.storage.seams import Absent
from pausectl.sim import terms
from pausectl.wire import checkpoint, dsse, note
from pausectl.wire.tile import bundles_for

HAMMER = Path(__file__).parent / "hammer.py"
#: How often a process is killed, for each kind of store; more by hand.
KILLS = int(os.environ.get("PAUSECTL_KILLS", "2"))


def entries_of(store, size: int, root: bytes) -> list[bytes]:
    tiles = Tiles(store.objects.get, size, root)
    return [entry for bundle in bundles_for(size) for entry in tiles.bundle(bundle)]


def is_one_history(store, agreement, seen=()) -> list[bytes]:
    """The entries, if no statement stands there twice and every checkpoint that was seen is one of theirs."""
    head = checkpoint.open(store.head.read(), agreement.log_key)[0]
    found = entries_of(store, head.size, head.root)
    ids = [dsse.parse(entry).statement_id for entry in found]
    assert len(ids) == len(set(ids))
    tiles = Tiles(store.objects.get, head.size, head.root)
    sizes = []
    for raw in seen:
        shown = checkpoint.open(raw, agreement.log_key)[0]
        assert tiles.root(shown.size) == shown.root
        sizes.append(shown.size)
    assert sizes == sorted(sizes)
    return found


# ── in one process, at every step ──


class Hooked:
    """A part of a store that calls `hook(name, do)` instead of each of its methods."""

    def __init__(self, real, name, hook):
        self._real, self._name, self._hook = real, name, hook

    def __getattr__(self, method):
        act = getattr(self._real, method)
        return lambda *args, **kwargs: self._hook(f"{self._name}.{method}", lambda: act(*args, **kwargs))


def hooked(store, hook):
    parts = {name: Hooked(getattr(store, name), name, hook) for name in ("objects", "staging", "head", "public")}
    return replace(store, **parts)


@pytest.fixture
def opened(world, tmp_path):
    """Opens the log on a store in memory, by a home of that name."""
    logs = []

    def open_it(store, name: str) -> Log:
        state = tmp_path / name / "state"
        state.mkdir(parents=True, exist_ok=True)
        lock = durable.lock(state / "lock")
        try:
            logs.append(Log(tmp_path / name, world.agreement, world.signer, store, None, lock))
        except BaseException:
            os.close(lock)
            raise
        return logs[-1]

    yield open_it
    for log in logs:
        log.close()


class Shown:
    """Every checkpoint that a reader could have seen."""

    def __init__(self, store):
        self.store, self.seen = store, []

    def look(self):
        raw = self.store.public.read()
        if raw and (not self.seen or self.seen[-1] != raw):
            self.seen.append(raw)


def test_another_writes_before_every_step_of_a_commit(world, opened):
    """LOG-29: of whatever two submit to two processes, each stands there once, and both are told where."""
    at, interrupted = 0, True
    while interrupted:
        store = memory.store()
        shown = Shown(store)
        other = opened(store, f"other-{at}")
        left = [at]

        def step(_, do, left=left, other=other, shown=shown):
            if left[0] == 0:
                other.add([world.entry(1), world.entry(2)])
            left[0] -= 1
            result = do()
            shown.look()
            return result

        log = opened(hooked(store, step), f"log-{at}")
        left[0] = at
        first = log.add([world.entry(0), world.entry(1)])
        interrupted = left[0] < 0
        second = log.add([world.entry(1), world.entry(2)])
        third = other.add([world.entry(n) for n in range(3)])
        found = is_one_history(store, world.agreement, shown.seen)
        assert len(found) == 4
        for answer, entry in zip(third, (world.entry(n) for n in range(3)), strict=True):
            assert found[answer.index] == entry
        assert [answer.index for answer in (*first, second[1])] == [answer.index for answer in third]
        assert all(answer.duplicate for answer in (*third, second[0]))
        log.close()
        other.close()
        at += 1
    assert at > 9


def test_the_tests_here_find_out_a_register_that_is_swapped_blindly(world, opened):
    """As a server that does not know If-Match: the same interleavings end in a fork, and every one is seen."""
    forked = 0
    for at in range(9):
        store = memory.store()
        real = store.head

        class Blind:
            read = real.read

            def swap(self, _, new, real=real):
                real.swap(real.read(), new)

        store = replace(store, head=Blind())
        other, left = opened(store, f"other-{at}"), [-1]

        def step(_, do, left=left, other=other):
            if left[0] == 0:
                other.add([world.entry(1), world.entry(2)])
            left[0] -= 1
            return do()

        log = opened(hooked(store, step), f"log-{at}")
        left[0] = at
        try:
            told = [*log.add([world.entry(0)]), *other.add([world.entry(3)])]
            found = is_one_history(store, world.agreement)
            assert all(found[answer.index] in (world.entry(0), world.entry(3)) for answer in told)
            assert len(found) == 5
        except (AssertionError, PausectlError):
            forked += 1
    assert forked >= 3


@pytest.mark.parametrize("when", ["before", "behind", "late"])
def test_a_store_fails_at_every_step(world, opened, when):
    """LOG-27, LOG-29: the call was lost, or its answer was, or it comes when it is no longer expected."""
    at, failed = 0, True
    while failed:
        store = memory.store()
        shown, late = Shown(store), []
        left = [-1]

        def step(_, do, left=left, late=late, shown=shown):
            left[0] -= 1
            if left[0] == -1:
                if when == "behind":
                    do()
                if when == "late":
                    late.append(do)
                raise Unavailable("the network is gone")
            result = do()
            shown.look()
            return result

        log = opened(hooked(store, step), f"log-{at}")
        left[0] = at
        try:
            answers = log.add([world.entry(0), world.entry(1)])
        except Unavailable:
            for do in late:
                with contextlib.suppress(PausectlError):
                    do()
            answers = log.add([world.entry(0), world.entry(1)])
        else:
            for do in late:
                with contextlib.suppress(PausectlError):
                    do()
        failed = left[0] < 0
        left[0] = -1
        assert [answer.index for answer in answers] == [1, 2]
        log.add([world.entry(3)])
        assert len(is_one_history(store, world.agreement, shown.seen)) == 4
        # A process that finds the store as it was left goes on as well.
        assert opened(store, f"next-{at}").add([world.entry(0), world.entry(4)])[1].index == 4
        is_one_history(store, world.agreement, shown.seen)
        at += 1
    assert at > 9


def test_a_process_dies_at_every_step_and_the_other_goes_on(world, opened):
    """LOG-27: whoever wins a swap and dies leaves what the other needs to finish it."""
    at, died = 0, True
    while died:
        store = memory.store()
        shown = Shown(store)
        other = opened(store, f"other-{at}")
        left = [-1]

        def step(_, do, left=left, shown=shown):
            if left[0] == 0:
                raise KeyboardInterrupt
            left[0] -= 1
            result = do()
            shown.look()
            return result

        log = opened(hooked(store, step), f"log-{at}")
        left[0] = at
        died = False
        try:
            log.add([world.entry(0), world.entry(1)])
        except KeyboardInterrupt:
            died = True
        log.close()
        answers = other.add([world.entry(2), world.entry(1)])
        shown.look()
        found = is_one_history(store, world.agreement, shown.seen)
        assert [found[answer.index] for answer in answers] == [world.entry(2), world.entry(1)]
        other.close()
        at += 1
    assert at > 8


def test_a_winner_that_never_ends_is_given_up_on(world, opened):
    """LOG-29: bounded, and nothing of it is there twice afterwards."""
    store = memory.store()
    other = opened(store, "other")
    turn = [0]

    def step(name, do):
        if name == "head.swap":
            turn[0] += 1
            other.add([world.entry(1000 + turn[0])])
        return do()

    log = opened(hooked(store, step), "log")
    with pytest.raises(Unavailable, match="gave up after 32 attempts"):
        log.add([world.entry(0)])
    assert turn[0] == 32
    other.add([world.entry(0)])
    is_one_history(store, world.agreement)


def test_the_published_checkpoint_never_goes_back(world, opened, tmp_path):
    """LOG-28: one process has its checkpoint cosigned, and the other has published a larger one since."""
    store = memory.store()
    witnesses = world.witnesses(tmp_path / "witnesses")
    first, second = opened(store, "first"), opened(store, "second")
    later = []

    def slow(request):
        if not later:
            later.append(second.add([world.entry(0)]))
            second.cosign(witnesses[1:], world.now)
        return witnesses[0](request)

    # Witnesses remember the larger tree by now, so the others are asked in vain, and the quorum fails or is too late.
    with contextlib.suppress(Unavailable):
        first.cosign([slow, *witnesses[1:]], world.now)
    shown = checkpoint.open(store.public.read(), world.agreement.log_key)[0]
    assert shown.size >= 2
    first.cosign(witnesses, world.now)
    again = checkpoint.open(store.public.read(), world.agreement.log_key)[0]
    assert again.size >= shown.size
    is_one_history(store, world.agreement)


def test_a_witness_that_knows_what_the_other_process_wrote_is_no_fork_signal(world, opened, tmp_path):
    store = memory.store()
    first, second = opened(store, "first"), opened(store, "second")
    witnesses = world.witnesses(tmp_path / "witnesses")

    def later(request):
        second.add([world.entry(0)])
        second.cosign(witnesses, world.now)  # after `first` has looked at the head, and before it hears this
        return witnesses[0](request)

    with pytest.raises(Unavailable, match="another process went on from size"):
        first.cosign([later], world.now)
    assert not any("FORK" in each for each in first.complaints)
    assert first.cosign(witnesses, world.now) == store.public.read()


KEY = note.VerifierKey("log.example/test", note.TYPE_ED25519, terms.demo_key("log").public)


def sequencer(store) -> Sequencer:
    return Sequencer(KEY, terms.demo_key("log"), store)


def test_a_checkpoint_that_comes_late_does_not_replace_a_larger_one():
    """LOG-28, of the sequencer."""
    store = memory.store()
    slow, quick = sequencer(store), sequencer(store)
    slow.append([b"0"])
    quick.reload()
    quick.append([b"1"])
    shown = store.public.read()
    slow.publish(note.parse(slow.head))
    assert store.public.read() == shown == quick.head
    assert slow.published_size == 2


def test_partial_tiles_of_what_others_may_still_publish_are_kept():
    """LOG-8, and that what was staged in vain is removed in the end."""
    store = memory.store()
    one, two = sequencer(store), sequencer(store)
    for turn in range(40):
        writer = one if turn % 2 else two
        writer.reload()
        writer.append([b"entry-%d" % turn])
        for size in range(max(1, turn + 2 - KEPT), turn + 2):
            store.objects.get(f"tile/0/000.p/{size}")
    assert len(store.objects._blobs) < 2 * 4 * KEPT
    one.append([b"x"])
    with pytest.raises(Unavailable):
        two.append([b"y"])
    two.reload()
    two.append([b"y"])
    assert store.staging._blobs == {}


def test_a_tree_that_others_have_outgrown_can_still_be_read(world, opened):
    """Its partial bundle was read once; by now it is gone."""
    store = memory.store()
    slow, quick = opened(store, "slow"), opened(store, "quick")
    slow.add([world.entry(0)])
    for number in range(1, 3 * KEPT):
        quick.add([world.entry(number)])
    with pytest.raises(Unavailable):
        store.objects.get("tile/entries/000.p/2")
    assert slow.admit(world.entry(0))
    assert slow.add([world.entry(0)])[0] == replace(slow.add([world.entry(0)])[0], duplicate=True)
    assert slow.size == 2
    assert slow.add([world.entry(100)])[0].index == 3 * KEPT + 1
    is_one_history(store, world.agreement)


def test_a_log_that_was_replaced_by_another_is_a_split_view():
    """What this process knew is evidence, and it signs nothing more."""
    store, other = memory.store(), memory.store()
    mine, theirs = sequencer(store), sequencer(other)
    mine.append([b"mine"])
    theirs.append([b"theirs"])
    store.objects._blobs, store.head._value, store.public._value = (
        other.objects._blobs, other.head._value, other.public._value,
    )  # fmt: skip
    with pytest.raises(Unavailable):
        mine.append([b"more"])
    with pytest.raises(SplitView) as caught:
        mine.reload()
    assert {caught.value.first, caught.value.second} == {mine.head, theirs.head}


def test_a_register_that_was_set_back_under_a_running_log_is_refused():
    store = memory.store()
    log = sequencer(store)
    log.append([b"0"])
    old = store.head.read()
    log.append([b"1"])
    store.head._value = old
    with pytest.raises(Unavailable):
        log.append([b"2"])
    with pytest.raises(Refused, match="expected size 2 or more, as its process has it, found 1"):
        log.reload()


# ── the second memory ──


def test_a_restored_backup_of_everything_is_refused(world, tmp_path):
    """LOG-26: register, files, index and all, as they were yesterday."""
    second = tmp_path / "elsewhere" / "memory"
    second.parent.mkdir()
    places = Places(memory=str(second))
    with world.create(places=places) as log:
        log.add([world.entry(0)])
    shutil.copytree(world.home, tmp_path / "backup", symlinks=True)
    with world.open() as log:
        log.add([world.entry(1)])
        assert second.read_bytes() == (world.home / "state/head").read_bytes()
    shutil.rmtree(world.home)
    shutil.copytree(tmp_path / "backup", world.home)
    with pytest.raises(Refused, match="expected size 3 or more, as its second memory has it, found 2") as caught:
        world.open()
    assert "old copy" in caught.value.hint


def test_a_second_memory_of_another_history_is_a_split_view(world, tmp_path):
    """LOG-26: the backup went on before somebody looked."""
    second = tmp_path / "memory"
    with world.create(places=Places(memory=str(second))) as log:
        log.add([world.entry(0)])
    shutil.copytree(world.home, tmp_path / "backup", symlinks=True)
    with world.open() as log:
        log.add([world.entry(1)])
    (tmp_path / "backup" / "store.toml").unlink()
    with world.open(tmp_path / "backup") as log:
        log.add([world.entry(2)])
        log.add([world.entry(3)])
    (tmp_path / "backup" / "store.toml").write_bytes((world.home / "store.toml").read_bytes())
    with pytest.raises(SplitView) as caught:
        world.open(tmp_path / "backup")
    assert caught.value.first == second.read_bytes()


def test_a_second_memory_that_is_gone_is_not_made_again(world, tmp_path):
    second = tmp_path / "memory"
    world.create(places=Places(memory=str(second))).close()
    second.unlink()
    with pytest.raises(Unavailable, match="second memory cannot be read"):
        world.open()
    second.write_bytes(b"")  # by hand, by a person
    world.open().close()
    assert second.read_bytes() == (world.home / "state/head").read_bytes()


def test_a_second_memory_is_given_once_and_for_all(world, tmp_path):
    world.create().close()
    with pytest.raises(UsageFault, match="must lie elsewhere"):
        homes.remember(world.home, world.home / "state" / "memory")
    homes.remember(world.home, tmp_path / "memory")
    homes.remember(world.home, tmp_path / "memory")
    world.open().close()
    with pytest.raises(UsageFault, match="has its second memory at"):
        homes.remember(world.home, tmp_path / "other")
    assert (tmp_path / "memory").read_bytes() == (world.home / "state/head").read_bytes()


def test_the_second_memory_knows_before_anybody_can_see(world, tmp_path):
    """LOG-26: behind the swap, and before anything that is public."""
    second, calls = tmp_path / "memory", []
    world.create(places=Places(memory=str(second))).close()
    with world.open(disk=Disk(lambda call, path: calls.append((call, path)))) as log:
        calls.clear()
        log.add([world.entry(0)])
    renamed = [path.relative_to(tmp_path).as_posix() for call, path in calls if call == "rename"]
    assert renamed[1:4] == ["home/state/head", "memory", "home/log/tile/entries/000.p/2"]


# ── processes ──


class Process:
    """A hammer that runs, and what it said."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            [sys.executable, HAMMER, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.lines = []
        self.ready = threading.Event()
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            if line.endswith("\n"):
                self.lines.append(line.split())
                self.ready.set()
        self.ready.set()

    @property
    def acks(self) -> list[tuple[int, int]]:
        return [(int(line[1]), int(line[2])) for line in self.lines if line[0] == "ack"]

    def end(self, *, kill: bool = False) -> None:
        if kill:
            self.process.kill()
        else:
            self.process.stdin.close()
        self.process.wait(60)
        self.reader.join()
        told = self.process.stderr.read()
        self.process.stdout.close()
        self.process.stderr.close()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        assert self.process.returncode == (-9 if kill else 0), told


def test_two_processes_on_one_store_of_which_one_is_killed_again_and_again(world, shared_urls, tmp_path, capsys):
    """Nothing acknowledged is lost, nothing stands there twice, and whatever was published is one history."""
    objects, head = (f"{url}{'/' if url.startswith('s3') else '#'}two-{tmp_path.name}" for url in shared_urls)
    chance = random.Random(7)  # noqa: S311 - when to kill
    world.create(places=Places(objects, head)).close()
    store = config.open(tmp_path / "reader", Places(objects, head), Disk())
    shown, over = Shown(store), threading.Event()

    def watch():
        while not over.wait(0.01):
            shown.look()

    watcher = threading.Thread(target=watch)
    watcher.start()
    acks, steady = [], Process(tmp_path / "steady", objects, head, 1)
    try:
        for kill in range(KILLS):
            victim = Process(tmp_path / "victim", objects, head, 2 + kill)
            assert victim.ready.wait(60)
            time.sleep(chance.random() * 0.5)
            victim.end(kill=True)
            acks += victim.acks
        steady.end()
        acks += steady.acks
    finally:
        over.set()
        watcher.join()
        steady.process.kill()
    with Log.join(tmp_path / "third", world.agreement, world.signer, Places(objects, head)) as log:
        log.add([world.entry(999_999)])
        shown.look()
        found = is_one_history(store, world.agreement, shown.seen)
        for index, sequence in acks:
            assert found[index] == world.entry(sequence)
        assert len(steady.acks) > KILLS
    store.close()
    with capsys.disabled():
        lost = sum(line[0] == "unavailable" for line in steady.lines)
        print(f"\n{KILLS} kills, {len(acks)} acknowledged and there, {len(found)} entries, "
              f"{len(shown.seen)} checkpoints seen, {lost} times given up")  # fmt: skip


def test_a_database_that_dies_takes_nothing_back(world, servers, tmp_path):
    """STORE-9: kill -9 for all of PostgreSQL, again and again, under a log that goes on when it is back."""
    acks = []
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(servers.postgres())
        except servers.Absent as error:
            pytest.skip(str(error))
        world.create(places=Places(server.url, server.url)).close()
        steady = Process(tmp_path / "steady", server.url, server.url, 1)
        try:
            assert steady.ready.wait(60)
            for _ in range(KILLS):
                said = len(steady.acks)
                deadline = time.monotonic() + 60
                while len(steady.acks) < said + 5 and time.monotonic() < deadline:
                    time.sleep(0.01)
                server.kill()
                server.start()
            steady.end()
        finally:
            steady.process.kill()
        acks = steady.acks
        store = config.open(tmp_path / "reader", Places(server.url, server.url), Disk())
        Log.join(tmp_path / "third", world.agreement, world.signer, Places(server.url, server.url)).close()
        found = is_one_history(store, world.agreement)
        store.close()
    assert len(acks) >= 5 * KILLS
    assert all(found[index] == world.entry(sequence) for index, sequence in acks)


@pytest.mark.parametrize("kinds", [("s3", ""), ("postgres", ""), ("", "s3"), ("", "postgres"), ("postgres", "s3")])
def test_any_mixture_keeps_a_log(world, kinds, request, tmp_path):
    """And discards what eight checkpoints have superseded; a part that lies in a home keeps other homes out."""
    urls = [kind and request.getfixturevalue(kind).url for kind in kinds]
    places = Places(*(
        url and f"{url}{'/' if url.startswith('s3') else '#'}mix-{tmp_path.name}" for url in urls
    ))  # fmt: skip
    with world.create(places=places) as log:
        for number in range(KEPT + 2):
            log.add([world.entry(number)])
        for size in (2, 3):
            with pytest.raises(Absent):
                log.store.objects.get(f"tile/0/000.p/{size}")
        assert log.store.exclusive is not places.shared
    with world.open() as log:
        assert log.add([world.entry(0)])[0].index == 1
        assert log.add([world.entry(100)])[0].index == KEPT + 3
        found = is_one_history(log.store, world.agreement, [log.checkpoint])
    assert len(found) == KEPT + 4
    if not places.shared:
        with pytest.raises(UsageFault, match="not shared"):
            Log.join(tmp_path / "other", world.agreement, world.signer, places)


def test_a_second_process_with_the_same_home_is_refused(world, shared_urls, tmp_path):
    """LOG-30, where the log lies elsewhere."""
    objects, head = (f"{url}{'/' if url.startswith('s3') else '#'}one-{tmp_path.name}" for url in shared_urls)
    with world.create(places=Places(objects, head)):
        with pytest.raises(Refused, match="another process"):
            world.open()
        with Log.join(tmp_path / "second", world.agreement, world.signer, Places(objects, head)) as other:
            assert other.size == 1
    with pytest.raises(UsageFault, match="both"):
        Log.join(tmp_path / "third", world.agreement, world.signer, Places(objects=objects))
    world.open().close()
