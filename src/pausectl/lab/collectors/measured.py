# SPDX-License-Identifier: Apache-2.0
"""From readings of many devices to what is collected: one sensor for each, energy, coverage, and what is not known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from pausectl.errors import Malformed
from pausectl.lab.collectors import energy
from pausectl.lab.collectors.base import Collected, Method
from pausectl.lab.collectors.energy import Sum, Terms, Track


@dataclass(slots=True)
class Readings:
    """By kind ("power", "energy", "devices"), rank (0: the sensor to be preferred) and device. parts: see `_boards`.

    high, low, total: readings of power above and below what is credible, and all of them.
    """

    terms: Terms
    kind: str
    parts: bool = False
    tracks: dict[str, dict[str, dict[int, Track]]] = field(default_factory=dict)
    high: int = 0
    low: int = 0
    total: int = 0

    def track(self, kind: str, device: str, rank: int) -> Track:
        """Where the readings of a sensor go."""
        return self.tracks.setdefault(kind, {}).setdefault(device, {}).setdefault(rank, Track())

    def judged(self, kind: str, value: float) -> float:
        """The value, or NaN if it is none. A gauge of power has bounds; a counter and a number of devices may be 0."""
        if kind != "power":
            return value if 0 <= value < float("inf") else float("nan")
        self.total += 1
        self.high += self.terms.high < value < float("inf")
        self.low += 0 < value < self.terms.low
        return self.terms.judged(value)


@dataclass(slots=True)
class _Read:
    """What was made of them. chosen: device → its track and sum."""

    chosen: dict[str, tuple[Track, Sum]] = field(default_factory=dict)
    total: Sum = field(default_factory=Sum)
    counters: int = 0
    repeated: int = 0
    contradicting: int = 0
    sensors: int = 0
    still: int = 0
    stuck: int = 0
    boards: int = 0


def measured(readings: Readings, source: Method) -> Collected:
    """All of it. source: the method, to whose filters and gaps those of the readings are added."""
    terms, kinds = readings.terms, readings.tracks
    energy.credible(readings.high, readings.low, readings.total, terms, readings.kind)
    read = _read(readings)
    held = _held(kinds.get("devices", {}), terms, read)
    every = {**{device: track for device, (track, _) in read.chosen.items()}, **held}
    step = terms.step or energy.cadence(iter(every.values()))
    coverage, gaps = _coverage(every, step, terms, parts=readings.parts)
    covered = Fraction(read.total.covered_ms, 1)
    silent = not covered or (coverage is not None and coverage < terms.floor)
    gaps += _gaps(read, terms, len(every), silent=silent, coverage=coverage)
    powered = {device: _preferred(ranks) for device, ranks in kinds.get("power", {}).items() if device in read.chosen}
    amount = round(read.total.amount) if held else 0
    return Collected(
        method=Method(
            source.source, source.version, source.query, (*source.filters, *_filters(read)), (*source.gaps, *gaps)
        ),
        records=read.total.records,
        unknown_records=read.total.flagged,
        accelerator_seconds=amount if held and not silent else None,
        energy_wh=round(read.total.amount / 3600) if not held and not silent else None,
        coverage=coverage,
        rows=_rows(powered, terms),
    )


def _read(readings: Readings) -> _Read:
    """For every device the counter, if it tells of no less time than the gauge, else the gauge."""
    found, terms = _Read(), readings.terms
    gauges, counters = readings.tracks.get("power", {}), readings.tracks.get("energy", {})
    for device in sorted(gauges.keys() | counters.keys()):
        options = []
        for ranks, counter in ((counters.get(device), True), (gauges.get(device), False)):
            if ranks:
                track = _settled(ranks, found)
                options.append((counter, track, energy.summed(track, terms, counter=counter)))
        if options[0][0] and options[0][2].impossible * 2 > options[0][2].records:
            raise Malformed(
                f"expected a counter of at most {terms.high:g} W, found more most of the time",
                where=f"device {device}", hint="is the unit another one, by a thousand?",
            )  # fmt: skip
        if len(options) > 1 and not options[0][2].amount:
            found.still += 1  # a counter that never moved
            options.pop(0)
        elif options[0][0] and options[0][2].covered_ms and not options[0][2].amount:
            found.stuck += 1
            options[0][2].flagged, options[0][2].covered_ms = options[0][2].records, 0
        slack = terms.max_gap * 1000
        best = next(one for one in options if one[2].covered_ms + slack >= max(o[2].covered_ms for o in options))
        found.chosen[device] = best[1], best[2]
        found.counters += best[0]
    if readings.parts:
        _boards(found)
    for _, each in found.chosen.values():
        found.total.plus(each)
    return found


def _settled(ranks: dict[int, Track], found: _Read) -> Track:
    """The track of the sensor to be preferred, sorted, each instant once."""
    track = _preferred(ranks)
    found.sensors += len(ranks) - 1
    repeated, contradicting = track.settle()
    found.repeated += repeated
    found.contradicting += contradicting
    return track


def _preferred(ranks: dict[int, Track]) -> Track:
    """Of the first sensor that has anything but flagged readings, if there is one."""
    good = [rank for rank, track in ranks.items() if any(value == value for value in track.values)]  # noqa: PLR0124
    return ranks[min(good or ranks)]


def _boards(found: _Read) -> None:
    """A board's reading that stands on each of its parts (MIG) counts once: `UUID/1` if `UUID` or its like is there."""
    seen: dict[str, list[tuple[Track, bool]]] = {}
    for device in sorted(found.chosen):
        board, slash, _ = device.partition("/")
        track = found.chosen[device][0]
        others = seen.setdefault(board, [])
        if any(whole or (track.times == other.times and track.values == other.values) for other, whole in others):
            del found.chosen[device]
            found.boards += 1
        else:
            others.append((track, not slash))


def _held(devices: dict[str, dict[int, Track]], terms: Terms, read: _Read) -> dict[str, Track]:
    """Numbers of devices held; their time goes into the same sum, which then has no energy in it."""
    if devices and read.chosen:
        raise Malformed("expected series of energy or of devices held, found both: ask for each by itself")
    tracks = {}
    for device, ranks in devices.items():
        tracks[device] = _settled(ranks, read)
        read.total.plus(energy.summed(tracks[device], terms, counter=False))
    return tracks


def _coverage(
    tracks: dict[str, Track], step: float | None, terms: Terms, *, parts: bool
) -> tuple[Fraction | None, list[str]]:
    """Polls that brought a reading of polls due, and what is to be said of it."""
    gaps = []
    brought: dict[str, int] = {}
    for device, track in tracks.items():
        name = device.partition("/")[0] if parts and device not in (terms.devices or ()) else device
        brought[name] = max(brought.get(name, 0), energy.polls(track, terms.window, step) if step else 0)
    expected = terms.devices if terms.devices is not None else frozenset(brought)
    if terms.devices is None:
        gaps.append(f"coverage is of the {len(brought)} devices that were seen: nobody listed those that should report")
    else:
        missing = sum(not brought.get(name) for name in expected)
        if missing and step:
            gaps.append(f"{missing} of {len(expected)} listed devices never reported")
        if strange := brought.keys() - expected:
            gaps.append(f"{len(strange)} devices reported and are not listed")
    if step is None:
        gaps.append("no coverage: nobody said how often a device is polled, and too few readings show it")
        return (Fraction(0) if expected and not brought else None), gaps
    if terms.step is None:
        gaps.append(f"coverage is by the cadence that was seen, {step:g} s")
    if not expected:
        return None, gaps
    total = energy.due(terms.window, step) * len(expected)
    return Fraction(sum(brought.get(name, 0) for name in expected), total), gaps


def _filters(read: _Read) -> list[str]:
    told = ["the edges of the window are interpolated, nothing is carried beyond the first and the last reading"]
    if read.counters:
        told.append(f"{read.counters} devices by their counter of energy, not by power")
    if read.sensors:
        told.append(f"{read.sensors} further sensors of devices that have one already")
    if read.boards:
        told.append(f"{read.boards} series of parts that repeat what their board reads")
    if read.repeated:
        told.append(f"{read.repeated} readings of an instant that had one")
    return told


def _gaps(read: _Read, terms: Terms, devices: int, *, silent: bool, coverage: Fraction | None) -> list[str]:
    total, told = read.total, []
    if devices:
        share = total.covered_ms / (devices * (terms.window.end - terms.window.start) * 1000)
        told.append(f"readings cover {share:.4%} of the time of {devices} devices; the rest is unknown, not zero")
    if silent:
        why = f"coverage {float(coverage):.4f} is under {float(terms.floor):g}" if coverage is not None else "no pair"
        known = round(total.amount / 3600)
        told.append(f"unknown, not zero: {why}" + (f"; {known} Wh are certain" if known and read.chosen else ""))
    if total.gaps:
        rest = f"; counters rose by {round(total.across / 3600)} Wh across them, not counted" if total.across else ""
        told.append(f"{total.gaps} gaps over {terms.max_gap:g} s, the longest {total.longest_ms / 1000:g} s{rest}")
    if total.flagged:
        told.append(
            f"{total.flagged} readings flagged, not integrated: not finite, or not {terms.low:g} to {terms.high:g} W"
        )
    for count, text in (
        (total.resets, "counters fell: reset, each begins a new segment"),
        (total.impossible, "rises of a counter faster than any such device: not counted"),
        (read.still, "devices have a counter that never moved: read by power"),
        (read.stuck, "devices have nothing but a counter that never moved: unknown, not zero"),
        (read.contradicting, "repeated readings contradict the first of their instant"),
    ):
        if count:
            told.append(f"{count} {text}")
    return told


def _rows(tracks: dict[str, Track], terms: Terms) -> Iterator[tuple[str, int, float]]:
    """Readings of power to be sealed, of the window."""
    for device, track in sorted(tracks.items()):
        track.settle()
        for time, watts in zip(track.times, track.values, strict=True):
            if terms.window.start * 1000 <= time < terms.window.end * 1000 and watts == watts:  # noqa: PLR0124 - NaN
                yield device, time, watts
