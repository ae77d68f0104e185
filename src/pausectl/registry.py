# SPDX-License-Identifier: Apache-2.0
"""Names for things, and the thread from a spec sentence to the code that keeps it.

`enforces("NOTE-3")` marks the function that keeps a sentence about *bytes* (it raises); the decorator `rule` of
`pausectl.verify.rules` marks the one that *judges* (it returns findings). A test compares both sets with the ids in
specs/, and each docstring with the sentence it quotes. This module knows nothing of what it holds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

_clauses: dict[str, list[Callable[..., Any]]] = {}
_things: dict[str, dict[str, Any]] = {}


def enforces(*clauses: str) -> Callable[[F], F]:
    """Mark a function as the one that keeps these spec sentences; its docstring must quote each of them."""

    def mark(function: F) -> F:
        for clause in clauses:
            _clauses.setdefault(clause, []).append(function)
        return function

    return mark


def enforcers() -> dict[str, list[Callable[..., Any]]]:
    """Spec id → the functions imported so far that claim to keep it."""
    return dict(_clauses)


def register(kind: str, name: str, thing: Any) -> None:  # noqa: ANN401
    """Enter a rule, predicate, evasion or collector; ours and a stranger's come in by this one door."""
    shelf = _things.setdefault(kind, {})
    if shelf.setdefault(name, thing) is not thing:
        raise ValueError(f"{kind} {name!r} is already registered")


def registered(kind: str) -> dict[str, Any]:
    """Name → thing for one kind, in the order of registration."""
    return dict(_things.get(kind, {}))
