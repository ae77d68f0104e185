# SPDX-License-Identifier: Apache-2.0
"""A few trials of every fault, and the proof that the trials can fail. `make faults` runs thousands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

RUN = [sys.executable, str(Path(__file__).resolve().parent / "run.py")]
GROUPS = {
    "kill -9": ["kill"],
    "power cuts": [
        "power-ext4", "power-xfs", "power-random-ext4", "power-random-xfs", "power-files-ext4", "power-files-xfs",
    ],
    "simulated power cuts": ["simulation"],
    "failing system calls": ["calls", "lost-sync-ext4", "lost-sync-xfs"],
    "no room": ["full-tmpfs", "full-ext4", "inodes-tmpfs", "inodes-ext4"],
    "damaged files": ["rot", "torn"],
    "several writers and late writes": ["writers", "writers-unlocked", "late"],
    "witnesses": ["witness-kill", "witness-power-ext4", "witness-power-xfs", "witnesses"],
    "a witness that many ask, and old databases": ["witness-races", "witness-restored"],
    "servers": ["serve", "serve-fsync", "serve-full", "partition"],
    "clocks": ["clock", "faketime"],
}  # fmt: skip


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*RUN, *options], capture_output=True, text=True, check=False, timeout=600)


@pytest.mark.parametrize("group", GROUPS)
def test_nothing_acknowledged_is_lost_and_no_checkpoint_taken_back(group):
    done = run("--few", *(word for name in GROUPS[group] for word in ("--only", name)))
    assert done.returncode == 0, done.stdout + done.stderr
    ran = {line.split(":")[0] for line in done.stdout.splitlines() if re.match(r"\S+: \d+ trials, 0 failed", line)}
    skipped = re.findall(r"^(\S+): SKIPPED: (.*)$", done.stdout, re.MULTILINE)
    assert ran | {name for name, _ in skipped} == set(GROUPS[group])
    if not ran:
        pytest.skip(skipped[0][1])


def test_every_fault_is_tried_here_or_elsewhere():
    here = [name for names in GROUPS.values() for name in names]
    assert [name for name in run("--list").stdout.split() if name != "stores"] == here  # log/test_two_writers.py


def test_sabotaged_programs_are_caught():
    done = run("--few", "--only", "sabotage")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "NOT CAUGHT" not in done.stdout
    assert int(re.search(r"(\d+) of \d+ sabotages caught", done.stdout)[1]) >= 7, done.stdout
