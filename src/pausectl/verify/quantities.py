# SPDX-License-Identifier: Apache-2.0
"""Compute as a case shows it: one place where filings become numbers.

Caps look at the *largest* of all filings for a facility and window, so that no correction lowers what was once said;
identities look at the *latest*, because an honest error must be repairable.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pausectl.accounting import compute
from pausectl.agreement.document import Agreement
from pausectl.history.records import Case, Filed
from pausectl.predicates.base import IDLE, TRAINING, Category
from pausectl.predicates.usage import Usage, Work


@dataclass(frozen=True, slots=True)
class Amount:
    """pflop at the agreement's utilisation for caps, rounded up. unknown: skus without an agreed peak."""

    pflop: int
    entries: tuple[int, ...]
    missing: tuple[str, ...]
    unknown: tuple[str, ...]


def peak(agreement: Agreement, sku: str, precision: str | None) -> int:
    """gflop_per_second at a precision; of the sku's best format where none is attested; 0 where nothing is agreed."""
    return agreement.peaks.get((sku, precision), 0)


def gflop(agreement: Agreement, work: Iterable[Work], categories: frozenset[Category]) -> int:
    """Σ accelerator_seconds × peak (10^9 operations) of the work in these categories."""
    peaks = agreement.peaks
    return sum(
        item.accelerator_seconds * peaks.get((item.sku, item.precision), 0)
        for item in work
        if item.category in categories
    )


ALL: frozenset[Category] = frozenset(Category.__args__)  # type: ignore[attr-defined]
ACTIVE: frozenset[Category] = ALL - IDLE


def largest(case: Case, categories: frozenset[Category]) -> Amount:
    """Operations of a lab in a window: for each facility the largest filing, then the sum."""
    total = 0
    entries: list[int] = []
    missing: list[str] = []
    unknown: set[str] = set()
    for facility in case.facilities:
        versions = case.book.usage.get(facility, [])
        if not versions:
            missing.append(facility)
            continue
        amount, index = max((gflop(case.agreement, filed.claim.work, categories), -filed.index) for filed in versions)
        total += amount
        entries.append(-index)
        unknown |= set().union(*(without_peak(case.agreement, filed, categories) for filed in versions))
    caps = case.agreement.document.mfu.caps.value
    return Amount(compute.ceil(compute.pflop(total, caps)), tuple(entries), tuple(missing), tuple(sorted(unknown)))


def without_peak(agreement: Agreement, filed: Filed[Usage], categories: frozenset[Category]) -> set[str]:
    """What a filing names for which the agreement has no peak."""
    return {
        f"{item.sku} at {item.precision or 'any format'}"
        for item in filed.claim.work
        if item.category in categories and item.accelerator_seconds and not peak(agreement, item.sku, item.precision)
    }


__all__ = ["ACTIVE", "ALL", "TRAINING", "Amount", "gflop", "largest", "peak", "without_peak"]
