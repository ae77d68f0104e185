# SPDX-License-Identifier: Apache-2.0
"""What others were shown, against what is held (MIR-9): a fork is found whoever was shown which side, first or last."""

from __future__ import annotations

import pytest

from pausectl.errors import SplitView
from pausectl.mirror.compare import MAX_WAITING, Comparison, place
from pausectl.sim.terms import demo_key
from pausectl.wire import cosignature, evidence, note

NOW = 1_800_000_000


def test_the_place_is_that_of_c2sp():
    assert place("pause.example/golden") == "3f5d3b8d2a9e2716ae595fe028b75796f7dc01277977f6b8f9ba0d98622f55b6"


@pytest.fixture
def witness(tree):
    """`witness(name, size, other=…)`: one that cosigned such a tree, as a source."""

    def one(name: str, size: int, **fork):
        shown = tree(0)
        shown.name = name
        raw = note.parse(tree(size, **fork).files["checkpoint"])
        line = cosignature.cosign(raw.text, name, demo_key(name), NOW)
        shown.files = {f"{place('log.example/mirrored')}/checkpoint": note.add(raw, [line]).raw}
        return shown

    return one


def convicted(split: SplitView, trust) -> tuple[int, int]:
    first, second = evidence.check(evidence.parse(split.evidence), trust.log_key)
    return first.size, second.size


def test_those_who_were_shown_the_same_say_nothing(tree, opened, witness):
    mirror = opened()
    mirror.follow(tree(600), NOW)
    names = [witness("w1.example", 600), witness("w2.example", 1), witness("w3.example", 256), witness("w4.example", 0)]
    assert Comparison(mirror, names).look() == {}
    assert not list((mirror.memory.home / "evidence").iterdir())


@pytest.mark.parametrize("size", [3, 300, 600])
def test_a_fork_within_what_is_held_convicts_at_once(tree, opened, witness, trust, size):
    mirror = opened()
    mirror.follow(tree(600), NOW)
    with pytest.raises(SplitView) as caught:
        Comparison(mirror, [witness("w1.example", size, other=2), witness("w2.example", 600)]).look()
    assert convicted(caught.value, trust) == (size, 600)
    assert {"w1.example", str(mirror.memory.home)} == set(evidence.parse(caught.value.evidence).got)


def test_a_larger_fork_convicts_when_the_copy_has_grown_as_far_even_after_a_restart(tree, opened, witness, trust):
    mirror = opened()
    mirror.follow(tree(5), NOW)
    told = Comparison(mirror, [witness("w1.example", 9, other=2)]).look()
    assert told == {"w1.example": "w1.example: shows 9 entries, of which the log shows 5"}
    mirror.close()
    mirror = opened()
    assert Comparison(mirror, []).look() == {}
    mirror.follow(tree(8), NOW)
    assert Comparison(mirror, []).look() == {}
    mirror.follow(tree(12), NOW)
    for _ in range(2):
        with pytest.raises(SplitView) as caught:
            Comparison(mirror, []).look()
        assert convicted(caught.value, trust) == (9, 12)
    assert "w1.example" in evidence.parse(caught.value.evidence).got[0]


def test_an_honest_witness_that_was_ahead_is_forgotten(tree, opened, witness):
    mirror = opened()
    mirror.follow(tree(5), NOW)
    comparison = Comparison(mirror, [witness("w1.example", 9)])
    assert comparison.look()
    assert len(mirror.memory.seen()) == 1
    mirror.follow(tree(9), NOW)
    assert comparison.look() == {}
    assert mirror.memory.seen() == {}


def test_two_witnesses_ahead_of_the_log_convict_it_by_themselves(tree, opened, witness, trust):
    mirror = opened()
    mirror.follow(tree(5), NOW)
    with pytest.raises(SplitView) as caught:
        Comparison(mirror, [witness("w1.example", 9), witness("w2.example", 9, other=6)]).look()
    assert convicted(caught.value, trust) == (9, 9)


def test_one_that_cannot_be_compared_hides_no_other(tree, opened, witness, trust):
    mirror = opened()
    mirror.follow(tree(5), NOW)
    silent, stranger = witness("w1.example", 5), witness("w2.example", 5)
    silent.files = {}
    path = f"{place('log.example/mirrored')}/checkpoint"
    raw = note.parse(stranger.files[path])
    stranger.files[path] = note.Note(raw.text, raw.signatures[1:]).raw  # the witness's line and not the log's
    told = Comparison(mirror, [silent, stranger, witness("w3.example", 5)]).look()
    assert set(told) == {"w1.example", "w2.example"}
    with pytest.raises(SplitView):
        Comparison(mirror, [silent, stranger, witness("w3.example", 4, other=0)]).look()


def test_what_waits_is_bounded(tree, opened, witness):
    mirror = opened()
    mirror.follow(tree(1), NOW)
    for size in range(2, MAX_WAITING + 10):
        Comparison(mirror, [witness("w1.example", size)]).look()
    assert len(mirror.memory.seen()) == MAX_WAITING
