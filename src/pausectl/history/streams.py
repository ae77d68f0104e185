# SPDX-License-Identifier: Apache-2.0
"""Sequence numbers: what is missing, what is repeated, what was said twice differently.

For each party and stream, 16 bytes of every statement id and its leaf index are kept (making two statements look like
one repeated takes 2^64 work). This grows with the ledger, by 24 bytes an entry.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from pausectl.history.records import Gap
from pausectl.predicates.base import Head

ID_BYTES = 16
#: So many numbers beyond a hole are kept, whatever they are; one more is not, and still shows as a gap.
MAX_AHEAD = 4096


@dataclass(slots=True)
class Stream:
    """ids, leaves: one of each for every number below `count`, without a hole. ahead: numbers beyond the first hole.

    beyond: the lowest number that was not kept.
    """

    ids: bytearray = field(default_factory=bytearray)
    leaves: array[int] = field(default_factory=lambda: array("Q"))
    ahead: dict[int, tuple[bytes, int]] = field(default_factory=dict)
    beyond: int | None = None

    @property
    def count(self) -> int:
        """How many statements stand without a hole."""
        return len(self.leaves)

    def at(self, sequence: int) -> tuple[bytes, int] | None:
        """Id prefix and leaf of a number, or None."""
        if sequence < self.count:
            return bytes(self.ids[sequence * ID_BYTES : (sequence + 1) * ID_BYTES]), self.leaves[sequence]
        return self.ahead.get(sequence)

    def put(self, sequence: int, prefix: bytes, leaf: int) -> None:
        """Enter a number that `at` does not know; `Streams.put` also keeps the list of those with holes."""
        if sequence != self.count and len(self.ahead) >= MAX_AHEAD:
            self.beyond = sequence if self.beyond is None else min(self.beyond, sequence)
            return
        self.ahead[sequence] = (prefix, leaf)
        while (following := self.ahead.pop(self.count, None)) is not None:
            self.ids += following[0]
            self.leaves.append(following[1])

    @property
    def hole(self) -> int | None:
        """The first missing number below one that is there, or None."""
        open_end = bool(self.ahead) or (self.beyond is not None and self.beyond >= self.count)
        return self.count if open_end else None


class Streams:
    """All streams of the ledger, by party and name. torn: those with a hole."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], Stream] = {}
        self.torn: set[tuple[str, str]] = set()

    def of(self, party: str, name: str) -> Stream:
        """The stream, made when first asked for."""
        return self.known.setdefault((party, name), Stream())

    def put(self, party: str, name: str, sequence: int, prefix: bytes, leaf: int) -> None:
        """Enter a number of a stream that it does not know."""
        stream = self.of(party, name)
        stream.put(sequence, prefix, leaf)
        if stream.hole is not None:
            self.torn.add((party, name))
        elif self.torn:
            self.torn.discard((party, name))

    def count(self, party: str, name: str) -> int:
        """How many statements of a stream stand without a hole."""
        stream = self.known.get((party, name))
        return stream.count if stream else 0

    def short(self, heads: Iterable[Head], index: int, speaks_for: Callable[[Head], bool]) -> Iterator[Gap]:
        """Where the ledger holds less than the heads at leaf `index` say, of streams that its signer may speak for."""
        for head in heads:
            count = self.count(head.party, head.stream)
            if count < head.count and speaks_for(head):
                yield Gap(head.party, head.stream, count, index)

    def holes(self, parties: frozenset[str], *, others: bool = False) -> Iterator[Gap]:
        """Numbers missing below one that is there, in the streams of `parties` (or of everybody else)."""
        for party, name in sorted(self.torn):
            stream = self.known[party, name]
            if stream.hole is not None and (party in parties) is not others:
                later = stream.ahead[min(stream.ahead)][1] if stream.ahead else -1
                yield Gap(party, name, stream.hole, later)
