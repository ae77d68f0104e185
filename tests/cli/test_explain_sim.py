# SPDX-License-Identifier: Apache-2.0
"""explain and sim: what a rule asks, and which cheat it catches."""

from __future__ import annotations

import pytest

from pausectl.registry import enforcers
from pausectl.sim.evasions import evasions
from pausectl.verify.rules.base import rules


def test_explain_lists_every_rule_and_every_clause(run):
    table = run("explain")
    known = run("explain", "--json").json
    assert table.code == 0
    assert {line.split()[0] for line in table.out.splitlines()} == set(known)
    assert set(rules()) <= set(known)
    assert {name for name in enforcers() if name.split("-")[0] in ("NOTE", "ENV", "READ", "MARK", "SEAL")} <= set(known)
    assert all(entry["sentence"] and entry["function"].startswith("pausectl.") for entry in known.values())


@pytest.mark.parametrize("name", ["CAP-2", "cap-2", "NOTE-3", "READ-5"])
def test_explain_tells_one_rule(run, name):
    done = run("explain", name)
    assert done.code == 0
    assert done.out.startswith(name.upper())
    assert "MUST" in done.out
    entry = run("explain", name, "--json").json
    assert entry == run("explain", "--json").json[name.upper()]
    assert "".join(entry["sentence"].split()) in "".join(done.out.split())


def test_explain_says_why_what_it_catches_and_what_it_cannot_see(run):
    text = run("explain", "CAP-2").out
    for heading in ("\nWhy\n", "\nCatches\n", "\nCannot see\n"):
        assert heading in text


@pytest.mark.parametrize("name", ["CAP-999", "", "CAP", "\x1b[31m", "CAP-2\n"])
@pytest.mark.parametrize("as_json", [False, True])
def test_explain_knows_what_it_does_not_know(run, name, as_json):
    done = run("explain", name, *(["--json"] if as_json else []))
    assert done.code == 2
    assert done.out == ""
    assert "no rule is called" in done.error
    assert "\x1b" not in done.err


def test_sim_lists_every_cheat_with_its_rule(run):
    known = evasions()
    rows = run("sim", "--json").json
    assert [row["name"] for row in rows] == list(known)
    text = run("sim")
    assert text.code == 0
    assert len(text.out.splitlines()) == len(known)
    assert all(row["caught_by"] is None or row["caught_by"] in text.out for row in rows)


def cheat(caught_by: str) -> str:
    return next(name for name, evasion in evasions().items() if evasion.caught_by == caught_by)


def test_sim_plays_one_cheat(run, tmp_path):
    name = cheat("CAP-2")
    done = run("sim", name, "--json", "--dir", tmp_path / "world")
    assert done.code == 1
    assert any((f["rule"], f["outcome"]) == ("CAP-2", "VIOLATED") for f in done.json["findings"])
    left = run("verify", tmp_path / "world" / "log", "--agreement", tmp_path / "world" / "agreement.json", "--json")
    assert left.json == done.json
    assert evasions()[name].cheat in run("sim", name).out


def test_sim_of_a_rule_about_bytes_ends_in_its_error(run):
    done = run("sim", cheat("READ-5"))
    assert done.code == 4
    assert done.out == ""
    assert "Caught by READ-5" in done.err
    assert "pausectl: error: " in done.err
    assert "Traceback" not in done.err


def test_sim_knows_what_it_does_not_know_and_writes_over_nothing(run, tmp_path, tree):
    done = run("sim", "nosuch")
    assert done.code == 2
    assert "nosuch" in done.error
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    (tmp_path / "file").write_text("mine")
    before = tree(tmp_path)
    for place in ("full", "file", "file/below"):
        assert run("sim", cheat("CAP-2"), "--dir", tmp_path / place).code == 2
    assert tree(tmp_path) == before
