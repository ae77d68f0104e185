# SPDX-License-Identifier: Apache-2.0
"""The object that scripts depend on: these members, of these types, and no others."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from pausectl.report.json import render
from pausectl.sim.cheats import PausedTrainer
from pausectl.sim.world import Lab, World
from pausectl.verify.rules.base import Outcome, rules
from pausectl.wire.keys import unbase64

INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
VERDICTS = {"CONSISTENT", "INCONSISTENT", "INCONCLUSIVE", None}
LABS = {"aurora", "borealis", "cirrus"}


class Outsider(Lab):
    def begin(self, world):
        """Not acceding."""


def shown(**world: Any) -> tuple[World, dict[str, Any]]:
    built = World(**world).run()
    return built, json.loads(json.dumps(render(built.verify()), allow_nan=False))


@pytest.mark.parametrize(
    "world",
    [
        {},
        {"windows": 8, "labs": {"borealis": PausedTrainer("borealis"), "cirrus": Outsider("cirrus")}},
        {"labs": {lab: Outsider(lab) for lab in LABS}},
        {"windows": 0},
    ],
)
def test_the_shape(world):
    built, found = shown(**world)
    assert list(found) == [
        "agreement", "log", "as_of", "available", "verdicts", "windows", "findings", "held", "errors", "not_shown",
    ]  # fmt: skip
    assert found["agreement"] == {"id": built.agreement.id, "version": 1}
    assert found["log"].keys() == {"origin", "size", "root", "before"}
    assert found["log"]["before"] == []
    assert found["available"] is None  # no mirror is agreed
    assert (found["log"]["origin"], found["log"]["size"]) == ("log.example/pause", len(built.memory.entries))
    assert len(unbase64(found["log"]["root"])) == 32
    assert INSTANT.fullmatch(found["as_of"])
    assert found["verdicts"].keys() == LABS
    assert set(found["verdicts"].values()) <= VERDICTS
    assert all(isinstance(line, str) and line for line in found["not_shown"])
    assert found["errors"] == []
    for window in found["windows"]:
        check_window(window)
    for finding in found["findings"]:
        check_finding(finding, len(built.memory.entries))
    for held in found["held"]:
        assert held.keys() == {"lab", "rule", "count"}
        assert held["lab"] in LABS
        assert held["rule"] in rules()
        assert held["count"] > 0


def check_window(window: dict[str, Any]) -> None:
    assert list(window) == ["lab", "start", "end", "state", "verdict"]
    assert window["lab"] in LABS
    assert INSTANT.fullmatch(window["start"])
    assert INSTANT.fullmatch(window["end"])
    assert window["state"] in {"ARMED", "PAUSED", None}
    assert window["verdict"] in VERDICTS
    assert (window["state"] is None) == (window["verdict"] is None)


def check_finding(finding: dict[str, Any], size: int) -> None:
    assert list(finding) == ["rule", "outcome", "lab", "window", "message", "entries"]
    assert finding["rule"] in rules()
    assert finding["outcome"] in set(Outcome)
    assert finding["lab"] in {*LABS, None}
    assert finding["window"] is None or list(finding["window"]) == ["start", "end"]
    assert finding["message"]
    assert all(0 <= entry < size for entry in finding["entries"])


def test_windows_are_in_order_and_each_is_there_once():
    _, found = shown(windows=8)
    places = [(window["start"], window["lab"]) for window in found["windows"]]
    assert places == sorted(set(places))
    assert len(places) == 8 * 3


def test_the_same_ledger_gives_the_same_object():
    assert shown(windows=3)[1] == shown(windows=3)[1]


def test_a_rule_that_failed_is_an_error_and_not_a_finding():
    world = World(windows=1).run()
    report = world.verify()
    report.judgement.broken["aurora"] = "rule X-1 failed: KeyError: 'x'"
    assert render(report)["errors"] == [{"lab": "aurora", "message": "rule X-1 failed: KeyError: 'x'"}]
