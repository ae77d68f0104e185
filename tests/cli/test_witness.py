# SPDX-License-Identifier: Apache-2.0
"""witness: a memory made, logs added and removed, what is shown of it, and the server as a process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pausectl.errors import Forged
from pausectl.net import client
from pausectl.sim.terms import demo_key
from pausectl.wire import checkpoint, evidence, keyfile, merkle, note, witness
from pausectl.wire.checkpoint import Checkpoint
from pausectl.wire.keys import MLDSA44
from pausectl.witness.witness import Witness, origin_hash

NAME = "witness.example/one"
LOG = demo_key("log")
ORIGIN = "log.example/test"
KEY = note.VerifierKey(ORIGIN, note.TYPE_ED25519, LOG.public)
NOW = 1_800_000_000


def request(size: int, leaf: bytes = b"leaf", old: int = 0) -> bytes:
    leaves = [merkle.leaf_hash(leaf)] * size
    told = checkpoint.sign(Checkpoint(ORIGIN, size, merkle.root(leaves)), LOG).raw
    return witness.format_request(witness.Request(old, (), told))


@pytest.fixture
def keys(tmp_path) -> list[object]:
    """Options that name the key files of a witness with two keys."""
    for suite in ("ed25519", MLDSA44):
        raw = keyfile.format_key(NAME, demo_key("witness", suite), passphrase=None, salt=b"", nonce=b"")
        (tmp_path / f"{suite}.key").write_bytes(raw)
    return ["--key", tmp_path / "ed25519.key", "--mldsa-key", tmp_path / f"{MLDSA44}.key"]


@pytest.fixture
def state(run, tmp_path, keys) -> Path:
    done = run("witness", "init", tmp_path / "state", *keys)
    assert (done.code, done.out) == (0, "")
    assert "remembers nothing yet" in done.err
    assert run("witness", "add-log", tmp_path / "state", note.format_vkey(KEY)).code == 0
    return tmp_path / "state"


def ask(state: Path, *requests: bytes) -> None:
    cosigners = [(NAME, demo_key("witness")), (NAME, demo_key("witness", MLDSA44))]
    with Witness.open(state, cosigners) as one:
        for each in requests:
            one.cosign(each, NOW)


def test_init_again_says_and_changes_nothing(run, state, keys):
    done = run("witness", "init", state, *keys)
    assert (done.code, done.out, done.err) == (0, "", "")
    done = run("witness", "init", state, *keys[:2])
    assert done.code == 2
    assert "another key" in done.error


def test_nothing_is_made_by_asking(run, tmp_path, keys):
    for command in (["list"], ["show"], ["evidence"], ["recover"], ["remove-log"], ["add-log"], ["serve", *keys]):
        extra = [note.format_vkey(KEY)] if command[0].endswith("-log") else []
        done = run("witness", command[0], tmp_path / "none", *extra, *command[1:])
        assert done.code == 3, command
        assert "missing" in done.error
    assert not (tmp_path / "none").exists()


def test_list_says_what_was_cosigned_last(run, state, tmp_path):
    (tmp_path / "log.vkey").write_text(note.format_vkey(note.VerifierKey("log.example/b", 1, LOG.public)) + "\n")
    assert run("witness", "add-log", state, tmp_path / "log.vkey").code == 0
    ask(state, request(3))
    done = run("witness", "list", state)
    assert done.out == (
        "           -  never cosigned        log.example/b\n           3  2027-01-15T08:00:00Z  log.example/test\n"
    )
    found = run("witness", "list", state, "--json").json["logs"]
    assert [(log["origin"], log["size"], log["time"]) for log in found] == [
        ("log.example/b", 0, None),
        (ORIGIN, 3, "2027-01-15T08:00:00Z"),
    ]
    assert found[1]["path"] == f"{origin_hash(ORIGIN)}/checkpoint"
    assert found[1]["vkeys"] == [note.format_vkey(KEY)]
    assert run("witness", "remove-log", state, "log.example/b").code == 0
    assert run("witness", "remove-log", state, "log.example/b").code == 2


def test_a_log_with_two_keys(run, state):
    other = note.VerifierKey("log.example/b", note.TYPE_ED25519, LOG.public)
    quantum = note.VerifierKey("log.example/b", note.TYPE_MLDSA44, demo_key("log", MLDSA44).public)
    told = [note.format_vkey(key) for key in (other, quantum)]
    assert run("witness", "add-log", state, told[0], "--mldsa", told[1]).code == 0
    assert run("witness", "list", state, "--json").json["logs"][0]["vkeys"] == told
    assert run("witness", "add-log", state, told[1]).code == 2
    assert run("witness", "add-log", state, "nonsense+1+2").code == 2


def test_show_prints_lines_of_a_policy(run, state):
    done = run("witness", "show", state, "--url", "https://witness.example/one/")
    lines = [line.split() for line in done.out.splitlines()]
    assert [(line[0], line[1], line[3]) for line in lines] == [
        ("witness", NAME, "https://witness.example/one/"),
        ("witness", f"{NAME}-mldsa44", "https://witness.example/one/"),
    ]
    assert [note.parse_vkey(line[2]).type for line in lines] == [0x04, 0x06]
    assert run("witness", "show", state).out.splitlines()[0] == " ".join(lines[0][:3])


def test_evidence_is_listed_and_a_split_becomes_a_file_that_convicts(run, state, tmp_path):
    assert run("witness", "evidence", state).out == ""
    ask(state, request(3))
    for bad in (request(3, b"fork", old=3), request(5, b"fork", old=3)):
        with pytest.raises(Forged):
            ask(state, bad)
    done = run("witness", "evidence", state, "-o", tmp_path / "out")
    found = [json.loads(line) for line in done.out.splitlines()]
    assert [(each["kind"], each["size"]) for each in found] == [("refused", 5), ("split", 3)]
    [convicting] = found[1]["files"]
    evidence.check(evidence.parse(Path(convicting).read_bytes()), KEY)
    assert run("evidence", "check", convicting, "--vkey", note.format_vkey(KEY)).code == 0
    assert Path(found[0]["files"][0]).read_bytes() == request(5, b"fork", old=3)


def test_a_restored_backup_is_refused_until_it_is_recovered(run, state, keys):
    backup = (state / "witness.db").read_bytes()
    ask(state, request(3))
    for path in state.glob("witness.db*"):
        path.unlink()
    (state / "witness.db").write_bytes(backup)
    done = run("witness", "serve", state, *keys, "--listen", "127.0.0.1:0")
    assert done.code == 3
    assert "set back" in done.error
    assert "recover" in done.err
    done = run("witness", "recover", state)
    assert (done.code, done.out) == (0, f"{ORIGIN}\n")
    assert run("witness", "list", state, "--json").json["logs"][0]["size"] == 3


def test_serve_in_one_command(tmp_path, keys):
    """A witness from nothing, asked and read as a process of its own, and ended by SIGTERM."""
    state = tmp_path / "served"
    command = [
        sys.executable, "-m", "pausectl", "witness", "serve", state, *keys, "--init", "--log", note.format_vkey(KEY),
        "--listen", "127.0.0.1:0",
    ]  # fmt: skip
    with subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        try:
            url = ""
            while not url:
                line = process.stderr.readline()
                assert line, "it ended"
                url = line.partition("listening on ")[2].strip().rstrip('"}')
            answer = client.post(f"{url}/add-checkpoint", request(3), timeout=10, max_bytes=9999)
            assert answer.status == 200
            assert len(witness.parse_response(answer.body)) == 2
            assert client.get(f"{url}/{origin_hash(ORIGIN)}/checkpoint", timeout=10, max_bytes=9999).status == 200
            assert client.get(f"{url}/health", timeout=10, max_bytes=9999).body == b"ok\n"
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=20)
    assert process.returncode == 0
