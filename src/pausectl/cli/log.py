# SPDX-License-Identifier: Apache-2.0
"""For the operator of a log: init, join, succeed, add, cosign, serve, show, fsck."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from pausectl.cli.asking import Given, given, key_files, ready, witness_option
from pausectl.cli.files import agreement_option, key_option, load_agreement, load_key, moment, naming, read, write
from pausectl.cli.fsck import fsck
from pausectl.cli.pairs import load_public, load_second, mldsa_option, with_keys
from pausectl.cli.serving import limits, say, serving_options
from pausectl.cli.serving import serve as serve_doors
from pausectl.errors import UsageFault
from pausectl.history.reader import open_ledger
from pausectl.history.source import open_source
from pausectl.log import homes, pins, succession
from pausectl.log.commit import Committer
from pausectl.log.log import Log
from pausectl.log.mirrors import Mirrors
from pausectl.log.storage.config import Places
from pausectl.report.inert import safe
from pausectl.wire import dsse, note
from pausectl.wire.proof import SUFFIX


def log_options(*, required: bool = True) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """The options of every command that adds to a log on this machine. required: it does nothing else."""
    options = (
        click.option("--log", "home", required=required, type=click.Path(path_type=Path), help="The log's home."),
        key_option if required else _optional_key,
        mldsa_option,
        witness_option,
        click.option("--now", "now", metavar="TIME", help="The time to sign with, for simulations."),
    )  # fmt: skip

    def give(command: Callable[..., int]) -> Callable[..., int]:
        for option in reversed(options):
            command = option(command)
        return functools.wraps(command)(command)

    return give


def place_options(command: Callable[..., int]) -> Callable[..., int]:
    """Where a log lies, if not in HOME; given to the command as `places`."""
    options = (
        click.option(
            "--objects", default="", metavar="URL", help="What lies elsewhere: s3://… or postgresql://…#name."
        ),
        click.option("--head", default="", metavar="URL", help="The head register, elsewhere: as --objects."),
        click.option("--memory", default="", metavar="FILE", help="The second memory, not where the log lies."),
    )

    @functools.wraps(command)
    def placed(*, objects: str, head: str, memory: str, **given: Any) -> int:  # noqa: ANN401
        return command(**given, places=Places(objects, head, memory))

    for option in reversed(options):
        placed = option(placed)
    return placed


def memory_option(command: Callable[..., int]) -> Callable[..., int]:
    """The second memory of a log that has none yet."""

    @click.option("--memory", type=click.Path(path_type=Path), help="A file for its second memory, from now on.")
    @functools.wraps(command)
    def remembering(*, home: Path, memory: Path | None, **given: Any) -> int:  # noqa: ANN401
        if memory is not None:
            with naming(home):
                homes.remember(home, memory)
        return command(home=home, **given)

    return remembering


_optional_key = click.option("--key", "key_file", envvar="PAUSECTL_KEY", type=click.Path(path_type=Path),
                             help="Key file of the log; also PAUSECTL_KEY.")  # fmt: skip


@click.group()
def log() -> None:
    """Run a log: init, join, succeed, add, cosign, serve, show, fsck."""


@log.command()
@click.argument("home", type=click.Path(path_type=Path))
@agreement_option
@key_option
@mldsa_option
@witness_option
@click.option(
    "--public-key",
    "public_files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="An ML-DSA-44 key that the agreement names by digest: a verifier key, or a key file.",
)
@click.option("--now", metavar="TIME", help="The time to sign with, for simulations.")
@place_options
def init(
    home: Path,
    agreement_file: Path,
    key_file: Path,
    mldsa_file: Path | None,
    witnesses: tuple[str, ...],
    public_files: tuple[Path, ...],
    now: str | None,
    places: Places,
) -> int:
    """Make a log in HOME with the agreement as its first entry: HOME/log is public, HOME/state is not.

    With --objects and --head it lies there, and HOME says so; passwords and keys come from the environment.
    """
    key, second, instant = load_key(key_file)[1], load_second(mldsa_file), _instant(now)
    publics = [load_public(path) for path in (*public_files, *key_files(witnesses))]
    agreement = with_keys(load_agreement(agreement_file), publics)
    told = given(witnesses, agreement)
    with naming(home), Log.create(home, agreement, key, instant, second=second, places=places) as made:
        _publish(made, home, told, instant)
        where = places.objects or home / "log"
        click.echo(f"{where}: {made.size} {'entry' if made.size == 1 else 'entries'}", err=True)
    return 0


@log.command()
@click.argument("home", type=click.Path(path_type=Path))
@agreement_option
@key_option
@mldsa_option
@place_options
def join(home: Path, agreement_file: Path, key_file: Path, mldsa_file: Path | None, places: Places) -> int:
    """Make a HOME for a log that lies elsewhere already: another machine that can take over, or a second by mistake."""
    key, second = load_key(key_file)[1], load_second(mldsa_file)
    agreement = load_agreement(agreement_file)
    with naming(home), Log.join(home, agreement, key, places, second=second) as joined:
        click.echo(f"{places.objects}: {joined.size} {'entry' if joined.size == 1 else 'entries'}", err=True)
    return 0


@log.command()
@click.argument("home", type=click.Path(path_type=Path))
@click.option("--from", "old", required=True, metavar="SOURCE", help="The log to go on from: directory, bundle or URL.")
@click.option("--before", multiple=True, metavar="SOURCE", help="A log that this one succeeded, if it did.")
@agreement_option
@key_option
@mldsa_option
@witness_option
@click.option("--now", metavar="TIME", help="The time to sign with, for simulations.")
def succeed(
    home: Path,
    old: str,
    before: tuple[str, ...],
    agreement_file: Path,
    key_file: Path,
    mldsa_file: Path | None,
    witnesses: tuple[str, ...],
    now: str | None,
) -> int:
    """Make a log in HOME that goes on where another one ended: --key is that of a successor in the agreement."""
    key, second, instant, place = load_key(key_file)[1], load_second(mldsa_file), _instant(now), open_source(old)
    trusted = load_agreement(agreement_file)
    with naming(place.name):
        last = open_ledger(place.fetch, trusted)
    earlier = [open_ledger(open_source(each).fetch, trusted) for each in before]
    agreement = succession.successor(last.agreement, key)
    told = given(witnesses, agreement)
    with naming(place.name):
        entry = succession.begin(last, earlier, agreement, key)
    with naming(home), Log.create(home, agreement, key, instant, second=second, succession=entry.raw) as made:
        _publish(made, home, told, instant)
        click.echo(f"{home / 'log'}: {agreement.origin} goes on from {last.agreement.origin} at {last.size}", err=True)
    return 0


@log.command()
@click.argument("envelopes", nargs=-1, required=True, type=click.Path(path_type=Path))
@log_options()
@memory_option
@click.option(
    "--receipts",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the proof of each entry goes, INDEX.tlog-proof, once the checkpoint is cosigned.",
)
def add(envelopes: tuple[Path, ...], **options: Any) -> int:  # noqa: ANN401
    """Add ENVELOPES to a log and have the checkpoint cosigned; prints one JSON line for each."""
    return add_to(envelopes, **options)


def add_to(
    envelopes: tuple[Path, ...],
    *,
    home: Path,
    key_file: Path,
    mldsa_file: Path | None,
    witnesses: tuple[str, ...],
    now: str | None,
    receipts: Path | None = None,
) -> int:
    """Add, say where each entry stands, have the checkpoint cosigned; nothing is added if anything here is unfit."""
    entries = [read(path, 1 << 17).removesuffix(b"\n") for path in envelopes]
    instant, opened = _instant(now), _open(home, key_file, mldsa_file)
    with opened:
        told = given(witnesses, opened.agreement)
        for path, entry in zip(envelopes, entries, strict=True):
            with naming(path):
                dsse.parse(entry)
                opened.admit(entry)
        if receipts is not None:
            receipts.mkdir(parents=True, exist_ok=True)
        added = opened.add(entries)
        for path, each in zip(envelopes, added, strict=True):
            answer = {"file": str(path), "index": each.index, "id": each.statement_id, "duplicate": each.duplicate}
            click.echo(json.dumps(answer))
        _publish(opened, home, told, instant)
        if receipts is not None:
            for index in sorted({each.index for each in added}):
                _keep_proof(opened, receipts / f"{index}{SUFFIX}", index)
    return 0


def _keep_proof(opened: Log, path: Path, index: int) -> None:
    """The proof of an entry in a file, newer than one that is there; none where readers would not take it yet."""
    if opened.cosigned and index < opened.published_size:
        write(path, opened.prove(index), replace=True)
    else:
        click.echo(f"{path}: no proof yet, since no quorum has cosigned a checkpoint with this entry", err=True)


@log.command()
@log_options()
@memory_option
def cosign(*, home: Path, key_file: Path, mldsa_file: Path | None, witnesses: tuple[str, ...], now: str | None) -> int:
    """Have the newest checkpoint cosigned, again or at last, and add nothing."""
    if not witnesses:
        raise UsageFault("--witness is needed")
    instant, opened = _instant(now), _open(home, key_file, mldsa_file)
    with opened:
        told = given(witnesses, opened.agreement)
        with naming(home):
            _publish(opened, home, told, instant)
    return 0


@log.command()
@click.argument("home", type=click.Path(path_type=Path))
@key_option
@mldsa_option
@witness_option
@click.option(
    "--mirror", "mirror_urls", multiple=True, metavar="URL",
    help="A mirror of the agreement, whose cosignatures go into marks; its monitoring prefix.",
)  # fmt: skip
@serving_options
@memory_option
def serve(
    home: Path,
    key_file: Path,
    mldsa_file: Path | None,
    witnesses: tuple[str, ...],
    mirror_urls: tuple[str, ...],
    listen: str,
    **shares: Any,  # noqa: ANN401
) -> int:
    """Serve the log in HOME: its files to everybody, POST /add for its parties, GET /metrics and /health for you."""
    server, share = import_module("pausectl.log.server"), limits(**shares)
    opened = _open(home, key_file, mldsa_file)
    with opened:
        told = given(witnesses, opened.agreement)
        if told.here:
            raise UsageFault("--witness: expected URLs: a witness whose key lies beside the log's is none")
        if not told:
            raise UsageFault("--witness is needed", hint="nothing is acknowledged without a quorum of cosignatures")
        numbers = server.Numbers()
        writer = Committer(opened, ready(told, opened.agreement, home, 0), say=say, watch=numbers.watch)
        others = Mirrors(mirror_urls, opened.agreement.origin, writer.nudge)
        opened.mirrors = others.shown
        with writer, others:
            numbers.follow(writer)
            doors = server.doors(opened.store, writer, share)
            serve_doors(doors, listen, share, metrics=numbers, health=lambda: writer.trouble, until=writer.ended)
    return 0


@log.command()
@click.argument("home", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["vkey", "logs-v0"]),
    default="vkey",
    show_default=True,
    help="The key alone, or an entry for the log list of a network of witnesses.",
)
@click.option(
    "--qpd",
    type=click.IntRange(1),
    default=86_400,
    show_default=True,
    help="logs-v0: how many checkpoints a day a witness must expect.",
)
@click.option("--contact", help="logs-v0: whom a witness's operator writes to.")
def show(home: Path, form: str, qpd: int, contact: str | None) -> int:
    """Print what others configure to witness or read the log in HOME."""
    keys = pins.kept(home, load_agreement(home / "agreement.json")).log_pair
    if form == "vkey":
        click.echo("\n".join(map(note.format_vkey, keys)))
        return 0
    vkey = note.format_vkey(keys[0])
    if contact is None or not contact.isprintable() or not contact.strip():
        raise UsageFault("logs-v0 needs a --contact of one line")
    click.echo(f"logs/v0\nvkey {vkey}\nqpd {qpd}\ncontact {contact.strip()}")
    return 0


def _open(home: Path, key_file: Path, mldsa_file: Path | None) -> Log:
    key, second = load_key(key_file)[1], load_second(mldsa_file)
    with naming(home):
        return Log.open(home, key, second=second)


def _instant(now: str | None) -> int:
    instant = int(time.time()) if now is None else moment(now)
    if instant < 1:
        raise UsageFault(f"--now: expected an instant after 1970, found {now}")
    return instant


def _publish(opened: Log, home: Path, told: Given, instant: int) -> None:
    if not told:
        goes_on = "go on seeing the last cosigned checkpoint"
        readers = goes_on if opened.cosigned else "will refuse this log until a quorum has cosigned it"
        click.echo(f"no witness was asked: readers {readers}", err=True)
        return
    opened.cosign(ready(told, opened.agreement, home, instant), instant)
    for complaint in opened.complaints:
        click.echo(f"witness: {safe(complaint)}", err=True)


log.add_command(fsck)
