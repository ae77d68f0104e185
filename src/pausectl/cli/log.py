# SPDX-License-Identifier: Apache-2.0
"""For the operator of a log: init, add, cosign, serve, fsck."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from pausectl.agreement.document import Agreement
from pausectl.cli.files import agreement_option, key_option, load_agreement, load_key, moment, naming, read
from pausectl.cli.fsck import fsck
from pausectl.cli.serving import limits, say, serving_options
from pausectl.cli.serving import serve as serve_doors
from pausectl.errors import UsageFault
from pausectl.log import remote
from pausectl.log.commit import Committer
from pausectl.log.log import Log
from pausectl.report.inert import safe
from pausectl.wire import dsse
from pausectl.wire.keys import PrivateKey
from pausectl.witness.witness import Witness


def log_options(*, required: bool = True) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """The options of every command that adds to a log on this machine. required: it does nothing else."""
    options = (
        click.option("--log", "home", required=required, type=click.Path(path_type=Path), help="The log's home."),
        key_option if required else _optional_key,
        click.option(
            "--witness", "witness_files", multiple=True, type=click.Path(path_type=Path),
            help="A witness's key: it cosigns in this process, which is not independent.",
        ),
        click.option("--now", "now", metavar="TIME", help="The time to sign with, for simulations."),
    )  # fmt: skip

    def give(command: Callable[..., int]) -> Callable[..., int]:
        for option in reversed(options):
            command = option(command)
        return functools.wraps(command)(command)

    return give


_optional_key = click.option("--key", "key_file", envvar="PAUSECTL_KEY", type=click.Path(path_type=Path),
                             help="Key file of the log; also PAUSECTL_KEY.")  # fmt: skip


@click.group()
def log() -> None:
    """Run a log: init, add, cosign, serve, fsck."""


@log.command()
@click.argument("home", type=click.Path(path_type=Path))
@agreement_option
@key_option
@click.option("--witness", "witness_files", multiple=True, type=click.Path(path_type=Path), help="As for add.")
@click.option("--now", metavar="TIME", help="The time to sign with, for simulations.")
def init(home: Path, agreement_file: Path, key_file: Path, witness_files: tuple[Path, ...], now: str | None) -> int:
    """Make a log in HOME with the agreement as its first entry: HOME/log is public, HOME/state is not."""
    agreement, (_, key) = load_agreement(agreement_file), load_key(key_file)
    keys, instant = [load_witness(path, agreement) for path in witness_files], _instant(now)
    with naming(home), Log.create(home, agreement, key, instant) as made:
        _publish(made, home, keys, instant)
        click.echo(f"{home / 'log'}: {made.size} {'entry' if made.size == 1 else 'entries'}", err=True)
    return 0


@log.command()
@click.argument("envelopes", nargs=-1, required=True, type=click.Path(path_type=Path))
@log_options()
def add(envelopes: tuple[Path, ...], **options: Any) -> int:  # noqa: ANN401
    """Add ENVELOPES to a log and have the checkpoint cosigned; prints one JSON line for each."""
    return add_to(envelopes, **options)


def add_to(
    envelopes: tuple[Path, ...], *, home: Path, key_file: Path, witness_files: tuple[Path, ...], now: str | None
) -> int:
    """Add, say where each entry stands, have the checkpoint cosigned; nothing is added if anything here is unfit."""
    entries = [read(path, 1 << 17).removesuffix(b"\n") for path in envelopes]
    key, instant = load_key(key_file)[1], _instant(now)
    with naming(home):
        opened = Log.open(home, key)
    with opened:
        keys = [load_witness(path, opened.agreement) for path in witness_files]
        for path, entry in zip(envelopes, entries, strict=True):
            with naming(path):
                dsse.parse(entry)
                opened.admit(entry)
        for path, each in zip(envelopes, opened.add(entries), strict=True):
            answer = {"file": str(path), "index": each.index, "id": each.statement_id, "duplicate": each.duplicate}
            click.echo(json.dumps(answer))
        _publish(opened, home, keys, instant)
    return 0


@log.command()
@log_options()
def cosign(*, home: Path, key_file: Path, witness_files: tuple[Path, ...], now: str | None) -> int:
    """Have the newest checkpoint cosigned, again or at last, and add nothing."""
    if not witness_files:
        raise UsageFault("--witness is needed")
    key, instant = load_key(key_file)[1], _instant(now)
    with naming(home):
        opened = Log.open(home, key)
    with opened:
        keys = [load_witness(path, opened.agreement) for path in witness_files]
        with naming(home):
            _publish(opened, home, keys, instant)
    return 0


@log.command()
@click.argument("home", type=click.Path(path_type=Path))
@key_option
@click.option(
    "--witness",
    "witness_urls",
    multiple=True,
    envvar="PAUSECTL_WITNESSES",
    metavar="URL",
    help="A witness to ask for cosignatures; also PAUSECTL_WITNESSES, with blanks between them.",
)
@serving_options
def serve(
    home: Path,
    key_file: Path,
    witness_urls: tuple[str, ...],
    listen: str,
    rate: float,
    burst: int,
    proxies: tuple[str, ...],
) -> int:
    """Serve the log in HOME: its files to everybody, POST /add for its parties, GET /metrics and /health for you."""
    server, given = import_module("pausectl.log.server"), limits(rate, burst, proxies)
    key, witnesses = load_key(key_file)[1], [remote.witness(url) for url in witness_urls]
    with naming(home):
        opened = Log.open(home, key)
    with opened:
        if opened.agreement.document.witnesses.quorum and not witnesses:
            raise UsageFault("--witness is needed", hint="nothing is acknowledged without a quorum of cosignatures")
        numbers = server.Numbers()
        with Committer(opened, witnesses, say=say, watch=numbers.watch) as writer:
            numbers.follow(writer)
            doors = server.doors(opened.store, writer, given)
            serve_doors(doors, listen, given, metrics=numbers, health=lambda: writer.trouble, until=writer.ended)
    return 0


def _instant(now: str | None) -> int:
    instant = int(time.time()) if now is None else moment(now)
    if instant < 1:
        raise UsageFault(f"--now: expected an instant after 1970, found {now}")
    return instant


def _publish(opened: Log, home: Path, keys: Sequence[tuple[str, PrivateKey]], instant: int) -> None:
    if not keys:
        goes_on = "go on seeing the last cosigned checkpoint"
        readers = goes_on if opened.cosigned else "will refuse this log until a quorum has cosigned it"
        click.echo(f"no witness was asked: readers {readers}", err=True)
        return
    state = home / "state" / "witness"
    state.mkdir(exist_ok=True)
    witnesses = [
        Witness.beside(name, key, opened.agreement.log_key, state / quote(name, safe="")) for name, key in keys
    ]
    opened.cosign([partial(witness.cosign, now=instant) for witness in witnesses], instant)
    for complaint in opened.complaints:
        click.echo(f"witness: {safe(complaint)}", err=True)


def load_witness(path: Path, agreement: Agreement) -> tuple[str, PrivateKey]:
    """Name and key of a witness of the agreement."""
    name, key = load_key(path)
    known = {verifier.name: verifier for verifier in agreement.witness_keys.values()}
    if name not in known or known[name].public != key.public:
        raise UsageFault(f"{name} is no witness of the agreement, or this is not its key", where=str(path))
    return name, key


log.add_command(fsck)
