# SPDX-License-Identifier: Apache-2.0
"""For researchers: play a cheat."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pausectl.cli.files import fresh
from pausectl.errors import PausectlError, UsageFault
from pausectl.report import terminal
from pausectl.report.json import render
from pausectl.sim.evasions import evasions
from pausectl.sim.play import catch, export


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option("--dir", "directory", type=click.Path(path_type=Path), help="Also leave the log and its agreement here.")
def sim(name: str | None, as_json: bool, directory: Path | None) -> int:
    """Play the cheat NAME and judge its world; without NAME, list all cheats and what catches them."""
    known = evasions()
    if name is None:
        rows = [{"name": n, "cheat": e.cheat, "caught_by": e.caught_by, "outcome": e.outcome} for n, e in known.items()]
        lines = [f"{n:42} {e.caught_by or 'nothing: a declared blind spot'}" for n, e in known.items()]
        click.echo(json.dumps(rows, indent=1) if as_json else "\n".join(lines))
        return 0
    if name not in known:
        raise UsageFault(f"no cheat is called {name}", hint="'pausectl sim' lists them")
    evasion = known[name]
    if directory is not None:
        fresh(directory)
    world = evasion.build()
    if directory is not None:
        try:
            export(world, directory)
        except OSError as error:
            raise UsageFault(f"cannot be written: {error.strerror}", where=str(directory)) from error
    try:
        report = catch(evasion, world)
    except PausectlError as error:
        click.echo(f"{evasion.cheat} Caught by {evasion.caught_by}:", err=True)
        raise error from None
    click.echo(json.dumps(render(report), indent=1) if as_json else f"{evasion.cheat}\n\n{terminal.render(report)}")
    return report.exit_code
