# SPDX-License-Identifier: Apache-2.0
"""What every command does with files and keys: read with a clear error, write no halves, never prompt on a pipe."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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
    "--agreement",
    "agreement_file",
    required=True,
    type=click.Path(path_type=Path),
    help="The signed agreement you trust.",
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
    """Make a file with its bytes, all of them or none; an existing one is left alone unless `replace`."""
    place = path.with_name(f".{path.name}.{os.getpid()}.tmp") if replace else path
    try:
        handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError as error:
        raise UsageFault("exists already, and is left as it is", where=str(place)) from error
    except OSError as error:
        raise UsageFault(f"cannot be written: {error.strerror}", where=str(path)) from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        if replace:
            place.replace(path)
    except OSError as error:
        place.unlink(missing_ok=True)
        raise UsageFault(f"cannot be written: {error.strerror}", where=str(path)) from error


@contextmanager
def naming(place: str | Path) -> Iterator[None]:
    """Put `place` in front of an error from below, unless it begins with it or is about another file of the user's."""
    try:
        yield
    except PausectlError as error:
        known = error.where.startswith(str(place)) or (error.where and error.exit_code == UsageFault.exit_code)
        raise error if known else error.at(str(place))  # noqa: B904


def fresh(path: Path) -> None:
    """Refuse a directory in which something lies already, and what is none."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        hint = "name another --dir, or remove it"
        raise UsageFault("exists already, and is not an empty directory", where=str(path), hint=hint)


def load_agreement(path: Path) -> Agreement:
    """The trusted agreement, checked."""
    raw = read(path)
    with naming(path):
        return document.parse(raw)


def load_key(path: Path) -> tuple[str, PrivateKey]:
    """Name and key of a key file, opened with the passphrase from PAUSECTL_PASSPHRASE_FILE or a terminal."""
    raw = read(path)
    with naming(path):
        encrypted = keyfile.is_encrypted(raw)
        if encrypted and not os.environ.get("PAUSECTL_PASSPHRASE_FILE") and not sys.stdin.isatty():
            raise Refused("the key is encrypted", hint="name a file with its passphrase in PAUSECTL_PASSPHRASE_FILE")
        return keyfile.open_key(raw, passphrase(confirm=False) if encrypted else None)


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
