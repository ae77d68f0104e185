# SPDX-License-Identifier: Apache-2.0
"""proof: receipts from the demonstration's ledger, checked with nothing else at hand."""

from __future__ import annotations

import json

import pytest

from pausectl.agreement import document
from pausectl.history import receipt
from pausectl.history.reader import open_ledger
from pausectl.history.source import open_source
from pausectl.wire import dsse, note, proof


@pytest.fixture(scope="module")
def ledger(demo):
    agreement = document.parse((demo / "agreement.json").read_bytes())
    return open_ledger(open_source(str(demo / "log")).fetch, agreement)


@pytest.fixture
def entry(ledger, tmp_path):
    """An entry in a file, as our commands leave it, and its index."""
    index, raw = next((index, raw) for index, raw in ledger.entries() if index == 7)
    (tmp_path / "entry").write_bytes(raw + b"\n")
    return index, raw


@pytest.fixture
def made(run, demo, tmp_path, entry):
    done = run("proof", "make", demo / "log", "--agreement", demo / "agreement.json", "--index", 7, "-o",
               tmp_path / "p")  # fmt: skip
    assert done.code == 0, done.err
    return tmp_path / "p"


def check(run, demo, made, entry, *more):
    return run("proof", "check", made, entry, "--agreement", demo / "agreement.json", *more)


def test_a_proof_is_checked_with_the_log_gone(run, demo, made, entry, tmp_path, ledger):
    done = check(run, demo, made, tmp_path / "entry", "--json")
    assert done.code == 0, done.err
    assert done.json["index"] == 7
    assert done.json["statement_id"] == dsse.parse(entry[1]).statement_id
    assert done.json["log"]["size"] == ledger.size
    assert done.json["cosigned"]["quorum"] == 3
    assert len(done.json["cosigned"]["by"]) >= 3
    words = check(run, demo, made, tmp_path / "entry")
    assert words.code == 0
    assert words.out.startswith("proven: the entry stands at index 7")
    assert "Not shown:" in words.out
    assert "compliant" not in words.out


def test_by_index_by_id_and_by_bytes_it_is_the_same_proof(run, demo, made, entry, tmp_path):
    for number, option in enumerate((("--id", dsse.parse(entry[1]).statement_id), ("--entry", tmp_path / "entry"))):
        done = run("proof", "make", demo / "log", "--agreement", demo / "agreement.json", *option, "-o",
                   tmp_path / f"again-{number}")  # fmt: skip
        assert done.code == 0, done.err
        assert (tmp_path / f"again-{number}").read_bytes() == made.read_bytes()


def test_another_entry_is_not_proven(run, demo, made, entry, tmp_path, ledger):
    (tmp_path / "other").write_bytes(next(raw for index, raw in ledger.entries() if index == 8))
    done = check(run, demo, made, tmp_path / "other")
    assert done.code == 4
    assert str(made) in done.error
    told = check(run, demo, made, tmp_path / "other", "--json")
    assert told.code == 4
    assert told.json["error"]["code"] == 4


def test_without_a_quorum_nothing_is_proven(run, demo, made, entry, tmp_path):
    found = proof.parse(made.read_bytes())
    bare = note.Note(found.signed.text, found.signed.signatures[:1]).raw
    (tmp_path / "bare").write_bytes(proof.format(proof.Proof(found.index, found.hashes, bare)))
    done = check(run, demo, tmp_path / "bare", tmp_path / "entry")
    assert done.code == 4
    assert "cosigned by 0 of the 3 required" in done.error


def test_extra_data_is_said_to_be_worth_nothing(run, demo, made, entry, tmp_path):
    found = proof.parse(made.read_bytes())
    (tmp_path / "more").write_bytes(proof.format(proof.Proof(found.index, found.hashes, found.checkpoint_raw, b"!!")))
    done = check(run, demo, tmp_path / "more", tmp_path / "entry")
    assert done.code == 0
    assert "2 bytes of extra data, which nobody has signed" in done.out


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ((), 2, "expected one of --index, --id and --entry"),
        (("--index", 1, "--id", "0" * 64), 2, "expected one of"),
        (("--index", 10**6), 2, "index: expected 0 to"),
        (("--id", "0" * 64), 3, "has no statement"),
    ],
)
def test_what_there_is_no_proof_of(run, demo, tmp_path, options, code, said):
    done = run("proof", "make", demo / "log", "--agreement", demo / "agreement.json", *options, "-o",
               tmp_path / "none")  # fmt: skip
    assert done.code == code
    assert said in done.error
    assert not (tmp_path / "none").exists()


def test_an_entry_that_is_not_there_has_no_proof(run, demo, tmp_path):
    (tmp_path / "absent").write_bytes(b"absent")
    done = run("proof", "make", demo / "log", "--agreement", demo / "agreement.json", "--entry",
               tmp_path / "absent", "-o", tmp_path / "none")  # fmt: skip
    assert done.code == 3
    assert "has no such entry" in done.error


def test_what_is_no_proof_is_refused(run, demo, tmp_path):
    (tmp_path / "junk").write_bytes(json.dumps({}).encode())
    done = check(run, demo, tmp_path / "junk", tmp_path / "junk")
    assert done.code == 4


def test_the_first_copy_is_found(ledger):
    raw = next(raw for index, raw in ledger.entries() if index == 7)
    assert receipt.find(ledger, raw) == 7
