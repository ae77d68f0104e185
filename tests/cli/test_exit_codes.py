# SPDX-License-Identifier: Apache-2.0
"""Every way out of the program and its code; none of them shows a traceback, and none but a verdict is 0 or 1."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pausectl import registry
from pausectl.cli import COMMANDS
from pausectl.verify.rules.base import Rule, holds

HEAVY = {
    "asyncio", "cryptography", "http", "nacl", "pausectl.agreement", "pausectl.history", "pausectl.lab", "pausectl.log",
    "pausectl.report", "pausectl.sim", "pausectl.verify", "pausectl.wire", "pausectl.witness", "pydantic", "rich",
    "sqlite3",
}  # fmt: skip


def verify(home: Path, *more: object) -> tuple[object, ...]:
    return ("verify", home / "log", "--agreement", home / "agreement.json", *more)


# ── verdicts ──


@pytest.mark.parametrize(("lab", "code"), [("aurora", 0), ("borealis", 1), ("cirrus", 3)])
def test_a_verdict_is_0_1_or_3(spawn, demo, lab, code):
    done = spawn(*verify(demo, "--lab", lab))
    assert done.code == code
    assert done.err == ""


def test_nothing_in_force_is_never_0(run, demo):
    assert run(*verify(demo, "--at", "2026-07-01T00:00:00Z")).code == 3


# ── 2, 3, 4 ──


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["nosuch"], ["--nosuch"], ["verify"], ["verify", "x"], ["verify", "--agreement"], ["explain", "a", "b"],
        ["lab"], ["log"], ["agreement"], ["lab", "nosuch"], ["log", "add"], ["verify", "x", "--agreement", "y",
        "--jobs", "0"],
        ["verify", "x", "--agreement", "y", "--jobs", "many"], ["lab", "open", "x"], ["sim", "--dir"], ["keygen"],
    ],
)  # fmt: skip
def test_usage_is_2_or_help(run, arguments):
    done = run(*arguments)
    if done.code == 0:
        assert done.out.startswith("Usage: pausectl")
        return
    assert done.code == 2
    assert done.out == "" or done.out.startswith("Usage: pausectl")
    assert "Traceback" not in done.err
    if done.err.startswith("pausectl: error"):
        assert done.error


@pytest.mark.parametrize(
    "source",
    ["nosuch", "", "ftp://127.0.0.1/x", "file:///etc/passwd", "gopher://x", "://", "http", "a://b"],
)
def test_a_source_that_is_none_is_2(run, demo, source):
    done = run("verify", source, "--agreement", demo / "agreement.json")
    assert done.code == 2
    assert source in done.error


@pytest.mark.parametrize(
    "url", ["http://[::1", "http://", "http:///x", "http://a b/", "http://x:y/", "http://\x00/", "HTTP://["]
)
def test_an_address_that_is_none_is_3(run, demo, url):
    done = run("verify", url, "--agreement", demo / "agreement.json")
    assert done.code == 3
    assert done.error.count("\n") == 0


def test_a_log_that_cannot_be_reached_is_3(run, demo):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    done = run("verify", f"http://127.0.0.1:{port}/", "--agreement", demo / "agreement.json", "--json")
    assert done.code == 3
    assert done.json["error"]["code"] == 3
    assert f"http://127.0.0.1:{port}/checkpoint" in done.error


def test_a_missing_tile_is_3_and_a_wrong_one_4(run, home):
    tile = home / "log" / "tile" / "0" / "000.p" / "72"
    tile.chmod(0o644)
    tile.write_bytes(bytes(72 * 32))
    assert run(*verify(home)).code == 4
    tile.unlink()
    done = run(*verify(home))
    assert done.code == 3
    assert "tile/0" in done.error


# ── 5 ──


def broken(_: object) -> None:
    raise RuntimeError("a bug\nof \x1b[31mours")


def enter(monkeypatch: pytest.MonkeyPatch, check: object, *, of_case: bool) -> None:
    rule = Rule("BUG-1", "Nothing MUST fail.", "", "", check, of_case)
    monkeypatch.setitem(registry._things["rule"], "BUG-1", rule)


def test_a_rule_that_raises_is_5_and_gives_no_verdict(run, demo, monkeypatch):
    enter(monkeypatch, broken, of_case=True)
    done = run(*verify(demo, "--json"))
    assert done.code == 5
    assert done.err == ""
    assert set(done.json["verdicts"].values()) == {None}
    assert {error["lab"] for error in done.json["errors"]} == {"aurora", "borealis", "cirrus"}
    assert all("BUG-1" in error["message"] for error in done.json["errors"])
    assert any(finding["outcome"] == "VIOLATED" for finding in done.json["findings"])
    text = run(*verify(demo))
    assert text.code == 5
    assert "rule failure (aurora)" in text.out
    assert "\x1b" not in text.out


def test_a_rule_about_the_ledger_that_raises_is_5(run, demo, monkeypatch):
    enter(monkeypatch, broken, of_case=False)
    assert run(*verify(demo)).code == 5


def test_a_rule_that_raises_for_one_lab_leaves_the_others_their_verdict_and_is_5_all_the_same(run, demo, monkeypatch):
    def check(case: object) -> object:
        if case.lab == "aurora":
            raise KeyError("x")
        yield holds("fine")

    enter(monkeypatch, check, of_case=True)
    done = run(*verify(demo, "--json"))
    assert done.code == 5
    assert done.json["verdicts"] == {"aurora": None, "borealis": "INCONSISTENT", "cirrus": "INCONCLUSIVE"}


@pytest.mark.parametrize(
    "error", [RuntimeError, KeyError, OSError, AssertionError, MemoryError, EOFError, RecursionError]
)
def test_a_bug_anywhere_is_5_with_one_line(run, demo, monkeypatch, error):
    """A rule's generator is guarded; an answer of the wrong kind comes out elsewhere."""

    class Trap:
        @property
        def outcome(self) -> object:
            raise error("two\nlines")

    def check(_: object) -> object:
        yield Trap()

    enter(monkeypatch, check, of_case=True)
    done = run(*verify(demo))
    assert done.code == 5
    assert replace(done, err=done.err.lstrip("\n")).error.startswith("internal error: ")
    assert "PAUSECTL_DEBUG" in done.err


def test_debug_shows_where(spawn):
    done = spawn("verify", "http://127.0.0.1:1/", "--agreement", "nosuch", env={**os.environ, "PAUSECTL_DEBUG": "1"})
    assert done.code == 2  # an error on purpose is no bug, and needs no traceback
    assert done.error


# ── interrupted, hung up, no room ──


def test_ctrl_c_is_130(demo):
    """A server that takes the call and never answers, and somebody who loses patience."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        command = [sys.executable, "-m", "pausectl", "verify", url, "--agreement", str(demo / "agreement.json")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            connection, _ = server.accept()
            with connection:
                connection.recv(1024)
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert out == ""
    assert err.strip() == ""


def closed_pipe(*arguments: object) -> tuple[int, str]:
    """Code and stderr of a command whose stdout nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        command = [sys.executable, "-m", "pausectl", *map(str, arguments)]
        done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False, text=True, timeout=60)
    finally:
        os.close(writer)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["explain"], ["explain", "--json"], ["sim"], ["agreement", "new"], ["log", "-h"]],
)
def test_a_closed_pipe_is_141_and_silent(arguments):
    assert closed_pipe(*arguments) == (141, "")


def test_a_closed_pipe_is_never_a_verdict(demo):
    for lab in ("aurora", "borealis", "cirrus"):
        assert closed_pipe(*verify(demo, "--lab", lab)) == (141, "")
        assert closed_pipe(*verify(demo, "--lab", lab, "--json")) == (141, "")


def test_head_takes_the_first_line_and_leaves(demo):
    """More than a pipe holds, so that somebody is still writing. Unbuffered, Python would not notice who is gone."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    command = " ".join([sys.executable, "-m", "pausectl", *map(str, verify(demo, "--json"))])
    shell = f"({command}; echo $? >&2) | (read line; echo $line)"
    done = subprocess.run(
        ["/bin/bash", "-c", shell], capture_output=True, text=True, check=False, timeout=60, env=environment
    )
    assert (done.stdout, done.stderr) == ("{\n", "141\n")


def test_a_full_disk_is_no_verdict(demo):
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "pausectl", *map(str, verify(demo, "--json"))]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert done.returncode == 5
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_stdout_at_all_does_not_change_the_verdict(demo):
    command = " ".join([sys.executable, "-m", "pausectl", *map(str, verify(demo, "--lab", "aurora"))])
    done = subprocess.run(
        ["/bin/sh", "-c", f"{command} >&-"], stderr=subprocess.PIPE, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


# ── light ──


def loaded(*arguments: str) -> set[str]:
    """Modules that a command line imports, packages of ours to the second level."""
    command = [sys.executable, "-X", "importtime", "-m", "pausectl", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    names = (line.rsplit("|")[-1].strip().split(".") for line in done.stderr.splitlines())
    return {".".join(name[: 2 if name[0] == "pausectl" else 1]) for name in names}


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"]])
def test_help_and_version_load_no_party(arguments):
    assert not loaded(*arguments) & HEAVY


def test_help_lists_every_command_and_the_exit_codes(run):
    for flag in ("-h", "--help"):
        done = run(flag)
        assert done.code == 0
        assert all(f"  {name} " in done.out for name in COMMANDS)
        assert "5 internal error" in " ".join(done.out.split())
    assert "0.1.0" in run("--version").out


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_help_and_says_what_the_table_says(run, name):
    done = run(name, "-h")
    assert done.code == 0
    assert done.out.startswith(f"Usage: pausectl {name}")
    assert COMMANDS[name][1].split()[0] in done.out


def test_help_is_quick(spawn):
    started = time.monotonic()
    spawn("--help")
    assert time.monotonic() - started < 2
