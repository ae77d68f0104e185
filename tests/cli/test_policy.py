# SPDX-License-Identifier: Apache-2.0
"""policy: the demonstration's agreement as a file for other programs, and what there is to say about it."""

from __future__ import annotations

import json

import pytest

from pausectl.agreement import document
from pausectl.wire import policy


@pytest.fixture
def exported(run, demo, tmp_path):
    done = run("policy", "export", "--agreement", demo / "agreement.json", "--url", "wharf=https://wharf.example/",
               "-o", tmp_path / "policy")  # fmt: skip
    assert done.code == 0, done.err
    return tmp_path / "policy"


def test_an_exported_policy_is_one_and_lint_has_nothing_to_say(run, demo, exported):
    found = policy.parse(exported.read_bytes())
    agreement = document.parse((demo / "agreement.json").read_bytes())
    assert [log.key for log in found.logs] == [agreement.log_key]
    assert [witness.key for witness in found.witnesses] == list(agreement.witness_keys.values())
    assert found.witnesses[0].url == "https://wharf.example/"
    assert run("policy", "export", "--agreement", demo / "agreement.json").out.startswith("log log.example/pause+")
    for checked in ((exported,), ("--agreement", demo / "agreement.json")):
        done = run("policy", "lint", *checked, "--json")
        assert (done.code, done.json) == (0, {"found": []})


def test_show_says_what_it_takes(run, exported):
    told = run("policy", "show", exported)
    assert told.code == 0
    assert "quorum   witnesses: 3 of 4" in told.out
    assert "wharf: wharf.example (type 0x04) https://wharf.example/" in told.out
    assert "two quorums have 2 or more in common" in told.out
    shown = run("policy", "show", exported, "--json").json
    assert (shown["least"], shown["overlap"], shown["quorum"]) == (3, 2, "witnesses")
    assert shown["groups"][0]["members"] == ["wharf", "xylem", "yarrow", "zephyr"]


def test_lint_lists_errors_and_warnings(run, exported, tmp_path):
    raw = exported.read_bytes()
    (tmp_path / "loose").write_bytes(raw.replace(b"witnesses 3 ", b"witnesses 2 "))
    done = run("policy", "lint", tmp_path / "loose")
    assert done.code == 4
    assert "(disjoint-quorums)" in done.out
    (tmp_path / "all").write_bytes(raw.replace(b"witnesses 3 ", b"witnesses all "))
    done = run("policy", "lint", tmp_path / "all", "--json")
    assert done.code == 0
    assert [found["code"] for found in done.json["found"]] == ["all-needed"]
    (tmp_path / "bad").write_bytes(b"\x1b[2J\n" + raw.replace(b"quorum witnesses\n", b"quorum witnesses # why\r\n"))
    done = run("policy", "lint", tmp_path / "bad")
    assert done.code == 4
    assert "line 1: " in done.out
    assert "\x1b" not in done.out
    shown = run("policy", "show", tmp_path / "bad")
    assert shown.code == 4
    assert "line 1" in shown.error


def test_a_proof_is_checked_under_a_policy(run, demo, exported, tmp_path):
    agreed = ("--agreement", demo / "agreement.json")
    assert run("proof", "make", demo / "log", *agreed, "--index", 0, "-o", tmp_path / "p").code == 0
    done = run("proof", "check", tmp_path / "p", demo / "agreement.json", "--policy", exported, "--json")
    assert done.code == 0, done.err
    by_agreement = run("proof", "check", tmp_path / "p", demo / "agreement.json", *agreed, "--json").json
    assert done.json == by_agreement
    (tmp_path / "none").write_bytes(exported.read_bytes().replace(b"quorum witnesses", b"quorum none"))
    words = run("proof", "check", tmp_path / "p", demo / "agreement.json", "--policy", tmp_path / "none")
    assert words.code == 0
    assert "no witness had to see" in words.out
    (tmp_path / "more").write_bytes(exported.read_bytes().replace(b"log log.example/pause+", b"log log.example/other+"))
    assert run("proof", "check", tmp_path / "p", demo / "agreement.json", "--policy", tmp_path / "more").code == 4


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("lint",), "expected either FILE or --agreement"), (("lint", "x", "--agreement", "y"), "expected either"),
        (("show", "nowhere"), "cannot be read"), (("export", "--agreement", "nowhere"), "cannot be read"),
    ],
)  # fmt: skip
def test_what_cannot_be_done(run, command, said):
    done = run("policy", *command)
    assert done.code == 2
    assert said in done.error


def test_urls_are_of_the_log_or_a_witness(run, demo):
    for url, said in (("wharf", "NAME=https"), ("wharf=ftp://x", "NAME=https"), ("nobody=https://x", "found 'nobody'")):
        done = run("policy", "export", "--agreement", demo / "agreement.json", "--url", url)
        assert done.code == 2
        assert said in done.error


def test_one_of_agreement_and_policy(run, demo, exported):
    for options in ((), ("--agreement", demo / "agreement.json", "--policy", exported)):
        done = run("proof", "check", exported, exported, *options)
        assert done.code == 2
        assert "expected one of --agreement and --policy" in done.error


def test_json_says_errors_too(run, exported, tmp_path):
    done = run("proof", "check", exported, exported, "--policy", tmp_path / "nowhere", "--json")
    assert json.loads(done.out)["error"]["code"] == 2
