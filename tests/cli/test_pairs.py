# SPDX-License-Identifier: Apache-2.0
"""A log whose agreement names ML-DSA-44 keys, by the command line: two keys for the log and for every witness."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pausectl.sim import terms
from pausectl.sim.terms import Roll, demo_key
from pausectl.wire import keyfile, note
from pausectl.wire.keys import MLDSA44

ROLL = Roll(post_quantum=True)
NOW = "2026-06-22T00:00:00Z"


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Key files of everybody, and the agreement."""
    folder = tmp_path_factory.mktemp("pairs")
    keys = {name: demo_key(name) for name in terms.names(ROLL)}
    (folder / "agreement.json").write_bytes(terms.agree(ROLL, keys).raw + b"\n")
    for name in (ROLL.log, *ROLL.witnesses):
        called = terms.ORIGIN if name == ROLL.log else f"{name}.example"
        for suffix, key in (("key", keys[name]), ("mldsa", demo_key(name, MLDSA44))):
            raw = keyfile.format_key(called, key, passphrase=None, salt=b"", nonce=b"")
            (folder / f"{name}.{suffix}").write_bytes(raw)
    return folder


def operator(place, *, witnesses=ROLL.witnesses, second=True):
    files = [place / f"{name}.{suffix}" for name in witnesses for suffix in ("key", "mldsa")]
    more = ("--mldsa-key", place / f"{ROLL.log}.mldsa") if second else ()
    return ("--key", place / f"{ROLL.log}.key", *more, *(part for file in files for part in ("--witness", file)))


@pytest.fixture
def home(run, place, tmp_path) -> Path:
    done = run("log", "init", tmp_path / "new", "--agreement", place / "agreement.json", *operator(place), "--now", NOW)
    assert done.code == 0, done.err
    return tmp_path / "new"


def test_a_log_is_made_cosigned_and_read(run, place, home):
    signed = note.parse((home / "log" / "checkpoint").read_bytes())
    assert sorted(len(line.payload) for line in signed.signatures) == [64, *[72] * 4, *[2428] * 5]
    assert len(list((home / "log" / "key").iterdir())) == 5
    assert run("log", "fsck", home, "--agreement", place / "agreement.json").code == 0
    judged = run("verify", home / "log", "--agreement", place / "agreement.json", "--json")
    assert judged.json["log"]["size"] == 2
    shown = run("log", "show", home)
    assert [note.parse_vkey(line).type for line in shown.out.splitlines()] == [note.TYPE_ED25519, note.TYPE_MLDSA44]
    again = run("log", "cosign", "--log", home, *operator(place), "--now", "2026-06-22T02:00:00Z")
    assert again.code == 0, again.err


def test_a_receipt_is_checked_with_the_keys_at_hand(run, place, home, tmp_path):
    agreed = ("--agreement", place / "agreement.json")
    assert run("proof", "make", home / "log", *agreed, "--index", 0, "-o", tmp_path / "p").code == 0
    check = ("proof", "check", tmp_path / "p", home / "agreement.json", *agreed)
    without = run(*check)
    assert without.code == 3
    assert "ML-DSA-44" in without.error
    assert run(*check, "--keys", home / "log").code == 0
    assert run("bundle", home / "log", *agreed, "-o", tmp_path / "b.zip").code == 0
    assert run(*check, "--keys", tmp_path / "b.zip").code == 0


def test_a_witness_with_one_key_is_named(run, place, tmp_path):
    publics = [part for name in ROLL.witnesses for part in ("--public-key", place / f"{name}.mldsa")]
    halves = [part for name in ROLL.witnesses for part in ("--witness", place / f"{name}.key")]
    done = run("log", "init", tmp_path / "new", "--agreement", place / "agreement.json",
               *operator(place, witnesses=()), *publics, *halves, "--now", NOW)  # fmt: skip
    assert done.code == 3
    assert "wharf.example answered with one of its keys" in done.err


def test_what_is_missing_at_the_start_is_named(run, place, tmp_path):
    agreed = ("--agreement", place / "agreement.json", "--now", NOW)
    done = run("log", "init", tmp_path / "new", *agreed, *operator(place, second=False))
    assert done.code == 2
    assert "second signer" in done.error
    done = run("log", "init", tmp_path / "new", *agreed, *operator(place, witnesses=("wharf",)))
    assert done.code == 2
    assert "3 keys that were not given" in done.error
    done = run("log", "init", tmp_path / "new", *agreed, "--key", place / "ledgerco.key", "--mldsa-key",
               place / "ledgerco.key")  # fmt: skip
    assert done.code == 2
    assert "expected a key of suite ml-dsa-44" in done.error


def test_a_public_key_is_a_verifier_key_or_a_key_file(run, place, tmp_path):
    publics = []
    for name in ROLL.witnesses:
        vkey = note.VerifierKey(f"{name}.example", note.TYPE_MLDSA44, demo_key(name, MLDSA44).public)
        (tmp_path / name).write_text(note.format_vkey(vkey) + "\n")
        publics += ["--public-key", tmp_path / name]
    done = run("log", "init", tmp_path / "new", "--agreement", place / "agreement.json",
               *operator(place, witnesses=()), *publics, "--now", NOW)  # fmt: skip
    assert done.code == 0, done.err
    assert "no witness was asked" in done.err
    stranger = demo_key("nobody", MLDSA44)
    raw = keyfile.format_key("nobody", stranger, passphrase=None, salt=b"", nonce=b"")
    (tmp_path / "nobody").write_bytes(raw)
    done = run("log", "init", tmp_path / "other", "--agreement", place / "agreement.json",
               *operator(place), "--public-key", tmp_path / "nobody", "--now", NOW)  # fmt: skip
    assert done.code == 2
    assert "names none" in done.error


def test_the_terms_show_the_digests(run, place):
    shown = run("agreement", "show", place / "agreement.json", "--json")
    assert json.loads(shown.out)["terms"]["log"]["mldsa44"] == demo_key(ROLL.log, MLDSA44).public.digest
