# SPDX-License-Identifier: Apache-2.0
"""Run every rule on everything, and decide: findings, then one verdict for each lab and window, the worst finding wins.

Findings of settled windows that hold are counted and let go, so that memory hardly grows with the ledger;
everything else is kept whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum

from pausectl.agreement.lifecycle import State
from pausectl.errors import Broken
from pausectl.history.records import Case
from pausectl.history.replay import History
from pausectl.registry import enforces
from pausectl.verify.rules.base import Finding, Outcome, Rule, Said, rules
from pausectl.verify.rules.catalogue import CHAPTERS

assert CHAPTERS  # noqa: S101 - importing it is what makes the rules known


class Verdict(StrEnum):
    """A statement about evidence, never a ruling of breach."""

    CONSISTENT = "CONSISTENT"
    INCONSISTENT = "INCONSISTENT"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True, slots=True)
class WindowVerdict:
    """One lab in one window. start, end: POSIX seconds. verdict: None where nothing is in force or a rule broke."""

    lab: str
    window: int
    start: int
    end: int
    state: State | None
    verdict: Verdict | None


@dataclass(slots=True)
class Judgement:
    """Everything that was found, so far. broken: labs for which a rule of ours failed, and how."""

    findings: list[Finding] = field(default_factory=list)
    windows: list[WindowVerdict] = field(default_factory=list)
    held: Counter[tuple[str, str]] = field(default_factory=Counter)
    broken: dict[str | None, str] = field(default_factory=dict)

    def settled(self, case: Case) -> None:
        """Judge a case that nothing can change any more."""
        for rule_id, said in self._judge(case):
            if said.outcome in _KEPT:
                self.findings.append(_finding(case, rule_id, said))
            else:
                self.held[case.lab, rule_id] += 1

    def open(self, case: Case) -> None:
        """Judge a case that is due, and may still be corrected."""
        self.findings += [_finding(case, rule_id, said) for rule_id, said in self._judge(case)]

    def _judge(self, case: Case) -> list[tuple[str, Said]]:
        said = list(judge_case(case, self.broken))
        broken = case.state is None or case.lab in self.broken
        verdict = None if broken else worst({each.outcome for _, each in said})
        self.windows.append(WindowVerdict(case.lab, case.window, case.start, case.end, case.state, verdict))
        return said


_KEPT = (Outcome.VIOLATED, Outcome.UNPROVEN)
_IDLE = Said(Outcome.NOT_IN_FORCE, "nothing is in force for this lab here")


def _finding(case: Case, rule_id: str, said: Said) -> Finding:
    window = (case.window, case.start, case.end)
    return Finding(rule_id, said.outcome, case.lab, window, said.message, said.entries)


def judge_case(case: Case, broken: dict[str | None, str]) -> Iterator[tuple[str, Said]]:
    """(rule id, answer) of every rule about a lab and a window."""
    for each in rules().values():
        if not each.of_case:
            continue
        if case.state is None:
            yield each.id, _IDLE
            continue
        try:
            for said in each.check(case):
                yield each.id, said
        except Exception as error:  # noqa: BLE001 - a rule that fails is a bug of ours, and must not hide the others
            broken.setdefault(case.lab, _broke(each, error))


def judge_ledger(history: History, broken: dict[str | None, str]) -> Iterator[Finding]:
    """What every rule about the ledger as a whole says."""
    for each in (each for each in rules().values() if not each.of_case):
        try:
            for said in each.check(history):
                yield Finding(each.id, said.outcome, said.lab, None, said.message, said.entries)
        except Exception as error:  # noqa: BLE001
            broken.setdefault(None, _broke(each, error))


def _broke(each: Rule, error: Exception) -> str:
    return f"rule {each.id} failed: {type(error).__name__}: {error}"


@enforces("VER-1", "VER-2")
def worst(outcomes: AbstractSet[Outcome]) -> Verdict:
    """One verdict from the outcomes of findings about one lab.

    [VER-1] A verdict MUST be INCONSISTENT if any finding is VIOLATED, else INCONCLUSIVE if any is UNPROVEN, else
    CONSISTENT.

    [VER-2] A verdict MUST NOT be CONSISTENT where no finding says that a rule HOLDS.
    """
    if Outcome.VIOLATED in outcomes:
        return Verdict.INCONSISTENT
    if Outcome.UNPROVEN in outcomes or Outcome.HOLDS not in outcomes:
        return Verdict.INCONCLUSIVE
    return Verdict.CONSISTENT


_RANK = {None: 0, Verdict.CONSISTENT: 1, Verdict.INCONCLUSIVE: 2, Verdict.INCONSISTENT: 3}


@enforces("VER-3", "VER-4")
def decide(judgement: Judgement, labs: Iterable[str]) -> dict[str, Verdict | None]:
    """One verdict for each lab over all its windows.

    [VER-3] The verdict of a lab MUST be the worst of its windows and of the findings about it beyond windows, and null
    if nothing was in force for it in any window judged.

    [VER-4] A verifier MUST give no verdict for a lab that one of its rules failed on.
    """
    verdicts: dict[str, Verdict | None] = {}
    for lab in labs:
        each = [w.verdict for w in judgement.windows if w.lab == lab and w.verdict is not None]
        beyond = [f for f in judgement.findings if f.lab == lab and f.window is None]
        if each and any(f.outcome in (Outcome.VIOLATED, Outcome.UNPROVEN) for f in beyond):
            each.append(worst({finding.outcome for finding in beyond}))
        broken = judgement.broken.keys() & {lab, None}
        verdicts[lab] = None if broken else max(each, key=_RANK.__getitem__, default=None)
    return verdicts


def judge(history: History, judgement: Judgement) -> Judgement:
    """Finish a judgement whose settled cases came in during replay."""
    for case in history.open_cases():
        judgement.open(case)
    judgement.findings += judge_ledger(history, judgement.broken)
    if len({(w.lab, w.window) for w in judgement.windows}) != len(judgement.windows):
        raise Broken("a window was judged twice")
    return judgement
