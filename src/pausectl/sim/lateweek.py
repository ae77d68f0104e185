# SPDX-License-Identifier: Apache-2.0
"""One window with slow witnesses and a slow log, read step by step: the example of specs/reading.md.

    print(ticks())      the marks, what each covers, and its two times

Three labs file: in time, around the deadline while the log is slow, and after it.
"""

from __future__ import annotations

from functools import lru_cache

from pausectl.agreement.types import instant
from pausectl.history import reader
from pausectl.history.reader import Sighting
from pausectl.predicates import base
from pausectl.predicates.checkpoint import Mark
from pausectl.sim.ledger import MemoryLedger
from pausectl.sim.world import DAY, HOUR, World
from pausectl.wire import cosignature, dsse, note

LAG = (0, 4, 9, 31)  # seconds until each witness has cosigned


class SlowWitnesses(MemoryLedger):
    """As witnesses are: each cosigns in its own time."""

    def cosigned(self, now: int, *, size: int | None = None, root: bytes | None = None) -> bytes:
        """The same checkpoint, with times that differ."""
        signed = note.parse(super().cosigned(now, size=size, root=root))
        own = note.Note(signed.text, signed.signatures[:1])
        keys = self.agreement.witness_keys
        lines = [
            cosignature.cosign(own.text, keys[name].name, self._keys[name], now + lag)
            for name, lag in zip(keys, LAG, strict=True)
        ]
        return note.add(own, lines).raw


@lru_cache(maxsize=1)
def world() -> World:
    """The week, played."""
    played = World(windows=1, pause_at=None, open_ledger=lambda agreement, keys, _now: SlowWitnesses(agreement, keys))
    for lab in played.people.values():
        lab.begin(played)
    played.until(played.start(0) - 10 * DAY)
    due = played.start(1) + played.agreement.document.deadlines.filing_seconds
    for name, said, published in (("aurora", -42, -36), ("borealis", -1, 1), ("cirrus", 2, 3)):
        played.now = due + said * HOUR
        played.people[name].file(played, 0)
        played.until(due + published * HOUR)
    played.until(played.start(1) + 4 * DAY)
    return played


def head() -> str:
    """The newest checkpoint."""
    return f"```\n{world().memory.head.decode()}```\n"


def times() -> str:
    """Its cosignatures, in order of time, and what is taken from them."""
    agreement = world().agreement
    found = cosignature.cosignatures(note.parse(world().memory.head), list(agreement.witness_keys.values()))
    quorum = agreement.document.witnesses.quorum
    taken = {1: "`first`: the smallest", quorum: f"`by`: the k-th smallest, k = {quorum}"}
    rows = [
        f"| {place} | {name} | {instant(found[name])} | {taken.get(place, '')} |\n"
        for place, name in enumerate(sorted(found, key=found.__getitem__), 1)
    ]
    return "| | witness | time | |\n|---|---|---|---|\n" + "".join(rows)


def marks() -> list[tuple[str, Sighting]]:
    """Where each mark stands, and what it is; the head is the last, and stands nowhere."""
    entries = list(enumerate(world().memory.entries))[1:]  # entry 0 is the agreement
    claims = ((f"entry {place}", base.read(dsse.parse(raw).payload)) for place, raw in entries)
    notes = [(place, claim.checkpoint.encode()) for place, claim in claims if isinstance(claim, Mark)]
    return [(place, reader.sight(raw, world().agreement)) for place, raw in [*notes, ("the head", world().memory.head)]]


def ticks() -> str:
    """The marks as a table."""
    rows = [
        f"| {place} | 0 to {seen.checkpoint.size - 1} | {instant(seen.first)} | {instant(seen.by)} |\n"
        for place, seen in marks()
    ]
    return "| mark | covers entries | `first` | `by` |\n|---|---|---|---|\n" + "".join(rows)


def intervals() -> str:
    """The usage statements, their intervals, and what TIM-1 says of each."""
    rows = ["| entry | usage of | `not_yet` | `by` | TIM-1 |", "|---|---|---|---|---|"]
    for finding in world().verify().judgement.findings:
        if finding.rule == "TIM-1" and finding.message.startswith("usage"):
            (entry,) = finding.entries
            sizes = [(seen.checkpoint.size, seen) for _, seen in marks()]
            not_yet = [seen for size, seen in sizes if size <= entry][-1].first
            by = next(seen for size, seen in sizes if size > entry).by
            rows.append(f"| {entry} | {finding.lab} | {instant(not_yet)} | {instant(by)} | {finding.outcome} |")
    return "\n".join(rows) + "\n"
