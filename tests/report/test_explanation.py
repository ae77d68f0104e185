# SPDX-License-Identifier: Apache-2.0
"""What `pausectl explain` says, held against the rules and clauses themselves."""

from __future__ import annotations

import pytest

from pausectl.registry import enforcers
from pausectl.report import explanation
from pausectl.sim.evasions import evasions
from pausectl.verify.rules.base import rules


@pytest.fixture(scope="module")
def known():
    assert evasions()  # registers them
    return explanation.catalogue()


def test_every_rule_and_every_clause_is_explained(known):
    assert set(known) == set(rules()) | set(enforcers())
    for clause, entry in known.items():
        assert entry["sentence"].count("MUST") >= 1, clause
        assert entry["kind"] == ("judgement" if clause in rules() else "bytes")
        assert not entry["sentence"].startswith("[")
        assert "\n" not in entry["sentence"]


def test_judgements_say_why_and_what_they_cannot_see(known):
    for clause in rules():
        assert known[clause]["why"], clause
        assert known[clause]["cannot_see"], clause


def test_cheats_stand_under_the_rule_that_catches_them(known):
    for name, evasion in evasions().items():
        if evasion.caught_by is not None:
            assert {"name": name, "cheat": evasion.cheat} in known[evasion.caught_by]["catches"]
    listed = [each["name"] for entry in known.values() for each in entry["catches"]]
    assert sorted(listed) == sorted(name for name, e in evasions().items() if e.caught_by is not None)


def test_a_page_fits_a_terminal(known):
    for clause, entry in known.items():
        page = explanation.page(clause, entry)
        first, *rest = page.splitlines()
        assert first.startswith(clause)
        assert max(map(len, rest)) <= 88
        assert "".join(entry["sentence"].split()) in "".join(page.split())


def test_the_table_is_a_line_each(known):
    lines = explanation.table(known).splitlines()
    assert [line.split()[0] for line in lines] == list(known)
    assert max(map(len, lines)) <= 110
