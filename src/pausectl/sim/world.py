# SPDX-License-Identifier: Apache-2.0
"""A fake world in three lines: labs that work, meters that see it, overseers that pause, a ledger of what they say.

    world = World(windows=4, pause_at=2)
    world.run()
    print(world.verify().verdicts)

There is one physical truth, which is what the accelerators did. Labs file about it, honestly or not; meters read it and
never see a filing. Everybody signs with `terms.demo_key`. A cheat is a `Lab` or an `Operator` that does one thing
differently (`evasions`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Protocol

from pausectl.agreement.document import Agreement
from pausectl.agreement.terms import OVERSEERS
from pausectl.agreement.types import Span, instant
from pausectl.errors import Broken
from pausectl.history.reader import sight
from pausectl.predicates import base
from pausectl.predicates.accession import Accession
from pausectl.predicates.base import Header, Predicate
from pausectl.predicates.capability import Capability
from pausectl.predicates.close import Close
from pausectl.predicates.correction import Correction
from pausectl.predicates.energy import Energy
from pausectl.predicates.inventory import Inventory
from pausectl.predicates.model import Model
from pausectl.predicates.pause import Order
from pausectl.predicates.received import Received
from pausectl.predicates.run import Run
from pausectl.predicates.usage import Usage
from pausectl.sim import terms
from pausectl.sim.ledger import MemoryLedger, MemorySource, minimal
from pausectl.sim.terms import Roll
from pausectl.verify.audit import Report, verify
from pausectl.verify.rules.coverage import required_heads
from pausectl.wire import dsse
from pausectl.wire.keys import PrivateKey

HOUR, DAY = 3_600, 86_400
FLEET = 512
SKU = "h100-sxm"
PUE = (120, 100)

#: Share of a window's accelerator time by category, in percent; the rest is idle.
Shares = Mapping[str, int]
BUSY: Shares = {"pretrain": 60, "eval": 5, "inference_external": 25}
QUIET: Shares = {"eval": 5, "inference_external": 65}


class Operator(Protocol):
    """Who runs the log. An honest one appends what it gets."""

    def append(self, world: World, raw: bytes, claim: Predicate | None) -> None:
        """Take a submission."""

    def tick(self, world: World) -> None:
        """Called before each publication."""

    def cut(self, world: World) -> bytes:
        """The checkpoint with which the next log begins."""


class WorldLedger(Protocol):
    """Where the world's statements go."""

    def append(self, raw: bytes) -> int:
        """Take an entry; its index."""

    def publish(self, now: int) -> None:
        """Sign and have cosigned what was taken."""


OpenLedger = Callable[[Agreement, Mapping[str, PrivateKey], int], WorldLedger]


class HonestOperator:
    """Appends everything, in order."""

    def append(self, world: World, raw: bytes, claim: Predicate | None) -> None:  # noqa: ARG002
        """Take a submission."""
        world.ledger.append(raw)

    def tick(self, world: World) -> None:
        """Nothing to add."""

    def cut(self, world: World) -> bytes:
        """The newest."""
        return world.memory.head


class Lab:
    """An honest lab. Each method is one thing that a cheat may do differently."""

    def __init__(self, name: str) -> None:
        self.name = name

    def work(self, world: World, window: int) -> Shares:
        """What its accelerators do: the truth."""
        return QUIET if world.paused(window) else BUSY

    def files_work(self, world: World, window: int) -> Shares:
        """What it says they did."""
        return self.work(world, window)

    def hands_in(self, world: World, claim: Predicate) -> tuple[str, ...]:  # noqa: ARG002
        """The intake parties that get what it says."""
        return world.roll.intake

    def run_id(self, window: int) -> str:  # noqa: ARG002
        """The run that training time is booked to."""
        return f"{self.name}-r1"

    def bookings(self, world: World, window: int, training: int) -> list[dict[str, Any]]:  # noqa: ARG002
        """How training time is booked to runs."""
        if not training:
            return []
        return [{"accelerator_seconds": training, "precision": "bf16", "run_id": self.run_id(window), "sku": SKU}]

    def begin(self, world: World) -> None:
        """Before the first window: accede, register a run, and show the model that is served."""
        world.accede(self.name)
        world.register_run(self.name, f"{self.name}-r1", start=world.start(0))
        world.show_model(self.name, f"{self.name} base model")

    def during(self, world: World, window: int) -> None:
        """Anything to say while a window runs."""

    def file(self, world: World, window: int) -> None:
        """After a window: inventory and usage of each facility."""
        for facility in world.roll.labs[self.name]:
            self.file_facility(world, facility, window)

    def file_facility(self, world: World, facility: str, window: int) -> None:
        """One facility."""
        world.say(self.name, Inventory, self.inventory(world, facility, window), window)
        world.say(self.name, Usage, self.usage(world, facility, window), window)

    def inventory(self, world: World, facility: str, window: int) -> dict[str, Any]:  # noqa: ARG002
        """Members of an inventory statement."""
        holding = {"installed_count": FLEET, "retired_count": 0, "sealed_count": 0, "spare_count": 8}
        stock = {
            "beginning": holding,
            "ending": holding,
            "moves": [],
            "serials_root": digest(f"{facility} serials"),
            "sku": SKU,
        }
        return {"facility": facility, "location_class": "own", "seal_ids": [], "stock": [stock]}

    def usage(self, world: World, facility: str, window: int) -> dict[str, Any]:
        """Members of a usage statement."""
        hours = world.hours(self.files_work(world, window))
        training = sum(hours.get(category, 0) for category in base.TRAINING)
        return {
            "bookings": self.bookings(world, window, training),
            "facility": facility,
            "heads": world.heads(self.name, [(self.name, s) for s in world.lab_streams]),
            "leases_in": [],
            "telemetry": None,
            "work": [
                {
                    "accelerator_seconds": seconds,
                    "category": category,
                    "energy_wh": None,
                    "precision": None if category in base.IDLE else "bf16",
                    "sku": SKU,
                    "tokens_count": None,
                }
                for category, seconds in sorted(hours.items())
            ],
        }


def digest(text: str) -> str:
    """A digest that stands for something real."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass
class World:
    """windows: how many run. pause_at: the first paused one, or None. labs: behaviours that replace the honest ones.

    succeed_at: the window in which a successor takes the log's place, or None.
    """

    windows: int = 4
    pause_at: int | None = 2
    pause_windows: int = 13
    labs: Mapping[str, Lab] = field(default_factory=dict)
    operator: Operator = field(default_factory=HonestOperator)
    roll: Roll = field(default_factory=Roll)
    changes: Mapping[str, Any] = field(default_factory=dict)
    keys: dict[str, PrivateKey] = field(default_factory=dict)
    open_ledger: OpenLedger | None = None
    succeed_at: int | None = None
    lab_streams: tuple[str, ...] = ("accession", "corrections", "declarations", "models", "runs")

    def __post_init__(self) -> None:
        """Draw up and sign the agreement, and log it."""
        self.keys = {name: terms.demo_key(name) for name in terms.names(self.roll)} | dict(self.keys)
        self.agreement: Agreement = terms.agree(self.roll, self.keys, **self.changes)
        self.people: dict[str, Lab] = {lab: self.labs.get(lab, Lab(lab)) for lab in self.roll.labs}
        self.counts: dict[tuple[str, str], int] = {}
        self.said: list[tuple[int, bytes, Predicate | None]] = []
        self.now = self.start(0) - 14 * DAY
        opener: OpenLedger = self.open_ledger or (lambda agreement, keys, _now: MemoryLedger(agreement, keys))
        self.ledger: WorldLedger = opener(self.agreement, self.keys, self.now)
        self.origin = self.agreement.origin
        self.before: list[MemoryLedger] = []
        self.hidden_sites: dict[str, tuple[str, int]] = {}
        self.ledger.append(self.agreement.raw)

    # ── time ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def start(self, window: int) -> int:
        """POSIX seconds at which a window begins."""
        return self.agreement.start(window)

    def paused(self, window: int) -> bool:
        """Whether the overseers' pause covers a window, if their order is heard."""
        return self.pause_at is not None and self.pause_at <= window < self.pause_at + self.pause_windows

    def until(self, moment: int) -> None:
        """Let time pass, and the log publish."""
        self.now = max(self.now, moment)
        self.operator.tick(self)
        self.ledger.publish(self.now)

    def run(self) -> World:
        """The whole story, to the day after the last window's deadlines."""
        for lab in self.people.values():
            lab.begin(self)
        self.evaluate_all()
        self.until(self.now + HOUR)
        for window in range(self.windows):
            self.window(window)
        self.until(self.start(self.windows) + 4 * DAY)
        return self

    def window(self, window: int) -> None:
        """One window, and the filings about it."""
        if window == self.succeed_at:
            self.succeed()
        self.until(self.start(window) + DAY)
        if self.pause_at is not None and window == self.pause_at - 1:
            self.order("pause")
        for lab in self.people.values():
            lab.during(self, window)
        self.until(self.start(window) + 2 * DAY)
        self.until(self.start(window + 1) + 6 * HOUR)
        for lab in self.people.values():
            lab.file(self, window)
        self.read_meters(window)
        self.close_all(window)
        self.until(self.start(window + 1) + 12 * HOUR)

    def succeed(self) -> None:
        """The next log that the agreement names goes on from where this one ends."""
        old, (origin, *_) = self.memory, self.agreement.document.log.successors[len(self.before) :]
        cut = minimal(self.operator.cut(self), old.agreement)
        self.before.append(old)
        new = MemoryLedger(self.agreement.of_log(origin.origin), self.keys)
        self.ledger, self.origin = new, origin.origin
        new.append(self.agreement.raw)
        new.append(new.succession(cut, old.first + sight(cut, old.agreement).checkpoint.size))
        self.until(self.now)

    # ── saying things ──────────────────────────────────────────────────────────────────────────────────────────────

    def header(self, party: str, stream: str, window: int | None, sequence: int | None = None) -> Header:
        """The next header of a stream."""
        place = (party, stream)
        if sequence is None:
            sequence = self.counts.get(place, 0)
            self.counts[place] = sequence + 1
        span = None
        if window is not None:
            span = Span(end_at=instant(self.start(window + 1)), start_at=instant(self.start(window)))
        return Header(
            agreement=self.agreement.id,
            log=self.origin,
            party=party,
            sequence=sequence,
            stream=stream,
            window=span,
        )

    def claim(
        self, party: str, kind: type[Predicate], body: dict[str, Any], window: int | None, sequence: int | None = None
    ) -> Predicate:
        """A claim with its header filled in."""
        stream = f"{kind.stream}/{body['facility']}" if kind.per_facility else kind.stream
        return base.construct(kind, body, self.header(party, stream, window, sequence))

    def say(
        self,
        party: str,
        kind: type[Predicate],
        body: dict[str, Any],
        window: int | None = None,
        sequence: int | None = None,
    ) -> str:
        """Sign a claim and hand it to the log; its statement id."""
        claim = self.claim(party, kind, body, window, sequence)
        signers = (
            [self.keys[name] for name in self.agreement.bodies[party].members]
            if party == OVERSEERS
            else [self.keys[party]]
        )
        envelope = dsse.sign(base.write(claim), *signers)
        self.submit(envelope.raw, claim)
        return envelope.statement_id

    def submit(self, raw: bytes, claim: Predicate | None = None) -> None:
        """Hand bytes to the log's operator, and what a lab says to intake parties, which file a receipt afterwards."""
        self.said.append((self.now, raw, claim))
        self.operator.append(self, raw, claim)
        if claim is not None and claim.header.party in self.people:
            for intake in self.people[claim.header.party].hands_in(self, claim):
                self.say(intake, Received, self.receipt(raw, claim))

    def receipt(self, raw: bytes, claim: Predicate) -> dict[str, Any]:
        """Members of a receipt for what is handed in now."""
        of, handed = claim.header.model_dump(mode="json"), dsse.parse(raw).statement_id
        return {"of": of, "received_at": instant(self.now), "statement": handed}

    def heads(self, _speaker: str, streams: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
        """How far streams go at this moment."""
        return [
            {"count": self.counts.get((party, stream), 0), "party": party, "stream": stream}
            for party, stream in streams
        ]

    def accede(self, lab: str) -> None:
        """Join, if at least two do."""
        conditions = {
            "min_jurisdictions_count": 1,
            "min_parties_count": min(2, len(self.roll.labs)),
            "min_share": terms.ratio(0, 1),
            "required_parties": [],
        }
        self.say(lab, Accession, {"agreement_version": 1, "conditions": conditions, "frontier_h100e_count": FLEET})

    def register_run(
        self, lab: str, run_id: str, *, start: int, parents: Iterable[str] = (), planned: int = 400_000_000
    ) -> None:
        """Register a run."""
        self.say(lab, Run, self.run_body(run_id, start, parents, planned))

    def run_body(
        self, run_id: str, start: int, parents: Iterable[str] = (), planned: int = 400_000_000
    ) -> dict[str, Any]:
        """Members of a registration."""
        return {
            "accelerator_count": FLEET,
            "actual_accelerator_seconds": None,
            "actual_pflop": None,
            "actual_uncertainty_pflop": None,
            "code_commit": f"{run_id} code",
            "dataset_digests": [digest(f"{run_id} data")],
            "end_at": instant(start + 90 * DAY),
            "method": "hardware",
            "parent_models": list(parents),
            "planned_pflop": planned,
            "precision": "bf16",
            "run_id": run_id,
            "sku": SKU,
            "start_at": instant(start),
            "status": "registered",
        }

    def correct(
        self, lab: str, window: int, first: str, second: str, *, impact: str = "less compute", reason: str
    ) -> None:
        """A lab explains, now, why the statement `second` replaces `first`."""
        body = {
            "discovered_at": instant(self.now), "impact": impact, "reason": reason,
            "replacement": second, "supersedes": first,
        }  # fmt: skip
        self.say(lab, Correction, body, window)

    def show_model(self, lab: str, name: str, *, run: str | None = None, served: bool = True) -> str:
        """Enter a model into the registry; its digest."""
        body = {
            "created_at": instant(self.now - DAY),
            "custody_log": None,
            "parents": [],
            "precision_variants": ["bf16"],
            "served_since_at": instant(self.now) if served else None,
            "training_run": run,
            "weights_root": digest(name),
        }
        self.say(lab, Model, body)
        return digest(name)

    def evaluate(self, lab: str, model: str, score: str = "0.31", low: str = "0.27", high: str = "0.35") -> None:
        """The evaluator publishes a result."""
        body = {
            "ci_high": high,
            "ci_low": low,
            "elicitation_budget_pflop": 1_000,
            "eval_id": "autonomy-suite",
            "eval_version": "2",
            "lab": lab,
            "log_digest": digest(f"{model} log"),
            "model": model,
            "sample_count": 500,
            "scaffold_digest": digest("scaffold"),
            "score": score,
            "validity_ceiling": "0.90",
        }
        self.say(self.roll.evaluator, Capability, body)

    def evaluate_all(self) -> None:
        """A result for every lab's first model."""
        for lab in self.roll.labs:
            self.evaluate(lab, digest(f"{lab} base model"))

    def order(self, action: str) -> None:
        """The overseers act."""
        body = {"action": action, "reason": "simulated", "term_windows": self.pause_windows}
        self.say(OVERSEERS, Order, body)

    # ── physics, and those who see it ──────────────────────────────────────────────────────────────────────────────

    def hours(self, shares: Shares, fleet: int = FLEET) -> dict[str, int]:
        """accelerator_seconds by category; what is left is idle."""
        total = fleet * self.agreement.document.windows.length_seconds
        hours = {category: total * percent // 100 for category, percent in shares.items()}
        return {**hours, "idle": hours.get("idle", 0) + total - sum(hours.values())}

    def energy_wh(self, hours: Mapping[str, int]) -> int:
        """What a site's meter reads: the truth, with a spread of half a percent that depends on the truth alone."""
        document = self.agreement.document
        watts = self.agreement.hardware[SKU].rated_watts
        joules = sum((s * watts * document.power.fractions[c].value for c, s in hours.items()), Fraction(0))
        exact = joules * document.power.it_factor.value * Fraction(*PUE) / 3600
        spread = int.from_bytes(hashlib.sha256(repr((self.now, sorted(hours.items()))).encode()).digest()[:2], "big")
        return int(exact * (1 + Fraction(spread - 32_768, 32_768 * 200)))

    def read_meters(self, window: int) -> None:
        """Every meter reading of a window, sites that no lab named included."""
        for lab, facilities in self.roll.labs.items():
            for facility in facilities:
                self.read_meter(lab, facility, window, self.hours(self.people[lab].work(self, window)))
        for facility, (lab, fleet) in self.hidden_sites.items():
            self.read_meter(lab, facility, window, self.hours(BUSY, fleet))

    def read_meter(self, lab: str, facility: str, window: int, hours: Mapping[str, int]) -> None:
        """One reading."""
        body = {
            "energy_wh": self.energy_wh(hours),
            "facility": facility,
            "interval_end_at": instant(self.start(window + 1)),
            "interval_start_at": instant(self.start(window)),
            "lab": lab,
            "meter_class": "0.2",
            "meter_id": f"{facility}-main",
            "non_ai_energy_wh": 0,
            "onsite_generation_energy_wh": 0,
            "pue": terms.ratio(*PUE),
            "storage_change_energy_wh": 0,
        }
        self.say(self.roll.meter, Energy, body, window)

    def close_all(self, window: int) -> None:
        """Everybody who can act against a lab closes the window."""
        for party in (*self.roll.overseers, self.roll.evaluator, self.roll.meter, *self.roll.intake):
            self.close(party, window)

    def close(self, party: str, window: int) -> None:
        """One close, with the head of every stream of its party."""
        streams = required_heads(self.agreement, party)
        known = sorted(
            place for place in self.counts if place[0] == party and place[1] != "close" and place not in streams
        )
        self.say(party, Close, {"heads": self.heads(party, [*streams, *known])}, window)

    # ── reading ────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def memory(self) -> MemoryLedger:
        """The ledger, where it is one in memory; Broken if the world writes somewhere else."""
        if not isinstance(self.ledger, MemoryLedger):
            raise Broken("this world's ledger is not in memory")
        return self.ledger

    def source(self) -> MemorySource:
        """What the log serves."""
        return MemorySource(self.memory.files())

    def verify(
        self, *, as_of: int | None = None, seen: Iterable[tuple[str, bytes]] = (), alone: bool = False
    ) -> Report:
        """Judge it. alone: by the newest log only."""
        before = [] if alone else [MemorySource(old.files()).fetch for old in self.before]
        return verify(self.source().fetch, self.agreement, before=before, as_of=as_of, seen=tuple(seen))
