# SPDX-License-Identifier: Apache-2.0
"""The result for people: a table of verdicts, what was found, and what was not shown. Colour only on a terminal."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import TextIO

from pausectl.agreement.types import instant
from pausectl.report.inert import safe
from pausectl.verify.audit import Report
from pausectl.verify.judge import Verdict, WindowVerdict
from pausectl.verify.rules.base import Finding, Outcome

_COLOURS = {
    Verdict.CONSISTENT: "32", Verdict.INCONSISTENT: "31", Verdict.INCONCLUSIVE: "33",
    Outcome.VIOLATED: "31", Outcome.UNPROVEN: "33",
}  # fmt: skip
_SIGNS = {Verdict.CONSISTENT: "=", Verdict.INCONSISTENT: "X", Verdict.INCONCLUSIVE: "?", None: "-"}
_MOST = 20
_LONGEST = 600  # characters of a message; a ledger's authors choose what is quoted in it


def render(report: Report, *, colour: bool | None = None) -> str:
    """The whole report as text."""
    lit = (_terminal(sys.stdout) and not os.environ.get("NO_COLOR")) if colour is None else colour

    def paint(text: str, what: Verdict | Outcome | None) -> str:
        return f"\x1b[{_COLOURS[what]}m{text}\x1b[0m" if lit and what in _COLOURS else text

    head, terms = report.ledger.head, report.agreement.document
    lines = [
        f"{terms.name} (agreement {report.agreement.id[:12]}…, version {terms.version})",
        f"log {safe(head.checkpoint.origin)}, {head.checkpoint.size} entries, judged as of {instant(report.as_of)}",
        *_before(report),
        "",
        *_table(report, paint),
        "",
        *_findings(report, paint),
        "Not shown:",
        *(f"  - {line}" for line in report.not_shown),
    ]
    return "\n".join(lines)


def _before(report: Report) -> list[str]:
    """The logs that this one succeeded, newest first."""
    chain = report.chain
    return [
        f"before it {safe(log.origin)}, {log.end.checkpoint.size} entries"
        + (", which is not at hand" if log.origin == chain.missing else "")
        for log in chain.before
    ] if chain else []  # fmt: skip


def _terminal(stream: TextIO | None) -> bool:
    """Python has no stream where the shell closed it (`>&-`)."""
    return stream is not None and stream.isatty()


Paint = Callable[[str, "Verdict | Outcome | None"], str]


def _table(report: Report, paint: Paint) -> list[str]:
    width = max(len("lab"), *(len(lab) for lab in report.verdicts))
    lines = [
        (
            f"{'lab':{width}}  {'verdict':12}  windows, oldest first "
            "(= consistent, X inconsistent, ? inconclusive, - not in force)"
        )
    ]
    for lab, verdict in report.verdicts.items():
        windows = sorted((w for w in report.judgement.windows if w.lab == lab), key=lambda w: w.window)
        strip = "".join(paint(_SIGNS[w.verdict], w.verdict) for w in windows[-60:])
        word = paint(f"{verdict or 'no verdict':12}", verdict)
        lines.append(f"{lab:{width}}  {word}  {strip}  {_states(windows[-60:])}")
    return lines


def _states(windows: list[WindowVerdict]) -> str:
    """`ARMED ×2, PAUSED ×2`."""
    runs: list[tuple[str, int]] = []
    for window in windows:
        state = window.state or "not in force"
        if runs and runs[-1][0] == state:
            runs[-1] = (state, runs[-1][1] + 1)
        else:
            runs.append((state, 1))
    return ", ".join(f"{state} ×{count}" for state, count in runs)


def _findings(report: Report, paint: Paint) -> list[str]:
    found = [f for f in report.judgement.findings if f.outcome in (Outcome.VIOLATED, Outcome.UNPROVEN)]
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in sorted(found, key=lambda f: (f.outcome is not Outcome.VIOLATED, f.lab or "", f.rule)):
        groups.setdefault((finding.outcome, finding.rule, finding.lab or "log operator"), []).append(finding)
    lines = [line for group in list(groups.values())[:_MOST] for line in _group(group, paint)]
    if len(groups) > _MOST:
        lines.append(f"… and {len(groups) - _MOST} more kinds (--json has them all)")
    held = sum(1 for f in report.judgement.findings if f.outcome is Outcome.HOLDS) + sum(report.judgement.held.values())
    lines += [f"{held} checks hold, {len(found)} do not or cannot be shown to.", ""]
    broken = [
        f"rule failure ({lab or 'whole ledger'}): {safe(message)}" for lab, message in report.judgement.broken.items()
    ]
    return [*broken, *lines]


def _group(group: list[Finding], paint: Paint) -> list[str]:
    """What one rule says about one party: the first message in full, and how often it said so."""
    first = group[0]
    bounds = [finding.window for finding in group if finding.window]
    where = (
        f"{instant(min(w[1] for w in bounds))[:10]} to {instant(max(w[2] for w in bounds))[:10]}"
        if bounds
        else "whole ledger"
    )
    times = f" ({len(group)} findings)" if len(group) > 1 else ""
    evidence = f"  [entries {', '.join(map(str, first.entries[:8]))}]" if first.entries else ""
    message = first.message if len(first.message) <= _LONGEST else f"{first.message[:_LONGEST]}…"
    return [
        f"{paint(f'{first.outcome:9}', first.outcome)} {first.rule:6} {first.lab or 'log operator'}, {where}{times}",
        f"          {safe(message)}{evidence}",
    ]


def progress(doing: str) -> Callable[[int, int], None]:
    """A counter on stderr for long work, with what is left of it after a second.

    Nothing where stderr is no terminal, and nothing for short work.
    """
    if not _terminal(sys.stderr):
        return lambda _done, _all: None
    begun: list[tuple[float, int]] = []

    def show(done: int, total: int) -> None:
        if total >= 10_000:
            begun[:] = begun or [(time.monotonic(), done)]
            end = "\n" if done >= total else ""
            sys.stderr.write(f"\r{doing}: {done:,} of {total:,}{_left(*begun[0], done, total)}{end}")
            sys.stderr.flush()
            if end:
                begun.clear()

    return show


def _left(since: float, first: int, done: int, total: int) -> str:
    """`, 1 min 40 s left`, by the pace so far, and blanks over what stood there before."""
    spent = time.monotonic() - since
    if spent < 1 or done <= first:
        return ""
    minutes, seconds = divmod(round(spent * (total - done) / (done - first)), 60)
    shown = f", {minutes} min {seconds} s left" if minutes else f", {seconds} s left"
    return f"{shown if done < total else '':24}"
