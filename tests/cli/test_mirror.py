# SPDX-License-Identifier: Apache-2.0
"""`pausectl mirror`: a copy that verifies like the log, served, compared, and ended by a signal."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pausectl.agreement import document
from pausectl.mirror.compare import place
from pausectl.net import client
from pausectl.wire import note

ORIGIN = "log.example/pause"


@pytest.fixture
def agreed(home):
    return ("--agreement", home / "agreement.json")


@pytest.fixture
def key(run, tmp_path):
    path = tmp_path / "mirror.key"
    assert run("keygen", "mirror.example", "-o", path, "--unencrypted").code == 0
    return path


def test_a_copy_gives_the_same_answer_as_the_log(run, home, agreed, tmp_path, site):
    assert run("mirror", site.url, tmp_path / "m", *agreed, "--once").code == 0
    verdicts = [run("verify", where, *agreed, "--json").out for where in (home / "log", tmp_path / "m" / "log")]
    assert verdicts[0] == verdicts[1]
    again = run("mirror", home / "log", tmp_path / "m", *agreed, "--once")
    assert (again.code, again.out, again.err) == (0, "", "")


def test_a_log_that_is_known_by_its_key_alone(run, home, agreed, tmp_path):
    vkey = (home / "log.vkey").read_text().strip()
    told = run("mirror", home / "log", tmp_path / "m", "--vkey", vkey, "--once")
    assert (told.code, told.out) == (0, "")
    assert told.err.endswith("entries, 72 of them new\n")
    assert run("verify", tmp_path / "m" / "log", *agreed).code == 1


def test_a_fork_ends_with_4_and_evidence_that_a_stranger_can_check(run, home, agreed, fork, tmp_path):
    assert run("mirror", home / "log", tmp_path / "m", *agreed, "--once").code == 0
    told = run("mirror", fork / "log", tmp_path / "m", *agreed, "--once")
    assert told.code == 4
    assert "two histories" in told.error
    [file] = (tmp_path / "m" / "evidence").iterdir()
    assert f"{file} convicts the log" in told.err
    assert run("evidence", "check", file, *agreed).code == 0
    assert run("verify", tmp_path / "m" / "log", *agreed).code == 1, "what was held is held"


def test_a_witness_that_was_shown_another_history(run, home, agreed, fork, tmp_path):
    there = tmp_path / "witness" / place(ORIGIN)
    there.mkdir(parents=True)
    shutil.copy(fork / "log" / "checkpoint", there / "checkpoint")
    told = run("mirror", home / "log", tmp_path / "m", *agreed, "--once", "--compare", there.parent)
    assert told.code == 4
    assert run("verify", tmp_path / "m" / "log", *agreed).code == 1
    [file] = (tmp_path / "m" / "evidence").iterdir()
    assert run("evidence", "check", file, *agreed).code == 0
    shutil.copy(home / "log" / "checkpoint", there / "checkpoint")
    assert run("mirror", home / "log", tmp_path / "m", *agreed, "--once", "--compare", there.parent).code == 0
    (there / "checkpoint").unlink()
    told = run("mirror", home / "log", tmp_path / "m", *agreed, "--once", "--compare", there.parent)
    assert told.code == 3
    assert "no such file" in told.err


def test_bad_usage_ends_with_2(run, home, agreed, key, tmp_path):
    vkey = (home / "log.vkey").read_text().strip()
    (tmp_path / "file").write_text("in the way")
    for wrong in (
        (), (*agreed, "--vkey", vkey), ("--vkey", "nonsense"), (*agreed, "--listen", "nonsense"),
        (*agreed, "--once", "--listen", "127.0.0.1:0"), (*agreed, "--key", home / "keys" / "wharf.key", "--once"),
        (*agreed, "--key", key, "--mldsa-key", home / "keys" / "aurora.key", "--once"), (*agreed, "--every", "0"),
    ):  # fmt: skip
        told = run("mirror", home / "log", tmp_path / "m", *wrong)
        assert (told.code, told.out) == (2, ""), wrong
    assert run("mirror", home / "log", tmp_path / "file", *agreed, "--once").code == 2
    assert run("mirror", tmp_path / "nowhere", tmp_path / "m", *agreed, "--once").code == 2


def test_a_stranger_key_cosigns_and_is_told_that_nobody_counts_it(run, home, agreed, key, tmp_path):
    told = run("mirror", home / "log", tmp_path / "m", *agreed, "--once", "--key", key)
    assert told.code == 0
    assert "mirror.example is no mirror of the agreement" in told.err
    lines = note.parse((tmp_path / "m" / "log" / "checkpoint").read_bytes()).signatures
    assert lines[-1].name == "mirror.example"


class Process:
    """`pausectl mirror … --every 0.2`, until `stop`."""

    def __init__(self, *arguments: object) -> None:
        command = [sys.executable, "-m", "pausectl", "mirror", *map(str, arguments), "--every", "0.2"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def line(self, with_: str) -> str:
        while with_ not in (line := self.process.stderr.readline()):
            assert line, "it ended"
        return line

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        os.kill(self.process.pid, number)
        rest = self.process.stderr.read()
        self.process.stderr.close()
        return self.process.wait(30), rest


def test_it_serves_what_it_holds_and_a_mirror_of_it_verifies_alike(run, home, agreed, key, tmp_path, started, site):
    pytest.importorskip("granian")
    process = started(site.url, tmp_path / "m", *agreed, "--key", key, "--listen", "127.0.0.1:0")
    url = json.loads(process.line("listening on"))["message"].removeprefix("listening on ")
    hashed = f"{url}/{place(ORIGIN)}"
    until = time.monotonic() + 30
    while client.get(f"{url}/checkpoint", timeout=5, max_bytes=9999).status != 200 and time.monotonic() < until:
        time.sleep(0.05)
    expected = run("verify", home / "log", *agreed, "--json").out
    for where in (url, hashed):
        assert run("verify", where, *agreed, "--json").out == expected
    second = run("mirror", hashed, tmp_path / "second", *agreed, "--once", "--compare", url)
    assert second.code == 0, second.err
    assert client.get(f"{url}/tile/0/../../state/held", timeout=5, max_bytes=9999).status == 404
    assert b"pausectl_mirror_entries 72.0" in client.get(f"{url}/metrics", timeout=5, max_bytes=99_999).body
    assert client.get(f"{url}/health", timeout=5, max_bytes=99).body == b"ok\n"
    code, _ = process.stop()
    assert code == 0


def test_it_outlives_its_log_and_follows_when_it_is_back(run, home, agreed, tmp_path, started, site, grow):
    served, site.answer = site.answer, lambda handler: handler.send_error(503)
    process = started(site.url, tmp_path / "m", *agreed)
    assert "answered 503" in process.line("503")
    site.answer = served
    process.line("72 entries, 72 of them new")
    assert grow(home).code == 0
    published = (home / "log" / "checkpoint").read_bytes()  # with a mark, so it may come in two visits
    until = time.monotonic() + 30
    while (tmp_path / "m" / "log" / "checkpoint").read_bytes() != published and time.monotonic() < until:
        time.sleep(0.05)
    code, rest = process.stop(signal.SIGINT)
    assert (code, "Traceback" in rest) == (0, False)
    assert (tmp_path / "m" / "log" / "checkpoint").read_bytes() == published
    document.parse((home / "agreement.json").read_bytes())


def test_a_fork_does_not_stop_it_and_is_its_exit_code(home, agreed, fork, tmp_path, started, run):
    assert run("mirror", home / "log", tmp_path / "m", *agreed, "--once").code == 0
    process = started(fork / "log", tmp_path / "m", *agreed)
    process.line("convicts the log")
    time.sleep(0.5)
    code, rest = process.stop()
    assert (code, rest) == (4, "")
    assert Path(tmp_path / "m" / "log" / "checkpoint").read_bytes() == (home / "log" / "checkpoint").read_bytes()
