# SPDX-License-Identifier: Apache-2.0
"""A network in one folder, ready to run: an agreement and everybody's keys, a log, and the memories of two witnesses.

    net/agreement.json  net/accession.json  net/keys/*.key  net/log/  net/wharf/  net/xylem/

Unlike the demonstration nothing is played here: the processes are real, and so is the clock. Its agreement has windows
of a week, of which one is over, so that there is something to file.
"""

from __future__ import annotations

import json
from pathlib import Path

from pausectl.agreement.document import Agreement
from pausectl.agreement.types import instant
from pausectl.errors import UsageFault
from pausectl.log.log import Log
from pausectl.sim import terms
from pausectl.sim.demo import write_keys
from pausectl.sim.terms import WEEK, Roll
from pausectl.witness.witness import Witness

ROLL = Roll(
    labs={"aurora": ("aurora-1",), "borealis": ("borealis-1",)},
    witnesses=("wharf", "xylem"),
    mirrors=("pool",),
    intake=("quay",),
)
#: What aurora accedes with: bound if another lab is, too.
ACCESSION = {
    "agreement_version": 1,
    "conditions": {
        "min_jurisdictions_count": 1,
        "min_parties_count": 2,
        "min_share": {"denominator": 100, "numerator": 50},
        "required_parties": [],
    },
    "frontier_h100e_count": 4096,
}
#: A Monday, 1970-01-05.
_MONDAY = 4 * 86_400


def prepare(home: Path, now: int) -> Agreement:
    """Make everything in `home`, which is missing or empty; now: POSIX seconds. The agreement that holds there."""
    if home.exists() and any(home.iterdir()):
        raise UsageFault("exists already and is not empty", where=str(home), hint="name another --dir, or remove it")
    keys = {name: terms.demo_key(name) for name in terms.names(ROLL)}
    this_week = (now - _MONDAY) // WEEK * WEEK + _MONDAY
    windows = {"anchor_at": instant(this_week - WEEK), "length_seconds": WEEK}
    agreement = terms.agree(ROLL, keys, windows=windows)
    home.mkdir(parents=True, exist_ok=True)
    (home / "agreement.json").write_bytes(agreement.raw + b"\n")
    (home / "accession.json").write_text(json.dumps(ACCESSION, indent=2) + "\n")
    write_keys(home / "keys", agreement, keys)
    Log.create(home / "log", agreement, keys[ROLL.log], now).close()
    for name in ROLL.witnesses:
        cosigners = [(agreement.witness_keys[name].name, keys[name])]
        Witness.init(home / name, cosigners)
        with Witness.open(home / name, cosigners) as witness:
            witness.add_log([agreement.log_key])
    return agreement
