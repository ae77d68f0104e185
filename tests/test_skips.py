# SPDX-License-Identifier: Apache-2.0
"""A test may be skipped for want of what a machine cannot have, and of nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / ".ci" / "skips.py"


@pytest.fixture
def say(tmp_path):
    """Run the script over tests skipped for these reasons, on a machine with these programs."""

    def run(*reasons: str, programs=(), options=()):
        cases = "".join(f'<testcase><skipped type="pytest.skip" message="{reason}"/></testcase>' for reason in reasons)
        (tmp_path / "junit.xml").write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
        (tmp_path / "bin").mkdir(exist_ok=True)
        for name in programs:
            (tmp_path / "bin" / name).write_text("#!/bin/sh\n")
            (tmp_path / "bin" / name).chmod(0o755)
        command = [sys.executable, str(SCRIPT), str(tmp_path / "junit.xml"), *options]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, env={"PATH": str(tmp_path / "bin")}, timeout=30
        )

    return run


def test_reasons_are_counted(say):
    done = say("not root", "not root", "package index unreachable")
    assert (done.returncode, done.stdout) == (0, "skipped 3: not root x2; package index unreachable x1\n")
    assert say().stdout == "skipped 0: nothing\n"


@pytest.mark.parametrize(
    ("reason", "program"),
    [("go peer absent: fsck", "go"), ("npm peer absent: x", "npm"), ("MinIO is absent (x)", "go")],
)
def test_a_peer_may_be_absent_only_with_its_toolchain(say, reason, program):
    assert say(reason).returncode == 0
    done = say(reason, programs=[program])
    assert done.returncode == 1
    assert f"skipped without need: {reason}" in done.stderr


def test_shared_data_may_be_absent_only_where_there_is_none(say):
    assert say("shared data absent: vectors").returncode == 0
    assert say("shared data absent: vectors", options=["--shared"]).returncode == 1
