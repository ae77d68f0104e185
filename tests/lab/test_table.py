# SPDX-License-Identifier: Apache-2.0
"""Readings from CSV and Parquet: the same numbers from both, and the line of everything odd."""

from __future__ import annotations

import csv
import io
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pausectl.errors import Malformed, PausectlError, UsageFault
from pausectl.lab import table

HOUR = 3_600_000


def readings_or_complaint(place: Path) -> table.Readings | str:
    try:
        return table.read(place)
    except Malformed as error:
        return str(error)


def write(place: Path, *lines: object, head: str = "device,time_ms,watts") -> Path:
    place.write_text("\n".join([head, *map(str, lines)]) + "\n", encoding="utf-8")
    return place


def test_readings_by_device_in_the_order_of_the_table(tmp_path):
    place = write(tmp_path / "t.csv", "b,2,1.5", "a,1,6842.5", "b,1,0.001", '"a, b",7,1e3')
    assert table.read(place) == {"b": [(2, 1_500), (1, 1)], "a": [(1, 6_842_500)], "a, b": [(7, 1_000_000)]}


def test_a_spreadsheet_s_csv_is_read_as_it_is(tmp_path):
    """A byte order mark, CRLF, quotes, an empty last line, no last line feed."""
    place = tmp_path / "t.csv"
    place.write_bytes(b'\xef\xbb\xbfdevice,time_ms,watts\r\n"node-1","1","2.5"\r\n\r\nnode-1,2,3')
    assert table.read(place) == {"node-1": [(1, 2_500), (2, 3_000)]}


def test_watts_are_rounded_from_their_exact_value(tmp_path):
    place = write(tmp_path / "t.csv", "a,1,0.0025", "a,2,0.0035", "a,3,2.6755")
    expected = [round(Fraction(watts) * 1000) for watts in (0.0025, 0.0035, 2.6755)]
    assert [power for _, power in table.read(place)["a"]] == expected


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (",1,2", "device"), ("a,,2", "time_ms"), ("a,1,", "watts"), ("a,x,2", "time_ms"), ("a,1,x", "watts"),
        ("a,1.0,2", "time_ms"), ("a,-1,2", "time_ms"), ("a,+1,2", "time_ms"), ("a,1_000,2", "time_ms"),
        ("a, 1,2", "time_ms"), ("a,1,0x10", "watts"), ("a,1,nan", "watts"), ("a,1,-inf", "watts"), ("a,1,1_0", "watts"),
        ("a,1,-1", "watts"), ("a,1,0", "watts"), ("a,1,0.0001", "watts"), ("a,18446744073709551616,1", "time_ms"),
        ("a,1,1e300", "watts"), ("a,1,1e999", "watts"), ("a,1,٣", "watts"), ("a,1", "cells"), ("a,1,2,", "cells"),
        (f"a,{'9' * 5000},1", "time_ms"),
    ],
)  # fmt: skip
def test_odd_cells_are_errors_with_their_line(tmp_path, line, complaint):
    place = write(tmp_path / "t.csv", "ok,1,2", line, "ok,2,3")
    with pytest.raises(Malformed, match=complaint) as caught:
        table.read(place)
    assert str(caught.value).startswith(f"{place}: line 3: ")
    assert len(str(caught.value)) < 400
    assert "{" not in str(caught.value)


def test_lines_are_counted_as_an_editor_counts_them(tmp_path):
    place = write(tmp_path / "t.csv", '"a\nb",1,2', "", "c,x,2")
    with pytest.raises(Malformed, match="line 5"):
        table.read(place)


@pytest.mark.parametrize(
    "head", ["", "device", "time_ms,device,watts", "device,time_ms,watts,more", "Device,time_ms,watts"]
)
def test_the_columns_are_these_three_in_this_order(tmp_path, head):
    with pytest.raises(Malformed, match="columns device, time_ms, watts"):
        table.read(write(tmp_path / "t.csv", "a,1,2", head=head))


def test_no_reading_is_a_gap_and_not_a_zero(tmp_path):
    with pytest.raises(Malformed, match="gap"):
        table.read(write(tmp_path / "t.csv"))


def test_a_file_that_is_not_there(tmp_path):
    for name in ("nosuch.csv", "nosuch.parquet"):
        with pytest.raises(UsageFault, match=name):
            table.read(tmp_path / name)


@given(st.binary(max_size=300))
def test_bytes_are_readings_or_malformed(tmp_path_factory, raw):
    place = tmp_path_factory.mktemp("t") / "t.csv"
    place.write_bytes(b"device,time_ms,watts\n" + raw)
    found = readings_or_complaint(place)
    if isinstance(found, str):
        assert str(place) in found
    else:
        assert all(device and 0 <= t < 2**64 and 0 < p < 2**64 for device, rs in found.items() for t, p in rs)


@given(
    st.lists(st.tuples(st.text(min_size=1, max_size=5), st.integers(0, 2**64 - 1), st.integers(1, 2**40)), min_size=1)
)
def test_what_a_csv_writer_writes_is_read_back(tmp_path_factory, rows):
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(table.COLUMNS)
    writer.writerows((device, t, f"{milliwatts // 1000}.{milliwatts % 1000:03}") for device, t, milliwatts in rows)
    place = tmp_path_factory.mktemp("t") / "t.csv"
    try:
        place.write_bytes(out.getvalue().encode())
    except UnicodeEncodeError:
        return
    found = table.read(place)
    assert [(d, t) for d, t, _ in sorted(rows)] == sorted((d, t) for d, rs in found.items() for t, _ in rs)


# ── rows ──


def test_rows_tile_the_window_of_every_device():
    rows = table.rows({"a": [(0, 1000), (HOUR, 2000)], "b": [(0, 500)]}, 0, 2 * HOUR, max_gap_ms=HOUR)
    for device in {row.device for row in rows}:
        mine = [row for row in rows if row.device == device]
        assert (mine[0].start_ms, mine[-1].end_ms) == (0, 2 * HOUR)
        assert all(a.end_ms == b.start_ms for a, b in pairwise(mine))
    assert rows == sorted(rows, key=lambda row: (row.device, row.start_ms))


def test_two_powers_at_one_moment_name_the_device():
    with pytest.raises(Malformed, match="device node-7"):
        table.rows({"ok": [(0, 1)], "node-7": [(5, 1), (5, 2)]}, 0, 10, max_gap_ms=10)


# ── Parquet ──


def parquet(place: Path, **columns: object) -> Path:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet as files

    files.write_table(pyarrow.table(columns), place)
    return place


def test_parquet_gives_what_csv_gives(tmp_path):
    values = {"device": ["a", "b", "a"], "time_ms": [1, 2, 3], "watts": [1.5, 2.25, 6842.5]}
    lines = [",".join(map(str, line)) for line in zip(*values.values(), strict=True)]
    expected = table.read(write(tmp_path / "t.csv", *lines))
    assert table.read(parquet(tmp_path / "t.parquet", **values)) == expected
    more = {"extra": [0, 0, 0], **{name: values[name] for name in ("watts", "time_ms", "device")}}
    assert table.read(parquet(tmp_path / "more.parquet", **more)) == expected


def test_parquet_timestamps_are_milliseconds(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    for unit, scale in (("s", 1), ("ms", 1_000), ("us", 1_000_000), ("ns", 1_000_000_000)):
        times = pyarrow.array([1_785_715_200 * scale, 1_785_715_201 * scale], pyarrow.timestamp(unit, "UTC"))
        place = parquet(tmp_path / f"{unit}.parquet", device=["a", "a"], time_ms=times, watts=[1.0, 2.0])
        assert table.read(place) == {"a": [(1_785_715_200_000, 1_000), (1_785_715_201_000, 2_000)]}


def test_parquet_floats_of_32_bits_are_taken_exactly(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    watts = pyarrow.array([6842.1], pyarrow.float32())
    found = table.read(parquet(tmp_path / "t.parquet", device=["a"], time_ms=[1], watts=watts))
    assert found == {"a": [(1, round(Fraction(watts[0].as_py()) * 1000))]}


@pytest.mark.parametrize(
    "columns",
    [
        {"device": ["a"], "time_ms": [1]},
        {"device": ["a"], "time_ms": [1.5], "watts": [1.0]},
        {"device": ["a"], "time_ms": [None], "watts": [1.0]},
        {"device": [None], "time_ms": [1], "watts": [1.0]},
        {"device": ["a"], "time_ms": [1], "watts": [None]},
        {"device": ["a"], "time_ms": [1], "watts": [float("nan")]},
        {"device": ["a"], "time_ms": [1], "watts": [-1.0]},
        {"device": ["a"], "time_ms": [-1], "watts": [1.0]},
        {"device": ["a"], "time_ms": ["x"], "watts": [1.0]},
        {"device": [b"\xff"], "time_ms": [1], "watts": [1.0]},
        {"device": [["a"]], "time_ms": [1], "watts": [1.0]},
        {"device": [7], "time_ms": [1], "watts": [1.0]},
        {"device": [], "time_ms": [], "watts": []},
    ],
)
def test_odd_parquet_is_an_error_that_names_the_file(tmp_path, columns):
    place = parquet(tmp_path / "t.parquet", **columns)
    with pytest.raises(PausectlError, match=r"t\.parquet"):
        table.read(place)


def test_parquet_damaged_anywhere_is_readings_or_malformed(tmp_path):
    whole = parquet(tmp_path / "t.parquet", device=["a", "b"], time_ms=[1, 2], watts=[1.5, 2.5]).read_bytes()
    place = tmp_path / "d.parquet"
    for at in range(0, len(whole), 7):
        for damaged in (whole[:at], whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]):
            place.write_bytes(damaged)
            found = readings_or_complaint(place)
            assert isinstance(found, dict) or str(place) in found
