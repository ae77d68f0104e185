# SPDX-License-Identifier: Apache-2.0
"""order/v1: the overseers, k of n, start, renew or lift a pause. declaration/v1: a lab pauses by itself."""

from __future__ import annotations

from typing import ClassVar, Literal

from pausectl.agreement.types import Positive, Text
from pausectl.predicates.base import Header, Predicate, predicate

Action = Literal["pause", "renew", "lift"]


@predicate
class Order(Predicate):
    """term_windows: how long, for `pause` and `renew`; 1 and without meaning for `lift`."""

    name: ClassVar[str] = "order"
    role: ClassVar[str] = "overseers"
    stream: ClassVar[str] = "orders"

    action: Action
    header: Header
    reason: Text
    term_windows: Positive


@predicate
class Declaration(Predicate):
    """The same events for one lab, signed by it alone. It can tighten what the overseers ordered, never loosen it."""

    name: ClassVar[str] = "declaration"
    role: ClassVar[str] = "lab"
    stream: ClassVar[str] = "declarations"

    action: Action
    header: Header
    reason: Text
    term_windows: Positive
