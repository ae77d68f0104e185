# SPDX-License-Identifier: Apache-2.0
"""Hiding evidence never makes a lab CONSISTENT: the one property over all rules, on worlds in which anything goes.

At a fixed agreement and `as_of`, take any set of *covered* statements out of a ledger. No lab that was not CONSISTENT
may become so. A statement is covered when, at `as_of`, somebody whose statement is due vouches for it, that is when

- it is itself the first that is filed of a due statement of a judged window (usage, inventory, energy, close), or
- its number is below a head that a usage statement of its lab, or a close of its party, of a member of its body, or,
  for an accession, of an overseer, about a judged window carries, or
- its number is below another one of its stream that is there, and was before a judged window was judged for the last
  time (at `as_of`, or when the window closed to corrections), or
- an effective correction about a judged window names it.

Judged are the windows that are due at `as_of`. Not covered, and not taken out here: two statements with one number (the
other one would fill the gap), what is said about windows that are not due yet, what nobody has counted yet, marks, and
statements of unknown type, which have no number.
"""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from pausectl.agreement.document import Agreement
from pausectl.agreement.types import instant, seconds
from pausectl.errors import PausectlError
from pausectl.history import replay
from pausectl.history.authority import objection
from pausectl.history.chain import Chain, link
from pausectl.history.decode import Decoded, decode
from pausectl.history.reader import Ledger, open_ledger
from pausectl.predicates.base import Head, Predicate
from pausectl.predicates.checkpoint import Mark
from pausectl.predicates.close import Close
from pausectl.predicates.correction import Correction
from pausectl.predicates.energy import Energy
from pausectl.predicates.inventory import Inventory
from pausectl.predicates.pause import Declaration, Order
from pausectl.predicates.succession import Succession
from pausectl.predicates.usage import Usage
from pausectl.sim.cheats import PausedTrainer
from pausectl.sim.evasions import evasions
from pausectl.sim.ledger import MemorySource
from pausectl.sim.terms import ANCHOR, Roll
from pausectl.sim.world import BUSY, DAY, HOUR, QUIET, HonestOperator, Lab, World, digest
from pausectl.verify.judge import Judgement, Verdict, decide, judge
from pausectl.verify.rules.base import Outcome

# ── worlds ──


class Anything(Lab):
    """A lab that now and then does one of the things that a lab can do, good or bad."""

    def __init__(self, name: str, dice: random.Random) -> None:
        super().__init__(name)
        self.dice = dice
        self.rate = dice.choice((0.2, 0.6, 1.5))
        self.miscounted = False
        self.done: dict[int, Any] = {}
        self.spares: dict[tuple[str, int], tuple[int, int]] = {}

    def now_and_then(self, chance: float) -> bool:
        return self.dice.random() < chance * self.rate

    def work(self, world, window):
        honest = self.dice.choice((BUSY, QUIET)) if not world.paused(window) else QUIET
        return self.done.setdefault(window, BUSY if self.now_and_then(0.2) else honest)

    def hands_in(self, world, claim):
        """What a lab hands in nowhere is not missed by anybody, so a log that keeps it out can blame the lab for it."""
        if not world.roll.intake:
            return ()
        unasked = claim.header.window is None and self.now_and_then(0.3)
        return () if unasked else world.roll.intake

    def run_id(self, window):  # noqa: ARG002
        return f"{self.name}-r{self.dice.choice((1, 1, 1, 2))}"

    def begin(self, world):
        if not self.now_and_then(0.1):
            world.accede(self.name)
        if not self.now_and_then(0.1):
            world.register_run(self.name, f"{self.name}-r1", start=world.start(0))
        world.show_model(self.name, f"{self.name} base model")
        if self.now_and_then(0.2):
            world.show_model(self.name, f"{self.name} other model", served=self.now_and_then(0.5))

    def during(self, world, window):
        run = self.dice.choice((None, f"{self.name}-r1", f"{self.name}-r2"))
        if self.now_and_then(0.1):
            world.accede(self.name)
        if self.now_and_then(0.15):
            start = world.now + self.dice.choice((-3, 1, 8)) * DAY
            parents = [digest("p")] if self.now_and_then(0.5) else []
            world.register_run(self.name, f"{self.name}-r2", start=start, parents=parents)
        if self.now_and_then(0.15):
            world.show_model(self.name, f"{self.name} m{window}", run=run, served=self.now_and_then(0.5))
        if self.now_and_then(0.15):
            action = self.dice.choice(("pause", "lift", "renew"))
            world.say(
                self.name, Declaration, {"action": action, "reason": "x", "term_windows": self.dice.randrange(1, 5)}
            )
        if self.now_and_then(0.1):
            score = self.dice.choice((("0.31", "0.27", "0.35"), ("0.66", "0.61", "0.71"), ("0.5", "0.45", "0.55")))
            world.evaluate(self.name, digest(f"{self.name} base model"), *score)

    def file_facility(self, world, facility, window):
        if self.now_and_then(0.05):
            return
        if not self.now_and_then(0.03):
            world.say(self.name, Inventory, self.inventory(world, facility, window), window)
        first = world.say(self.name, Usage, self.usage(world, facility, window), window)
        if self.now_and_then(0.2):
            self.correct(world, facility, window, first)
        if self.now_and_then(0.06):
            world.say(self.name, Inventory, self.inventory(world, facility, window), window)

    def correct(self, world, facility, window, first):
        if self.now_and_then(0.5):
            world.until(world.now + HOUR)
        other = self.dice.choice((self, Lab(self.name), PausedTrainer(self.name)))
        second = world.say(self.name, Usage, Lab.usage(other, world, facility, window), window)
        if self.now_and_then(0.8):
            world.correct(self.name, window, first, second, reason="r")

    def inventory(self, world, facility, window):
        """Spares come and go, honestly."""
        body = super().inventory(world, facility, window)
        if (facility, window) not in self.spares:
            before = sum(
                self.spares.get((facility, max((w for f, w in self.spares if f == facility), default=-1)), (8, 0))
            )
            self.spares[facility, window] = (before, self.dice.choice((0, 0, 1, -1)) if before else 0)
        before, change = self.spares[facility, window]
        stock = body["stock"][0]
        stock["beginning"] = {**stock["beginning"], "spare_count": before}
        stock["ending"] = {**stock["beginning"], "spare_count": before + change}
        if change:
            origin, destination = ("outside", "spare") if change > 0 else ("spare", "outside")
            stock["moves"] = [
                {"at": instant(world.start(window)), "count": 1, "counterparty": "chipco",
                 "destination": destination, "origin": origin}
            ]  # fmt: skip
        return body

    def usage(self, world, facility, window):
        body = super().usage(world, facility, window)
        if self.now_and_then(0.05):  # a lab that miscounts, or lies about, its own streams
            self.miscounted = True
            body["heads"] = [{**head, "count": max(0, head["count"] - 1)} for head in body["heads"]]
        return body


class AnyWorld(World):
    """Overseers and others are sometimes silent, say things twice, or change their mind."""

    dice: random.Random

    def window(self, window):
        if self.dice.random() < 0.1:
            self.order(self.dice.choice(("pause", "lift", "renew")))
        super().window(window)

    def close_all(self, window):
        for party in (*self.roll.overseers, self.roll.evaluator, self.roll.meter, *self.roll.intake):
            for _ in range(self.dice.choices((0, 1, 2), (2, 93, 5))[0]):
                self.close(party, window)


def any_world(seed: int, operator: HonestOperator | None = None) -> World:
    dice = random.Random(seed)  # noqa: S311
    roll = Roll(
        labs={
            "aurora": ("aurora-1",),
            "borealis": ("borealis-1", "borealis-2")[: seed % 2 + 1],
            "cirrus": ("cirrus-1",),
        },
        intake=((), (), ("quay",), ("quay", "pier", "dock"))[seed % 4],
        successors=("archive",) if seed % 7 == 3 else (),
    )
    changes: dict[str, Any] = {}
    if seed % 2:
        deadlines = World(windows=0).agreement.document.deadlines.model_dump()
        changes["deadlines"] = deadlines | {"correction_seconds": dice.choice((1, 4, 8, 21, 40)) * DAY}
    if seed % 3 == 0:
        changes["windows"] = {"anchor_at": ANCHOR, "length_seconds": dice.choice((5, 14, 30)) * DAY}
    if seed % 5 == 0:
        changes["expires_at"] = instant(seconds(ANCHOR) + dice.choice((25, 40)) * DAY)
    world = AnyWorld(
        windows=dice.randrange(2, 8),
        pause_at=dice.choice((None, 1, 2, 3)),
        pause_windows=dice.choice((2, 13)),
        labs={lab: Anything(lab, dice) if dice.random() < 0.7 else Lab(lab) for lab in roll.labs},
        roll=roll,
        changes=changes,
        operator=operator or HonestOperator(),
        succeed_at=2 if roll.successors else None,
    )
    world.dice = dice
    if seed % 10 == 0:
        world.hidden_sites["borealis-9"] = ("borealis", 200)
    return world.run()


# ── reading them, with some statements taken out ──


@dataclass
class Case:
    """Logs that succeed one another, their entries decoded once, and the instant of judging.

    liars: labs that count their streams too low.
    """

    chain: Chain
    entries: list[Decoded]
    as_of: int
    liars: set[str]

    @property
    def ledger(self) -> Ledger:
        return self.chain.segments[-1].ledger

    @property
    def agreement(self) -> Agreement:
        return self.ledger.agreement

    def judge(self, hidden: frozenset[int] = frozenset()) -> tuple[Judgement, dict[str, Verdict | None]]:
        """What comes out without the entries `hidden`: in their place stands one that says nothing (the agreement)."""
        nothing = Decoded(self.agreement.digest, unknown="agreement")
        found, head = Judgement(), self.ledger.head
        history = replay.History(
            self.agreement, head, self.ledger.tiles.root, as_of=self.as_of, on_settled=found.settled
        )
        history.chain = self.chain
        for segment in self.chain.segments:
            history.enter_log(segment)
            for index in range(segment.first, segment.first + segment.size):
                history.add(index, nothing if index in hidden else self.entries[index])
            if segment is not self.chain.segments[-1]:
                history.leave_log(segment)
        history.finish()
        judge(history, found)
        assert not found.broken
        return found, decide(found, self.agreement.labs)


def opened(world: World, as_of: int | None = None) -> Case:
    older = [open_ledger(MemorySource(old.files()).fetch, world.agreement) for old in world.before]
    chain = link(open_ledger(world.source().fetch, world.agreement), older)
    entries = []
    for segment in chain.segments:
        segment.ledger.tiles.root = functools.cache(segment.ledger.tiles.root)
        raws = itertools.islice(segment.ledger.entries(), segment.size)
        entries += [decode(raw, world.agreement.keys) for _, raw in raws]
    liars = {name for name, lab in world.people.items() if getattr(lab, "miscounted", False)}
    return Case(chain, entries, chain.segments[-1].end.by if as_of is None else as_of, liars)


@pytest.fixture(autouse=True)
def _each_mark_is_opened_once(monkeypatch):
    """The same marks are read a thousand times here: remember what `sight` said about them."""
    monkeypatch.setattr(replay, "sight", functools.lru_cache(maxsize=None)(replay.sight))


def existed_by(case: Case) -> list[int | None]:
    """For each entry the time of the first mark that covers it, if that is not after `as_of`."""
    skew = case.agreement.document.deadlines.clock_skew_seconds
    marks: list[tuple[int, int, int]] = []
    for segment in case.chain.segments:
        log = segment.ledger.agreement
        for index in range(segment.first, segment.first + segment.size):
            entry = case.entries[index]
            if not isinstance(entry.claim, Mark) or objection(entry, log) is not None:
                continue
            try:
                seen = replay.sight(entry.claim.checkpoint.encode(), log)
            except PausectlError:
                continue
            size, last = segment.first + seen.checkpoint.size, marks[-1] if marks else (0, 0, 0)
            rises = index >= size > last[0] and seen.by >= last[1] and seen.first >= last[2]
            if rises and seen.by - seen.first <= skew:
                marks.append((size, seen.by, seen.first))
        marks.append((segment.first + segment.size, segment.end.by, segment.end.first))
    times = [next(by for size, by, _ in marks if size > index) for index in range(len(case.entries))]
    return [by if by <= case.as_of else None for by in times]


Place = tuple[str, str, int]


@dataclass
class Covered:
    """statements: leaves that may be taken out. due: those of them that would be missed by themselves."""

    statements: list[int]
    due: frozenset[int]


@dataclass
class Vouchers:
    """What is said in due time about judged windows: first filings, heads, and statements that corrections name."""

    due: dict[Place, int] = field(default_factory=dict)
    heads: dict[tuple[str, str], int] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)


def covered(case: Case) -> Covered:
    """See the top of this file."""
    first, twins = numbered(case)
    vouchers = vouching(case, first)
    by, until = existed_by(case), last_judged(case)
    top: dict[tuple[str, str], int] = {}
    for (party, stream, number), index in first.items():
        if (by[index] or 0) < until:
            top[party, stream] = max(number, top.get((party, stream), 0))
    chosen = set(vouchers.due.values())
    for (party, stream, number), index in first.items():
        counted = number < max(vouchers.heads.get((party, stream), 0), top.get((party, stream), 0))
        if counted or case.entries[index].id in vouchers.named:
            chosen.add(index)
    return Covered(sorted(chosen - {first[place] for place in twins}), frozenset(vouchers.due.values()))


def numbered(case: Case) -> tuple[dict[Place, int], set[Place]]:
    """The leaf that holds each number of each stream, and the numbers that two statements have."""
    first: dict[Place, int] = {}
    twins: set[Place] = set()
    for index, (by, entry) in enumerate(zip(existed_by(case), case.entries, strict=True)):
        claim = entry.claim
        if (
            by is None
            or claim is None
            or isinstance(claim, Mark | Succession)
            or objection(entry, case.agreement) is not None
        ):
            continue
        place = (claim.header.party, claim.header.stream, claim.header.sequence)
        if place in first:
            twins.add(place)
        first.setdefault(place, index)
    return first, twins


def vouching(case: Case, first: dict[Place, int]) -> Vouchers:
    by, agreement, found = existed_by(case), case.agreement, Vouchers()
    for index in sorted(first.values()):
        claim = case.entries[index].claim
        window = judged_window(case, claim, by[index])
        if window is None:
            continue
        if isinstance(claim, Correction):
            found.named |= {claim.supersedes, claim.replacement}
        elif isinstance(claim, Close) or _listed(agreement, claim):
            found.due.setdefault((claim.header.party, claim.header.stream, window), index)
        for head in claim.heads if isinstance(claim, Usage | Close) else ():
            if _speaks_for(agreement, claim, head):
                place = (head.party, head.stream)
                found.heads[place] = max(head.count, found.heads.get(place, 0))
    return found


def last_judged(case: Case) -> int:
    """What existed before this instant was seen when the last of the judged windows was judged."""
    limits, agreement = case.agreement.document.deadlines, case.agreement
    due = max(limits.filing_seconds, limits.closing_seconds)
    ends = agreement.first_boundary(seconds(agreement.document.expires_at))
    last = min(agreement.window_of(case.as_of - due), ends) - 1
    return min(agreement.start(last + 1) + max(due, limits.correction_seconds), case.as_of + 1)


def judged_window(case: Case, claim: Predicate, by: int) -> int | None:
    """The number of the window that a statement is about, if it is due at `as_of` and was still open to it."""
    span, limits = claim.header.window, case.agreement.document.deadlines
    if span is None:
        return None
    window, end = case.agreement.window_of(seconds(span.start_at)), seconds(span.end_at)
    if window < 0 or (seconds(span.start_at), end) != (case.agreement.start(window), case.agreement.start(window + 1)):
        return None
    due = max(limits.filing_seconds, limits.closing_seconds)
    in_time = end + due <= case.as_of and by < end + max(due, limits.correction_seconds)
    return window if in_time else None


def _listed(agreement: Agreement, claim: Predicate) -> bool:
    facility = agreement.facilities.get(claim.facility) if isinstance(claim, Usage | Inventory | Energy) else None
    if facility is None:
        return False
    if isinstance(claim, Energy):
        return (facility.lab, facility.meter) == (claim.lab, claim.header.party)
    return facility.lab == claim.header.party


def _speaks_for(agreement: Agreement, claim: Usage | Close, head: Head) -> bool:
    party = claim.header.party
    if head.party == party or isinstance(claim, Usage):
        return head.party == party
    overseer = party in agreement.bodies["overseers"].members
    bodies = {body.id for body in agreement.bodies.values() if party in body.members}
    return head.party in bodies or (overseer and head.stream == "accession")


def subsets(case: Case, found: Covered, dice: random.Random, count: int) -> Iterator[frozenset[int]]:
    """Sets of covered statements: a few, one party's, some kinds, a share of all."""
    kinds: dict[str, list[int]] = {}
    parties: dict[str, list[int]] = {}
    for index in found.statements:
        header = case.entries[index].claim.header
        kinds.setdefault(header.stream.split("/")[0], []).append(index)
        parties.setdefault(header.party, []).append(index)
    for _ in range(count if found.statements else 0):
        way, share = dice.randrange(5), dice.choice((0.3, 0.9, 1, 1))
        if way == 0:
            some = dice.sample(found.statements, min(len(found.statements), dice.randrange(1, 4)))
        elif way == 1:
            some = parties[dice.choice(sorted(parties))]
        elif way in {2, 3}:
            names = dice.sample(sorted(kinds), min(len(kinds), dice.randrange(1, 4)))
            some = [index for name in names for index in kinds[name]]
        else:
            some = found.statements
        yield frozenset(index for index in some if dice.random() < share)


def incriminating(case: Case, found: Covered, lab: str) -> Iterator[frozenset[int]]:
    """What somebody hides who reads the report first: whatever it cites against a lab, round after round."""
    hidden: frozenset[int] = frozenset()
    for _ in range(4):
        report, verdicts = case.judge(hidden)
        if verdicts[lab] in {Verdict.CONSISTENT, None}:
            return
        bad = [f for f in report.findings if f.lab == lab and f.outcome in {Outcome.VIOLATED, Outcome.UNPROVEN}]
        cited = frozenset(index for finding in bad for index in finding.entries) & set(found.statements)
        for optional in (_filings(case, cited), found.due, frozenset()):
            yield hidden | cited - optional
        yield hidden | cited | _closes(case, found)
        optional = _filings(case, cited)
        later = hidden | (cited - optional or cited)
        if later == hidden:
            return
        hidden = later


def _filings(case: Case, indices: frozenset[int]) -> frozenset[int]:
    """Those without which there is nothing to judge."""
    return frozenset(i for i in indices if isinstance(case.entries[i].claim, Usage | Inventory | Energy))


def _closes(case: Case, found: Covered) -> frozenset[int]:
    return frozenset(i for i in found.statements if isinstance(case.entries[i].claim, Close | Order))


def named(case: Case, hidden: frozenset[int]) -> list[str]:
    said = {index: case.entries[index].claim.header for index in sorted(hidden)}
    return [
        f"{index}: {h.party}/{h.stream}#{h.sequence} {h.window.start_at if h.window else ''}"
        for index, h in said.items()
    ]


def smallest(case: Case, hidden: frozenset[int], lab: str, verdict: Verdict) -> frozenset[int]:
    """Put back what does not matter, for a message that can be read."""
    for index in sorted(hidden):
        if case.judge(hidden - {index})[1][lab] is verdict:
            hidden -= {index}
    return hidden


def check(case: Case, dice: random.Random, count: int) -> set[Verdict | None]:
    """The property for `count` sets and the cleverer ones; what came out with some statements hidden."""
    _, full = case.judge()
    statements = covered(case)
    outcomes: set[Verdict | None] = set()
    clever = [hidden for lab in case.agreement.labs for hidden in incriminating(case, statements, lab)]
    for hidden in {*clever, *subsets(case, statements, dice, count)}:
        found, verdicts = case.judge(hidden)
        for lab, verdict in verdicts.items():
            outcomes.add(verdict)
            if verdict is Verdict.CONSISTENT and full[lab] is not verdict:
                raise AssertionError(f"{lab} was {full[lab]}", named(case, smallest(case, hidden, lab, verdict)))
            if verdict is Verdict.INCONSISTENT and full[lab] is Verdict.CONSISTENT:
                _blame(case, found, lab, hidden)
    return outcomes


def _blame(case: Case, found: Judgement, lab: str, hidden: frozenset[int]) -> None:
    """A gap is no accusation: only deadlines may turn against a lab whose statements somebody took out.

    Unless the lab itself says that there is no gap.
    """
    if lab in case.liars:
        return
    wrong = {f.rule for f in found.findings if f.lab == lab and f.outcome is Outcome.VIOLATED}
    late = {"TIM-1", "RUN-1"}  # a second registration or filing, once the first is gone, is late
    if wrong - late:
        raise AssertionError(
            f"{lab} is blamed by {wrong - late}", named(case, smallest(case, hidden, lab, Verdict.INCONSISTENT))
        )


@pytest.mark.parametrize("name", [name for name, each in evasions().items() if each.outcome != "ERROR"])
def test_hiding_helps_nobody_in_a_world_of_one_cheat(name):
    dice = random.Random(name)  # noqa: S311
    world = evasions()[name].build()
    head = opened(world).as_of
    for as_of in (head, head - dice.randrange(20) * DAY):
        check(opened(world, as_of), dice, 2)


@pytest.mark.parametrize("intake", [(), ("quay",), ("quay", "pier", "dock")], ids=len)
@pytest.mark.parametrize("windows", [3, 6])
def test_hiding_helps_nobody_in_an_honest_world_and_harms_nobody(windows, intake):
    """It makes labs INCONCLUSIVE, or leaves them as they are."""
    dice = random.Random(windows)  # noqa: S311
    outcomes = check(opened(World(windows=windows, roll=Roll(intake=intake)).run()), dice, 60)
    assert outcomes <= {Verdict.CONSISTENT, Verdict.INCONCLUSIVE, None}


@pytest.mark.parametrize("windows", [3, 7])
def test_hiding_helps_nobody_where_a_log_succeeded_another(windows):
    """Whatever is taken out, of either log; a log that is not at hand at all is SUC-4's."""
    dice = random.Random(windows)  # noqa: S311
    roll = Roll(intake=("quay",), successors=("archive", "attic"))
    case = opened(World(windows=windows, roll=roll, succeed_at=2).run())
    assert len(case.chain.segments) == 2
    assert set(case.judge()[1].values()) == {Verdict.CONSISTENT}
    outcomes = check(case, dice, 60)
    assert outcomes <= {Verdict.CONSISTENT, Verdict.INCONCLUSIVE, None}


@pytest.mark.parametrize("seeds", [range(first, first + 5) for first in range(0, 45, 5)], ids=str)
def test_hiding_helps_nobody_in_a_world_where_anything_goes(seeds):
    outcomes: set[Verdict | None] = set()
    for seed in seeds:
        dice = random.Random(seed)  # noqa: S311
        world = any_world(seed)
        head = opened(world).as_of
        as_of = head + dice.choice((0, -dice.randrange(30), dice.randrange(40))) * DAY
        outcomes |= check(opened(world, as_of), dice, 12)
    assert {Verdict.INCONSISTENT, Verdict.INCONCLUSIVE} <= outcomes


# ── that this is what it says ──


def test_every_statement_of_the_first_window_is_covered_when_the_next_is_judged():
    """So the property is not about nothing."""
    case = opened(World(windows=3).run())
    found = set(covered(case).statements)
    first_two = case.agreement.start(2) + 12 * HOUR
    by = existed_by(case)
    for index, entry in enumerate(case.entries):
        if entry.claim is not None and not isinstance(entry.claim, Mark) and (by[index] or 0) <= first_two:
            assert index in found, named(case, frozenset({index}))


def test_what_nobody_counts_yet_is_not_covered():
    world = World(windows=2).run()
    world.register_run("aurora", "late-news", start=world.now + 9 * DAY)
    world.until(world.now + HOUR)
    case = opened(world)
    found = covered(case).statements
    left = {e.claim.header.stream for i, e in enumerate(case.entries) if e.claim is not None and i not in found}
    assert left == {"marks", "runs"}


class Dropping(HonestOperator):
    """Leaves out the submissions with these numbers."""

    def __init__(self, dropped: set[int]) -> None:
        self.dropped, self.number = dropped, 0

    def append(self, world, raw, claim):
        if self.number not in self.dropped:
            super().append(world, raw, claim)
        self.number += 1


@pytest.mark.parametrize("seed", range(6))
def test_taking_out_of_a_history_is_like_a_ledger_that_never_held_it(seed):
    """The shortcut of this file, compared with a log whose operator really leaves the same statements out."""
    dice = random.Random(seed)  # noqa: S311
    world = any_world(seed)
    case = opened(world)
    numbers = {raw: number for number, (_, raw, _) in enumerate(world.said)}
    entries = [raw for log in (*world.before, world.memory) for raw in log.entries]
    for hidden in subsets(case, covered(case), dice, 3):
        dropped = {numbers[entries[index]] for index in hidden}
        assert len(dropped) == len(hidden)
        rebuilt = opened(any_world(seed, Dropping(dropped)), case.as_of)
        assert len(rebuilt.entries) < len(case.entries) or not hidden
        assert rebuilt.judge()[1] == case.judge(hidden)[1]


def test_an_accession_hidden_with_all_that_its_lab_said():
    """borealis trains in its second window, bound because cirrus acceded; aurora accedes late.

    Without cirrus's accession and its usage statements, borealis would seem bound only from the time aurora was, and
    CONSISTENT, if nobody but cirrus counted cirrus's accessions.
    """

    class Trainer(Lab):
        def work(self, world, window):  # noqa: ARG002
            return BUSY if window == 1 else QUIET

    class Latecomer(Lab):
        def begin(self, world):
            world.register_run(self.name, f"{self.name}-r1", start=world.start(0))
            world.show_model(self.name, f"{self.name} base model")

        def during(self, world, window):
            if window == 2:
                world.accede(self.name)

    world = World(windows=5, pause_at=1, labs={"borealis": Trainer("borealis"), "aurora": Latecomer("aurora")}).run()
    case = opened(world)
    found = covered(case)
    hidden = frozenset(
        index for index in found.statements
        if case.entries[index].claim.header.party == "cirrus"
        and case.entries[index].claim.header.stream.startswith(("accession", "usage"))
    )  # fmt: skip
    assert case.judge()[1]["borealis"] is Verdict.INCONSISTENT
    assert case.judge(hidden)[1]["borealis"] is Verdict.INCONCLUSIVE
