# SPDX-License-Identifier: Apache-2.0
"""The ledger itself: what stands in it without effect, and who answers for that.

An invalid entry in a sound tree is a finding against the log's operator, who let it in, and judging goes on: one bad
leaf must not silence a ledger. Errors of the tree are not findings but exceptions.
"""

from __future__ import annotations

from collections.abc import Iterator

from pausectl.agreement.types import instant
from pausectl.history.records import Trouble
from pausectl.history.replay import History
from pausectl.verify.rules.base import Said, holds, ledger_rule, unproven, violated


def _none_with(history: History, trouble: Trouble, what: str) -> Iterator[Said]:
    found = [problem for problem in history.problems if problem.trouble is trouble]
    for problem in found:
        yield violated(f"{what}: {problem.message}", problem.index)
    if not found:
        yield holds(f"no entry of {history.size}: {what}")


@ledger_rule("LED-1")
def entries_are_well_formed(history: History) -> Iterator[Said]:
    """[LED-1] The log MUST NOT hold an entry that is not a canonical envelope around a well-formed statement.

    Why: two readers could read it differently. It has no effect, and the operator who admitted it answers for it.

    Cannot see: who sent it.
    """
    return _none_with(history, Trouble.MALFORMED, "malformed entry")


@ledger_rule("LED-2")
def entries_are_authorised(history: History) -> Iterator[Said]:
    """[LED-2] The log MUST NOT hold a statement that its signers may not make.

    Why: signatures, roles and thresholds are checked at the door; a forged statement inside means a complicit or
    broken door.

    Cannot see: whether a key that signed was stolen.
    """
    return _none_with(history, Trouble.UNAUTHORISED, "not authorised")


@ledger_rule("LED-3")
def entries_belong_here(history: History) -> Iterator[Said]:
    """[LED-3] The log MUST NOT hold a statement made under another agreement or for another log.

    Why: an honest statement replayed from elsewhere would otherwise speak twice.

    Cannot see: who replayed it.
    """
    return _none_with(history, Trouble.FOREIGN, "said elsewhere")


@ledger_rule("LED-4")
def entries_stand_once(history: History) -> Iterator[Said]:
    """[LED-4] The log MUST NOT hold a statement twice.

    Why: a repetition has no effect, but it shows that the door does not de-duplicate. The party is not to blame.

    Cannot see: repeated marks, statements of unknown type and copies of the agreement, which have no number to compare
    and no second effect.
    """
    return _none_with(history, Trouble.DUPLICATE, "repeated")


@ledger_rule("LED-5")
def marks_are_sound(history: History) -> Iterator[Said]:
    """[LED-5] The log MUST NOT hold a mark that lacks the log's signature or the witness quorum, or whose size is above
    its own index.

    Why: marks are the ledger's clock. A bad one is ignored, so it cannot bend time, but somebody tried.

    Cannot see: a quorum of witnesses that lie together about the time.
    """
    return _none_with(history, Trouble.BAD_MARK, "not a mark")


@ledger_rule("LED-6")
def types_are_known(history: History) -> Iterator[Said]:
    """[LED-6] A statement of unknown type that a principal signed MUST cap the verdict at INCONCLUSIVE, of that lab if
    the principal is one, and otherwise of every lab.

    Why: a newer type may be an order, a confession or a result; ignoring it must never help anybody.

    Cannot see: what it says.
    """
    labs = history.agreement.labs
    found = [problem for problem in history.problems if problem.trouble is Trouble.UNKNOWN_TYPE]
    for problem in found:
        for lab in [problem.party] if problem.party in labs else labs:
            yield unproven(problem.message, problem.index, lab=lab)
    if not found:
        yield holds("every statement is of a known type")


@ledger_rule("LED-7")
def head_is_fresh(history: History) -> Iterator[Said]:
    """[LED-7] The head MUST NOT be more than staleness_seconds older than the time of judging.

    Why: what was filed after the head cannot be seen, so an old copy can hide a new violation.

    Cannot see: whether a newer head exists; that takes asking the log or its witnesses.
    """
    age, limit = history.as_of - history.head.by, history.agreement.document.deadlines.staleness_seconds
    when = instant(history.head.by)
    if age <= limit:
        yield holds(f"the head is of {when}")
        return
    for lab in history.agreement.labs:
        yield unproven(f"the head is of {when}, {age} s before the time of judging; {limit} s are allowed", lab=lab)


@ledger_rule("EQV-1")
def nobody_says_two_things(history: History) -> Iterator[Said]:
    """[EQV-1] A party MUST NOT sign two different statements with the same stream and sequence number.

    Why: whoever says two things under one number tells different people different things. Two signatures prove it to
    anyone, so it is VIOLATED at once; the first in the ledger keeps its effect.

    Cannot see: a second statement that was shown to somebody but never logged.
    """
    labs = history.agreement.labs
    for twin in history.twins:
        said = f"{twin.party} signed two statements number {twin.sequence} in {twin.stream}"
        if twin.party in labs:
            yield violated(said, twin.first, twin.second, lab=twin.party)
            continue
        yield violated(said, twin.first, twin.second)
        for lab in labs:
            yield unproven(f"{said}: which of them is about {lab} cannot be told", twin.first, twin.second, lab=lab)
    if not history.twins:
        yield holds("no stream has two statements with one number")


def _party_trouble(history: History, trouble: Trouble) -> Iterator[Said]:
    labs = history.agreement.labs
    found = [problem for problem in history.problems if problem.trouble is trouble]
    for problem in found:
        yield violated(problem.message, problem.index, lab=problem.party if problem.party in labs else None)
    if not found:
        yield holds("none found")


@ledger_rule("WIN-1")
def windows_are_those_agreed(history: History) -> Iterator[Said]:
    """[WIN-1] A statement about a window MUST name one of the agreement's windows.

    Why: a window of one's own choosing can leave out the hour that matters.

    Cannot see: anything about the time it claims to speak of; the statement has no effect.
    """
    return _party_trouble(history, Trouble.NO_SUCH_WINDOW)


@ledger_rule("WIN-2")
def windows_close(history: History) -> Iterator[Said]:
    """[WIN-2] A statement about a window MUST be witnessed before that window closes to corrections.

    Why: a claim that can be changed for ever is no claim. After the agreed time the window is settled, and whatever
    comes later has no effect on it.

    Cannot see: whether the party or the log's operator was slow, where no intake receipt exists; where one does, nobody
    is accused.
    """
    labs = history.agreement.labs
    found = [problem for problem in history.problems if problem.trouble is Trouble.CLOSED_WINDOW]
    for problem in found:
        lab, received = problem.party if problem.party in labs else None, history.receipts.attested(problem.statement)
        if received is not None and received.at < problem.due:
            when = instant(received.at)
            yield unproven(f"{problem.message}; handed in by {when}", problem.index, *received.entries, lab=lab)
        else:
            yield (violated if problem.proven else unproven)(problem.message, problem.index, lab=lab)
    if not found:
        yield holds("none found")


@ledger_rule("INV-4")
def facilities_are_those_agreed(history: History) -> Iterator[Said]:
    """[INV-4] A party MUST NOT file about a facility or a lab that the agreement does not give it to file about.

    Why: what is due, and which meter reads it, is fixed for listed facilities only; the statement has no effect.

    Cannot see: what stands in an unlisted facility.
    """
    return _party_trouble(history, Trouble.NO_SUCH_FACILITY)
