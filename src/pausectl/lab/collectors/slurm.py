# SPDX-License-Identifier: Apache-2.0
"""Slurm's accounting: `sacct -P` (or `--parsable`) as a file, and what its jobs held in accelerator-seconds.

    sacct -a -D -X -P -S … -E … -o JobID,NodeList,Partition,State,Start,End,Elapsed,AllocTRES > jobs.txt
    pausectl lab collect slurm jobs.txt --window 2026-07-06T00:00:00Z/2026-07-13T00:00:00Z --timezone Europe/Amsterdam

Every end state counts: jobs that train for weeks end CANCELLED. The allocation counts (AllocTRES), never the request
or the steps, and `gres/gpu` or its types, never both. A job on a GPU node whose allocation names no GPU is unknown, not
zero: that is what sacct shows where AccountingStorageTRES does not name gres/gpu.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

from pausectl.errors import Malformed, PausectlError
from pausectl.lab.collectors import sacct
from pausectl.lab.collectors.base import Collected, Method, Window, collector, option
from pausectl.lab.collectors.sacct import Job

OPTIONS = ("fields", "delimiter", "timezone", "nodes")


@dataclass(slots=True)
class _Tally:
    """What is counted while jobs go by."""

    records: int = 0
    unknown: int = 0
    unknown_bound: int = 0
    unbounded: int = 0
    seconds: Counter[str] = field(default_factory=Counter)
    running: int = 0
    suspended: int = 0


@collector("slurm")
def collect(inputs: Sequence[str], window: Window, options: Mapping[str, str]) -> Collected:
    """Accelerator-seconds held in the window.

    options: fields and delimiter, where the file has no header; timezone, an IANA name, for times without a zone (UTC);
    nodes, a file of `scontrol show node -o` lines, or of `NodeName=… CfgTRES=…`, to know which nodes have GPUs.
    """
    chosen = option(options, OPTIONS)
    clock = sacct.clock(chosen.get("timezone", "UTC"))
    capacity = sacct.capacities(Path(chosen["nodes"])) if "nodes" in chosen else {}
    tally, digests, jobs = _Tally(), [], dict[tuple[str, str, str], Job]()
    for place in inputs:
        raw = sacct.load(Path(place))
        digests.append(f"{Path(place).name} sha256:{hashlib.sha256(raw).hexdigest()}")
        for job in sacct.jobs(raw, place, chosen.get("fields"), chosen.get("delimiter")):
            jobs[job.id, job.start, job.state] = job  # a requeue has another start; a later file knows the end
    on_gpu = _gpu_nodes(jobs.values(), capacity)
    for job in jobs.values():
        _count(tally, job, window, clock, on_gpu, capacity)
    known = tally.records - tally.unknown
    return Collected(
        method=Method("slurm", "sacct -P", "; ".join(digests), _filters(), _gaps(tally, jobs.values())),
        records=tally.records,
        unknown_records=tally.unknown,
        accelerator_seconds=sum(tally.seconds.values()),
        by_state={state: held for state, held in sorted(tally.seconds.items()) if held},
        coverage=Fraction(known, tally.records) if tally.records else None,
    )


def _gpu_nodes(jobs: Collection[Job], capacity: Mapping[str, int]) -> Callable[[str], bool]:
    """Whether there are GPUs on one of the nodes of a list.

    Known from the list of nodes, if there is one; else a node has GPUs if some job was given one there, or if its name
    or its partition's says so, and where no line of the file names a GPU at all nobody can tell.
    """
    if not capacity and not any(job.devices or job.asked for job in jobs):
        return lambda _: True
    with_gpus = {node for job in jobs if job.devices for node in sacct.nodes(job.nodes)}

    @lru_cache(maxsize=65_536)
    def told(listed: str) -> bool:
        if capacity:
            return any(capacity.get(node) for node in sacct.nodes(listed))
        return "gpu" in listed.lower() or any(node in with_gpus for node in sacct.nodes(listed))

    return told


def _count(
    tally: _Tally,
    job: Job,
    window: Window,
    clock: Callable[[str], int | None],
    on_gpu: Callable[[str], bool],
    capacity: Mapping[str, int],
) -> None:
    try:
        start, end = _held(job, clock)
    except PausectlError as error:
        raise error.at(f"line {job.place}: job {job.id}") from error
    held = 0.0 if start is None else window.overlap(start, end)
    if start is not None and not held and end > start:
        return  # of another window
    tally.records += 1
    if job.devices:
        tally.seconds[job.state] += round(job.devices * held)
        tally.running += job.end_unknown
        tally.suspended += start is not None and job.elapsed is not None and end - start > job.elapsed
    elif held and on_gpu(job.nodes):
        tally.unknown += 1
        devices = sum(capacity.get(node, 0) for node in sacct.nodes(job.nodes))
        tally.unknown_bound += round(devices * held)
        tally.unbounded += not devices


def _held(job: Job, clock: Callable[[str], int | None]) -> tuple[int | None, int]:
    """POSIX seconds between which a job held what it was given; (None, 0) if it never started."""
    start, end = clock(job.start), clock(job.end)
    if start is None:
        return None, 0
    if end is None:
        if job.elapsed is None:
            raise Malformed("Elapsed: expected [days-]hours:minutes:seconds of a job that has not ended, found none")
        return start, start + job.elapsed
    if end < start:
        raise Malformed(f"End: expected no time before Start {job.start}, found {job.end}")
    return start, end


def _filters() -> tuple[str, ...]:
    return (
        "steps (JobID with a dot): their allocation is the job's",
        "lines that repeat another one word for word",
        "jobs that held nothing in the window",
    )


def _gaps(tally: _Tally, jobs: Iterable[Job]) -> tuple[str, ...]:
    told = []
    if tally.unknown:
        bound = (
            f"at most {tally.unknown_bound} accelerator-seconds by the nodes' capacity" if tally.unknown_bound else ""
        )
        told.append(
            f"{tally.unknown} jobs ran where there are GPUs, and their allocation names none; {bound}".rstrip("; ")
        )
    if not any(job.devices or job.asked for job in jobs):
        told.append("no line names a GPU: either there are none, or AccountingStorageTRES lacks gres/gpu")
    if tally.running:
        told.append(f"{tally.running} jobs were still running: counted up to when the file was written")
    if tally.suspended:
        told.append(f"{tally.suspended} jobs were suspended for a while: counted from start to end all the same")
    return tuple(told)
