# SPDX-License-Identifier: Apache-2.0
"""k of n, answered with who signed and who is missing; never a bare bool."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pausectl.errors import Malformed
from pausectl.registry import enforces


@dataclass(frozen=True, slots=True)
class Quorum:
    """threshold: how many principals must sign. signed, missing: which did and did not, sorted."""

    threshold: int
    signed: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def reached(self) -> bool:
        """Whether enough distinct principals signed."""
        return len(self.signed) >= self.threshold

    def __str__(self) -> str:
        missing = f"; missing: {', '.join(self.missing)}" if self.missing else ""
        return f"{len(self.signed)} of the {self.threshold} required ({', '.join(self.signed) or 'nobody'}{missing})"


@enforces("AGR-3")
def count(members: Iterable[str], threshold: int, signed: Iterable[str]) -> Quorum:
    """Count principals against a threshold.

    [AGR-3] A threshold MUST be counted over distinct principals, never over keys, keyids or signatures.
    """
    roll = list(members)
    if len(set(roll)) != len(roll) or not 1 <= threshold <= len(roll):
        raise Malformed(f"threshold: expected 1 to {len(set(roll))} of distinct members, found {threshold}")
    present = set(signed) & set(roll)
    return Quorum(threshold, tuple(sorted(present)), tuple(sorted(set(roll) - present)))
