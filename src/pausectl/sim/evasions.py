# SPDX-License-Identifier: Apache-2.0
"""Cheats. Each does one thing that a real party could sign, and names the rule that must catch it.

Where no rule can, `caught_by` is None: a declared blind spot, which a test holds open until somebody closes it and
specs/threat-model.md lists. A new one is one function and one `@evasion` line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pausectl.registry import register, registered
from pausectl.sim.cheats import (
    BackDater, BadInventory, BusyLab, Chameleon, CorrectingLab, Equivocator, Fabricator, FragmentRunner, GhostIdle,
    Headless, HoursThief, LateLab, MaverickLab, Moonlighter, PausedTrainer, Renamer, SecretModel, SilentLab, StrongModel,
    UnbookedTrainer, UnregisteredTrainer, VanishingChips, WildRun,
)  # fmt: skip
from pausectl.sim.operators import (
    BadMarker, Censor, Duplicator, Foreigner, Forger, Garbler, Impostor, LaterVersion, SilentOverseer, TwoFacedOverseer,
    UnheadedCloser, find,
)  # fmt: skip
from pausectl.sim.world import World

CHEAT = "borealis"


@dataclass(frozen=True)
class Evasion:
    """name. cheat: what is done. caught_by: spec id, or None. outcome: of that rule, or ERROR where it raises.

    build: makes the world, already run. judge: how the verifier looks, where that matters.
    """

    name: str
    cheat: str
    caught_by: str | None
    outcome: str
    build: Callable[[], World]
    look: dict[str, Any] = field(default_factory=dict)
    seen: Callable[[World], list[tuple[str, bytes]]] = lambda _world: []


def evasions() -> dict[str, Evasion]:
    """All evasions known, by name."""
    return registered("evasion")


def evasion(caught_by: str | None, outcome: str = "VIOLATED", **more: Any) -> Callable[[Callable[[], World]], Evasion]:  # noqa: ANN401
    """Register a function that builds the world of a cheat; its docstring says what the cheat is."""

    def enter(build: Callable[[], World]) -> Evasion:
        name = build.__name__.replace("_", "-")
        entry = Evasion(name, " ".join((build.__doc__ or "").split()), caught_by, outcome, build, **more)
        register("evasion", name, entry)
        return entry

    return enter


def _lab(behaviour: type, **world: Any) -> World:  # noqa: ANN401
    return World(labs={CHEAT: behaviour(CHEAT)}, **world).run()


@evasion("COV-1", "UNPROVEN")
def omit_a_window() -> World:
    """A lab does not file about a window in which it trained."""
    return _lab(SilentLab)


@evasion("TIM-1")
def file_late() -> World:
    """A lab files about the pause only after its deadline, when it knows what others said."""
    return _lab(LateLab)


@evasion("RUN-1")
def back_date() -> World:
    """A lab registers a run that is already running, with an earlier date in the statement."""
    return _lab(BackDater)


@evasion("CAP-2")
def train_through_the_pause() -> World:
    """A lab goes on training and says so, hoping that nobody adds up."""
    return _lab(PausedTrainer)


@evasion("CAP-1")
def compute_at_large() -> World:
    """A lab files an enormous amount of evaluation during the pause."""
    return _lab(BusyLab)


@evasion("CAP-3")
def split_a_run() -> World:
    """A lab cuts a run into two registered ones, each below the limit, with one parent model."""
    return _lab(FragmentRunner, windows=5)


@evasion("ENG-2")
def call_training_evaluation() -> World:
    """A lab trains during the pause and files the time as evaluation."""
    return _lab(Renamer)


@evasion(None)
def call_training_evaluation_at_equal_power() -> World:
    """A lab trains during the pause with its accelerators throttled to the power of evaluation, and files it as that."""
    return _lab(Chameleon)


@evasion("ENG-2")
def call_training_idle() -> World:
    """A lab trains during the pause and files the time as idle."""
    return _lab(GhostIdle)


@evasion("ENG-2")
def invent_inference() -> World:
    """A lab files inference that never ran, to have hours to hide behind later."""
    return _lab(Fabricator)


@evasion("ENG-1")
def compute_the_impossible() -> World:
    """A lab files more work than its metered energy could feed on any chip, borrowed time included."""
    return World(labs={CHEAT: BusyLab(CHEAT, times=60)}).run()


@evasion("HRS-1")
def lose_hours() -> World:
    """A lab files fewer hours than its accelerators had."""
    return _lab(HoursThief)


@evasion("INV-1")
def miscount_chips() -> World:
    """A lab's inventory does not add up."""
    return _lab(BadInventory)


@evasion("INV-2")
def lose_chips_between_windows() -> World:
    """Accelerators are gone from one inventory to the next."""
    return _lab(VanishingChips)


@evasion("INV-3")
def hide_a_site_from_the_books() -> World:
    """A lab trains at a site that it does not list; the meter there is somebody else's."""
    world = World()
    world.hidden_sites["borealis-2"] = (CHEAT, 256)
    return world.run()


@evasion(None)
def hide_a_site_from_everybody() -> World:
    """A lab trains at a site with its own power, which is in nobody's books."""
    return World().run()


@evasion("INV-4")
def file_for_a_site_of_ones_own() -> World:
    """A lab files usage for a facility that the agreement does not list."""
    return _lab(MaverickLab)


@evasion("RUN-2")
def book_to_an_unregistered_run() -> World:
    """A lab books its training to a run that it never registered."""
    return _lab(UnregisteredTrainer)


@evasion("RUN-3")
def book_to_no_run() -> World:
    """A lab files training and books it to nothing."""
    return _lab(UnbookedTrainer)


@evasion("RUN-4")
def close_a_run_that_cannot_be() -> World:
    """A lab closes a run with more operations than its accelerators can do."""
    return _lab(WildRun)


@evasion("MOD-1")
def release_a_model_from_nowhere() -> World:
    """A lab enters a new model during the pause, from no registered run."""
    return _lab(SecretModel)


@evasion("CPB-1")
def exceed_a_ceiling() -> World:
    """A lab's new model scores above the ceiling of the pause."""
    return _lab(StrongModel)


@evasion("CPB-2", "UNPROVEN")
def serve_unevaluated_weights() -> World:
    """A lab serves a model that no evaluator saw."""
    return _lab(Moonlighter)


@evasion("EQV-1")
def say_two_things() -> World:
    """A lab signs two usage statements with one number."""
    return _lab(Equivocator)


@evasion("EQV-1")
def give_two_orders() -> World:
    """The overseers sign two orders with one number."""
    return World(operator=TwoFacedOverseer()).run()


@evasion("COR-2", "UNPROVEN")
def correct_in_ones_own_favour() -> World:
    """A lab files that it trained through the pause, and corrects it to nothing when somebody asks."""
    return _lab(CorrectingLab)


@evasion("COR-1")
def correct_without_a_word() -> World:
    """A lab files a second time for a window, with no reason given."""
    return World(labs={CHEAT: CorrectingLab(CHEAT, explain=False)}).run()


@evasion("COV-4")
def leave_out_heads() -> World:
    """A lab's usage statements carry no head of its runs, so that a registration could vanish."""
    return _lab(Headless)


@evasion("WIN-1")
def choose_ones_own_window() -> World:
    """A lab files about five quiet days instead of the window."""
    return World(labs={CHEAT: LateLab(CHEAT, crooked=True)}).run()


@evasion("WIN-2")
def correct_for_ever() -> World:
    """A lab files about a window after it was closed to corrections."""
    return World(labs={CHEAT: LateLab(CHEAT, windows_late=5)}, windows=8).run()


@evasion("COV-2", "UNPROVEN")
def censor_a_registration() -> World:
    """The log's operator leaves out a lab's registration of a run."""
    return World(operator=Censor(CHEAT, "runs")).run()


@evasion("COV-6", "UNPROVEN")
def censor_the_order() -> World:
    """The log's operator leaves out the overseers' order, so that nobody is paused."""
    return World(labs={CHEAT: PausedTrainer(CHEAT)}, operator=Censor("overseers", "orders")).run()


@evasion("COV-3", "UNPROVEN")
def keep_an_overseer_quiet() -> World:
    """An overseer closes no window, so nobody knows what it would have said."""
    return World(operator=SilentOverseer("avon")).run()


@evasion("COV-5", "UNPROVEN")
def close_without_heads() -> World:
    """An evaluator closes its windows without saying how many results it has."""
    return World(operator=UnheadedCloser("probe")).run()


@evasion("LED-1")
def log_garbage() -> World:
    """A complicit operator logs an entry that two readers would read differently."""
    return World(operator=Garbler()).run()


@evasion("LED-2")
def forge_a_statement() -> World:
    """A complicit operator logs a statement in a lab's name, signed by somebody else."""
    return World(labs={CHEAT: PausedTrainer(CHEAT)}, operator=Forger(CHEAT)).run()


@evasion("LED-3")
def replay_from_elsewhere() -> World:
    """A complicit operator logs a lab's honest statement from another agreement."""
    return World(operator=Foreigner(CHEAT)).run()


@evasion("LED-4")
def repeat_a_statement() -> World:
    """A complicit operator logs a statement twice."""
    return World(operator=Duplicator()).run()


@evasion("LED-5")
def bend_time() -> World:
    """A complicit operator logs a mark without a witness quorum, to make a late filing look early."""
    return World(labs={CHEAT: LateLab(CHEAT)}, operator=BadMarker()).run()


@evasion("LED-6", "UNPROVEN")
def speak_in_tongues() -> World:
    """A lab signs a statement of a type that this release does not know."""
    return World(operator=LaterVersion(CHEAT)).run()


@evasion("LED-7", "UNPROVEN", look={"stale": True})
def show_an_old_copy() -> World:
    """A copy of the log from before the violation is shown long after it."""
    return World(windows=3).run()


@evasion("LED-2")
def impersonate_the_overseers() -> World:
    """One overseer alone signs an order to lift the pause."""
    return World(labs={CHEAT: PausedTrainer(CHEAT)}, operator=Impostor()).run()


@evasion("READ-5", "ERROR", seen=find)
def serve_two_histories() -> World:
    """The log shows one tree to the verifier and has signed another for the lab."""
    return World().run()
