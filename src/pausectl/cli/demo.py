# SPDX-License-Identifier: Apache-2.0
"""For newcomers: the whole way of a claim, in ten seconds."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import click

from pausectl.cli.files import fresh, naming
from pausectl.errors import UsageFault
from pausectl.history.source import open_source
from pausectl.report import terminal
from pausectl.sim.demo import stage
from pausectl.sim.network import prepare
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


NETWORK = """\
An agreement, a log, two witnesses, and keys for them, a mirror and an intake party are in {home}; nothing runs yet.
The keys in {home}/keys are not encrypted and not secret: they protect nothing.

Each of these in a terminal of its own:
  pausectl witness serve {home}/wharf --key {home}/keys/wharf.key --listen 127.0.0.1:8101
  pausectl witness serve {home}/xylem --key {home}/keys/xylem.key --listen 127.0.0.1:8102
  pausectl log serve {home}/log --key {home}/keys/ledgerco.key --listen 127.0.0.1:8100 \\
      --witness http://127.0.0.1:8101 --witness http://127.0.0.1:8102 --mirror http://127.0.0.1:8103
  pausectl mirror http://127.0.0.1:8100 {home}/pool --agreement {home}/agreement.json --key {home}/keys/pool.key \\
      --listen 127.0.0.1:8103

Then bind a lab, and ask the mirror:
  pausectl lab attest accession {home}/accession.json --agreement {home}/agreement.json --key {home}/keys/aurora.key \\
      --ledger http://127.0.0.1:8100 -o {home}/accession.envelope
  pausectl lab submit {home}/accession.envelope --url http://127.0.0.1:8100
  pausectl verify http://127.0.0.1:8103 --agreement {home}/agreement.json"""


@click.command()
@click.option(
    "--dir", "home", type=click.Path(path_type=Path), help="Where to leave it; a temporary directory by default."
)
@click.option("--network", is_flag=True, help="Play nothing: leave what a real log with its witnesses starts from.")
def demo(home: Path | None, network: bool) -> int:
    """Play a pause with three labs, one honest, and catch the others."""
    home = home or Path(tempfile.mkdtemp(prefix="pausectl-demo-")) / "demo"
    fresh(home)
    if network:
        with naming(home):
            prepare(home, int(time.time()))
        click.echo(NETWORK.format(home=home))
        return 0
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
