# SPDX-License-Identifier: Apache-2.0
"""Who is bound when everybody says "if the others": the greatest set that satisfies all of its own conditions.

A says "if two others", B says "if A": the least fixed point is nobody (everyone waits for everyone), the greatest is
both. Conditions are monotone (more members never make one false), so the greatest set exists, is unique, and is what
remains after striking out whoever is not satisfied until nobody is (specs/agreement.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from pausectl.registry import enforces


@dataclass(frozen=True, slots=True)
class Pledge:
    """One lab's accession: what it brings, and what it asks of the set of bound labs (itself included).

    weight: its declared frontier accelerators, in H100 equivalents. A unilateral pledge asks nothing.
    """

    jurisdiction: str
    weight: int
    min_parties: int = 1
    min_jurisdictions: int = 1
    min_share: Fraction = Fraction(0)
    required: frozenset[str] = frozenset()

    def satisfied(self, bound: Mapping[str, Pledge], total_weight: int) -> bool:
        """Whether this pledge binds, if exactly `bound` are bound."""
        share = Fraction(sum(pledge.weight for pledge in bound.values()), total_weight or 1)
        return (
            len(bound) >= self.min_parties
            and len({pledge.jurisdiction for pledge in bound.values()}) >= self.min_jurisdictions
            and share >= self.min_share
            and self.required <= bound.keys()
        )


@enforces("AGR-6")
def bound_by(pledges: Mapping[str, Pledge]) -> frozenset[str]:
    """The labs that are bound.

    [AGR-6] A lab MUST be treated as bound exactly if it belongs to the greatest set of acceded labs in which the
    condition of every member holds.
    """
    total = sum(pledge.weight for pledge in pledges.values())
    bound = dict(pledges)
    while True:
        kept = {lab: pledge for lab, pledge in bound.items() if pledge.satisfied(bound, total)}
        if len(kept) == len(bound):
            return frozenset(kept)
        bound = kept
