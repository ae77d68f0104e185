# SPDX-License-Identifier: Apache-2.0
"""The clock steps back and forth, stands still, and is years away: times of cosignatures and marks never fall."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from laboratory import AGREEMENT, KEYS, ROLL, SIGNER, START, Shelf, Verdict, dice, entry, judge, ledger, told, witnesses
from tally import Skipped, Tally

from pausectl.errors import PausectlError, Unavailable
from pausectl.history.decode import decode
from pausectl.history.reader import sight
from pausectl.log.log import Log
from pausectl.predicates.checkpoint import Mark
from pausectl.wire import keyfile

_DAY = 86_400
_STEPS = (-10 * 365 * _DAY, -_DAY, -3600, -1, 0, 0, 1, 60, 3600, _DAY, 10 * 365 * _DAY)


def clock(scratch: Path, trials: int, seed: int, *, stop: bool = False, **_: Any) -> Tally:
    """A log and its witnesses tell the time by clocks that step, the witnesses' each by itself."""
    tally, shelf = Tally("clock steps back and forth", stop), Shelf(scratch)
    for trial in range(trials):
        chance = dice(f"{seed}/{trial}")
        home, memory = shelf.home(scratch / "home", 3), scratch / "ws"
        shutil.rmtree(memory, ignore_errors=True)
        now, acks, seen, times = START + 10 * _DAY, [], [], []
        with Log.open(home, SIGNER) as log:
            for number in range(8):
                now = max(1, now + chance.choice(_STEPS))
                skew = chance.choice((0, 0, 0, 30, 7200, -7200))
                acks.append(told(number, log.add([entry(number)])[0]))
                asked = witnesses(memory, lambda now=now, skew=skew: max(1, now + skew))
                with contextlib.suppress(Unavailable):
                    log.cosign(asked, now)
                tally.count("complaints of witnesses", len(log.complaints))
                seen.append(log.checkpoint)
                with contextlib.suppress(PausectlError):
                    times.append(sight(log.checkpoint, AGREEMENT).by)
        verdict = judge(home, acks, seen)
        _monotone(verdict, home, times)
        tally.acks, tally.seen = tally.acks + len(acks), tally.seen + len(seen)
        tally.trial(verdict, about=f"seed {seed}, trial {trial}")
    tally.seconds = time.monotonic() - tally.started
    return tally


def _monotone(verdict: Verdict, home: Path, times: list[int]) -> None:
    if any(later < earlier for earlier, later in pairwise(times)):
        verdict.wrong.append(f"the time of what is published fell: {times}")
    marked = []
    for raw in ledger(home, (home / "state" / "head").read_bytes()):
        claim = decode(raw, AGREEMENT.keys).claim
        if isinstance(claim, Mark):
            marked.append(sight(claim.checkpoint.encode(), AGREEMENT))
    for earlier, later in pairwise(marked):
        if later.by < earlier.by or later.first < earlier.first:
            verdict.wrong.append("a mark fell behind the one before it")


def faketime(scratch: Path, trials: int, seed: int, *, stop: bool = False, **_: Any) -> Tally:
    """The same with whole processes, the command line's, under faketime: the clock of the system steps."""
    if shutil.which("faketime") is None:
        raise Skipped("faketime absent: run .ci/setup as root")
    tally, chance = Tally("clock of whole processes, by faketime", stop), dice(seed)
    home = Shelf(scratch).home(scratch / "home", 1)
    keys = _key_files(scratch)
    acks, seen, times, offset = [], [], [], 0
    for number in range(trials):
        offset += chance.choice((-_DAY, -3600, 3600, _DAY, 60, 0))
        (scratch / "entry").write_bytes(entry(number))
        command = [sys.executable, "-m", "pausectl", "log", "add", str(scratch / "entry"), "--log", str(home), *keys]
        done = subprocess.run(
            ["faketime", "-f", f"{offset:+d}s", *command], capture_output=True, text=True, check=False, timeout=120
        )
        verdict = Verdict()
        if done.returncode == 3 and "clock: expected" in done.stderr:
            tally.count("refused for the clock")
        elif done.returncode:
            verdict.wrong.append(f"ended with {done.returncode}: {done.stderr[-200:]}")
        with Log.open(home, SIGNER) as log:
            acks.append(told(number, log.add([entry(number)])[0]))
            seen.append(log.checkpoint)
        with contextlib.suppress(PausectlError):
            times.append(sight(seen[-1], AGREEMENT).by)
        _monotone(verdict, home, times)
        tally.trial(verdict, about=f"seed {seed}, trial {number}, offset {offset}")
    tally.trial(judge(home, acks, seen), about="the end")
    tally.acks, tally.seen = len(acks), len(seen)
    tally.seconds = time.monotonic() - tally.started
    return tally


def _key_files(scratch: Path) -> list[str]:
    """Key files of the log and its witnesses, as options."""
    options = []
    for name, key in {ROLL.log: "--key", **dict.fromkeys(AGREEMENT.witness_keys, "--witness")}.items():
        path = scratch / f"{name}.key"
        title = AGREEMENT.witness_keys[name].name if key == "--witness" else name
        path.write_bytes(keyfile.format_key(title, KEYS[name], passphrase=None, salt=b"", nonce=b""))
        path.chmod(0o600)
        options += [key, str(path)]
    return options
