# SPDX-License-Identifier: Apache-2.0
"""Attempts to fool one rule that once went through, and false accusations that once were made."""

from __future__ import annotations

from typing import Any

import pytest

from pausectl.agreement.types import instant
from pausectl.predicates.accession import Accession
from pausectl.predicates.close import Close
from pausectl.predicates.correction import Correction
from pausectl.predicates.energy import Energy
from pausectl.predicates.inventory import Inventory
from pausectl.predicates.run import Run
from pausectl.predicates.usage import Usage
from pausectl.sim.cheats import PausedTrainer
from pausectl.sim.ledger import MemorySource
from pausectl.sim.terms import ratio
from pausectl.sim.world import BUSY, DAY, HOUR, QUIET, SKU, HonestOperator, Lab, World, digest
from pausectl.verify.audit import verify
from pausectl.verify.judge import Verdict
from pausectl.verify.resume import Resumption
from pausectl.verify.rules.base import Outcome

CHEAT = "borealis"
C, I, U = Verdict.CONSISTENT, Verdict.INCONSISTENT, Verdict.INCONCLUSIVE  # noqa: E741


def report_on(lab: type[Lab], **world: Any):
    return World(labs={CHEAT: lab(CHEAT)}, **world).run().verify()


def found(report, outcome: str, lab: str | None = CHEAT) -> set[str]:
    return {f.rule for f in report.judgement.findings if f.outcome == outcome and f.lab == lab}


def work(category: str, seconds: int, sku: str = SKU, precision: str | None = "bf16") -> dict[str, Any]:
    return {
        "accelerator_seconds": seconds, "category": category, "energy_wh": None, "precision": precision, "sku": sku,
        "tokens_count": None,
    }  # fmt: skip


# ── what crashed a rule, and took a VIOLATED with it (VER-4) ──


@pytest.mark.parametrize(
    "line", [work("eval", 0, "unheard-of"), work("idle", 0, "unheard-of", None), work("eval", 0, SKU, "fp4")]
)
def test_a_line_of_no_time_about_an_unknown_chip(line):
    class Lister(PausedTrainer):
        def usage(self, world, facility, window):
            body = super().usage(world, facility, window)
            return {**body, "work": [*body["work"], line]}

    report = report_on(Lister)
    assert report.verdicts[CHEAT] is I
    assert not report.judgement.broken


@pytest.mark.parametrize("pue", [(0, 1), (1, 2), (2**53 - 1, 1), (1, 2**53 - 1)])
def test_a_pue_that_is_none(pue):
    class Odd(World):
        def say(self, party, kind, body, window=None, sequence=None):
            if kind is Energy and body["lab"] == CHEAT:
                body = {**body, "pue": ratio(*pue)}
            return super().say(party, kind, body, window, sequence)

    report = Odd(labs={CHEAT: PausedTrainer(CHEAT)}).run().verify()
    assert report.verdicts[CHEAT] is I
    assert not report.judgement.broken


EXTREMES = [0, 1, 2**53 - 1]


@pytest.mark.parametrize("energy", EXTREMES)
@pytest.mark.parametrize("seconds", EXTREMES)
def test_no_number_crashes_a_rule(energy, seconds):
    """The ends of every range that a lab and its meter can file."""

    class Extreme(PausedTrainer):
        def usage(self, world, facility, window):
            body = super().usage(world, facility, window)
            lease = {"accelerator_seconds": seconds, "lender": "cloudco", "sku": SKU}
            booking = {"accelerator_seconds": seconds, "precision": "fp4", "run_id": "x", "sku": "unheard-of"}
            lines = [
                work("eval", seconds),
                work("sealed", seconds, "b200-sxm", None),
                work("pretrain", seconds, SKU, None),
            ]
            return {
                **body,
                "work": [*body["work"], *lines],
                "leases_in": [lease],
                "bookings": [*body["bookings"], booking],
            }

        def inventory(self, world, facility, window):
            body = super().inventory(world, facility, window)
            move = {
                "at": instant(world.start(window)), "count": max(seconds, 1), "counterparty": None,
                "destination": "outside", "origin": "outside",
            }  # fmt: skip
            holding = dict.fromkeys(body["stock"][0]["ending"], seconds)
            return {
                **body,
                "stock": [{**body["stock"][0], "moves": [move], "ending": holding}, {**body["stock"][0], "sku": "z"}],
            }

        def during(self, world, window):
            if window == 2:
                body = world.run_body(f"{self.name}-r1", world.start(0))
                body |= {
                    "actual_accelerator_seconds": seconds, "actual_pflop": energy, "actual_uncertainty_pflop": seconds,
                    "end_at": instant(world.start(2)), "status": "closed",
                }  # fmt: skip
                world.say(self.name, Run, body)
                world.evaluate(
                    self.name, digest("x"), "-999999999999999999.9", "0", "999999999999999999.999999999999999999"
                )

    class Meter(World):
        def say(self, party, kind, body, window=None, sequence=None):
            if kind is Energy and body["lab"] == CHEAT:
                changed = dict.fromkeys(("energy_wh", "non_ai_energy_wh", "onsite_generation_energy_wh"), energy)
                body = {**body, **changed, "storage_change_energy_wh": -energy}
            return super().say(party, kind, body, window, sequence)

    world = Meter(labs={CHEAT: Extreme(CHEAT)}).run()
    report = world.verify()
    assert not report.judgement.broken
    assert report.verdicts[CHEAT] is I


# ── what went through ──


def test_inv_1_one_kind_of_chip_in_two_lines():
    """An inventory of 512 of which only the last line's 100 had to account for their hours."""

    class Splitter(Lab):
        def inventory(self, world, facility, window):
            body = super().inventory(world, facility, window)
            lines = []
            for installed, spare in ((412, 8), (100, 0)):
                holding = {**body["stock"][0]["ending"], "installed_count": installed, "spare_count": spare}
                lines.append({**body["stock"][0], "beginning": holding, "ending": holding})
            return {**body, "stock": lines}

        def usage(self, world, facility, window):
            body = super().usage(world, facility, window)
            for line in (*body["work"], *body["bookings"]):
                line["accelerator_seconds"] = line["accelerator_seconds"] * 100 // 512
            return body

    assert "INV-1" in found(report_on(Splitter), "VIOLATED")


def test_cpb_2_a_model_that_is_served_later():
    class Late(Lab):
        def during(self, world, window):
            if window in (1, 2):
                world.show_model(self.name, "quiet", run=f"{self.name}-r1", served=window == 2)

    assert found(report_on(Late), "UNPROVEN") == {"CPB-2"}


def test_cap_1_an_unknown_chip_in_a_filing_that_was_corrected():
    class Forgetter(Lab):
        def file_facility(self, world, facility, window):
            world.say(self.name, Inventory, self.inventory(world, facility, window), window)
            body = self.usage(world, facility, window)
            if window == 2:
                secret = {**body, "work": [*body["work"], work("pretrain", 10**12, "unheard-of")]}
                more = {**body, "work": [*body["work"], work("research_small", 1)]}
                explain(
                    world,
                    self.name,
                    window,
                    world.say(self.name, Usage, secret, window),
                    world.say(self.name, Usage, more, window),
                )
            else:
                world.say(self.name, Usage, body, window)

    report = report_on(Forgetter)
    assert {"CAP-1", "CAP-2"} <= found(report, "UNPROVEN")
    assert report.verdicts[CHEAT] is U


def explain(world: World, lab: str, window: int, first: str, second: str) -> None:
    world.correct(lab, window, first, second, reason="r")


def test_run_1_is_judged_after_going_on_from_a_saved_state():
    """It once compared objects, which are others after loading: a late registration was forgotten overnight."""
    seen, plain = [], World.until
    with pytest.MonkeyPatch.context() as patch:

        def until(self, moment):
            plain(self, moment)
            seen.append(self.memory.files())

        patch.setattr(World, "until", until)

        class BackDater(Lab):
            def during(self, world, window):
                if window == 1:
                    world.register_run(self.name, f"{self.name}-r2", start=world.now - 2 * DAY, planned=1_000)

        world = World(labs={CHEAT: BackDater(CHEAT)}).run()
    saved = None
    for files in seen:
        resumption = Resumption(saved)
        report = verify(MemorySource(files).fetch, world.agreement, resumption=resumption)
        saved = resumption.saved
    assert found(report, "VIOLATED") == {"RUN-1"}


def test_cov_2_an_accession_that_is_missing_is_everybodys_affair():
    """Who is bound may hang on it."""

    class Again(Lab):
        def begin(self, world):
            super().begin(world)
            world.accede(self.name)

    class Losing(HonestOperator):
        def append(self, world, raw, claim):
            if not (isinstance(claim, Accession) and claim.header.party == "cirrus" and claim.header.sequence == 0):
                super().append(world, raw, claim)

    report = World(labs={"cirrus": Again("cirrus")}, operator=Losing()).run().verify()
    assert set(report.verdicts.values()) == {U}
    assert found(report, "UNPROVEN", "aurora") == {"COV-2"}


def test_cor_1_a_correction_that_names_what_is_not_there():
    """The operator drops the second, true filing of the last window; the correction still speaks of it."""

    class Honest(Lab):
        def work(self, world, window):
            return BUSY if window == 3 else QUIET if world.paused(window) else BUSY

        def file_facility(self, world, facility, window):
            world.say(self.name, Inventory, self.inventory(world, facility, window), window)
            first = world.say(self.name, Usage, Lab(self.name).usage(world, facility, window), window)
            if window == 3:
                explain(
                    world,
                    self.name,
                    window,
                    first,
                    world.say(self.name, Usage, self.usage(world, facility, window), window),
                )

    class Censor(HonestOperator):
        def append(self, world, raw, claim):
            second = isinstance(claim, Usage) and claim.header.party == CHEAT and claim.header.sequence == 4
            if not second:
                super().append(world, raw, claim)

    labs = {CHEAT: Honest(CHEAT)}
    assert "CAP-2" in found(World(labs=labs).run().verify(), "VIOLATED")
    assert "COR-1" in found(World(labs=labs, operator=Censor()).run().verify(), "UNPROVEN")


@pytest.mark.parametrize("party", [CHEAT, "gridco", "avon"])
def test_cov_2_and_6_a_number_below_one_that_is_there(party):
    """Second filings of the third window are dropped; nobody's head speaks of them, but the next number does."""

    class Twice(World):
        def say(self, party_, kind, body, window=None, sequence=None):
            again = (party_, window) == (party, 2) and kind in (Usage, Energy, Close)
            if again:
                super().say(party_, kind, body, window, sequence)
            return super().say(party_, kind, body, window, sequence)

    def second(claim, header):
        """A facility's stream or the closes have one statement for each window before."""
        return isinstance(claim, (Usage, Energy, Close)) and header.party == party and header.sequence == 3

    world = Twice(operator=Leaving(second)).run()
    capped = {lab for lab, verdict in world.verify().verdicts.items() if verdict is U}
    assert capped == ({CHEAT} if party == CHEAT else set(world.roll.labs))
    assert found(world.verify(), "UNPROVEN") >= {"COV-2" if party == CHEAT else "COV-6"}


def test_cov_3_a_close_before_the_window_is_over_closes_nothing():
    """Overseers who close in advance count no order of that window, and one that is left out would not show."""

    class Hasty(World):
        def window(self, window):
            self.until(self.start(window) + HOUR)
            for party in self.roll.overseers:
                self.close(party, window)
            super().window(window)

        def close_all(self, window):
            for party in (self.roll.evaluator, self.roll.meter):
                self.close(party, window)

    def the_order(_claim, header):
        return header.stream == "orders"

    world = Hasty(windows=3, labs={CHEAT: PausedTrainer(CHEAT)}, operator=Leaving(the_order)).run()
    assert set(world.verify(as_of=world.start(2) + 4 * DAY).verdicts.values()) == {U}


# ── who was accused and had done nothing ──


class Leaving(HonestOperator):
    """An operator who leaves out what `drop` says."""

    def __init__(self, drop) -> None:
        self.drop = drop

    def append(self, world, raw, claim):
        if claim is None or not self.drop(claim, claim.header):
            super().append(world, raw, claim)


def honest_with(lab: type[Lab], drop) -> set[str]:
    """The rules that accuse an honest lab when the operator leaves something out."""
    honest = World(labs={CHEAT: lab(CHEAT)}).run().verify()
    assert honest.verdicts[CHEAT] is C
    report = World(labs={CHEAT: lab(CHEAT)}, operator=Leaving(drop)).run().verify()
    assert report.verdicts[CHEAT] is not C
    return found(report, "VIOLATED")


def test_mod_1_a_registration_that_nobody_has_counted_since():
    class Announcer(Lab):
        def during(self, world, window):
            if window == 2:
                world.register_run(self.name, "r9", start=world.now + 9 * DAY, planned=1_000)
            if window == 3:
                world.show_model(self.name, "small", run="r9", served=False)

    def registration_and_count(claim, header):
        late = header.party == CHEAT and header.window and header.window.start_at >= "2026-07-20"
        return (isinstance(claim, Run) and claim.run_id == "r9") or (isinstance(claim, Usage) and late)

    assert honest_with(Announcer, registration_and_count) == set()


class Corrector(Lab):
    """Mends a filing upwards, and says why."""

    def file_facility(self, world, facility, window):
        world.say(self.name, Inventory, self.inventory(world, facility, window), window)
        body = self.usage(world, facility, window)
        first = world.say(self.name, Usage, body, window)
        if window == 2:
            more = {**body, "work": [*body["work"], work("research_small", 1)]}
            explain(world, self.name, window, first, world.say(self.name, Usage, more, window))


def test_cor_1_a_correction_that_was_left_out():
    assert honest_with(Corrector, lambda claim, _header: isinstance(claim, Correction)) == set()


def test_cor_1_a_lab_that_has_since_counted_no_correction_made_none():
    class Mute(Corrector):
        def file_facility(self, world, facility, window):
            body = self.usage(world, facility, window)
            world.say(self.name, Inventory, self.inventory(world, facility, window), window)
            world.say(self.name, Usage, body, window)
            if window == 2:
                world.say(self.name, Usage, {**body, "work": [*body["work"], work("research_small", 1)]}, window)

    assert found(report_on(Mute, windows=4), "VIOLATED") == {"COR-1"}
    assert found(report_on(Mute, windows=3), "UNPROVEN") == {"COR-1"}, "it may just not be there yet"


def test_inv_2_chips_that_moved_in_an_inventory_that_was_left_out():
    class Buyer(Lab):
        def inventory(self, world, facility, window):
            body = super().inventory(world, facility, window)
            stock = body["stock"][0]
            spare = 16 if window > 1 else 8
            stock["beginning"] = {**stock["beginning"], "spare_count": spare}
            stock["ending"] = {**stock["ending"], "spare_count": 16 if window >= 1 else 8}
            if window == 1:
                stock["moves"] = [
                    {
                        "at": instant(world.start(1)),
                        "count": 8,
                        "counterparty": "chipco",
                        "destination": "spare",
                        "origin": "outside",
                    }
                ]
            return body

    def the_second(claim, header):
        return isinstance(claim, Inventory) and header.party == CHEAT and header.sequence == 1

    assert honest_with(Buyer, the_second) == set()


def test_win_2_a_log_that_was_slow_is_no_lab_that_was_late():
    class Slow(World):
        def until(self, moment):
            self.now = max(self.now, moment)
            if not self.start(3) < self.now < self.start(7):
                self.ledger.publish(self.now)

    report = Slow(windows=8).run().verify()
    assert set(report.verdicts.values()) == {U}
    assert {f.outcome for f in report.judgement.findings if f.rule == "WIN-2"} == {Outcome.UNPROVEN}


@pytest.mark.parametrize("share", [5, 40])
def test_eng_2_borrowed_time_draws_its_energy_at_the_lenders(share):
    class Borrower(Lab):
        def usage(self, world, facility, window):
            body = super().usage(world, facility, window)
            seconds = sum(line["accelerator_seconds"] for line in body["work"]) * share // 100
            lease = {"accelerator_seconds": seconds, "lender": "cloudco", "sku": SKU}
            return {**body, "leases_in": [lease], "work": [*body["work"], work("datagen", seconds)]}

    report = report_on(Borrower)
    assert found(report, "VIOLATED") == set()


def test_eng_1_a_battery_is_a_source_too():
    class Battery(World):
        def say(self, party, kind, body, window=None, sequence=None):
            if kind is Energy:
                body = {**body, "energy_wh": 0, "storage_change_energy_wh": -body["energy_wh"]}
            return super().say(party, kind, body, window, sequence)

    report = Battery().run().verify()
    assert found(report, "VIOLATED") == set()


@pytest.mark.parametrize("gone", ["avon", "probe", "gridco"])
def test_cov_3_a_close_that_is_missing_in_one_window_caps_everybody(gone):
    drop = Leaving(lambda claim, header: isinstance(claim, Close) and header.party == gone and header.sequence == 3)
    report = World(operator=drop).run().verify()
    assert set(report.verdicts.values()) == {U}
    assert set().union(*(found(report, "UNPROVEN", lab) for lab in report.verdicts)) == {"COV-3"}


# ── what was open ──


def test_tim_1_nobody_accounts_for_a_window_that_is_not_over():
    """What such a statement counts is the past: a head in it covers nothing new."""

    class Prophet(Lab):
        def begin(self, world):
            super().begin(world)
            for window in range(world.windows):
                super().file(world, window)

        def file(self, world, window):
            """Done."""

    assert found(report_on(Prophet), "VIOLATED") == {"TIM-1"}


def test_run_2_many_small_names_are_one_large_run():
    """Each stays below registration_pflop; the sum does not."""

    class Many(Lab):
        def bookings(self, world, window, training):  # noqa: ARG002
            return [
                {"accelerator_seconds": training // 60, "precision": "bf16", "run_id": f"x{i}", "sku": SKU}
                for i in range(60 if training else 0)
            ]

    assert "RUN-2" in found(report_on(Many, pause_at=None), "VIOLATED")


# ── what is open: nobody stops it, and it is somebody's decision ──


def test_open_a_placeholder_in_time_makes_a_late_filing_a_correction():
    """TIM-1 looks at the first filing. The truth may come three weeks later, if it is not less than the placeholder."""

    class Placeholder(Lab):
        def file_facility(self, world, facility, window):
            world.say(self.name, Inventory, self.inventory(world, facility, window), window)
            body = self.usage(world, facility, window)
            if window != 1:
                world.say(self.name, Usage, body, window)
                return
            idle = sum(line["accelerator_seconds"] for line in body["work"])
            self.first = world.say(
                self.name, Usage, {**body, "bookings": [], "work": [work("idle", idle, SKU, None)]}, window
            )

        def during(self, world, window):
            if window == 3:
                world.until(world.now + 2 * HOUR)
                body = self.usage(world, f"{CHEAT}-1", 1)
                explain(world, self.name, 1, self.first, world.say(self.name, Usage, body, 1))

    assert found(report_on(Placeholder), "VIOLATED") == set()


@pytest.mark.parametrize("bounds", [("0.40", "0.35"), ("0.20", "0.30"), ("0.90", "0.95")])
def test_cpb_1_bounds_that_do_not_hold_their_score(bounds):
    """An evaluator that cannot count accuses nobody and clears nobody."""

    class Shown(Lab):
        def during(self, world, window):
            if window == 2:
                model = world.show_model(self.name, "odd", run=f"{self.name}-r1")
                world.evaluate(self.name, model, "0.31", *bounds)

    report = report_on(Shown)
    assert "CPB-1" in found(report, "UNPROVEN")
    assert "CPB-1" not in found(report, "VIOLATED")
