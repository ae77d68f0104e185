# SPDX-License-Identifier: Apache-2.0
"""What every collector returns, and how a stranger's is found.

    @collector("slurm")
    def collect(inputs: Sequence[str], window: Window, options: Mapping[str, str]) -> Collected: …

    [project.entry-points."pausectl.collectors"]      in the pyproject of whoever wrote one
    slurm = "pausectl.lab.collectors.slurm"

Three laws. Silence is not zero: what a source cannot tell is unknown, and coverage is against what should have
reported. Every end state counts. Numbers are rounded once, at the end; a float is never filed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from pausectl.errors import UsageFault
from pausectl.registry import register, registered

GROUP = "pausectl.collectors"


@dataclass(frozen=True, slots=True)
class Window:
    """What is collected: `[start, end)`, POSIX seconds."""

    start: int
    end: int

    def overlap(self, start: float, end: float) -> float:
        """Seconds of `[start, end)` that lie in the window."""
        return max(0.0, min(end, self.end) - max(start, self.start))


@dataclass(frozen=True, slots=True)
class Method:
    """How the numbers came about, to be filed with them.

    source: which system. version: of its format, as far as it says. query: what was asked, or the files' names and
    digests. filters: what was left out, each with its reason. gaps: what is known to be missing.
    """

    source: str
    version: str
    query: str
    filters: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Collected:
    """What one source says of one window; None where it says nothing of that kind.

    records: read that are about the window. unknown_records: of those, how many hold accelerators or energy that the
    source does not tell. by_state: accelerator_seconds by end state. coverage: of what should have reported, what did.
    rows: readings to be sealed, (device, time in ms, watts).
    """

    method: Method
    records: int
    unknown_records: int = 0
    accelerator_seconds: int | None = None
    by_state: Mapping[str, int] | None = None
    energy_wh: int | None = None
    results: Sequence[Mapping[str, Any]] | None = None
    coverage: Fraction | None = None
    rows: Iterable[tuple[str, int, float]] = field(default=(), repr=False)

    def json(self) -> dict[str, Any]:
        """For `--json`: the members that apply."""
        found: dict[str, Any] = {
            "accelerator_seconds": self.accelerator_seconds,
            "by_state": None if self.by_state is None else dict(self.by_state),
            "unknown_records": self.unknown_records,
            "records": self.records,
            "energy_wh": self.energy_wh,
            "results": None if self.results is None else [dict(result) for result in self.results],
            "coverage": None if self.coverage is None else float(self.coverage),
            "method": {
                "source": self.method.source,
                "version": self.method.version,
                "query": self.method.query,
                "filters": list(self.method.filters),
                "gaps": list(self.method.gaps),
            },
        }
        return {name: value for name, value in found.items() if value is not None}


Collect = Callable[[Sequence[str], Window, Mapping[str, str]], Collected]


def collector(name: str) -> Callable[[Collect], Collect]:
    """Enter a collector under a name."""

    def mark(function: Collect) -> Collect:
        register("collector", name, function)
        return function

    return mark


def names() -> list[str]:
    """Of all collectors that are installed, ours and strangers'."""
    return sorted({point.name for point in entry_points(group=GROUP)} | set(registered("collector")))


def find(name: str) -> Collect:
    """A collector by name. UsageFault if there is none, or it lacks what it needs."""
    points = {point.name: point for point in entry_points(group=GROUP)}
    if name not in registered("collector") and name in points:
        try:
            import_module(points[name].value.partition(":")[0])
        except ImportError as error:
            hint = "pip install 'pausectl[lab]'"
            raise UsageFault(f"the collector {name} lacks {error.name}", hint=hint) from error
    known: dict[str, Collect] = registered("collector")
    if name not in known:
        raise UsageFault(f"no collector is called {name}", hint=f"there are {', '.join(names()) or 'none'}")
    return known[name]


def option(options: Mapping[str, str], allowed: Iterable[str]) -> dict[str, str]:
    """The options, each of which the collector knows."""
    strange = sorted(set(options) - set(allowed))
    if strange:
        raise UsageFault(f"no such option of this collector: {strange[0]}", hint=f"there are {', '.join(allowed)}")
    return dict(options)
