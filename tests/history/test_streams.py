# SPDX-License-Identifier: Apache-2.0
"""Numbers of streams, against a model that keeps everything in a set."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pausectl.history import streams
from pausectl.history.streams import Stream, Streams
from pausectl.predicates.base import Head

numbers = st.one_of(st.integers(0, 12), st.integers(0, 2**53 - 1))


def prefix(number: int) -> bytes:
    return number.to_bytes(16, "big")


def filled(arrivals: list[int]) -> tuple[Stream, dict[int, int]]:
    """A stream and its model: number → leaf of the first that came."""
    stream, model = Stream(), {}
    for leaf, number in enumerate(arrivals):
        known = stream.at(number)
        assert known == ((prefix(number), model[number]) if number in model else None)
        if known is None:
            stream.put(number, prefix(number), leaf)
            model[number] = leaf
    return stream, model


def first_missing(present: set[int]) -> int:
    return next(number for number in range(len(present) + 1) if number not in present)


@given(st.lists(numbers, max_size=40))
def test_like_a_set(arrivals):
    stream, model = filled(arrivals)
    count = first_missing(set(model))
    assert stream.count == count
    assert stream.hole == (count if any(number > count for number in model) else None)
    for number in model:
        assert stream.at(number) == (prefix(number), model[number])


@given(st.permutations(range(60)))
def test_any_order_ends_without_a_hole(arrivals):
    stream, model = filled(list(arrivals))
    assert (stream.count, stream.hole, stream.ahead) == (60, None, {})
    assert list(stream.leaves) == [model[number] for number in range(60)]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["x", "y/1"]), st.integers(0, 8)), max_size=40))
def test_holes_of_all_streams(arrivals):
    known, model = Streams(), {}
    for leaf, (party, name, number) in enumerate(arrivals):
        place = model.setdefault((party, name), {})
        if number not in place:
            place[number] = leaf
            known.put(party, name, number, prefix(number), leaf)
    for parties in (frozenset("a"), frozenset("ab"), frozenset()):
        for others in (False, True):
            expected = {
                (party, name, first_missing(set(place)), place[min(n for n in place if n > first_missing(set(place)))])
                for (party, name), place in model.items()
                if (party in parties) is not others and max(place) > first_missing(set(place))
            }
            found = {(g.party, g.stream, g.sequence, g.index) for g in known.holes(parties, others=others)}
            assert found == expected


@given(st.sets(st.integers(0, 12)), st.integers(0, 14))
def test_a_head_asks_for_everything_below_it(present, claimed):
    known = Streams()
    for number in present:
        known.put("a", "runs", number, prefix(number), number)
    said = [Head(count=claimed, party="a", stream="runs"), Head(count=9, party="b", stream="runs")]
    gaps = list(known.short(said, 77, lambda head: head.party == "a"))
    missing = [("a", number, 77) for number in range(claimed) if number not in present]
    assert [(gap.party, gap.sequence, gap.index) for gap in gaps] == missing[:1]


def test_a_stream_that_nobody_used_is_short_of_a_head():
    gaps = list(Streams().short([Head(count=1, party="a", stream="runs")], 5, lambda head: head.party == "a"))
    assert [(gap.sequence, gap.index) for gap in gaps] == [(0, 5)]


# ── what a hostile party can make us keep ──


def test_numbers_however_far_ahead_cost_a_bounded_amount_of_memory(monkeypatch):
    monkeypatch.setattr(streams, "MAX_AHEAD", 10)
    stream = Stream()
    for number in range(1, 200):
        stream.put(number * 10**12, prefix(number), number)
    assert len(stream.ahead) == 10
    assert stream.hole == 0
    assert stream.beyond == 11 * 10**12
    stream.put(0, prefix(0), 500)
    assert (stream.count, stream.hole) == (1, 1)


def test_the_next_number_is_kept_whatever_is_ahead(monkeypatch):
    monkeypatch.setattr(streams, "MAX_AHEAD", 3)
    stream = Stream()
    for number in (2, 3, 4, 5, 1, 0):
        if stream.at(number) is None:
            stream.put(number, prefix(number), number)
    assert (stream.count, stream.beyond) == (1, 1)
    assert stream.hole == 1, "numbers that were not kept still show"


def test_a_number_that_is_far_ahead_is_known_when_it_comes_again():
    """Otherwise two statements under one enormous number would both count, and nobody would call it equivocation."""
    stream = Stream()
    stream.put(2**53 - 1, prefix(1), 7)
    assert stream.at(2**53 - 1) == (prefix(1), 7)


@settings(max_examples=50)
@given(st.lists(st.integers(0, 30), max_size=60))
def test_a_hole_never_closes_by_itself(arrivals):
    stream, seen = Stream(), set()
    for leaf, number in enumerate(arrivals):
        if number not in seen:
            stream.put(number, prefix(number), leaf)
            seen.add(number)
        assert (stream.hole is None) == (seen == set(range(len(seen))))
