# SPDX-License-Identifier: Apache-2.0
"""inventory/v1: the accelerators of one facility over one window, item by item (F-11, F-32)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pausectl.agreement.types import Count, Digest, Id, Instant, Model, Name, Positive
from pausectl.predicates.base import Header, Predicate, predicate

Place = Literal["installed", "spare", "sealed", "retired", "outside"]


class Holding(Model):
    """How many items are in each place."""

    installed_count: Count
    retired_count: Count
    sealed_count: Count
    spare_count: Count


class Move(Model):
    """`count` items went from one place to another; `outside` is the world, and then the counterparty is named."""

    at: Instant
    count: Positive
    counterparty: Name | None
    destination: Place
    origin: Place


class Stock(Model):
    """One kind of accelerator. serials_root: salted commitment to the sorted serial numbers at the end."""

    beginning: Holding
    ending: Holding
    moves: tuple[Move, ...]
    serials_root: Digest
    sku: Id


@predicate
class Inventory(Predicate):
    """What stood in a facility, and every change."""

    name: ClassVar[str] = "inventory"
    role: ClassVar[str] = "lab"
    stream: ClassVar[str] = "inventory"
    per_facility: ClassVar[bool] = True
    windowed: ClassVar[bool] = True

    facility: Id
    header: Header
    location_class: Literal["own", "colocation", "cloud"]
    seal_ids: tuple[Name, ...]
    stock: tuple[Stock, ...]
