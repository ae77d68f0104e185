# SPDX-License-Identifier: Apache-2.0
"""usage/v1: what the accelerators of one facility did in one window; it closes the window for its lab (F-08, F-14)."""

from __future__ import annotations

from typing import ClassVar

from pausectl.agreement.types import BigCount, Count, Digest, Id, Model, Positive
from pausectl.predicates.base import Category, Head, Header, Precision, Predicate, predicate
from pausectl.wire.statement import Subject


class Work(Model):
    """Accelerator time of one sku in one category. precision: null where nothing is computed."""

    accelerator_seconds: Count
    category: Category
    energy_wh: Count | None
    precision: Precision | None
    sku: Id
    tokens_count: Count | None


class Booking(Model):
    """The part of the window's training time that one registered run used."""

    accelerator_seconds: Count
    precision: Precision
    run_id: Id
    sku: Id


class Lease(Model):
    """Accelerator time borrowed from somebody else; lent time is the category `leased_out`."""

    accelerator_seconds: Count
    lender: Id
    sku: Id


class Telemetry(Model):
    """Commitment to the sealed rows behind these numbers (specs/sealing.md). Sums are 64 bit, so they stand as text."""

    block_rows: Positive
    duration_ms: BigCount
    energy_mj: BigCount
    gap_ms: BigCount
    rows_count: Count
    seal_id: Digest
    seal_root: Digest


@predicate
class Usage(Predicate):
    """heads: of the lab's other streams at this time, so that hiding their tail shows."""

    name: ClassVar[str] = "usage"
    role: ClassVar[str] = "lab"
    stream: ClassVar[str] = "usage"
    per_facility: ClassVar[bool] = True
    windowed: ClassVar[bool] = True

    bookings: tuple[Booking, ...]
    facility: Id
    header: Header
    heads: tuple[Head, ...]
    leases_in: tuple[Lease, ...]
    telemetry: Telemetry | None
    work: tuple[Work, ...]

    def subject(self) -> Subject:
        """The sealed telemetry where there is any."""
        return Subject("telemetry", self.telemetry.seal_id) if self.telemetry else super().subject()
