# SPDX-License-Identifier: Apache-2.0
"""close/v1: whoever can act against a lab says how far its streams go, so that silence about a lab is visible too."""

from __future__ import annotations

from typing import ClassVar

from pausectl.predicates.base import Head, Header, Predicate, predicate


@predicate
class Close(Predicate):
    """heads: of all streams of this party, and of those of the bodies it sits in."""

    name: ClassVar[str] = "close"
    role: ClassVar[str] = "overseer evaluator meter intake"
    stream: ClassVar[str] = "close"
    windowed: ClassVar[bool] = True

    header: Header
    heads: tuple[Head, ...]
