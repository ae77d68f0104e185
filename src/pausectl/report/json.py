# SPDX-License-Identifier: Apache-2.0
"""The result for programs: one object, the shape that scripts depend on (specs/verification.md, section JSON)."""

from __future__ import annotations

from typing import Any

from pausectl.agreement.types import instant
from pausectl.verify.audit import Report
from pausectl.verify.rules.base import Finding
from pausectl.wire.keys import base64


def render(report: Report) -> dict[str, Any]:
    """JSON-able: agreement, log, as_of, available, verdicts, windows, findings, not_shown."""
    head = report.ledger.head.checkpoint
    return {
        "agreement": {"id": report.agreement.id, "version": report.agreement.document.version},
        "log": {"origin": head.origin, "size": head.size, "root": base64(head.root), "before": _before(report)},
        "as_of": instant(report.as_of),
        "available": report.available and {"size": report.available[0], "by": instant(report.available[1])},
        "verdicts": dict(report.verdicts),
        "windows": [
            {"lab": w.lab, "start": instant(w.start), "end": instant(w.end), "state": w.state, "verdict": w.verdict}
            for w in sorted(report.judgement.windows, key=lambda w: (w.window, w.lab))
        ],
        "findings": [_finding(finding) for finding in report.judgement.findings],
        "held": [
            {"lab": lab or None, "rule": rule, "count": count}
            for (lab, rule), count in sorted(report.judgement.held.items())
        ],
        "errors": [{"lab": lab, "message": message} for lab, message in report.judgement.broken.items()],
        "not_shown": report.not_shown,
    }


def _before(report: Report) -> list[dict[str, Any]]:
    """The logs that this one succeeded, oldest first, and what counts of each."""
    chain = report.chain
    return [
        {
            "origin": log.origin, "size": log.end.checkpoint.size, "root": base64(log.end.checkpoint.root),
            "at_hand": log.origin != chain.missing,
        }
        for log in reversed(chain.before)
    ] if chain else []  # fmt: skip


def _finding(finding: Finding) -> dict[str, Any]:
    window = finding.window
    return {
        "rule": finding.rule,
        "outcome": finding.outcome,
        "lab": finding.lab,
        "window": {"start": instant(window[1]), "end": instant(window[2])} if window else None,
        "message": finding.message,
        "entries": list(finding.entries),
    }
