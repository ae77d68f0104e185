# SPDX-License-Identifier: Apache-2.0
"""Any table: the energies of real runs, a day on which a cluster fell silent, bills, and tables that are not right."""

from __future__ import annotations

import csv
import json
import math
from datetime import UTC, datetime
from fractions import Fraction

import pyarrow as pa
import pytest
from pyarrow import parquet

from pausectl.agreement.types import seconds
from pausectl.errors import Malformed, UsageFault
from pausectl.lab.collectors import base
from pausectl.lab.collectors.base import Window
from pausectl.lab.collectors.tabular import collect

T = 1_783_296_000
HOUR = Window(T, T + 3_600)
POWER = (
    'kind = "power"\nunit = "W"\nclass = "node"\ntime_unit = "s"\n'
    'columns = {device = "node", time = "t", value = "w"}\n'
)
HELD = 'kind = "held"\ntime_unit = "s"\ncolumns = {start = "s", end = "e", devices = "n", state = "state", id = "id"}\n'
BILL = 'kind = "billing"\nunits = {Hours = 3600, Seconds = 1}\ndevices = {gpu8 = 8, disk = 0}\n'
FOCUS = "ConsumedQuantity,ConsumedUnit,ChargePeriodStart,ChargePeriodEnd,SkuId,ChargeCategory,ResourceId"


@pytest.fixture
def ask(tmp_path):
    """Collect from a CSV of these lines, or from a file, by this map."""

    def run(map_, *lines, window=HOUR, path=None, **options):
        (tmp_path / "map.toml").write_text(map_)
        if path is None:
            path = tmp_path / "table.csv"
            path.write_text("\n".join(lines) + "\n")
        return collect([str(path)], window, {"map": str(tmp_path / "map.toml"), **options})

    return run


def readings(watts="100", step=60, node="n1"):
    return [f"{node},{when},{watts}" for when in range(T - 60, T + 3_661, step)]


# ── real tables ──

RUNS = (
    "v4.0/smc-ac-power/64xSMC-H100-SXM-80GB/gpt3/result_5848-240517221859825376616_2",
    "v4.0/smc-ac-power/1xSMC-H100-SXM-80GB/bert/result_5119-240510190348838227199_06",
)


@pytest.fixture
def runs(shared):
    with shared("data/mlperf_power/runs.csv").open(newline="") as file:
        return {row["run_id"]: row for row in csv.DictReader(file)}


def mlperf_choice(known):
    """Two by name; the one that starts late, one least covered, the longest gap, and one with duplicates."""
    by_gap = max(known, key=lambda run: known[run]["max_sample_gap_s"])
    late = max(known, key=lambda run: known[run]["latest_first_sample_s"])
    early = min(known, key=lambda run: known[run]["covered_node_fraction"])
    dell = next(run for run in known if "Dell" in run)
    return {*RUNS, by_gap, late, early, dell}


def test_the_energy_of_real_runs(shared, ask, runs):
    known = json.loads(shared("data/known_answers.json").read_text())["facts"]["mlperf_power"]["runs_table"]["value"]
    path = shared("data/mlperf_power/power_readings.parquet")
    map_ = (
        'kind = "power"\nunit = "W"\nclass = "node"\ncolumns = {device = "node", time = "time_ms", value = "watts"}\n'
    )
    for run in mlperf_choice(known):
        # whole seconds: the second in which it starts and the one in which it stops are in it
        start, stop = int(runs[run]["run_start"]) / 1_000, int(runs[run]["run_stop"]) / 1_000
        window = Window(math.floor(start), math.ceil(stop))
        found = ask(map_, path=path, window=window, where=f"run_id={run}", step="2", max_gap="60")
        edges = (start - window.start + window.end - stop) / known[run]["duration_s"]
        assert found.energy_wh == pytest.approx(known[run]["energy_j"] / 3_600, rel=0.001 + edges, abs=1), run
        told = next(gap for gap in found.method.gaps if gap.startswith("readings cover"))
        covered = float(told.split()[2].rstrip("%")) / 100
        assert covered == pytest.approx(known[run]["covered_node_fraction"], abs=0.001 + edges), run
        assert f"of {known[run]['nodes']} devices" in told
        if known[run]["max_sample_gap_s"] > 20:
            narrow = ask(map_, path=path, window=window, where=f"run_id={run}", step="2", max_gap="20")
            assert any(f"the longest {known[run]['max_sample_gap_s']:.3f}" in gap for gap in narrow.method.gaps)


def test_a_day_of_silence_is_unknown_and_not_zero(shared, ask):
    folder = shared("data/harvard_ipmi_outage")
    known = json.loads(shared("data/known_answers.json").read_text())["facts"]["harvard_ipmi_outage"]
    map_ = (
        'kind = "power"\nunit = "W"\nclass = "node"\nsensors = ["Sys Power", "Pwr Consumption"]\n'
        'columns = {device = "node", time = "ts", value = "watts", sensor = "sensor"}\n'
    )
    day = Window(seconds("2025-06-03T00:00:00Z"), seconds("2025-06-04T00:00:00Z"))
    place, nodes = folder / "ipmi_power_2025-06-03.parquet", str(folder / "nodes.csv")
    found = ask(map_, path=place, window=day, step="60", devices=nodes)
    assert found.coverage == Fraction(known["polls_with_power"]["value"], known["polls"]["value"])
    assert round(float(found.coverage), 4) == known["coverage_day"]["value"] == 0.1485
    assert found.energy_wh is None
    assert found.unknown_records > 0
    assert "33 of 1724 listed devices never reported" in found.method.gaps
    dark = Window(seconds("2025-06-03T03:00:00Z"), seconds("2025-06-03T20:00:00Z"))
    night = ask(map_, path=place, window=dark, step="60", devices=nodes)
    assert night.energy_wh is None
    assert night.coverage < Fraction(2, 1_000)


# ── readings ──


def test_rows_in_any_order_once_or_twice(ask):
    lines = readings()
    for these in (lines, lines[::-1], lines + lines[3:5]):
        found = ask(POWER, "node,t,w", *these, step="60")
        assert (found.energy_wh, found.records, found.coverage) == (100, 60, 1)


def test_a_column_more_another_order_and_another_delimiter(ask):
    lines = [f"x;{line.split(',')[2]};{line.split(',')[0]};{line.split(',')[1]}" for line in readings()]
    assert ask(f'delimiter = ";"\n{POWER}', "extra;w;node;t", *lines, step="60").energy_wh == 100


def test_units_are_factors_that_somebody_named(ask):
    assert ask(POWER.replace('"W"', '"kW"'), "node,t,w", *readings("6.8")).energy_wh == 6_800
    for watts in ("6.8", "6800000"):  # kW and mW that are called W
        with pytest.raises(Malformed, match="expected 10 to 20000 W of a node"):
            ask(POWER, "node,t,w", *readings(watts))
    with pytest.raises(Malformed, match="unit: expected one of"):
        ask(POWER.replace('"W"', '"horses"'), "node,t,w", *readings())


def test_sentinels_and_cells_with_nothing(ask):
    lines = readings()
    lines[5], lines[6], lines[7], lines[8] = (
        f"n1,{T + n * 60},{w}" for n, w in ((4, "25550"), (5, "nan"), (6, "0"), (7, ""))
    )
    found = ask(POWER, "node,t,w", *lines, step="60")
    assert (found.energy_wh, found.unknown_records, found.records) == (100, 3, 59)
    assert any("1 rows without a value" in text for text in found.method.filters)


def test_a_counter_in_a_table(ask):
    lines = [f"n1,{when},{(when - T + 60) / 36_000}" for when in range(T - 60, T + 3_661, 60)]
    map_ = POWER.replace('"power"', '"energy"').replace('"W"', '"kWh"')
    assert ask(map_, "node,t,w", *lines, step="60").energy_wh == 100


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("n1,x,5", "time_unit|like 1234"),
        (f"n1,{T},1.234,5", "expected 3 cells, found 4"),
        (f'n1,{T},"1,5"', "expected a number"),
        (f"n1,{T}000000,5", "unit another one"),
        (f",{T},50", "a device and a time"),
        ("n1", "found 1"),
    ],
)
def test_a_row_that_makes_no_sense_is_named(ask, line, match):
    with pytest.raises(Malformed, match=match) as caught:
        ask(POWER, "node,t,w", *readings()[:4], line)
    assert "6" in str(caught.value)


def test_times_in_words_and_zones(ask):
    words = POWER.replace('time_unit = "s"\n', "")
    lines = [f"n1,2026-07-06T0{hour}:00:00,100" for hour in (0, 1, 2, 3)]
    with pytest.raises(Malformed, match="with its zone"):
        ask(words, "node,t,w", *lines)
    found = ask(words, "node,t,w", *lines, timezone="Europe/Amsterdam", max_gap="3600")
    assert {when for _, when, _ in found.rows} == {T * 1_000}  # 02:00 there
    with pytest.raises(UsageFault, match="time zone"):
        ask(words, "node,t,w", *lines, timezone="Mars/Olympus")


def test_missing_columns_and_maps_that_are_none(ask, tmp_path):
    with pytest.raises(Malformed, match="found none for w") as caught:
        ask(POWER, "node,t,watts", *readings())
    assert "watts" in caught.value.hint
    before = ("delimiter = ';;'", "where = {a = 1}", "where = 5", "sensors = 3", "colour = 1")
    for map_ in ("kind = ", 'kind = "abacus"', 'kind = "billing"', *(f"{line}\n{POWER}" for line in before)):
        with pytest.raises(Malformed):
            ask(map_, "node,t,w")
    with pytest.raises(UsageFault, match="map=FILE"):
        collect(["x.csv"], HOUR, {})
    with pytest.raises(UsageFault, match="cannot be read"):
        ask(POWER, path=tmp_path / "absent.csv")


# ── Parquet of others ──


def table(times, node):
    return pa.table({"node": node, "t": times, "w": pa.array([100.0] * len(times), pa.float32())})


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_parquet_however_it_is_encoded(ask, tmp_path, unit):
    when = [datetime.fromtimestamp(moment, UTC) for moment in range(T - 60, T + 3_661, 60)]
    node = pa.array(["n1"] * len(when)).dictionary_encode()
    node = pa.DictionaryArray.from_arrays(node.indices.cast(pa.int8()), pa.array(["n1"], pa.large_string()))
    times = pa.array(when, pa.timestamp(unit, "Europe/Amsterdam"))
    path = tmp_path / "t.parquet"
    parquet.write_table(table(times, node), path, row_group_size=7)
    words = POWER.replace('time_unit = "s"\n', "")
    assert ask(words, path=path, step="60").energy_wh == 100
    assert ask(words, path=path, step="60", where="node=n2").records == 0
    naive = pa.array([moment.replace(tzinfo=None) for moment in when], pa.timestamp(unit))
    parquet.write_table(table(naive, node), path)
    with pytest.raises(Malformed, match="with its zone"):
        ask(words, path=path)
    assert ask(words, path=path, timezone="UTC", step="60").energy_wh == 100


def test_parquet_cut_short_anywhere(ask, tmp_path):
    whole = tmp_path / "t.parquet"
    parquet.write_table(table(pa.array(range(T, T + 600)), pa.array(["n1"] * 600)), whole)
    raw = whole.read_bytes()
    for length in (0, 3, 4, 40, len(raw) // 2, len(raw) - 9, len(raw) - 1):
        whole.write_bytes(raw[:length])
        with pytest.raises(Malformed, match="expected Parquet"):
            ask(POWER, path=whole)
    with pytest.raises(UsageFault, match="cannot be read"):
        ask(POWER, path=tmp_path / "none.parquet")


# ── accelerators held ──


def test_rows_of_what_was_held(ask):
    found = ask(HELD, "id,s,e,n,state", f"1,{T - 600},{T + 600},8,DONE", f"1,{T - 600},{T + 600},8,DONE",
                f"2,{T},{T + 9_999},2,EVICTED", f"3,{T},,4,RUNNING", f"4,{T},{T + 60},,DONE", f"5,{T - 9},{T},1,DONE",
                f"6,,{T},1,DONE")  # fmt: skip
    assert found.by_state == {"DONE": 4_800, "EVICTED": 7_200}
    assert (found.accelerator_seconds, found.records, found.unknown_records) == (12_000, 4, 2)
    assert found.coverage == Fraction(1, 2)
    assert "1 rows that repeat another one" in found.method.filters
    assert any("unknown, not zero" in gap for gap in found.method.gaps)


@pytest.mark.parametrize(
    ("line", "match"),
    [
        (f"1,{T + 5},{T + 90},8,DONE", "do not overlap"),
        (f"2,{T + 5},{T},8,DONE", "no end before the start"),
        (f"2,{T},{T + 5},-1,DONE", "expected 0 to"),
        (f"2,{T},{T + 5},eight,DONE", "expected a number"),
    ],
)
def test_what_cannot_have_been_held(ask, line, match):
    with pytest.raises(Malformed, match=match):
        ask(HELD, "id,s,e,n,state", f"1,{T},{T + 60},8,DONE", line)


# ── bills ──


def charge(quantity="1", unit="Hours", start="00", end="01", sku="gpu8", category="Usage", resource="r1"):
    return f"{quantity},{unit},2026-07-06T{start}:00:00Z,2026-07-06T{end}:00:00Z,{sku},{category},{resource}"


def test_a_bill_is_hours_of_machines_with_accelerators(ask):
    found = ask(BILL, FOCUS, charge(), charge("0.25"), charge("1", sku="disk"), charge("2", start="00", end="02"),
                charge("1", category="Tax"), charge(start="05", end="06"))  # fmt: skip
    assert found.accelerator_seconds == 8 * (3_600 + 900 + 3_600)
    assert (found.records, found.unknown_records, found.coverage) == (3, 0, 1)
    assert len(found.method.filters) == 3


def test_what_a_bill_does_not_tell_is_unknown(ask):
    found = ask(BILL, FOCUS, charge(), charge(""), charge(sku="new"), charge(unit="Credits"))
    assert (found.accelerator_seconds, found.records, found.unknown_records) == (28_800, 4, 3)
    none = ask(BILL, FOCUS, charge(""))
    assert (none.accelerator_seconds, none.coverage) == (None, 0)


def test_a_bill_of_few_columns_and_one_that_is_out_by_a_thousand(ask):
    head, line = (text.rsplit(",", 2)[0] for text in (FOCUS, charge()))
    assert ask(BILL, head, line).accelerator_seconds == 28_800
    with pytest.raises(Malformed, match="at most the 3600 s"):
        ask(BILL, FOCUS, charge("1000"))
    with pytest.raises(Malformed, match="found none for SkuId"):
        ask(BILL, head.removesuffix(",SkuId"), line)


def test_it_is_found_by_the_door_that_strangers_use():
    assert base.find("table") is collect
