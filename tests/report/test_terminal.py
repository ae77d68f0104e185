# SPDX-License-Identifier: Apache-2.0
"""The report for people: the same on every terminal, short whatever was found, and coloured only where asked."""

from __future__ import annotations

import io
import json
import re
import sys
import time
from dataclasses import replace

import pytest

from pausectl.report import terminal
from pausectl.report.json import render
from pausectl.sim.cheats import PausedTrainer
from pausectl.sim.world import World
from pausectl.verify.audit import Report
from pausectl.verify.judge import Judgement, Verdict
from pausectl.verify.rules.base import Finding, Outcome

COLOUR = re.compile(r"\x1b\[3[1-3]m.*?\x1b\[0m")


@pytest.fixture(scope="module")
def report() -> Report:
    return World(labs={"borealis": PausedTrainer("borealis")}).run().verify()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def with_findings(report: Report, findings: list[Finding]) -> Report:
    judgement = Judgement(findings=findings, windows=report.judgement.windows, held=report.judgement.held)
    return replace(report, judgement=judgement)


# ── colour ──


def test_colour_is_for_a_terminal_and_for_whoever_asks(report, monkeypatch):
    plain = terminal.render(report, colour=False)
    coloured = terminal.render(report, colour=True)
    assert "\x1b" not in plain
    assert COLOUR.sub(lambda match: match[0][5:-4], coloured) == plain
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert terminal.render(report) == coloured
    monkeypatch.setenv("NO_COLOR", "1")
    assert terminal.render(report) == plain
    assert terminal.render(report, colour=True) == coloured
    monkeypatch.setenv("NO_COLOR", "")  # no-color.org: an empty one does not count
    assert terminal.render(report) == coloured
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert terminal.render(report) == plain
    monkeypatch.setattr(sys, "stdout", None)
    assert terminal.render(report) == plain


def test_each_verdict_has_its_colour(report):
    text = terminal.render(report, colour=True)
    assert "\x1b[32mCONSISTENT  \x1b[0m" in text
    assert "\x1b[31mINCONSISTENT\x1b[0m" in text
    assert "\x1b[31mVIOLATED " in text


# ── the text ──


def test_the_width_of_the_terminal_changes_nothing(report, monkeypatch):
    wide = terminal.render(report, colour=False)
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("LINES", "3")
    assert terminal.render(report, colour=False) == wide


def test_everything_a_reader_needs_is_there(report):
    text = terminal.render(report, colour=False)
    lines = text.splitlines()
    assert lines[0].startswith("Example agreement on a coordinated pause (agreement ")
    assert report.agreement.id[:12] in lines[0]
    assert "log.example/pause" in lines[1]
    assert "judged as of 2026-08-07T00:00:00Z" in lines[1]
    assert "aurora    CONSISTENT    ====  ARMED ×2, PAUSED ×2" in lines
    assert "borealis  INCONSISTENT  ==XX  ARMED ×2, PAUSED ×2" in lines
    assert any(line.startswith("VIOLATED  CAP-2  borealis, 2026-07-20 to 2026-08-03 (2 findings)") for line in lines)
    assert lines.index("Not shown:") < len(lines) - len(report.not_shown)
    assert [line[4:] for line in lines[-len(report.not_shown) :]] == report.not_shown
    assert "compliant" not in text


def test_text_and_json_say_the_same(report):
    text, data = terminal.render(report, colour=False), json.loads(json.dumps(render(report)))
    for lab, verdict in data["verdicts"].items():
        assert re.search(rf"^{lab} +{verdict}\b", text, re.MULTILINE)
    wrong = [f for f in data["findings"] if f["outcome"] in ("VIOLATED", "UNPROVEN")]
    assert f"{len(wrong)} do not or cannot be shown to." in text
    for finding in wrong:
        assert finding["rule"] in text


def test_a_lab_without_a_verdict_and_a_window_without_a_state(report):
    windows = [replace(window, state=None, verdict=None) for window in report.judgement.windows]
    bare = replace(report, judgement=Judgement(windows=windows), verdicts=dict.fromkeys(report.verdicts))
    text = terminal.render(bare, colour=True)
    assert "aurora    no verdict    ----  not in force ×4" in text
    assert COLOUR.search(text) is None


def test_a_rule_that_failed_comes_first(report):
    broken = replace(report, judgement=Judgement(broken={"aurora": "rule X-1 failed: a\nb", None: "rule Y-1 failed"}))
    text = terminal.render(broken, colour=False)
    assert "rule failure (aurora): rule X-1 failed: a<U+000A>b\nrule failure (whole ledger): rule Y-1 failed" in text


# ── much of it ──


def test_ten_thousand_findings_fit_on_a_page(report):
    findings = [
        Finding(
            f"XX-{n % 40}", Outcome.VIOLATED if n % 3 else Outcome.UNPROVEN, "aurora", None, f"number {n}", (n,) * 40
        )
        for n in range(10_000)
    ]
    started = time.monotonic()
    text = terminal.render(with_findings(report, findings), colour=True)
    assert time.monotonic() - started < 2
    assert len(text.splitlines()) < 80
    assert "10000 do not or cannot be shown to." in text
    assert "more kinds (--json has them all)" in text
    assert len(render(with_findings(report, findings))["findings"]) == 10_000


def test_violations_come_before_what_is_unproven(report):
    findings = [
        Finding("A-1", Outcome.UNPROVEN, "aurora", None, "unproven", ()),
        Finding("Z-1", Outcome.VIOLATED, "cirrus", None, "violated", ()),
        Finding("A-2", Outcome.HOLDS, "aurora", None, "holds", ()),
        Finding("A-3", Outcome.VIOLATED, None, None, "operator", ()),
    ]
    text = terminal.render(with_findings(report, findings), colour=False)
    places = [text.index(word) for word in ("operator\n", "violated\n", "unproven\n")]
    assert places == sorted(places)
    assert "log operator, whole ledger" in text
    assert "holds\n" not in text


def test_a_long_message_is_cut_and_the_json_has_it_whole(report):
    long = with_findings(report, [Finding("A-1", Outcome.VIOLATED, "aurora", None, "x" * 50_000, ())])
    assert max(map(len, terminal.render(long, colour=False).splitlines())) < 1_000
    assert render(long)["findings"][0]["message"] == "x" * 50_000


def test_many_windows_are_shown_from_the_newest_backwards(report):
    one = report.judgement.windows[0]
    windows = [replace(one, lab="aurora", window=n, verdict=Verdict.CONSISTENT) for n in range(500)]
    windows.append(replace(one, lab="aurora", window=500, verdict=Verdict.INCONSISTENT))
    text = terminal.render(replace(report, judgement=Judgement(windows=windows)), colour=False)
    assert f"  {'=' * 59}X  " in text


# ── progress ──


def test_progress_says_what_is_left_after_a_second(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    clock = iter([0.0, 0.0, 1.0, 10.0, 100.0])
    monkeypatch.setattr(terminal.time, "monotonic", lambda: next(clock))
    show = terminal.progress("mirroring")
    show(1_000, 101_000)
    show(2_000, 101_000)
    show(11_000, 101_000)
    show(101_000, 101_000)
    shown = [each.rstrip() for each in sys.stderr.getvalue().split("\r")[1:]]
    assert shown == [
        "mirroring: 1,000 of 101,000",
        "mirroring: 2,000 of 101,000, 1 min 39 s left",
        "mirroring: 11,000 of 101,000, 1 min 30 s left",
        "mirroring: 101,000 of 101,000",
    ]


def test_progress_is_for_a_terminal_and_for_long_work(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    terminal.progress("verifying")(5, 1_000_000)
    assert sys.stderr.getvalue() == ""
    monkeypatch.setattr(sys, "stderr", Terminal())
    show = terminal.progress("verifying")
    show(5, 9_999)
    assert sys.stderr.getvalue() == ""
    show(5_000, 1_000_000)
    show(1_000_000, 1_000_000)
    assert sys.stderr.getvalue() == "\rverifying: 5,000 of 1,000,000\rverifying: 1,000,000 of 1,000,000\n"
    monkeypatch.setattr(sys, "stderr", None)
    terminal.progress("verifying")(5, 1_000_000)
