# SPDX-License-Identifier: Apache-2.0
"""From a source to authenticated entries: checkpoint, witness quorum, tiles, in that order, before a byte is used.

    ledger = open_ledger(source.fetch, agreement)
    for index, raw in ledger.entries(): …

Pure over `fetch`: the same code reads a URL, a directory and a zip, online and offline.
"""

from __future__ import annotations

import hashlib
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
    who cosigned. mirrored: when everything in it could be had from mirrors; None if that is not shown.
    """

    checkpoint: Checkpoint
    first: int
    by: int
    raw: bytes
    quorum: Quorum
    mirrored: int | None = None


@enforces("READ-1", "READ-11", "MARK-1")
def sight(raw: bytes, agreement: Agreement) -> Sighting:
    """Open a cosigned checkpoint under the agreement's log key and witness policy.

    agreement: with the keys that it names by digest (`resolve`); Unavailable if one is missing that would be needed.

    [READ-1] A reader MUST refuse a checkpoint without the log's signature or without the agreement's quorum of witness
    cosignatures, counted over distinct witnesses.

    [READ-11] A reader MUST NOT take a signature of the log, or a cosignature, for one where the agreement names an
    ML-DSA-44 key of the signer and there is no signature by that key as well.

    [MARK-1] The time of a cosigned checkpoint MUST be taken as the k-th smallest of its witness timestamps, k being the
    agreement's quorum.
    """
    opened, signed = _opened(raw, agreement)
    by_name = {keys[0].name: principal for principal, keys in agreement.witness_pairs.items()}
    times = cosignature.together(signed, list(agreement.witness_pairs.values()))
    quorum = _quorum(agreement, [by_name[name] for name in times])
    if not quorum.reached:
        _need_keys(agreement)
        raise Forged(f"checkpoint of size {opened.size}: cosigned by {quorum}")
    rising = sorted(times.values())
    first, by = rising[0], rising[agreement.document.witnesses.quorum - 1]
    if by > LAST_INSTANT:
        raise Forged(f"checkpoint of size {opened.size}: cosigned at {by} s, after the year 9999")
    return Sighting(opened, first, by, raw, quorum, _mirrored(signed, agreement, by))


@enforces("MARK-5")
def _mirrored(signed: note.Note, agreement: Agreement, by: int) -> int | None:
    """When a cosigned checkpoint's tree could be had from others than the log; by: when it existed.

    [MARK-5] A cosigned checkpoint MUST NOT be taken to show that its entries could be had but from the later of its own
    time and the k-th smallest timestamp of the agreement's mirrors that cosigned it, k being the quorum of mirrors and
    above 0.
    """
    quorum = agreement.document.mirrors.quorum
    times = sorted(cosignature.together(signed, list(agreement.mirror_pairs.values())).values())
    return max(by, times[quorum - 1]) if 0 < quorum <= len(times) else None


def _opened(raw: bytes, agreement: Agreement) -> tuple[Checkpoint, note.Note]:
    first, *more = agreement.log_pair
    return checkpoint.open(raw, first, also=more)


def _need_keys(agreement: Agreement) -> None:
    """Without a witness's key nobody can say that it did not cosign."""
    unknown = sorted(
        {member.principal for member in agreement.document.witnesses.members} - set(agreement.witness_pairs)
    )
    if unknown:
        hint = "it has to be at key/<digest> of the log, by the digest that the agreement has"
        raise Unavailable(
            f"the ML-DSA-44 key of {', '.join(unknown)} is not at hand, and the others are no quorum", hint=hint
        )


@enforces("READ-12")
def resolve(fetch: Fetch, agreement: Agreement) -> Agreement:
    """The agreement with the keys that it names by digest, as far as the log has them at `key/<digest>`.

    A key that is not there is missed only where its signature would be needed.

    [READ-12] A reader MUST refuse the bytes at `key/<digest>` unless their SHA-256 is that digest.
    """
    found = []
    for digest in agreement.pinned:
        if digest in agreement.resolved:
            continue
        path = key_path(digest)
        try:
            raw = fetch(path)
        except Unavailable:
            continue
        if hashlib.sha256(raw).hexdigest() != digest:
            raise Forged(f"expected a key of this SHA-256, found {len(raw)} bytes of another", where=path)
        found.append(raw)
    return agreement.resolve(found)


def key_path(digest: str) -> str:
    """Where a log has an ML-DSA-44 key of its own or of others, 1,312 bytes."""
    return f"key/{digest}"


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
            return evidence.format(evidence.prove(*pair, self.tiles.read, self.agreement.log_pair))
        except Malformed:  # a checkpoint of size 0
            return b""


def open_ledger(fetch: Fetch, agreement: Agreement) -> Ledger:
    """Read and check the head of one of the agreement's logs; entries are checked as they are read."""
    agreement = resolve(fetch, agreement)
    try:
        raw = fetch("checkpoint")
        agreement = agreement.of_log(origin_of(raw))
        head = sight(raw, agreement)
        if not head.checkpoint.size:
            raise Unavailable("the log is empty: not even the agreement is in it")
    except PausectlError as error:
        if "checkpoint" in error.where:
            raise
        raise error.at("checkpoint") from error
    return Ledger(agreement, head, Tiles(fetch, head.checkpoint.size, head.checkpoint.root))


def origin_of(raw: bytes) -> str:
    """Which log a checkpoint says that it is of; believed by nobody before the signature of that log is found."""
    return raw.partition(b"\n")[0].decode("utf-8", "replace")


def open_seen(raw: bytes, agreement: Agreement) -> Checkpoint:
    """A checkpoint kept from earlier: the log's signature is what counts, whoever cosigned it."""
    return _opened(raw, agreement)[0]
