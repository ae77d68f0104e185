# SPDX-License-Identifier: Apache-2.0
"""Sequence numbers: what is missing, what is repeated, what was said twice differently.

For each party and stream, 16 bytes of every statement id and its leaf index are kept (making two statements look like
one repeated takes 2^64 work). That is the only memory that grows with the ledger: 24 MB for a million entries.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

ID_BYTES = 16
#: A number further ahead than this is not kept: a hostile 2^53 must not cost memory. It still shows as a gap.
MAX_AHEAD = 4096


@dataclass(slots=True)
class Stream:
    """ids, leaves: one of each for every number below `count`, without a hole. ahead: numbers beyond the first hole.

    beyond: the lowest number that was too far ahead to be kept.
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
        """Enter a number that `at` does not know."""
        if sequence > self.count + MAX_AHEAD:
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
