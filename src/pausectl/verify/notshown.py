# SPDX-License-Identifier: Apache-2.0
"""What the evidence at hand does not show. Every line depends on what is there; a report ends with them."""

from __future__ import annotations

from collections.abc import Iterator

from pausectl.agreement.types import instant
from pausectl.history.records import LabBook
from pausectl.history.replay import History
from pausectl.verify.judge import Judgement, Verdict, WindowVerdict
from pausectl.verify.rules.base import Outcome


def lines(history: History, judgement: Judgement) -> list[str]:
    """Sentences for people, in falling order of weight."""
    return [*_truth(history, judgement), *_time(history), *_witnesses(history)]


def _truth(history: History, judgement: Judgement) -> Iterator[str]:
    facilities = history.agreement.document.facilities
    yield "Truth: the ledger shows who said what, when, and that one story was told; not that it is so."
    yield (
        "Completeness: compute at sites that neither a lab nor its meter names is invisible here "
        f"({len(facilities)} facilities of {len({f.lab for f in facilities})} labs are listed)."
    )
    yield from _found(judgement, intake=bool(history.agreement.holders("intake")))
    if not any(_sealed(window.labs) for window in history.windows.values()):
        yield "Telemetry: no filing of an open window carries a seal, so no row behind its totals can be opened."
    else:
        yield "Telemetry: seals are committed to, but no random opening of them was asked for or checked."
    yield (
        "Labels: categories and precision are the lab's word; work filed as other work of equal power leaves no trace "
        "in energy."
    )


def _sealed(labs: dict[str, LabBook]) -> bool:
    filings = (filed for book in labs.values() for versions in book.usage.values() for filed in versions)
    return any(filed.claim.telemetry is not None for filed in filings)


def _found(judgement: Judgement, *, intake: bool) -> Iterator[str]:
    inconsistent = sorted({w.lab for w in judgement.windows if w.verdict is Verdict.INCONSISTENT})
    if inconsistent:
        names = ", ".join(inconsistent)
        yield f"Breach: INCONSISTENT ({names}) is about evidence; it is no ruling, and says nothing of intent."
    silent = sorted(
        {f.lab for f in judgement.findings if f.rule == "COV-1" and f.outcome is Outcome.UNPROVEN and f.lab}
    )
    if silent:
        names = ", ".join(silent)
        open_yet = "the intake parties have not counted their receipts since" if intake else "no intake party is agreed"
        yield f"Silence: whether {names} did not file or the log did not take it; {open_yet}."
    out = sorted({w.lab for w in judgement.windows if _out(w)})
    if out:
        yield f"Not in force: nothing binds {', '.join(out)} in some of the windows shown, whatever it did there."


def _out(window: WindowVerdict) -> bool:
    return window.state is None


def _time(history: History) -> Iterator[str]:
    head = instant(history.head.by)
    yield f"Later: nothing after {instant(history.as_of)} is judged; the head of the log is of {head}."
    first_open = history.settled
    while history.due_at(first_open) <= history.as_of:
        first_open += 1
    since = instant(history.agreement.start(first_open))
    yield f"Not yet due: windows from {since} on; what is filed about them early is not judged."
    yield from _receipts(history)
    interval = history.agreement.document.log.mark_interval_seconds
    yield f"Order within {interval} s: entries between two marks are ordered by the log's operator alone."


def _receipts(history: History) -> Iterator[str]:
    parties, quorum = history.agreement.holders("intake"), history.agreement.document.intake.quorum
    if parties:
        yield (
            f"Receipts: {quorum} of {len(parties)} intake parties ({', '.join(parties)}) can date a filing back as far "
            "as the last receipts they gave."
        )


def _witnesses(history: History) -> Iterator[str]:
    policy = history.agreement.document.witnesses
    organisations = {history.agreement.principals[m.principal].organisation for m in policy.members}
    yield (
        f"Split view: {policy.quorum} of {len(policy.members)} witnesses ({len(organisations)} organisations) vouch "
        f"for one history; if more than {policy.faulty} lie together, only comparing checkpoints with others (--seen) "
        "shows it."
    )
    yield (
        "Independence: that these witnesses run apart from the log is the agreement's word; keys used beside it, as by "
        "'pausectl log add --witness', sign just the same."
    )
