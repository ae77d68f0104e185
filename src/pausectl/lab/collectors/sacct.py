# SPDX-License-Identifier: Apache-2.0
"""One file of `sacct` as jobs: text with a header or with `fields`, or `sacct --json`. Bytes in, no opinion out.

JobID|Partition|NodeList|State|Start|End|Elapsed|ReqTRES|AllocTRES
163485|long|n[01-02]|CANCELLED by 380693|2026-07-06T07:15:13|2026-07-06T20:42:19|13:27:06|cpu=12|cpu=12,gres/gpu=2
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pausectl.errors import Malformed, UsageFault

#: Of an unpacked file.
MAX_BYTES = 4 << 30
_NEEDED = ("jobid", "state", "start", "end", "elapsed", "alloctres")
_ELAPSED = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d\d)(?:\.\d+)?")
_GPU = re.compile(r"(?:^|,)gres/gpu(:[^=,]+)?=(\d+)")
_NO_TIME = frozenset({"", "None", "Unknown", "N/A"})
_NO_NODES = frozenset({"", "None", "None assigned"})
_NODES = re.compile(r"([^\[\],]+)(?:\[([^\]]*)\])?([^\[\],]*),?")


class Job(NamedTuple):
    """One allocation. devices: in AllocTRES. asked: whether ReqTRES names a GPU. elapsed: seconds, or None.

    place: the number of its line, or of its place in the list of jobs.
    """

    id: str
    state: str
    start: str
    end: str
    elapsed: int | None
    devices: int
    asked: bool
    nodes: str
    place: int

    @property
    def end_unknown(self) -> bool:
        """Whether it had not ended when the file was written."""
        return self.end in _NO_TIME and self.start not in _NO_TIME


def load(path: Path) -> bytes:
    """A whole file, unpacked if it is gzip. UsageFault if it cannot be read, Malformed if it is broken."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise Malformed(f"expected gzip, whole: {error}", where=str(path)) from error
    except OSError as error:
        raise UsageFault(f"cannot be read: {error.strerror}", where=str(path)) from error
    if len(raw) > MAX_BYTES:
        raise Malformed(f"expected at most {MAX_BYTES} bytes", where=str(path))
    return raw


def jobs(raw: bytes, place: str, fields: str | None, delimiter: str | None) -> Iterator[Job]:
    """Every allocation in a file, steps left out. place: its name, for errors."""
    if raw.lstrip()[:1] == b"{":
        yield from _json_jobs(raw, place)
        return
    try:
        lines = raw.decode("utf-8-sig").replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError as error:
        raise Malformed(f"expected UTF-8, byte {error.start} is not", where=place) from error
    first = next((line for line in lines if line), "")
    split = delimiter or "|"
    columns = _columns(fields.split(",") if fields is not None else first.split(split), place, given=fields is not None)
    identity, make = columns.index("jobid"), _maker(columns)
    begun = fields is not None
    seen = set[str]()
    for number, line in enumerate(lines, 1):
        if not line or line in seen:
            continue
        seen.add(line)
        if not begun:
            begun = True
            continue
        cells = line.split(split)
        if len(cells) == len(columns) + 1 and not cells[-1]:
            cells.pop()  # --parsable ends every line with a delimiter
        if len(cells) != len(columns):
            cells = _rejoined(cells, columns, split, f"{place}: line {number}")
        if "." not in cells[identity]:
            try:
                yield make(cells, number)
            except Malformed as error:
                raise error.at(f"{place}: line {number}") from error


def _columns(names: list[str], place: str, *, given: bool) -> list[str]:
    columns = [name.strip().partition("%")[0].lower() for name in names]
    if columns and not columns[-1]:
        columns.pop()
    missing = [name for name in _NEEDED if name not in columns]
    if missing:
        hint = (
            "say what the columns are: --fields JobID,State,Start,End,Elapsed,AllocTRES,…, and --delimiter if not '|'"
        )
        raise Malformed(
            f"expected a column for each of {', '.join(_NEEDED)}, found none for {', '.join(missing)}",
            where="--fields" if given else f"{place}: line 1", hint=hint,
        )  # fmt: skip
    if len(set(columns)) != len(columns):
        raise Malformed("expected every column once", where="--fields" if given else f"{place}: line 1")
    return columns


def _rejoined(cells: list[str], columns: list[str], split: str, where: str) -> list[str]:
    """A job's name may hold the delimiter; it can be told only where the name is the last column."""
    extra = len(cells) - len(columns)
    if extra > 0 and columns[-1] == "jobname":
        return [*cells[: len(columns) - 1], split.join(cells[len(columns) - 1 :])]
    hint = "put JobName last, or leave it out: it may hold the delimiter"
    raise Malformed(f"expected {len(columns)} fields, found {len(cells)}", where=where, hint=hint)


def _maker(columns: list[str]) -> Callable[[list[str], int], Job]:
    """From the cells of a line to a job; a year of a large site has ten million of them."""
    jobid, state, start, end, elapsed, given = (columns.index(name) for name in _NEEDED)
    asked, nodes = (columns.index(name) if name in columns else None for name in ("reqtres", "nodelist"))

    def make(cells: list[str], number: int) -> Job:
        return Job(
            cells[jobid], _state(cells[state]), cells[start], cells[end], _elapsed(cells[elapsed]), gpus(cells[given]),
            asked is not None and "gres/gpu" in cells[asked], "" if nodes is None else cells[nodes], number,
        )  # fmt: skip

    return make


@lru_cache(maxsize=4_096)
def _state(text: str) -> str:
    return text.partition(" by ")[0].strip()


@lru_cache(maxsize=65_536)
def gpus(tres: str) -> int:
    """Accelerators in a TRES list: the untyped count, and only where there is none the sum of the typed ones."""
    typed, untyped = 0, None
    for kind, count in _GPU.findall(tres):
        if kind:
            typed += int(count)
        else:
            untyped = int(count)
    return typed if untyped is None else untyped


@lru_cache(maxsize=65_536)
def _elapsed(text: str) -> int | None:
    if text in _NO_TIME:
        return None
    if text.isdigit():
        return int(text)  # ElapsedRaw
    found = _ELAPSED.fullmatch(text)
    if found is None:
        raise Malformed(f"Elapsed: expected [days-]hours:minutes:seconds, found {text[:40]!r}")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def clock(zone: str) -> Callable[[str], int | None]:
    """A function from what sacct prints as a time to POSIX seconds, or None for none.

    zone: of times without one, an IANA name. A time that a zone has twice, when clocks are set back, is the first.
    """
    try:
        local = UTC if zone == "UTC" else ZoneInfo(zone)
    except (OSError, ValueError, ZoneInfoNotFoundError) as error:
        raise UsageFault(f"expected a time zone like Europe/Amsterdam, found {zone!r}", where="--timezone") from error

    @lru_cache(maxsize=65_536)
    def seconds(text: str) -> int | None:
        if text in _NO_TIME:
            return None
        if text.isascii() and text.isdigit():
            return int(text)
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as error:
            raise Malformed(f"expected a time like 2026-07-06T00:00:00, found {text[:40]!r}") from error
        return int((moment if moment.tzinfo else moment.replace(tzinfo=local)).timestamp())

    return seconds


@lru_cache(maxsize=65_536)
def nodes(text: str) -> tuple[str, ...]:
    """`n[01-03,7],m1` → n01, n02, n03, n7, m1; at most 100,000 of them."""
    if text in _NO_NODES:
        return ()
    found: list[str] = []
    for prefix, inside, suffix in _NODES.findall(text):
        for part in inside.split(",") if inside else ("",):
            low, dash, high = part.partition("-")
            if not dash:
                found.append(prefix + part + suffix)
            elif low.isdigit() and high.isdigit() and len(found) + int(high) - int(low) < 100_000:
                found += [f"{prefix}{n:0{len(low)}d}{suffix}" for n in range(int(low), int(high) + 1)]
            else:
                raise Malformed(f"node list: expected like n[01-03], found {text[:80]!r}")
    return tuple(found)


def capacities(path: Path) -> dict[str, int]:
    """Node → accelerators, of lines `NodeName=… CfgTRES=…`."""
    found = {}
    for number, line in enumerate(load(path).decode("utf-8", "replace").splitlines(), 1):
        members = dict(part.partition("=")[::2] for part in line.split())
        if members and "NodeName" not in members:
            raise Malformed("expected NodeName=… CfgTRES=…", where=f"{path}: line {number}")
        if members:
            found[members["NodeName"]] = gpus(members.get("CfgTRES", ""))
    return found


# ── sacct --json ──


def _json_jobs(raw: bytes, place: str) -> Iterator[Job]:
    """Of any data_parser from v0.0.39 on: absent numbers are `{"set": false, …}`, TRES are objects."""
    try:
        listed = json.loads(raw)["jobs"]
        for number, job in enumerate(listed):
            yield _from_json(job, number)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Malformed(f"expected what sacct --json prints: {type(error).__name__} {error}", where=place) from error


def _from_json(job: dict[str, Any], place: int) -> Job:
    times, state = job["time"], job["state"]["current"]
    tres = job["tres"]
    start, end = _number(times["start"]), _number(times["end"])
    return Job(
        id=f"{job['array']['job_id']}_{_number(job['array']['task_id'])}"
        if _number(job.get("array", {}).get("task_id")) is not None and job["array"].get("job_id")
        else str(job["job_id"]),
        state=state[0] if isinstance(state, list) else str(state),
        start=str(start) if start else "Unknown",
        end=str(end) if end else "Unknown",
        elapsed=_number(times["elapsed"]),
        devices=_json_gpus(tres["allocated"]),
        asked=bool(_json_gpus(tres.get("requested", []))),
        nodes=str(job.get("nodes") or ""),
        place=place,
    )


def _number(value: Any) -> int | None:  # noqa: ANN401
    if isinstance(value, dict):
        value = value.get("number") if value.get("set") and not value.get("infinite") else None
    return value if isinstance(value, int) else None


def _json_gpus(tres: list[dict[str, Any]]) -> int:
    named = [(each.get("name") or "", each["count"]) for each in tres if each.get("type") == "gres"]
    untyped = [count for name, count in named if name == "gpu"]
    return untyped[0] if untyped else sum(count for name, count in named if name.startswith("gpu:"))
