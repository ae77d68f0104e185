# SPDX-License-Identifier: Apache-2.0
"""Inspect's evaluation logs, `.eval` (a zip, of which header.json is read) and `.json`, without the framework.

    pausectl lab collect inspect_ai logs/ --window 2026-07-06T00:00:00Z/2026-07-13T00:00:00Z --json

    {"version": 2, "status": "success", "eval": {"run_id": "2BnN…", "task": "popularity", "model": "openai/gpt-4o", …},
     "results": {"total_samples": 10, "completed_samples": 10, "scores": [{"name": "match", "scorer": "match",
      "metrics": {"accuracy": {"value": 0.8}, "stderr": {"value": 0.13}}}]}, "stats": {"completed_at": "…"}}

A score is a result only if the run ended well and did all it set out to: cancelled runs carry scores too, and
`dataset.samples` is how many there are, not how many were run. A file that is not what it claims to be is an error.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from errno import EINVAL
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from pausectl.errors import Malformed
from pausectl.lab.collectors import logs
from pausectl.lab.collectors.base import Collected, Method, Window, collector, option
from pausectl.lab.collectors.logs import count, decimal, member, moment, spelled

MAX_MEMBERS = 1_000_000
VERSIONS = (1, 2, 3)
_STATUS = ("started", "success", "cancelled", "error")
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
)
_MEANS = ("accuracy", "mean")


@dataclass(frozen=True, slots=True)
class Score:
    """Of one scorer. metrics: numbers as the log has them, NaN too."""

    name: str
    scorer: str
    reducer: str | None
    metrics: Mapping[str, Any]
    unscored: int


@dataclass(frozen=True, slots=True)
class Run:
    """One log, whatever came of the run. started_at, completed_at: as written; empty where there was no end yet.

    expected: samples that were to be run, epochs included. held: samples in the file; None where none were to be kept.
    """

    log: str = field(compare=False)
    digest: str = field(compare=False)
    version: int = field(compare=False)
    status: str
    run_id: str
    task_id: str
    task: str
    task_version: str
    model: str
    dataset_samples: int | None
    epochs: int
    expected: int
    total_samples: int
    completed_samples: int
    samples_in_file: int = field(compare=False)
    keeps_samples: bool
    invalidated: bool
    scores: tuple[Score, ...]
    started_at: str
    completed_at: str
    total_tokens: Mapping[str, int] = field(compare=False)

    @property
    def key(self) -> tuple[str, str, str]:
        """What it was a run of: run_id alone is shared by all tasks that were started together."""
        return self.run_id, self.task_id, self.model

    def flaw(self) -> str | None:
        """Why its scores, if any, are no results; None if they are."""
        held = self.samples_in_file
        if not all(any(map(str.isalnum, name)) for name in (self.run_id, self.task, self.model)):
            return "made by hand: no run, task or model is named"
        if self.status != "success" or not self.completed_at:
            return f"status {self.status}" if self.completed_at else "the run has no end"
        if self.invalidated:
            return "invalidated"
        if not self.completed_samples or not self.completed_samples == self.total_samples == self.expected:
            return "not all samples were completed"
        if self.keeps_samples and held != self.completed_samples:
            return "the log does not hold the samples it counts"
        return None if any(set(score.metrics) - {"stderr"} for score in self.scores) else "no score"

    def results(self) -> Iterator[dict[str, Any]]:
        """One per scorer and metric. The standard error is that of the mean, and goes with no other metric."""
        for score in self.scores:
            of, place = score.metrics, f"results of {score.name}: "
            stderr = decimal(of["stderr"], f"{place}stderr") if "stderr" in of else None
            for metric in sorted(set(of) - {"stderr"}):
                yield {
                    "task": self.task, "task_version": self.task_version, "model": self.model, "metric": metric,
                    "scorer": score.scorer, "score": score.name, "reducer": score.reducer,
                    "value": decimal(of[metric], f"{place}{metric}"), "n": self.completed_samples - score.unscored,
                    "dataset_samples": self.dataset_samples,
                    "stderr": stderr if metric in _MEANS or len(of) == 2 else None,
                    "epochs": self.epochs, "status": self.status, "started_at": self.started_at,
                    "completed_at": self.completed_at, "run_id": self.run_id, "log": self.digest,
                }  # fmt: skip


@collector("inspect_ai")
def collect(inputs: Sequence[str], window: Window, options: Mapping[str, str]) -> Collected:
    """Results of the runs that were completed in the window. inputs: logs, or directories of them; no options.

    A run that never ended counts, as unknown, where it was started.
    """
    option(options, ())
    found, links = logs.files(inputs, lambda name: name.endswith((".eval", ".json")))
    runs, others = dict[str, Run](), list[str]()
    for path, named in found:
        run = logs.opened(path, lambda file, digest: parse(file, path.name, digest, or_none=not named))  # noqa: B023
        if run is None:
            others.append(spelled(path.name))
        elif window.start <= moment(run.completed_at or run.started_at, "stats.started_at") < window.end:
            runs.setdefault(run.digest, run)
    by_key = dict[tuple[str, str, str], list[Run]]()
    for run in runs.values():
        by_key.setdefault(run.key, []).append(run)
    results, flaws = list[dict[str, Any]](), list[tuple[str, str]]()
    for same in by_key.values():
        run, flaw = _one(same)
        if flaw:
            flaws.append((flaw, run.log))
        else:
            results.extend(_results(run))
    versions = ", ".join(map(str, sorted({run.version for run in runs.values()}))) or "none"
    return Collected(
        method=Method(
            "inspect_ai", f"log format {versions}",
            "; ".join(f"{spelled(run.log)} sha256:{run.digest}" for run in runs.values()),
            _filters(others), _gaps(flaws, runs.values(), links),
        ),
        records=len(by_key),
        unknown_records=len(flaws),
        results=results,
        coverage=Fraction(len(by_key) - len(flaws), len(by_key)) if by_key else None,
    )  # fmt: skip


def _results(run: Run) -> list[dict[str, Any]]:
    try:
        return list(run.results())
    except Malformed as error:
        raise error.at(spelled(run.log)) from error


def _one(same: Sequence[Run]) -> tuple[Run, str | None]:
    """Of several logs of one run, the one that counts, and why it is no result. A log without an end gives way."""
    ended = [run for run in same if run.completed_at] or list(same)
    if any(run != ended[0] for run in ended):
        return ended[0], "logs of one run that differ"
    return ended[0], min((run.flaw() or "" for run in ended), key=len) or None


def _filters(others: Sequence[str]) -> tuple[str, ...]:
    told = ["runs completed outside the window", "logs of one run, by run_id, task_id and model, beyond the first"]
    return (*told, f"JSON files in directories that are no logs: {', '.join(others)}") if others else tuple(told)


def _gaps(flaws: Sequence[tuple[str, str]], runs: Iterable[Run], links: Sequence[str]) -> tuple[str, ...]:
    told = logs.telling(flaws)
    if links:
        told.append(f"links to directories were not followed: {', '.join(map(spelled, links))}")
    for run in runs:
        told += [
            f"{spelled(run.log)}: {score.unscored} of {run.completed_samples} samples lack {spelled(score.name)}"
            for score in run.scores
            if score.unscored
        ]
    return tuple(told)


# ── one log ──


def read(path: Path) -> Run:
    """One log whole. UsageFault if it cannot be read, Malformed if it is not what it claims to be."""
    run = logs.opened(path, lambda file, digest: parse(file, path.name, digest))
    assert run is not None  # noqa: S101  only asked for with or_none
    return run


def parse(file: BinaryIO, name: str, digest: str, *, or_none: bool = False) -> Run | None:
    """From a file that is at its beginning. or_none: None for whole JSON that is of another kind."""
    if name.endswith(".eval"):
        header, held = _unzipped(file)
    else:
        header = logs.load(file, logs.MAX_JSON)
        if or_none and not (isinstance(header, dict) and {"eval", "status"} & set(header)):
            return None
        held = len(logs.checked(_object(header).get("samples") or [], list, "samples"))
    return _run(header, name, digest, held)


def _unzipped(file: BinaryIO) -> tuple[Any, int]:
    """(header.json, how many samples there are); for a run without an end, its beginning with the status "started"."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = _names(archive.infolist())
            held = sum(name.startswith("samples/") and name.endswith(".json") for name in names)
            if "header.json" in names:
                return _member(archive, names["header.json"]), held
            if "_journal/start.json" not in names:
                raise Malformed("expected header.json or _journal/start.json, found neither")
            return {"status": "started", **_object(_member(archive, names["_journal/start.json"]))}, held
    except OSError as error:
        if error.errno != EINVAL:
            raise
        raise Malformed("expected a zip archive, whole: it points before its beginning") from error
    except _BROKEN as error:
        raise Malformed(f"expected a zip archive, whole: {spelled(str(error))[:120]}") from error


def _names(members: Sequence[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """Members by name, each of which Inspect could have written."""
    if len(members) > MAX_MEMBERS:
        raise Malformed(f"expected at most {MAX_MEMBERS} members, found {len(members)}")
    names = dict[str, zipfile.ZipInfo]()
    for each in members:
        shown = f"member {spelled(each.orig_filename)[:80]}"
        parts = PurePosixPath(each.orig_filename.replace("\\", "/")).parts
        if "\0" in each.orig_filename or ".." in parts or each.orig_filename.startswith(("/", "\\")):
            raise Malformed(f"{shown}: expected a name inside of the archive")
        if each.filename in names:
            raise Malformed(f"{shown}: expected no member twice")
        if each.flag_bits & 0x1:
            raise Malformed(f"{shown}: expected no encryption")
        if each.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise Malformed(f"{shown}: expected stored or deflated, found compression method {each.compress_type}")
        names[each.filename] = each
    return names


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Any:  # noqa: ANN401
    if info.file_size > logs.MAX_HEADER:
        raise Malformed(f"{info.filename}: expected at most {logs.MAX_HEADER} bytes of JSON, found {info.file_size}")
    with archive.open(info) as stream:
        return logs.load(stream, logs.MAX_HEADER)


def _object(value: Any) -> dict[str, Any]:  # noqa: ANN401
    return logs.checked(value, dict, "log")


def _run(header: Any, log: str, digest: str, held: int) -> Run:  # noqa: ANN401
    version, status = member(header, "version", int), member(header, "status", str)
    if version not in VERSIONS or status not in _STATUS:
        raise Malformed(f"expected a log of version 1 to 3 with a status, found {version} and {status[:20]!r}")
    spec, found, stats = member(header, "eval", dict), header.get("results") or {}, header.get("stats") or {}
    config, data = spec.get("config") or {}, member(spec, "dataset", dict, "eval.")
    epochs = 1 if logs.checked(config, dict, "eval.config").get("epochs") is None else config["epochs"]
    total = count(logs.checked(found, dict, "results").get("total_samples", 0), "results.total_samples")
    ids, of = data.get("sample_ids"), data.get("samples")
    logs.checked(stats, dict, "stats")
    began = stats.get("started_at") or member(spec, "created", str, "eval.")
    ended = "" if status == "started" else stats.get("completed_at") or ""
    moment(began, "stats.started_at")
    if ended:
        moment(ended, "stats.completed_at")
    return Run(
        log, digest, version, status,
        run_id=member(spec, "run_id", str, "eval."),
        task_id=member(spec, "task_id", str, "eval."),
        task=member(spec, "task", str, "eval."),
        task_version=str(spec.get("task_version", 0))[:100],
        model=member(spec, "model", str, "eval."),
        dataset_samples=None if of is None else count(of, "eval.dataset.samples"),
        epochs=count(epochs, "eval.config.epochs"),
        expected=total if ids is None else epochs * len(logs.checked(ids, list, "eval.dataset.sample_ids")),
        total_samples=total,
        completed_samples=count(found.get("completed_samples", 0), "results.completed_samples"),
        samples_in_file=held,
        keeps_samples=config.get("log_samples") is not False,
        invalidated=bool(header.get("invalidated")),
        scores=tuple(_score(each, f"results.scores[{n}].") for n, each in enumerate(_list(found, "scores"))),
        started_at=began,
        completed_at=ended,
        total_tokens={
            model: count(member(usage, "total_tokens", int, "stats.model_usage."), "stats.model_usage.total_tokens")
            for model, usage in logs.checked(stats.get("model_usage") or {}, dict, "stats.model_usage").items()
        },
    )  # fmt: skip


def _list(value: dict[str, Any], name: str) -> list[Any]:
    return logs.checked(value.get(name) or [], list, f"results.{name}")


def _score(value: Any, place: str) -> Score:  # noqa: ANN401
    metrics = member(value, "metrics", dict, place)
    for name, each in metrics.items():
        if not isinstance(logs.checked(each, dict, f"{place}metrics.{name}").get("value"), int | float):
            raise Malformed(f"{place}metrics.{spelled(name)}.value: expected a number, found {each.get('value')!r:.60}")
    return Score(
        name=member(value, "name", str, place),
        scorer=member(value, "scorer", str, place),
        reducer=None if value.get("reducer") is None else member(value, "reducer", str, place),
        metrics={name: each["value"] for name, each in metrics.items()},
        unscored=count(value.get("unscored_samples") or 0, f"{place}unscored_samples"),
    )
