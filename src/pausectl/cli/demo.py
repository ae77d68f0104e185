# SPDX-License-Identifier: Apache-2.0
"""For newcomers: the whole way of a claim, in ten seconds."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from pausectl.cli.files import fresh
from pausectl.errors import UsageFault
from pausectl.history.source import open_source
from pausectl.report import terminal
from pausectl.sim.demo import stage
from pausectl.verify.audit import verify

NEXT = """
Try next:
  pausectl verify {log} --agreement {agreement} --json
  pausectl verify {log} --agreement {agreement} --lab borealis
  pausectl explain CAP-2
  pausectl bundle {log} --agreement {agreement} -o demo.zip
  pausectl verify demo.zip --agreement {agreement} --offline
  pausectl log fsck {home} --agreement {agreement}
  pausectl sim"""


@click.command()
@click.option(
    "--dir", "home", type=click.Path(path_type=Path), help="Where to leave it; a temporary directory by default."
)
def demo(home: Path | None) -> int:
    """Play a pause with three labs, one honest, and catch the others."""
    home = home or Path(tempfile.mkdtemp(prefix="pausectl-demo-")) / "demo"
    fresh(home)
    try:
        world = stage(home)
    except OSError as error:
        raise UsageFault(f"cannot be written: {error.strerror}", where=str(home)) from error
    report = verify(open_source(str(home / "log")).fetch, world.agreement)
    click.echo("aurora keeps the pause. borealis trains on and says so. cirrus falls silent.")
    click.echo(f"The keys in {home / 'keys'} are not encrypted and not secret: they protect nothing.\n")
    click.echo(terminal.render(report))
    click.echo(NEXT.format(log=home / "log", agreement=home / "agreement.json", home=home))
    return 0
