# SPDX-License-Identifier: Apache-2.0
"""Logs that succeed one another: nothing is signed behind a successor's back, and none of them is left out."""

from __future__ import annotations

from collections.abc import Iterator

from pausectl.history.replay import History
from pausectl.verify.rules.base import Said, holds, ledger_rule, unproven, violated


@ledger_rule("SUC-3")
def logs_end_where_their_successors_begin(history: History) -> Iterator[Said]:
    """[SUC-3] A log MUST NOT sign a checkpoint that is larger than the one that its successor begins with.

    Why: what lies between the two is in one history and not in the other. Either the successor left out the tail, or
    the log went on; both operators' signatures are there, and what is in the tail may be about anybody.

    Cannot see: a larger checkpoint that nobody shows; nor which of the two operators is to blame.
    """
    found = history.chain.excess if history.chain else []
    for excess in found:
        message = (
            f"{excess.origin} signed {excess.size} entries{excess.by}, and its successor begins with {excess.counted}; "
            "the others have no effect"
        )
        yield violated(message, excess.index)
        for lab in history.agreement.labs:
            yield unproven(message, excess.index, lab=lab)
    if not found:
        yield holds("no log is known to have signed more than its successor begins with")


@ledger_rule("SUC-4")
def every_log_before_is_at_hand(history: History) -> Iterator[Said]:
    """[SUC-4] A verdict from a log whose predecessor is not at hand MUST be INCONCLUSIVE at best.

    Why: what was filed, ordered and acceded to stands in the logs before it; the successor holds none of it.

    Cannot see: what they hold.
    """
    missing = history.chain.missing if history.chain else None
    if missing is None:
        yield holds("every log is at hand, from the first on")
        return
    for lab in history.agreement.labs:
        yield unproven(f"the log before this one, {missing}, is not at hand", lab=lab)
