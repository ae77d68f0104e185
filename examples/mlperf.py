# SPDX-License-Identifier: Apache-2.0
"""A real training run, sealed, attested and verified: GPT-3 175B on 512 H100, MLPerf Training v4.0.

    python examples/mlperf.py FOLDER       power_readings.parquet and runs.csv in it (needs the extra `lab`)
    python examples/mlperf.py POWER.csv    columns run_id,node,time_ms,watts; runs.csv beside it

The power of 64 nodes becomes one sealed commitment and the statements of a lab whose only run this was, under an
agreement with one window just as long. They are logged, cosigned and judged three times: as they are, with a pause in
force, and as if the run had been filed as BF16. Run and readings are real; the parties, their keys and clock are not.
"""

from __future__ import annotations

import secrets
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import fill

import mlperf_run
from mlperf_run import LAB, PRECISION, ROLL, SITE, SKU, Trained

from pausectl.accounting import compute
from pausectl.agreement.types import instant, seconds
from pausectl.errors import PausectlError, UsageFault
from pausectl.history.decode import decode
from pausectl.history.source import DirectorySource
from pausectl.lab import table
from pausectl.lab.vault import Vault
from pausectl.predicates.energy import Energy
from pausectl.predicates.inventory import Inventory
from pausectl.predicates.run import Run
from pausectl.predicates.usage import Usage
from pausectl.sim.demo import DurableLedger
from pausectl.sim.world import DAY, HOUR, World
from pausectl.verify.audit import Report, verify
from pausectl.verify.judge import Verdict
from pausectl.verify.quantities import peak
from pausectl.verify.rules.base import Outcome
from pausectl.wire.opening import open_row, parse_row_opening
from pausectl.wire.rows import device_id
from pausectl.wire.seal import Commitment, Context
from pausectl.wire.sealtree import Sums

MAX_GAP_MS = 5_000  # readings come every 2 s

#: What we tell → (is it paused, filed as which precision, the verdict, the rules that do not hold).
STORIES = {
    "ARMED": (False, PRECISION, Verdict.CONSISTENT, set[str]()),
    "PAUSED": (True, PRECISION, Verdict.INCONSISTENT, {"CAP-2", "CAP-3"}),
    "ARMED, filed as BF16": (False, "bf16", Verdict.INCONCLUSIVE, {"RUN-4"}),
}


def main(path: Path) -> int:
    run = mlperf_run.read_run((path if path.is_dir() else path.parent) / "runs.csv")
    readings = mlperf_run.read_power(path)
    with TemporaryDirectory() as place:
        vault = seal(Path(place, "vault"), mlperf_run.agreement(run).id, run, readings)
        commitment = vault.sealed.commitment
        good = True
        for number, (name, (paused, precision, verdict, rules)) in enumerate(STORIES.items()):
            report = tell(Path(place, str(number)), run, commitment, paused=paused, precision=precision)
            if number == 0:
                show_run(run, commitment, report)
                show_row(vault, report, {device_id(node): node for node in readings})
            good = (report.verdicts[LAB], show_verdict(name, report)) == (verdict, rules) and good
    return 0 if good else 1


# ── 1. seal: rows and secret stay in the lab's vault; what it will say of them is one hash and three sums ──


def seal(place: Path, agreement: str, run: Trained, readings: table.Readings) -> Vault:
    start_ms, end_ms = run.start * 1000, run.end * 1000
    rows = table.rows(readings, start_ms, end_ms, max_gap_ms=MAX_GAP_MS)
    context = Context(agreement, LAB, SITE, f"telemetry/{SITE}", start_ms, end_ms)
    return Vault.create(place, context, rows, secrets.token_bytes(32))


# ── 2. say it, log it, have it cosigned, and judge what the log serves ──


def tell(home: Path, run: Trained, commitment: Commitment, *, paused: bool, precision: str) -> Report:
    """From accession to verdict, in a log on disk with four witnesses, at the times when it would have happened."""
    world = World(roll=ROLL, changes=mlperf_run.particulars(run), open_ledger=partial(DurableLedger, home))
    world.accede(LAB)
    world.say(LAB, Run, mlperf_run.registration(run, precision))
    if paused:
        world.order("pause")
    world.until(run.start - 5 * DAY)
    world.say(LAB, Run, mlperf_run.closing(run, precision))
    world.until(run.stop_ms // 1000)  # witnesses count whole seconds: still within the window, and judged with it
    world.say(LAB, Inventory, mlperf_run.inventory(run), 0)
    world.say(LAB, Usage, mlperf_run.usage(world, run, precision, commitment), 0)
    world.say(ROLL.meter, Energy, mlperf_run.energy(run, commitment), 0)
    world.close_all(0)
    world.until(run.end + 6 * HOUR)
    world.until(run.end + 3 * DAY)  # a head of the day on which everything about the window is due
    return verify(DirectorySource(home / "log").fetch, world.agreement)


# ── 3. what it comes to ──


def show(label: str, text: str) -> None:
    print(fill(text, 118, initial_indent=f"{label:22}", subsequent_indent=" " * 22))


def show_run(run: Trained, commitment: Commitment, report: Report) -> None:
    sums, spent, caps = commitment.sums, run.accelerator_seconds, report.agreement.document.mfu.caps.value
    idle = run.accelerators * (run.end - run.start) - spent
    kwh, silent = sums.energy_mj / 3.6e9, sums.gap_ms / (sums.gap_ms + sums.duration_ms)
    at_peak = {precision: spent * peak(report.agreement, SKU, precision) for precision in (PRECISION, "bf16")}
    used = {precision: float(compute.utilisation(run.pflop, gflop)) for precision, gflop in at_peak.items()}
    counted = compute.ceil(compute.pflop(at_peak[PRECISION], caps))
    show("window", f"{instant(run.start)} to {instant(run.end)}, {run.end - run.start:,} s")
    show("sealed", f"{commitment.rows_count:,} rows, {commitment.blocks_count} blocks, seal {commitment.seal_id.hex()}")
    show(
        "energy", f"{kwh:.4f} kWh by trapezoid; the submitter's own file: {run.own_kwh} ({kwh / run.own_kwh - 1:+.4%})"
    )
    show("", f"{silent:.3%} of the time has no reading on one of its sides: a gap, not a guess")
    show("accelerator-seconds", f"{spent:,} in the run, {idle} idle beside it")
    show("compute", f"{run.pflop:,} pflop by 6ND and attention")
    show("", f"{counted:,} pflop by time x {PRECISION} peak x {float(caps):g}, which is what limits count")
    show(
        "utilisation", f"{used[PRECISION]:.3f} of the {PRECISION} peak; of the bf16 peak it would be {used['bf16']:.3f}"
    )
    balance = next(finding.message for finding in report.judgement.findings if finding.rule == "ENG-2")
    show("energy against work", balance)


def show_verdict(name: str, report: Report) -> set[str]:
    """Print it; the rules that do not hold."""
    doubts = [f for f in report.judgement.findings if f.outcome in (Outcome.VIOLATED, Outcome.UNPROVEN)]
    held = sum(finding.outcome is Outcome.HOLDS for finding in report.judgement.findings)
    show(name, f"{report.verdicts[LAB]}: {held} checks hold, {len(doubts)} do not")
    for finding in doubts:
        show("", f"{finding.rule} {finding.outcome}: {finding.message}")
    return {finding.rule for finding in doubts}


def show_row(vault: Vault, report: Report, nodes: dict[bytes, str]) -> None:
    """Open a row, as JSON, and check it against the log alone."""
    index = len(vault.rows) // 2
    row = open_row(logged(report), parse_row_opening(vault.open_row(index)))
    power = "no reading" if row.power_mw is None else f"{row.power_mw / 1000:,.3f} W"
    energy = "energy unknown" if row.energy_mj is None else f"{row.energy_mj / 1000:,.3f} J"
    at = datetime.fromtimestamp(row.end_ms / 1000, UTC).isoformat(timespec="milliseconds")
    show(f"row {index:,} opened", f"{nodes[row.device]}: {power} at {at}, {energy} in {row.end_ms - row.start_ms} ms")
    show("", "proves that this was in the seal that the log has; shows no other row, nor that the sums of its block are"
             " those of its rows, nor that no row is missing, nor that the meter told the truth")  # fmt: skip


def logged(report: Report) -> Commitment:
    """The commitment as the usage statement in the ledger has it; nothing here comes from the lab's files."""
    claims = (decode(raw, report.agreement.keys).claim for _, raw in report.ledger.entries())
    usage = next(claim for claim in claims if isinstance(claim, Usage))
    header, seal = usage.header, usage.telemetry
    if header.window is None or seal is None:
        raise UsageFault("the usage statement carries no seal")
    start_ms, end_ms = seconds(header.window.start_at) * 1000, seconds(header.window.end_at) * 1000
    stream = f"telemetry/{usage.facility}"
    context = Context(header.agreement, header.party, usage.facility, stream, start_ms, end_ms, seal.block_rows)
    sums = Sums(int(seal.energy_mj), int(seal.duration_ms), int(seal.gap_ms))
    return Commitment(context, seal.rows_count, sums, bytes.fromhex(seal.seal_root))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        sys.exit(main(Path(sys.argv[1])))
    except PausectlError as error:
        print(f"error: {error}\n{error.hint}".rstrip(), file=sys.stderr)
        sys.exit(error.exit_code)
