# SPDX-License-Identifier: Apache-2.0
"""Receipts: the log has what intake parties were handed, and they give receipts whose times and numbers agree."""

from __future__ import annotations

from collections.abc import Iterator

from pausectl.agreement.types import instant
from pausectl.history.handed import Handed
from pausectl.history.records import Trouble
from pausectl.history.replay import History
from pausectl.verify.rules.base import Said, holds, ledger_rule, unproven, violated


@ledger_rule("REC-1")
def the_log_takes_what_was_handed_in(history: History) -> Iterator[Said]:
    """[REC-1] The log MUST hold every statement for which it holds a receipt of an intake party.

    Why: intake parties hand on whatever they give a receipt for, and check it as the log does. What the log still has
    not taken when the receipt stands in it was kept out; the operator answers for that, and its author is excused.

    Cannot see: a statement that the log kept out together with its receipt, until a later number or a close of the
    intake party tells; nor, on one party's word, whether there ever was such a statement.
    """
    labs, patience = history.agreement.labs, history.agreement.document.log.mark_interval_seconds
    found = list(history.receipts.outstanding())
    for _, handed in found:
        message, leaves = _kept_out(handed), tuple(sorted(given.leaf for given in handed.receipts.values()))
        logged = sorted(given.by for given in handed.receipts.values() if given.dated)
        quorum = history.agreement.document.intake.quorum
        proven = len(logged) >= quorum and logged[quorum - 1] + patience < history.as_of
        yield (violated if proven else unproven)(message, *leaves)
        for lab in (handed.of.party,) if handed.of.party in labs else labs:
            yield unproven(message, *leaves, lab=lab)
    if not found:
        yield holds("nothing that was handed in is missing")


def _kept_out(handed: Handed) -> str:
    of, given = handed.of, sorted((given.at, party) for party, given in handed.receipts.items())
    who = ", ".join(f"{party} at {instant(at)}" for at, party in given)
    return f"number {of.sequence} of {of.party}'s {of.stream} was handed to {who}, and is not in the ledger"


@ledger_rule("REC-2")
def receipts_are_given_in_order_of_time(history: History) -> Iterator[Said]:
    """[REC-2] The times in an intake party's receipts MUST NOT fall as their numbers rise, nor lie after the receipts
    were in the ledger.

    Why: whoever dates a receipt back has to give it a number, and those before it have their times. The receipt counts
    for nothing.

    Cannot see: a receipt that is dated back no further than the one before it.
    """
    return _trouble(history, Trouble.BENT_RECEIPT)


@ledger_rule("REC-3")
def closes_count_every_receipt(history: History) -> Iterator[Said]:
    """[REC-3] An intake party MUST count, in its close of a window, every receipt that it dates before that window's
    end.

    Why: a receipt that turns up after the count was either dated back or kept back, so that a lab looked as if it had
    not filed. It dates nothing; what it says was handed in is not held against its author.

    Cannot see: which of the two it was.
    """
    return _trouble(history, Trouble.LEFT_OUT_RECEIPT)


def _trouble(history: History, trouble: Trouble) -> Iterator[Said]:
    found = [problem for problem in history.problems if problem.trouble is trouble]
    for problem in found:
        yield violated(problem.message, problem.index)
    if not found:
        yield holds("none found")
