# SPDX-License-Identifier: Apache-2.0
"""log: init, add and fsck, with the keys of the demonstration and at simulated times."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pausectl.agreement import document
from pausectl.sim.terms import demo_key
from pausectl.wire import dsse, keyfile, note


@pytest.fixture
def fresh(run, home, tmp_path, operator) -> Path:
    """A log made a moment ago under the demonstration's agreement."""
    done = run(
        "log", "init", tmp_path / "new", "--agreement", home / "agreement.json", *operator(home),
        "--now", "2026-06-22T00:00:00Z",
    )  # fmt: skip
    assert done.code == 0, done.err
    return tmp_path / "new"


@pytest.fixture
def envelope(run, home, fresh, tmp_path, bodies) -> Path:
    """A statement of aurora's for the fresh log."""
    (tmp_path / "body").write_text(json.dumps(bodies(home, "aurora", "accession")))
    done = run(
        "lab", "attest", "accession", tmp_path / "body", "--agreement", home / "agreement.json", "--key",
        home / "keys" / "aurora.key", "--ledger", fresh / "log", "-o", tmp_path / "envelope",
    )  # fmt: skip
    assert done.code == 0, done.err
    return tmp_path / "envelope"


def unpadded(raw: bytes) -> bytes:
    return raw.removesuffix(b"\n")


def test_a_fresh_log_is_sound_and_cosigned(run, home, fresh):
    assert {path.name for path in fresh.iterdir()} == {"agreement.json", "log", "log.vkey", "state"}
    assert (fresh / "agreement.json").read_bytes() == (home / "agreement.json").read_bytes()
    assert run("log", "fsck", fresh, "--agreement", home / "agreement.json").code == 0
    judged = run("verify", fresh / "log", "--agreement", home / "agreement.json", "--json")
    assert judged.code == 3
    assert judged.json["as_of"] == "2026-06-22T00:00:00Z"
    assert judged.json["log"]["size"] == 2  # the agreement, and its mark


def test_add_says_where_each_entry_stands(run, home, fresh, envelope, operator):
    done = run("log", "add", envelope, "--log", fresh, *operator(home), "--now", "2026-06-22T01:00:00Z")
    assert done.code == 0
    assert done.err == ""
    statement_id = dsse.parse(envelope.read_bytes()).statement_id
    assert done.json == {"file": str(envelope), "index": 2, "id": statement_id, "duplicate": False}
    again = run("log", "add", envelope, "--log", fresh, *operator(home), "--now", "2026-06-22T02:00:00Z")
    assert again.code == 0
    assert again.json == {**done.json, "duplicate": True}
    assert run("log", "fsck", fresh, "--agreement", home / "agreement.json").code == 0


def test_many_entries_one_line_each(run, home, fresh, envelope, operator, tmp_path):
    (tmp_path / "copy").write_bytes(envelope.read_bytes() + b"\n")
    done = run(
        "log", "add", envelope, tmp_path / "copy", "--log", fresh, *operator(home), "--now", "2026-06-22T01:00:00Z"
    )
    assert [json.loads(line)["index"] for line in done.out.splitlines()] == [2, 2]


def test_init_makes_no_log_over_another(run, home, fresh, operator, tree):
    before = tree(fresh)
    done = run("log", "init", fresh, "--agreement", home / "agreement.json", *operator(home))
    assert done.code == 2
    assert str(fresh) in done.error
    assert tree(fresh) == before


def test_init_wants_the_key_of_the_log(run, home, tmp_path, tree):
    before = tree(tmp_path)
    done = run(
        "log", "init", tmp_path / "new", "--agreement", home / "agreement.json", "--key", home / "keys" / "aurora.key"
    )
    assert done.code == 2
    assert str(tmp_path / "new") in done.error
    assert tree(tmp_path) == before


@pytest.mark.parametrize("bad", ["aurora.key", "nosuch.key", "stranger", "garbage"])
@pytest.mark.parametrize("command", ["init", "add"])
def test_a_key_that_is_no_witness_stops_everything_before_it_begins(
    run, home, fresh, envelope, tmp_path, tree, bad, command
):
    stranger = keyfile.format_key("wharf.example", demo_key("else"), passphrase=None, salt=b"", nonce=b"")
    (home / "keys" / "stranger").write_bytes(stranger)
    (home / "keys" / "garbage").write_bytes(b"\xff\x00")
    before = tree(tmp_path)
    witness = ("--key", home / "keys" / "ledgerco.key", "--witness", home / "keys" / bad)
    if command == "init":
        done = run("log", "init", tmp_path / "second", "--agreement", home / "agreement.json", *witness)
    else:
        done = run("log", "add", envelope, "--log", fresh, *witness, "--now", "2026-06-22T01:00:00Z")
    assert done.code in (2, 4)
    assert bad in done.error
    assert done.out == ""
    assert tree(tmp_path) == before


def test_one_unfit_envelope_keeps_all_out_and_is_named(run, home, fresh, envelope, operator, tmp_path, tree):
    stranger = dsse.sign(dsse.parse(envelope.read_bytes()).payload, demo_key("nobody")).raw
    (tmp_path / "stranger").write_bytes(stranger)
    before = tree(tmp_path)
    done = run("log", "add", envelope, tmp_path / "stranger", "--log", fresh, *operator(home))
    assert done.code == 2
    assert done.error.startswith(str(tmp_path / "stranger"))
    assert done.out == ""
    assert tree(tmp_path) == before


def test_too_few_witnesses_leave_the_entry_in_and_the_checkpoint_waiting(run, home, fresh, envelope, operator):
    few = operator(home)[:6]
    done = run("log", "add", envelope, "--log", fresh, *few, "--now", "2026-06-22T01:00:00Z")
    assert done.code == 3
    assert "2 of the 3" in done.error
    assert done.json["index"] == 2  # it stands there all the same
    judged = run("verify", fresh / "log", "--agreement", home / "agreement.json", "--json")
    assert judged.code == 3
    assert judged.json["log"]["size"] == 2  # readers go on seeing what was cosigned last
    assert run("log", "fsck", fresh, "--agreement", home / "agreement.json").code == 0
    again = run("log", "cosign", "--log", fresh, *operator(home), "--now", "2026-06-22T01:00:00Z")
    assert (again.code, again.out, again.err) == (0, "", "")
    judged = run("verify", fresh / "log", "--agreement", home / "agreement.json", "--json")
    assert judged.json["log"]["size"] == 4  # the entry, and a mark


def test_cosign_moves_time_on_and_adds_nothing(run, home, fresh, operator):
    command = ("log", "cosign", "--log", fresh, *operator(home), "--now")
    for day in (23, 24):
        assert run(*command, f"2026-06-{day}T00:00:00Z").code == 0
        judged = run("verify", fresh / "log", "--agreement", home / "agreement.json", "--json").json
        assert judged["as_of"] == f"2026-06-{day}T00:00:00Z"
        assert judged["log"]["size"] == 2
    back = run(*command, "2026-06-22T00:00:00Z")
    assert back.code == 3
    assert "clock" in back.error
    assert run("verify", fresh / "log", "--agreement", home / "agreement.json", "--json").json == judged
    assert run("log", "cosign", "--log", fresh, "--key", home / "keys" / "ledgerco.key").code == 2


def test_without_witnesses_a_warning_says_what_readers_will_do(run, home, fresh, envelope, tmp_path):
    done = run("log", "add", envelope, "--log", fresh, "--key", home / "keys" / "ledgerco.key")
    assert done.code == 0
    assert "readers go on seeing the last cosigned checkpoint" in done.err
    assert run("verify", fresh / "log", "--agreement", home / "agreement.json").code == 3
    agreement = ("--agreement", home / "agreement.json")
    done = run("log", "init", tmp_path / "bare", *agreement, "--key", home / "keys" / "ledgerco.key",
               "--now", "2026-06-22T00:00:00Z")  # fmt: skip
    assert done.code == 0
    assert "readers will refuse this log until a quorum" in done.err
    assert run("verify", tmp_path / "bare" / "log", *agreement).code == 4


def test_one_witness_that_fails_is_told_of_and_not_needed(run, home, fresh, envelope, operator):
    """Yarrow cosigned at a later time once, and does not go back."""
    late = ("--key", home / "keys" / "ledgerco.key", "--witness", home / "keys" / "yarrow.key")
    assert run("log", "add", envelope, "--log", fresh, *late, "--now", "2026-06-23T00:00:00Z").code == 3
    done = run("log", "add", envelope, "--log", fresh, *operator(home), "--now", "2026-06-22T01:00:00Z")
    assert done.code == 0
    assert done.err.count("witness: ") >= 1
    assert "clock" in done.err


@pytest.mark.parametrize("now", ["", "now", "1969-12-31T23:59:59Z", "1970-01-01T00:00:00Z", "2026-13-01T00:00:00Z"])
def test_now_is_an_instant_after_1970(run, home, fresh, envelope, operator, tree, now):
    before = tree(fresh)
    done = run("log", "add", envelope, "--log", fresh, *operator(home), "--now", now)
    assert done.code == 2
    assert done.error
    assert tree(fresh) == before


def test_a_log_is_open_for_one_writer(run, home, fresh, envelope, operator):
    from pausectl.log.log import Log

    with Log.open(fresh, demo_key("ledgerco")):
        done = run("log", "add", envelope, "--log", fresh, *operator(home))
    assert done.code == 2
    assert "another process" in done.error


def test_add_wants_a_log(run, home, envelope, operator, tmp_path):
    for place in (tmp_path / "nowhere", home / "log", envelope):
        done = run("log", "add", envelope, "--log", place, *operator(home))
        assert done.code == 2
        assert str(place) in done.error


# ── fsck ──


def test_fsck_lists_all_damage(run, home):
    clean = run("log", "fsck", home, "--agreement", home / "agreement.json")
    assert (clean.code, clean.out, clean.err) == (0, "", "sound\n")
    (home / "log.vkey").chmod(0o644)
    (home / "log.vkey").write_text("x")
    (home / "log" / "tile" / "0" / "000.p" / "72").unlink()
    (home / "log" / "extra\x1b[31m\nfile").write_text("x")
    done = run("log", "fsck", home, "--agreement", home / "agreement.json")
    assert done.code == 4
    assert done.err == "3 damaged\n"
    assert len(done.out.splitlines()) == 3
    assert "\x1b" not in done.out
    damage = run("log", "fsck", home, "--agreement", home / "agreement.json", "--json").json["damage"]
    assert {each["path"] for each in damage} == {"log.vkey", "log/tile/0/000.p/72", "log/extra\x1b[31m\nfile"}
    public = run("log", "fsck", home / "log", "--agreement", home / "agreement.json", "--json")
    assert len(public.json["damage"]) == 2


def test_fsck_changes_nothing(run, home, tree):
    (home / "log" / "checkpoint").chmod(0o644)
    (home / "log" / "checkpoint").write_bytes(b"\xff")
    before = tree(home)
    assert run("log", "fsck", home, "--agreement", home / "agreement.json").code == 4
    assert tree(home) == before


def test_fsck_of_nothing_is_a_usage_error(run, home, tmp_path):
    for place, code in ((tmp_path / "nowhere", 2), (home / "agreement.json", 4)):
        done = run("log", "fsck", place, "--agreement", home / "agreement.json")
        assert done.code == code
        assert str(place) in done.error


def test_fsck_trusts_an_agreement_or_a_key_and_one_of_them(run, home):
    vkey = (home / "log.vkey").read_text().strip()
    assert run("log", "fsck", home / "log", "--vkey", vkey).code == 0
    assert run("log", "fsck", home / "log").code == 2
    assert run("log", "fsck", home / "log", "--vkey", vkey, "--agreement", home / "agreement.json").code == 2


def test_fsck_reads_a_url_and_a_bundle_and_keeps_its_place_in_a_file(run, home, site, tmp_path):
    trusted = ("--agreement", home / "agreement.json")
    pocket, place = tmp_path / "demo.zip", tmp_path / "place"
    assert run("bundle", home / "log", *trusted, "-o", pocket).code == 0
    for where in (site.url, pocket):
        done = run("log", "fsck", where, *trusted, "--resume", place, "--jobs", "1")
        assert (done.code, done.out, done.err) == (0, "", "sound\n")
    assert not place.exists()
    place.write_text("of something else")
    done = run("log", "fsck", site.url, *trusted, "--resume", place)
    assert (done.code, place.read_text()) == (2, "of something else")


def test_the_witness_names_of_an_agreement_make_no_paths_elsewhere(run, tmp_path):
    """A witness may be called `../../elsewhere`: its state stays where it belongs."""
    from pausectl.sim import terms

    roll = terms.Roll(witnesses=("wharf",))
    names = terms.names(roll)
    publics = {name: demo_key(name).public for name in names}
    evil = "../../elsewhere/x"
    vkey = note.format_vkey(note.VerifierKey(evil, note.TYPE_COSIGNATURE, publics["wharf"]))
    policy = {"faulty": 0, "members": [{"mldsa44": None, "principal": "wharf", "vkey": vkey}], "quorum": 1}
    draft = document.draft(document.read_document(terms.terms(roll, publics, witnesses=policy)))
    signed = dsse.sign(draft, *(demo_key(name) for name in (*roll.labs, *roll.overseers)))
    (tmp_path / "agreement").write_bytes(signed.raw)
    for name, key in (("log", "ledgerco"), ("witness", "wharf")):
        label = evil if name == "witness" else terms.ORIGIN
        raw = keyfile.format_key(label, demo_key(key), passphrase=None, salt=b"", nonce=b"")
        (tmp_path / name).write_bytes(raw)
    done = run(
        "log", "init", tmp_path / "a" / "b" / "home", "--agreement", tmp_path / "agreement", "--key", tmp_path / "log",
        "--witness", tmp_path / "witness", "--now", "2026-06-22T00:00:00Z",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert {path.name for path in tmp_path.iterdir()} == {"agreement", "log", "witness", "a"}
    assert {path.name for path in (tmp_path / "a" / "b").iterdir()} == {"home"}
    assert run("verify", tmp_path / "a" / "b" / "home" / "log", "--agreement", tmp_path / "agreement").code == 3


def test_receipts_are_kept_and_checked_without_the_log(run, home, fresh, envelope, operator, tmp_path):
    agreed = ("--agreement", home / "agreement.json")
    done = run("log", "add", envelope, "--log", fresh, *operator(home), "--now", "2026-06-22T01:00:00Z", "--receipts",
               tmp_path / "r")  # fmt: skip
    assert done.code == 0, done.err
    assert run("proof", "check", tmp_path / "r" / "2.tlog-proof", envelope, *agreed).code == 0
    before = (tmp_path / "r" / "2.tlog-proof").read_bytes()
    again = run("log", "add", envelope, "--log", fresh, *operator(home), "--now", "2026-06-22T02:00:00Z", "--receipts",
                tmp_path / "r")  # fmt: skip
    assert again.code == 0, again.err
    assert again.json["duplicate"]
    assert (tmp_path / "r" / "2.tlog-proof").read_bytes() != before
    assert run("proof", "check", tmp_path / "r" / "2.tlog-proof", envelope, *agreed).code == 0


def test_there_is_no_receipt_before_there_is_a_quorum(run, home, fresh, envelope, tmp_path):
    done = run("log", "add", envelope, "--log", fresh, "--key", home / "keys" / "ledgerco.key", "--receipts",
               tmp_path / "r")  # fmt: skip
    assert done.code == 0, done.err
    assert "no proof yet" in done.err
    assert list((tmp_path / "r").iterdir()) == []
