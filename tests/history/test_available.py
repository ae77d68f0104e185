# SPDX-License-Identifier: Apache-2.0
"""A witness vouches that there was a tree, a mirror that it can be had: MARK-5, MARK-6."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from pausectl.agreement.types import instant
from pausectl.errors import Forged
from pausectl.history import state
from pausectl.history.decode import decode
from pausectl.history.reader import sight
from pausectl.history.replay import History
from pausectl.predicates import base
from pausectl.predicates.base import Header
from pausectl.predicates.checkpoint import Mark
from pausectl.report.json import render
from pausectl.sim.terms import Roll, demo_key
from pausectl.sim.world import World
from pausectl.verify.audit import verify
from pausectl.wire import cosignature, dsse, merkle, note
from pausectl.wire.keys import ED25519, MLDSA44

NOW = 1_784_000_000
MIRRORS = ("pool", "quay", "reef")


@pytest.fixture
def world(hand):
    return hand(roll=replace(Roll(), mirrors=MIRRORS))


def mirrored(raw: bytes, times: dict[str, int], suites=(ED25519,)) -> bytes:
    """The note with lines of mirrors."""
    signed = note.parse(raw)
    lines = [
        cosignature.cosign(signed.text, f"{name}.example", demo_key(name, suite), time)
        for name, time in times.items()
        for suite in suites
    ]
    return note.add(signed, lines).raw


def mark(world, raw: bytes) -> int:
    """Log a mark with the lines of this note; its index."""
    number, world.ledger._marks = world.ledger._marks, world.ledger._marks + 1
    header = Header(
        agreement=world.agreement.id, log=world.agreement.document.log.origin, party=world.roll.log,
        sequence=number, stream="marks", window=None,
    )  # fmt: skip
    claim = base.write(Mark(checkpoint=raw.decode(), header=header))
    return world.ledger.append(dsse.sign(claim, world.keys[world.roll.log]).raw)


# ── one checkpoint ──


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({}, None), ({"pool": NOW + 9}, None), ({"pool": NOW + 9, "quay": NOW + 5}, NOW + 9),
        ({"pool": NOW + 9, "quay": NOW + 5, "reef": NOW + 7}, NOW + 7),
        ({"pool": NOW - 900, "quay": NOW - 900}, NOW),
    ],
)  # fmt: skip
def test_mark_5_the_kth_smallest_time_of_mirrors_and_not_before_the_witnesses(world, times, expected):
    assert world.agreement.document.mirrors.quorum == 2
    seen = sight(mirrored(world.ledger.signed(NOW), times), world.agreement)
    assert (seen.by, seen.mirrored) == (NOW, expected)


def test_one_mirror_with_many_lines_is_one_and_a_witness_is_none(world):
    twice = mirrored(mirrored(world.ledger.signed(NOW), {"pool": NOW + 1}), {"pool": NOW + 2})
    assert sight(twice, world.agreement).mirrored is None


def test_a_line_of_a_mirror_that_fails_refuses_the_note_like_any_known_key_s(world):
    raw = mirrored(world.ledger.signed(NOW), {"pool": NOW + 1})
    signed = note.parse(raw)
    last = signed.signatures[-1]
    forged = replace(last, payload=last.payload[:-1] + bytes([last.payload[-1] ^ 1]))
    with pytest.raises(Forged):
        sight(note.Note(signed.text, (*signed.signatures[:-1], forged)).raw, world.agreement)


def test_an_agreement_without_mirrors_is_shown_nothing(hand):
    world = hand()
    seen = sight(mirrored(world.ledger.signed(NOW), {"pool": NOW, "quay": NOW}), world.agreement)
    assert seen.mirrored is None


def test_mirrors_with_two_keys_need_both(hand):
    world = hand(roll=replace(Roll(), mirrors=MIRRORS, post_quantum=True))
    raw = world.ledger.cosigned(NOW)
    both = dict.fromkeys(MIRRORS[:2], NOW + 3)
    assert sight(mirrored(raw, both), world.agreement).mirrored is None
    assert sight(mirrored(raw, both, (ED25519, MLDSA44)), world.agreement).mirrored == NOW + 3


# ── the history ──


def test_mark_6_a_late_mark_that_moves_no_time_shows_availability(world):
    """Of the same size as the mark before it, as it must be: mirrors come after witnesses."""
    size = len(world.ledger.entries)
    world.mark(NOW)
    again = world.ledger.signed(NOW, size=size, root=root(world, size))
    late = mark(world, mirrored(again, {"pool": NOW + 60, "reef": NOW + 61}))
    history = world.replay(NOW + 3_600)
    assert late not in history.bad_marks
    assert history.available == (size, NOW + 61)
    assert history.marked.first == NOW + 3_600
    assert world.replay(NOW + 3_600, as_of=NOW + 60).available is None
    assert world.replay(NOW + 3_600, as_of=NOW + 61).available == (size, NOW + 61)


def test_the_largest_tree_counts_and_of_one_size_the_first(world):
    size = len(world.ledger.entries)
    for wait, shown in ((60, size), (90, size), (120, size + 1), (150, size)):
        note_of = world.ledger.signed(NOW, size=shown, root=root(world, shown))
        mark(world, mirrored(note_of, {"pool": NOW + wait, "quay": NOW + wait}))
    assert world.replay(NOW + 3_600).available == (size + 1, NOW + 120)


def test_the_head_counts_when_it_is_judged_late_enough(world):
    world.mark(NOW)
    world.memory.head = mirrored(world.ledger.signed(NOW + 60), {"pool": NOW + 90, "quay": NOW + 99})
    head, size = sight(world.memory.head, world.agreement), len(world.ledger.entries)
    for as_of, expected in ((None, None), (NOW + 98, None), (NOW + 99, (size, NOW + 99))):
        history = History(world.agreement, head, lambda n: root(world, n), as_of=as_of, on_settled=lambda _: None)
        for index, raw in enumerate(world.ledger.entries):
            history.add(index, decode(raw, world.agreement.keys))
        history.finish()
        assert history.available == expected


def test_it_is_saved_and_taken_up_again(world):
    size = len(world.ledger.entries)
    mark(world, mirrored(world.ledger.signed(NOW), {"pool": NOW + 1, "quay": NOW + 1}))
    head = sight(world.ledger.signed(NOW + 60), world.agreement)
    made = [
        History(world.agreement, head, lambda n: root(world, n), as_of=None, on_settled=lambda _: None)
        for _ in range(2)
    ]
    for index, raw in enumerate(world.ledger.entries):
        made[0].add(index, decode(raw, world.agreement.keys))
    state.load(json.loads(json.dumps(state.dump(made[0]))), made[1])
    assert made[1].available == made[0].available == (size, NOW + 1)


def test_the_report_says_it(world):
    world.mark(NOW)
    mark(world, mirrored(world.ledger.signed(NOW, size=1, root=root(world, 1)), {"pool": NOW + 1, "quay": NOW + 1}))
    world.memory.head = world.ledger.signed(NOW + 60)
    report = verify(world.source().fetch, world.agreement)
    assert render(report)["available"] == {"by": instant(NOW + 1), "size": 1}
    bare = World(windows=1).run().verify()
    assert render(bare)["available"] is None


def root(world, size: int) -> bytes:
    """Of the first so many entries."""
    return merkle.root([merkle.leaf_hash(raw) for raw in world.ledger.entries[:size]])
