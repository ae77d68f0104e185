# SPDX-License-Identifier: Apache-2.0
"""What every command does with files and keys: read with a clear error, write without a half, never prompt on a pipe."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from pausectl.agreement import document
from pausectl.agreement.document import Agreement
from pausectl.agreement.types import seconds
from pausectl.errors import PausectlError, Refused, UsageFault
from pausectl.wire import keyfile
from pausectl.wire.keys import PrivateKey

MAX_FILE = 1 << 20

agreement_option = click.option(
    "--agreement", "agreement_file", required=True, type=click.Path(path_type=Path), help="The signed agreement you trust."
)
key_option = click.option(
    "--key", "key_file", envvar="PAUSECTL_KEY", required=True, type=click.Path(path_type=Path),
    help="Key file; also PAUSECTL_KEY. Its passphrase comes from the file named in PAUSECTL_PASSPHRASE_FILE.",
)  # fmt: skip


def read(path: Path, limit: int = MAX_FILE) -> bytes:
    """A whole file, or a usage error; larger than `limit` is refused."""
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise UsageFault(f"cannot be read: {error.strerror}", where=str(path)) from error
    if len(data) > limit:
        raise UsageFault(f"expected at most {limit} bytes", where=str(path))
    return data


def write(path: Path, data: bytes, *, mode: int = 0o644, replace: bool = False) -> None:
    """Create a file with its bytes; an existing one is left alone unless `replace`."""
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if replace else os.O_EXCL)
    try:
        with os.fdopen(os.open(path, flags, mode), "wb") as file:
            file.write(data)
    except FileExistsError as error:
        raise UsageFault("exists already, and is left as it is", where=str(path)) from error
    except OSError as error:
        raise UsageFault(f"cannot be written: {error.strerror}", where=str(path)) from error


def load_agreement(path: Path) -> Agreement:
    """The trusted agreement, checked."""
    raw = read(path)
    try:
        return document.parse(raw)
    except PausectlError as error:
        raise error.at(str(path)) from error


def load_key(path: Path) -> tuple[str, PrivateKey]:
    """Name and key of a key file, opened with the passphrase from PAUSECTL_PASSPHRASE_FILE or a terminal."""
    raw = read(path)
    try:
        encrypted = keyfile.is_encrypted(raw)
        if encrypted and not os.environ.get("PAUSECTL_PASSPHRASE_FILE") and not sys.stdin.isatty():
            raise Refused("the key is encrypted", hint="name a file with its passphrase in PAUSECTL_PASSPHRASE_FILE")
        return keyfile.open_key(raw, passphrase(confirm=False) if encrypted else None)
    except PausectlError as error:
        raise error.at(str(path)) from error


def passphrase(*, confirm: bool) -> bytes:
    """From the file named in the environment, else from the terminal."""
    named = os.environ.get("PAUSECTL_PASSPHRASE_FILE")
    if named:
        return read(Path(named)).rstrip(b"\r\n")
    if not sys.stdin.isatty():
        raise UsageFault("a passphrase is needed", hint="name a file with it in PAUSECTL_PASSPHRASE_FILE")
    return str(click.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm, err=True)).encode()


def moment(text: str) -> int:
    """POSIX seconds of an RFC 3339 instant on the command line."""
    try:
        return seconds(text)
    except ValueError as error:
        raise UsageFault(f"expected an instant like 2026-07-06T00:00:00Z, found {text!r}") from error
