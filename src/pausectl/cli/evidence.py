# SPDX-License-Identifier: Apache-2.0
"""For strangers: does this file show that a log signed two histories?"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import click

from pausectl.cli.files import load_agreement, naming, read
from pausectl.errors import Malformed, UsageFault
from pausectl.report.inert import safe
from pausectl.wire import evidence as wire
from pausectl.wire import note
from pausectl.wire.evidence import Evidence
from pausectl.wire.keys import base64
from pausectl.wire.note import VerifierKey


@click.group()
def evidence() -> None:
    """Check a file that says that a log signed two histories."""


@evidence.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--agreement", "agreement_file", type=click.Path(path_type=Path), help="The agreement that names the log."
)
@click.option("--vkey", help="The log's verifier key, where there is no agreement.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def check(file: Path, agreement_file: Path | None, vkey: str | None, as_json: bool) -> int:
    """Check FILE with nothing but the log's key; exit code 0 if it convicts the log, 4 if it shows nothing."""
    if (agreement_file is None) == (vkey is None):
        raise UsageFault("expected either --agreement or --vkey")
    raw = read(file, wire.MAX_BYTES)
    with naming(file):
        told = wire.parse(raw)
        keys = log_keys(agreement_file, vkey, told)
        wire.check(told, *keys)
    click.echo(json.dumps(_json(told), indent=1) if as_json else _text(told))
    return 0


def log_keys(agreement_file: Path | None, vkey: str | None, told: Evidence) -> tuple[VerifierKey, ...]:
    """The keys of the log in question, of the agreement or else `vkey`; the origin says which of the agreement's logs.

    The ML-DSA-44 key in the evidence counts if the agreement names its digest for that log.
    """
    if agreement_file is None:
        return (parse_log_key(vkey or ""),)
    agreement = load_agreement(agreement_file)
    named = hashlib.sha256(told.key).hexdigest() in agreement.pinned
    return agreement.resolve([told.key] if named else []).of_log(told.checkpoints[0].origin).log_pair


def parse_log_key(vkey: str) -> VerifierKey:
    """A log's verifier key as it stands on a command line."""
    try:
        key = note.parse_vkey(vkey)
    except Malformed as error:
        raise UsageFault(str(error), where="--vkey") from error
    if key.type != note.TYPE_ED25519:
        raise UsageFault(f"expected the key of a log (type 0x01), found type 0x{key.type:02x}", where="--vkey")
    return key


def _json(told: Evidence) -> dict[str, object]:
    both = zip(told.checkpoints, told.got, strict=True)
    return {
        "origin": told.checkpoints[0].origin,
        "signed": [{"size": each.size, "root": base64(each.root), "got": got} for each, got in both],
        "begins_with": base64(told.root) if told.root else None,
    }


def _text(told: Evidence) -> str:
    small, large = told.checkpoints
    lines = [f"{safe(small.origin)} signed two histories:"]
    for each, got in zip(told.checkpoints, told.got, strict=True):
        lines.append(f"  {each.size} entries, root {base64(each.root)}  (said to be from {safe(got) or 'nowhere'})")
    if told.root:
        lines.append(f"  but the tree of {large.size} begins with {small.size} entries of root {base64(told.root)}")
    return "\n".join(lines)
