# SPDX-License-Identifier: Apache-2.0
"""The pause as a state machine: one table, and a fold over it.

Two laws. Everything that affects a state or a transition is in this file. Every state is a function of the ledger:
timers are events too (`TERM_ENDED`), due at a window's start, and need no entry.

A *track* is one run of the machine: the agreement has one (the overseers' orders), each lab has one (its own
declarations). The scope of an event says which track it moves; the table is keyed by event alone. A lab's state in a
window is the strictest that any of its tracks is in, so each window has exactly one state.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from pausectl.registry import enforces


class State(StrEnum):
    """What limits are in force."""

    ARMED = "ARMED"
    PAUSED = "PAUSED"


class Event(StrEnum):
    """What can happen to a track."""

    PAUSE = "PAUSE"
    RENEW = "RENEW"
    LIFT = "LIFT"
    TERM_ENDED = "TERM_ENDED"


#: Every transition there is. specs/lifecycle.md draws its diagram from this literal.
TABLE: dict[State, dict[Event, State]] = {
    State.ARMED: {Event.PAUSE: State.PAUSED},
    State.PAUSED: {Event.RENEW: State.PAUSED, Event.LIFT: State.ARMED, Event.TERM_ENDED: State.ARMED},
}


@dataclass(frozen=True, slots=True, order=True)
class Happening:
    """One event of a track.

    window: index of the first window it affects (for a renewal: the window in which it was witnessed, because it moves
    only the end). index: leaf of the statement that says so, which breaks ties. term_windows: how long it asks the
    pause to last, or to last longer.
    """

    window: int
    index: int
    event: Event
    term_windows: int = 0


@dataclass(frozen=True, slots=True)
class Track:
    """Where a track stands. since, ends: window indices, `[since, ends)`; meaningless while ARMED."""

    state: State = State.ARMED
    since: int = 0
    ends: int = 0


@enforces("LIFE-1", "LIFE-4")
def step(track: Track, happening: Happening, max_total_windows: int) -> Track | None:
    """The next track, or None where the event has no effect.

    [LIFE-1] An event for which the table has no row in the present state MUST have no effect.

    [LIFE-4] A pause MUST NOT last longer, renewals included, than the agreement's max_total_windows counted from its
    first window.
    """
    target = TABLE[track.state].get(happening.event)
    if target is None:
        return None
    if happening.event is Event.PAUSE:
        length = min(happening.term_windows, max_total_windows)
        return Track(target, happening.window, happening.window + length)
    if happening.event is Event.RENEW:
        ends = min(track.ends + happening.term_windows, track.since + max_total_windows)
        return replace(track, ends=max(ends, track.ends))
    return Track(target, happening.window)


@enforces("LIFE-2", "LIFE-3")
def at(happenings: Iterable[Happening], window: int, max_total_windows: int) -> tuple[Track, list[Happening]]:
    """Fold a track up to the start of `window`; also the events that had no effect.

    [LIFE-2] A pause MUST end by itself at the end of its term unless it was renewed before that.

    [LIFE-3] A timer that is due at the start of a window MUST run before any other event that takes effect there.
    """
    track, ignored = Track(), []
    for happening in sorted(h for h in happenings if h.window <= window):
        track = _expire(track, happening.window, max_total_windows)
        following = step(track, happening, max_total_windows)
        if following is None:
            ignored.append(happening)
        else:
            track = following
    return _expire(track, window, max_total_windows), ignored


def _expire(track: Track, window: int, max_total_windows: int) -> Track:
    if track.state is State.PAUSED and track.ends <= window:
        ended = step(track, Happening(track.ends, -1, Event.TERM_ENDED), max_total_windows)
        return ended or track
    return track


def strictest(states: Iterable[State]) -> State:
    """PAUSED if any track is; ARMED otherwise."""
    return State.PAUSED if State.PAUSED in set(states) else State.ARMED
