# SPDX-License-Identifier: Apache-2.0
"""For the operator of a witness: init, add-log, list, show, serve, and what to do with what speaks against a log."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from pausectl.agreement.types import instant
from pausectl.cli.files import key_option, load_key, naming, read, write
from pausectl.cli.serving import limits, serving_options
from pausectl.cli.serving import serve as serve_doors
from pausectl.errors import Malformed, UsageFault
from pausectl.report.inert import safe
from pausectl.wire import evidence as proof
from pausectl.wire import note
from pausectl.wire.keys import MLDSA44
from pausectl.wire.note import VerifierKey
from pausectl.witness.decision import Known
from pausectl.witness.memory import Kept
from pausectl.witness.witness import Cosigner, Witness, origin_hash

state_argument = click.argument("state", type=click.Path(path_type=Path))
mldsa_option = click.option(
    "--mldsa-key", "mldsa_file", type=click.Path(path_type=Path), help="Its ML-DSA-44 key, of the same name."
)


@click.group()
def witness() -> None:
    """Run a witness: init, add-log, remove-log, list, show, serve, evidence, recover."""


@witness.command()
@state_argument
@key_option
@mldsa_option
@click.option(
    "--second", type=click.Path(path_type=Path), help="Where its second memory goes, on another disk: default STATE."
)
def init(state: Path, key_file: Path, mldsa_file: Path | None, second: Path | None) -> int:
    """Make the memory of a witness in STATE; again, nothing changes."""
    _init(state, load_cosigners(key_file, mldsa_file), second)
    return 0


def _init(state: Path, cosigners: list[Cosigner], second: Path | None = None) -> None:
    with naming(state):
        new, taken = Witness.init(state, cosigners, second=second)
    if new:
        told = f"remembers {len(taken)} logs that its second memory had" if taken else "remembers nothing yet"
        click.echo(f"{state}: a witness's memory, which {told}", err=True)


@witness.command(name="add-log")
@state_argument
@click.argument("vkey")
@click.option("--mldsa", "mldsa", metavar="VKEY", help="The log's ML-DSA-44 key, which then has to sign too.")
@click.option("--origin", default="", help="Its origin, if that is not the name of its key.")
def add_log(state: Path, vkey: str, mldsa: str | None, origin: str) -> int:
    """Witness the log of VKEY (a verifier key, or a file with one) from now on."""
    keys = [load_vkey(text) for text in (vkey, mldsa) if text]
    with naming(state), Witness.open(state) as opened:
        opened.add_log(keys, origin)
    return 0


@witness.command(name="remove-log")
@state_argument
@click.argument("origin")
def remove_log(state: Path, origin: str) -> int:
    """Witness the log of ORIGIN no more; what was cosigned of it is remembered."""
    with naming(state), Witness.open(state) as opened:
        opened.remove_log(origin)
    return 0


@witness.command(name="list")
@state_argument
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def list_logs(state: Path, as_json: bool) -> int:
    """The logs that are witnessed, and what was cosigned last of each."""
    with naming(state), Witness.open(state) as opened:
        found = [_told(opened, origin, keys) for origin, keys in opened.logs.items()]
    if as_json:
        click.echo(json.dumps({"logs": found}, indent=1))
        return 0
    for log in found:
        last = f"{log['size']:>12}  {log['time']}" if log["time"] else f"{'-':>12}  {'never cosigned':<20}"
        click.echo(safe(f"{last}  {log['origin']}"))
    return 0


def _told(opened: Witness, origin: str, keys: tuple[VerifierKey, ...]) -> dict[str, Any]:
    last: Known | None = opened.last(origin)
    return {
        "origin": origin,
        "path": f"{origin_hash(origin)}/checkpoint",
        "size": last.checkpoint.size if last else 0,
        "time": instant(last.time) if last else None,
        "vkeys": [note.format_vkey(key) for key in keys],
    }


@witness.command()
@state_argument
@click.option("--url", default="", help="Its submission prefix, as others reach it.")
def show(state: Path, url: str) -> int:
    """Print its verifier keys, as lines of a tlog-policy."""
    with naming(state), Witness.open(state) as opened:
        for place, key in enumerate(opened.keys):
            name = key.name + ("-mldsa44" if place else "")
            click.echo(" ".join(part for part in ("witness", name, note.format_vkey(key), url) if part))
    return 0


@witness.command()
@state_argument
@click.option("-o", "--output", type=click.Path(path_type=Path), help="A directory for files that show it to others.")
def evidence(state: Path, output: Path | None) -> int:
    """What speaks against a log, or may: two trees of one size, and the last request whose proof did not hold."""
    with naming(state), Witness.open(state) as opened:
        found = opened.evidence
    for kept in found:
        told = {"origin": kept.origin, "kind": kept.kind, "size": kept.size, "time": instant(kept.time)}
        if output is not None:
            told["files"] = [str(path) for path in _export(kept, output)]
        click.echo(json.dumps(told))
    return 0


def _export(kept: Kept, folder: Path) -> list[Path]:
    """A split as one file that convicts by itself; a refused request with what was cosigned when it came."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{origin_hash(kept.origin)[:16]}-{kept.kind}-{kept.size}"
    if kept.kind == "split":
        told = proof.prove(("cosigned by this witness", kept.first), ("refused by this witness", kept.second))
        files = {f"{stem}.evidence": proof.format(told)}
    else:
        files = {f"{stem}.request": kept.second, f"{stem}.known": kept.first}
    for name, data in files.items():
        write(folder / name, data, replace=True)
    return [folder / name for name in files]


@witness.command()
@state_argument
def recover(state: Path) -> int:
    """After a backup was restored: take over what the second memory has and the first has not."""
    with naming(state):
        taken = Witness.recover(state)
    for origin in taken:
        click.echo(safe(origin))
    click.echo(f"{len(taken)} taken over", err=True)
    return 0


@witness.command()
@state_argument
@key_option
@mldsa_option
@click.option("--log", "vkeys", multiple=True, metavar="VKEY", help="A log to witness, as with add-log.")
@click.option("--init", "make", is_flag=True, help="Make its memory, if there is none.")
@serving_options
def serve(
    state: Path,
    key_file: Path,
    mldsa_file: Path | None,
    vkeys: tuple[str, ...],
    make: bool,
    listen: str,
    **share: Any,  # noqa: ANN401
) -> int:
    """Serve POST /add-checkpoint, and to everybody what was cosigned last."""
    server, cosigners = import_module("pausectl.witness.server"), load_cosigners(key_file, mldsa_file)
    if make:
        _init(state, cosigners)
    with naming(state), Witness.open(state, cosigners) as opened:
        for text in vkeys:
            opened.add_log([load_vkey(text)])
        numbers = server.Numbers()
        keeper = server.Doorkeeper(opened, numbers)
        given = limits(**share)
        serve_doors(keeper.doors(), listen, given, metrics=numbers, health=lambda: keeper.trouble)
    return 0


def load_cosigners(key_file: Path, mldsa_file: Path | None) -> list[Cosigner]:
    """Name and key of each key file."""
    found: list[Cosigner] = [load_key(key_file)]
    if mldsa_file is not None:
        name, key = load_key(mldsa_file)
        if key.suite != MLDSA44:
            raise UsageFault(f"expected an {MLDSA44} key, found {key.suite}", where=str(mldsa_file))
        found.append((name, key))
    return found


def load_vkey(text: str) -> VerifierKey:
    """A verifier key, or that in a file such as a log's log.vkey."""
    path = Path(text)
    if "+" not in text or path.is_file():
        text = read(path, 1 << 16).decode(errors="replace").strip()
    try:
        return note.parse_vkey(text)
    except Malformed as error:
        raise UsageFault(str(error)) from error
