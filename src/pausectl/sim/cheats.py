# SPDX-License-Identifier: Apache-2.0
"""Labs that do one thing differently. What they sign, a real lab could sign."""

from __future__ import annotations

from typing import Any

from pausectl.agreement.types import Span, instant
from pausectl.predicates import base
from pausectl.predicates.base import Predicate
from pausectl.predicates.inventory import Inventory
from pausectl.predicates.run import Run
from pausectl.predicates.usage import Usage
from pausectl.sim.world import BUSY, DAY, HOUR, QUIET, SKU, Lab, Shares, World, digest
from pausectl.wire import dsse


class PausedTrainer(Lab):
    """Trains through the pause and files what it did."""

    def work(self, world: World, window: int) -> Shares:  # noqa: ARG002
        """Business as usual."""
        return BUSY


class SilentLab(PausedTrainer):
    """Does not file about the first paused window, nor later."""

    def file(self, world: World, window: int) -> None:
        """Nothing during the pause."""
        if not world.paused(window):
            super().file(world, window)


class LateLab(Lab):
    """Files the first paused window `windows_late` windows too late, or about a window of its own choosing."""

    def __init__(self, name: str, *, windows_late: int = 1, crooked: bool = False) -> None:
        super().__init__(name)
        self._windows_late, self._crooked = windows_late, crooked

    def file(self, world: World, window: int) -> None:
        """Keep the first paused window back."""
        if window != world.pause_at:
            super().file(world, window)
        elif self._crooked:
            self._crook(world, window)

    def during(self, world: World, window: int) -> None:
        """File what is owed, when it suits: on the fourth day, after somebody else's entry gave the log a mark."""
        if not self._crooked and world.pause_at is not None and window == world.pause_at + self._windows_late:
            other = next(lab for lab in world.roll.labs if lab != self.name)
            world.until(world.start(window) + 3 * DAY)
            world.show_model(other, f"{other} small model", run=f"{other}-r1", served=False)
            world.until(world.start(window) + 3 * DAY + 2 * HOUR)
            super().file(world, world.pause_at)

    def _crook(self, world: World, window: int) -> None:
        facility = world.roll.labs[self.name][0]
        claim = world.claim(self.name, Usage, self.usage(world, facility, window), window)
        span = Span(end_at=instant(world.start(window + 1)), start_at=instant(world.start(window) + 2 * DAY))
        claim = claim.model_copy(update={"header": claim.header.model_copy(update={"window": span})})
        world.submit(dsse.sign(base.write(claim), world.keys[self.name]).raw, claim)


class SparingLab(Lab):
    """Honest, and hands in only what is due."""

    def hands_in(self, world: World, claim: Predicate) -> tuple[str, ...]:
        """Statements about a window."""
        return super().hands_in(world, claim) if claim.header.window is not None else ()


class Returner(PausedTrainer):
    """Trains through the pause, and accedes once more in every log, so that the newest looks complete by itself."""

    def during(self, world: World, window: int) -> None:
        """In the first window of a log."""
        if window == world.succeed_at:
            world.accede(self.name)


class BackDater(Lab):
    """Announces a run two days after it began."""

    def during(self, world: World, window: int) -> None:
        """In window 1."""
        if window == 1:
            world.register_run(self.name, f"{self.name}-r2", start=world.now - 2 * DAY, planned=1_000)


class BusyLab(Lab):
    """Computes more than the total limit, and borrows `times` its own fleet for it."""

    def __init__(self, name: str, *, times: int = 2) -> None:
        super().__init__(name)
        self._times = times

    def work(self, world: World, window: int) -> Shares:
        """Evaluation everywhere."""
        return {"eval": 95} if world.paused(window) else BUSY

    def usage(self, world: World, facility: str, window: int) -> dict[str, Any]:
        """Its own fleet and what it borrowed from a cloud."""
        body = super().usage(world, facility, window)
        if world.paused(window):
            borrowed = self._times * sum(work["accelerator_seconds"] for work in body["work"])
            body["leases_in"] = [{"accelerator_seconds": borrowed, "lender": "cloudco", "sku": SKU}]
            body["work"].append({**body["work"][0], "accelerator_seconds": borrowed, "category": "datagen"})
        return body


class FragmentRunner(Lab):
    """Two runs with one parent, a window each."""

    def begin(self, world: World) -> None:
        """Register both fragments."""
        super().begin(world)
        parent = digest(f"{self.name} base model")
        for part in (2, 3):
            world.register_run(
                self.name, f"{self.name}-r{part}", start=world.start(2), parents=[parent], planned=15_000_000
            )

    def work(self, world: World, window: int) -> Shares:
        """Just below the training limit in every paused window."""
        return {**QUIET, "pretrain": 10} if world.paused(window) else BUSY

    def run_id(self, window: int) -> str:
        """One fragment and then the other."""
        return f"{self.name}-r{1 if window < 2 else 2 if window % 2 == 0 else 3}"


class Launderer(FragmentRunner):
    """Enters the weights of its big run as a model, and goes on from them in a small one."""

    def begin(self, world: World) -> None:
        """The small run, from weights that do not exist yet."""
        Lab.begin(self, world)
        made = digest(f"{self.name} made by r1")
        world.register_run(self.name, f"{self.name}-r2", start=world.start(2), parents=[made], planned=15_000_000)

    def during(self, world: World, window: int) -> None:
        """The weights, just before the pause."""
        if window == 1:
            world.show_model(self.name, f"{self.name} made by r1", run=f"{self.name}-r1", served=False)

    def run_id(self, window: int) -> str:
        """The big one before the pause, the small one in it."""
        return f"{self.name}-r{1 if window < 2 else 2}"


class Renamer(PausedTrainer):
    """Files training as evaluation."""

    def files_work(self, world: World, window: int) -> Shares:
        """Another label."""
        return {"eval": 65, "inference_external": 25} if world.paused(window) else BUSY


class Chameleon(Lab):
    """As Renamer, throttled: for the meter it is evaluation."""

    def work(self, world: World, window: int) -> Shares:
        """What the meter sees: power of evaluation. That it is training, nothing in this world can see."""
        return {"eval": 65, "inference_external": 25} if world.paused(window) else BUSY


class Lender(Lab):
    """Says that others used its accelerators. Whoever did, the meter reads the power of lent ones."""

    def work(self, world: World, window: int) -> Shares:
        """What the meter sees; that the borrower is the lab itself, nothing in this world can see."""
        return {"inference_external": 25, "leased_out": 60} if world.paused(window) else BUSY


class GhostIdle(PausedTrainer):
    """Files training as idle."""

    def files_work(self, world: World, window: int) -> Shares:
        """Nothing happened."""
        return QUIET if world.paused(window) else BUSY


class Fabricator(Lab):
    """Files inference that did not run."""

    def work(self, world: World, window: int) -> Shares:
        """Nearly nothing."""
        return {"inference_external": 5} if world.paused(window) else BUSY

    def files_work(self, world: World, window: int) -> Shares:
        """A busy fleet."""
        return QUIET if world.paused(window) else BUSY


class SwitchedOff(Lab):
    """Has everything sealed and dark during the pause, and files a busy week."""

    def work(self, world: World, window: int) -> Shares:
        """Nothing at all."""
        return {"sealed": 100} if world.paused(window) else BUSY

    def files_work(self, world: World, window: int) -> Shares:
        """As if it ran."""
        return QUIET if world.paused(window) else BUSY


class EarlyBird(Lab):
    """Books to a run that is registered for next year."""

    def begin(self, world: World) -> None:
        """One more registration."""
        super().begin(world)
        world.register_run(self.name, f"{self.name}-next", start=world.start(0) + 365 * DAY)

    def run_id(self, window: int) -> str:  # noqa: ARG002
        """Next year's."""
        return f"{self.name}-next"


class OverBooker(Lab):
    """Books every hour of training twice."""

    def bookings(self, world: World, window: int, training: int) -> list[dict[str, Any]]:
        """Two bookings for one hour."""
        return 2 * super().bookings(world, window, training)


class HoursThief(Lab):
    """Leaves a tenth of its time out."""

    def usage(self, world: World, facility: str, window: int) -> dict[str, Any]:
        """Without idle time."""
        body = super().usage(world, facility, window)
        body["work"] = [work for work in body["work"] if work["category"] != "idle"]
        return body


class BadInventory(Lab):
    """Counts eight accelerators fewer than its moves say."""

    def inventory(self, world: World, facility: str, window: int) -> dict[str, Any]:
        """A move that arrives nowhere."""
        body = super().inventory(world, facility, window)
        if window == 1:
            move = {
                "at": instant(world.start(window)),
                "count": 8,
                "counterparty": "chipco",
                "destination": "spare",
                "origin": "outside",
            }
            body["stock"][0]["moves"] = [move]
        return body


class RecountingLab(BadInventory):
    """Corrects its inventory an hour later, with a reason."""

    def file_facility(self, world: World, facility: str, window: int) -> None:
        """The wrong one first."""
        first = world.say(self.name, Inventory, self.inventory(world, facility, window), window)
        world.say(self.name, Usage, self.usage(world, facility, window), window)
        if window == 1:
            world.until(world.now + HOUR)
            second = world.say(self.name, Inventory, Lab(self.name).inventory(world, facility, window), window)
            world.correct(self.name, window, first, second, impact="none", reason="a recount")


class VanishingChips(Lab):
    """Has eight spares fewer from window 2 on."""

    def inventory(self, world: World, facility: str, window: int) -> dict[str, Any]:
        """Beginning and ending agree with each other, not with the last window."""
        body = super().inventory(world, facility, window)
        if window >= 2:
            holding = {**body["stock"][0]["beginning"], "spare_count": 0}
            body["stock"][0] |= {"beginning": holding, "ending": holding}
        return body


class MaverickLab(Lab):
    """Also files for a facility that nobody agreed on."""

    def file(self, world: World, window: int) -> None:
        """One more."""
        super().file(world, window)
        world.say(self.name, Usage, {**self.usage(world, "borealis-9", window), "facility": "borealis-9"}, window)


class UnregisteredTrainer(Lab):
    """Books to a run of which nobody heard."""

    def run_id(self, window: int) -> str:  # noqa: ARG002
        """A new name."""
        return f"{self.name}-secret"


class UnbookedTrainer(Lab):
    """Books nothing."""

    def bookings(self, world: World, window: int, training: int) -> list[dict[str, Any]]:  # noqa: ARG002
        """Training of nothing in particular."""
        return []


class WildRun(Lab):
    """Closes its run with twice what the hardware can do."""

    def during(self, world: World, window: int) -> None:
        """When the pause begins."""
        if window == 2:
            seconds = 2 * world.hours(BUSY)["pretrain"]
            body = world.run_body(f"{self.name}-r1", world.start(0))
            body |= {
                "actual_accelerator_seconds": seconds, "actual_pflop": 2 * seconds * 989_500 // 1_000_000,
                "actual_uncertainty_pflop": 0, "end_at": instant(world.start(2)), "status": "closed",
            }  # fmt: skip
            world.say(self.name, Run, body)


class SecretModel(Lab):
    """Shows a new model during the pause."""

    def during(self, world: World, window: int) -> None:
        """Out of nowhere."""
        if window == 2:
            world.show_model(self.name, "from nowhere", served=False)


class StrongModel(Lab):
    """Shows a strong model during the pause."""

    def during(self, world: World, window: int) -> None:
        """From its registered run, and evaluated."""
        if window == 2:
            model = world.show_model(self.name, "strong", run=f"{self.name}-r1")
            world.evaluate(self.name, model, "0.66", "0.61", "0.71")


class Moonlighter(Lab):
    """Serves a model that was not evaluated."""

    def during(self, world: World, window: int) -> None:
        """From its registered run."""
        if window == 1:
            world.show_model(self.name, "unseen", run=f"{self.name}-r1")


class Equivocator(PausedTrainer):
    """Signs a second usage statement with the number of the first."""

    def file_facility(self, world: World, facility: str, window: int) -> None:
        """The truth for one, a quiet window for another."""
        super().file_facility(world, facility, window)
        if world.paused(window):
            honest = Lab(self.name).usage(world, facility, window)
            number = world.counts[self.name, f"usage/{facility}"] - 1
            world.say(self.name, Usage, honest, window, sequence=number)


class CorrectingLab(PausedTrainer):
    """Files the truth, and then something better."""

    def __init__(self, name: str, *, explain: bool = True) -> None:
        super().__init__(name)
        self._explain = explain

    def file_facility(self, world: World, facility: str, window: int) -> None:
        """Both versions, an hour apart."""
        world.say(self.name, Inventory, self.inventory(world, facility, window), window)
        first = world.say(self.name, Usage, self.usage(world, facility, window), window)
        if not world.paused(window):
            return
        world.until(world.now + HOUR)
        second = world.say(self.name, Usage, Lab(self.name).usage(world, facility, window), window)
        if self._explain:
            world.correct(self.name, window, first, second, reason="a clerical error")


class Headless(Lab):
    """Leaves the head of its runs out."""

    def usage(self, world: World, facility: str, window: int) -> dict[str, Any]:
        """One head fewer."""
        body = super().usage(world, facility, window)
        body["heads"] = [head for head in body["heads"] if head["stream"] != "runs"]
        return body
