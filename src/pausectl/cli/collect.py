# SPDX-License-Identifier: Apache-2.0
"""For a lab's engineer: numbers from the systems she runs, with the method behind them; nothing is signed here."""

from __future__ import annotations

import json

import click

from pausectl.cli.files import moment
from pausectl.errors import UsageFault
from pausectl.lab.collectors import base
from pausectl.report.inert import safe


@click.command()
@click.argument("name")
@click.argument("inputs", nargs=-1, required=True)
@click.option("--window", required=True, metavar="START/END", help="RFC 3339 instants in UTC; END is not in it.")
@click.option("--fields", metavar="NAMES", help="slurm: sacct's names of the columns, where the file has no header.")
@click.option("--delimiter", metavar="TEXT", help="slurm: between the columns, where it is not '|'.")
@click.option("--timezone", metavar="NAME", help="Of times without a zone, like Europe/Amsterdam. Default: UTC.")
@click.option("-O", "--option", "others", multiple=True, metavar="KEY=VALUE", help="Any other option of the collector.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def collect(
    name: str,
    inputs: tuple[str, ...],
    window: str,
    fields: str | None,
    delimiter: str | None,
    timezone: str | None,
    others: tuple[str, ...],
    as_json: bool,
) -> int:
    """Collect from INPUTS with the collector NAME: slurm, or what else is installed ('pausectl lab collectors')."""
    given = {"fields": fields, "delimiter": delimiter, "timezone": timezone}
    options = {key: value for key, value in given.items() if value is not None} | dict(map(_pair, others))
    collected = base.find(name)(inputs, _window(window), options)
    found = collected.json()
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return 0
    for key, value in found.items():
        if key not in {"method", "results"}:
            click.echo(f"{key}: {safe(json.dumps(value))}")
    for result in found.get("results", ()):
        click.echo(safe(json.dumps(result, ensure_ascii=False)))
    for gap in collected.method.gaps:
        click.echo(f"not known: {safe(gap)}", err=True)
    return 0


@click.command()
def collectors() -> int:
    """List the collectors that are installed, ours and others'."""
    for name in base.names():
        click.echo(name)
    return 0


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise UsageFault(f"-O: expected KEY=VALUE, found {text!r}")
    return key, value


def _window(text: str) -> base.Window:
    start, slash, end = text.partition("/")
    if not slash:
        raise UsageFault(f"--window: expected START/END, found {text!r}")
    window = base.Window(moment(start), moment(end))
    if window.end <= window.start:
        raise UsageFault(f"--window: expected an end after the start, found {text}")
    return window
