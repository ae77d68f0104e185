# SPDX-License-Identifier: Apache-2.0
"""Declared work against an independent meter: a bound of physics, and a test that says what it cannot see."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from pausectl.accounting import compute
from pausectl.accounting import energy as physics
from pausectl.agreement.document import Agreement
from pausectl.agreement.types import seconds
from pausectl.history.records import Case, Filed
from pausectl.predicates.energy import Energy
from pausectl.predicates.usage import Usage, Work
from pausectl.verify.quantities import ACTIVE, ALL, gflop, peak, without_peak
from pausectl.verify.rules.base import Outcome, Said, holds, rule, unproven, violated

_WHOLE = Fraction(1)  # the power of a category for which none is agreed


@dataclass(frozen=True, slots=True)
class Reading:
    """One facility: what the lab filed last, and what the meter read last."""

    facility: str
    usage: Filed[Usage]
    meter: Filed[Energy]

    @property
    def entries(self) -> tuple[int, int]:
        """The evidence."""
        return self.usage.index, self.meter.index


def _readings(case: Case) -> Iterator[Reading | Said]:
    for facility in case.facilities:
        usage, meter = case.book.usage.get(facility, []), case.book.energy.get(facility, [])
        if not usage or not meter:
            yield unproven(f"{facility}: needs a usage statement and a meter reading")
            continue
        claim = meter[-1].claim
        if (seconds(claim.interval_start_at), seconds(claim.interval_end_at)) != (case.start, case.end):
            yield unproven(
                f"{facility}: the meter read {claim.interval_start_at} to {claim.interval_end_at}", meter[-1].index
            )
            continue
        if claim.pue.value < 1:  # and 0 would divide
            yield unproven(f"{facility}: a PUE of {float(claim.pue.value):g} is none", meter[-1].index)
            continue
        unknown = without_peak(case.agreement, usage[-1], ALL)
        if unknown:
            yield unproven(f"{facility}: no power is agreed for {', '.join(sorted(unknown))}", usage[-1].index)
            continue
        yield Reading(facility, usage[-1], meter[-1])


@rule("ENG-1")
def work_is_physically_possible(case: Case) -> Iterator[Said]:
    """[ENG-1] The operations that a lab files for a facility MUST NOT exceed the energy supplied there (grid,
    generation and storage) times the best operations per joule of the chips named, in any format, times chip_headroom.

    Why: no statistics are needed to refuse what no chip can do; work that is filed and was not done hides work that
    was.

    Cannot see: anything within the bound, which is several times what a site really does.
    """
    for reading in _readings(case):
        if isinstance(reading, Said):
            yield reading
            continue
        document, work = case.agreement.document, reading.usage.claim.work
        here = max(0, gflop(case.agreement, work, ACTIVE) - _borrowed_gflop(case.agreement, reading.usage.claim))
        claimed = compute.ceil(compute.pflop(here, document.mfu.caps.value))
        efficiency = _test(case.agreement).gflop_per_joule
        best = max((efficiency[sku] for sku in _skus(case, work)), default=Fraction(0))
        meter = reading.meter.claim
        supplied = meter.energy_wh + meter.onsite_generation_energy_wh + max(0, -meter.storage_change_energy_wh)
        bound = physics.bound_pflop(supplied, best, document.power.chip_headroom.value)
        said = f"{reading.facility}: {claimed:,} pflop filed, at most {int(bound):,} possible with {supplied:,} Wh"
        yield violated(said, *reading.entries) if claimed > bound else holds(said, *reading.entries)


@rule("ENG-2")
def energy_balances(case: Case) -> Iterator[Said]:
    """[ENG-2] The difference between metered energy and the energy expected from filed work MUST stay within the action
    limit of the agreement's false-alarm probability, both ways, and the compute that this test could miss within
    goal_pflop.

    Why: energy is a witness that does not read labels. More energy than the work explains is work that was not filed;
    less is work that was filed and not done.

    Cannot see: work that displaces filed work of equal power, nor less than the detection limit it prints.
    """
    for reading in _readings(case):
        yield reading if isinstance(reading, Said) else _balance(case, reading)


@dataclass(frozen=True, slots=True)
class Test:
    """The agreement's numbers for both rules, made once. gflop_per_joule: by sku, in its best format."""

    fractions: dict[str, Fraction]
    gflop_per_joule: dict[str, Fraction]
    sigmas: physics.Sigmas
    false_alarm: float
    detection: float
    limit: float
    guard: float


@lru_cache(maxsize=8)
def _test(agreement: Agreement) -> Test:
    power = agreement.document.power
    sigmas = (power.sigma_meter, power.sigma_model, power.sigma_pue, power.sigma_hours)
    false_alarm = float(power.false_alarm.value)
    hardware = agreement.document.hardware
    return Test(
        {category: ratio.value for category, ratio in power.fractions.items()},
        {chip.sku: Fraction(peak(agreement, chip.sku, None), chip.tdp_watts) for chip in hardware},
        physics.Sigmas(*(float(sigma.value) for sigma in sigmas)),
        false_alarm,
        float(power.detection.value),
        physics.action_limit(false_alarm),
        float(agreement.document.statistics.guard.value),
    )


def meter_agrees(case: Case, facility: str) -> bool:
    """Whether the independent meter of a facility was read, and ENG-2 holds for the latest filing."""
    readings = (r for r in _readings(case) if isinstance(r, Reading) and r.facility == facility)
    return any(_balance(case, reading).outcome is Outcome.HOLDS for reading in readings)


def _balance(case: Case, reading: Reading) -> Said:
    test, goal = _test(case.agreement), case.agreement.document.statistics.goal_pflop
    meter = reading.meter.claim
    chain = physics.Chain(meter.pue.value, case.agreement.document.power.it_factor.value)
    usage = reading.usage.claim
    most = float(physics.expected_wh(_load(case.agreement, usage), chain))
    least = float(physics.expected_wh(_load_here(case.agreement, usage), chain)) if usage.leases_in else most
    measured = (
        meter.energy_wh + meter.onsite_generation_energy_wh - meter.storage_change_energy_wh - meter.non_ai_energy_wh
    )
    sigma = physics.residual_sigma_wh(meter.energy_wh, most, test.sigmas)
    residual, limit = max(measured - most, min(measured - least, 0.0)), test.limit
    z = residual / sigma if sigma else (0.0 if residual == 0 else float("inf") if residual > 0 else float("-inf"))
    missed = detectable_pflop(case, reading, sigma, most - least)
    windows = case.window - case.pause_since + 1 if case.pause_since is not None else 1
    said = (
        f"{reading.facility}: residual {residual:,.0f} Wh, z = {z:.2f} (limit ±{limit:.2f}, false alarm "
        f"{test.false_alarm:g} per window and side); a hidden run of {missed:,} pflop in this window, or "
        f"{missed * windows:,} over the pause so far, would be seen with probability {test.detection:g}"
    )
    if abs(abs(z) - limit) <= test.guard * limit:
        return unproven(f"{said}; too close to the limit to say", *reading.entries)
    if abs(z) > limit:
        way = "energy that no filed work explains" if z > 0 else "filed work that drew no energy"
        return violated(f"{said}: {way}", *reading.entries)
    if missed > goal:
        return unproven(f"{said}; the goal is {goal:,}", *reading.entries)
    return holds(said, *reading.entries)


def _skus(case: Case, work: Iterable[Work]) -> set[str]:
    """What is named there and agreed; `without_peak` let nothing else pass but lines of no time."""
    return {item.sku for item in work} & case.agreement.hardware.keys()


def _load(agreement: Agreement, usage: Usage) -> Iterator[tuple[int, int, Fraction]]:
    """(accelerator_seconds, rated_watts, power fraction) of all work that is filed."""
    for work in usage.work:
        if work.accelerator_seconds:
            yield work.accelerator_seconds, agreement.hardware[work.sku].rated_watts, _fraction(agreement, work)


def _load_here(agreement: Agreement, usage: Usage) -> Iterator[tuple[int, int, Fraction]]:
    """The same, if the borrowed time was what drew most: borrowed accelerators stand behind somebody else's meter."""
    elsewhere: dict[str, int] = {}
    for lease in usage.leases_in:
        elsewhere[lease.sku] = elsewhere.get(lease.sku, 0) + lease.accelerator_seconds
    for work in (
        sorted(usage.work, key=lambda each: _fraction(agreement, each), reverse=True) if elsewhere else usage.work
    ):
        taken = min(work.accelerator_seconds, elsewhere.get(work.sku, 0))
        if taken:
            elsewhere[work.sku] -= taken
        if work.accelerator_seconds > taken:
            watts = agreement.hardware[work.sku].rated_watts
            yield work.accelerator_seconds - taken, watts, _fraction(agreement, work)


def _fraction(agreement: Agreement, work: Work) -> Fraction:
    return _test(agreement).fractions.get(work.category, _WHOLE)


def _borrowed_gflop(agreement: Agreement, usage: Usage) -> int:
    """What borrowed time can have done at most."""
    return sum(lease.accelerator_seconds * peak(agreement, lease.sku, None) for lease in usage.leases_in)


def detectable_pflop(case: Case, reading: Reading, sigma_wh: float, unknown_wh: float = 0.0) -> int:
    """The detection limit in pflop, as if all missing energy had gone into training on the most efficient sku there.

    unknown_wh: what borrowed time may have drawn here or elsewhere. The systematic part of the error does not average
    out, so over n windows the limit is n times as large.
    """
    agreement, test = case.agreement, _test(case.agreement)
    power = agreement.document.power
    hidden_wh = physics.detectable_wh(sigma_wh, test.false_alarm, test.detection) + unknown_wh
    chain = physics.Chain(reading.meter.claim.pue.value, power.it_factor.value)
    training = power.fractions["pretrain"].value if "pretrain" in power.fractions else Fraction(1)
    caps = float(agreement.document.mfu.caps.value)
    skus = _skus(case, reading.usage.claim.work) or agreement.hardware.keys()
    return max(
        int(
            physics.hidden_accelerator_seconds(hidden_wh, chain, agreement.hardware[sku].rated_watts, training)
            * (peak(agreement, sku, None) * caps / compute.GFLOP_PER_PFLOP)
        )
        for sku in skus
    )
