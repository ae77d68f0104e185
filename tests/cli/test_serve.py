# SPDX-License-Identifier: Apache-2.0
"""`log serve` and `lab submit --url`: processes of their own that speak over loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pausectl.agreement import document
from pausectl.history import receipt
from pausectl.net import client
from pausectl.wire import keyfile, proof
from pausectl.witness.witness import Witness

NAMES = ("wharf", "xylem", "yarrow")


class Process:
    """A command that serves, until `stop`. url: where."""

    def __init__(self, *arguments: object) -> None:
        command = [sys.executable, "-m", "pausectl", *map(str, arguments), "--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.lines: list[str] = []
        self.url = ""
        while not self.url:
            line = self.process.stderr.readline()
            assert line, self.lines
            self.lines.append(line)
            if "listening on " in line:
                self.url = json.loads(line)["message"].removeprefix("listening on ")

    def stop(self, number: int = signal.SIGTERM) -> int:
        os.kill(self.process.pid, number)
        return self.wait()

    def wait(self) -> int:
        self.lines += self.process.stderr.readlines()
        self.process.stderr.close()
        return self.process.wait(30)


@pytest.fixture
def witnesses(home, server):
    """The demonstration's witnesses behind one address: `<url>/<name>/add-checkpoint`."""
    agreement = document.parse((home / "agreement.json").read_bytes())
    made = {}
    for name in NAMES:
        key_name, key = keyfile.open_key((home / "keys" / f"{name}.key").read_bytes(), None)
        made[name] = Witness.beside(key_name, key, agreement.log_key, home / "state" / "witness" / key_name)

    def answer(handler) -> None:
        body = handler.rfile.read(int(handler.headers["content-length"]))
        said = made[handler.path.split("/")[1]].cosign(body, 1_786_300_000)
        handler.send_response(200 if said.startswith("— ".encode()) else 409)
        handler.send_header("content-length", str(len(said)))
        handler.end_headers()
        handler.wfile.write(said)

    server.answer_post = answer
    return [option for name in NAMES for option in ("--witness", f"{server.url}/{name}")]


@pytest.fixture
def envelope(run, home, bodies) -> Path:
    """One more statement of aurora's."""
    body = bodies(home, "aurora", "model") | {"weights_root": "ab" * 32}
    draft, made = home / "draft", home / "envelope"
    draft.write_text(json.dumps(body))
    common = ("--agreement", home / "agreement.json", "--key", home / "keys" / "aurora.key", "--ledger", home / "log")
    assert run("lab", "attest", "model", draft, *common, "-o", made).code == 0
    return made


def test_a_statement_is_submitted_and_verified_over_http(run, home, started, witnesses, envelope):
    served = started("log", "serve", home, "--key", home / "keys" / "ledgerco.key", *witnesses)
    agreement = ("--agreement", home / "agreement.json")
    out = home / "it.tlog-proof"
    done = run("lab", "submit", envelope, "--url", served.url, *agreement, "-o", out)
    assert done.code == 0, done.err
    assert done.err == ""
    made = proof.parse(out.read_bytes())
    assert done.json["index"] == made.index
    receipt.check(made, envelope.read_bytes(), document.parse((home / "agreement.json").read_bytes()))
    assert run("proof", "check", out, envelope, *agreement).code == 0
    again = run("lab", "submit", envelope, "--url", served.url)
    assert again.json == done.json
    assert "signatures on the receipts were not checked" in again.err

    for words in (("--json",), ("--json", "--at", "2026-09-01T00:00:00Z")):
        over = run("verify", served.url, *agreement, *words)
        beside = run("verify", home / "log", *agreement, *words)
        assert (over.code, over.out) == (beside.code, beside.out)

    assert served.stop() == 0
    requests = [json.loads(line) for line in served.lines if '"path"' in line]
    assert {each["status"] for each in requests if each["path"] == "/add"} == {200}
    assert "sig" not in "".join(served.lines)


def test_a_refusal_is_told_and_nothing_is_written(run, home, started, witnesses, envelope):
    served = started("log", "serve", home, "--key", home / "keys" / "ledgerco.key", *witnesses)
    bent = home / "bent"
    bent.write_bytes(envelope.read_bytes().replace(b'"keyid":"SHA256:', b'"keyid":"SHA256:x', 1)[:-1])
    assert run("lab", "submit", bent, "--url", served.url).code == 4
    other = home / "other"
    raw = envelope.read_bytes()
    place = raw.index(b'"sig":"') + 9
    other.write_bytes(raw[:place] + (b"B" if raw[place : place + 1] == b"A" else b"A") + raw[place + 1 :])
    done = run("lab", "submit", other, "--url", served.url, "-o", home / "no.tlog-proof")
    assert done.code == 2
    assert "the log answered 403: unauthorised: the signature of" in done.error
    assert not (home / "no.tlog-proof").exists()


def test_a_receipt_that_shows_something_else_is_no_success(run, home, server, envelope):
    made = run("proof", "make", home / "log", "--agreement", home / "agreement.json", "--index", 3, "-o", home / "p")
    assert made.code == 0, made.err
    answers = [(home / "p").read_bytes(), b"thank you\n", b""]

    def answer(handler) -> None:
        body = answers[len(server.asked) - 1]
        handler.rfile.read(int(handler.headers["content-length"]))
        handler.send_response(200)
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    server.answer_post = answer
    for _ in answers:
        done = run("lab", "submit", envelope, "--url", server.url, "-o", home / "no.tlog-proof")
        assert done.code == 4
        assert done.out == ""
    assert not (home / "no.tlog-proof").exists()


def test_later_is_tried_again_for_as_long_as_it_is_worth(run, home, server, envelope):
    def answer(handler) -> None:
        handler.rfile.read(int(handler.headers["content-length"]))
        handler.send_response(503 if len(server.asked) < 3 else 403)
        handler.send_header("retry-after", "1")
        handler.send_header("content-length", "5")
        handler.end_headers()
        handler.wfile.write(b"busy\n")

    server.answer_post = answer
    done = run("lab", "submit", envelope, "--url", server.url, "--wait", 0)
    assert (done.code, len(server.asked)) == (3, 1)
    assert "gave up after 0 seconds: 503: busy" in done.error
    done = run("lab", "submit", envelope, "--url", server.url, "--wait", 20)
    assert (done.code, len(server.asked)) == (2, 3)


def test_nobody_there_is_unavailable(run, home, envelope):
    done = run("lab", "submit", envelope, "--url", "http://127.0.0.1:9", "--wait", 0)
    assert done.code == 3
    assert "cannot be reached" in done.error


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((), "expected one of --url, --intake and --log"),
        (("--url", "http://x", "--log", "y"), "expected one of --url, --intake and --log"),
        (("--intake", "http://x", "--url", "http://y"), "expected one of --url, --intake and --log"),
        (("--intake", "http://x"), "--agreement is needed with --intake"),
        (("--log", "y"), "--key is needed"),
        (("--url", "ftp://x"), "expected http://HOST"),
        (("--url", "http://user@x"), "expected http://HOST"),
    ],
)
def test_submit_is_told_where(run, envelope, words, text):
    done = run("lab", "submit", envelope, *words)
    assert done.code == 2
    assert text in done.error


@pytest.mark.parametrize("listen", ["8080", ":8080", "x:", "x:-1", "x:65536", "::1:80", "[::1:80", "x:٣"])
def test_listen_is_host_and_port(run, home, listen):
    done = run(
        "log", "serve", home, "--key", home / "keys" / "ledgerco.key", "--witness", "http://x", "--listen", listen
    )
    assert done.code == 2
    assert "--listen: expected HOST:PORT" in done.error


def test_a_log_whose_agreement_asks_for_witnesses_is_not_served_without(run, home):
    done = run("log", "serve", home, "--key", home / "keys" / "ledgerco.key")
    assert done.code == 2
    assert "--witness is needed" in done.error


def test_two_servers_of_one_log_are_one_too_many(run, home, started, witnesses):
    command = ("log", "serve", home, "--key", home / "keys" / "ledgerco.key", *witnesses)
    served = started(*command)
    second = run(*command, "--listen", "127.0.0.1:0")
    assert second.code == 2
    assert "another process has it open for writing" in second.error
    assert client.get(f"{served.url}/health", timeout=10, max_bytes=999).status == 200


def test_a_log_that_breaks_ends_with_5(home, started, witnesses, envelope):
    served = started("log", "serve", home, "--key", home / "keys" / "ledgerco.key", *witnesses)
    (home / "state" / "head").write_bytes(b"somebody else's\n")
    answer = client.post(f"{served.url}/add", envelope.read_bytes(), timeout=30, max_bytes=9999)
    assert answer.status == 503
    client.Client(served.url, timeout=10)
    for _ in range(2):  # an exclusive store that was changed beneath it ends at once, or when it is next asked
        if served.process.poll() is None:
            try:
                client.post(f"{served.url}/add", envelope.read_bytes(), timeout=30, max_bytes=9999)
            except client.Unavailable:
                break
    assert served.wait() == 5
    assert "Traceback" not in "".join(served.lines)


def test_without_the_extra_it_says_what_to_install(spawn, home):
    code = (
        "import sys\n"
        "for name in ('granian', 'starlette', 'prometheus_client'): sys.modules[name] = None\n"
        "from pausectl.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )

    def bare(*words: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    done = bare("log", "serve", home, "--key", home / "keys" / "ledgerco.key", "--witness", "http://x")
    assert done.returncode == 2
    assert done.stderr == (
        "pausectl: error: a server needs more than is installed\npausectl: hint: pip install 'pausectl[log]'\n"
    )
    assert bare("verify", home / "log", "--agreement", home / "agreement.json").returncode in (0, 1)
    assert bare("log", "serve", "--help").returncode == 0


def test_show_prints_what_others_configure(run, home):
    vkey = (home / "log.vkey").read_text()
    assert run("log", "show", home).out == vkey
    listed = run("log", "show", home, "--format", "logs-v0", "--qpd", 1440, "--contact", "operator (at) log.example")
    assert listed.out == f"logs/v0\nvkey {vkey}qpd 1440\ncontact operator (at) log.example\n"
    for contact in ((), ("--contact", ""), ("--contact", "a\nvkey b")):
        done = run("log", "show", home, "--format", "logs-v0", *contact)
        assert done.code == 2
        assert "--contact" in done.error
