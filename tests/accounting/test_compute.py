# SPDX-License-Identifier: Apache-2.0
"""Operations from time: the known answers of the domain reference, and exactness where floats would give up."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pausectl.accounting import compute

WEEK_OF_A_THOUSAND = 604_800_000  # accelerator_seconds
H100_BF16, H100_FP8 = 989_400, 1_979_000  # gflop_per_second

counts = st.integers(min_value=0, max_value=2**53 - 1)
ratios = st.fractions(min_value=0, max_value=2, max_denominator=10_000)


def test_ka_31_a_thousand_h100_for_a_week():
    assert compute.pflop(WEEK_OF_A_THOUSAND * H100_FP8, Fraction(40, 100)) == 478_759_680


def test_ka_34_an_honest_fp8_run_looks_impossible_only_under_the_wrong_peak():
    operations = round(6 * 175e9 * 1_207_959_552 / 1e15)
    time = 512 * 3_412
    assert float(compute.utilisation(operations, time * H100_BF16)) == pytest.approx(0.7338, rel=1e-3)
    assert float(compute.utilisation(operations, time * H100_FP8)) == pytest.approx(0.3669, rel=1e-3)


def test_ka_44_tolerance_of_the_hours():
    assert compute.hours_tolerance(604_800_000, Fraction(5, 1000)) == 3_024_000
    assert compute.hours_tolerance(100_000, Fraction(5, 1000)) == 3_600


@given(counts, st.integers(min_value=1, max_value=10**7), ratios)
def test_products_beyond_two_to_the_53_are_exact(seconds, peak, utilisation):
    """numpy's objects are Python's integers: the same sum, written the other way."""
    exact = np.array([seconds], dtype=object).dot(np.array([peak], dtype=object)) * utilisation.numerator
    assert compute.pflop(seconds * peak, utilisation) * utilisation.denominator * 1_000_000 == exact


@given(st.integers(min_value=-(2**60), max_value=2**60), st.integers(min_value=1, max_value=10**6))
def test_a_bound_is_rounded_up_and_by_less_than_one(numerator, denominator):
    value = Fraction(numerator, denominator)
    assert value <= compute.ceil(value) < value + 1


@given(st.integers(min_value=0, max_value=10**12), st.integers(min_value=1, max_value=10**15))
def test_utilisation_is_the_inverse_of_operations(operations, gflop):
    assert compute.pflop(gflop, compute.utilisation(operations, gflop)) == operations


def test_no_time_at_all_has_no_utilisation():
    with pytest.raises(ZeroDivisionError):
        compute.utilisation(1, 0)


@given(counts, counts, counts)
def test_hours_balance_when_everything_is_booked(available, leased, idle):
    assert compute.hours_residual(available, leased, available + leased) == 0
    assert compute.hours_residual(available, leased, available + leased + idle) == -idle
