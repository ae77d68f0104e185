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
from pausectl.wire.keys import ED25519, PrivateKey, base64


@click.command()
@click.argument("name")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="Where the key file goes (mode 0600)."
)
@click.option(
    "--unencrypted", is_flag=True, help="No passphrase: for demonstrations and for machines that guard the file."
)
def keygen(name: str, output: Path, unencrypted: bool) -> int:
    """Make an Ed25519 key called NAME (a party's id, a log's origin, a witness's name); print its public halves."""
    key = PrivateKey.from_seed(ED25519, secrets.token_bytes(32))
    salt, nonce = secrets.token_bytes(keyfile.SALT_BYTES), secrets.token_bytes(keyfile.NONCE_BYTES)
    try:
        note.check_name(name)
        words = None if unencrypted else passphrase(confirm=True)
        raw = keyfile.format_key(name, key, passphrase=words, salt=salt, nonce=nonce)
    except Malformed as error:
        raise UsageFault(str(error)) from error
    write(output, raw, mode=0o600)
    public = {
        "name": name,
        "suite": ED25519,
        "public": base64(key.public.raw),
        "keyid": key.public.keyid,
        "log_vkey": note.format_vkey(note.VerifierKey(name, note.TYPE_ED25519, key.public)),
        "witness_vkey": note.format_vkey(note.VerifierKey(name, note.TYPE_COSIGNATURE, key.public)),
    }
    click.echo(json.dumps(public, indent=1))
    if unencrypted:
        click.echo(f"{output} is not encrypted: whoever reads it is {name}", err=True)
    return 0
