# SPDX-License-Identifier: Apache-2.0
"""Row bytes, and rows made of readings, against exact fractions."""

from __future__ import annotations

import random
import re
from fractions import Fraction
from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pausectl.errors import Malformed, UsageFault
from pausectl.wire import rows as rows_module
from pausectl.wire.rows import Row, device_id, format_row, milliwatts, parse_row, rows_from_readings

DEVICE = device_id("node-1")
u64 = st.integers(0, 2**64 - 1)


def make(readings, start, end, max_gap_ms=5000):
    return rows_from_readings(DEVICE, readings, start, end, max_gap_ms=max_gap_ms)


def short(rows):
    return [(row.start_ms, row.end_ms, row.power_mw, row.energy_mj) for row in rows]


def test_the_example_in_the_docstring_is_a_row():
    data = bytes.fromhex(re.search(r"^    ([0-9a-f ]{98,})$", rows_module.__doc__, re.MULTILINE)[1].replace(" ", ""))
    assert parse_row(data) == Row(device_id("node-1"), 1715960307000, 1715960308000, 6852536, 6850000)


def test_a_device_id_is_sixteen_bytes_of_sha256():
    # SEAL-1
    assert device_id("grün") == sha256(b"pausectl device\0" + "grün".encode()).digest()[:16]
    for name in ("", "\ud800"):
        with pytest.raises(Malformed):
            device_id(name)


@given(
    st.binary(min_size=16, max_size=16),
    st.lists(u64, min_size=2, max_size=2, unique=True),
    st.none() | u64,
    st.none() | u64,
)
def test_a_row_reads_back(device, times, power, energy):
    row = Row(device, *sorted(times), power, energy)
    assert len(format_row(row)) == 49
    assert parse_row(format_row(row)) == row


@settings(max_examples=300)
@given(
    st.binary(max_size=60)
    | st.binary(min_size=49, max_size=49).map(lambda data: data[:16] + bytes([data[16] & 3]) + data[17:])
)
def test_row_bytes_are_canonical_or_malformed(data):
    try:
        row = parse_row(data)
    except Malformed:
        return
    assert format_row(row) == data


def test_row_bytes_are_read_strictly():
    # SEAL-3
    good = format_row(Row(DEVICE, 1, 2, 3, 4))
    for bad, match in (
        (good[:-1], "expected 49 bytes, found 48"),
        (good + b"\0", "expected 49 bytes, found 50"),
        (good[:16] + b"\x04" + good[17:], "null bitmap"),
        (good[:16] + b"\x01" + good[17:], "power_mw: expected zero under its null bit, found 3"),
        (good[:16] + b"\x02" + good[17:], "energy_mj: expected zero under its null bit, found 4"),
        (good[:17] + good[25:33] + good[25:], "end_ms: expected more than start_ms 2, found 2"),
    ):
        with pytest.raises(Malformed, match=match):
            parse_row(bad)


@pytest.mark.parametrize(
    "fields",
    [
        (b"", 1, 2, 3, 4), ("x" * 16, 1, 2, 3, 4), (DEVICE, 2, 2, 3, 4), (DEVICE, 3, 2, 3, 4), (DEVICE, -1, 2, 3, 4),
        (DEVICE, 1, 2**64, 3, 4), (DEVICE, 1, 2, -3, 4), (DEVICE, 1, 2, 3.0, 4), (DEVICE, 1, 2, 3, 2**64),
        (DEVICE, 1, 2, 3, True), (DEVICE, None, 2, 3, 4),
    ],
)  # fmt: skip
def test_no_row_out_of_range(fields):
    # SEAL-2
    with pytest.raises(Malformed):
        Row(*fields)


@given(st.floats(0, 1e9))
def test_milliwatts_are_rounded_from_the_exact_value(watts):
    # SEAL-4
    assert milliwatts(watts) == round(Fraction(watts) * 1000)


def test_milliwatts_of_ties_and_of_no_number():
    assert [milliwatts(tie) for tie in (0.0625, 0.1875, 0.3125, 2.5)] == [62, 188, 312, 2500]
    for watts in (float("nan"), float("inf"), float("-inf")):
        with pytest.raises(Malformed, match="expected a finite number"):
            milliwatts(watts)


# ── rows from readings ──


def test_each_reading_ends_a_row_and_the_edges_are_interpolated():
    # SEAL-6
    readings = [(900, 1000), (1900, 3000), (2900, 3000)]
    assert short(make(readings, 1400, 2400)) == [
        (1400, 1900, 3000, 1250),  # from 2000 mW at the edge to 3000 mW
        (1900, 2400, None, 1500),  # nothing was read at 2400 ms
    ]


def test_readings_on_the_edges_serve_one_window_each():
    readings = [(1000, 1000), (2000, 3000), (3000, 1000)]
    assert short(make(readings, 1000, 2000)) == [(1000, 2000, 3000, 2000)]
    assert short(make(readings, 2000, 3000)) == [(2000, 3000, 1000, 2000)]


def test_power_at_an_edge_is_rounded_half_to_even():
    # SEAL-6
    for low, at_the_edge in ((1000, 1000), (1001, 1002)):  # 1000.5 and 1001.5 mW
        [row] = make([(0, low), (2000, low + 1)], 1000, 2000)
        assert row.energy_mj == (at_the_edge + low + 1) * 1000 // 2000


def test_silence_at_an_edge_is_a_gap_and_no_guess():
    # SEAL-7
    assert short(make([(2000, 4000)], 1000, 4000)) == [(1000, 2000, 4000, None), (2000, 4000, None, None)]
    assert short(make([(2000, 4000), (3000, 4000)], 1000, 4000)) == [
        (1000, 2000, 4000, None),
        (2000, 3000, 4000, 4000),
        (3000, 4000, None, None),
    ]
    assert short(make([(900, 4000)], 1000, 4000)) == [(1000, 4000, None, None)]
    assert short(make([(1000, 4000)], 1000, 4000)) == [(1000, 4000, None, None)]
    assert short(make([(4000, 4000)], 1000, 4000)) == [(1000, 4000, 4000, None)]
    assert short(make([(5000, 4000)], 1000, 4000)) == [(1000, 4000, None, None)]


def test_a_reading_on_an_edge_leaves_no_silence_there():
    # SEAL-7
    assert short(make([(1000, 4000), (3000, 4000)], 1000, 4000)) == [(1000, 3000, 4000, 8000), (3000, 4000, None, None)]
    assert short(make([(2000, 4000), (4000, 4000)], 1000, 4000)) == [(1000, 2000, 4000, None), (2000, 4000, 4000, 8000)]


def test_a_window_between_two_readings():
    assert short(make([(0, 1000), (4000, 5000)], 1000, 3000)) == [(1000, 3000, None, 6000)]


def test_nothing_is_integrated_across_a_gap():
    # SEAL-7
    readings = [(0, 1000), (1000, 1000), (6001, 1000), (7001, 1000)]
    assert short(make(readings, 0, 7001)) == [(0, 1000, 1000, 1000), (1000, 6001, 1000, None), (6001, 7001, 1000, 1000)]
    assert short(make([(0, 1000), (6000, 1000)], 5500, 6000)) == [(5500, 6000, 1000, None)]  # nor interpolated
    assert short(make([], 0, 10)) == [(0, 10, None, None)]


def test_the_remainder_is_carried():
    # SEAL-8
    readings = [(i, 700) for i in range(11)]  # 0.7 mJ a millisecond
    energies = [row.energy_mj for row in make(readings, 0, 10)]
    assert energies == [1, 0, 1, 1, 0, 1, 1, 1, 0, 1]
    assert sum(energies) == 7
    assert [row.energy_mj for row in make([(0, 500), (1, 500), (2, 500)], 0, 2)] == [0, 1]  # a tie to the even one


def test_bad_readings_are_refused():
    # SEAL-5
    for readings, match in (
        ([(1, 0)], "expected more than zero"),
        ([(1, -5)], "expected an integer of 0"),
        ([(1, 5.0)], "expected an integer of 0"),
        ([(-1, 5)], "time_ms: expected an integer"),
        ([(1, 5), (2, 5), (1, 6)], "expected one power at one moment, found 5 and 6"),
    ):
        with pytest.raises(Malformed, match=match):
            make(readings, 0, 10)
    for window in ((10, 10), (-1, 10), (10, 2**64)):
        with pytest.raises(UsageFault):
            make([], *window)
    with pytest.raises(UsageFault):
        make([], 0, 10, max_gap_ms=-1)


readings_sets = st.dictionaries(st.integers(0, 400), st.integers(1, 10**7), max_size=25)
windows = st.lists(st.integers(0, 400), min_size=3, max_size=3, unique=True).map(sorted)


def exact(at, start, end, max_gap_ms):
    """Energy in mJ and covered time, by fractions and segments alone."""
    energy, covered = Fraction(0), 0
    for (t0, p0), (t1, p1) in pairwise(sorted(at.items())):
        a, b = max(t0, start), min(t1, end)
        if a < b and t1 - t0 <= max_gap_ms:
            middle = p0 + Fraction(p1 - p0, t1 - t0) * (Fraction(a + b, 2) - t0)
            energy, covered = energy + middle * (b - a) / 1000, covered + b - a
    return energy, covered


@settings(deadline=None, max_examples=200)
@given(readings_sets, windows, st.integers(0, 60), st.randoms(use_true_random=False))
def test_rows_tile_the_window_and_their_sum_does_not_drift(at, window, max_gap_ms, chance: random.Random):
    start, _, end = window
    rows = make(at.items(), start, end, max_gap_ms)
    assert (rows[0].start_ms, rows[-1].end_ms) == (start, end)
    assert all(before.end_ms == after.start_ms for before, after in pairwise(rows))
    assert [row.end_ms for row in rows if row.power_mw is not None] == sorted(t for t in at if start < t <= end)
    energy, covered = exact(at, start, end, max_gap_ms)
    known = [row for row in rows if row.energy_mj is not None]
    assert sum(row.end_ms - row.start_ms for row in known) == covered
    # half a mJ of carry, and half a mW at both edges over the segment there
    assert abs(sum(row.energy_mj for row in known) - energy) <= Fraction(1, 2) + Fraction(max_gap_ms, 2000)
    again = list(at.items()) * 2
    chance.shuffle(again)
    assert make(again, start, end, max_gap_ms) == rows


@settings(deadline=None, max_examples=200)
@given(readings_sets, windows, st.integers(0, 60))
def test_two_windows_have_the_energy_of_one(at, window, max_gap_ms):
    """Where readings lie on both sides of the cut: nothing is counted twice, nothing is lost."""
    start, middle, end = window
    if not at or not min(at) <= middle <= max(at):
        return
    parts = make(at.items(), start, middle, max_gap_ms) + make(at.items(), middle, end, max_gap_ms)
    whole = make(at.items(), start, end, max_gap_ms)
    for rows in (parts, whole):
        assert sum(row.end_ms - row.start_ms for row in rows) == end - start
    energies = [sum(row.energy_mj or 0 for row in rows) for rows in (parts, whole)]
    assert abs(energies[0] - energies[1]) <= 2
    gaps = [sum(row.end_ms - row.start_ms for row in rows if row.energy_mj is None) for rows in (parts, whole)]
    assert gaps[0] == gaps[1]
