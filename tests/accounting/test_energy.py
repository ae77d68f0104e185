# SPDX-License-Identifier: Apache-2.0
"""What a meter can say: the known answers of the domain reference, and numpy's dice as a second opinion."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pausectl.accounting import compute, energy
from pausectl.accounting.energy import Chain, Sigmas

WEEK_OF_A_THOUSAND = 604_800_000  # accelerator_seconds
CHAIN = Chain(pue=Fraction(125, 100), it_factor=Fraction(114, 100))
SIGMAS = Sigmas(meter=0.002, model=0.03, pue=0.02, hours=0.005)
LOAD = [
    (WEEK_OF_A_THOUSAND * 60 // 100, 1_275, Fraction(76, 100)),
    (WEEK_OF_A_THOUSAND * 30 // 100, 1_275, Fraction(45, 100)),
    (WEEK_OF_A_THOUSAND * 10 // 100, 1_275, Fraction(15, 100)),
]
E_HAT = 184_972_410


def test_ka_01_quantiles():
    assert energy.quantile(0.90) == pytest.approx(1.2816, rel=1e-4)
    assert energy.quantile(0.95) == pytest.approx(1.6449, rel=1e-4)


@pytest.mark.parametrize(
    ("case", "false_alarm", "limit", "detection", "sigmas"),
    [
        ("KA-02", 0.05, 1.6449, 0.90, 2.9264),
        ("KA-02", 0.05, 1.6449, 0.95, 3.2897),
        ("KA-03", 9.859e-4, 3.0944, 0.90, 4.3760),
        ("KA-04", 1.4052e-4, 3.6322, 0.90, 4.9137),
    ],
)
def test_detection_limits_in_sigmas(case, false_alarm, limit, detection, sigmas):
    assert energy.action_limit(false_alarm) == pytest.approx(limit, rel=1e-3), case
    assert energy.detectable_wh(1.0, false_alarm, detection) == pytest.approx(sigmas, rel=1e-3), case


def test_ka_05_detection_probability_by_dice():
    rng = np.random.default_rng(5)
    residuals = rng.standard_normal(400_000)
    for shift, limit, known in (
        (2, energy.action_limit(0.05), 0.6388),
        (3, energy.action_limit(0.05), 0.9123),
        (3, 3, 0.5),
    ):
        assert np.mean(residuals + shift > limit) == pytest.approx(known, abs=4e-3)


def test_ka_36_expected_energy():
    assert energy.expected_wh(LOAD, CHAIN) == E_HAT


def test_ka_37_residual_and_sigma():
    meter = 190_000_000
    sigma = energy.residual_sigma_wh(meter, E_HAT, SIGMAS)
    assert meter - E_HAT == 5_027_590
    assert sigma == pytest.approx(6_743_812, rel=1e-3)
    assert (meter - E_HAT) / sigma == pytest.approx(0.7455, rel=1e-3)


def test_ka_38_an_alarm_at_five_per_cent_and_none_at_three_sigma():
    meter = 200_000_000
    z = (meter - E_HAT) / energy.residual_sigma_wh(meter, E_HAT, SIGMAS)
    assert z == pytest.approx(2.228, rel=1e-3)
    assert energy.action_limit(0.05) < z < 3


def test_ka_39_ten_mwh_of_hidden_training():
    hidden = energy.hidden_accelerator_seconds(10_000_000, CHAIN, 1_275, Fraction(76, 100))
    assert hidden == pytest.approx(26_071_370, rel=1e-3)
    assert float(compute.pflop(round(hidden) * 1_979_000, Fraction(40, 100))) == pytest.approx(
        2.064e22 / 1e15, rel=1e-3
    )


@pytest.mark.parametrize(("peak", "tdp", "flop"), [(1_979_000, 700, 1.323e23), (14_000_000, 1_100, 5.956e23)])
def test_ka_43_the_bound_of_physics(peak, tdp, flop):
    bound = energy.bound_pflop(10_000_000, Fraction(peak, tdp), Fraction(130, 100))
    assert float(bound) == pytest.approx(flop / 1e15, rel=1e-3)


def test_sigma_is_what_independent_relative_errors_make():
    """The residual of a site that is filed truly, with errors drawn from the model."""
    rng = np.random.default_rng(11)
    draws = 200_000
    error = rng.standard_normal((3, draws)) * np.array([[SIGMAS.model], [SIGMAS.pue], [SIGMAS.hours]])
    truth = 190_000_000.0
    residuals = truth * (1 + SIGMAS.meter * rng.standard_normal(draws)) - E_HAT * (1 + error.sum(axis=0))
    assert float(np.std(residuals)) == pytest.approx(energy.residual_sigma_wh(truth, E_HAT, SIGMAS), rel=0.01)


@given(
    st.lists(
        st.tuples(
            st.integers(min_value=0, max_value=2**53 - 1),
            st.integers(min_value=1, max_value=10_000),
            st.fractions(min_value=0, max_value=1, max_denominator=1_000),
        ),
        max_size=20,
    )
)
def test_expected_energy_is_the_plain_sum(load):
    plain = sum((Fraction(s * w) * f for s, w, f in load), Fraction(0))
    assert energy.expected_wh(load, CHAIN) == plain * CHAIN.pue * CHAIN.it_factor / 3600
