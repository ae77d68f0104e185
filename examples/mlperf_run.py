# SPDX-License-Identifier: Apache-2.0
"""For mlperf.py, and all that is particular to one run: where it is read, by what it is judged, what is said about it.

Whoever follows with telemetry of her own changes this file. Each number that is not read says where it comes from.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from pausectl.agreement.document import Agreement
from pausectl.agreement.types import instant
from pausectl.errors import Malformed, UsageFault
from pausectl.lab import table, vault
from pausectl.sim import terms
from pausectl.sim.terms import limits, ratio
from pausectl.sim.world import World, digest
from pausectl.wire.rows import milliwatts
from pausectl.wire.seal import Commitment

RUN_ID = "v4.0/smc-ac-power/64xSMC-H100-SXM-80GB/gpt3/result_5848-240517221859825376616_2"
POWER = ("run_id", "node", "time_ms", "watts")

LAB, SITE, SKU, NAME = "aurora", "aurora-1", "h100-sxm", "gpt3-5848"
ROLL = terms.Roll(labs={LAB: (SITE,)})  # and overseers, witnesses, an evaluator, a meter, a log: each with its own key
KEYS = {name: terms.demo_key(name) for name in terms.names(ROLL)}

PRECISION = "fp8"  # the submitter's own log: fp8 true, fp8_hybrid true
PARAMETERS = 175e9
# 6ND leaves out causal attention: 6·L·d·s operations a token, 1.4 % with 96 layers of width 12,288 and s = 2,048.
ATTENTION = 1.014
# It leaves out evaluation, too: 24 passes within the run, so our number may be this far off.
EVALUATION_PFLOP = 97_000


class Trained(NamedTuple):
    """The run as runs.csv has it: Unix milliseconds, counts, and the submitter's own total of its energy."""

    start_ms: int
    stop_ms: int
    accelerators: int
    tokens: int
    own_kwh: float

    @property
    def start(self) -> int:
        """POSIX seconds at which its window begins: the run, rounded outward to whole seconds."""
        return self.start_ms // 1000

    @property
    def end(self) -> int:
        """POSIX seconds at which its window ends."""
        return -(-self.stop_ms // 1000)

    @property
    def accelerator_seconds(self) -> int:
        """What the run used."""
        return self.accelerators * (self.stop_ms - self.start_ms) // 1000

    @property
    def pflop(self) -> int:
        """What it did, by its architecture, in 10^15 operations."""
        return round(6 * PARAMETERS * self.tokens * ATTENTION / 1e15)


# ── where it is read ──


def read_run(path: Path) -> Trained:
    """The run's line of runs.csv."""
    row = next((row for row in _csv(path) if row["run_id"] == RUN_ID), None)
    if row is None:
        raise UsageFault(f"no run {RUN_ID}", where=str(path))
    accelerators = int(row["number_of_nodes"]) * int(row["accelerators_per_node"])
    own_kwh = float(row["total_power_txt"].split()[-2])  # "Total Power Usage: 415.22 kWh"
    return Trained(int(row["run_start"]), int(row["run_stop"]), accelerators, int(row["train_samples"]), own_kwh)


def read_power(path: Path) -> table.Readings:
    """Node → its readings, in Unix milliseconds and milliwatts."""
    readings: table.Readings = {}
    for row in _parquet(path / "power_readings.parquet") if path.is_dir() else _csv(path):
        try:
            if row["run_id"] == RUN_ID:
                readings.setdefault(row["node"], []).append((int(row["time_ms"]), milliwatts(float(row["watts"]))))
        except (KeyError, TypeError, ValueError) as error:
            raise Malformed(f"expected {', '.join(POWER)}, found {row}", where=str(path)) from error
    if not readings:
        raise UsageFault(f"no reading of run {RUN_ID}", where=str(path))
    return readings


def _csv(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            yield from csv.DictReader(file)
    except OSError as error:
        raise UsageFault(f"cannot be read: {error.strerror}", where=str(path)) from error


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    try:
        yield from import_module("pausectl.lab.parquet").records(path, POWER)
    except ImportError as error:
        raise UsageFault("Parquet needs the extra 'lab'", hint="pip install 'pausectl[lab]', or give a CSV") from error


# ── by what it is judged ──


def agreement(run: Trained) -> Agreement:
    """The terms, signed by their signatories."""
    return terms.agree(ROLL, KEYS, **particulars(run))


def particulars(run: Trained) -> dict[str, Any]:
    """Where these terms differ from the example in `sim.terms`; the goal is 0.4 runs, to be registered is 0.08."""
    usual = terms.terms(ROLL, {name: key.public for name, key in KEYS.items()})
    power = usual["power"] | {
        # 6.85 of the 10.2 kW that a node is rated for, as measured in the *next* run of that site (5849): calibrated on
        # its own readings, a run would balance whatever it did.
        "fractions": usual["power"]["fractions"] | {"pretrain": ratio(67)},
        # Read at each node's supply: nothing lies between meter and server, and there is no PUE to be unsure of.
        "it_factor": ratio(100),
        "sigma_pue": ratio(0),
    }
    return {
        "hardware": [terms.HARDWARE[0]],
        "limits": {"ARMED": limits(None, None, None), "PAUSED": limits(total=2_000_000, training=100_000, run=200_000)},
        "power": power,
        "statistics": usual["statistics"] | {"goal_pflop": 500_000, "registration_pflop": 100_000},
        "windows": {"anchor_at": instant(run.start), "length_seconds": run.end - run.start},
    }


# ── what is said about it ──


def registration(run: Trained, precision: str) -> dict[str, Any]:
    """The run, announced; names of code and data are all that is published of them."""
    return {
        "accelerator_count": run.accelerators, "actual_accelerator_seconds": None, "actual_pflop": None,
        "actual_uncertainty_pflop": None, "code_commit": "mlcommons/training_results_v4.0 6fe954378efe",
        "dataset_digests": [digest("C4 as MLPerf prepared it")], "end_at": instant(run.end), "method": "architecture",
        "parent_models": [], "planned_pflop": run.pflop, "precision": precision, "run_id": NAME, "sku": SKU,
        "start_at": instant(run.start), "status": "registered",
    }  # fmt: skip


def closing(run: Trained, precision: str) -> dict[str, Any]:
    """The run, over."""
    return registration(run, precision) | {
        "actual_accelerator_seconds": run.accelerator_seconds,
        "actual_pflop": run.pflop,
        "actual_uncertainty_pflop": EVALUATION_PFLOP,
        "status": "closed",
    }


def inventory(run: Trained) -> dict[str, Any]:
    """What stood there all the time."""
    held = {"installed_count": run.accelerators, "retired_count": 0, "sealed_count": 0, "spare_count": 0}
    stock = {"beginning": held, "ending": held, "moves": [], "serials_root": digest("not published"), "sku": SKU}
    return {"facility": SITE, "location_class": "own", "seal_ids": [], "stock": [stock]}


def usage(world: World, run: Trained, precision: str, commitment: Commitment) -> dict[str, Any]:
    """Every accelerator-second in a category. Evaluation within the run counts as training, the stricter side."""
    spent, whole = run.accelerator_seconds, run.accelerators * (run.end - run.start)
    training = {
        "accelerator_seconds": spent, "category": "pretrain", "energy_wh": watt_hours(commitment),
        "precision": precision, "sku": SKU, "tokens_count": run.tokens,
    }  # fmt: skip
    idle = {
        "accelerator_seconds": whole - spent, "category": "idle", "energy_wh": None,
        "precision": None, "sku": SKU, "tokens_count": None,
    }  # fmt: skip
    return {
        "bookings": [{"accelerator_seconds": spent, "precision": precision, "run_id": NAME, "sku": SKU}],
        "facility": SITE,
        "heads": world.heads(LAB, [(LAB, stream) for stream in world.lab_streams]),
        "leases_in": [],
        "telemetry": vault.telemetry(commitment),
        "work": [training, idle],
    }


def energy(run: Trained, commitment: Commitment) -> dict[str, Any]:
    """The meter's own book. Here it is made of the same readings: that both agree shows arithmetic, and no more."""
    return {
        "energy_wh": watt_hours(commitment), "facility": SITE, "interval_end_at": instant(run.end),
        "interval_start_at": instant(run.start), "lab": LAB, "meter_class": "not published",
        "meter_id": "node supplies", "non_ai_energy_wh": 0, "onsite_generation_energy_wh": 0, "pue": ratio(100),
        "storage_change_energy_wh": 0,
    }  # fmt: skip


def watt_hours(commitment: Commitment) -> int:
    """Energy of the sealed rows. The silence at the edges is not in it: 0.07 %, where the meter is given 0.2 %."""
    return round(commitment.sums.energy_mj / 3_600_000)
