# SPDX-License-Identifier: Apache-2.0
"""For whoever reads: verify and bundle."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Any

import click

from pausectl.cli.files import agreement_option, load_agreement, moment, naming, read, write
from pausectl.errors import PausectlError, SplitView, UsageFault
from pausectl.history import bundle as pocket
from pausectl.history.reader import open_ledger
from pausectl.history.source import open_source
from pausectl.report import terminal
from pausectl.report.json import render
from pausectl.verify import audit
from pausectl.verify.resume import Resumption


@click.command()
@click.argument("source")
@agreement_option
@click.option(
    "--before", multiple=True, metavar="SOURCE", help="A log that this one succeeded, back to the agreement's first."
)
@click.option("--lab", help="Report on this lab only.")
@click.option("--at", "at", metavar="TIME", help="Judge as of this instant instead of that of the newest checkpoint.")
@click.option(
    "--seen", multiple=True, type=click.Path(path_type=Path),
    help="A checkpoint got elsewhere; the ledger must be consistent with it.",
)  # fmt: skip
@click.option(
    "--state", "state_file", type=click.Path(path_type=Path), help="Go on from here, and save the state here."
)
@click.option(
    "--evidence", "evidence_file", type=click.Path(path_type=Path),
    help="If the log signed two histories, write here what convicts it.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option("--offline", is_flag=True, help="Refuse to open a socket.")
@click.option("--jobs", type=click.IntRange(1, 256), help="Processes for large ledgers; as many as there are cores.")
def verify(as_json: bool, evidence_file: Path | None, **options: Any) -> int:  # noqa: ANN401
    """Judge the ledger at SOURCE: a log directory, a bundle, or a URL."""
    try:
        report = _verify(**options)
    except PausectlError as error:
        if evidence_file is not None and isinstance(error, SplitView) and error.evidence:
            write(evidence_file, error.evidence, replace=True)
            error.hint = f"{evidence_file} convicts the log; 'pausectl evidence check' shows it to anyone"
        if as_json:
            click.echo(json.dumps({"error": {"code": error.exit_code, "message": str(error), "hint": error.hint}}))
        raise
    click.echo(json.dumps(render(report), indent=1) if as_json else terminal.render(report))
    return report.exit_code


def _verify(  # noqa: PLR0913 - one for each option
    *,
    source: str,
    agreement_file: Path,
    before: tuple[str, ...],
    lab: str | None,
    at: str | None,
    seen: tuple[Path, ...],
    state_file: Path | None,
    offline: bool,
    jobs: int | None,
) -> audit.Report:
    agreement = load_agreement(agreement_file)
    if lab is not None and lab not in agreement.labs:
        raise UsageFault(f"no lab of the agreement is called {lab}", hint=f"there are {', '.join(agreement.labs)}")
    gc.set_threshold(100_000)  # walking the statements again and again costs a quarter of the time; cycles are few
    place, older = open_source(source, offline=offline), [open_source(each, offline=offline) for each in before]
    state = None
    if state_file:
        state = Resumption(read(state_file, 1 << 30) if state_file.exists() else None, name=str(state_file))
    as_of, known = moment(at) if at is not None else None, [(str(path), read(path)) for path in seen]
    with naming(place.name):
        report = audit.verify(
            place.fetch, agreement, before=[each.fetch for each in older], as_of=as_of, seen=known, lab=lab,
            jobs=jobs, resumption=state, progress=terminal.progress("verifying"),
        )  # fmt: skip
    if state_file and state and state.saved:
        write(state_file, state.saved, replace=True)
    return report


@click.command()
@click.argument("source")
@agreement_option
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Where the bundle goes.")
@click.option("--offline", is_flag=True, help="Refuse to open a socket.")
def bundle(source: str, agreement_file: Path, output: Path, offline: bool) -> int:
    """Copy the ledger at SOURCE into one zip, every byte checked on the way."""
    agreement, place = load_agreement(agreement_file), open_source(source, offline=offline)
    with naming(place.name):
        ledger = open_ledger(place.fetch, agreement)
        files = pocket.write(ledger, output, terminal.progress("copying"))
    click.echo(f"{output}: {ledger.size} entries in {files} files", err=True)
    return 0
