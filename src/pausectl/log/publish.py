# SPDX-License-Identifier: Apache-2.0
"""What a log makes of its witnesses' answers: verified lines, a quorum, and what was said instead.

A witness is any function from the body of add-checkpoint to the body of its answer: signature lines (200), or the size
that it cosigned last (409). It raises for everything else. `log.witnesses` makes one from a URL, and whatever is
`Named` is called by its name. `log.panel` asks them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pausectl.agreement.document import Agreement
from pausectl.agreement.quorum import Quorum, count
from pausectl.errors import PausectlError, Refused
from pausectl.history.reader import sight
from pausectl.registry import enforces
from pausectl.wire import cosignature, note, witness
from pausectl.wire.note import Note, Signature

Witness = Callable[[bytes], bytes]

_LINE = "\u2014 ".encode()


class Contradicted(Refused):
    """A witness knows another history than this: the log was set back or forked, or somebody else has its key."""


@dataclass(frozen=True, slots=True)
class Named:
    """A witness with a name for people. far: not in this process, so that it is not waited for without need."""

    name: str
    ask: Witness
    far: bool = False

    def __call__(self, request: bytes) -> bytes:
        """Ask it."""
        return self.ask(request)


@dataclass(frozen=True, slots=True)
class Heard:
    """signed: the checkpoint with the cosignatures. quorum: whose they are. complaints: of the others, for people.

    contradicted: who knows another history of this log; their complaints say FORK SIGNAL.
    """

    signed: Note
    quorum: Quorum
    complaints: tuple[str, ...]
    contradicted: tuple[str, ...] = ()


def quorate(raw: bytes, agreement: Agreement) -> bool:
    """Whether readers would take this checkpoint, by their own function."""
    try:
        sight(raw, agreement)
    except PausectlError:
        return False
    return True


def by_name(witnesses: Sequence[Witness]) -> dict[str, Witness]:
    """What each is called; one that is given twice is asked once."""
    count = len(witnesses)
    return {
        ask.name if isinstance(ask, Named) else f"witness {place} of {count}": ask
        for place, ask in enumerate(witnesses, start=1)
    }


def conflict(answer: bytes) -> int | None:
    """The size that a witness says it cosigned last, or None if it answered with lines."""
    return None if answer.startswith(_LINE) else witness.parse_conflict(answer)


@enforces("LOG-19")
def verified(answer: bytes, head: Note, agreement: Agreement) -> list[Signature]:
    """One witness's lines for the checkpoint `head`, of one time where it has several keys.

    [LOG-19] A log MUST publish only cosignatures by witnesses of its agreement, each of which it has verified.
    """
    pairs = list(agreement.witness_pairs.values())
    keys = {(key.name, key.key_id): key for own in pairs for key in own}
    found: dict[tuple[str, bytes], Signature] = {}
    for line in witness.parse_response(answer):
        place = (line.name, line.key_id)
        if place in keys:
            cosignature.open_cosignature(head.text, line, keys[place])
            found.setdefault(place, line)
    if not found:
        raise Refused("answered, but with no line by a witness of the agreement")
    times = cosignature.together(note.add(head, found.values()), pairs)
    whole = [line for line in found.values() if times.get(line.name) == cosignature.time_of(line)]
    if not whole:
        names = ", ".join(sorted({line.name for line in found.values()}))
        raise Refused(f"{names} answered with one of its keys, where the agreement asks for two, at one time")
    return whole


def quorum(signed: Note, agreement: Agreement) -> Quorum:
    """Which principals cosigned a checkpoint, against how many have to."""
    names = {keys[0].name: principal for principal, keys in agreement.witness_pairs.items()}
    times = cosignature.together(signed, list(agreement.witness_pairs.values()))
    policy = agreement.document.witnesses
    return count([member.principal for member in policy.members], policy.quorum, [names[name] for name in times])
