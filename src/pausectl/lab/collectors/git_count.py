# SPDX-License-Identifier: Apache-2.0
"""Commits by author kind, and their lines: what is counted of a history, and what of it is left out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pausectl.errors import Malformed
from pausectl.lab.collectors import git_markers
from pausectl.lab.collectors.base import Window
from pausectl.lab.collectors.git_log import Commit
from pausectl.lab.collectors.git_markers import STRONG, WEAK

#: Author kind → which commits are meant. Of two that apply the first counts.
KINDS = {
    "ai": "with a marker of an agent",
    "bot": "whose author is a program that is no agent",
    "hint": "with only a weak marker: the committer is an agent, or the subject begins aider:",
    "human": "whose every line a note attests as a person's",
    "unknown": "with no marker and no attestation",
}
_GENERATED = re.compile(
    rb"(?:.*/)?(?:(?:vendor|vendored|third[-_]party|node_modules)/.*"
    rb"|[^/]+(?:\.min\.(?:js|css)|\.pb\.go|_pb2(?:_grpc)?\.pyi?)"
    rb"|package-lock\.json|npm-shrinkwrap\.json|pnpm-lock\.yaml|yarn\.lock|bun\.lock|uv\.lock|poetry\.lock|Pipfile\.lock"
    rb"|Cargo\.lock|Gemfile\.lock|composer\.lock|go\.sum|flake\.lock)",
    re.DOTALL,
)
#: The same in words, for the method.
GENERATED = (
    "files below vendor, vendored, third_party, third-party or node_modules; *.min.js, *.min.css, *.pb.go, *_pb2.py; "
    "lock files of package managers, by exact name"
)

#: From a commit's hash to lines by kind of key, or None for no note. Malformed if there is one that cannot be read.
Note = Callable[[bytes], "Counter[str] | None"]


@dataclass(slots=True)
class Tally:
    """What is counted while commits go by. commits, lines: by kind. marked: commits by marker. ai, human: lines."""

    records: int = 0
    merges: int = 0
    commits: Counter[str] = field(default_factory=Counter)
    lines: Counter[str] = field(default_factory=Counter)
    marked: Counter[str] = field(default_factory=Counter)
    ai: int = 0
    human: int = 0
    excluded: int = 0
    binary: int = 0
    empty: int = 0
    web: int = 0
    notes: int = 0
    bad_notes: int = 0
    engineers: set[str] = field(default_factory=set)


def written(path: bytes) -> bool:
    """Whether a file is one that somebody writes: neither generated nor vendored, by its name."""
    return _GENERATED.fullmatch(path) is None


def count(
    tally: Tally,
    history: Iterable[Commit],
    window: Window,
    note: Note,
    counted: Callable[[bytes], bool],
    seen: set[bytes] | None,
) -> None:
    """Add the commits of a history that were committed in the window. seen: hashes that are counted already."""
    for commit in history:
        if not window.start <= commit.time < window.end:
            continue
        if seen is not None:
            if commit.oid in seen:
                continue
            seen.add(commit.oid)
        tally.records += 1
        if commit.parents > 1:
            tally.merges += 1
        else:
            _add(tally, commit, _inserted(tally, commit, counted), _noted(tally, commit, note))


def _inserted(tally: Tally, commit: Commit, counted: Callable[[bytes], bool]) -> int:
    inserted = 0
    for path, lines in commit.files:
        if lines is None:
            tally.binary += 1
        elif counted(path):
            inserted += lines
        else:
            tally.excluded += lines
    tally.empty += not commit.files
    return inserted


def _noted(tally: Tally, commit: Commit, note: Note) -> Counter[str]:
    try:
        lines = note(commit.oid)
    except Malformed:
        tally.bad_notes += 1
        return Counter()
    tally.notes += lines is not None
    return lines or Counter()


def _add(tally: Tally, commit: Commit, inserted: int, noted: Counter[str]) -> None:
    """Lines that a note attests as a person's are hers whatever marks the commit, so the bounds never cross.

    Notes restate earlier ones after a rebase: no commit has more lines of a note than it inserted.
    """
    markers = git_markers.markers(commit.author, commit.committer, commit.message)
    human = min(noted["human"], inserted)
    ai = min(noted.total() - noted["human"], inserted - human)
    whole = not markers.isdisjoint(STRONG)
    if noted.total() > noted["human"]:
        markers.add("note")
    kind = _kind(commit, markers, attested=human == inserted > 0)
    tally.marked.update(markers)
    tally.commits[kind] += 1
    tally.lines[kind] += inserted
    tally.ai += inserted - human if whole else ai
    tally.human += human
    tally.web += commit.committer[1] == "noreply@github.com"
    if not git_markers.bot(*commit.author) and (commit.author[0].endswith(" (aider)") or "author" not in markers):
        tally.engineers.add(git_markers.identity(commit.author[0], commit.canonical))


def _kind(commit: Commit, markers: set[str], *, attested: bool) -> str:
    if not markers.isdisjoint(STRONG):
        return "ai"
    if git_markers.bot(*commit.author):
        return "bot"
    if not markers.isdisjoint(WEAK):
        return "hint"
    return "human" if attested else "unknown"
