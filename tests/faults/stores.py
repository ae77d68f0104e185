# SPDX-License-Identifier: Apache-2.0
"""Two processes on one store in PostgreSQL, S3 or both, of which one is killed again and again.

The trials are those of tests/log/test_two_writers.py, run more often; the servers are real, and started by it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from laboratory import Verdict
from tally import Skipped, Tally

_TEST = Path(__file__).resolve().parent.parent / "log" / "test_two_writers.py"
_SAID = re.compile(r"(\d+) kills, (\d+) acknowledged and there, \d+ entries, (\d+) checkpoints seen, (\d+) times given")


def two(scratch: Path, trials: int, _: int, **__: Any) -> Tally:
    """`trials` kills on each kind of store."""
    tally = Tally("two processes on PostgreSQL, S3 or both")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-rs",
        "-p",
        "no:cacheprovider",
        f"--basetemp={scratch / 'pytest'}",
    ]
    command += [str(_TEST), "-k", "test_two_processes_on_one_store"]
    kills = {**os.environ, "PAUSECTL_KILLS": str(trials)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=kills, cwd=_TEST.parents[2])
    for count, acks, seen, given_up in _SAID.findall(done.stdout):
        tally.trials += int(count)
        tally.acks += int(acks)
        tally.seen += int(seen)
        tally.count("times given up", int(given_up))
    for reason in re.findall(r"^SKIPPED \[\d+\] \S+ (.*)$", done.stdout, re.MULTILINE):
        tally.note = f"skipped: {reason}"
    if done.returncode or not tally.trials:
        if tally.note and not done.returncode:
            raise Skipped(tally.note.removeprefix("skipped: "))
        tally.trial(Verdict(wrong=[done.stdout[-1500:]]), about="tests/log/test_two_writers.py")
    tally.seconds = time.monotonic() - tally.started
    return tally
