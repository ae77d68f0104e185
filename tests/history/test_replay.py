# SPDX-License-Identifier: Apache-2.0
"""Entries in, who said what by when out: against a reference that looks at everything at once."""

from __future__ import annotations

import pickle
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pausectl.agreement.types import instant, seconds
from pausectl.errors import Malformed, SplitView, Unavailable
from pausectl.history.decode import decode
from pausectl.history.reader import open_ledger
from pausectl.history.records import Trouble
from pausectl.history.replay import History, replay
from pausectl.predicates import base
from pausectl.predicates.checkpoint import Mark
from pausectl.predicates.close import Close
from pausectl.predicates.inventory import Inventory
from pausectl.predicates.model import Model
from pausectl.predicates.pause import Order
from pausectl.predicates.usage import Usage
from pausectl.sim.ledger import MemorySource
from pausectl.sim.terms import Roll
from pausectl.sim.world import DAY, HOUR, Lab, World, digest
from pausectl.verify.audit import verify
from pausectl.wire import dsse, statement

T0 = 1_783_904_400  # 2026-07-13T01:00:00Z: window 0 of a world is just over
WITNESSES = ("wharf", "xylem", "yarrow", "zephyr")  # three of four
SKEW = 60


@pytest.fixture
def world(hand):
    return hand()


def run(world, name: str) -> None:
    world.register_run("aurora", name, start=T0)


def registered(history: History) -> dict[str, tuple[int | None, int]]:
    runs = history.records["aurora"].runs
    return {name: (record.registered[0].not_yet, record.registered[0].by) for name, record in runs.items()}


# ── time ──


@dataclass(frozen=True)
class Said:
    """A mark: how many entries back it covers, and when each witness signed (None: it did not)."""

    back: int
    times: tuple[int | None, ...]


moments = st.integers(0, 300)
marks = st.builds(
    Said,
    st.integers(0, 4),
    st.one_of(
        moments.map(lambda t: (T0 + t,) * 4),
        st.tuples(moments, st.integers(0, 80), st.integers(0, 3)).map(
            lambda m: tuple(T0 + m[0] + (m[1] if i == m[2] else i) for i in range(4))
        ),
        st.tuples(*[st.one_of(st.none(), st.integers(T0, T0 + 300))] * 4),
    ),
)


def effective(said: list[tuple[int, int, Said]], head: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    """(size, first, by) of the marks that count, the head last. said: (index, size, mark)."""
    chosen: list[tuple[int, int, int]] = []
    for _, size, mark in said:
        signed = sorted((t, f"{name}.example") for name, t in zip(WITNESSES, mark.times, strict=True) if t is not None)[
            :3
        ]
        if len(signed) < 3:
            continue
        first, by = signed[0][0], signed[2][0]
        last = chosen[-1] if chosen else (0, 0, 0)
        if size > last[0] and first >= last[1] and by >= last[2] and by - first <= SKEW:
            chosen.append((size, first, by))
    return [*chosen, head]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(st.just(None), marks), min_size=1, max_size=14), st.integers(0, 400))
def test_mark_4_intervals_against_looking_at_everything_at_once(hand, story, as_of_after):
    world, said, runs = hand(), [], {}
    for step in story:
        if step is None:
            runs[f"r{len(runs)}"] = len(world.ledger.entries)
            run(world, f"r{len(runs) - 1}")
        else:
            times = {name: time for name, time in zip(WITNESSES, step.times, strict=True) if time is not None}
            size = max(len(world.ledger.entries) - step.back, 1)
            root = world.open(T0).tiles.root(size)
            index = world.mark(times, size=size, root=root)
            said.append((index, size, step))
    size, as_of = len(world.ledger.entries), T0 + as_of_after
    history = world.replay(T0 + 350, as_of=as_of)
    chosen = effective(said, (size, T0 + 350, T0 + 350))
    stop = next((i for i, mark in enumerate(chosen) if mark[2] > as_of), len(chosen))
    expected = {}
    for name, index in runs.items():
        place = next(i for i, mark in enumerate(chosen) if mark[0] > index)
        if place < stop:
            expected[name] = (chosen[place - 1][1] if place else None, chosen[place][2])
    assert registered(history) == expected
    bad = {problem.index for problem in history.problems if problem.trouble is Trouble.BAD_MARK}
    short = {index for index, _, mark in said if sum(time is not None for time in mark.times) < 3}
    assert bad <= short
    if as_of_after >= 350:
        assert bad == short


def test_mark_2_a_mark_above_its_own_place(world):
    run(world, "r1")
    ahead = world.ledger.mark(world.ledger.signed(T0, size=9, root=b"\1" * 32))
    world.ledger.append(ahead)
    history = world.replay(T0 + 50)
    assert registered(history) == {"r1": (None, T0 + 50)}
    assert [(p.trouble, p.index) for p in history.problems] == [(Trouble.BAD_MARK, 2)]


def test_mark_2_whoever_signed_it(world):
    run(world, "r1")
    note = world.bare(T0)
    body = {"checkpoint": note.decode()}
    for party in ("zephyr", "aurora", "probe"):
        world.say(party, Mark, body)
    assert registered(world.replay(T0 + 50)) == {"r1": (None, T0)}


@pytest.mark.parametrize("late", [False, True])
def test_a_mark_of_another_tree_is_a_split_view_even_if_it_would_have_no_effect(world, late):
    run(world, "r1")
    if late:
        world.mark(T0 + 10)
    world.mark(T0, size=1, root=b"\1" * 32)
    with pytest.raises(SplitView, match="another tree of 1 entries"):
        world.replay(T0 + 50)


def test_one_liar_moves_no_time(world):
    """MARK-3. Ahead or behind, alone or with everybody: entries get a time that an honest witness saw."""
    run(world, "r1")
    world.mark({"wharf": T0, "xylem": T0 + 1, "zephyr": T0 + 10**7})
    run(world, "r2")
    world.mark({"wharf": 1, "xylem": T0 + 20, "zephyr": T0 + 21})
    run(world, "r3")
    world.mark(dict.fromkeys(WITNESSES, T0 + 30) | {"zephyr": T0 + 10**7})
    history = world.replay(T0 + 40)
    assert registered(history) == dict.fromkeys(("r1", "r2", "r3"), (None, T0 + 30))
    assert history.problems == []


# ── the same bytes, the same history ──


def replayed(ledger, entries, as_of=None) -> tuple[History, list]:
    cases: list = []

    def keep(case) -> None:
        cases.append((case.lab, case.window, case.state, repr(case.book), case.gaps))

    history = History(ledger.agreement, ledger.head, ledger.tiles.root, as_of=as_of, on_settled=keep)
    for index, entry in entries:
        history.add(index, entry)
    history.finish()
    return history, cases


def test_entries_that_crossed_a_process_boundary():
    world = World(windows=6).run()
    ledger = open_ledger(world.source().fetch, world.agreement)
    plain = [(index, decode(raw, world.agreement.keys)) for index, raw in ledger.entries()]
    packed = pickle.loads(pickle.dumps(plain))  # noqa: S301
    (first, cases), (second, again) = replayed(ledger, plain), replayed(ledger, packed)
    assert cases == again
    assert first.problems == second.problems
    assert first.records == second.records


def test_entries_come_in_order(world):
    history = History(
        world.agreement, world.open(T0).head, lambda _size: b"", as_of=None, on_settled=lambda _case: None
    )
    with pytest.raises(Malformed, match="expected entry 0, found 1"):
        history.add(1, decode(b"", {}))


def snapshots(**world) -> tuple[World, list[tuple[int, dict[str, bytes]]]]:
    """A world, and what its log served after each publication."""
    seen = []

    class Watched(World):
        def until(self, moment: int) -> None:
            super().until(moment)
            seen.append((self.now, self.memory.files()))

    return Watched(**world).run(), seen


def said_of(report) -> object:
    """All of a report that does not follow the size of the ledger."""
    judged = [finding for finding in report.judgement.findings if finding.window is not None]
    beyond = [(f.rule, f.outcome, f.lab) for f in report.judgement.findings if f.window is None]
    return report.verdicts, report.judgement.windows, judged, beyond, report.judgement.held


def test_a_prefix_at_its_time_and_the_whole_at_that_time():
    """`--at T` answers what was known then."""
    world, seen = snapshots(windows=6, labs={"borealis": Lab("borealis")})
    whole = MemorySource(seen[-1][1])
    for moment, files in seen:
        then = verify(MemorySource(files).fetch, world.agreement)
        now = verify(whole.fetch, world.agreement, as_of=moment)
        assert then.as_of == moment
        assert said_of(then) == said_of(now), moment


# ── what has no effect ──


def troubles(history: History) -> list[tuple[Trouble, int, str | None]]:
    return [(problem.trouble, problem.index, problem.party) for problem in history.problems]


def signed(world, payload: bytes, *parties: str) -> int:
    return world.ledger.append(dsse.sign(payload, *(world.keys[party] for party in parties)).raw)


def quiet(world, window: int = 0, **changes) -> Usage:
    body = Lab("aurora").usage(world, "aurora-1", window) | changes
    return world.claim("aurora", Usage, body, window)


def test_the_same_again_has_no_effect(world):
    claim = quiet(world)
    first, second = (signed(world, base.write(claim), "aurora") for _ in range(2))
    history = world.replay(T0)
    assert troubles(history) == [(Trouble.DUPLICATE, second, None)]
    assert [filed.index for filed in history.windows[0].lab("aurora").usage["aurora-1"]] == [first]


def test_a_twin_has_no_effect_and_is_kept_as_proof(world):
    claim = quiet(world)
    first = signed(world, base.write(claim), "aurora")
    second = signed(world, base.write(claim.model_copy(update={"work": ()})), "aurora")
    history = world.replay(T0)
    assert [(twin.party, twin.stream, twin.first, twin.second) for twin in history.twins] == [
        ("aurora", "usage/aurora-1", first, second)
    ]
    assert [filed.index for filed in history.windows[0].lab("aurora").usage["aurora-1"]] == [first]


def test_a_twin_with_an_enormous_number(world):
    header = world.header("aurora", "usage/aurora-1", 0, sequence=2**53 - 1)
    claim = quiet(world).model_copy(update={"header": header})
    signed(world, base.write(claim), "aurora")
    signed(world, base.write(claim.model_copy(update={"work": ()})), "aurora")
    assert len(world.replay(T0).twins) == 1


@pytest.mark.parametrize(
    ("change", "trouble"),
    [
        ({"agreement": digest("another")}, Trouble.FOREIGN),
        ({"log": "log.elsewhere/x"}, Trouble.FOREIGN),
        ({"party": "borealis"}, Trouble.UNAUTHORISED),
        ({"party": "avon"}, Trouble.UNAUTHORISED),
        ({"party": "overseers"}, Trouble.UNAUTHORISED),
        ({"party": "nobody"}, Trouble.UNAUTHORISED),
    ],
)
def test_hdr_4_and_5_said_elsewhere_or_by_somebody_else(world, change, trouble):
    claim = quiet(world)
    index = signed(
        world, base.write(claim.model_copy(update={"header": claim.header.model_copy(update=change)})), "aurora"
    )
    assert troubles(world.replay(T0)) == [(trouble, index, None)]


def test_hdr_5_two_signers_are_one_too_many(world):
    index = signed(world, base.write(quiet(world)), "aurora", "avon")
    assert troubles(world.replay(T0)) == [(Trouble.UNAUTHORISED, index, None)]


@pytest.mark.parametrize(("signers", "counts"), [(1, False), (2, True), (3, True)])
def test_hdr_6_an_order_needs_its_threshold(world, signers, counts):
    world.accede("aurora")
    world.accede("borealis")
    header = world.header("overseers", "orders", None)
    body = {"action": "pause", "reason": "x", "term_windows": 2}
    order = base.construct(Order, body, header)
    index = signed(world, base.write(order), *world.roll.overseers[:signers])
    history = world.replay(world.start(0) - 3 * DAY)
    assert troubles(history) == ([] if counts else [(Trouble.UNAUTHORISED, index, None)])
    assert history.standing.state("aurora", 0)[0] == ("PAUSED" if counts else "ARMED")


def test_hdr_6_a_member_too_many(world):
    order = base.construct(
        Order, {"action": "pause", "reason": "x", "term_windows": 2}, world.header("overseers", "orders", None)
    )
    index = signed(world, base.write(order), "avon", "brent", "aurora")
    assert troubles(world.replay(T0)) == [(Trouble.UNAUTHORISED, index, None)]


def test_a_type_nobody_knows_is_remembered_for_each_signer(world):
    payload = statement.format([statement.Subject("x", digest("x"))], f"{base.PREFIX}news/v1", {"said": "x"})
    index = signed(world, payload, "aurora", "avon")
    assert troubles(world.replay(T0)) == [
        (Trouble.UNKNOWN_TYPE, index, "aurora"),
        (Trouble.UNKNOWN_TYPE, index, "avon"),
    ]


def test_the_agreement_again_is_no_news(world):
    world.ledger.append(world.agreement.raw)
    assert troubles(world.replay(T0)) == []


def test_garbage_is_the_operators(world):
    index = world.ledger.append(b"garbage")
    assert troubles(world.replay(T0)) == [(Trouble.MALFORMED, index, None)]


def test_read_7_a_ledger_without_the_trusted_agreement(world, hand):
    """Same log, same witnesses, other terms: nothing here was said under them."""
    trusted = hand(changes={"name": "Other terms of the same parties"}).agreement
    world.memory.head = world.ledger.signed(T0)
    with pytest.raises(Unavailable, match="the trusted agreement is not in this ledger"):
        verify(world.source().fetch, trusted)


def test_read_7_replay_itself_asks_for_it(world):
    ledger = world.open(T0)
    history = History(world.agreement, ledger.head, ledger.tiles.root, as_of=None, on_settled=lambda _case: None)
    with pytest.raises(Unavailable, match="the trusted agreement"):
        replay(history, [(0, decode(b"x", {}))])


# ── windows ──


@pytest.mark.parametrize("shift", [(1, 0), (0, 1), (HOUR, HOUR), (-7 * DAY, -7 * DAY)])
def test_win_1_windows_of_ones_own_choosing(world, shift):
    claim = quiet(world)
    span = claim.header.window
    moved = span.model_copy(update={"start_at": move(span.start_at, shift[0]), "end_at": move(span.end_at, shift[1])})
    header = claim.header.model_copy(update={"window": moved})
    index = signed(world, base.write(claim.model_copy(update={"header": header})), "aurora")
    assert troubles(world.replay(T0)) == [(Trouble.NO_SUCH_WINDOW, index, "aurora")]


def move(moment: str, by: int) -> str:
    return instant(seconds(moment) + by)


def closing(world, window: int = 0) -> int:
    return world.start(window + 1) + world.agreement.document.deadlines.correction_seconds


@pytest.mark.parametrize(
    ("last_without", "first_with", "trouble", "proven"),
    [(-2, -1, False, None), (-2, 0, True, False), (-1, 5, True, False), (0, 5, True, False), (1, 5, True, True)],
)
def test_win_2_when_a_window_is_closed_and_when_that_is_proven(world, last_without, first_with, trouble, proven):
    """A timer runs before the entries of its instant; only a mark after the closing proves that somebody was late."""
    end = closing(world)
    world.mark(end + last_without)
    world.ledger.append(b"x")  # so that the mark stands below what comes
    index = signed(world, base.write(quiet(world)), "aurora")
    history = world.replay(end + first_with)
    found = [(p.trouble, p.index, p.proven) for p in history.problems if p.trouble is not Trouble.MALFORMED]
    assert found == ([(Trouble.CLOSED_WINDOW, index, proven)] if trouble else [])


@pytest.mark.parametrize(
    ("party", "facility", "fits"),
    [("aurora", "aurora-1", True), ("aurora", "borealis-1", False), ("aurora", "elsewhere", False)],
)
def test_hdr_7_facilities(world, party, facility, fits):
    body = Lab(party).inventory(world, facility, 0)
    world.say(party, Inventory, body, 0)
    history = world.replay(T0)
    assert troubles(history) == ([] if fits else [(Trouble.NO_SUCH_FACILITY, 1, party)])


@pytest.mark.parametrize(
    ("lab", "facility", "fits"),
    [
        ("aurora", "aurora-1", True),
        ("borealis", "aurora-1", False),  # a listed facility is one lab's
        ("borealis", "borealis-9", True),  # an unlisted one is for INV-3 to report
        ("nobody", "borealis-9", False),
    ],
)
def test_hdr_7_readings(world, lab, facility, fits):
    world.read_meter(lab, facility, 0, world.hours({"eval": 5}))
    assert troubles(world.replay(T0)) == ([] if fits else [(Trouble.NO_SUCH_FACILITY, 1, "gridco")])


def test_a_settled_window_is_handed_over_once_and_forgotten(hand):
    world, cases = hand(), []
    world.accede("aurora")
    signed(world, base.write(quiet(world)), "aurora")
    world.mark(world.start(1) + HOUR)
    history = world.replay(closing(world), on=cases.append)
    assert [(case.lab, case.window) for case in cases] == [(lab, 0) for lab in ("aurora", "borealis", "cirrus")]
    assert list(cases[0].book.usage) == ["aurora-1"]
    assert history.settled == 1
    assert [(case.lab, case.window) for case in history.open_cases()] == [
        (lab, window)
        for window in (1, 2, 3)
        for lab in ("aurora", "borealis", "cirrus")
        if history.due_at(window) <= history.as_of
    ]


def test_memory_follows_the_open_windows_and_not_the_ledger():
    """Two hundred windows; of statements only runs, models and what is open stay."""
    roll = Roll(labs={"aurora": ("aurora-1",)}, overseers=("avon", "brent"), witnesses=("wharf",))
    ends = {"accede_by_at": "2036-01-01T00:00:00Z", "expires_at": "2036-01-01T00:00:00Z"}
    world = World(windows=200, pause_at=None, roll=roll, changes=ends).run()
    ledger = open_ledger(world.source().fetch, world.agreement)
    history = History(ledger.agreement, ledger.head, ledger.tiles.root, as_of=None, on_settled=lambda _case: None)
    most = waiting = 0
    for index, raw in ledger.entries():
        history.add(index, decode(raw, world.agreement.keys))
        most, waiting = max(most, len(history.windows)), max(waiting, len(history.waiting))
    history.finish()
    assert history.settled >= 195
    assert most <= 6
    assert waiting <= 30
    assert sum(len(record.runs) + len(record.models) for record in history.records.values()) == 2


@pytest.mark.parametrize("as_of", [T0 + 10**9, 253_402_300_799])
def test_a_far_off_instant_costs_nothing_and_binds_nobody(world, as_of):
    """One liar in a minimal quorum can date a head to the year 9999; windows end with the agreement."""
    world.accede("aurora")
    cases = []
    history = world.replay(T0, as_of=as_of, on=cases.append)
    last = max(case.window for case in cases)
    assert world.agreement.start(last + 1) <= seconds(world.agreement.document.expires_at) + 7 * DAY
    assert list(history.open_cases()) == []
    assert history.settled > last


def test_statements_after_the_agreements_end_are_forgotten_too(hand):
    world = hand(changes={"accede_by_at": "2026-07-07T00:00:00Z", "expires_at": "2026-07-20T00:00:00Z"})
    for window in range(10):
        signed(world, base.write(quiet(world, window)), "aurora")
        world.mark(world.start(window + 1) + HOUR)
    history = world.replay(world.start(60))
    assert history.windows == {}
    assert history.settled >= 50


# ── what outlives a window ──


def test_a_model_that_is_served_later_is_a_served_model(world):
    world.show_model("aurora", "m", served=False)
    world.show_model("aurora", "m", served=True)
    world.show_model("aurora", "m", served=False)
    (filed,) = world.replay(T0).records["aurora"].models.values()
    assert isinstance(filed.claim, Model)
    assert filed.claim.served_since_at is not None


def test_heads_of_others_are_nobodys_evidence(world):
    """A close speaks for its party and its bodies; a usage statement for its lab."""
    heads = [{"count": 5, "party": party, "stream": stream} for party, stream in
             [("aurora", "runs"), ("overseers", "orders"), ("probe", "capability"), ("avon", "close")]]  # fmt: skip
    world.say("avon", Close, {"heads": heads}, 0)
    gaps = {(gap.party, gap.stream) for case in world.replay(T0).cases(0, T0) for gap in case.gaps}
    assert gaps == {("overseers", "orders"), ("avon", "close")}


def test_a_missing_accession_is_everybodys_gap(world):
    usage = quiet(
        world,
        heads=(
            {"count": 1, "party": "aurora", "stream": "accession"},
            {"count": 1, "party": "aurora", "stream": "runs"},
        ),
    )
    signed(world, base.write(usage), "aurora")
    gaps = {case.lab: {(gap.party, gap.stream) for gap in case.gaps} for case in world.replay(T0).cases(0, T0)}
    assert gaps["aurora"] == {("aurora", "accession"), ("aurora", "runs")}
    assert gaps["borealis"] == gaps["cirrus"] == {("aurora", "accession")}
