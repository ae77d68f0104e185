# SPDX-License-Identifier: Apache-2.0
"""Going on where the last verification stopped, in the time of what is new.

The saved state is believed only after this tree has been shown consistent with the checkpoint it was saved under. A state
of another agreement, or one that is already past the instant to be judged, is left aside and everything is read again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pausectl.agreement.lifecycle import State
from pausectl.errors import Malformed
from pausectl.history import state
from pausectl.history.reader import Ledger, open_seen
from pausectl.history.replay import History
from pausectl.registry import enforces
from pausectl.verify.judge import Judgement, Verdict, WindowVerdict
from pausectl.verify.rules.base import Finding, Outcome
from pausectl.wire import canonical


@dataclass(slots=True)
class Resumption:
    """given: the bytes of a saved state, if there is one. saved: the bytes to save, once verification went through."""

    given: bytes | None
    saved: bytes = b""


@enforces("READ-8")
def load(resumption: Resumption, ledger: Ledger, history: History, judgement: Judgement) -> None:
    """Take up a saved state.

    [READ-8] A verifier MUST use a saved state only after the tree has been shown to be consistent with the checkpoint
    that the state was saved under.
    """
    if resumption.given is None:
        return
    saved = canonical.tidy(resumption.given, limit=1 << 30)
    if not isinstance(saved, dict) or not isinstance(saved.get("checkpoint"), str):
        raise Malformed("state: expected a file saved by 'pausectl verify --state'")
    if saved.get("agreement") != ledger.agreement.id:
        raise Malformed("state: saved under another agreement")
    raw = saved["checkpoint"].encode()
    ledger.agrees_with(open_seen(raw, ledger.agreement), raw)
    marked = saved["history"]["marked_by"]
    if marked is not None and marked > history.as_of:
        return
    state.load(saved["history"], history)
    _load(saved["judgement"], judgement)


def save(resumption: Resumption, ledger: Ledger, history: History, judgement: Judgement) -> None:
    """Put down what is known before the head's implicit mark; nothing, if the instant judged lies before a mark."""
    if history.stopped:
        return
    snapshot = state.dump(history) | {"marked_by": history.marked.by if history.marked else None}
    whole = {
        "agreement": ledger.agreement.id,
        "checkpoint": ledger.head.raw.decode(),
        "history": snapshot,
        "judgement": _save(judgement),
    }
    resumption.saved = json.dumps(whole, separators=(",", ":"), ensure_ascii=False).encode()


def _save(judgement: Judgement) -> dict[str, Any]:
    return {
        "findings": [[f.rule, f.outcome, f.lab, f.window, f.message, f.entries] for f in judgement.findings],
        "windows": [[w.lab, w.window, w.start, w.end, w.state, w.verdict] for w in judgement.windows],
        "held": [[lab, rule, count] for (lab, rule), count in judgement.held.items()],
        "broken": list(judgement.broken.items()),
    }


def _load(saved: dict[str, Any], judgement: Judgement) -> None:
    try:
        judgement.findings = [
            Finding(rule, Outcome(outcome), lab, tuple(window) if window else None, message, tuple(entries))
            for rule, outcome, lab, window, message, entries in saved["findings"]
        ]
        judgement.windows = [
            WindowVerdict(lab, window, start, end, State(where) if where else None, Verdict(verdict) if verdict else None)
            for lab, window, start, end, where, verdict in saved["windows"]
        ]
        judgement.held.update({(lab, rule): count for lab, rule, count in saved["held"]})
        judgement.broken.update(dict(saved["broken"]))
    except (KeyError, TypeError, ValueError) as error:
        raise Malformed(f"state: not one that this release saved ({type(error).__name__})") from error
