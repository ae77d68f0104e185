# SPDX-License-Identifier: Apache-2.0
"""Power readings from a table: columns device, time_ms and watts, as CSV (base install) or Parquet (`pausectl[lab]`).

    device,time_ms,watts
    node-01,1715986824000,6842.5

Everything odd is an error with its line: a collector that guesses files a guess.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path

from pausectl.errors import Malformed, UsageFault
from pausectl.wire.rows import Row, device_id, milliwatts, rows_from_readings

COLUMNS = ("device", "time_ms", "watts")

#: device → its (time_ms, power_mw) readings, in the order of the table.
Readings = dict[str, list[tuple[int, int]]]


def read(path: Path) -> Readings:
    """Readings by device."""
    records = _parquet(path) if path.suffix == ".parquet" else _csv(path)
    found: Readings = {}
    for place, record in enumerate(records, 2):
        try:
            device, time_ms, watts = record["device"], int(record["time_ms"]), milliwatts(float(record["watts"]))
            if not device:
                raise Malformed("device: expected a name")
        except (ValueError, TypeError) as error:
            raise Malformed(f"expected a device, milliseconds and watts, found {record}", where=f"{path}: line {place}") from error
        except Malformed as error:
            raise error.at(f"{path}: line {place}") from error
        found.setdefault(str(device), []).append((time_ms, watts))
    if not found:
        raise Malformed("no reading at all: that is a gap, not a zero", where=str(path))
    return found


def rows(readings: Mapping[str, Iterable[tuple[int, int]]], start_ms: int, end_ms: int, *, max_gap_ms: int) -> list[Row]:
    """Sealable rows of every device, sorted by device id and time."""
    made: list[Row] = []
    for name in sorted(readings, key=device_id):
        made += rows_from_readings(device_id(name), readings[name], start_ms, end_ms, max_gap_ms=max_gap_ms)
    return made


def _csv(path: Path) -> Iterator[Mapping[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = csv.DictReader(file, strict=True)
            if tuple(table.fieldnames or ()) != COLUMNS:
                raise Malformed(f"expected the columns {', '.join(COLUMNS)}, found {table.fieldnames}", where=f"{path}: line 1")
            yield from table
    except OSError as error:
        raise UsageFault(f"cannot be read: {error.strerror}", where=str(path)) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise Malformed(f"expected CSV in UTF-8: {error}", where=str(path)) from error


def _parquet(path: Path) -> Iterator[Mapping[str, str]]:
    try:
        module = import_module("pausectl.lab.parquet")
    except ImportError as error:
        raise UsageFault("Parquet needs the extra 'lab'", where=str(path), hint="pip install 'pausectl[lab]'") from error
    records: Iterator[Mapping[str, str]] = module.records(path, COLUMNS)
    return records
