# SPDX-License-Identifier: Apache-2.0
"""agreement: from a printed draft, through everybody's fresh keys, to a document in force."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pausectl.agreement import document
from pausectl.sim import terms

ROLL = terms.Roll()
SIGNATORIES = (*ROLL.labs, *ROLL.overseers)


@pytest.fixture
def drawn_up(run, tmp_path) -> tuple[Path, dict[str, Any]]:
    """A draft with keys made a moment ago, and the folder in which they lie as `<principal>.key`."""
    draft = run("agreement", "new").json
    for principal in draft["principals"]:
        name = principal["id"]
        names = {"log": draft["log"]["origin"], "witness": f"{name}.example"}
        made = run(
            "keygen", names.get(principal["roles"][0], name), "-o", tmp_path / f"{name}.key", "--unencrypted"
        ).json
        principal["keys"] = [{"public": made["public"], "suite": made["suite"]}]
        if principal["roles"] == ["log"]:
            draft["log"]["vkey"] = made["log_vkey"]
        for member in draft["witnesses"]["members"]:
            if member["principal"] == name:
                member["vkey"] = made["witness_vkey"]
    (tmp_path / "draft.json").write_text(json.dumps(draft, indent=2))
    return tmp_path / "draft.json", draft


def keys(place: Path, *names: str) -> list[object]:
    return [each for name in names for each in ("--key", place.parent / f"{name}.key")]


def test_new_prints_a_draft_that_reads_back(run):
    done = run("agreement", "new")
    assert done.code == 0
    assert done.err == ""
    assert document.read_document(done.json).model_dump(mode="json") == done.json


def test_all_sign_at_once(run, drawn_up, tmp_path):
    place, draft = drawn_up
    done = run("agreement", "sign", place, *keys(place, *SIGNATORIES), "-o", tmp_path / "signed")
    assert done.code == 0
    assert done.out == ""
    assert "complete" in done.err
    shown = run("agreement", "show", tmp_path / "signed", "--json").json
    assert shown["terms"] == draft
    assert shown["id"] in done.err
    text = run("agreement", "show", tmp_path / "signed")
    assert text.code == 0
    assert shown["id"] in text.out
    assert draft["log"]["origin"] in text.out


def test_one_signs_after_another_and_the_result_does_not_depend_on_the_order(run, drawn_up, tmp_path):
    place, _ = drawn_up
    run("agreement", "sign", place, *keys(place, *SIGNATORIES), "-o", tmp_path / "together")
    current = place
    for step, name in enumerate(reversed(SIGNATORIES)):
        signed = tmp_path / f"step-{step}"
        done = run("agreement", "sign", current, *keys(place, name), "-o", signed)
        assert done.code == 0
        complete = step + 1 >= len(ROLL.labs) + 2
        assert ("complete" if complete else "not in force yet") in done.err
        assert run("agreement", "show", signed).code == (0 if complete else 4)
        current = signed
    assert current.read_bytes() == (tmp_path / "together").read_bytes()


def test_signing_in_place_replaces_the_file_and_signing_twice_changes_nothing(run, drawn_up, tmp_path):
    place, _ = drawn_up
    signed = tmp_path / "signed"
    run("agreement", "sign", place, *keys(place, "aurora"), "-o", signed)
    once = signed.read_bytes()
    assert run("agreement", "sign", signed, *keys(place, "aurora"), "-o", signed).code == 0
    assert signed.read_bytes() == once
    assert run("agreement", "sign", signed, *keys(place, "avon"), "-o", signed).code == 0
    assert signed.read_bytes() != once


def test_another_file_is_not_written_over(run, drawn_up, tmp_path):
    place, _ = drawn_up
    (tmp_path / "mine").write_text("mine")
    done = run("agreement", "sign", place, *keys(place, "aurora"), "-o", tmp_path / "mine")
    assert done.code == 2
    assert (tmp_path / "mine").read_text() == "mine"


def test_partly_signed_is_not_in_force_anywhere(run, drawn_up, tmp_path, home):
    place, _ = drawn_up
    run("agreement", "sign", place, *keys(place, *SIGNATORIES[:4]), "-o", tmp_path / "part")
    shown = run("agreement", "show", tmp_path / "part")
    assert shown.code == 4
    assert "4 of the 5" in shown.error
    assert run("verify", home / "log", "--agreement", tmp_path / "part").code == 4
    made = run("log", "init", tmp_path / "h", "--agreement", tmp_path / "part", *keys(place, "ledgerco"))
    assert made.code == 4
    assert not (tmp_path / "h").exists()


@pytest.mark.parametrize("who", ["gridco", "probe", "wharf", "ledgerco"])
def test_only_a_signatory_signs(run, drawn_up, tmp_path, who):
    place, _ = drawn_up
    done = run("agreement", "sign", place, *keys(place, "aurora", who), "-o", tmp_path / "signed")
    assert done.code == 2
    assert f"{who}.key" in done.error
    assert not (tmp_path / "signed").exists()


def test_a_stranger_does_not_sign(run, drawn_up, tmp_path):
    place, _ = drawn_up
    run("keygen", "aurora", "-o", tmp_path / "stranger.key", "--unencrypted")
    done = run("agreement", "sign", place, *keys(place, "stranger"), "-o", tmp_path / "signed")
    assert done.code == 2
    assert not (tmp_path / "signed").exists()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda draft: draft.update(surprise=1), "surprise"),
        (lambda draft: draft.pop("limits"), "limits"),
        (lambda draft: draft["witnesses"].update(quorum=5), "witnesses"),
        (lambda draft: draft["bodies"][0]["members"].append("nobody"), "nobody"),
        (lambda draft: draft["principals"].append(draft["principals"][0]), "aurora"),
        (lambda draft: draft.update(version=2), "previous"),
        (lambda draft: draft.update(name="a\u202eb"), "name"),
        (lambda draft: draft["statistics"].update(goal_pflop=-1), "goal_pflop"),
    ],
)
def test_a_draft_that_contradicts_itself_is_not_signed(run, drawn_up, tmp_path, change, complaint):
    place, draft = drawn_up
    change(draft)
    place.write_text(json.dumps(draft))
    done = run("agreement", "sign", place, *keys(place, "aurora"), "-o", tmp_path / "signed")
    assert done.code == 4
    assert done.error.startswith(str(place))
    assert complaint in done.error
    assert not (tmp_path / "signed").exists()


def test_a_log_runs_under_fresh_keys_from_nothing_to_a_verdict(run, drawn_up, tmp_path, monkeypatch):
    """keygen → agreement → init → attest → add → verify, without a byte of the demonstration."""
    place, _ = drawn_up
    run("agreement", "sign", place, *keys(place, *SIGNATORIES), "-o", tmp_path / "agreement")
    log, trusted = tmp_path / "home", ("--agreement", tmp_path / "agreement")
    witnesses = [each for name in ROLL.witnesses for each in ("--witness", tmp_path / f"{name}.key")]
    now = ("--now", "2026-07-01T00:00:00Z")
    made = run("log", "init", log, *trusted, *keys(place, "ledgerco"), *witnesses, *now)
    assert made.code == 0, made.err
    (tmp_path / "body").write_text(
        json.dumps({
            "agreement_version": 1, "frontier_h100e_count": 512,
            "conditions": {
                "min_jurisdictions_count": 1, "min_parties_count": 1, "min_share": {"denominator": 1, "numerator": 0},
                "required_parties": [],
            },
        })
    )  # fmt: skip
    for lab in ROLL.labs:
        said = run(
            "lab", "attest", "accession", tmp_path / "body", *trusted, *keys(place, lab), "--ledger", log / "log",
            "-o", tmp_path / f"{lab}.envelope",
        )  # fmt: skip
        assert said.code == 0, said.err
    envelopes = [tmp_path / f"{lab}.envelope" for lab in ROLL.labs]
    added = run("lab", "submit", *envelopes, "--log", log, *keys(place, "ledgerco"), *witnesses, *now)
    assert added.code == 0, added.err
    result = run("verify", log / "log", *trusted, "--json")
    assert result.code == 3
    assert set(result.json["verdicts"].values()) == {None}
    late = run("verify", log / "log", *trusted, "--json", "--at", "2026-07-20T00:00:00Z")
    assert late.code == 3
    assert set(late.json["verdicts"].values()) == {"INCONCLUSIVE"}
    assert run("log", "fsck", log, *trusted).code == 0
