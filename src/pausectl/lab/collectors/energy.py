# SPDX-License-Identifier: Apache-2.0
"""Readings by device, and what they come to: energy, covered time, polls that brought one.

A pair of neighbours counts if it is no further apart than `max_gap`: a trapezoid of power, or what a counter rose by,
each interpolated at the window's edges and never carried past the first or the last reading. A counter that falls was
reset and starts anew. What cannot be a reading (not finite, ≤ 0, outside the bounds of its class) is flagged: the poll
brought something, and none of it is integrated.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from math import isfinite, nan
from pathlib import Path
from statistics import median

from pausectl.errors import Malformed, UsageFault
from pausectl.lab.collectors.base import Window

OPTIONS = ("step", "max_gap", "floor", "devices")
#: Device class → watts of a credible reading, lowest and highest: a wrong prefix leads out of them.
BOUNDS = {"gpu": (5.0, 3_000.0), "node": (10.0, 20_000.0), "rack": (200.0, 500_000.0)}
#: Prefixes are part of the unit: a number without one is no quantity.
WATTS = {"uW": 1e-6, "mW": 1e-3, "W": 1.0, "kW": 1e3, "MW": 1e6}
JOULES = {"uJ": 1e-6, "mJ": 1e-3, "J": 1.0, "kJ": 1e3, "MJ": 1e6, "Wh": 3.6e3, "kWh": 3.6e6}
_HEADERS = frozenset({"device", "node", "uuid", "id", "instance", "host", "hostname"})


@dataclass(slots=True)
class Track:
    """Readings of one device: milliseconds since 1970, and values, NaN where flagged."""

    times: array[int] = field(default_factory=lambda: array("q"))
    values: array[float] = field(default_factory=lambda: array("d"))

    def add(self, time_ms: int, value: float) -> None:
        """One more reading, in whatever order."""
        self.times.append(time_ms)
        self.values.append(value)

    def settle(self) -> tuple[int, int]:
        """Sort by time and keep the first of each instant. How many were repeated, and how many of those contradict."""
        times, values = self.times, self.values
        if all(one < next for one, next in pairwise(times)):
            return 0, 0
        order = sorted(range(len(times)), key=times.__getitem__)
        self.times, self.values = array("q"), array("d")
        repeated = contradicting = 0
        for place in order:
            if self.times and self.times[-1] == times[place]:
                repeated += 1
                contradicting += self.values[-1] != values[place] and values[place] == values[place]
            else:
                self.add(times[place], values[place])
        return repeated, contradicting


@dataclass(frozen=True, slots=True)
class Terms:
    """What readings are held against.

    step: seconds between polls, None where nobody said. max_gap: seconds. floor: coverage below which an energy is
    unknown. devices: that should report, None where nobody said. low, high: watts of a credible reading.
    """

    window: Window
    step: float | None
    max_gap: float
    floor: Fraction
    devices: frozenset[str] | None
    low: float
    high: float

    def judged(self, watts: float) -> float:
        """The reading, or NaN if it can be none."""
        return watts if isfinite(watts) and self.low <= watts <= self.high else nan


@dataclass(slots=True)
class Sum:
    """What the readings of one device, or of all, come to. amount: joules, or whatever the values are per second."""

    amount: float = 0.0
    covered_ms: int = 0
    records: int = 0
    flagged: int = 0
    gaps: int = 0
    longest_ms: int = 0
    resets: int = 0
    across: float = 0.0
    impossible: int = 0

    def plus(self, other: Sum) -> None:
        """Add another device."""
        for name in ("amount", "covered_ms", "records", "flagged", "gaps", "resets", "across", "impossible"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.longest_ms = max(self.longest_ms, other.longest_ms)


def terms(options: Mapping[str, str], window: Window, low: float, high: float) -> Terms:
    """From a collector's options."""
    step = number(options, "step") if "step" in options else None
    devices = listed(Path(options["devices"])) if "devices" in options else None
    floor = Fraction(options.get("floor", "1/2")) if _ratio(options.get("floor", "1/2")) else Fraction(-1)
    if not 0 <= floor <= 1:
        raise UsageFault(f"floor: expected a number from 0 to 1, found {options['floor']!r}")
    return Terms(window, step, number(options, "max_gap", 300.0), floor, devices, low, high)


def number(options: Mapping[str, str], name: str, default: float = 0.0) -> float:
    """A positive number among the options. UsageFault if it is none."""
    try:
        found = float(options[name]) if name in options else default
    except ValueError:
        found = nan
    if not (isfinite(found) and found > 0):
        raise UsageFault(f"{name}: expected a positive number, found {options[name]!r}")
    return found


def _ratio(text: str) -> bool:
    try:
        Fraction(text)
    except (ValueError, ZeroDivisionError):
        return False
    return True


def listed(path: Path) -> frozenset[str]:
    """Devices that should report: one a line, or the first column of a CSV. UsageFault if there are none."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageFault(f"cannot be read: {error}", where=str(path)) from error
    names = [line.partition(",")[0].strip().strip('"') for line in lines]
    if names and names[0].lower() in _HEADERS:
        names = names[1:]
    found = frozenset(name for name in names if name and not name.startswith("#"))
    if not found:
        raise UsageFault("expected a device on each line, found none", where=str(path))
    return found


def summed(track: Track, terms: Terms, *, counter: bool) -> Sum:
    """What a settled track comes to within the window. counter: its values are joules so far, else they are watts."""
    start, end = terms.window.start * 1000, terms.window.end * 1000
    limit, found = terms.max_gap * 1000, Sum()
    before, was = -1, nan
    for time, value in zip(track.times, track.values, strict=True):
        inside = start <= time < end
        found.records += inside
        if value != value:  # noqa: PLR0124 - NaN
            found.flagged += inside
            continue
        begin, stop = max(before, start), min(time, end)
        if before >= 0 and begin < stop:
            span, part = time - before, stop - begin
            if span > limit:
                found.gaps += 1
                found.longest_ms = max(found.longest_ms, span)
                found.across += max(0.0, value - was) * part / span if counter else 0.0
            elif counter:
                _risen(found, value - was, span, part, terms.high)
            else:
                slope = (value - was) / span
                found.amount += part / 1000 * (was + slope * ((begin + stop) / 2 - before))
                found.covered_ms += part
        before, was = time, value
    return found


def _risen(found: Sum, rise: float, span: int, part: int, high: float) -> None:
    if rise < 0:
        found.resets += 1
    elif rise * 1000 / span > high:
        found.impossible += 1
    else:
        found.amount += rise * part / span
        found.covered_ms += part


def polls(track: Track, window: Window, step: float) -> int:
    """Polls that brought a reading, whatever it was: the slots of `step` seconds around which readings fall.

    The slots are laid so that the first reading is in the middle of one: a poller is as punctual as half a step.
    """
    start, end, width = window.start * 1000, window.end * 1000, step * 1000
    inside = [time for time in track.times if start <= time < end]
    if not inside:
        return 0
    origin = inside[0] - width / 2
    return min(len({int((time - origin) // width) for time in inside}), due(window, step))


def due(window: Window, step: float) -> int:
    """Polls due of one device."""
    return max(1, int((window.end - window.start) / step))


def cadence(tracks: Iterator[Track]) -> float | None:
    """Seconds between polls, as seen: the middle of the middles of up to 100 devices."""
    middles = []
    for track in tracks:
        times = track.times[:1000]
        if len(times) > 1:
            middles.append(median(later - one for one, later in pairwise(times)))
        if len(middles) == 100:
            break
    return median(middles) / 1000 if middles else None


def credible(high: int, low: int, total: int, terms: Terms, kind: str) -> None:
    """Malformed if most readings are on one side of the bounds of their class: that is a unit, not a sensor."""
    for count, side in ((high, "above"), (low, "below")):
        if count * 2 > total:
            raise Malformed(
                f"expected {terms.low:g} to {terms.high:g} W of a {kind}, found {count} of {total} readings {side}",
                hint="is the unit another one, by a thousand? else name the class, or low and high",
            )
