# SPDX-License-Identifier: Apache-2.0
"""For those who agree: draft, sign, show."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pausectl.agreement import document
from pausectl.agreement.terms import SIGNATORIES
from pausectl.cli.files import load_agreement, load_key, naming, read, write
from pausectl.errors import PausectlError, UsageFault
from pausectl.sim import terms
from pausectl.wire import canonical, dsse, statement
from pausectl.wire.keys import PublicKey, unbase64


@click.group()
def agreement() -> None:
    """Draft, sign and show an agreement."""


@agreement.command()
def new() -> int:
    """Print a complete draft as JSON, to be edited: every member filled in, keys of parties that do not exist."""
    roll = terms.Roll()
    publics = {name: terms.demo_key(name).public for name in terms.names(roll)}
    click.echo(json.dumps(terms.terms(roll, publics), indent=2))
    return 0


@agreement.command()
@click.argument("draft", type=click.Path(path_type=Path))
@click.option(
    "--key", "key_files", multiple=True, required=True, type=click.Path(path_type=Path), help="A signatory's key."
)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Where the signed agreement goes.")
def sign(draft: Path, key_files: tuple[Path, ...], output: Path) -> int:
    """Sign DRAFT (JSON, or an agreement that others have signed already) with one key or several."""
    raw = read(draft)
    with naming(draft):
        payload, signatures = _unsigned(raw)
        signatories = _signatories(payload)
    for path in key_files:
        key = load_key(path)[1]
        if key.public not in signatories:
            raise UsageFault("this is no signatory's key in the draft", where=str(path))
        signatures[key.public.keyid] = dsse.Signature(
            key.public.keyid, key.sign(dsse.pae(dsse.IN_TOTO.encode(), payload))
        )
    envelope = dsse.join(payload, signatures.values())
    write(output, envelope.raw + b"\n", replace=output == draft)
    try:
        click.echo(f"{output}: complete, agreement {document.parse(envelope.raw).id}", err=True)
    except PausectlError as error:
        click.echo(f"{output}: not in force yet: {error}", err=True)
    return 0


def _unsigned(raw: bytes) -> tuple[bytes, dict[str, dsse.Signature]]:
    value = canonical.tidy(raw)
    if isinstance(value, dict) and "payload" in value:
        envelope = dsse.parse(raw.removesuffix(b"\n"))
        document.read_document(statement.parse(envelope.payload).predicate)
        return envelope.payload, {signature.keyid: signature for signature in envelope.signatures}
    return document.draft(document.read_document(value)), {}


def _signatories(payload: bytes) -> set[PublicKey]:
    terms_of = document.read_document(statement.parse(payload).predicate)
    members = next((body.members for body in terms_of.bodies if body.id == SIGNATORIES), ())
    people = (principal for principal in terms_of.principals if principal.id in members)
    return {PublicKey(key.suite, unbase64(key.public)) for principal in people for key in principal.keys}


@agreement.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="The terms as JSON.")
def show(file: Path, as_json: bool) -> int:
    """Check a signed agreement and say what it is."""
    agreed = load_agreement(file)
    if as_json:
        click.echo(json.dumps({"id": agreed.id, "terms": agreed.document.model_dump(mode="json")}, indent=1))
        return 0
    terms_of = agreed.document
    click.echo(f"{terms_of.name}, version {terms_of.version}\nid       {agreed.id}\nsigned   {agreed.quorum}")
    click.echo(f"log      {terms_of.log.origin}\nlabs     {', '.join(agreed.labs)}")
    click.echo(
        f"windows  {terms_of.windows.length_seconds} s from {terms_of.windows.anchor_at}, until {terms_of.expires_at}"
    )
    return 0
