# SPDX-License-Identifier: Apache-2.0
"""Power readings from a table: columns device, time_ms and watts, as CSV (base install) or Parquet (`pausectl[lab]`).

    device,time_ms,watts
    node-01,1715986824000,6842.5

Everything odd is an error with its line: a collector that guesses files a guess.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path

from pausectl.errors import Malformed, UsageFault
from pausectl.wire.rows import MAX_U64, Row, device_id, milliwatts, rows_from_readings

COLUMNS = ("device", "time_ms", "watts")

_INTEGER = re.compile(r"[0-9]{1,20}")
_DECIMAL = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,40})?(?:[eE][-+]?[0-9]{1,3})?")

#: device → its (time_ms, power_mw) readings, in the order of the table.
Readings = dict[str, list[tuple[int, int]]]


def read(path: Path) -> Readings:
    """Readings by device."""
    records = _parquet(path) if path.suffix == ".parquet" else _csv(path)
    found: Readings = {}
    for line, record in records:
        try:
            device, time_ms, watts = _reading(record)
        except Malformed as error:
            raise error.at(f"{path}: line {line}") from error
        found.setdefault(device, []).append((time_ms, watts))
    if not found:
        raise Malformed("no reading at all: that is a gap, not a zero", where=str(path))
    return found


def _reading(record: Mapping[str, object]) -> tuple[str, int, int]:
    """Device, milliseconds and milliwatts of one line."""
    device, time_ms, watts = (record[column] for column in COLUMNS)
    if not isinstance(device, str) or not device:
        raise Malformed("device: expected a name")
    if isinstance(time_ms, str) and _INTEGER.fullmatch(time_ms):
        time_ms = int(time_ms)
    if not isinstance(time_ms, int) or not 0 <= time_ms <= MAX_U64:
        raise Malformed(f"time_ms: expected whole milliseconds since 1970, found {str(time_ms)[:40]!r}")
    if isinstance(watts, str) and _DECIMAL.fullmatch(watts):
        watts = float(watts)
    if not isinstance(watts, int | float) or not 0 < milliwatts(float(watts)) <= MAX_U64:
        raise Malformed(f"watts: expected a positive number, found {str(watts)[:40]!r}")
    return device, time_ms, milliwatts(float(watts))


def rows(
    readings: Mapping[str, Iterable[tuple[int, int]]], start_ms: int, end_ms: int, *, max_gap_ms: int
) -> list[Row]:
    """Sealable rows of every device, sorted by device id and time."""
    made: list[Row] = []
    for name in sorted(readings, key=device_id):
        try:
            made += rows_from_readings(device_id(name), readings[name], start_ms, end_ms, max_gap_ms=max_gap_ms)
        except Malformed as error:
            raise error.at(f"device {name}") from error
    return made


def _csv(path: Path) -> Iterator[tuple[int, Mapping[str, object]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets begin UTF-8 with a mark
            table = csv.reader(file, strict=True)
            names = next(table, [])
            if tuple(names) != COLUMNS:
                raise Malformed(
                    f"expected the columns {', '.join(COLUMNS)}, found {', '.join(names)[:80]!r}",
                    where=f"{path}: line 1",
                )
            for cells in (cells for cells in table if cells):  # an empty line is none
                if len(cells) != len(COLUMNS):
                    raise Malformed(
                        f"expected {len(COLUMNS)} cells, found {len(cells)}", where=f"{path}: line {table.line_num}"
                    )
                yield table.line_num, dict(zip(COLUMNS, cells, strict=True))
    except OSError as error:
        raise UsageFault(f"cannot be read: {error.strerror}", where=str(path)) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise Malformed(f"expected CSV in UTF-8: {error}", where=str(path)) from error


def _parquet(path: Path) -> Iterator[tuple[int, Mapping[str, object]]]:
    try:
        module = import_module("pausectl.lab.parquet")
    except ImportError as error:
        raise UsageFault(
            "Parquet needs the extra 'lab'", where=str(path), hint="pip install 'pausectl[lab]'"
        ) from error
    return enumerate(module.records(path, COLUMNS), 1)
