# SPDX-License-Identifier: Apache-2.0
"""Counting: one row for each fault, and one for each sabotage that a fault has to catch."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from laboratory import Verdict, Writer

#: So many lines of what went wrong are printed; all are counted.
_TOLD = 5


class Caught(Exception):
    """A trial failed where one failure is all that was asked for: a sabotage was found, at this trial."""

    def __init__(self, trial: int, said: str) -> None:
        super().__init__(said)
        self.trial, self.said = trial, said


class Skipped(Exception):
    """This machine cannot make the fault; the reason."""


@dataclass
class Tally:
    """One fault's trials. stop: raise Caught at the first that fails. ran_on: how often the log went on by itself."""

    name: str
    stop: bool = False
    trials: int = 0
    acks: int = 0
    seen: int = 0
    lost: int = 0
    forks: int = 0
    refused: int = 0
    failed: int = 0
    note: str = ""
    extra: dict[str, int] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    seconds: float = 0.0

    def count(self, what: str, by: int = 1) -> None:
        self.extra[what] = self.extra.get(what, 0) + by

    def trial(self, verdict: Verdict, writer: Writer | None = None, *, about: str = "") -> None:
        """Count one. about: what repeats it."""
        self.trials += 1
        if writer is not None:
            self.acks += len(writer.acks)
            self.seen += len(writer.seen)
            verdict.wrong += [f"entry {index} was acknowledged before readers see it" for index in writer.hidden[:1]]
        self.lost += verdict.lost
        self.forks += verdict.forks
        self.refused += bool(verdict.refused)
        if verdict.wrong:
            self.failed += 1
            if self.stop:
                raise Caught(self.trials, verdict.wrong[0])
            if self.failed <= _TOLD:
                print(f"WRONG {self.name} [{about}]: {'; '.join(verdict.wrong[:4])}", file=sys.stderr, flush=True)

    def check(self, right: bool, said: str, *, about: str = "") -> None:
        """One trial that is a yes or a no."""
        self.trial(Verdict(wrong=[] if right else [said]), about=about)

    def row(self) -> tuple[str, ...]:
        extra = ", ".join(f"{count:,} {what}" for what, count in self.extra.items())
        said = "; ".join(part for part in (extra, self.note) if part)
        counts = (self.trials, self.acks, self.seen, self.lost, self.forks, self.refused, self.failed)
        return (self.name, *(f"{count:,}" for count in counts), f"{self.seconds:.0f}", said)


HEADER = ("fault", "trials", "acknowledged", "checkpoints seen", "lost", "forked", "refused", "failed", "s", "of these")
CAUGHT = ("sabotage", "caught by", "at trial", "what was seen")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """As Markdown, so that a page can quote it; numbers to the right."""
    every = [tuple(map(str, header)), *(tuple(map(str, row)) for row in rows)]
    widths = [max(len(row[at]) for row in every) for at in range(len(header))]
    number = [all(row[at].replace(",", "").isdigit() or not row[at] for row in every[1:]) for at in range(len(header))]

    def line(row: Sequence[str]) -> str:
        cells = (
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(row, widths, number, strict=True)
        )
        return f"| {' | '.join(cells)} |"

    rule = "|".join("-" * (width + 1) + (":" if right else "-") for width, right in zip(widths, number, strict=True))
    return "\n".join([line(every[0]), f"|{rule}|", *map(line, every[1:])])
