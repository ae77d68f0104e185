# SPDX-License-Identifier: Apache-2.0
"""energy/v1: what an independent meter read at a facility in one window (F-12). It never sees the lab's filing."""

from __future__ import annotations

from typing import ClassVar

from pausectl.agreement.types import Count, Id, Instant, Name, Ratio, Signed
from pausectl.predicates.base import Header, Predicate, predicate


@predicate
class Energy(Predicate):
    """energy_wh: through the meter. pue: facility over IT energy. storage_change_energy_wh: positive when charging."""

    name: ClassVar[str] = "energy"
    role: ClassVar[str] = "meter"
    stream: ClassVar[str] = "energy"
    per_facility: ClassVar[bool] = True
    windowed: ClassVar[bool] = True

    energy_wh: Count
    facility: Id
    header: Header
    interval_end_at: Instant
    interval_start_at: Instant
    lab: Id
    meter_class: Name
    meter_id: Name
    non_ai_energy_wh: Count
    onsite_generation_energy_wh: Count
    pue: Ratio
    storage_change_energy_wh: Signed
