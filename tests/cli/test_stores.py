# SPDX-License-Identifier: Apache-2.0
"""log init --objects --head --memory, join: where a log lies, from the command line."""

from __future__ import annotations

import json
import shutil

import pytest


@pytest.fixture
def envelope(run, home, tmp_path, bodies):
    """A statement of aurora's; a log does not look at its number."""
    (tmp_path / "body").write_text(json.dumps(bodies(home, "aurora", "accession")))
    common = ("--agreement", home / "agreement.json", "--key", home / "keys" / "aurora.key")
    done = run(
        "lab", "attest", "accession", tmp_path / "body", *common, "--ledger", home / "log", "-o", tmp_path / "envelope"
    )
    assert done.code == 0, done.err
    return tmp_path / "envelope"


def options(home, operator):
    key = operator(home)[:2]
    return ("--agreement", home / "agreement.json", *key)


def test_a_log_lies_where_init_was_told_and_another_home_joins_it(
    run, home, operator, postgres, s3, tmp_path, envelope
):
    places = ("--objects", f"{s3.url}/cli-{tmp_path.name}", "--head", f"{postgres.url}#cli-{tmp_path.name}")
    one, two = tmp_path / "one", tmp_path / "two"
    done = run("log", "init", one, *options(home, operator), *places)
    assert done.code == 0, done.err
    assert {path.name for path in one.iterdir()} == {"agreement.json", "log.vkey", "state", "store.toml"}
    written = (one / "store.toml").read_text()
    assert places[1] in written
    assert places[3] in written
    assert str(one / "state" / "memory") in written
    assert run("log", "init", two, *options(home, operator), *places).code == 2
    shutil.rmtree(two)
    done = run("log", "join", two, *options(home, operator), *places)
    assert (done.code, done.err) == (0, f"{places[1]}: 1 entry\n")
    key = operator(home)[:2]
    first = run("log", "add", envelope, "--log", two, *key)
    assert (first.code, first.json["index"], first.json["duplicate"]) == (0, 1, False)
    again = run("log", "add", envelope, "--log", one, *key)
    assert (again.code, again.json["index"], again.json["duplicate"]) == (0, 1, True)


def test_a_password_is_refused_and_not_repeated(run, home, operator, tmp_path):
    done = run("log", "init", tmp_path / "new", *options(home, operator), "--head", "postgresql://me:hunter2@db/ledger")
    assert done.code == 2
    assert "password" in done.error
    assert "hunter2" not in done.err
    assert not (tmp_path / "new" / "store.toml").exists()


def test_a_restored_backup_is_refused(run, home, operator, tmp_path, envelope):
    """LOG-26, from outside."""
    new, key = tmp_path / "new", operator(home)[:2]
    done = run("log", "init", new, *options(home, operator), "--memory", new / "state" / "memory")
    assert "must lie elsewhere" in done.error
    shutil.rmtree(new, ignore_errors=True)
    assert run("log", "init", new, *options(home, operator)).code == 0
    shutil.copytree(new, tmp_path / "backup")
    assert run("log", "add", envelope, "--log", new, *key, "--memory", tmp_path / "memory").code == 0
    store = (new / "store.toml").read_bytes()
    shutil.rmtree(new)
    shutil.copytree(tmp_path / "backup", new)
    (new / "store.toml").write_bytes(store)  # backed up with the rest, had it been there
    done = run("log", "add", envelope, "--log", new, *key)
    assert done.code == 2
    assert "expected size 2 or more, as its second memory has it, found 1" in done.error


def test_a_log_that_lies_here_cannot_be_joined(run, home, operator, tmp_path):
    done = run("log", "join", tmp_path / "new", *options(home, operator), "--head", "postgresql:///ledger")
    assert done.code == 2
    assert "both the objects and the head" in done.error
