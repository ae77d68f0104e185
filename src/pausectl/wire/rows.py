# SPDX-License-Identifier: Apache-2.0
"""One row of power telemetry, 49 bytes (SCHEMA below), and how rows are made of meter readings.

    3c5c418c3a1390b38b7e279e15d7bd25 00 0000018f87345d38 0000018f87346120 0000000000688fb8 00000000006885d0
    device                           ^  start_ms         end_ms           power_mw         energy_mj
                                     null bitmap: 0x01 no power_mw, 0x02 no energy_mj

Node `node-1` used 6,850,000 mJ in the second that begins 1715960307000 ms after the Unix epoch, and read 6,852,536 mW
at its end. Integers only, no text, no floats: the same reading has the same bytes in every language.
Specification: specs/sealing.md, "Rows" and "Rows from readings".
"""

from __future__ import annotations

import hashlib
import math
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from pausectl.errors import Malformed, UsageFault
from pausectl.registry import enforces

SCHEMA = "pausectl-power/v1"
MAX_U64 = 2**64 - 1
ROW_BYTES = 49

_ROW = struct.Struct(">16sBQQQQ")
_NO_POWER, _NO_ENERGY = 0x01, 0x02
_UJ2_PER_MJ = 2000  # (mW + mW) x ms is twice a microjoule


@enforces("SEAL-1")
def device_id(name: str) -> bytes:
    """The 16 bytes that stand for a device in every row.

    [SEAL-1] A device id MUST be the first 16 bytes of SHA-256 over the ASCII text `pausectl device`, a zero byte and
    the device's name in UTF-8, exactly as the inventory writes it.
    """
    if not name:
        raise Malformed("device name: expected some text, found ''")
    try:
        return hashlib.sha256(b"pausectl device\x00" + name.encode("utf-8")).digest()[:16]
    except UnicodeEncodeError as error:
        raise Malformed(f"device name: expected text that UTF-8 can encode, found {name!r}") from error


@dataclass(frozen=True, slots=True)
class Row:
    """What one device did in [start_ms, end_ms): Unix milliseconds, milliwatts, millijoules.

    power_mw: the reading taken at end_ms; None where nothing was read at that moment (the end of the window).
    energy_mj: from start_ms to end_ms; None says that it is not known, and the time counts as a gap, never as zero.
    """

    device: bytes
    start_ms: int
    end_ms: int
    power_mw: int | None
    energy_mj: int | None

    @enforces("SEAL-2")
    def __post_init__(self) -> None:
        """Refuse what no device can have done.

        [SEAL-2] A row MUST have a device id of 16 bytes, unsigned 64-bit numbers, and an end later than its start.
        """
        if not isinstance(self.device, bytes) or len(self.device) != 16:
            raise Malformed(f"device: expected 16 bytes, found {self.device!r}")
        check_u64("start_ms", self.start_ms)
        check_u64("end_ms", self.end_ms)
        if self.power_mw is not None:
            check_u64("power_mw", self.power_mw)
        if self.energy_mj is not None:
            check_u64("energy_mj", self.energy_mj)
        if self.start_ms >= self.end_ms:
            raise Malformed(f"end_ms: expected more than start_ms {self.start_ms}, found {self.end_ms}")


def check_u64(name: str, value: int) -> None:
    """Refuse anything but an int (no bool) in 0 .. 2^64 - 1."""
    if type(value) is not int or not 0 <= value <= MAX_U64:
        raise Malformed(f"{name}: expected an integer of 0 to 2^64 - 1, found {value!r}")


def format_row(row: Row) -> bytes:
    """The 49 bytes that are hashed; the inverse of `parse_row`."""
    power, energy = row.power_mw, row.energy_mj
    nulls = (_NO_POWER if power is None else 0) | (_NO_ENERGY if energy is None else 0)
    return _ROW.pack(row.device, nulls, row.start_ms, row.end_ms, power or 0, energy or 0)


@enforces("SEAL-3")
def parse_row(data: bytes) -> Row:
    """The inverse of `format_row`; Malformed for bytes that it never writes.

    [SEAL-3] A reader MUST refuse row bytes that are not 49 long, set an unused bit of the null bitmap, or carry
    anything but zero in a field whose null bit is set.
    """
    if len(data) != ROW_BYTES:
        raise Malformed(f"row: expected {ROW_BYTES} bytes, found {len(data)}")
    device, nulls, start_ms, end_ms, power, energy = _ROW.unpack(data)
    if nulls & ~(_NO_POWER | _NO_ENERGY):
        raise Malformed(f"null bitmap: expected no bit but 0x01 and 0x02, found 0x{nulls:02x}")
    if nulls & _NO_POWER and power:
        raise Malformed(f"power_mw: expected zero under its null bit, found {power}")
    if nulls & _NO_ENERGY and energy:
        raise Malformed(f"energy_mj: expected zero under its null bit, found {energy}")
    return Row(device, start_ms, end_ms, None if nulls & _NO_POWER else power, None if nulls & _NO_ENERGY else energy)


@enforces("SEAL-4")
def milliwatts(watts: float) -> int:
    """A meter's floating-point watts as the integer that a row carries.

    [SEAL-4] A reading in floating point MUST be rounded to integer milliwatts from its exact binary value, half to
    even.

    `round(watts * 1000)` was rejected: the product is itself rounded, and float32 and float64 would disagree.
    """
    if not math.isfinite(watts):
        raise Malformed(f"power: expected a finite number of watts, found {watts!r}")
    numerator, denominator = watts.as_integer_ratio()
    return _half_even(1000 * numerator, denominator)


@enforces("SEAL-7")
def rows_from_readings(
    device: bytes, readings: Iterable[tuple[int, int]], start_ms: int, end_ms: int, *, max_gap_ms: int
) -> list[Row]:
    """Rows that tile [start_ms, end_ms) without a hole, one per reading and one for the rest up to end_ms.

    readings: (time_ms, power_mw) in any order; those nearest outside the window serve to interpolate at its edges,
    so hand them in. max_gap_ms: the longest distance of two readings that is integrated. Malformed: a bad reading.

    [SEAL-7] A collector MUST NOT integrate before the first reading, after the last, or between two that are further
    apart than the agreed maximum gap; the row there has null energy.

    Holding the nearest reading flat to an edge was rejected: it is a guess, and zero would be another.
    """
    if not 0 <= start_ms < end_ms <= MAX_U64 or max_gap_ms < 0:
        raise UsageFault(f"window: expected 0 <= start < end, gap >= 0, found {start_ms}, {end_ms}, {max_gap_ms}")
    at = _clean(readings)
    rows, carry = [], 0
    for (t0, p0), (t1, p1) in pairwise(_knots(list(at.items()), start_ms, end_ms)):
        start, end, energy = max(t0, start_ms), min(t1, end_ms), None
        if p0 is not None and p1 is not None and t1 - t0 <= max_gap_ms:
            first, last = (_power((t0, p0), (t1, p1), time_ms) for time_ms in (start, end))
            energy, carry = _trapezoid(first, last, end - start, carry)
        rows.append(Row(device, start, end, at.get(end), energy))
    return rows


@enforces("SEAL-5")
def _clean(readings: Iterable[tuple[int, int]]) -> dict[int, int]:
    """Time → power, rising in time; a reading that was recorded twice counts once.

    [SEAL-5] A collector MUST refuse a reading that is not a positive power, and two readings of one device at one
    moment that differ.
    """
    at: dict[int, int] = {}
    for time_ms, power_mw in readings:
        check_u64("time_ms", time_ms)
        check_u64("power_mw", power_mw)
        if power_mw == 0:
            raise Malformed("power_mw: expected more than zero, found 0", where=f"reading at {time_ms} ms")
        if at.setdefault(time_ms, power_mw) != power_mw:
            found = f"found {at[time_ms]} and {power_mw}"
            raise Malformed(f"power_mw: expected one power at one moment, {found}", where=f"reading at {time_ms} ms")
    return dict(sorted(at.items()))


def _knots(known: list[tuple[int, int]], start_ms: int, end_ms: int) -> list[tuple[int, int | None]]:
    """The readings from the last at or before start_ms to the first at or after end_ms.

    Where there is none at or beyond an edge, the edge itself stands there, with no power.
    """
    first = bisect_right(known, start_ms, key=lambda reading: reading[0]) - 1
    last = bisect_left(known, end_ms, key=lambda reading: reading[0])
    knots: list[tuple[int, int | None]] = list(known[max(first, 0) : last + 1])
    if first < 0:
        knots.insert(0, (start_ms, None))
    if last == len(known):
        knots.append((end_ms, None))
    return knots


@enforces("SEAL-8")
def _trapezoid(first_mw: int, last_mw: int, duration_ms: int, carry: int) -> tuple[int, int]:
    """Energy in mJ, and the new remainder in 1/2000 mJ.

    [SEAL-8] Energy MUST be the trapezoid of the power at both ends, rounded half to even once per row after adding
    the remainder that the rounding of the rows before it left.
    """
    area = (first_mw + last_mw) * duration_ms + carry
    energy = _half_even(area, _UJ2_PER_MJ)
    return energy, area - energy * _UJ2_PER_MJ


@enforces("SEAL-6")
def _power(before: tuple[int, int], after: tuple[int, int], time_ms: int) -> int:
    """Power in mW at a moment from one reading to the next.

    [SEAL-6] Power at an edge of the window that lies between two readings MUST be interpolated linearly between the
    nearest on both sides of it and rounded half to even.
    """
    (t0, p0), (t1, p1) = before, after
    return _half_even(p0 * (t1 - time_ms) + p1 * (time_ms - t0), t1 - t0)


def _half_even(numerator: int, denominator: int) -> int:
    """Divide, and round to the nearest integer, a tie to the even one; denominator > 0."""
    quotient, rest = divmod(numerator, denominator)
    return quotient + (2 * rest > denominator or (2 * rest == denominator and quotient % 2 == 1))
