# SPDX-License-Identifier: Apache-2.0
"""Rows of any CSV or Parquet by the names of columns, and what a cell says: a number, a time. Nothing is guessed."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pausectl.errors import Malformed, UsageFault

#: Unit of a time that is a number → how many make a second.
TIMES = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_NUMBER = re.compile(r"[-+]?(?:\d{1,30}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][-+]?\d{1,3})?")
#: The year 2200: what is later is in another unit.
_MAX_MS = 7_258_118_400_000


def header(path: Path, delimiter: str) -> list[str]:
    """Names of the columns of a file."""
    if path.suffix == ".parquet":
        found: list[str] = _parquet(path).header(path)
        return found
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return next(csv.reader(file, strict=True, delimiter=delimiter), [])
    except OSError as error:
        raise UsageFault(f"cannot be read: {error.strerror}", where=str(path)) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise Malformed(f"expected CSV in UTF-8: {error}", where=str(path)) from error


def rows(
    path: Path, columns: Sequence[str], where: Mapping[str, Sequence[str]], delimiter: str
) -> Iterator[tuple[int, list[Any]]]:
    """Number and cells of every row for which `where` holds; a cell with nothing in it is None."""
    names = header(path, delimiter)
    missing = sorted({*columns, *where} - set(names))
    if missing:
        raise Malformed(
            f"expected a column for each of {', '.join(columns)}, found none for {', '.join(missing)}",
            where=str(path), hint=f"there are {', '.join(names)[:300]}",
        )  # fmt: skip
    if len(set(names)) != len(names):
        raise Malformed("expected every column once", where=str(path))
    if path.suffix == ".parquet":
        yield from _parquet(path).cells(path, columns, where)
        return
    places = [names.index(name) for name in columns]
    kept = [(names.index(name), frozenset(texts)) for name, texts in where.items()]
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.reader(file, strict=True, delimiter=delimiter)
            next(table)
            for line in (line for line in table if line):
                if len(line) != len(names):
                    raise Malformed(
                        f"expected {len(names)} cells, found {len(line)}", where=f"{path}: line {table.line_num}"
                    )
                if all(line[place] in texts for place, texts in kept):
                    yield table.line_num, [line[place] or None for place in places]
    except (UnicodeDecodeError, csv.Error) as error:
        raise Malformed(f"expected CSV in UTF-8: {error}", where=str(path)) from error


def _parquet(path: Path) -> ModuleType:
    try:
        return import_module("pausectl.lab.parquet")
    except ImportError as error:
        hint = "pip install 'pausectl[lab]'"
        raise UsageFault("Parquet needs the extra 'lab'", where=str(path), hint=hint) from error


def exact(cell: Any) -> Fraction:  # noqa: ANN401 - whatever a table holds
    """A number as it stands there. Malformed if it is none, or has separators of thousands or another decimal point."""
    if isinstance(cell, bool) or (isinstance(cell, float) and cell - cell != 0):
        raise Malformed(f"expected a finite number, found {cell}")
    text = str(cell)
    if not _NUMBER.fullmatch(text):
        raise Malformed(f"expected a number like 1234.5, found {text[:40]!r}")
    return Fraction(text)


def inexact(cell: Any) -> float:  # noqa: ANN401
    """A reading, which may be NaN or infinite: that is for others to judge."""
    if isinstance(cell, float):
        return cell
    if isinstance(cell, str) and cell.strip().lower() in {"nan", "inf", "+inf", "-inf"}:
        return float(cell)
    return float(exact(cell))


def clock(unit: str | None, zone: str | None) -> Callable[[Any], int]:
    """Cell → milliseconds since 1970. unit: of numbers. zone: IANA name, of times that have none."""
    if unit is not None and unit not in TIMES:
        raise Malformed(f"time_unit: expected one of {', '.join(TIMES)}, found {unit[:40]!r}")
    try:
        local = ZoneInfo(zone) if zone else None
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise UsageFault(f"no time zone is called {zone!r}") from error

    def told(cell: Any) -> int:  # noqa: ANN401
        if isinstance(cell, int) and unit is None:
            found = cell  # Parquet's own time, with a zone
        elif unit is not None and not isinstance(cell, datetime):
            found = int(exact(cell) * 1_000 / TIMES[unit])
        else:
            found = _milliseconds(cell, local)
        if not 0 <= found < _MAX_MS:
            raise Malformed(f"expected a time since 1970, found {str(cell)[:40]!r}: is its unit another one?")
        return found

    return told


def _milliseconds(cell: Any, local: ZoneInfo | None) -> int:  # noqa: ANN401
    try:
        when = cell if isinstance(cell, datetime) else datetime.fromisoformat(str(cell).strip())
    except ValueError as error:
        hint = "time_unit = … in the map, if it is a number"
        raise Malformed(f"expected a time like 2026-07-06T00:00:00Z, found {str(cell)[:40]!r}", hint=hint) from error
    if when.tzinfo is None and local is None:
        raise Malformed(f"expected a time with its zone, found {str(cell)[:40]!r}", hint="timezone = … in the map")
    return round((when if when.tzinfo else when.replace(tzinfo=local)).astimezone(UTC).timestamp() * 1_000)
