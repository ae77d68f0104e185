# SPDX-License-Identifier: Apache-2.0
"""Asking witnesses: one request to each, the lines of those that answered, and what the others said instead.

A witness is any function from the body of add-checkpoint to the body of its answer: signature lines (200), or the size
that it cosigned last (409). It raises Refused or Unavailable for everything else; an HTTP client is such a function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pausectl.agreement.document import Agreement
from pausectl.agreement.quorum import Quorum, count
from pausectl.errors import Broken, PausectlError, Refused, Unavailable
from pausectl.history.reader import sight
from pausectl.history.tiles import Tiles
from pausectl.registry import enforces
from pausectl.wire import cosignature, merkle, note, witness
from pausectl.wire.merkle import Hash
from pausectl.wire.note import Note, Signature

Witness = Callable[[bytes], bytes]

_LINE = "\u2014 ".encode()


@dataclass(frozen=True, slots=True)
class Heard:
    """signed: the checkpoint with the cosignatures. quorum: whose they are. complaints: of the others, for people."""

    signed: Note
    quorum: Quorum
    complaints: tuple[str, ...]


def quorate(raw: bytes, agreement: Agreement) -> bool:
    """Whether readers would take this checkpoint, by their own function."""
    try:
        sight(raw, agreement)
    except PausectlError:
        return False
    return True


def collect(head: bytes, tiles: Tiles, agreement: Agreement, witnesses: Sequence[Witness], old: int) -> Heard:
    """Ask every witness to cosign the checkpoint `head` of these tiles; a quorum is for the caller to demand.

    old: the size that they are believed to have cosigned last. One that fails, or answers nonsense, does not keep the
    others from being asked.
    """
    signed = note.parse(head)
    complaints = []
    for place, ask in enumerate(witnesses, start=1):
        try:
            signed = note.add(signed, _new(signed, _cosignatures(ask, signed, head, tiles, old, agreement)))
        except Broken:
            raise
        except PausectlError as error:
            complaints.append(f"witness {place} of {len(witnesses)}: {error}")
    names = {keys[0].name: principal for principal, keys in agreement.witness_pairs.items()}
    times = cosignature.together(signed, list(agreement.witness_pairs.values()))
    members = [member.principal for member in agreement.document.witnesses.members]
    quorum = count(members, agreement.document.witnesses.quorum, [names[name] for name in times])
    return Heard(signed, quorum, tuple(complaints))


@enforces("LOG-19")
def _cosignatures(
    ask: Witness, signed: Note, head: bytes, tiles: Tiles, old: int, agreement: Agreement
) -> list[Signature]:
    """One witness's lines, of one time where it has several keys.

    [LOG-19] A log MUST publish only cosignatures by witnesses of its agreement, each of which it has verified.
    """
    pairs = list(agreement.witness_pairs.values())
    keys = {(key.name, key.key_id): key for own in pairs for key in own}
    found = []
    for line in _answer(ask, head, tiles, old):
        key = keys.get((line.name, line.key_id))
        if key is not None:
            cosignature.open_cosignature(signed.text, line, key)
            found.append(line)
    if not found:
        raise Refused("answered, but with no line by a witness of the agreement")
    times = cosignature.together(note.add(note.parse(head), found), pairs)
    whole = [line for line in found if times.get(line.name) == cosignature.time_of(line)]
    if not whole:
        names = ", ".join(sorted({line.name for line in found}))
        raise Refused(f"{names} answered with one of its keys, where the agreement asks for two, at one time")
    return whole


def _answer(ask: Witness, head: bytes, tiles: Tiles, old: int) -> tuple[Signature, ...]:
    """Signature lines, if need be at the second attempt, from the size that the witness says it knows."""
    known = old
    for _ in range(2):
        answer = ask(witness.format_request(witness.Request(known, _proof(known, tiles), head)))
        if answer.startswith(_LINE):
            return witness.parse_response(answer)
        said = witness.parse_conflict(answer)
        if said > tiles.size:
            hint = "either this log was set back, or somebody else signs with its key"
            raise Refused(f"has cosigned {said} entries of this log, which has {tiles.size}", hint=hint)
        known = said
    raise Unavailable(f"says again that it cosigned another size, now {known}: somebody else is asking it too")


def _proof(old: int, tiles: Tiles) -> tuple[Hash, ...]:
    return merkle.prove_consistency(old, tiles.size, tiles.read) if old else ()


def _new(signed: Note, lines: Sequence[Signature]) -> list[Signature]:
    """One line for each key is enough; a witness that is asked twice would have two."""
    have = {(line.name, line.key_id) for line in signed.signatures}
    kept: dict[tuple[str, bytes], Signature] = {}
    for line in lines:
        kept.setdefault((line.name, line.key_id), line)
    return [line for place, line in kept.items() if place not in have]
