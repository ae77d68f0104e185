# SPDX-License-Identifier: Apache-2.0
r"""Going on where the last verification stopped, in the time of what is new.

    {"agreement":"5b0c…","checkpoint":"log.example/pause\n72\n…","history":{…},"judgement":{…}}
    9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08

The first line is believed only if the second is its SHA-256 (against accidents and editors, not against whoever can
write the user's files) and this tree is consistent with the checkpoint it was saved under. A state that is already
past the instant to be judged is left aside, and everything is read again.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from pausectl.agreement.lifecycle import State
from pausectl.errors import Malformed, PausectlError, UsageFault
from pausectl.history import state
from pausectl.history.reader import Ledger, open_seen
from pausectl.history.replay import History
from pausectl.registry import enforces
from pausectl.verify.judge import Judgement, Verdict, WindowVerdict
from pausectl.verify.rules.base import Finding, Outcome

_UNKNOWN = "not one that this release saved"


@dataclass(slots=True)
class Resumption:
    """given: the bytes of a saved state, if any. name: its file. saved: the bytes to save, if all went well."""

    given: bytes | None
    name: str = "state"
    saved: bytes = b""


@enforces("READ-8")
def load(resumption: Resumption, ledger: Ledger, history: History, judgement: Judgement) -> None:
    """Take up a saved state.

    [READ-8] A verifier MUST use a saved state only after the tree has been shown to be consistent with the checkpoint
    that the state was saved under.

    Malformed for a file that was not saved so, UsageFault for one of another agreement.
    """
    if resumption.given is None:
        return
    try:
        saved = _parse(resumption.given)
        if saved["agreement"] != ledger.agreement.id:
            raise UsageFault("saved under another agreement", hint="name another file, or remove this one")
        raw = saved["checkpoint"].encode()
        ledger.agrees_with(open_seen(raw, ledger.agreement), raw)
        marked = saved["history"]["marked_by"]
        if marked is None or marked <= history.as_of:
            state.load(saved["history"], history)
            _load(saved["judgement"], judgement)
    except PausectlError as error:
        raise error.at(resumption.name) from error
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise Malformed(_UNKNOWN, where=resumption.name) from error


def _parse(raw: bytes) -> dict[str, Any]:
    """No canonical JSON: sums in it may exceed 2^53, and its digest says that nobody else wrote it."""
    line, _, digest = raw.rpartition(b"\n")
    if hashlib.sha256(line).hexdigest().encode() != digest:
        raise Malformed("expected a file as 'pausectl verify --state' saved it", hint="remove it to begin again")
    saved: dict[str, Any] = json.loads(line)
    return saved


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
    line = json.dumps(whole, separators=(",", ":")).encode()
    resumption.saved = line + b"\n" + hashlib.sha256(line).hexdigest().encode()


def _save(judgement: Judgement) -> dict[str, Any]:
    return {
        "findings": [[f.rule, f.outcome, f.lab, f.window, f.message, f.entries] for f in judgement.findings],
        "windows": [[w.lab, w.window, w.start, w.end, w.state, w.verdict] for w in judgement.windows],
        "held": [[lab, rule, count] for (lab, rule), count in judgement.held.items()],
        "broken": list(judgement.broken.items()),
    }


def _load(saved: dict[str, Any], judgement: Judgement) -> None:
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
