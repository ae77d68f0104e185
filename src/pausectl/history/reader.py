# SPDX-License-Identifier: Apache-2.0
"""From a source to authenticated entries: checkpoint, witness quorum, tiles, in that order, before a byte is used.

    ledger = open_ledger(source.fetch, agreement)
    for index, raw in ledger.entries(): …

Pure over `fetch`: the same code reads a URL, a directory and a zip, online and offline.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pausectl.agreement.document import Agreement
from pausectl.agreement.quorum import Quorum, count
from pausectl.errors import Forged, Malformed, PausectlError, SplitView, Unavailable
from pausectl.history.tiles import Fetch, Tiles
from pausectl.registry import enforces
from pausectl.wire import checkpoint, cosignature, evidence, note, tile
from pausectl.wire.checkpoint import Checkpoint

#: 9999-12-31T23:59:59Z, after which no instant can be written.
LAST_INSTANT = 253_402_300_799


@dataclass(frozen=True, slots=True)
class Sighting:
    """A checkpoint with a witness quorum: its tree existed `by`, and was witnessed from `first` on (POSIX seconds).

    by: the k-th smallest of the cosignatures' times, which no f liars can bring forward. first: the smallest. quorum:
    who cosigned.
    """

    checkpoint: Checkpoint
    first: int
    by: int
    raw: bytes
    quorum: Quorum


@enforces("READ-1", "MARK-1")
def sight(raw: bytes, agreement: Agreement) -> Sighting:
    """Open a cosigned checkpoint under the agreement's log key and witness policy.

    [READ-1] A reader MUST refuse a checkpoint without the log's signature or without the agreement's quorum of witness
    cosignatures, counted over distinct witnesses.

    [MARK-1] The time of a cosigned checkpoint MUST be taken as the k-th smallest of its witness timestamps, k being the
    agreement's quorum.
    """
    opened, signed = checkpoint.open(raw, agreement.log_key)
    by_name = {key.name: principal for principal, key in agreement.witness_keys.items()}
    times = cosignature.cosignatures(signed, list(agreement.witness_keys.values()))
    quorum = _quorum(agreement, [by_name[name] for name in times])
    if not quorum.reached:
        raise Forged(f"checkpoint of size {opened.size}: cosigned by {quorum}")
    rising = sorted(times.values())
    first, by = rising[0], rising[agreement.document.witnesses.quorum - 1]
    if by > LAST_INSTANT:
        raise Forged(f"checkpoint of size {opened.size}: cosigned at {by} s, after the year 9999")
    return Sighting(opened, first, by, raw, quorum)


def _quorum(agreement: Agreement, signed: Iterable[str]) -> Quorum:
    policy = agreement.document.witnesses
    return count([member.principal for member in policy.members], policy.quorum, signed)


@dataclass(frozen=True, slots=True)
class Ledger:
    """An authenticated tree and its head."""

    agreement: Agreement
    head: Sighting
    tiles: Tiles

    @property
    def size(self) -> int:
        """How many entries."""
        return self.head.checkpoint.size

    def bundles(self, start: int = 0) -> Iterator[tile.Bundle]:
        """Coordinates of the bundles that hold entry `start` and later ones."""
        for bundle in tile.bundles_for(self.size):
            if bundle.index * tile.WIDTH + bundle.width > start:
                yield bundle

    def entries(self, start: int = 0) -> Iterator[tuple[int, bytes]]:
        """(index, bytes) of every entry from `start` on, each compared with its leaf hash first."""
        for bundle in self.bundles(start):
            for offset, raw in enumerate(self.tiles.bundle(bundle)):
                index = bundle.index * tile.WIDTH + offset
                if index >= start:
                    yield index, raw

    @enforces("READ-5")
    def agrees_with(self, seen: Checkpoint, raw: bytes) -> None:
        """Compare with a checkpoint that this log signed for somebody else, or for us earlier.

        [READ-5] A reader MUST refuse a tree that does not contain the tree of every other checkpoint of the same log
        that it was given, and keep both signed notes where the two contradict each other.
        """
        if seen.size > self.size:
            raise Unavailable(
                f"the log shows {self.size} entries, but signed a checkpoint of {seen.size} before: it is rolled back "
                "or this copy is old",
                hint="fetch the log again; if it stays short, keep the larger checkpoint: it is evidence",
            )
        if self.tiles.root(seen.size) != seen.root:
            raise SplitView(f"the log signed two different trees of its first {seen.size} entries", raw, self.head.raw)

    def evidence(self, split: SplitView, got: tuple[str, str]) -> bytes:
        """The evidence file of a split view that this tree is one side of, or b"" if it takes more than this tree.

        got: where each of the two checkpoints is from.
        """
        pair = ((got[0], split.first), (got[1], split.second))
        try:
            return evidence.format(evidence.prove(*pair, self.tiles.read))
        except Malformed:  # a checkpoint of size 0
            return b""


def open_ledger(fetch: Fetch, agreement: Agreement) -> Ledger:
    """Read and check the head of a log; entries are checked as they are read."""
    try:
        head = sight(fetch("checkpoint"), agreement)
        if not head.checkpoint.size:
            raise Unavailable("the log is empty: not even the agreement is in it")
    except PausectlError as error:
        if "checkpoint" in error.where:
            raise
        raise error.at("checkpoint") from error
    return Ledger(agreement, head, Tiles(fetch, head.checkpoint.size, head.checkpoint.root))


def open_seen(raw: bytes, agreement: Agreement) -> Checkpoint:
    """A checkpoint kept from earlier: the log's signature is what counts, whoever cosigned it."""
    return checkpoint.open(raw, agreement.log_key)[0]


def log_line(signed: note.Note, agreement: Agreement) -> note.Signature:
    """The log's own signature line of a note."""
    return note.open(signed, [agreement.log_key])[0]
