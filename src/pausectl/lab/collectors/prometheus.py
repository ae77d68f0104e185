# SPDX-License-Identifier: Apache-2.0
r"""Prometheus: energy of devices from a server's HTTP API, a saved answer of it, or exposition text.

    pausectl lab collect prometheus https://prometheus.example --window 2026-07-06T00:00:00Z/2026-07-13T00:00:00Z \
        -O mapping=dcgm -O auth_env=PROMETHEUS_AUTH -O step=15 -O devices=gpus.txt

A server is asked for the samples as they were scraped, for `query=range` at every step: then a device that fell silent
is repeated for as long as the server looks back, which is said. Devices are named by UUID, never by their index on a
node. A label `pod` is nobody's word on who used a device: on idle ones it is the exporter's own pod; so it is read only
with `namespaces`, those of the workloads, and what is not in one of them is left out.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from pausectl.errors import Malformed, PausectlError, UsageFault
from pausectl.lab.collectors import energy, mapping, promapi
from pausectl.lab.collectors.base import Collected, Method, Window, collector, option
from pausectl.lab.collectors.mapping import Series, SeriesMap
from pausectl.lab.collectors.measured import Readings, measured
from pausectl.net.client import Client

OPTIONS = (*energy.OPTIONS, "mapping", "auth_env", "query", "timeout", "at", "namespaces")


@dataclass(slots=True)
class _Intake:
    """What comes in. timeless: samples without a time. left: series outside the namespaces asked for."""

    known: SeriesMap
    readings: Readings
    namespaces: frozenset[str]
    at: int | None
    timeless: int = 0
    left: int = 0
    nameless: int = 0
    instant: bool = False
    warnings: set[str] = field(default_factory=set)

    def take(self, found: Iterator[promapi.Found]) -> None:
        """Series, from anywhere."""
        for labels, samples in found:
            for rank, series in enumerate(self.known.series):
                if series.fits(labels):
                    self._series(series, rank, labels, samples)

    def _series(
        self, series: Series, rank: int, labels: Mapping[str, str], samples: Sequence[tuple[int | None, float]]
    ) -> None:
        if self.namespaces and labels.get("exported_namespace", labels.get("namespace")) not in self.namespaces:
            self.left += 1
            return
        device = "/".join(labels[name] for name in series.device if labels.get(name))
        if not labels.get(series.device[0]):
            self.nameless += 1
            return
        track, self.instant = self.readings.track(series.kind, device, rank), self.instant or len(samples) == 1
        for when, value in samples:
            time = self.at if when is None else when
            judged = self.readings.judged(series.kind, value * series.scale)
            if time is None:
                self.timeless += 1
            else:
                track.add(time, judged)


@collector("prometheus")
def collect(inputs: Sequence[str], window: Window, options: Mapping[str, str]) -> Collected:
    """Energy (or, of Kueue, accelerator-seconds) of the devices in the window.

    options: mapping, one of ours or a file (`mapping.py`); auth_env, the variable of the environment that holds the
    Authorization header; query, raw or range; timeout, seconds of one answer; step, seconds between polls; max_gap,
    seconds; floor, of coverage; devices, a file of those that should report; at, seconds, of text without times;
    namespaces, of workloads, with commas.
    """
    chosen = option(options, OPTIONS)
    known = mapping.load(chosen.get("mapping", "dcgm"))
    terms = energy.terms(chosen, window, known.low, known.high)
    spaces = frozenset(filter(None, chosen.get("namespaces", "").split(",")))
    try:
        at = promapi.moment(energy.number(chosen, "at")) if "at" in chosen else None
    except ValueError as error:
        raise UsageFault(f"at: {error}") from error
    intake = _Intake(known, Readings(terms, known.kind, parts=True), spaces, at)
    asked = []
    for place in inputs:
        if place.startswith(("http://", "https://")):
            asked.append(_ask(place, intake, chosen))
        else:
            asked.append(_file(Path(place), intake))
    filters = ["labels of pods are not read"] if not spaces else []
    if intake.left:
        filters.append(f"{intake.left} series outside the namespaces {', '.join(sorted(spaces))}: not attributed")
    method = Method(
        "prometheus", "HTTP API v1, exposition text", "; ".join(asked), tuple(filters), tuple(_gaps(intake))
    )
    return measured(intake.readings, method)


def _ask(url: str, intake: _Intake, chosen: Mapping[str, str]) -> str:
    """All series of the map from a server; what was asked, for the record. The address is no part of it."""
    window, terms = intake.readings.terms.window, intake.readings.terms
    how = chosen.get("query", "raw")
    if how not in {"raw", "range"} or (how == "range" and terms.step is None):
        raise UsageFault(f"query: expected raw, or range with a step, found {how!r}")
    margin = int(terms.max_gap) + 1  # the neighbours of the window's edges
    start, end = max(1, window.start - margin), window.end + margin
    timeout, base = energy.number(chosen, "timeout", 60.0), url.rstrip("/").removesuffix("/api/v1")
    if "?" in base:
        raise UsageFault("expected the URL of a server, without a query", where=base.partition("?")[0])
    with closing(Client(base, timeout=timeout, headers=_auth(chosen.get("auth_env")))) as client:
        api = promapi.Api(client, intake.warnings)
        for series in intake.known.series:
            if how == "raw":
                intake.take(api.raw(series.selector(), start, end))
            else:
                intake.take(api.stepped(series.selector(), start, end, terms.step or 1.0))
    if how == "range":
        intake.warnings.add(
            "a range query repeats the last value of a silent device for as long as the server looks back (5 minutes, "
            "unless it was told otherwise): coverage is that much too good"
        )
    return f"{how} {start} to {end}: " + ", ".join(series.selector() for series in intake.known.series)


def _auth(variable: str | None) -> dict[str, str]:
    if variable is None:
        return {}
    secret = os.environ.get(variable, "")
    if not secret or not secret.isprintable() or not secret.isascii():
        raise UsageFault(f"expected an Authorization header in the environment's {variable}, in printable ASCII")
    return {"authorization": secret if " " in secret else f"Bearer {secret}"}


def _file(path: Path, intake: _Intake) -> str:
    raw = promapi.load(path)
    digest = hashlib.sha256(raw).hexdigest()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Malformed(f"expected UTF-8, byte {error.start} is not", where=str(path)) from error
    del raw
    if text.lstrip()[:1] != "{":
        intake.take(promapi.exposition(text, str(path)))
    else:
        try:
            intake.take(promapi.series(text, intake.warnings))
        except PausectlError as error:
            raise error.at(str(path)) from error
    return f"{path.name} sha256:{digest}"


def _gaps(intake: _Intake) -> Iterator[str]:
    if intake.timeless:
        yield f"{intake.timeless} samples carry no time: say when they were scraped, -O at=SECONDS; not counted"
    if intake.nameless:
        yield f"{intake.nameless} series lack the label that names a device: not counted"
    if intake.instant:
        yield "some series have one sample: an answer at an instant carries the time of the question, not of the sample"
    if not intake.readings.tracks:
        yield "no series of the mapping was there at all: that is silence, not zero"
    yield from sorted(intake.warnings)
