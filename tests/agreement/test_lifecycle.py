# SPDX-License-Identifier: Apache-2.0
"""LIFE-1, LIFE-2, LIFE-3, LIFE-4 over every sequence of events in a small world, against another machine."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest

from pausectl.agreement.lifecycle import TABLE, Event, Happening, State, Track, at, step, strictest

MAX_TOTAL = 4
HORIZON = 6 + MAX_TOTAL + 1
#: What can happen in one window of the small world; None is nothing.
MOVES = (None, (Event.PAUSE, 2), (Event.RENEW, 1), (Event.RENEW, 5), (Event.LIFT, 1))


def happenings(moves: tuple[tuple[Event, int] | None, ...]) -> list[Happening]:
    return [Happening(window, window, *move) for window, move in enumerate(moves) if move is not None]


def states(given: list[Happening], until: int = HORIZON) -> list[State]:
    return [at(given, window, MAX_TOTAL)[0].state for window in range(until)]


def oracle(given: list[Happening], until: int) -> Iterator[State]:
    """Window by window: the windows left of the present pause, and those it may still get."""
    left = allowed = 0
    for window in range(until):
        if left:
            left, allowed = left - 1, allowed - 1
        for happening in given:
            if happening.window != window:
                continue
            if happening.event is Event.PAUSE and not left:
                left, allowed = min(happening.term_windows, MAX_TOTAL), MAX_TOTAL
            elif happening.event is Event.RENEW and left:
                left = min(left + happening.term_windows, allowed)
            elif happening.event is Event.LIFT:
                left = 0
        yield State.PAUSED if left else State.ARMED


def runs(found: list[State]) -> Iterator[int]:
    """Lengths of the unbroken stretches of PAUSED."""
    length = 0
    for state in [*found, State.ARMED]:
        if state is State.PAUSED:
            length += 1
        elif length:
            yield length
            length = 0


def test_the_table_speaks_of_known_states_and_events_only():
    assert set(TABLE) == set(State)
    assert {event for row in TABLE.values() for event in row} == set(Event)
    assert {target for row in TABLE.values() for target in row.values()} <= set(State)


def test_every_sequence_of_six_windows():
    """At most one event in each window: 5^6 stories, and each one ends by itself."""
    for moves in product(MOVES, repeat=6):
        given = happenings(moves)
        found = states(given)
        assert found == list(oracle(given, HORIZON)), moves
        assert found[-1] is State.ARMED, f"never ends: {moves}"
        if sum(move is not None and move[0] is Event.PAUSE for move in moves) == 1:
            assert max(runs(found), default=0) <= MAX_TOTAL, moves


def test_every_sequence_of_six_events_in_two_windows():
    """Several events at once: the order of leaves decides, and nothing but rows of the table is ever taken."""
    for kinds in product((Event.PAUSE, Event.RENEW, Event.LIFT), repeat=6):
        for split in (0, 3, 6):
            given = [Happening(0 if i < split else 1, i, kind, 2) for i, kind in enumerate(kinds)]
            track, ignored = at(given, 1, MAX_TOTAL)
            assert at(reversed(given), 1, MAX_TOTAL) == (track, ignored)
            walked, taken = Track(), []
            for happening in given:
                if happening.event in TABLE[walked.state]:
                    following = step(walked, happening, MAX_TOTAL)
                    assert following is not None
                    assert following.state is TABLE[walked.state][happening.event]
                    walked = following
                    taken.append(happening)
            assert (track, [h for h in given if h not in ignored]) == (walked, taken)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_life_1_no_row_no_effect(state, event):
    track = Track(state, since=3, ends=5)
    following = step(track, Happening(4, 9, event, 2), MAX_TOTAL)
    assert (following is None) == (event not in TABLE[state])
    if following is not None:
        assert following.state is TABLE[state][event]


def test_life_2_a_pause_ends_by_itself():
    pause = Happening(3, 0, Event.PAUSE, 2)
    assert states([pause], 7) == [State.ARMED] * 3 + [State.PAUSED] * 2 + [State.ARMED] * 2


def test_life_2_a_renewal_in_the_last_window_is_in_time_and_one_later_is_not():
    pause = Happening(0, 0, Event.PAUSE, 2)
    assert at([pause, Happening(1, 1, Event.RENEW, 1)], 2, MAX_TOTAL)[0].state is State.PAUSED
    late = Happening(2, 1, Event.RENEW, 1)
    track, ignored = at([pause, late], 2, MAX_TOTAL)
    assert (track.state, ignored) == (State.ARMED, [late])


def test_life_3_the_timer_runs_before_an_order_of_the_same_window():
    given = [Happening(0, 0, Event.PAUSE, 2), Happening(2, 1, Event.PAUSE, 1)]
    track, ignored = at(given, 2, MAX_TOTAL)
    assert ignored == []
    assert (track.state, track.since, track.ends) == (State.PAUSED, 2, 3)


@pytest.mark.parametrize("term", [1, 4, 5, 2**53 - 1])
def test_life_4_no_renewal_goes_beyond_the_total(term):
    given = [Happening(0, 0, Event.PAUSE, term), *(Happening(0, i, Event.RENEW, term) for i in range(1, 9))]
    track, _ = at(given, 0, MAX_TOTAL)
    assert track.ends == MAX_TOTAL


def test_a_renewal_never_shortens():
    given = [Happening(0, 0, Event.PAUSE, 4), Happening(1, 1, Event.RENEW, 1)]
    assert at(given, 1, MAX_TOTAL)[0].ends == 4


def test_a_second_order_does_not_prolong():
    second = Happening(1, 1, Event.PAUSE, 4)
    track, ignored = at([Happening(0, 0, Event.PAUSE, 2), second], 1, MAX_TOTAL)
    assert (track.ends, ignored) == (2, [second])


def test_what_is_still_to_come_has_no_effect_yet():
    assert at([Happening(5, 0, Event.PAUSE, 2)], 4, MAX_TOTAL) == (Track(), [])


def test_the_story_of_the_spec():
    """The example table of specs/lifecycle.md, with terms as LIFE-6 cuts them."""
    given = [
        Happening(3, 0, Event.PAUSE, 13),
        Happening(10, 1, Event.PAUSE, 13),
        Happening(14, 2, Event.RENEW, 13),
        Happening(21, 3, Event.LIFT, 1),
        Happening(20, 4, Event.RENEW, 13),
        Happening(22, 5, Event.RENEW, 13),
    ]
    assert at(given, 13, 52)[0].ends == 16
    assert at(given, 14, 52)[0].ends == 29
    assert at(given, 20, 52)[0].ends == 42
    track, ignored = at(given, 22, 52)
    assert (track.state, track.since) == (State.ARMED, 21)
    assert ignored == [given[1], given[5]]


def test_the_strictest_track_counts():
    assert strictest([]) is State.ARMED
    assert strictest([State.ARMED, State.ARMED]) is State.ARMED
    assert strictest([State.ARMED, State.PAUSED]) is State.PAUSED
