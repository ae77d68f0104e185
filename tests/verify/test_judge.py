# SPDX-License-Identifier: Apache-2.0
"""VER-1, VER-2, VER-3, VER-4, exit codes, and what is no verdict at all."""

from __future__ import annotations

from itertools import chain, combinations

import pytest

from pausectl import registry
from pausectl.errors import Unavailable
from pausectl.predicates.accession import Accession
from pausectl.sim.cheats import PausedTrainer
from pausectl.sim.terms import Roll
from pausectl.sim.world import DAY, Lab, World
from pausectl.verify.audit import verify
from pausectl.verify.judge import Judgement, Verdict, WindowVerdict, decide, worst
from pausectl.verify.rules.base import Finding, Outcome, ledger_rule, rule, rules

ALL = list(chain.from_iterable(combinations(Outcome, size) for size in range(len(Outcome) + 1)))


@pytest.mark.parametrize("outcomes", ALL, ids=lambda outcomes: "+".join(outcomes) or "nothing")
def test_ver_1_and_2_the_worst_finding(outcomes):
    verdict = worst(set(outcomes))
    if Outcome.VIOLATED in outcomes:
        assert verdict is Verdict.INCONSISTENT
    elif Outcome.UNPROVEN in outcomes or Outcome.HOLDS not in outcomes:
        assert verdict is Verdict.INCONCLUSIVE, "no evidence is never CONSISTENT"
    else:
        assert verdict is Verdict.CONSISTENT


def decided(windows: list[Verdict | None], beyond: list[tuple[Outcome, str | None]] = (), broken=()) -> Verdict | None:
    judgement = Judgement()
    judgement.windows = [WindowVerdict("lab", i, i, i + 1, None, verdict) for i, verdict in enumerate(windows)]
    judgement.findings = [Finding("X-1", outcome, lab, None, "x", ()) for outcome, lab in beyond]
    judgement.broken = dict.fromkeys(broken, "why")
    return decide(judgement, ["lab"])["lab"]


C, I, U = Verdict.CONSISTENT, Verdict.INCONSISTENT, Verdict.INCONCLUSIVE  # noqa: E741


@pytest.mark.parametrize(
    ("windows", "beyond", "verdict"),
    [
        ([], [], None),
        ([None, None], [], None),
        ([C, None], [], C),
        ([C, C], [], C),
        ([C, U, C], [], U),
        ([U, I, C], [], I),
        ([C], [(Outcome.HOLDS, "lab")], C),
        ([C], [(Outcome.UNPROVEN, "lab")], U),
        ([C], [(Outcome.VIOLATED, "lab")], I),
        ([I], [(Outcome.UNPROVEN, "lab")], I),
        ([C], [(Outcome.VIOLATED, None), (Outcome.VIOLATED, "another")], C),
        ([], [(Outcome.VIOLATED, "lab")], None),
        ([None], [(Outcome.UNPROVEN, "lab")], None),
    ],
)
def test_ver_3_the_worst_window_and_what_is_beyond_windows(windows, beyond, verdict):
    assert decided(windows, beyond) is verdict


@pytest.mark.parametrize(("broken", "verdict"), [([], I), (["lab"], None), ([None], None), (["another"], I)])
def test_ver_4_no_verdict_for_whom_a_rule_failed_on(broken, verdict):
    assert decided([I], broken=broken) is verdict


# ── a rule of ours that crashes ──


@pytest.fixture
def shelf():
    """The rules, put back as they were."""
    before = dict(registry._things["rule"])
    yield registry._things["rule"]
    registry._things["rule"].clear()
    registry._things["rule"].update(before)


def test_ver_4_a_rule_that_raises_costs_its_lab_the_verdict_and_hides_nothing(shelf):
    @rule("BUG-1")
    def fails_on_borealis(case):
        """[BUG-1] A rule MUST NOT crash."""
        if case.lab == "borealis" and case.window == 2:
            raise ZeroDivisionError("ours")
        yield from ()

    report = World(labs={"borealis": PausedTrainer("borealis")}).run().verify()
    assert report.verdicts == {"aurora": C, "borealis": None, "cirrus": C}
    assert report.exit_code == 5
    assert report.judgement.broken == {"borealis": "rule BUG-1 failed: ZeroDivisionError: ours"}
    violated = {f.rule for f in report.judgement.findings if f.lab == "borealis" and f.outcome is Outcome.VIOLATED}
    assert "CAP-2" in violated, "a crafted entry cannot make a VIOLATED disappear"
    verdicts = {w.window: w.verdict for w in report.judgement.windows if w.lab == "borealis"}
    assert verdicts == {0: C, 1: C, 2: None, 3: None}


def test_ver_4_a_rule_about_the_ledger_that_raises_costs_everybody(shelf):
    @ledger_rule("BUG-2")
    def fails(history):
        """[BUG-2] A rule MUST NOT crash."""
        raise KeyError("ours")
        yield

    report = World(windows=1).run().verify()
    assert report.verdicts == dict.fromkeys(report.verdicts)
    assert report.exit_code == 5


def test_a_rule_that_says_nothing_proves_nothing(shelf):
    shelf.clear()

    @rule("NIL-1")
    def silent(case):
        """[NIL-1] A rule MUST say something."""
        yield from ()

    report = World(windows=1).run().verify()
    assert set(report.verdicts.values()) == {U}
    assert report.exit_code == 3


def test_a_rule_is_entered_once(shelf):
    with pytest.raises(ValueError, match="already registered"):
        rule("CAP-1")(lambda _case: iter(()))
    assert len(rules()) == len(shelf)


# ── nothing in force ──

RATIO = {"denominator": 1, "numerator": 0}


class Outsider(Lab):
    """Never accedes."""

    def begin(self, world):
        world.register_run(self.name, f"{self.name}-r1", start=world.start(0))
        world.show_model(self.name, f"{self.name} base model")


class Demanding(Lab):
    """Accedes if a hundred others do."""

    def begin(self, world):
        conditions = {
            "min_jurisdictions_count": 1,
            "min_parties_count": 100,
            "min_share": RATIO,
            "required_parties": [],
        }
        world.say(self.name, Accession, {"agreement_version": 1, "conditions": conditions, "frontier_h100e_count": 1})
        Outsider.begin(self, world)


class Early(Lab):
    """Accedes to a version that is none yet."""

    def begin(self, world):
        conditions = {"min_jurisdictions_count": 1, "min_parties_count": 1, "min_share": RATIO, "required_parties": []}
        world.say(self.name, Accession, {"agreement_version": 2, "conditions": conditions, "frontier_h100e_count": 1})
        Outsider.begin(self, world)


@pytest.mark.parametrize("behaviour", [Outsider, Demanding, Early])
def test_a_lab_that_is_not_bound_has_no_verdict_whatever_it_does(behaviour):
    class Both(behaviour, PausedTrainer):
        """And trains."""

    report = World(labs={"borealis": Both("borealis")}).run().verify()
    assert report.verdicts == {"aurora": C, "borealis": None, "cirrus": C}
    assert report.exit_code == 3
    mine = [finding for finding in report.judgement.findings if finding.lab == "borealis" and finding.window]
    assert {finding.outcome for finding in mine} == {Outcome.NOT_IN_FORCE}
    assert [line for line in report.not_shown if line.startswith("Not in force: nothing binds borealis")]


def test_nobody_bound_is_exit_3():
    report = World(labs={name: Outsider(name) for name in ("aurora", "borealis", "cirrus")}).run().verify()
    assert set(report.verdicts.values()) == {None}
    assert report.exit_code == 3


def test_agr_7_an_agreement_that_expired_before_it_began():
    changes = {"accede_by_at": "2026-07-01T00:00:00Z", "expires_at": "2026-07-06T00:00:00Z"}
    report = World(changes=changes).run().verify()
    assert set(report.verdicts.values()) == {None}
    assert report.exit_code == 3


def test_agr_7_what_happens_after_the_agreement_expired_is_not_judged():
    changes = {"accede_by_at": "2026-07-01T00:00:00Z", "expires_at": "2026-07-20T00:00:00Z"}
    report = World(changes=changes, labs={"borealis": PausedTrainer("borealis")}).run().verify()
    assert report.verdicts == {"aurora": C, "borealis": C, "cirrus": C}
    assert max(window.window for window in report.judgement.windows if window.state) == 1


def test_agr_7_too_late_to_accede():
    changes = {"accede_by_at": "2026-06-01T00:00:00Z"}
    assert set(World(changes=changes).run().verify().verdicts.values()) == {None}


@pytest.mark.parametrize("lie", [{"min_parties_count": 100}, {"min_parties_count": 1}])
def test_agr_7_acceding_again_frees_nobody(lie):
    class Leaver(PausedTrainer):
        def during(self, world, window):
            if window == 1:
                conditions = {"min_jurisdictions_count": 1, "min_share": RATIO, "required_parties": [], **lie}
                body = {"agreement_version": 1, "conditions": conditions, "frontier_h100e_count": 1}
                world.say(self.name, Accession, body)

    assert World(labs={"borealis": Leaver("borealis")}).run().verify().verdicts["borealis"] is I


# ── no evidence ──


class Nobody(Lab):
    """Accedes and is not heard of again."""

    def begin(self, world):
        world.accede(self.name)

    def file(self, world, window):
        """Nothing."""


def test_no_evidence_is_never_consistent():
    world = World(labs={name: Nobody(name) for name in ("aurora", "borealis", "cirrus")}).run()
    assert set(world.verify().verdicts.values()) == {U}


def test_a_lab_of_which_nothing_is_asked_is_never_consistent():
    roll = Roll(labs={"aurora": ("aurora-1",), "borealis": (), "cirrus": ("cirrus-1",)})
    assert World(roll=roll).run().verify().verdicts == {"aurora": C, "borealis": U, "cirrus": C}


def test_an_agreement_that_asks_for_nothing_proves_nothing():
    """No due list, no limits: labs that file nothing are not CONSISTENT with anything."""
    world = World(labs={name: Nobody(name) for name in ("aurora", "borealis", "cirrus")}, changes={"due": []}).run()
    assert set(world.verify().verdicts.values()) == {U}


@pytest.mark.parametrize("days", [4, 11, 40])
def test_a_ledger_that_stops_is_no_evidence_for_what_follows(days):
    world = World(windows=3).run()
    report = world.verify(as_of=world.now + days * DAY)
    assert set(report.verdicts.values()) == {U}
    assert report.exit_code == 3


def test_before_anything_is_due_there_is_no_verdict():
    world = World(windows=1).run()
    assert set(world.verify(as_of=world.start(1)).verdicts.values()) == {None}


def test_a_due_list_that_asks_for_more_than_closes_is_not_met_by_closes():
    due = World(windows=0).agreement.document.model_dump(mode="json")["due"]
    asked = [*due, {"per": "party", "role": "evaluator", "stream": "capability"}]
    report = World(changes={"due": asked}).run().verify()
    assert set(report.verdicts.values()) == {U}
    assert {f.rule for f in report.judgement.findings if f.outcome is Outcome.UNPROVEN} == {"COV-3"}


# ── one lab of several ──


def test_asking_about_one_lab():
    world = World(labs={"borealis": PausedTrainer("borealis")}).run()
    for lab, code in (("aurora", 0), ("borealis", 1)):
        report = verify(world.source().fetch, world.agreement, lab=lab)
        assert (list(report.verdicts), report.exit_code) == ([lab], code)
        assert {finding.lab for finding in report.judgement.findings} <= {lab, None}
        assert {window.lab for window in report.judgement.windows} == {lab}
        assert report.verdicts[lab] is world.verify().verdicts[lab]


def test_a_checkpoint_from_the_future_of_this_copy():
    world = World(windows=2)
    world.run()
    later = World(windows=3).run()
    with pytest.raises(Unavailable, match="rolled back"):
        world.verify(seen=[("mine", later.memory.head)])
