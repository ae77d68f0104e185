# SPDX-License-Identifier: Apache-2.0
r"""Automation metrics of a git history: how much of what was merged an agent wrote, between bounds.

    pausectl lab collect git REPOSITORY… --window 2026-07-01T00:00:00Z/2026-10-01T00:00:00Z \
        -O baseline=2024-07-01T00:00:00Z/2024-10-01T00:00:00Z [-O ref=main] [-O generated=include]

Markers are a lower bound: what carries none may be an agent's all the same. The upper bound is all but what a note
attests as a person's. Lines are not value, and one commit may be many: the method says how it was counted.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pausectl.agreement.types import seconds
from pausectl.errors import UsageFault
from pausectl.lab.collectors import git_log, git_notes
from pausectl.lab.collectors.base import Collected, Method, Window, collector, option
from pausectl.lab.collectors.git_count import GENERATED, KINDS, Note, Tally, count, written
from pausectl.lab.collectors.git_log import Commit, Repository

MARKERS = {
    "coauthor": "a Co-authored-by trailer names an agent",
    "generated_with": "the message has a line Generated with, and an agent's name",
    "author": "the author is an agent, or is marked (aider)",
    "note": "a git-ai note gives lines to an agent",
    "committer": "the committer is an agent or is marked (aider), and the author is not",
    "subject": "the subject begins aider:",
}
_DAY = 86_400
_UNIT = 10**6
Source = Callable[[Window], tuple[Iterator[Commit], Note]]


@collector("git")
def collect(inputs: Sequence[str], window: Window, options: Mapping[str, str]) -> Collected:
    """Commits and lines by author kind, of those that were committed in the window.

    inputs: repositories, or files of `git log` (git_log says of which form). options: baseline, START/END of an earlier
    window that throughput is measured against; ref, what was merged into (HEAD); generated=include, to count those too.
    """
    chosen = option(options, ("baseline", "ref", "generated"))
    generated = chosen.get("generated", "exclude")
    if generated not in {"exclude", "include"}:
        raise UsageFault(f"expected include or exclude, found {generated!r}", where="generated")
    counted = written if generated == "exclude" else _any
    baseline = _window(chosen["baseline"]) if "baseline" in chosen else None
    tally, before, queries = Tally(), Tally(), []
    with ExitStack() as stack:
        sources = []
        for place in inputs:
            source, query = _source(place, chosen.get("ref", "HEAD"), counted, stack)
            sources.append(source)
            queries.append(query)
        _tally(tally, sources, window, counted)
        if baseline is not None:
            _tally(before, sources, baseline, counted)
    return Collected(
        method=Method(
            "git", "git log --numstat; " + git_notes.SCHEMA, "; ".join(queries), _filters(tally, generated),
            _gaps(tally, before, baseline),
        ),
        records=tally.records,
        unknown_records=tally.commits["unknown"] + tally.commits["hint"],
        results=[*_shares(tally), *_throughput(tally, window, before, baseline)],
    )  # fmt: skip


def _tally(tally: Tally, sources: Sequence[Source], window: Window, counted: Callable[[bytes], bool]) -> None:
    seen = set[bytes]() if len(sources) > 1 else None  # a fork has most commits of what it forked
    for source in sources:
        history, note = source(window)
        count(tally, history, window, note, counted, seen)


def _any(_: bytes) -> bool:
    return True


def _window(text: str) -> Window:
    start, _, end = text.partition("/")
    try:
        window = Window(seconds(start), seconds(end))
    except ValueError as error:
        raise UsageFault(f"expected START/END, found {text!r}: {error}", where="baseline") from error
    if window.end <= window.start:
        raise UsageFault(f"expected an end after the start, found {text}", where="baseline")
    return window


# ── where commits come from ──


def _source(place: str, ref: str, counted: Callable[[bytes], bool], stack: ExitStack) -> tuple[Source, str]:
    """From a window to its commits and their notes; and what was read, for the method."""
    name = os.fsencode(Path(place).resolve().name).decode("utf-8", "replace")
    if Path(place).is_file():
        try:
            with Path(place).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise UsageFault(f"cannot be read: {error.strerror}", where=place) from error
        return lambda _: (_exported(place), lambda _: None), f"{name} sha256:{digest}"
    repository = stack.enter_context(git_log.opened(place, ref))
    note = _notes(repository, counted)
    return lambda window: (repository.log(window.start, window.end), note), f"{name} {ref} {repository.head}"


def _exported(place: str) -> Iterator[Commit]:
    with Path(place).open("rb") as file:
        yield from git_log.commits(file, place)


def _notes(repository: Repository, counted: Callable[[bytes], bool]) -> Note:
    """Only what hangs off a commit that is asked about is read: most notes hang off what a rebase left behind."""

    def note(oid: bytes) -> Counter[str] | None:
        blob = repository.notes.get(oid)
        return git_notes.parse(repository.blob(blob, git_notes.MAX_NOTE), counted) if blob else None

    return note


# ── what is told ──


def _result(
    metric: str, definition: str, counts: tuple[int, int], unit: str, most: int | None = None
) -> dict[str, Any]:
    """most: numerator of the upper bound, where it is another. A bound is rounded away from the other one."""
    numerator, denominator = counts
    entry: dict[str, Any] = {
        "metric": metric, "definition": definition, "numerator": numerator, "denominator": denominator, "unit": unit,
    }  # fmt: skip
    if denominator:
        entry["lower"] = _decimal(numerator * _UNIT // denominator)
        entry["upper"] = _decimal(-(-(numerator if most is None else most) * _UNIT // denominator))
    return entry


def _decimal(millionths: int) -> str:
    return f"{millionths // _UNIT}.{millionths % _UNIT:06d}"


def _shares(tally: Tally) -> Iterator[dict[str, Any]]:
    commits, lines = tally.commits.total(), tally.lines.total()
    yield _result(
        "ai_commits",
        "merged commits that a marker says an agent wrote or helped to write; at most all but those whose every line a "
        "note attests as a person's",
        (tally.commits["ai"], commits), "commits", commits - tally.commits["human"],
    )  # fmt: skip
    yield _result(
        "ai_lines",
        "inserted lines of such commits, and where only a note marks one the lines it gives to agents; at most all but "
        "the lines that a note attests as a person's",
        (tally.ai, lines), "lines", lines - tally.human,
    )  # fmt: skip
    for kind, which in KINDS.items():
        if kind != "ai":
            yield _result(f"{kind}_commits", f"merged commits {which}", (tally.commits[kind], commits), "commits")
            yield _result(f"{kind}_lines", f"inserted lines of commits {which}", (tally.lines[kind], lines), "lines")
    for marker, says in MARKERS.items():
        counts = (tally.marked[marker], commits)
        yield _result(f"marker_{marker}_commits", f"merged commits where {says}", counts, "commits")


def _throughput(tally: Tally, window: Window, before: Tally, baseline: Window | None) -> Iterator[dict[str, Any]]:
    """Of engineers: what agents wrote is theirs, what bots did is nobody's."""
    engineers, days = len(tally.engineers), window.end - window.start
    yield _result("active_engineers", "authors by canonical identity", (engineers, 1), "engineers")
    for unit, now, then in (
        ("commits", _output(tally.commits), _output(before.commits)),
        ("lines", _output(tally.lines), _output(before.lines)),
    ):
        said = f"merged {unit} but those of bots, per active engineer and day"
        yield _result(f"{unit}_per_engineer_day", said, (now * _DAY, engineers * days), unit)
        if baseline is not None:
            counts = now * len(before.engineers) * (baseline.end - baseline.start), then * engineers * days
            yield _result(f"{unit}_against_baseline", f"{said}, divided by the same of the baseline", counts, "ratio")


def _output(counts: Counter[str]) -> int:
    return counts.total() - counts["bot"]


def _filters(tally: Tally, generated: str) -> tuple[str, ...]:
    return (
        "window by committer date; commits reachable from the ref, each once",
        f"merges (two parents or more): {tally.merges} left out",
        f"generated and vendored files: {tally.excluded} lines left out ({GENERATED})"
        if generated == "exclude"
        else "generated and vendored files are counted",
        "agents by exact names and addresses; an engineer is an author's address by .mailmap, never a co-author",
        "renames are a deletion and an insertion; lines of a note at most those that its commit inserted",
    )


def _gaps(tally: Tally, before: Tally, baseline: Window | None) -> tuple[str, ...]:
    told = ((tally.records == 0, "no commit in the window"),
        (tally.commits["unknown"],
         f"{tally.commits['unknown']} commits carry no marker and no attestation: agents may have written them"),
        (tally.commits["hint"], f"{tally.commits['hint']} commits carry a weak marker only: not in the lower bound"),
        (tally.web, f"squash merges: {tally.web} commits were made on the web; each may be many, their markers lost"),
        (tally.binary, f"{tally.binary} binary files: their lines are not known"),
        (tally.empty, f"{tally.empty} commits without files: empty, or not counted where they were exported"),
        (tally.bad_notes, f"{tally.bad_notes} notes could not be read, and count as none"),
        (not tally.notes, f"no note of git-ai ({git_notes.SCHEMA}): no line is attested as a person's"),
        (baseline is None, "no baseline: throughput has nothing to be compared with"),
        (baseline is not None and not _output(before.commits), "no commit in the baseline"),
        (True, "pull requests, reviews and work that was never merged are not in a history"),
    )  # fmt: skip
    return tuple(text for applies, text in told if applies)
