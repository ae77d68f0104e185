# SPDX-License-Identifier: Apache-2.0
"""Cheats. Each does one thing that a real party could sign, and names the rule that must catch it.

Where no rule can, `caught_by` is None: a declared blind spot, which a test holds open until somebody closes it and
specs/threat-model.md lists. A new one is one function and one `@evasion` line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pausectl.registry import register, registered
from pausectl.sim.cheats import (
    BackDater,
    BadInventory,
    BusyLab,
    Chameleon,
    CorrectingLab,
    EarlyBird,
    Equivocator,
    Fabricator,
    FragmentRunner,
    GhostIdle,
    Headless,
    HoursThief,
    LateLab,
    Launderer,
    Lender,
    MaverickLab,
    Moonlighter,
    OverBooker,
    PausedTrainer,
    RecountingLab,
    Renamer,
    Returner,
    SecretModel,
    SilentLab,
    SparingLab,
    StrongModel,
    SwitchedOff,
    UnbookedTrainer,
    UnregisteredTrainer,
    VanishingChips,
    WildRun,
)
from pausectl.sim.operators import (
    BadMarker,
    Censor,
    DenyingIntake,
    Duplicator,
    FalseReceipt,
    Foreigner,
    Forger,
    ForgetfulSuccessor,
    Garbler,
    Impostor,
    LaterVersion,
    ObligingIntake,
    SilentOverseer,
    TwoFacedOverseer,
    UnheadedCloser,
    Usurper,
    Withholder,
    find,
)
from pausectl.sim.terms import Roll
from pausectl.sim.world import World

CHEAT = "borealis"

#: Members of World that a caller wants otherwise, so that a test vector can be smaller than a story.
Size = Mapping[str, Any]


@dataclass(frozen=True)
class Evasion:
    """name. cheat: what is done. caught_by: spec id, or None. outcome: of that rule, or ERROR where it raises.

    make: the world, already run. look: how the verifier looks, where that matters.
    """

    name: str
    cheat: str
    caught_by: str | None
    outcome: str
    make: Callable[[Size], World]
    look: dict[str, Any] = field(default_factory=dict)
    seen: Callable[[World], list[tuple[str, bytes]]] = lambda _world: []

    def build(self, **size: Any) -> World:  # noqa: ANN401
        """The world of the cheat, of a size of its own or of another: `build(windows=2, pause_at=1)`."""
        return self.make(size)


def evasions() -> dict[str, Evasion]:
    """All evasions known, by name."""
    return registered("evasion")


def evasion(
    caught_by: str | None,
    outcome: str = "VIOLATED",
    **more: Any,  # noqa: ANN401
) -> Callable[[Callable[[Size], World]], Evasion]:
    """Register a function that builds the world of a cheat; its docstring says what the cheat is."""

    def enter(make: Callable[[Size], World]) -> Evasion:
        name = make.__name__.replace("_", "-")
        entry = Evasion(name, " ".join((make.__doc__ or "").split()), caught_by, outcome, make, **more)
        register("evasion", name, entry)
        return entry

    return enter


def _world(size: Size, **world: Any) -> World:  # noqa: ANN401
    return World(**{**world, **size})


def _lab(size: Size, behaviour: type, **world: Any) -> World:  # noqa: ANN401
    return _world(size, labs={CHEAT: behaviour(CHEAT)}, **world).run()


def _with_intake(size: Size, **world: Any) -> World:  # noqa: ANN401
    """A world whose agreement names an intake party."""
    roll = replace(size.get("roll", Roll()), intake=("quay",))
    return _world({**size, "roll": roll}, **world).run()


@evasion("COV-1", "UNPROVEN")
def omit_a_window(size: Size) -> World:
    """A lab does not file about a window in which it trained."""
    return _lab(size, SilentLab)


@evasion("COV-1")
def omit_where_there_is_an_intake(size: Size) -> World:
    """A lab does not file about a window in which it trained, and says that the log did not take it."""
    return _with_intake(size, labs={CHEAT: SilentLab(CHEAT)})


@evasion("COV-1")
def sign_ones_own_receipt(size: Size) -> World:
    """A lab does not file, and signs a receipt for itself in the name of the intake party."""
    return _with_intake(size, labs={CHEAT: SilentLab(CHEAT)}, operator=FalseReceipt(CHEAT))


@evasion("REC-1")
def keep_out_what_was_handed_in(size: Size) -> World:
    """The log's operator leaves out a lab's usage statements, for which an intake party gave receipts."""
    facility = size.get("roll", Roll()).labs[CHEAT][0]
    return _with_intake(size, operator=Censor(CHEAT, f"usage/{facility}"))


@evasion("REC-2")
def date_a_receipt_back(size: Size) -> World:
    """A lab files late, and an intake party dates its receipt to before the deadline, and before its last receipts."""
    return _with_intake(size, labs={CHEAT: LateLab(CHEAT)}, operator=ObligingIntake())


@evasion(None)
def date_a_receipt_back_in_silence(size: Size) -> World:
    """A lab files late, and an intake party that gave no receipt since the deadline dates its receipt before it."""
    labs = {lab: SparingLab(lab) for lab in size.get("roll", Roll()).labs}
    return _with_intake(size, labs={**labs, CHEAT: LateLab(CHEAT)}, operator=ObligingIntake())


@evasion("REC-3")
def deny_a_receipt(size: Size) -> World:
    """An intake party gives receipts, and counts none of them at the end of the window."""
    return _with_intake(size, operator=DenyingIntake())


def _succeeded(size: Size, **world: Any) -> World:  # noqa: ANN401
    """A world in which a second log takes the place of the first when the pause begins."""
    roll = replace(size.get("roll", Roll()), successors=("archive",))
    return _world({**size, "roll": roll}, succeed_at=size.get("pause_at", 2), **world).run()


@evasion("SUC-3")
def forget_the_tail(size: Size) -> World:
    """A successor begins with an old checkpoint of the log before it, and leaves out what came after."""
    return _succeeded(size, labs={CHEAT: PausedTrainer(CHEAT)}, operator=ForgetfulSuccessor())


@evasion("SUC-4", "UNPROVEN", look={"alone": True})
def hide_the_log_before(size: Size) -> World:
    """Labs accede once more in a successor, which is then shown without the log in which the pause was ordered."""
    labs = {lab: Returner(lab) for lab in size.get("roll", Roll()).labs}
    return _succeeded(size, labs=labs, operator=Withholder())


@evasion("SUC-2", "ERROR")
def begin_with_another_tree(size: Size) -> World:
    """A successor begins with a cosigned checkpoint of another history than the log before it showed."""
    return _succeeded(size, operator=Usurper())


@evasion("TIM-1")
def file_late(size: Size) -> World:
    """A lab files about the pause only after its deadline, when it knows what others said."""
    return _lab(size, LateLab)


@evasion("RUN-1")
def back_date(size: Size) -> World:
    """A lab registers a run that is already running, with an earlier date in the statement."""
    return _lab(size, BackDater)


@evasion("CAP-2")
def train_through_the_pause(size: Size) -> World:
    """A lab goes on training and says so, hoping that nobody adds up."""
    return _lab(size, PausedTrainer)


@evasion("CAP-1")
def compute_at_large(size: Size) -> World:
    """A lab files an enormous amount of evaluation during the pause."""
    return _lab(size, BusyLab)


@evasion("CAP-3")
def split_a_run(size: Size) -> World:
    """A lab cuts a run into two registered ones, each below the limit, with one parent model."""
    return _lab(size, FragmentRunner, windows=5)


@evasion("CAP-3")
def launder_a_run_through_its_model(size: Size) -> World:
    """A lab goes on with the weights of its big run in a small one, as if they had come from nowhere."""
    return _lab(size, Launderer)


@evasion("ENG-2")
def call_training_evaluation(size: Size) -> World:
    """A lab trains during the pause and files the time as evaluation."""
    return _lab(size, Renamer)


@evasion(None)
def call_training_evaluation_at_equal_power(size: Size) -> World:
    """A lab trains during the pause with accelerators throttled to the power of evaluation, and files it as that."""
    return _lab(size, Chameleon)


@evasion("ENG-2")
def call_training_idle(size: Size) -> World:
    """A lab trains during the pause and files the time as idle."""
    return _lab(size, GhostIdle)


@evasion("ENG-2")
def invent_inference(size: Size) -> World:
    """A lab files inference that never ran, to have hours to hide behind later."""
    return _lab(size, Fabricator)


@evasion("ENG-1")
def compute_the_impossible(size: Size) -> World:
    """A lab files a week of work for accelerators that were switched off."""
    return _lab(size, SwitchedOff)


@evasion("RUN-2")
def book_to_a_run_of_next_year(size: Size) -> World:
    """A lab registers a run that begins next year, and books this week's training to it."""
    return _lab(size, EarlyBird)


@evasion("RUN-3")
def book_what_was_not_trained(size: Size) -> World:
    """A lab books its registered run twice over, so that other training needs no run."""
    return _lab(size, OverBooker)


@evasion("HRS-1")
def lose_hours(size: Size) -> World:
    """A lab files fewer hours than its accelerators had."""
    return _lab(size, HoursThief)


@evasion("INV-1")
def miscount_chips(size: Size) -> World:
    """A lab's inventory does not add up."""
    return _lab(size, BadInventory)


@evasion("INV-2")
def lose_chips_between_windows(size: Size) -> World:
    """Accelerators are gone from one inventory to the next."""
    return _lab(size, VanishingChips)


@evasion("INV-3")
def hide_a_site_from_the_books(size: Size) -> World:
    """A lab trains at a site that it does not list; the meter there is somebody else's."""
    world = _world(size)
    world.hidden_sites["borealis-2"] = (CHEAT, 256)
    return world.run()


@evasion(None)
def hide_a_site_from_everybody(size: Size) -> World:
    """A lab trains at a site with its own power, which is in nobody's books."""
    return _world(size).run()


@evasion("INV-4")
def file_for_a_site_of_ones_own(size: Size) -> World:
    """A lab files usage for a facility that the agreement does not list."""
    return _lab(size, MaverickLab)


@evasion("RUN-2")
def book_to_an_unregistered_run(size: Size) -> World:
    """A lab books its training to a run that it never registered."""
    return _lab(size, UnregisteredTrainer)


@evasion("RUN-3")
def book_to_no_run(size: Size) -> World:
    """A lab files training and books it to nothing."""
    return _lab(size, UnbookedTrainer)


@evasion("RUN-4")
def close_a_run_that_cannot_be(size: Size) -> World:
    """A lab closes a run with more operations than its accelerators can do."""
    return _lab(size, WildRun)


@evasion("MOD-1")
def release_a_model_from_nowhere(size: Size) -> World:
    """A lab enters a new model during the pause, from no registered run."""
    return _lab(size, SecretModel)


@evasion("CPB-1")
def exceed_a_ceiling(size: Size) -> World:
    """A lab's new model scores above the ceiling of the pause."""
    return _lab(size, StrongModel)


@evasion("CPB-2", "UNPROVEN")
def serve_unevaluated_weights(size: Size) -> World:
    """A lab serves a model that no evaluator saw."""
    return _lab(size, Moonlighter)


@evasion("EQV-1")
def say_two_things(size: Size) -> World:
    """A lab signs two usage statements with one number."""
    return _lab(size, Equivocator)


@evasion("EQV-1")
def give_two_orders(size: Size) -> World:
    """The overseers sign two orders with one number."""
    return _world(size, operator=TwoFacedOverseer()).run()


@evasion("COR-2", "UNPROVEN")
def correct_in_ones_own_favour(size: Size) -> World:
    """A lab files that it trained through the pause, and corrects it to nothing when somebody asks."""
    return _lab(size, CorrectingLab)


@evasion("COR-3")
def correct_the_inventory_when_noticed(size: Size) -> World:
    """A lab's inventory does not add up; when somebody notices, it files one that does."""
    return _lab(size, RecountingLab)


@evasion(None)
def attest_a_slower_format(size: Size) -> World:
    """A lab's accelerators compute in FP8 at twice the operations, and it attests BF16, at which caps count half."""
    return _world(size).run()


@evasion(None)
def lend_to_nobody(size: Size) -> World:
    """A lab trains at the power of lent accelerators and files the time as leased out, in no borrower's book."""
    return _lab(size, Lender)


@evasion("COR-1")
def correct_without_a_word(size: Size) -> World:
    """A lab files a second time for a window, with no reason given."""
    return _world(size, labs={CHEAT: CorrectingLab(CHEAT, explain=False)}).run()


@evasion("COV-4")
def leave_out_heads(size: Size) -> World:
    """A lab's usage statements carry no head of its runs, so that a registration could vanish."""
    return _lab(size, Headless)


@evasion("WIN-1")
def choose_ones_own_window(size: Size) -> World:
    """A lab files about five quiet days instead of the window."""
    return _world(size, labs={CHEAT: LateLab(CHEAT, crooked=True)}).run()


@evasion("WIN-2")
def correct_for_ever(size: Size) -> World:
    """A lab files about a window after it was closed to corrections."""
    return _world(size, labs={CHEAT: LateLab(CHEAT, windows_late=5)}, windows=8).run()


@evasion("COV-2", "UNPROVEN")
def censor_a_registration(size: Size) -> World:
    """The log's operator leaves out a lab's registration of a run."""
    return _world(size, operator=Censor(CHEAT, "runs")).run()


@evasion("COV-6", "UNPROVEN")
def censor_the_order(size: Size) -> World:
    """The log's operator leaves out the overseers' order, so that nobody is paused."""
    return _world(size, labs={CHEAT: PausedTrainer(CHEAT)}, operator=Censor("overseers", "orders")).run()


@evasion("COV-3", "UNPROVEN")
def keep_an_overseer_quiet(size: Size) -> World:
    """An overseer closes no window, so nobody knows what it would have said."""
    return _world(size, operator=SilentOverseer("avon")).run()


@evasion("COV-5", "UNPROVEN")
def close_without_heads(size: Size) -> World:
    """An evaluator closes its windows without saying how many results it has."""
    return _world(size, operator=UnheadedCloser("probe")).run()


@evasion("LED-1")
def log_garbage(size: Size) -> World:
    """A complicit operator logs an entry that two readers would read differently."""
    return _world(size, operator=Garbler()).run()


@evasion("LED-2")
def forge_a_statement(size: Size) -> World:
    """A complicit operator logs a statement in a lab's name, signed by somebody else."""
    return _world(size, labs={CHEAT: PausedTrainer(CHEAT)}, operator=Forger(CHEAT)).run()


@evasion("LED-3")
def replay_from_elsewhere(size: Size) -> World:
    """A complicit operator logs a lab's honest statement from another agreement."""
    return _world(size, operator=Foreigner(CHEAT)).run()


@evasion("LED-4")
def repeat_a_statement(size: Size) -> World:
    """A complicit operator logs a statement twice."""
    return _world(size, operator=Duplicator()).run()


@evasion("LED-5")
def bend_time(size: Size) -> World:
    """A complicit operator logs a mark without a witness quorum, to make a late filing look early."""
    return _world(size, labs={CHEAT: LateLab(CHEAT)}, operator=BadMarker()).run()


@evasion("LED-6", "UNPROVEN")
def speak_in_tongues(size: Size) -> World:
    """A lab signs a statement of a type that this release does not know."""
    return _world(size, operator=LaterVersion(CHEAT)).run()


@evasion("LED-7", "UNPROVEN", look={"stale": True})
def show_an_old_copy(size: Size) -> World:
    """A copy of the log from before the violation is shown long after it."""
    return _world(size, windows=3).run()


@evasion("LED-2")
def impersonate_the_overseers(size: Size) -> World:
    """One overseer alone signs an order to lift the pause."""
    return _world(size, labs={CHEAT: PausedTrainer(CHEAT)}, operator=Impostor()).run()


@evasion("READ-5", "ERROR", seen=find)
def serve_two_histories(size: Size) -> World:
    """The log shows one tree to the verifier and has signed another for the lab."""
    return _world(size).run()


@evasion("READ-11", "ERROR")
def sign_with_the_old_key_only(size: Size) -> World:
    """Somebody who has computed the Ed25519 keys of log and witnesses signs a history of their own with them."""
    roll = replace(size.get("roll", Roll()), post_quantum=True)
    world = _world({**size, "roll": roll}, labs={CHEAT: PausedTrainer(CHEAT)})
    world.memory.signatures = 1
    return world.run()
