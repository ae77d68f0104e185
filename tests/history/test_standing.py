# SPDX-License-Identifier: Apache-2.0
"""AGR-7, LIFE-5, LIFE-6, LIFE-7: who is bound in a window, and in which state, against the sentences read literally."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pausectl.agreement.lifecycle import State
from pausectl.agreement.types import seconds
from pausectl.history.standing import Standing
from pausectl.sim.terms import ratio
from pausectl.sim.world import DAY, World

WEEK = 7 * DAY
WORLD = World(windows=0)
AGREEMENT = WORLD.agreement
START = AGREEMENT.start(0)
NOTICE = AGREEMENT.document.deadlines.notice_seconds


def acceded(standing: Standing, lab: str, by: int, version: int = 1, **conditions) -> None:
    asked = {
        "min_parties_count": 1,
        "min_jurisdictions_count": 1,
        "min_share": ratio(0),
        "required_parties": (),
        **conditions,
    }
    asked["min_share"] = SimpleNamespace(value=0)
    claim = SimpleNamespace(
        header=SimpleNamespace(party=lab),
        agreement_version=version,
        conditions=SimpleNamespace(**asked),
        frontier_h100e_count=1,
    )
    standing.accede(SimpleNamespace(claim=claim, by=by, index=0))


def acted(standing: Standing, track: str, action: str, by: int, term: int = 13, index: int = 0) -> None:
    standing.happen(track, SimpleNamespace(claim=SimpleNamespace(action=action, term_windows=term), by=by, index=index))


def bound_at_once() -> Standing:
    standing = Standing(AGREEMENT)
    acceded(standing, "aurora", START)
    return standing


def states(standing: Standing, windows: int, lab: str = "aurora") -> list[str | None]:
    return [standing.state(lab, window)[0] for window in range(windows)]


A, P = State.ARMED, State.PAUSED


# ── who is bound ──


@pytest.mark.parametrize(("late", "first"), [(-WEEK, 0), (0, 0), (1, 1), (WEEK, 1), (WEEK + 1, 2)])
def test_agr_7_from_the_first_window_that_begins_at_or_after_its_by(late, first):
    standing = Standing(AGREEMENT)
    acceded(standing, "aurora", START + late)
    assert [standing.bound(window) == {"aurora"} for window in range(4)] == [window >= first for window in range(4)]


def test_agr_7_until_the_agreement_expires_and_no_longer():
    standing = bound_at_once()
    last = AGREEMENT.window_of(seconds(AGREEMENT.document.expires_at) - 1)
    assert standing.bound(last) == {"aurora"}
    assert standing.bound(last + 1) == frozenset()
    assert standing.state("aurora", last + 1) == (None, None)


@pytest.mark.parametrize(("late", "bound"), [(0, True), (1, False)])
def test_agr_7_not_after_accede_by_at(late, bound):
    standing = Standing(AGREEMENT)
    limit = seconds(AGREEMENT.document.accede_by_at)
    acceded(standing, "aurora", limit + late)
    assert (standing.bound(AGREEMENT.first_boundary(limit + late)) == {"aurora"}) is bound


def test_agr_7_the_first_accession_to_this_version_counts():
    standing = Standing(AGREEMENT)
    acceded(standing, "aurora", START - 3, version=2)
    acceded(standing, "aurora", START - 2)
    acceded(standing, "aurora", START - 1, min_parties_count=100)
    assert standing.bound(0) == {"aurora"}


def test_a_later_accession_of_somebody_else_is_seen():
    """What was computed before is computed again."""
    standing = Standing(AGREEMENT)
    acceded(standing, "aurora", START, min_parties_count=2)
    assert standing.bound(3) == frozenset()
    acceded(standing, "borealis", START + 1)
    assert [standing.bound(window) for window in (0, 1, 3)] == [
        frozenset(),
        {"aurora", "borealis"},
        {"aurora", "borealis"},
    ]


# ── in which state ──


@pytest.mark.parametrize(
    ("early", "first"),
    [(NOTICE + 1, 2), (NOTICE, 2), (NOTICE - 1, 3), (1, 3), (0, 3), (WEEK + NOTICE, 1), (99 * WEEK, 0)],
)
def test_life_5_a_pause_and_a_lift_need_their_notice(early, first):
    standing = bound_at_once()
    acted(standing, "overseers", "pause", START + 2 * WEEK - early)
    assert states(standing, 6) == [P if window >= first else A for window in range(6)]
    lifted = bound_at_once()
    acted(lifted, "overseers", "pause", START - 99 * WEEK)
    acted(lifted, "overseers", "lift", START + 2 * WEEK - early, index=1)
    expected = [A if window >= first else P for window in range(6)]
    assert states(lifted, 6) == expected


def test_life_5_a_renewal_needs_none():
    """It counts from the window that it was witnessed in: the last second of the last window is in time."""
    for late, renewed in ((-1, True), (0, False)):
        standing = bound_at_once()
        acted(standing, "overseers", "pause", START - WEEK, term=3)
        acted(standing, "overseers", "renew", START + 3 * WEEK + late, term=2, index=1)
        assert states(standing, 7) == [P, P, P, *([P, P] if renewed else [A, A]), A, A]


def test_life_6_a_term_too_long_counts_as_the_agreements():
    standing = bound_at_once()
    acted(standing, "overseers", "pause", START - WEEK, term=2**53 - 1)
    most = AGREEMENT.document.term.term_windows
    assert states(standing, most + 2) == [P] * most + [A, A]


tracks = st.lists(
    st.tuples(st.sampled_from(["overseers", "aurora", "borealis"]), st.sampled_from(["pause", "renew", "lift"]),
              st.integers(-2, 12), st.integers(1, 4)),
    max_size=8,
)  # fmt: skip


@settings(max_examples=150)
@given(tracks)
def test_life_7_paused_if_the_overseers_or_the_lab_itself_are(events):
    """Tracks do not know of each other: each alone gives the same as all together, and the stricter one counts."""
    together, alone = bound_at_once(), {"overseers": bound_at_once(), "aurora": bound_at_once()}
    for index, (track, action, window, term) in enumerate(sorted(events, key=lambda event: event[2])):
        by = START + window * WEEK - NOTICE
        acted(together, track, action, by, term, index)
        if track in alone:
            acted(alone[track], track, action, by, term, index)
    by_track = [states(each, 16) for each in alone.values()]
    assert states(together, 16) == [P if P in both else A for both in zip(*by_track, strict=True)]
    assert states(together, 16, "cirrus") == [None] * 16


def test_the_first_window_of_a_pause_is_that_of_the_earlier_track():
    standing = bound_at_once()
    acted(standing, "overseers", "pause", START + 2 * WEEK)
    acted(standing, "aurora", "pause", START)
    assert [standing.state("aurora", window)[1] for window in range(5)] == [None, 1, 1, 1, 1]
