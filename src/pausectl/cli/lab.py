# SPDX-License-Identifier: Apache-2.0
"""For a lab: seal, attest, submit."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from pausectl.agreement.document import Agreement
from pausectl.agreement.types import Span, seconds
from pausectl.cli.collect import collect, collectors
from pausectl.cli.files import agreement_option, key_option, load_agreement, load_key, moment, naming, read, write
from pausectl.cli.log import add_to, log_options
from pausectl.cli.pairs import with_source
from pausectl.cli.proof import read_entry
from pausectl.errors import Forged, UsageFault
from pausectl.history import receipt
from pausectl.history.authority import objection
from pausectl.history.chain import link
from pausectl.history.decode import decode
from pausectl.history.reader import open_ledger
from pausectl.history.source import open_source
from pausectl.lab import attest as desk
from pausectl.lab import handing, table
from pausectl.lab import submit as over_http
from pausectl.lab.vault import Vault, telemetry
from pausectl.predicates.base import Predicate
from pausectl.report.inert import safe
from pausectl.wire import canonical, dsse
from pausectl.wire import proof as receipts
from pausectl.wire.keys import PrivateKey
from pausectl.wire.seal import Context

window_option = click.option(
    "--window", metavar="START/END", help="A window of the agreement, as 2026-07-06T00:00:00Z/2026-07-13T00:00:00Z."
)


@click.group()
def lab() -> None:
    """Seal telemetry, attest and submit, as a lab."""


lab.add_command(collect)
lab.add_command(collectors)


@lab.command()
@click.argument("readings", type=click.Path(path_type=Path))
@agreement_option
@click.option("--facility", required=True, help="A facility of the agreement.")
@window_option
@click.option(
    "--vault", required=True, type=click.Path(path_type=Path), help="A new directory for the rows and their secret."
)
@click.option(
    "--max-gap",
    type=click.IntRange(0),
    default=60,
    show_default=True,
    help="Seconds without a reading that count as a gap.",
)
def seal(readings: Path, agreement_file: Path, facility: str, window: str | None, vault: Path, max_gap: int) -> int:
    """Seal the power READINGS (CSV or Parquet: device, time_ms, watts) of a facility, and print the commitment."""
    agreement = load_agreement(agreement_file)
    site = agreement.facilities.get(facility)
    if site is None:
        raise UsageFault(f"no facility of the agreement is called {facility}")
    span = _window(agreement, window)
    if span is None:
        raise UsageFault("--window is needed: a seal is about one window")
    start, end = seconds(span.start_at) * 1000, seconds(span.end_at) * 1000
    context = Context(agreement.id, site.lab, facility, f"telemetry/{facility}", start, end)
    with naming(readings):
        rows = table.rows(table.read(readings), start, end, max_gap_ms=max_gap * 1000)
    sealed = Vault.create(vault, context, rows, secrets.token_bytes(32)).sealed
    click.echo(json.dumps(telemetry(sealed.commitment), indent=1))
    return 0


@lab.command("open")
@click.argument("vault", type=click.Path(path_type=Path))
@click.option("--row", required=True, type=int, help="Which row to open.")
def open_row(vault: Path, row: int) -> int:
    """Open one row of a seal: it proves that reading and shows nothing of its neighbours."""
    click.echo(json.dumps(Vault.load(vault).open_row(row), indent=1))
    return 0


@lab.command()
@click.argument("kind")
@click.argument("body", type=click.Path(path_type=Path))
@agreement_option
@key_option
@click.option(
    "--ledger", required=True, help="The log as it stands (directory, bundle or URL): numbers are continued from it."
)
@click.option(
    "--before", multiple=True, metavar="SOURCE", help="A log that this one succeeded: numbers are continued across."
)
@click.option(
    "--after",
    multiple=True,
    type=click.Path(path_type=Path),
    help="An envelope that is signed and not in the ledger yet: numbers go on after it.",
)
@click.option(
    "--with", "with_files", multiple=True, type=click.Path(path_type=Path),
    help="The key of another member, for what a body says together (order).",
)  # fmt: skip
@window_option
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Where the envelope goes.")
@click.option("--dry-run", is_flag=True, help="Show the statement, write nothing.")
def attest(  # noqa: PLR0913, PLR0917 - one for each option
    kind: str,
    body: Path,
    agreement_file: Path,
    key_file: Path,
    ledger: str,
    before: tuple[str, ...],
    after: tuple[Path, ...],
    with_files: tuple[Path, ...],
    window: str | None,
    output: Path | None,
    dry_run: bool,
) -> int:
    """Sign a claim of KIND (usage, inventory, run …) from BODY, a JSON file with its members but for the header."""
    if output is None and not dry_run:
        raise UsageFault("-o is needed", hint="or --dry-run, to see the statement and file nothing")
    agreement = load_agreement(agreement_file)
    claim, span, raw, source = desk.kind_of(kind), _window(agreement, window), read(body), open_source(ledger)
    keys = tuple(load_key(path)[1] for path in (key_file, *with_files))
    party = _party(
        agreement, claim, [(str(path), key) for path, key in zip((key_file, *with_files), keys, strict=True)]
    )
    with naming(source.name):
        newest = open_ledger(source.fetch, agreement)
        older = [open_ledger(open_source(each).fetch, agreement) for each in before]
        agreement, counts = newest.agreement, desk.counts(link(newest, older), party)
    for path in after:
        if not desk.count(counts, read(path).removesuffix(b"\n"), agreement, party):
            raise UsageFault(f"expected an envelope that {party} signed under this agreement", where=str(path))
    with naming(body):
        envelope = desk.Desk(agreement, party, keys, counts).attest(claim, _members(raw), span)
    objected = objection(decode(envelope.raw, agreement.keys), agreement)
    if objected is not None:
        raise UsageFault(objected[1])
    if output is None or dry_run:
        click.echo(envelope.payload.decode())
        return 0
    write(output, envelope.raw)
    click.echo(f"{output}: statement {envelope.statement_id}", err=True)
    return 0


@lab.command()
@click.argument("envelopes", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--url", metavar="URL", help="The log, over HTTP.")
@click.option("--intake", metavar="URL", help="An intake party, which gives a receipt and hands it on to the log.")
@click.option(
    "--agreement",
    "agreement_file",
    type=click.Path(path_type=Path),
    help="With --url or --intake: the agreement that you trust, to verify the receipt.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="With --url or --intake: where the receipt goes.")
@click.option(
    "--wait",
    type=click.FloatRange(0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="With --url or --intake: for how long to try again while it is busy.",
)
@log_options(required=False)
def submit(envelopes: tuple[Path, ...], **options: Any) -> int:  # noqa: ANN401
    """Hand ENVELOPES to a log, over HTTP or on this machine, and print where they stand; or to an intake party."""
    remote = {name: options.pop(name) for name in ("agreement_file", "output", "wait")}
    url, intake = options.pop("url"), options.pop("intake")
    if sum(place is not None for place in (url, intake, options["home"])) != 1:
        raise UsageFault("expected one of --url, --intake and --log")
    if remote["output"] is not None and len(envelopes) > 1:
        raise UsageFault("-o takes the receipt of one envelope", hint="submit them one by one")
    if url is not None:
        return _hand_over(envelopes, url=url, **remote)
    if intake is not None:
        return _hand_in(envelopes, url=intake, **remote)
    if options["key_file"] is None:
        raise UsageFault("--key is needed with --log")
    return add_to(envelopes, **options)


def _hand_over(
    envelopes: tuple[Path, ...], *, url: str, agreement_file: Path | None, output: Path | None, wait: float
) -> int:
    """Submit over HTTP; success is said only of what the receipt shows."""
    agreement = with_source(load_agreement(agreement_file), url, offline=False) if agreement_file else None
    entries = [read_entry(path) for path in envelopes]
    for path, entry in zip(envelopes, entries, strict=True):
        with naming(path):
            statement_id = dsse.parse(entry).statement_id
        raw = over_http.submit(url, entry, wait=wait, tell=_later)
        with naming(url):
            made = receipts.parse(raw)
            _check(made, entry, agreement)
        if output is not None:
            write(output, raw)
        click.echo(json.dumps({"file": str(path), "index": made.index, "id": statement_id}))
    if agreement is None:
        click.echo("signatures on the receipts were not checked: name the agreement with --agreement", err=True)
    return 0


def _hand_in(
    envelopes: tuple[Path, ...], *, url: str, agreement_file: Path | None, output: Path | None, wait: float
) -> int:
    """Hand in over HTTP; success is said only of receipts that were read."""
    if agreement_file is None:
        raise UsageFault("--agreement is needed with --intake: a receipt is worth what its intake party is")
    agreement, entries = load_agreement(agreement_file), [read_entry(path) for path in envelopes]
    for path, entry in zip(envelopes, entries, strict=True):
        with naming(path):
            statement_id = dsse.parse(entry).statement_id
        with naming(url):
            raw = handing.hand_in(url, entry, agreement, wait=wait, tell=_later)
            given = handing.check(raw, entry, agreement)
        if output is not None:
            write(output, raw)
        told = {"file": str(path), "id": statement_id, "received_at": given.received_at, "by": given.header.party}
        click.echo(json.dumps({**told, "number": given.header.sequence}))
    return 0


def _later(pause: int, why: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"trying again in {pause} s: {safe(why)}", err=True)


def _check(made: receipts.Proof, entry: bytes, agreement: Agreement | None) -> None:
    try:
        if agreement is not None:
            receipt.check(made, entry, agreement)
        else:
            receipts.check(made, entry, lambda _: None)
    except Forged as error:
        error.hint = (
            "if others signed the same statement, the log holds it in their envelope; 'proof check' with that one"
        )
        raise


def _party(agreement: Agreement, claim: type[Predicate], keys: Sequence[tuple[str, PrivateKey]]) -> str:
    """Who speaks: the owner of the one key, or the body for which several sign."""
    owners = [agreement.keys.get(key.public.keyid, (None,))[0] for _, key in keys]
    for (path, _), owner in zip(keys, owners, strict=True):
        if owner is None:
            raise UsageFault("this key is no party's key in the agreement", where=path)
    if claim.role in agreement.bodies:
        return claim.role
    if len(keys) > 1 or owners[0] is None:
        raise UsageFault(f"{claim.name} is signed by its one party", hint="--with is for what a body says together")
    return owners[0]


def _members(raw: bytes) -> dict[str, Any]:
    value = canonical.tidy(raw)
    if not isinstance(value, dict):
        raise UsageFault("expected a JSON object")
    return value


def _window(agreement: Agreement, text: str | None) -> Span | None:
    if text is None:
        return None
    start, slash, end = text.partition("/")
    if not slash:
        raise UsageFault(f"--window: expected START/END, found {text!r}")
    return desk.window_of(agreement, moment(start), moment(end))
