# SPDX-License-Identifier: Apache-2.0
"""Keys for anybody."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import click

from pausectl.cli.files import passphrase, write
from pausectl.errors import Malformed, UsageFault
from pausectl.wire import keyfile, note
from pausectl.wire.keys import ED25519, SUITES, PrivateKey, base64


@click.command()
@click.argument("name")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="Where the key file goes (mode 0600)."
)
@click.option("--suite", type=click.Choice(list(SUITES)), default=ED25519, show_default=True, help="Kind of key.")
@click.option(
    "--unencrypted", is_flag=True, help="No passphrase: for demonstrations and for machines that guard the file."
)
def keygen(name: str, output: Path, suite: str, unencrypted: bool) -> int:
    """Make a key called NAME (a party's id, a log's origin, a witness's name); print its public halves.

    ml-dsa-44 is for the second key of a log, a witness or a mirror, under the name of the first; an agreement has its
    digest.
    """
    key = PrivateKey.from_seed(suite, secrets.token_bytes(SUITES[suite].seed_bytes))
    salt, nonce = secrets.token_bytes(keyfile.SALT_BYTES), secrets.token_bytes(keyfile.NONCE_BYTES)
    try:
        note.check_name(name)
        words = None if unencrypted else passphrase(confirm=True)
        raw = keyfile.format_key(name, key, passphrase=words, salt=salt, nonce=nonce)
    except Malformed as error:
        raise UsageFault(str(error)) from error
    write(output, raw, mode=0o600)
    public = {
        "name": name, "suite": suite, "public": base64(key.public.raw), "keyid": key.public.keyid,
        **_public(name, key),
    }  # fmt: skip
    click.echo(json.dumps(public, indent=1))
    if unencrypted:
        click.echo(f"{output} is not encrypted: whoever reads it is {name}", err=True)
    return 0


def _public(name: str, key: PrivateKey) -> dict[str, str]:
    """How logs and agreements write the key."""
    entry = SUITES[key.suite]
    log, witness = (
        note.format_vkey(note.VerifierKey(name, kind, key.public)) for kind in (entry.note_type, entry.cosignature_type)
    )
    if log == witness:
        return {"mldsa44": key.public.digest, "vkey": log}
    return {"log_vkey": log, "witness_vkey": witness}
