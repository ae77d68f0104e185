# SPDX-License-Identifier: Apache-2.0
"""demo, verify and bundle: the same verdict from every source, in the shape that scripts depend on."""

from __future__ import annotations

import json
import stat
import zipfile
from pathlib import Path
from typing import Any

import pytest

from pausectl.sim import terms
from pausectl.sim.world import World
from pausectl.wire import checkpoint, merkle

OUTCOMES = {"HOLDS", "VIOLATED", "UNPROVEN", "NOT_APPLICABLE", "NOT_IN_FORCE"}
VERDICTS = {"CONSISTENT", "INCONSISTENT", "INCONCLUSIVE", None}


def judge(run, home: Path, *more: object) -> Any:
    done = run("verify", home / "log", "--agreement", home / "agreement.json", "--json", *more)
    assert done.err == ""
    return done.json


# ── demo ──


def test_demo_leaves_a_whole_ledger(run, tmp_path):
    done = run("demo", "--dir", tmp_path / "x")
    assert done.code == 0
    assert done.err == ""
    assert {path.name for path in (tmp_path / "x").iterdir()} == {"agreement.json", "log", "log.vkey", "state", "keys"}
    assert (tmp_path / "x" / "log" / "checkpoint").is_file()
    assert (tmp_path / "x" / "log" / "tile" / "entries").is_dir()
    assert len(list((tmp_path / "x" / "keys").glob("*.key"))) == len(terms.names(terms.Roll()))
    assert "aurora    CONSISTENT" in done.out
    assert "borealis  INCONSISTENT" in done.out
    assert run("log", "fsck", tmp_path / "x", "--agreement", tmp_path / "x" / "agreement.json").code == 0


def test_demo_twice_gives_the_same_bytes(run, demo, tmp_path, tree):
    run("demo", "--dir", tmp_path / "again")
    first, second = (
        {path.removeprefix(str(root)): digest for path, digest in tree(root).items()}
        for root in (demo, tmp_path / "again")
    )
    assert first == second


@pytest.mark.parametrize("what", ["file", "full"])
def test_demo_writes_over_nothing(run, tmp_path, tree, what):
    place = tmp_path / "x"
    if what == "file":
        place.write_text("mine")
    else:
        place.mkdir()
        (place / "mine").write_text("mine")
    before = tree(tmp_path)
    done = run("demo", "--dir", place)
    assert done.code == 2
    assert str(place) in done.error
    assert tree(tmp_path) == before


def test_every_command_that_demo_suggests_works(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [line.split() for line in run("demo", "--dir", "x").out.splitlines() if line.startswith("  pausectl ")]
    codes = [run(*line[1:]).code for line in lines]
    assert codes == [1, 1, 0, 0, 1, 0, 0]  # verify, verify --lab borealis, explain, bundle, verify bundle, fsck, sim


# ── the JSON ──


def test_json_has_the_shape_that_scripts_depend_on(run, home):
    result = judge(run, home)
    assert result["agreement"].keys() >= {"id", "version"}
    assert result["log"].keys() >= {"origin", "size", "root"}
    assert result["as_of"] == "2026-08-07T00:00:00Z"
    assert list(result["verdicts"]) == ["aurora", "borealis", "cirrus"]
    assert set(result["verdicts"].values()) <= VERDICTS
    assert len(result["windows"]) == 12
    for window in result["windows"]:
        assert window.keys() >= {"lab", "start", "end", "state", "verdict"}
        assert window["verdict"] in VERDICTS
        assert window["state"] in {"ARMED", "PAUSED"}
    for finding in result["findings"]:
        assert finding.keys() >= {"rule", "outcome", "lab", "window", "message", "entries"}
        assert finding["outcome"] in OUTCOMES
        assert finding["window"] is None or finding["window"].keys() >= {"start", "end"}
        assert all(0 <= entry < result["log"]["size"] for entry in finding["entries"])
    assert all(isinstance(line, str) for line in result["not_shown"])
    assert len(result["not_shown"]) >= 5
    assert "compliant" not in json.dumps(result)


def test_the_demo_is_judged_as_it_was_played(run, home):
    result = judge(run, home)
    assert result["verdicts"]["aurora"] == "CONSISTENT"
    assert result["verdicts"]["borealis"] == "INCONSISTENT"
    assert result["verdicts"]["cirrus"] != "CONSISTENT"
    violated = [(f["lab"], f["rule"]) for f in result["findings"] if f["outcome"] == "VIOLATED"]
    assert ("borealis", "CAP-2") in violated
    assert {lab for lab, _ in violated} == {"borealis"}


def test_text_and_json_exit_alike(run, home):
    arguments = ("verify", home / "log", "--agreement", home / "agreement.json")
    text = run(*arguments)
    assert text.code == run(*arguments, "--json").code == 1
    assert text.err == ""
    assert "CAP-2" in text.out
    assert "\x1b" not in text.out


# ── sources ──


def test_a_bundle_gives_the_same_json(run, home, tmp_path, no_sockets):
    packed = run("bundle", home / "log", "--agreement", home / "agreement.json", "-o", tmp_path / "b.zip")
    assert packed.code == 0
    assert packed.out == ""
    done = run("verify", tmp_path / "b.zip", "--agreement", home / "agreement.json", "--json", "--offline")
    assert done.json == judge(run, home)


def test_a_bundle_is_the_same_bytes_every_time_and_readable_by_others(run, home, tmp_path):
    for name in ("a.zip", "b.zip"):
        run("bundle", home / "log", "--agreement", home / "agreement.json", "-o", tmp_path / name)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert stat.S_IMODE((tmp_path / "a.zip").stat().st_mode) & 0o444 == 0o444
    with zipfile.ZipFile(tmp_path / "a.zip") as packed:
        assert {info.external_attr >> 16 for info in packed.infolist()} == {0o644}
        packed.extractall(tmp_path / "out")
    assert run("verify", tmp_path / "out", "--agreement", home / "agreement.json").code == 1


def test_a_bundle_of_a_bundle_is_the_bundle(run, home, tmp_path):
    run("bundle", home / "log", "--agreement", home / "agreement.json", "-o", tmp_path / "a.zip")
    run("bundle", tmp_path / "a.zip", "--agreement", home / "agreement.json", "-o", tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


@pytest.mark.parametrize("place", ["there", "nowhere/b.zip", "folder"])
def test_a_bundle_goes_nowhere_it_cannot(run, home, tmp_path, tree, place):
    (tmp_path / "there").write_text("mine")
    (tmp_path / "folder").mkdir()
    before = tree(tmp_path)
    done = run("bundle", home / "log", "--agreement", home / "agreement.json", "-o", tmp_path / place)
    assert done.code == 2
    assert done.error.startswith(str(tmp_path / place))
    assert tree(tmp_path) == before


def test_no_bundle_is_made_of_a_damaged_log(run, home, tmp_path):
    entries = next((home / "log" / "tile" / "entries" / "000.p").glob("72"))
    entries.chmod(0o644)
    entries.write_bytes(entries.read_bytes()[:-1] + b"?")
    done = run("bundle", home / "log", "--agreement", home / "agreement.json", "-o", tmp_path / "b.zip")
    assert done.code == 4
    assert "entry 71" in done.error
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


def test_a_url_gives_the_same_json(run, home, site):
    done = run("verify", site.url, "--agreement", home / "agreement.json", "--json")
    assert done.json == judge(run, home)
    assert site.asked == ["/checkpoint", "/tile/0/000.p/72", "/tile/entries/000.p/72"]
    assert run("verify", f"{site.url}/", "--agreement", home / "agreement.json", "--json").json == done.json


def test_offline_refuses_a_url_and_opens_no_socket(run, home, site, no_sockets):
    done = run("verify", site.url, "--agreement", home / "agreement.json", "--offline")
    assert done.code == 2
    assert site.url in done.error
    assert site.asked == []
    assert run("bundle", site.url, "--agreement", home / "agreement.json", "--offline", "-o", home / "x").code == 2
    assert run("verify", home / "log", "--agreement", home / "agreement.json", "--offline").code == 1


@pytest.mark.parametrize("jobs", [1, 2, 4])
def test_jobs_change_nothing(run, home, jobs):
    assert judge(run, home, "--jobs", jobs) == judge(run, home)


# ── which lab, as of when ──


def test_lab_reports_on_one_lab_only(run, home):
    done = run("verify", home / "log", "--agreement", home / "agreement.json", "--json", "--lab", "aurora")
    assert done.code == 0
    assert done.json["verdicts"] == {"aurora": "CONSISTENT"}
    assert {window["lab"] for window in done.json["windows"]} == {"aurora"}
    assert {finding["lab"] for finding in done.json["findings"]} <= {"aurora", None}
    whole = judge(run, home)
    assert done.json["windows"] == [window for window in whole["windows"] if window["lab"] == "aurora"]
    codes = [
        run("verify", home / "log", "--agreement", home / "agreement.json", "--lab", lab).code
        for lab in ("borealis", "cirrus")
    ]
    assert codes == [1, 3]


def test_an_unknown_lab_is_named_with_those_there_are(run, home):
    done = run("verify", home / "log", "--agreement", home / "agreement.json", "--lab", "nosuch")
    assert done.code == 2
    assert "nosuch" in done.error
    assert "aurora, borealis, cirrus" in done.err


def test_at_judges_an_earlier_moment(run, home):
    early = judge(run, home, "--at", "2026-07-18T00:00:00Z")
    assert early["as_of"] == "2026-07-18T00:00:00Z"
    assert [window["lab"] for window in early["windows"]] == ["aurora", "borealis", "cirrus"]
    assert not any(finding["outcome"] == "VIOLATED" for finding in early["findings"])
    done = run("verify", home / "log", "--agreement", home / "agreement.json", "--at", "2026-06-01T00:00:00Z", "--json")
    assert done.code == 3
    assert set(done.json["verdicts"].values()) == {None}


@pytest.mark.parametrize("at", ["yesterday", "2026-07-18", "2026-07-18T00:00:00", "2026-02-30T00:00:00Z", "", "١"])
def test_at_wants_an_instant(run, home, at):
    done = run("verify", home / "log", "--agreement", home / "agreement.json", "--at", at)
    assert done.code == 2
    assert "instant" in done.error


# ── seen ──


def test_seen_accepts_what_the_log_itself_published(run, home, demo):
    assert judge(run, home, "--seen", demo / "log" / "checkpoint") == judge(run, home)


def test_seen_accepts_an_older_checkpoint_of_the_same_tree(run, home, tmp_path):
    leaves = (home / "log" / "tile" / "0" / "000.p" / "72").read_bytes()
    root = merkle.root([leaves[i : i + 32] for i in range(0, 45 * 32, 32)])
    old = checkpoint.sign(checkpoint.Checkpoint(terms.ORIGIN, 45, root), terms.demo_key("ledgerco"))
    (tmp_path / "old").write_bytes(old.raw)
    assert judge(run, home, "--seen", tmp_path / "old") == judge(run, home)


def test_seen_of_another_tree_is_a_split_view(run, home, tmp_path, fork):
    done = run("verify", home / "log", "--agreement", home / "agreement.json", "--seen", fork / "log" / "checkpoint")
    assert done.code == 4
    assert "two different trees" in done.error
    assert "keep both checkpoints" in done.err
    assert str(fork / "log" / "checkpoint") in done.error


def test_seen_larger_than_the_log_is_inconclusive(run, home, tmp_path):
    newer = checkpoint.sign(checkpoint.Checkpoint(terms.ORIGIN, 73, bytes(32)), terms.demo_key("ledgerco"))
    (tmp_path / "newer").write_bytes(newer.raw)
    done = run("verify", home / "log", "--agreement", home / "agreement.json", "--json", "--seen", tmp_path / "newer")
    assert done.code == 3
    assert "73" in done.error
    assert done.json["error"]["code"] == 3


def test_seen_of_another_log_or_key_is_forged(run, home, tmp_path):
    strangers = {
        "origin": checkpoint.sign(checkpoint.Checkpoint("other.example", 3, bytes(32)), terms.demo_key("ledgerco")),
        "key": checkpoint.sign(checkpoint.Checkpoint(terms.ORIGIN, 3, bytes(32)), terms.demo_key("aurora")),
    }
    for name, signed in strangers.items():
        (tmp_path / name).write_bytes(signed.raw)
        done = run("verify", home / "log", "--agreement", home / "agreement.json", "--seen", tmp_path / name)
        assert done.code == 4
        assert str(tmp_path / name) in done.error


def test_one_bad_checkpoint_among_good_ones_is_found(run, home, fork):
    seen = ("--seen", home / "log" / "checkpoint", "--seen", fork / "log" / "checkpoint")
    assert run("verify", home / "log", "--agreement", home / "agreement.json", *seen).code == 4


# ── the wrong ledger ──


def test_a_log_of_another_agreement_gives_no_verdict(run, home, tmp_path):
    world = World(windows=1, changes={"name": "Another agreement"})
    (tmp_path / "other.json").write_bytes(world.agreement.raw)
    done = run("verify", home / "log", "--agreement", tmp_path / "other.json", "--json")
    assert done.code == 3
    assert list(done.json) == ["error"]
    assert "not in this ledger" in done.error


def test_an_uncosigned_checkpoint_is_refused(run, home):
    path = home / "log" / "checkpoint"
    text, _, lines = path.read_text().rpartition("\n\n")
    path.chmod(0o644)
    path.write_text(f"{text}\n\n{lines.splitlines()[0]}\n")
    done = run("verify", home / "log", "--agreement", home / "agreement.json")
    assert done.code == 4
    assert "cosigned by 0 of the 3" in done.error
