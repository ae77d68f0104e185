# SPDX-License-Identifier: Apache-2.0
"""Operations from accelerator time: F = H · peak · U, exactly.

H in accelerator_seconds, peak in gflop_per_second (10^9 operations a second, dense, at the attested precision), U the
model FLOP utilisation, F in pflop (10^15 operations). Products exceed 2^53, so everything here is `int` or `Fraction`;
a bound is rounded once, at the end, towards the side it bounds (domain conventions; Epoch AI's estimation method).
"""

from __future__ import annotations

from fractions import Fraction

#: One pflop in units of 10^9 operations.
GFLOP_PER_PFLOP = 1_000_000


def pflop(gflop: int, utilisation: Fraction) -> Fraction:
    """Operations, in pflop, of `gflop` = Σ accelerator_seconds × gflop_per_second at a utilisation."""
    return Fraction(gflop, GFLOP_PER_PFLOP) * utilisation


def utilisation(operations_pflop: int, gflop: int) -> Fraction:
    """Implied utilisation: operations done over operations at peak. ZeroDivisionError for no time at all."""
    return Fraction(operations_pflop * GFLOP_PER_PFLOP, gflop)


def ceil(value: Fraction) -> int:
    """An upper bound as an integer."""
    return -(-value.numerator // value.denominator)


def hours_residual(available: int, leased_in: int, booked: int) -> int:
    """CUF_h = A + L_in − Σ H_c, in accelerator_seconds; lent time is one of the H_c."""
    return available + leased_in - booked


def hours_tolerance(available: int, relative: Fraction) -> Fraction:
    """max(relative · A, one accelerator-hour), in accelerator_seconds."""
    return max(relative * available, Fraction(3600))
