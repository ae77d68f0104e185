# SPDX-License-Identifier: Apache-2.0
"""For an intake party: init, serve, pending, export."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import click

from pausectl.cli.files import agreement_option, key_option, load_agreement, load_key, naming, write
from pausectl.cli.serving import limits, say, serving_options
from pausectl.cli.serving import serve as serve_doors
from pausectl.errors import UsageFault
from pausectl.history.reader import open_ledger
from pausectl.history.source import open_source
from pausectl.intake.courier import PATIENCE, Courier, waiting
from pausectl.intake.intake import FILE, Intake, counted, party_of
from pausectl.intake.memory import Memory

state_argument = click.argument("state", type=click.Path(path_type=Path))


@click.group()
def intake() -> None:
    """Give receipts for statements, and hand them on to the log: init, serve, pending, export."""


@intake.command()
@state_argument
@agreement_option
@key_option
@click.option("--ledger", help="The log as it stands, if this party gave receipts before: numbers go on after those.")
def init(state: Path, agreement_file: Path, key_file: Path, ledger: str | None) -> int:
    """Make an intake party's memory in STATE."""
    agreement, (_, key) = load_agreement(agreement_file), load_key(key_file)
    first = 0
    if ledger is not None:
        source = open_source(ledger)
        with naming(source.name):
            first = counted(open_ledger(source.fetch, agreement), party_of(agreement, [key]))
    with naming(state):
        Intake.create(state, agreement, [key], first=first)
    click.echo(f"{state / FILE}: the next receipt is number {first}", err=True)
    return 0


@intake.command()
@state_argument
@agreement_option
@key_option
@click.option("--log", "url", required=True, metavar="URL", help="The log, to which everything is handed on.")
@click.option(
    "--patience", type=click.IntRange(0), default=PATIENCE, show_default=True,
    help="Seconds after which a receipt is filed although the log has not taken its statement.",
)  # fmt: skip
@serving_options
def serve(  # noqa: PLR0913, PLR0917 - one for each option
    state: Path,
    agreement_file: Path,
    key_file: Path,
    url: str,
    patience: int,
    listen: str,
    rate: float,
    burst: int,
    proxies: tuple[str, ...],
) -> int:
    """Serve the intake party of STATE: POST /add for receipts, GET /pending for what the log has not taken."""
    agreement, (_, key), given = load_agreement(agreement_file), load_key(key_file), limits(rate, burst, proxies)
    server = import_module("pausectl.intake.server")
    with naming(state):
        opened = Intake.open(state, agreement, [key])
    with opened, Courier(opened, url, patience=patience, say=say) as courier:
        serve_doors(server.doors(opened, courier), listen, given)
    return 0


@intake.command()
@state_argument
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def pending(state: Path, as_json: bool) -> int:
    """List what the log has not taken, and since when; exit code 3 if there is anything."""
    with naming(state):
        memory = Memory(state / FILE, reading=True)
    found, count, (agreement, party) = waiting(memory), memory.count, memory.identity
    memory.close()
    if as_json:
        click.echo(json.dumps({"agreement": agreement, "party": party, "pending": found, "receipts": count}, indent=1))
    else:
        click.echo(import_module("pausectl.intake.server").plain(party, count, found), nl=False)
    return 3 if found else 0


@intake.command()
@state_argument
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="A directory, made if need be.")
@click.option("--all", "everything", is_flag=True, help="Also what the log has taken.")
def export(state: Path, output: Path, everything: bool) -> int:
    """Write what the log has not taken, and the receipts for it, as files that another log can be given."""
    with naming(state):
        memory = Memory(state / FILE, reading=True)
    if output.exists() and not output.is_dir():
        raise UsageFault("expected a directory", where=str(output))
    output.mkdir(parents=True, exist_ok=True)
    files = 0
    for row in memory.rows():
        for name, data, wanted in (
            (f"{row.number:06}-statement.envelope", row.entry, everything or row.taken is None),
            (f"{row.number:06}-receipt.envelope", row.receipt, everything or row.taken is None or row.filed is None),
        ):
            if wanted:
                write(output / name, data)
                files += 1
    memory.close()
    click.echo(f"{output}: {files} files", err=True)
    return 0
