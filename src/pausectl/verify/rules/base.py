# SPDX-License-Identifier: Apache-2.0
"""One MUST, one function. A rule looks at a case (or at the whole history) and says what it found, everything it found.

    @rule("COV-1")
    def every_due_statement_is_filed(case: Case) -> Iterator[Said]:
        '''[COV-1] A lab MUST file … (the sentence, word for word as in specs/verification.md)

        Why: …

        Cannot see: …
        '''

The engine adds rule, lab and window, and answers NOT_IN_FORCE itself. Rules never raise for what a lab did: a rule that
raises is a bug of ours, ends in exit 5, and leaves the labs it concerns without a verdict.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, TypeVar

from pausectl.history.records import Case
from pausectl.history.replay import History
from pausectl.registry import register, registered


class Outcome(StrEnum):
    """What a rule can find."""

    HOLDS = "HOLDS"
    VIOLATED = "VIOLATED"
    UNPROVEN = "UNPROVEN"
    NOT_APPLICABLE = "NOT_APPLICABLE"
    NOT_IN_FORCE = "NOT_IN_FORCE"


class Said(NamedTuple):
    """A rule's answer. entries: leaf indices of the evidence. lab: only for rules about the whole history."""

    outcome: Outcome
    message: str
    entries: tuple[int, ...] = ()
    lab: str | None = None


class Finding(NamedTuple):
    """An answer with its place. window: number and bounds in POSIX seconds, or None for findings beyond windows."""

    rule: str
    outcome: Outcome
    lab: str | None
    window: tuple[int, int, int] | None
    message: str
    entries: tuple[int, ...]


CaseCheck = Callable[[Case], Iterator[Said]]
LedgerCheck = Callable[[History], Iterator[Said]]
CC = TypeVar("CC", bound=CaseCheck)
LC = TypeVar("LC", bound=LedgerCheck)


@dataclass(frozen=True, slots=True)
class Rule:
    """sentence: as in the spec. why, cannot_see: for `pausectl explain`. of_case: per lab and window, or per ledger."""

    id: str
    sentence: str
    why: str
    cannot_see: str
    check: Callable[..., Iterator[Said]]
    of_case: bool


def rule(rule_id: str) -> Callable[[CC], CC]:
    """Register a rule about one lab in one window."""

    def enter(check: CC) -> CC:
        register("rule", rule_id, _rule(rule_id, check, of_case=True))
        return check

    return enter


def ledger_rule(rule_id: str) -> Callable[[LC], LC]:
    """Register a rule about the ledger as a whole."""

    def enter(check: LC) -> LC:
        register("rule", rule_id, _rule(rule_id, check, of_case=False))
        return check

    return enter


def rules() -> dict[str, Rule]:
    """All rules known, by id."""
    return registered("rule")


def _rule(rule_id: str, check: Callable[..., Iterator[Said]], *, of_case: bool) -> Rule:
    paragraphs = [" ".join(p.split()) for p in re.split(r"\n\s*\n", inspect.getdoc(check) or "")]

    def part(start: str) -> str:
        return next((p.removeprefix(start).strip() for p in paragraphs if p.startswith(start)), "")

    return Rule(rule_id, part(f"[{rule_id}]"), part("Why:"), part("Cannot see:"), check, of_case)


def holds(message: str, *entries: int, lab: str | None = None) -> Said:
    """The evidence puts it on the permitted side."""
    return Said(Outcome.HOLDS, message, entries, lab)


def violated(message: str, *entries: int, lab: str | None = None) -> Said:
    """Signed evidence contradicts the rule."""
    return Said(Outcome.VIOLATED, message, entries, lab)


def unproven(message: str, *entries: int, lab: str | None = None) -> Said:
    """Missing, late, or too uncertain to say."""
    return Said(Outcome.UNPROVEN, message, entries, lab)


def not_applicable(message: str, *entries: int) -> Said:
    """The rule does not concern this lab here."""
    return Said(Outcome.NOT_APPLICABLE, message, entries)
