# SPDX-License-Identifier: Apache-2.0
"""`intake` and `lab submit --intake`: a party in a process of its own, a lab that hands in, a log that is away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pausectl.agreement import document
from pausectl.history.authority import objection
from pausectl.history.decode import decode
from pausectl.net import client
from pausectl.sim.play import export
from pausectl.sim.terms import Roll
from pausectl.sim.world import World
from pausectl.wire import dsse, keyfile

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def party(tmp_path) -> Path:
    """A world with an intake party: its agreement, its log, and two keys."""
    world = World(windows=1, pause_at=None, roll=Roll(intake=("quay",))).run()
    export(world, tmp_path / "w")
    for name in ("quay", "aurora"):
        raw = keyfile.format_key(name, world.keys[name], passphrase=None, salt=b"", nonce=b"")
        (tmp_path / "w" / f"{name}.key").write_bytes(raw)
    return tmp_path / "w"


@pytest.fixture
def common(party) -> tuple[object, ...]:
    return ("--agreement", party / "agreement.json", "--key", party / "quay.key")


@pytest.fixture
def envelope(run, party) -> Path:
    body, made = party / "body.json", party / "statement.envelope"
    body.write_text(json.dumps({"action": "pause", "reason": "our own", "term_windows": 1}))
    done = run(
        "lab", "attest", "declaration", body, "--agreement", party / "agreement.json", "--key", party / "aurora.key",
        "--ledger", party / "log", "-o", made,
    )  # fmt: skip
    assert done.code == 0, done.err
    return made


@pytest.fixture
def serve(party, common):
    """`serve(log)`: (a process that serves the party, where)."""
    running = []

    def start(*words: object) -> tuple[subprocess.Popen, str]:
        command = [sys.executable, "-m", "pausectl", "intake", "serve", party / "state", *common, "--log", NOWHERE]
        process = subprocess.Popen(
            [*map(str, command), *map(str, words), "--listen", "127.0.0.1:0"], stderr=subprocess.PIPE, text=True
        )
        running.append(process)
        for line in process.stderr:
            if "listening on " in line:
                return process, json.loads(line)["message"].removeprefix("listening on ")
        raise AssertionError("it ended")

    yield start
    for process in running:
        process.kill()
        process.stderr.close()
        process.wait()


def test_a_statement_is_handed_in_and_shown_until_the_log_takes_it(run, party, common, serve, envelope):
    made = run("intake", "init", party / "state", *common)
    assert (made.code, "the next receipt is number 0" in made.err) == (0, True)
    process, url = serve()
    receipt, agreement = party / "receipt", party / "agreement.json"
    done = run("lab", "submit", envelope, "--intake", url, "--agreement", agreement, "-o", receipt)
    assert done.code == 0, done.err
    statement = dsse.parse(envelope.read_bytes()).statement_id
    assert done.json | {"received_at": "", "file": ""} == {
        "by": "quay", "file": "", "id": statement, "number": 0, "received_at": ""
    }  # fmt: skip
    trusted = document.parse(agreement.read_bytes())
    assert objection(decode(receipt.read_bytes(), trusted.keys), trusted) is None
    assert client.get(f"{url}/receipt/{statement}", timeout=10, max_bytes=99_999).body == receipt.read_bytes()

    shown = run("intake", "pending", party / "state")
    assert shown.code == 3
    assert shown.out.splitlines()[0] == "quay: 1 receipts given, 1 statements that the log has not taken"
    assert statement in shown.out
    told = run("intake", "pending", party / "state", "--json").json
    assert [(one["number"], one["statement"]) for one in told["pending"]] == [(0, statement)]

    second = run("intake", "serve", party / "state", *common, "--log", NOWHERE, "--listen", "127.0.0.1:0")
    assert (second.code, "another process has it open" in second.error) == (2, True)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(30) == 0

    assert run("intake", "export", party / "state", "-o", party / "out").code == 0
    files = {path.name: path.read_bytes() for path in (party / "out").iterdir()}
    assert files == {
        "000000-receipt.envelope": receipt.read_bytes(), "000000-statement.envelope": envelope.read_bytes()
    }  # fmt: skip


def test_numbers_go_on_after_what_is_in_the_ledger(run, party, common):
    made = run("intake", "init", party / "state", *common, "--ledger", party / "log")
    assert made.code == 0
    verdict = run("verify", party / "log", "--agreement", party / "agreement.json")
    assert verdict.code == 0
    number = int(made.err.rsplit(maxsplit=1)[-1])
    assert number == 15  # an accession, a run, a model, an inventory and a usage of each of three labs


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("intake", "serve", "nowhere"), 3, "memory is missing"),
        (("intake", "init", "state", "--key", "aurora"), 2, "role intake"),
    ],
)
def test_what_is_refused(run, party, words, code, text):
    key = party / f"{words[-1] if '--key' in words else 'quay'}.key"
    log = ("--log", NOWHERE) if words[1] == "serve" else ()
    done = run(*words[:2], party / words[2], "--agreement", party / "agreement.json", "--key", key, *log)
    assert (done.code, text in done.error) == (code, True)


def test_a_receipt_that_is_none_is_no_success(run, party, server, envelope):
    def answer(handler) -> None:
        handler.rfile.read(int(handler.headers["content-length"]))
        handler.send_response(200)
        handler.send_header("content-length", "2")
        handler.end_headers()
        handler.wfile.write(b"{}")

    server.answer_post = answer
    words = ("--agreement", party / "agreement.json", "-o", party / "no-receipt")
    done = run("lab", "submit", envelope, "--intake", server.url, *words)
    assert (done.code, "receipt: malformed" in done.error) == (4, True)
    assert not (party / "no-receipt").exists()
