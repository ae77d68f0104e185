# SPDX-License-Identifier: Apache-2.0
"""READ-1, READ-5, MARK-1: whose word a checkpoint is, and what time it was."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pausectl.errors import Forged, Malformed, PausectlError, SplitView, Unavailable
from pausectl.history.reader import open_ledger, open_seen, sight
from pausectl.sim.ledger import MemorySource
from pausectl.sim.terms import demo_key
from pausectl.wire import note

T0 = 1_800_000_000
WITNESSES = ("wharf", "xylem", "yarrow", "zephyr")  # three of four, one of whom may lie


@pytest.fixture
def world(hand):
    return hand()


def test_read_1_a_quorum_of_distinct_witnesses(world):
    for count in range(5):
        raw = world.ledger.signed(dict.fromkeys(WITNESSES[:count], T0))
        if count >= 3:
            assert sight(raw, world.agreement).by == T0
        else:
            with pytest.raises(Forged, match=f"cosigned by {count} of the 3 required"):
                sight(raw, world.agreement)


def test_read_1_one_witness_three_times_is_one(world):
    notes = [note.parse(world.ledger.signed({"wharf": T0 + i})) for i in range(3)]
    lines = [line for each in notes for line in each.signatures if line.name == "wharf.example"]
    assert len(lines) == 3
    with pytest.raises(Forged, match="1 of the 3 required"):
        sight(note.Note(notes[0].text, (notes[0].signatures[0], *lines)).raw, world.agreement)


def test_read_1_the_logs_own_signature(world):
    signed = note.parse(world.ledger.signed(T0))
    without = tuple(line for line in signed.signatures if line.name != world.agreement.log_key.name)
    with pytest.raises((Forged, Malformed)):
        sight(note.Note(signed.text, without).raw, world.agreement)


def test_read_1_lines_of_strangers_count_for_nothing(world):
    signed = note.parse(world.ledger.signed(dict.fromkeys(WITNESSES[:3], T0)))
    *rest, last = signed.signatures
    stranger = note.Signature(f"{last.name}.elsewhere", b"\1\2\3\4", last.payload)
    with pytest.raises(Forged, match="2 of the 3 required"):
        sight(note.Note(signed.text, (*rest, stranger)).raw, world.agreement)


def test_mark_1_the_time_is_the_kth_smallest(world):
    """k − f of the k smallest are honest, so a liar cannot make a tree older than it is; nor younger, if all sign."""
    for lie in (1, T0 - 10**6, T0 + 10**6, 2**62):
        for liar in WITNESSES:
            times = {name: T0 + 10 * i for i, name in enumerate(WITNESSES)} | {liar: lie}
            seen = sight(world.ledger.signed(times), world.agreement)
            honest = sorted(time for name, time in times.items() if name != liar)
            assert honest[0] <= seen.by <= honest[-1]
            assert seen.first <= honest[0]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(min_value=1, max_value=2**37), min_size=3, max_size=4))
def test_mark_1_against_sorting(world, times):
    seen = sight(world.ledger.signed(dict(zip(WITNESSES, times, strict=False))), world.agreement)
    assert (seen.first, seen.by) == (min(times), sorted(times)[2])


def test_times_that_no_calendar_has(world):
    """A minimal quorum with one liar in it can say any time: one that cannot be written is no evidence."""
    with pytest.raises(Forged, match="year 9999"):
        sight(world.ledger.signed({"wharf": T0, "xylem": T0, "zephyr": 253_402_300_800}), world.agreement)
    assert (
        sight(world.ledger.signed({"wharf": T0, "xylem": T0, "zephyr": 253_402_300_799}), world.agreement).first == T0
    )


# ── heads ──


def test_a_head_in_the_place_of_another_log(world, hand):
    other = hand(
        changes={
            "log": {
                "mark_interval_seconds": 3_600,
                "mldsa44": None,
                "origin": "log.other/x",
                "successors": [],
                "vkey": vkey(world, "log.other/x"),
            }
        }
    )
    world.memory.head = other.ledger.signed(T0)
    with pytest.raises(PausectlError):
        open_ledger(world.source().fetch, world.agreement)


def vkey(world, origin: str) -> str:
    return note.format_vkey(note.VerifierKey(origin, note.TYPE_ED25519, world.keys[world.roll.log].public))


def test_an_empty_log(world):
    empty = world.ledger.signed(T0, size=0, root=hashlib.sha256(b"").digest())
    with pytest.raises(Unavailable, match="empty"):
        open_ledger(MemorySource({"checkpoint": empty}).fetch, world.agreement)


def test_a_head_larger_than_its_tiles(world):
    files = world.memory.files()
    world.ledger.append(b"one more")
    with pytest.raises(Unavailable):
        open_ledger(MemorySource({**files, "checkpoint": world.ledger.signed(T0)}).fetch, world.agreement)


def test_entries_from_the_middle(world):
    for i in range(600):
        world.ledger.append(b"%d" % i)
    ledger = world.open(T0)
    for start in (0, 1, 255, 256, 257, 599, 600, 601):
        assert [index for index, _ in ledger.entries(start)] == list(range(start, 601))


# ── other people's checkpoints ──


def test_read_5_a_smaller_checkpoint_of_the_same_tree(world):
    kept = []
    for i in range(5):
        kept.append(world.ledger.signed(T0))
        world.ledger.append(b"%d" % i)
    ledger = world.open(T0)
    for raw in [*kept, world.ledger.signed({}), world.ledger.signed(T0, size=0, root=hashlib.sha256(b"").digest())]:
        ledger.agrees_with(open_seen(raw, world.agreement), raw)


def test_read_5_two_trees_are_a_split_view_with_both_notes(world):
    world.ledger.append(b"a")
    other = world.ledger.signed({}, size=1, root=b"\1" * 32)  # no witness needs to have seen it
    ledger = world.open(T0)
    with pytest.raises(SplitView, match="two different trees of its first 1 entries") as caught:
        ledger.agrees_with(open_seen(other, world.agreement), other)
    assert (caught.value.first, caught.value.second) == (other, ledger.head.raw)


def test_read_5_a_larger_checkpoint_shows_an_old_copy(world):
    ledger = world.open(T0)
    world.ledger.append(b"a")
    later = world.ledger.signed(T0)
    with pytest.raises(Unavailable, match="rolled back"):
        ledger.agrees_with(open_seen(later, world.agreement), later)


def test_read_5_a_checkpoint_by_somebody_else_is_no_evidence(world, hand):
    other = hand(keys={"ledgerco": demo_key("somebody else")})
    raw = other.ledger.signed(T0)
    with pytest.raises((Forged, Malformed)):
        open_seen(raw, world.agreement)


@pytest.mark.parametrize("size", [0, 1])
def test_read_5_small_trees_have_one_root(world, size):
    other = world.ledger.signed({}, size=size, root=b"\1" * 32)
    with pytest.raises(SplitView):
        world.open(T0).agrees_with(open_seen(other, world.agreement), other)
