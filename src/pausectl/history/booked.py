# SPDX-License-Identifier: Apache-2.0
"""Time that usage statements book to runs, as operations at peak."""

from __future__ import annotations

from collections.abc import Iterable

from pausectl.agreement.document import Agreement
from pausectl.history.records import Filed
from pausectl.predicates.usage import Usage


def booked(agreement: Agreement, facilities: Iterable[list[Filed[Usage]]]) -> dict[str, int]:
    """run_id → Σ accelerator_seconds × peak (10^9 operations) of one window; of several versions the largest counts."""
    total: dict[str, int] = {}
    for versions in facilities:
        largest: dict[str, int] = {}
        for filed in versions:
            here: dict[str, int] = {}
            for booking in filed.claim.bookings:
                peak = agreement.peaks.get((booking.sku, booking.precision), 0)
                here[booking.run_id] = here.get(booking.run_id, 0) + booking.accelerator_seconds * peak
            largest = {run: max(largest.get(run, 0), here.get(run, 0)) for run in {*largest, *here}}
        for run, gflop in largest.items():
            total[run] = total.get(run, 0) + gflop
    return total
