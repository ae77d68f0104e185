# SPDX-License-Identifier: Apache-2.0
"""Which series mean what: a small TOML file, or one of ours by name.

    class = "gpu"                              # whose bounds hold: gpu, node or rack; or low = … and high = …, in W
    [[series]]
    name = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"
    kind = "energy"                            # a counter; "power" is a gauge, "devices" how many are held
    unit = "mJ"
    device = ["UUID", "GPU_I_ID"]              # labels that name the device: the board's first, then of its part
    where = { sensor = "Sys Power" }           # labels that must be just so

Of each kind a device is read by the first series that it has: one sensor per node, never the sum of all.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pausectl.errors import Malformed, UsageFault
from pausectl.lab.collectors.energy import BOUNDS, JOULES, WATTS

#: Beyond these, series are called what the site's own exporters call them: then a file has to say so.
OURS: dict[str, dict[str, Any]] = {
    "dcgm": {
        "class": "gpu",
        "series": [
            {"name": "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "kind": "energy", "unit": "mJ",
             "device": ["UUID", "GPU_I_ID"]},
            {"name": "DCGM_FI_DEV_POWER_USAGE", "kind": "power", "unit": "W", "device": ["UUID", "GPU_I_ID"]},
        ],
    },
    "amd": {
        "class": "gpu",
        "series": [
            {"name": "gpu_energy_consumed", "kind": "energy", "unit": "uJ",
             "device": ["serial_number", "gpu_partition_id"]},
            {"name": "gpu_package_power", "kind": "power", "unit": "W",
             "device": ["serial_number", "gpu_partition_id"]},
            {"name": "gpu_average_package_power", "kind": "power", "unit": "W",
             "device": ["serial_number", "gpu_partition_id"]},
        ],
    },
    "ipmi": {
        "class": "node",
        "series": [
            {"name": "ipmi_dcmi_power_consumption_watts", "kind": "power", "unit": "W", "device": ["instance"]},
            *({"name": "ipmi_power_watts", "kind": "power", "unit": "W", "device": ["instance"],
               "where": {"name": name}} for name in ("Sys Power", "Pwr Consumption", "System Level")),
        ],
    },
    "kueue": {
        "class": "gpu",
        "series": [
            {"name": "kueue_cluster_queue_resource_usage", "kind": "devices", "unit": "1",
             "device": ["cluster_queue", "flavor"], "where": {"resource": resource}}
            for resource in ("nvidia.com/gpu", "amd.com/gpu")
        ],
    },
}  # fmt: skip
_UNITS = {"power": WATTS, "energy": JOULES, "devices": {"1": 1.0}}


@dataclass(frozen=True, slots=True)
class Series:
    """One kind of series. scale: of its unit, in W, J or devices. device: labels. where: label → value."""

    name: str
    kind: str
    scale: float
    device: tuple[str, ...]
    where: Mapping[str, str] = field(default_factory=dict)

    def selector(self) -> str:
        """PromQL."""
        inner = ",".join(f"{name}={_quoted(value)}" for name, value in self.where.items())
        return f"{self.name}{{{inner}}}" if inner else self.name

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Whether a series with these labels is of this kind."""
        return labels.get("__name__") == self.name and all(labels.get(key) == self.where[key] for key in self.where)


@dataclass(frozen=True, slots=True)
class SeriesMap:
    """All of a source. kind: of device."""

    kind: str
    low: float
    high: float
    series: tuple[Series, ...]


def load(name: str) -> SeriesMap:
    """One of ours, or a file. UsageFault if there is none, Malformed if it is not as told above."""
    if name in OURS:
        return _mapping(OURS[name])
    try:
        table = tomllib.loads(Path(name).read_text(encoding="utf-8"))
    except OSError as error:
        hint = f"ours are {', '.join(OURS)}; anything else is a TOML file"
        raise UsageFault(f"cannot be read: {error.strerror}", where=name, hint=hint) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Malformed(f"expected TOML: {error}", where=name) from error
    try:
        return _mapping(table)
    except Malformed as error:
        raise error.at(name) from error


def bounds(table: Mapping[str, Any]) -> tuple[str, float, float]:
    """Class, and the lowest and highest credible watts."""
    kind = table.get("class", "gpu")
    if kind not in BOUNDS:
        raise Malformed(f"class: expected one of {', '.join(BOUNDS)}, found {str(kind)[:40]!r}")
    low, high = (table.get(name, default) for name, default in zip(("low", "high"), BOUNDS[kind], strict=True))
    if not (isinstance(low, int | float) and isinstance(high, int | float) and 0 < low < high):
        raise Malformed(f"low, high: expected watts, 0 < low < high, found {str(low)[:20]}, {str(high)[:20]}")
    return kind, float(low), float(high)


def _mapping(table: Mapping[str, Any]) -> SeriesMap:
    series = table.get("series")
    strange = set(table) - {"class", "low", "high", "series"}
    if not isinstance(series, list) or not series or strange:
        raise Malformed(f"expected class, low, high and at least one [[series]], found {', '.join(sorted(table))}")
    return SeriesMap(*bounds(table), tuple(_series(one) for one in series))


def _series(one: Any) -> Series:  # noqa: ANN401 - as TOML has it
    try:
        name, kind, unit, device = (one[key] for key in ("name", "kind", "unit", "device"))
        where = one.get("where", {})
        scale = _UNITS[kind][unit]
    except (KeyError, TypeError, AttributeError) as error:
        raise Malformed(
            f"series: expected name, kind (power, energy or devices), its unit and device, found none for {error}"
        ) from error
    texts = [name, *where, *where.values(), *device] if isinstance(device, list) and isinstance(where, dict) else [None]
    if not all(isinstance(text, str) and text for text in texts) or not device or set(one) - _KEYS:
        raise Malformed("series: expected device = [LABEL, …] and where = { LABEL = VALUE }, all of them text")
    return Series(name, kind, scale, tuple(device), where)


_KEYS = {"name", "kind", "unit", "device", "where"}


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
