# SPDX-License-Identifier: Apache-2.0
"""Any table: CSV or Parquet whose columns a small TOML file names (-O map=FILE).

    kind = "power"              # readings; "energy", of a counter; "held", accelerators held; "billing", FOCUS 1.2
    unit = "W"                  # power, energy: of the value
    class = "node"              # power, energy: whose bounds hold; or low = …, high = …
    sensors = ["Sys Power"]     # where there is a column for them: of each device the first that it has
    time_unit = "ms"            # of times that are numbers; timezone = "Europe/Amsterdam", of those without a zone
    where = { run_id = "7" }    # rows that count; delimiter = ";" for a CSV that has another
    columns = { device = "node", time = "time_ms", value = "watts", sensor = "sensor" }

    kind = "held"               columns = { start = …, end = …, devices = …, state = …, id = … }, the last two if any
    kind = "billing"            units = { Hours = 3600 }, seconds of a unit; devices = { SKU = 8 }, accelerators, or 0

A bill's unit or SKU that the map does not name is unknown, and so is a quantity that is null.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

from pausectl.errors import Malformed, PausectlError, UsageFault
from pausectl.lab.collectors import cells, energy
from pausectl.lab.collectors.base import Collected, Method, Window, collector, option
from pausectl.lab.collectors.mapping import bounds
from pausectl.lab.collectors.measured import Readings, measured

OPTIONS = (*energy.OPTIONS, "map", "timezone", "where")
_COLUMNS = {  # kind → columns that are needed, and those that may be there
    "power": (("device", "time", "value"), ("sensor",)),
    "energy": (("device", "time", "value"), ("sensor",)),
    "held": (("start", "end", "devices"), ("state", "id")),
    "billing": (("quantity", "unit", "start", "end", "sku"), ("category", "resource")),
}
_FOCUS = {
    "quantity": "ConsumedQuantity", "unit": "ConsumedUnit", "start": "ChargePeriodStart", "end": "ChargePeriodEnd",
    "sku": "SkuId", "category": "ChargeCategory", "resource": "ResourceId",
}  # fmt: skip
_KEYS = {"kind", "unit", "class", "low", "high", "sensors", "time_unit", "timezone", "where", "delimiter", "columns",
         "units", "devices"}  # fmt: skip


@dataclass(slots=True)
class _Tally:
    """What is counted while rows go by. spans: of each id, what it held and when."""

    window: Window
    clock: Callable[[Any], int]
    records: int = 0
    unknown: int = 0
    seconds: dict[str, Fraction] = field(default_factory=dict)
    spans: dict[str, list[tuple[int, int, Fraction, str]]] = field(default_factory=dict)
    told: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)

    def hold(self, state: str, devices: Fraction, start: int, end: int) -> None:
        """Devices held between two times in milliseconds, as far as that is in the window."""
        part = max(0, min(end, self.window.end * 1000) - max(start, self.window.start * 1000))
        self.seconds[state] = self.seconds.get(state, Fraction(0)) + devices * part / 1000

    def about(self, start: int, end: int) -> bool:
        """Whether a span is about the window at all."""
        return start < self.window.end * 1000 and end > self.window.start * 1000


@collector("table")
def collect(inputs: Sequence[str], window: Window, options: Mapping[str, str]) -> Collected:
    """Energy or accelerator-seconds of a table.

    options: map, a TOML file; timezone, as there; where, COLUMN=VALUE, beside what the map says; step, seconds between
    polls; max_gap, seconds; floor, of coverage; devices, a file of those that should report.
    """
    chosen = option(options, OPTIONS)
    if "map" not in chosen:
        raise UsageFault("expected -O map=FILE, which names the columns")
    table = _map(Path(chosen["map"]))
    if "timezone" in chosen:
        table["timezone"] = chosen["timezone"]
    if "where" in chosen:
        column, _, value = chosen["where"].partition("=")
        table["where"] = {**table.get("where", {}), column: value}
    kind = table["kind"]
    if kind in {"power", "energy"}:
        return _measured(inputs, table, energy.terms(chosen, window, *bounds(table)[1:]))
    tally = _Tally(window, cells.clock(table.get("time_unit"), table.get("timezone")))
    digests = [_each(Path(place), table, lambda row: _ROWS[kind](row, table, tally)) for place in inputs]
    _overlaps(tally)
    known = tally.records - tally.unknown
    total = sum(tally.seconds.values(), Fraction(0))
    filters = tuple(f"{count} {text}" for text, count in sorted(tally.left.items()))
    gaps = tuple(f"{count} {text}" for text, count in sorted(tally.told.items()))
    return Collected(
        method=Method("table", kind, "; ".join(digests), filters, gaps),
        records=tally.records,
        unknown_records=tally.unknown,
        accelerator_seconds=round(total) if known else None,
        by_state={state: round(held) for state, held in sorted(tally.seconds.items()) if held} if known else None,
        coverage=Fraction(known, tally.records) if tally.records else None,
    )


def _map(path: Path) -> dict[str, Any]:
    """The map, checked as far as it is not about a file. Malformed, UsageFault."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageFault(f"cannot be read: {error.strerror}", where=str(path)) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Malformed(f"expected TOML: {error}", where=str(path)) from error
    kind, strange = table.get("kind"), sorted(set(table) - _KEYS)
    if kind not in _COLUMNS or strange:
        raise Malformed(
            f"expected kind, one of {', '.join(_COLUMNS)}, found {str(kind)[:40]!r} {' '.join(strange)}".rstrip(),
            where=str(path),
        )
    columns = {**(_FOCUS if kind == "billing" else {}), **table.get("columns", {})}
    needed, may = _COLUMNS[kind]
    if not set(needed) <= set(columns) <= {*needed, *may} or not all(
        isinstance(name, str) for name in columns.values()
    ):
        raise Malformed(f"columns: expected {', '.join(needed)}, perhaps {', '.join(may)}", where=str(path))
    units = {"power": energy.WATTS, "energy": energy.JOULES}.get(kind)
    if units and table.get("unit") not in units:
        raise Malformed(
            f"unit: expected one of {', '.join(units)}, found {str(table.get('unit'))[:40]!r}", where=str(path)
        )
    if kind == "billing" and not (_numbers(table.get("units")) and _numbers(table.get("devices"))):
        raise Malformed("expected units = { UNIT = SECONDS } and devices = { SKU = ACCELERATORS }", where=str(path))
    _texts(table, path)
    return table | {"columns": columns}


def _texts(table: Mapping[str, Any], path: Path) -> None:
    """Malformed if what should be text is none."""
    chosen, delimiter = table.get("where", {}), table.get("delimiter", ",")
    chosen = list(chosen.values()) if isinstance(chosen, dict) else [None]
    lists = [table.get("sensors", []), *(each if isinstance(each, list) else [each] for each in chosen)]
    whole = [table.get("timezone", ""), table.get("time_unit", ""), delimiter]
    if not all(isinstance(each, list) and all(isinstance(text, str) for text in each) for each in [*lists, whole]):
        raise Malformed("expected text for sensors, where, timezone, time_unit and delimiter", where=str(path))
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise Malformed(f"delimiter: expected one character, found {delimiter[:20]!r}", where=str(path))


def _numbers(table: Any) -> bool:  # noqa: ANN401 - as TOML has it
    return (
        isinstance(table, dict)
        and bool(table)
        and all(type(each) in {int, float} and 0 <= each < 1e12 for each in table.values())
    )


def _each(path: Path, table: Mapping[str, Any], take: Any) -> str:  # noqa: ANN401 - a function of one row
    """Hand on every row of a file as {column of the map: cell}, each once; the file's name and digest."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageFault(f"cannot be read: {error.strerror}", where=str(path)) from error
    delimiter, columns = table.get("delimiter", ","), dict(table["columns"])
    names = set(cells.header(path, delimiter))
    if table["kind"] == "billing":  # some columns of FOCUS need not be there
        needed = _COLUMNS["billing"][0]
        columns = {key: name for key, name in columns.items() if key in needed or name in names}
    where = {name: [text] if isinstance(text, str) else list(text) for name, text in table.get("where", {}).items()}
    for number, values in cells.rows(path, list(columns.values()), where, delimiter):
        try:
            take(dict(zip(columns, values, strict=True)))
        except PausectlError as error:
            raise error.at(f"{path}: row {number}") from error
    return f"{path.name} sha256:{digest}"


def _measured(inputs: Sequence[str], table: Mapping[str, Any], terms: energy.Terms) -> Collected:
    kind, ranks = table["kind"], {name: rank for rank, name in enumerate(table.get("sensors", ()))}
    scale = {"power": energy.WATTS, "energy": energy.JOULES}[kind][table["unit"]]
    readings, clock = (
        Readings(terms, table.get("class", "gpu")),
        cells.clock(table.get("time_unit"), table.get("timezone")),
    )
    lost = Counter[str]()

    def take(row: Mapping[str, Any]) -> None:
        rank = ranks.get(str(row.get("sensor")), -1) if ranks else 0
        if rank < 0:
            lost["readings of sensors that the map does not name"] += 1
        elif row["value"] is None:
            lost["rows without a value"] += 1
        else:
            if row["device"] is None or row["time"] is None:
                raise Malformed("expected a device and a time, found none")
            track = readings.track(kind, str(row["device"]), rank)
            track.add(clock(row["time"]), readings.judged(kind, cells.inexact(row["value"]) * scale))

    digests = [_each(Path(place), table, take) for place in inputs]
    filters = tuple(f"{count} {text}" for text, count in lost.items())
    return measured(readings, Method("table", kind, "; ".join(digests), filters))


def _held(row: Mapping[str, Any], _: Mapping[str, Any], tally: _Tally) -> None:
    """One row of accelerators held from start to end."""
    clock = tally.clock
    if row["start"] is None:
        tally.left["rows that never started"] += 1
        return
    start, end = clock(row["start"]), None if row["end"] is None else clock(row["end"])
    if end is not None and end < start:
        raise Malformed(f"expected no end before the start {row['start']}, found {row['end']}")
    if end is not None and not tally.about(start, end):
        tally.left["rows about another time"] += 1
        return
    if end is None and start >= tally.window.end * 1000:
        tally.left["rows about another time"] += 1
        return
    tally.records += 1
    if end is None or row["devices"] is None:
        tally.unknown += 1
        tally.told["rows without an end or a number of devices: unknown, not zero"] += 1
        return
    devices = cells.exact(row["devices"])
    if not 0 <= devices <= 1_000_000:
        raise Malformed(f"expected 0 to 1000000 devices, found {row['devices']}")
    span = (start, end, devices, str(row.get("state") or "UNKNOWN"))
    if row.get("id") is None:
        tally.told["rows have no id: one that stands there twice counts twice"] += 1
    else:
        spans = tally.spans.setdefault(str(row["id"]), [])
        if span in spans:
            tally.records -= 1
            tally.left["rows that repeat another one"] += 1
            return
        spans.append(span)
    tally.hold(span[3], devices, start, end)


def _overlaps(tally: _Tally) -> None:
    """Malformed if rows of one id overlap: what they hold would count twice."""
    for name, spans in tally.spans.items():
        spans.sort()
        for (_, end, *_), (start, *_) in pairwise(spans):
            if start < end:
                raise Malformed(f"expected rows of one id that do not overlap, found two of {name[:60]!r} that do")


def _billed(row: Mapping[str, Any], table: Mapping[str, Any], tally: _Tally) -> None:
    """One line of a bill."""
    clock = tally.clock
    if row.get("category") not in {None, "Usage"}:
        tally.left["charges that are no usage"] += 1
        return
    if row["start"] is None or row["end"] is None:
        raise Malformed("expected a charge period, found none")
    start, end = clock(row["start"]), clock(row["end"])
    if end <= start:
        raise Malformed(f"expected an end after the start {row['start']}, found {row['end']}")
    if not tally.about(start, end):
        tally.left["charges of another time"] += 1
        return
    accelerators = table["devices"].get(str(row["sku"]))
    if accelerators == 0:
        tally.left["charges of SKUs without accelerators"] += 1
        return
    tally.records += 1
    seconds = table["units"].get(str(row["unit"]))
    if row["quantity"] is None or accelerators is None or seconds is None:
        tally.unknown += 1
        missing = "a quantity" if row["quantity"] is None else "a SKU" if accelerators is None else "a unit"
        tally.told[f"charges without {missing} that is known: unknown, not zero"] += 1
        return
    held = cells.exact(row["quantity"]) * Fraction(str(seconds))
    if row.get("resource") is not None and held * 1000 > (end - start) * Fraction(1001, 1000):
        raise Malformed(
            f"expected of one resource at most the {(end - start) / 1000:g} s of the charge, found {float(held):g}",
            hint="is the unit another one?",
        )
    tally.hold("BILLED", held * Fraction(str(accelerators)) * 1000 / (end - start), start, end)


_ROWS = {"held": _held, "billing": _billed}
