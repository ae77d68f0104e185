# SPDX-License-Identifier: Apache-2.0
"""Whom a log asks for cosignatures, as a command line says it: by URL, or by key files for those who sign here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import click

from pausectl.agreement.document import Agreement
from pausectl.cli.pairs import beside, load_witnesses
from pausectl.log.publish import Named, Witness
from pausectl.log.witnesses import http_witness
from pausectl.witness.witness import Cosigner

witness_option = click.option(
    "--witness", "witnesses", multiple=True, metavar="URL|KEYFILE", envvar="PAUSECTL_WITNESSES",
    help="A witness to ask, by its URL; or its key, and then it cosigns in this process, which is not independent. "
    "Also PAUSECTL_WITNESSES, with blanks between them.",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Given:
    """urls: of witnesses elsewhere. here: the keys of each that signs in this process."""

    urls: tuple[str, ...]
    here: list[list[Cosigner]] = field(repr=False)

    def __bool__(self) -> bool:
        """Whether anybody is to be asked."""
        return bool(self.urls or self.here)


def is_url(text: str) -> bool:
    """Whether an option names a witness elsewhere; everything else is a file."""
    return text.startswith(("http://", "https://"))


def key_files(texts: Sequence[str]) -> list[Path]:
    """Of those who sign here."""
    return [Path(text) for text in texts if not is_url(text)]


def given(texts: Sequence[str], agreement: Agreement) -> Given:
    """What the options say. Key files are opened and compared with the agreement; nobody is asked yet."""
    return Given(tuple(filter(is_url, texts)), load_witnesses(key_files(texts), agreement))


def ready(told: Given, agreement: Agreement, home: Path, instant: int) -> list[Witness]:
    """Witnesses for `Log.cosign`; the memories of those who sign here are in the log's home."""
    asked: list[Witness] = []
    for cosigners in told.here:
        one = beside(cosigners, agreement.log_pair, home / "state" / "witness")
        asked.append(Named(cosigners[0][0], partial(one.cosign, now=instant)))
    return [*asked, *map(http_witness, told.urls)]
