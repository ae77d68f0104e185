# SPDX-License-Identifier: Apache-2.0
"""Every cheat is caught by the rule that it names, every rule has its cheat, and an honest world has none."""

from __future__ import annotations

import pytest

from pausectl.errors import PausectlError
from pausectl.registry import enforcers
from pausectl.sim import play
from pausectl.sim.evasions import CHEAT, evasions
from pausectl.sim.terms import Roll
from pausectl.sim.world import HonestOperator, Lab, World
from pausectl.verify.judge import Verdict
from pausectl.verify.rules.base import Outcome, rules

CAUGHT = {name: each for name, each in evasions().items() if each.caught_by is not None}
BLIND = {name: each for name, each in evasions().items() if each.caught_by is None}
HONEST = ("aurora", "cirrus")


@pytest.mark.parametrize("name", [name for name, each in CAUGHT.items() if each.outcome != "ERROR"])
def test_a_cheat_is_caught_by_the_rule_it_names(name):
    evasion = CAUGHT[name]
    world = evasion.build()
    report = play.catch(evasion, world)
    assert not report.judgement.broken
    found = [f for f in report.judgement.findings if f.rule == evasion.caught_by and f.outcome == evasion.outcome]
    assert found, sorted({(f.rule, f.outcome) for f in report.judgement.findings if f.outcome != "HOLDS"})
    assert {finding.lab for finding in found} & {CHEAT, None}
    assert all(finding.message for finding in found)
    assert report.exit_code == (1 if report_has(report, Outcome.VIOLATED) else 3)
    if CHEAT in {finding.lab for finding in found}:
        worst = (
            {Verdict.INCONSISTENT} if evasion.outcome == "VIOLATED" else {Verdict.INCONCLUSIVE, Verdict.INCONSISTENT}
        )
        assert report.verdicts[CHEAT] in worst
    if a_labs_cheat(world):
        others = {lab: report.verdicts[lab] for lab in HONEST}
        assert others == dict.fromkeys(HONEST, Verdict.CONSISTENT), "a lab's cheat costs nobody else a verdict"


def a_labs_cheat(world: World) -> bool:
    return type(world.operator) is HonestOperator and type(world.people[CHEAT]) is not Lab


def report_has(report, outcome: Outcome) -> bool:
    return any(finding.outcome is outcome for finding in report.judgement.findings)


@pytest.mark.parametrize("name", [name for name, each in CAUGHT.items() if each.outcome == "ERROR"])
def test_what_ends_the_reading(name):
    evasion = CAUGHT[name]
    world = evasion.build()
    assert evasion.caught_by in enforcers()
    with pytest.raises(PausectlError) as caught:
        play.catch(evasion, world)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("name", list(BLIND))
def test_a_declared_blind_spot_is_still_open(name):
    report = play.catch(BLIND[name], BLIND[name].build())
    assert report.exit_code == 0, [f for f in report.judgement.findings if f.outcome in ("VIOLATED", "UNPROVEN")]


def test_every_rule_has_its_cheat_and_every_cheat_its_rule():
    named = {each.caught_by for each in evasions().values()} - {None}
    assert rules().keys() - named == set()
    assert named - rules().keys() - enforcers().keys() == set()
    assert {each.outcome for each in evasions().values()} <= {"VIOLATED", "UNPROVEN", "ERROR"}


# ── an honest world ──

WORLDS = {
    "four windows": {},
    "one window": {"windows": 1, "pause_at": None},
    "no pause": {"pause_at": None},
    "paused from the first window it can be": {"pause_at": 1, "windows": 3},
    "a pause that ends": {"pause_at": 1, "pause_windows": 2, "windows": 6},
    "settled windows": {"windows": 9},
    "more labs and sites": {
        "roll": Roll(labs={name: (f"{name}-1", f"{name}-2") for name in ("ada", "bell", "cora", "dune")})
    },
    "an intake party": {"roll": Roll(intake=("quay",)), "windows": 9},
    "three intake parties": {"roll": Roll(intake=("quay", "pier", "dock"))},
    "one lab": {"roll": Roll(labs={"aurora": ("aurora-1",)}, overseers=("avon", "brent"), witnesses=("wharf",))},
}


@pytest.mark.parametrize("name", list(WORLDS))
def test_an_honest_world_is_consistent(name):
    report = World(**WORLDS[name]).run().verify()
    bad = [f for f in report.judgement.findings if f.outcome in (Outcome.VIOLATED, Outcome.UNPROVEN)]
    assert bad == []
    assert set(report.verdicts.values()) == {Verdict.CONSISTENT}
    assert report.exit_code == 0
    assert report.not_shown


def test_every_rule_says_something_about_an_honest_world():
    """A rule that yields nothing looks like one that holds."""
    report = World(windows=9).run().verify()
    said = {finding.rule for finding in report.judgement.findings} | {rule for _, rule in report.judgement.held}
    assert said == rules().keys()


def test_every_judged_window_has_every_rule_for_every_lab():
    world = World(windows=2).run()
    report = world.verify()
    asked = {(f.rule, f.lab, f.window[0]) for f in report.judgement.findings if f.window is not None}
    of_case = [each.id for each in rules().values() if each.of_case]
    assert asked == {(rule, lab, window) for rule in of_case for lab in world.roll.labs for window in range(2)}


def test_nothing_is_called_by_the_word():
    for name in ("train-through-the-pause", "omit-a-window"):
        report = play.catch(CAUGHT[name], CAUGHT[name].build())
        texts = [*report.not_shown, *(finding.message for finding in report.judgement.findings)]
        assert not [text for text in texts if "compliant" in text.lower()]
