# SPDX-License-Identifier: Apache-2.0
"""A stranger checks evidence offline: what convicts ends with 0, what shows nothing with 4."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pausectl.sim import contradictions
from pausectl.sim.terms import Roll, demo_key
from pausectl.sim.world import World
from pausectl.wire import evidence, note

LOG = demo_key("ledgerco")
ORIGIN = "log.example/pause"
VKEY = note.format_vkey(note.VerifierKey(ORIGIN, note.TYPE_ED25519, LOG.public))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "two.evidence"
    path.write_bytes(evidence.format(contradictions.rewritten(ORIGIN, LOG)))
    return path


def test_an_agreement_or_a_key_is_enough(run, file, demo, no_sockets):
    for trusted in (("--vkey", VKEY), ("--agreement", demo / "agreement.json")):
        told = run("evidence", "check", file, *trusted)
        assert (told.code, told.err) == (0, "")
        assert told.out.startswith("log.example/pause signed two histories:\n  3 entries, root ")
        assert "but the tree of 5 begins with 3 entries of root" in told.out
    found = run("evidence", "check", file, "--vkey", VKEY, "--json").json
    assert [each["size"] for each in found["signed"]] == [3, 5]
    assert found["begins_with"] not in {None, found["signed"][0]["root"]}


def test_two_trees_of_one_size(run, tmp_path):
    path = tmp_path / "one.evidence"
    path.write_bytes(evidence.format(contradictions.split(ORIGIN, LOG)))
    found = run("evidence", "check", path, "--vkey", VKEY, "--json").json
    assert (found["begins_with"], found["signed"][0]["size"]) == (None, 3)
    assert found["signed"][0]["root"] != found["signed"][1]["root"]


def test_what_shows_nothing_ends_with_4_and_bad_usage_with_2(run, file, tmp_path):
    other = note.format_vkey(note.VerifierKey(ORIGIN, note.TYPE_ED25519, demo_key("another").public))
    told = run("evidence", "check", file, "--vkey", other)
    assert (told.code, told.out) == (4, "")
    assert "first checkpoint" in told.error
    (tmp_path / "junk").write_bytes(b"junk")
    assert run("evidence", "check", tmp_path / "junk", "--vkey", VKEY).code == 4
    witness = note.format_vkey(note.VerifierKey("w.example", note.TYPE_COSIGNATURE, LOG.public))
    for wrong in ((), ("--vkey", "nonsense"), ("--vkey", witness), ("--vkey", VKEY, "--agreement", file)):
        told = run("evidence", "check", file, *wrong)
        assert told.code == 2
        assert told.error


def test_verify_writes_what_the_next_one_checks(run, home, fork, tmp_path):
    """A smaller checkpoint of another history: the proof comes from the ledger that is verified."""
    told = tmp_path / "told"
    common = ("--agreement", home / "agreement.json")
    assert run("verify", home / "log", *common, "--evidence", told).code in (0, 1, 3)
    assert not told.exists(), "an honest log convicts itself of nothing"
    seen = ("--seen", fork / "log" / "checkpoint")
    assert run("verify", home / "log", *common, *seen).code == 4
    for _ in range(2):  # written again where there is one: the verdict must not become a usage error
        split = run("verify", home / "log", *common, *seen, "--evidence", told)
        assert split.code == 4
        assert f"{told} convicts the log" in split.err
    checked = run("evidence", "check", told, *common, "--json")
    assert checked.code == 0, checked.err
    assert checked.json["begins_with"]
    assert {each["got"] for each in checked.json["signed"]} == {str(seen[1]), "the head of the ledger"}


def test_an_agreement_has_several_logs(run, tmp_path):
    """Whichever of them it is that told two stories, and mirrored under its own origin."""
    world = World(windows=0, roll=replace(Roll(), successors=("archive",)))
    (tmp_path / "agreement.json").write_bytes(world.agreement.raw)
    later = world.agreement.document.log.successors[0].origin
    for origin, key, code in ((ORIGIN, "ledgerco", 0), (later, "archive", 0), (later, "ledgerco", 4)):
        path = tmp_path / "told"
        path.write_bytes(evidence.format(contradictions.rewritten(origin, demo_key(key))))
        assert run("evidence", "check", path, "--agreement", tmp_path / "agreement.json").code == code
    for origin, code in ((later, 3), (ORIGIN, 3), ("log.example/nobody", 2)):
        common = ("--agreement", tmp_path / "agreement.json", "--once", "--origin", origin)
        assert run("mirror", tmp_path, tmp_path / origin.replace("/", "-"), *common).code == code
