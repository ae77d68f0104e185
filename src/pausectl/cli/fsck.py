# SPDX-License-Identifier: Apache-2.0
"""For whoever keeps or reads a log: is everything there, and is it what was signed?"""

from __future__ import annotations

import json
from pathlib import Path

import click

from pausectl.agreement.document import Agreement
from pausectl.cli.files import load_agreement
from pausectl.errors import UsageFault
from pausectl.log.fsck import Resume
from pausectl.log.fsck import fsck as survey
from pausectl.report import terminal
from pausectl.report.inert import safe
from pausectl.wire import note
from pausectl.wire.note import VerifierKey


@click.command()
@click.argument("place")
@click.option("--agreement", "agreement_file", type=click.Path(path_type=Path), help="The signed agreement you trust.")
@click.option("--vkey", help="Instead of an agreement, the key of a log that has none.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    help="Keep the place in this file, and go on from there after an interruption; it is removed in the end.",
)
@click.option("--jobs", type=click.IntRange(1, 256), help="Processes; as many as there are cores if not said.")
def fsck(
    place: str, agreement_file: Path | None, vkey: str | None, as_json: bool, resume: Path | None, jobs: int | None
) -> int:
    """Hash everything in PLACE again and list all damage; exit code 4 if there is any.

    PLACE is the directory of a log or a mirror, or the public part of one, a bundle or a URL; nothing is changed there.
    """
    trusted = _trusted(agreement_file, vkey)
    keeps = Resume(resume) if resume else None
    damage = survey(place, trusted, terminal.progress("checking"), jobs=jobs, resume=keeps)
    if as_json:
        found = [{"path": each.path, "index": each.index, "message": each.message} for each in damage]
        click.echo(json.dumps({"damage": found}, indent=1))
    else:
        for each in damage:
            entry = "" if each.index is None else f", entry {each.index}"
            click.echo(safe(f"{each.path}{entry}: {each.message}"))
        click.echo(f"{len(damage)} damaged" if damage else "sound", err=True)
    return 4 if damage else 0


def _trusted(agreement_file: Path | None, vkey: str | None) -> Agreement | VerifierKey:
    if agreement_file and vkey is None:
        return load_agreement(agreement_file)
    if vkey and agreement_file is None:
        return note.parse_vkey(vkey)
    raise UsageFault("expected either --agreement or --vkey", hint="the agreement that you trust, or the log's key")
