# SPDX-License-Identifier: Apache-2.0
"""What a meter can say about declared work: expected energy, residual, detection limit and the hard bound.

    E_hat = PUE · s_IT · Σ H_c · P_ref · phi_c / 3600                       [Wh; H accelerator_seconds, P_ref W]
    R     = E_meter + E_onsite − dE_storage − E_nonAI − E_hat                                               [Wh]
    σ_R²  = (σ_meter · E_meter)² + (σ_model² + σ_PUE² + σ_hours²) · E_hat²
    MDC   = 3600 · (z_(1−α) + z_DP) · σ_R / (PUE · s_IT · phi_train · P_ref) · peak · MFU                 [FLOP]

The form is that of material accountancy (σ of material unaccounted for; N. Avenhaus, MAPIT). Energy sees only energy
that is *additional*: work that displaces declared work of equal power leaves no residual at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import sqrt
from statistics import NormalDist

_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Chain:
    """From accelerator to meter. pue: facility over IT. it_factor: IT over server."""

    pue: Fraction
    it_factor: Fraction


@dataclass(frozen=True, slots=True)
class Sigmas:
    """Relative standard deviations."""

    meter: float
    model: float
    pue: float
    hours: float


def expected_wh(load: Iterable[tuple[int, int, Fraction]], chain: Chain) -> Fraction:
    """E_hat. load: (accelerator_seconds, rated_watts, power fraction) for each category and sku."""
    parts: dict[int, int] = {}  # by denominator: exact, and quicker than adding fractions
    for seconds, watts, fraction in load:
        parts[fraction.denominator] = parts.get(fraction.denominator, 0) + seconds * watts * fraction.numerator
    watt_seconds = sum((Fraction(total, denominator) for denominator, total in parts.items()), Fraction(0))
    return chain.pue * chain.it_factor * watt_seconds / 3600


def residual_sigma_wh(meter_wh: float, expected: float, sigmas: Sigmas) -> float:
    """σ_R in Wh."""
    relative = sigmas.model**2 + sigmas.pue**2 + sigmas.hours**2
    return sqrt((sigmas.meter * meter_wh) ** 2 + relative * expected**2)


@lru_cache(maxsize=256)
def quantile(probability: float) -> float:
    """z_p of the standard normal distribution."""
    return _NORMAL.inv_cdf(probability)


def action_limit(false_alarm: float) -> float:
    """z_(1−α): the one-sided limit, in sigmas, of a test with this false-alarm probability."""
    return quantile(1 - false_alarm)


def detectable_wh(sigma_wh: float, false_alarm: float, detection: float) -> float:
    """Smallest additional energy found with probability `detection`."""
    return (action_limit(false_alarm) + quantile(detection)) * sigma_wh


def hidden_accelerator_seconds(energy_wh: float, chain: Chain, rated_watts: int, training_fraction: Fraction) -> float:
    """Accelerator time of training that this much energy could have fed."""
    return 3600 * energy_wh / float(chain.pue * chain.it_factor * training_fraction * rated_watts)


def bound_pflop(energy_wh: int, gflop_per_joule: Fraction, headroom: Fraction) -> Fraction:
    """F_max = E · eta_peak · g: no chip present turns this energy into more. All metered energy is given to chips."""
    return 3600 * energy_wh * gflop_per_joule * headroom / 1_000_000
