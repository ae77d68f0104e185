# SPDX-License-Identifier: Apache-2.0
"""Verification in one call: read, replay, judge, decide.

report = verify(source.fetch, agreement)
report.verdicts            {"aurora": Verdict.CONSISTENT, "borealis": Verdict.INCONSISTENT, "cirrus": …}
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pausectl.agreement.document import Agreement
from pausectl.errors import PausectlError, SplitView, UsageFault
from pausectl.history.chain import Chain, link
from pausectl.history.decode import Decoded
from pausectl.history.parallel import Progress, decoded
from pausectl.history.reader import Ledger, open_ledger, origin_of
from pausectl.history.replay import History, replay
from pausectl.history.tiles import Fetch
from pausectl.verify import notshown, resume
from pausectl.verify.judge import Judgement, Verdict, decide, judge
from pausectl.verify.resume import Resumption
from pausectl.verify.rules.base import Outcome


@dataclass(frozen=True, slots=True)
class Report:
    """The one result model; every face of it is made in `report/`.

    available: the largest size of the log that mirrors were shown to have, and from when on (POSIX seconds), or None.
    """

    agreement: Agreement
    ledger: Ledger
    as_of: int
    judgement: Judgement
    verdicts: dict[str, Verdict | None]
    not_shown: list[str]
    chain: Chain | None = None
    labs: tuple[str, ...] = field(default=())
    available: tuple[int, int] | None = None

    @property
    def exit_code(self) -> int:
        """5 if a rule of ours failed, 1 if anything is VIOLATED, 0 if every lab is CONSISTENT, 3 otherwise."""
        if self.judgement.broken:
            return 5
        if any(finding.outcome is Outcome.VIOLATED for finding in self.judgement.findings):
            return 1
        return 0 if self.verdicts and set(self.verdicts.values()) == {Verdict.CONSISTENT} else 3


def verify(  # noqa: PLR0913 - what somebody who judges may have at hand
    fetch: Fetch,
    agreement: Agreement,
    *,
    as_of: int | None = None,
    before: Sequence[Fetch] = (),
    seen: Sequence[tuple[str, bytes]] = (),
    lab: str | None = None,
    jobs: int | None = None,
    resumption: Resumption | None = None,
    progress: Progress = lambda _done, _all: None,
) -> Report:
    """Judge a ledger under a trusted agreement.

    before: the logs that it succeeded, as far as they are at hand, in any order. as_of: POSIX seconds, by default the
    time of the head. seen: (name, bytes) of checkpoints got elsewhere, which must
    be consistent. lab: report on this one only. jobs: processes. resumption: where to go on from, and what to save.
    Raises Malformed, Forged or SplitView for evidence that is not sound, Unavailable for evidence that is not there.
    """
    ledger = open_ledger(fetch, agreement)
    chain = link(ledger, [open_ledger(older, agreement) for older in before])
    if resumption is not None and ledger.agreement.log_number:
        raise UsageFault("a state is kept of an agreement's first log only")
    for name, raw in seen:
        try:
            chain.see(raw)
        except PausectlError as error:
            raise _convicted(chain, error, name).at(name) from error
    judgement, agreement = Judgement(), ledger.agreement  # with the keys that it names by digest
    history = History(agreement, ledger.head, ledger.tiles.root, as_of=as_of, on_settled=judgement.settled)
    if resumption is not None:
        resume.load(resumption, ledger, history, judgement)
    try:
        replay(history, _entries(chain, history, jobs, progress))
    except SplitView as error:
        raise _convicted(chain, error, "a mark in the ledger") from None
    if resumption is not None:
        resume.save(resumption, ledger, history, judgement)
    history.finish()
    return report(ledger, history, judge(history, judgement), lab=lab)


def _entries(chain: Chain, history: History, jobs: int | None, progress: Progress) -> Iterator[tuple[int, Decoded]]:
    """Everything that counts in all logs, from where the history stands; tells it where one log ends."""
    history.chain = chain
    for segment in chain.segments:
        history.enter_log(segment)
        for index, entry in decoded(segment.ledger, history.size - segment.first, jobs, progress):
            if index < segment.size:
                yield segment.first + index, entry
        if segment is not chain.segments[-1]:
            history.leave_log(segment)


def _convicted(chain: Chain, error: PausectlError, first: str) -> PausectlError:
    """A split view with its evidence; any other error as it is. first: where the first of its checkpoints is from."""
    if isinstance(error, SplitView):
        of = origin_of(error.first)
        ledger = next((s.ledger for s in chain.segments if s.ledger.agreement.origin == of), None)
        error.evidence = ledger.evidence(error, (first, "the head of the ledger")) if ledger else b""
    return error


def report(ledger: Ledger, history: History, judgement: Judgement, *, lab: str | None = None) -> Report:
    """Decide, and say what is not shown."""
    labs = (lab,) if lab else ledger.agreement.labs
    if lab:
        judgement.findings = [finding for finding in judgement.findings if finding.lab in (lab, None)]
        judgement.windows = [window for window in judgement.windows if window.lab == lab]
        judgement.held = Counter({place: count for place, count in judgement.held.items() if place[0] in (lab, "")})
        judgement.broken = {who: how for who, how in judgement.broken.items() if who in (lab, None)}
    not_shown = notshown.lines(history, judgement)
    verdicts = decide(judgement, labs)
    return Report(
        ledger.agreement, ledger, history.as_of, judgement, verdicts, not_shown, history.chain, labs, history.available
    )
