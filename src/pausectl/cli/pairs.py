# SPDX-License-Identifier: Apache-2.0
"""Logs and witnesses that sign with two keys, Ed25519 and ML-DSA-44, where their agreement names the second."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

import click

from pausectl.agreement.document import Agreement
from pausectl.agreement.terms import Member
from pausectl.cli.files import load_key, naming, read
from pausectl.errors import UsageFault
from pausectl.history.reader import resolve
from pausectl.history.source import open_source
from pausectl.wire import keyfile, note
from pausectl.wire.keys import MLDSA44, PrivateKey, PublicKey
from pausectl.wire.note import VerifierKey
from pausectl.witness.witness import Cosigner, Witness

mldsa_option = click.option(
    "--mldsa-key", "mldsa_file", envvar="PAUSECTL_MLDSA_KEY", type=click.Path(path_type=Path),
    help="The log's second key, where the agreement names one; also PAUSECTL_MLDSA_KEY.",
)  # fmt: skip
keys_option = click.option(
    "--keys", "keys_place", metavar="SOURCE",
    help="Where the ML-DSA-44 keys are that the agreement names: a log, a bundle, or a directory with key/….",
)  # fmt: skip


def load_second(path: Path | None) -> PrivateKey | None:
    """The second key, if one is named."""
    if path is None:
        return None
    key = load_key(path)[1]
    if key.suite != MLDSA44:
        raise UsageFault(f"--mldsa-key: expected a key of suite {MLDSA44}, found {key.suite}", where=str(path))
    return key


def load_public(path: Path) -> PublicKey:
    """The public key in a file: a verifier key, or a key file, which is not opened."""
    raw = read(path)
    with naming(path):
        if raw.startswith(b"{"):
            return keyfile.parse(raw).public
        return note.parse_vkey(raw.decode("utf-8", "replace").strip()).public


def with_keys(agreement: Agreement, publics: Iterable[PublicKey]) -> Agreement:
    """The agreement with those keys known that it names."""
    return agreement.resolve(key.raw for key in publics if key.suite == MLDSA44)


def with_source(agreement: Agreement, place: str | None, *, offline: bool = True) -> Agreement:
    """The agreement with the keys that lie at a source, which is not believed: each has its digest."""
    if not agreement.pinned or place is None:
        return agreement
    source = open_source(place, offline=offline)
    with naming(source.name):
        return resolve(source.fetch, agreement)


def load_witnesses(paths: Sequence[Path], agreement: Agreement) -> list[list[Cosigner]]:
    """Name and keys of each witness of the agreement of which a key is among these."""
    members = {key.name: (key.public, agreement.keys_of(member)) for member, key in _members(agreement)}
    found: dict[str, list[Cosigner]] = {}
    for path in paths:
        name, key = load_key(path)
        first, pair = members.get(name, (None, ()))
        if key.public != first and key.public not in {one.public for one in pair}:
            raise UsageFault(f"{name} is no witness of the agreement, or this is not its key", where=str(path))
        found.setdefault(name, []).append((name, key))
    return [sorted(keys, key=lambda each: each[1].public.suite) for keys in found.values()]


def _members(agreement: Agreement) -> Iterable[tuple[Member, VerifierKey]]:
    return ((member, agreement.witness_keys[member.principal]) for member in agreement.document.witnesses.members)


def beside(cosigners: Sequence[Cosigner], log_keys: Sequence[VerifierKey], state: Path) -> Witness:
    """A witness in the process of its log, for simulations and trials: its memory is made if there is none."""
    place = state / quote(cosigners[0][0], safe="")
    if not (place / "witness.db").exists():
        Witness.init(place, cosigners)
    opened = Witness.open(place, cosigners)
    if log_keys[0].name not in opened.logs:
        opened.add_log(log_keys)
    return opened
