# SPDX-License-Identifier: Apache-2.0
"""READ-8: a history put down and taken up again, at every size, is the history of a fresh reading."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from pausectl.errors import Malformed, PausectlError, SplitView, UsageFault
from pausectl.history import state
from pausectl.history.decode import decode
from pausectl.history.reader import open_ledger
from pausectl.history.replay import History
from pausectl.sim.evasions import evasions
from pausectl.sim.ledger import MemorySource
from pausectl.sim.world import World
from pausectl.verify.audit import verify
from pausectl.verify.resume import Resumption

NAMES = (
    "back-date",
    "correct-in-ones-own-favour",
    "say-two-things",
    "bend-time",
    "speak-in-tongues",
    "split-a-run",
    "correct-for-ever",
    "keep-out-what-was-handed-in",
    "date-a-receipt-back",
)


def history_of(ledger, cases: list) -> History:
    def keep(case) -> None:
        cases.append(repr(replace(case, window_book=None)))

    return History(ledger.agreement, ledger.head, ledger.tiles.root, as_of=None, on_settled=keep)


def everything(history: History) -> object:
    names = ("size", "settled", "problems", "twins", "records", "founded", "waiting", "bad_marks", "marked")
    windows = {number: (book.labs, book.closes) for number, book in history.windows.items()}
    receipts = history.receipts.known, history.receipts.until, history.receipts.series
    streams, happenings = history.streams.known, history.standing.happenings
    return [getattr(history, name) for name in names], windows, streams, happenings, receipts


@pytest.mark.parametrize("name", NAMES)
def test_put_down_after_any_entry(name):
    world = evasions()[name].build()
    ledger = open_ledger(world.source().fetch, world.agreement)
    entries = [(index, decode(raw, world.agreement.keys)) for index, raw in ledger.entries()]
    fresh_cases: list[str] = []
    fresh = history_of(ledger, fresh_cases)
    for index, entry in entries:
        fresh.add(index, entry)
    for cut in range(0, len(entries), 7):
        cases: list[str] = []
        first, second = history_of(ledger, cases), history_of(ledger, cases)
        for index, entry in entries[:cut]:
            first.add(index, entry)
        state.load(json.loads(json.dumps(state.dump(first))), second)
        assert everything(second) == everything(first), cut
        for index, entry in entries[cut:]:
            second.add(index, entry)
        assert everything(second) == everything(fresh), cut
        assert cases == fresh_cases, cut


def snapshots(name: str) -> tuple[World, list[dict[str, bytes]]]:
    """What the log of an evasion's world served after each publication."""
    seen: list[dict[str, bytes]] = []
    plain = World.until

    def until(self, moment):
        plain(self, moment)
        seen.append(self.memory.files())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(World, "until", until)
        world = evasions()[name].build()
    return world, seen


@pytest.mark.parametrize("name", NAMES)
def test_a_verifier_that_comes_back_each_time_says_what_a_new_one_says(name):
    world, seen = snapshots(name)
    saved: bytes | None = None
    for files in seen:
        source = MemorySource(files)
        resumption = Resumption(saved)
        again = verify(source.fetch, world.agreement, resumption=resumption)
        fresh = verify(source.fetch, world.agreement)
        assert again.judgement == fresh.judgement
        assert (again.verdicts, again.not_shown, again.exit_code) == (fresh.verdicts, fresh.not_shown, fresh.exit_code)
        saved = resumption.saved
    assert saved


def test_an_instant_before_the_saved_one_is_read_from_the_beginning():
    world = World(windows=6).run()
    resumption = Resumption(None)
    verify(world.source().fetch, world.agreement, resumption=resumption)
    for moment in (world.start(2), world.start(4), world.now):
        again = verify(world.source().fetch, world.agreement, as_of=moment, resumption=Resumption(resumption.saved))
        assert again.judgement == world.verify(as_of=moment).judgement


def test_a_state_of_another_history_is_a_split_view():
    ours, theirs = World(windows=2).run(), World(windows=2, labs={}, pause_at=1).run()
    resumption = Resumption(None)
    verify(theirs.source().fetch, theirs.agreement, resumption=resumption)
    assert ours.agreement.id == theirs.agreement.id
    with pytest.raises(SplitView):
        verify(ours.source().fetch, ours.agreement, resumption=Resumption(resumption.saved))


def test_a_state_of_another_agreement():
    ours, theirs = World(windows=1).run(), World(windows=1, changes={"name": "Other terms"}).run()
    resumption = Resumption(None)
    verify(theirs.source().fetch, theirs.agreement, resumption=resumption)
    with pytest.raises(UsageFault, match="another agreement"):
        verify(ours.source().fetch, ours.agreement, resumption=Resumption(resumption.saved))


def test_damaged_states_are_malformed():
    world = World(windows=1).run()
    resumption = Resumption(None)
    verify(world.source().fetch, world.agreement, resumption=resumption)
    raw = resumption.saved
    for place in range(0, len(raw), 97):
        damaged = bytearray(raw)
        damaged[place] ^= 1
        with pytest.raises(PausectlError) as caught:
            verify(world.source().fetch, world.agreement, resumption=Resumption(bytes(damaged)))
        assert caught.value.exit_code == 4
    for other in (b"", b"{}", b"[]", b"null", raw[:-1], raw + b"x"):
        with pytest.raises(Malformed):
            verify(world.source().fetch, world.agreement, resumption=Resumption(other))
