# SPDX-License-Identifier: Apache-2.0
"""The simulated world: the same each time, readable by everything that reads a ledger, and honest where it says so."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import pytest

from pausectl.history.authority import objection
from pausectl.history.decode import decode
from pausectl.history.reader import open_ledger
from pausectl.history.source import DirectorySource
from pausectl.predicates.base import IDLE
from pausectl.predicates.checkpoint import Mark
from pausectl.predicates.close import Close
from pausectl.predicates.energy import Energy
from pausectl.predicates.usage import Usage
from pausectl.sim import play
from pausectl.sim.evasions import evasions
from pausectl.sim.ledger import MemorySource
from pausectl.sim.terms import Roll
from pausectl.sim.world import FLEET, QUIET, Lab, World
from pausectl.verify.audit import verify
from pausectl.wire import merkle, tile


def test_the_same_world_is_the_same_bytes():
    first, second = World(windows=5).run(), World(windows=5).run()
    assert first.memory.files() == second.memory.files()
    assert first.agreement.raw == second.agreement.raw


@pytest.mark.parametrize("name", ["file-late", "give-two-orders", "bend-time", "serve-two-histories"])
def test_the_same_cheat_is_the_same_bytes(name):
    def digest() -> str:
        files = evasions()[name].build().memory.files()
        return hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()

    assert digest() == digest()


def test_an_honest_log_admits_nothing_that_anybody_could_object_to():
    world = World(windows=6, roll=Roll(labs={"ada": ("ada-1", "ada-2"), "bell": ("bell-1",)})).run()
    for index, raw in enumerate(world.memory.entries):
        entry = decode(raw, world.agreement.keys)
        assert objection(entry, world.agreement) is None, index
        assert entry.claim is not None or index == 0


def test_files_are_what_a_log_of_that_size_serves():
    world = World(windows=36).run()
    files, size = world.memory.files(), len(world.memory.entries)
    assert size > 512
    expected = {each.path for each in (*tile.tiles_for(size), *tile.bundles_for(size))} | {"checkpoint"}
    assert files.keys() == expected
    ledger = open_ledger(MemorySource(files).fetch, world.agreement)
    assert [raw for _, raw in ledger.entries()] == world.memory.entries
    for smaller in (1, 255, 256, 257, 300):
        leaves = [merkle.leaf_hash(raw) for raw in world.memory.entries[:smaller]]
        assert ledger.tiles.root(smaller) == merkle.root(leaves)


def test_an_exported_world_is_read_from_its_directory(tmp_path):
    world = World(windows=2).run()
    play.export(world, tmp_path / "world")
    source = DirectorySource(tmp_path / "world" / "log")
    assert verify(source.fetch, world.agreement).judgement == world.verify().judgement


# ── one physical truth ──


def claims(world: World, kind):
    return [claim for _, _, claim in world.said if isinstance(claim, kind)]


def test_hours_are_all_there_are():
    world = World(windows=3).run()
    total = FLEET * world.agreement.document.windows.length_seconds
    for usage in claims(world, Usage):
        assert sum(work.accelerator_seconds for work in usage.work) == total
        assert {work.category for work in usage.work if work.precision is None} <= IDLE


def test_a_meter_sees_what_was_done_and_not_what_was_filed():
    class Liar(Lab):
        def files_work(self, world, window):  # noqa: ARG002
            return QUIET

    honest, lying = (World(windows=3, labs={"aurora": lab("aurora")}).run() for lab in (Lab, Liar))
    assert [c.energy_wh for c in claims(honest, Energy)] == [c.energy_wh for c in claims(lying, Energy)]
    assert [c.work for c in claims(honest, Usage)] != [c.work for c in claims(lying, Usage)]


def test_marks_come_with_time_and_never_call_for_another_mark():
    world = World(windows=3).run()
    before = len(world.memory.entries)
    for days in range(1, 4):
        world.until(world.now + days * 86_400)
    assert len(world.memory.entries) == before
    kinds = [type(decode(raw, world.agreement.keys).claim) for raw in world.memory.entries]
    assert kinds.count(Mark) >= 4
    assert (Mark, Mark) not in set(pairwise(kinds))


def test_closes_count_every_stream_that_can_speak_against_a_lab():
    world = World(windows=2).run()
    last = {close.header.party: {(h.party, h.stream): h.count for h in close.heads} for close in claims(world, Close)}
    assert last["avon"]["overseers", "orders"] == 1
    assert last["probe"]["probe", "capability"] == 3
    assert last["gridco"]["gridco", "energy/aurora-1"] == 2
