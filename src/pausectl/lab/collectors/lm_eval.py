# SPDX-License-Identifier: Apache-2.0
"""Results files of the Language Model Evaluation Harness, from 0.4 on, without the framework.

    pausectl lab collect lm_eval out/ --window 2026-07-06T00:00:00Z/2026-07-13T00:00:00Z --json

    {"results": {"arc_easy": {"alias": "arc_easy", "acc,none": 0.66, "acc_stderr,none": 0.0097}},
     "group_subtasks": {"arc_easy": []}, "versions": {"arc_easy": 1.0}, "n-shot": {"arc_easy": 0},
     "n-samples": {"arc_easy": {"original": 2376, "effective": 2376}}, "date": 1766001300.25,
     "config": {"model": "vllm", "model_args": {"pretrained": "…"}}, "lm_eval_version": "0.4.9.2", "model_name": "", …}

A metric's name has its filter after the comma. Groups are means of tasks that stand beside them, and are left out. The
file is written when everything is done, so there are no half runs; a task of which it does not tell n is unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

from pausectl.agreement.types import instant
from pausectl.errors import Malformed
from pausectl.lab.collectors import logs
from pausectl.lab.collectors.base import Collected, Method, Window, collector, option
from pausectl.lab.collectors.logs import checked, count, decimal, member, spelled

#: Of a text of model arguments, which one names the model; an adapter before what it sits on, as the harness has it.
_MODEL = ("peft", "delta", "pretrained", "model", "path", "engine")
_LATEST = 253_402_300_799  # the last second of the year 9999


@dataclass(frozen=True, slots=True)
class Task:
    """One task of one file. results: one per metric and filter. flaw: why there are none; None if there are.

    Two files of one run (`key`) that tell the same are equal.
    """

    log: str = field(compare=False)
    digest: str = field(compare=False)
    key: tuple[str, float, str]
    results: tuple[Mapping[str, Any], ...] = ()
    flaw: str | None = None


@dataclass(frozen=True, slots=True)
class File:
    """One results file. groups: names that were left out because they are means of others."""

    log: str
    digest: str
    version: str
    started: float
    completed: float
    timed: bool
    tasks: tuple[Task, ...]
    groups: tuple[str, ...]


@collector("lm_eval")
def collect(inputs: Sequence[str], window: Window, options: Mapping[str, str]) -> Collected:
    """Results of the tasks whose evaluation was completed in the window. inputs: results files, or directories of them.

    In directories results_*.json are read. There are no options.
    """
    option(options, ())
    found, links = logs.files(inputs, lambda name: name.startswith("results_") and name.endswith(".json"))
    files = dict[str, File]()
    for path, _ in found:
        file = read(path)
        if window.start <= file.completed < window.end:
            files.setdefault(file.digest, file)
    tasks, flaws = dict[tuple[str, float, str], Task](), dict[tuple[str, float, str], tuple[str, str]]()
    for task in (task for file in files.values() for task in file.tasks):
        first = tasks.setdefault(task.key, task)
        flaw = task.flaw if first == task else "files of one run that differ"
        if flaw:
            flaws[task.key] = (flaw, f"{task.key[2]} in {task.log}")
    return Collected(
        method=Method(
            "lm_eval",
            ", ".join(sorted({file.version for file in files.values()})) or "none",
            "; ".join(f"{spelled(file.log)} sha256:{file.digest}" for file in files.values()),
            _filters(files.values()),
            _gaps(list(flaws.values()), files.values(), links),
        ),
        records=len(tasks),
        unknown_records=len(flaws),
        results=[
            {**result, "log": task.digest} for key, task in tasks.items() if key not in flaws for result in task.results
        ],
        coverage=Fraction(len(tasks) - len(flaws), len(tasks)) if tasks else None,
    )


def _filters(files: Iterable[File]) -> tuple[str, ...]:
    groups = sorted({spelled(name) for file in files for name in file.groups})
    told = ["files completed outside the window", "files of one run, by date, model and task, beyond the first"]
    return (*told, f"groups, of which the tasks count: {', '.join(groups)}") if groups else tuple(told)


def _gaps(flaws: Sequence[tuple[str, str]], files: Iterable[File], links: Sequence[str]) -> tuple[str, ...]:
    told = logs.telling(flaws)
    if links:
        told.append(f"links to directories were not followed: {', '.join(map(spelled, links))}")
    untimed = [spelled(file.log) for file in files if not file.timed]
    if untimed:
        told.append(f"how long it took is not told: taken as completed when it was started ({', '.join(untimed)})")
    return tuple(told)


# ── one file ──


def read(path: Path) -> File:
    """One results file. UsageFault if it cannot be read, Malformed if it is not what it claims to be."""
    return logs.opened(path, lambda file, digest: parse(file, path.name, digest))


def parse(file: BinaryIO, name: str, digest: str) -> File:
    """From a file that is at its beginning."""
    whole = checked(logs.load(file, logs.MAX_HEADER), dict, "file")
    results, started = member(whole, "results", dict), _seconds(whole.get("date"), "date")
    took = whole.get("total_evaluation_time_seconds")
    completed = started if took is None else started + _took(took)
    if not 0 <= started <= completed <= _LATEST:
        raise Malformed(f"date: expected POSIX seconds, found {started!r}")
    inner = {each: _texts(below, f"group_subtasks.{each}") for each, below in _part(whole, "group_subtasks").items()}
    groups = {each for each, below in inner.items() if below} | set(_part(whole, "groups"))
    # What should be there: a task that a group names, or that has samples, is not left out in silence.
    listed = [*results, *_part(whole, "n-samples"), *(task for below in inner.values() for task in below)]
    common = {
        "model": _model(whole),
        "status": "success",
        "started_at": instant(int(started)),
        "completed_at": instant(int(completed)),
        "run_id": None,
    }
    return File(
        name,
        digest,
        _version(whole),
        started,
        completed,
        took is not None,
        tuple(_task(whole, (name, digest), task, common) for task in dict.fromkeys(listed) if task not in groups),
        tuple(sorted(groups & set(results))),
    )


def _task(whole: dict[str, Any], log: tuple[str, str], task: str, common: Mapping[str, Any]) -> Task:
    key = (str(common["model"]), float(whole["date"]), task)
    found = whole["results"].get(task)
    if found is None and task not in whole["results"]:
        return Task(*log, key, flaw="no result is told")
    scores = list(_scores(checked(found, dict, f"results.{task}"), f"results.{task}."))
    samples = checked(_part(whole, "n-samples").get(task) or {}, dict, f"n-samples.{task}")
    effective = count(samples.get("effective", 0), f"n-samples.{task}.effective")
    if not common["model"]:
        return Task(*log, key, flaw="no model is named")
    if not scores:
        return Task(*log, key, flaw="no metric is told")
    if not effective:
        return Task(*log, key, flaw="how many samples there were is not told")
    version, shots = _part(whole, "versions").get(task), _part(whole, "n-shot").get(task)
    original = samples.get("original")
    repeats = checked(_part(whole, "configs").get(task) or {}, dict, f"configs.{task}").get("repeats")
    told = {
        "task": task,
        "task_version": None if version is None else str(version)[:100],
        **common,
        "n": effective,
        "dataset_samples": None if original is None else count(original, f"n-samples.{task}.original"),
        "epochs": 1 if repeats is None else count(repeats, f"configs.{task}.repeats"),
        "n_shot": None if shots is None else count(shots, f"n-shot.{task}"),
    }
    return Task(*log, key, tuple({**told, **score} for score in scores))


def _scores(found: dict[str, Any], place: str) -> Iterator[dict[str, Any]]:
    """Of members with a comma in their names; others are the task's name, its alias, its sizes."""
    for name in sorted(found):
        metric, comma, scorer = name.rpartition(",")
        if not comma or metric.endswith("_stderr") or metric == "bypass":  # which stands for: nothing was scored
            continue
        error = found.get(f"{metric}_stderr,{scorer}", "N/A")
        yield {
            "metric": metric,
            "scorer": scorer,
            "value": decimal(found[name], place + name),
            "stderr": None if error == "N/A" else decimal(error, f"{place}{metric}_stderr,{scorer}"),
        }


def _model(whole: dict[str, Any]) -> str:
    """The name the harness made of the arguments, or else the argument; empty if there is neither."""
    name = whole.get("model_name") or ""
    arguments = _part(whole, "config").get("model_args") or {}
    if isinstance(arguments, str):
        arguments = dict(each.partition("=")[::2] for each in arguments.split(","))
    named = [checked(arguments, dict, "config.model_args").get(key) for key in _MODEL]
    return checked(name or next(filter(None, named), ""), str, "model_name")


def _version(whole: dict[str, Any]) -> str:
    told = whole.get("lm_eval_version") or whole.get("git_hash") or "not told"
    return spelled(checked(told, str, "lm_eval_version"))[:100]


def _part(whole: dict[str, Any], name: str) -> dict[str, Any]:
    return checked(whole.get(name) or {}, dict, name)


def _texts(value: Any, place: str) -> list[str]:  # noqa: ANN401
    return [checked(each, str, place) for each in checked(value, list, place)]


def _seconds(value: Any, place: str) -> float:  # noqa: ANN401
    return float(decimal(value, place))


def _took(value: Any) -> float:  # noqa: ANN401
    """The harness writes it as a text."""
    place = "total_evaluation_time_seconds"
    try:
        return _seconds(float(value) if isinstance(value, str) else value, place)
    except ValueError as error:
        raise Malformed(f"{place}: expected a number, found {value[:40]!r}") from error
