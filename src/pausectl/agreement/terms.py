# SPDX-License-Identifier: Apache-2.0
"""The terms of an agreement: every member of the document, and what makes it contradict itself.

    {"bodies":[{"id":"overseers","members":["avon","brent","cam"],"threshold":2},…],…,"version":1,…}

Models only; `document` signs and reads them, and specs/agreement.md explains each member with its unit and default.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Literal, Self

from pydantic import model_validator

from pausectl.agreement.types import (
    Count,
    Decimal,
    Digest,
    Id,
    Instant,
    Model,
    Name,
    Positive,
    Ratio,
    StreamName,
)
from pausectl.registry import enforces

Role = Literal["lab", "log", "witness", "mirror", "intake", "overseer", "evaluator", "meter"]
SIGNATORIES = "signatories"
OVERSEERS = "overseers"


class Key(Model):
    """A public key of a principal, base64."""

    public: Name
    suite: Name


class Principal(Model):
    """A party that can sign. Thresholds count these, never keys."""

    id: Id
    jurisdiction: Id
    keys: tuple[Key, ...]
    organisation: Name
    roles: tuple[Role, ...]


class Body(Model):
    """Principals that act together, k of n."""

    id: Id
    members: tuple[Id, ...]
    threshold: Positive


class Deadlines(Model):
    """Seconds. filing, closing, correction: after a window's end. notice: before the first window an order affects.

    registration_lead: before a run's start. staleness: how old the head may be at the time of judging.
    """

    clock_skew_seconds: Count
    closing_seconds: Positive
    correction_seconds: Positive
    filing_seconds: Positive
    notice_seconds: Count
    registration_lead_seconds: Count
    staleness_seconds: Positive


class Due(Model):
    """One line of what must be filed for every window: by whom, in which stream, once or for each facility."""

    per: Literal["party", "facility"]
    role: Literal["lab", "overseer", "evaluator", "meter", "intake"]
    stream: StreamName


class Facility(Model):
    """A site a lab answers for, and the independent meter that reads it."""

    id: Id
    jurisdiction: Id
    lab: Id
    meter: Id


class Accelerator(Model):
    """One kind of chip. peak_gflop_per_second: dense, by format; rated_watts: server power per chip at its rating."""

    peak_gflop_per_second: dict[Literal["bf16", "fp8", "int8", "fp4"], Positive]
    rated_watts: Positive
    sku: Id
    source: Name
    tdp_watts: Positive


class Ceiling(Model):
    """No model may score above `ceiling` on this evaluation."""

    ceiling: Decimal
    eval_id: Id
    eval_version: Name


class Limits(Model):
    """What is allowed in one state. pflop: 10^15 operations; null: no limit. per window, but run_pflop per lineage."""

    capability: tuple[Ceiling, ...]
    run_pflop: Count | None
    total_pflop: Count | None
    training_pflop: Count | None


class LimitTable(Model):
    """One set of limits for each state of the lifecycle."""

    ARMED: Limits
    PAUSED: Limits


class Successor(Model):
    """A log that may go on where the one before it ended. Members as in `LogPolicy`."""

    mldsa44: Digest | None
    origin: Name
    vkey: Name


class LogPolicy(Model):
    """The log this agreement reads. vkey: signed-note verifier key; its name is the origin.

    mldsa44: SHA-256 of its post-quantum key, which then has to sign too. successors: logs that may follow it, in order.
    """

    mark_interval_seconds: Positive
    mldsa44: Digest | None
    origin: Name
    successors: tuple[Successor, ...]
    vkey: Name


class Member(Model):
    """A witness or a mirror: the principal behind it, and the key of its cosignatures; mldsa44 as in `LogPolicy`."""

    mldsa44: Digest | None
    principal: Id
    vkey: Name


class WitnessPolicy(Model):
    """quorum k of the members, of which at most `faulty` lie."""

    faulty: Count
    members: tuple[Member, ...]
    quorum: Positive


class MirrorPolicy(Model):
    """quorum of the members show that entries are not only in the tree but can be had; 0 asks for none."""

    members: tuple[Member, ...]
    quorum: Count


class IntakePolicy(Model):
    """quorum: receipts of so many intake parties date a filing, at the latest of them; 0 where there are none."""

    quorum: Count


class Utilisation(Model):
    """Model FLOP utilisation: for clocks and caps, the plausible band, and what physics allows."""

    caps: Ratio
    plausible: Ratio
    strict: Ratio


class PowerModel(Model):
    """How declared hours become expected energy (specs/verification.md, energy).

    fractions: power by category, relative to rated_watts. it_factor: IT over server power. The sigmas are relative, one
    standard deviation, of the meter reading, of the model and of PUE. false_alarm: per window, one-sided. detection:
    the probability at which the minimum detectable compute is stated. chip_headroom: g of the hard bound.
    """

    chip_headroom: Ratio
    detection: Ratio
    false_alarm: Ratio
    fractions: dict[Id, Ratio]
    it_factor: Ratio
    sigma_hours: Ratio
    sigma_meter: Ratio
    sigma_model: Ratio
    sigma_pue: Ratio


class Statistics(Model):
    """goal_pflop: the compute that a check must be able to see. guard: relative band around a limit called UNPROVEN.

    hours_tolerance: relative, of the hours identity. registration_pflop: from which a run must be registered.
    """

    goal_pflop: Positive
    guard: Ratio
    hours_tolerance: Ratio
    registration_pflop: Count


class Term(Model):
    """How long one order may pause, and how long a pause may last with renewals, in windows."""

    max_total_windows: Positive
    term_windows: Positive


class Windows(Model):
    """Reporting windows `[anchor_at + k·length, anchor_at + (k+1)·length)`, one series for all."""

    anchor_at: Instant
    length_seconds: Positive


class Document(Model):
    """The predicate of an agreement statement; specs/agreement.md explains each member."""

    accede_by_at: Instant
    bodies: tuple[Body, ...]
    deadlines: Deadlines
    due: tuple[Due, ...]
    expires_at: Instant
    facilities: tuple[Facility, ...]
    hardware: tuple[Accelerator, ...]
    intake: IntakePolicy
    limits: LimitTable
    log: LogPolicy
    mfu: Utilisation
    mirrors: MirrorPolicy
    name: Name
    power: PowerModel
    previous: Digest | None
    principals: tuple[Principal, ...]
    statistics: Statistics
    term: Term
    version: Positive
    windows: Windows
    witnesses: WitnessPolicy

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        _check(self)
        return self


@enforces("AGR-1", "AGR-2")
def _check(doc: Document) -> None:
    """Refuse a document that contradicts itself.

    [AGR-1] An agreement MUST name every principal, body, facility, kind of hardware and public key once, give no
    principal two keys of one suite, and refer only to names that it defines.

    [AGR-2] The witness policy MUST satisfy faulty < quorum and 2·quorum > members + faulty, with a principal, a key
    name and a cosignature key of its own for each member.
    """
    people = _unique("principal", [p.id for p in doc.principals])
    bodies = _unique("body", [b.id for b in doc.bodies])
    _unique("facility", [f.id for f in doc.facilities])
    _unique("sku", [a.sku for a in doc.hardware])
    _unique("public key", [k.public for p in doc.principals for k in p.keys])
    for principal in doc.principals:
        _unique("suite of " + principal.id, [k.suite for k in principal.keys])
    if people & bodies:
        raise ValueError(f"principal and body share the name {min(people & bodies)}")
    for body in doc.bodies:
        _known("member of " + body.id, _unique("member of " + body.id, list(body.members)), people)
        if body.threshold > len(body.members):
            raise ValueError(f"body {body.id}: threshold {body.threshold} is more than its {len(body.members)} members")
    if not {SIGNATORIES, OVERSEERS} <= bodies:
        raise ValueError(f"expected the bodies {SIGNATORIES} and {OVERSEERS}")
    for facility in doc.facilities:
        _known("lab of facility " + facility.id, {facility.lab}, _holders(doc, "lab"))
        _known("meter of facility " + facility.id, {facility.meter}, _holders(doc, "meter"))
    policy = doc.witnesses
    members = _unique("witness", [m.principal for m in policy.members])
    _unique("witness key", [m.vkey for m in policy.members])
    _known("witness", members, _holders(doc, "witness"))
    n, k, f = len(members), policy.quorum, policy.faulty
    if k > n or f >= k or 2 * k <= n + f:
        raise ValueError(f"witnesses: {k} of {n} with {f} faulty: expected faulty < quorum and 2·quorum > n + faulty")
    _check_mirrors(doc)
    _check_intake(doc)
    if (doc.version == 1) != (doc.previous is None):
        raise ValueError("previous: expected null in version 1, and a digest in every later one")
    if not doc.hardware or not all(chip.peak_gflop_per_second for chip in doc.hardware):
        raise ValueError("hardware: expected at least one kind of accelerator, and a peak for each")
    _check_numbers(doc)


@enforces("AGR-9")
def _check_mirrors(doc: Document) -> None:
    """Refuse cosigners that cannot be told apart, and logs that cannot follow one another.

    [AGR-9] Each mirror MUST have a principal, a key name and a key of its own, which no witness and no log has, there
    be no fewer than their quorum, and each successor of the log have an origin and a key that no log before it has.
    """
    members, policy = [m.principal for m in doc.mirrors.members], doc.mirrors
    _known("mirror", _unique("mirror", members), _holders(doc, "mirror"))
    if policy.quorum > len(members):
        raise ValueError(f"mirrors: quorum {policy.quorum} is more than the {len(members)} members")
    logs: list[LogPolicy | Successor] = [doc.log, *doc.log.successors]
    _unique("origin of a log", [log.origin for log in logs])
    _unique("key of a log", [log.vkey for log in logs])
    cosigners = [*doc.witnesses.members, *policy.members]
    _unique("cosignature key", [member.vkey for member in cosigners])
    _unique("post-quantum key", [digest for one in (*logs, *cosigners) if (digest := one.mldsa44)])


@enforces("AGR-10")
def _check_intake(doc: Document) -> None:
    """Refuse intake parties that could not be believed, or of whom nobody would know how many receipts they gave.

    [AGR-10] Each intake party MUST be of an organisation of its own, which no lab and no log has, a close be due of
    them, and their quorum be between 1 and their number; where there are none, it is 0.

    A lab that gives itself receipts would date its own filings, and a log would excuse its own delays.
    """
    parties, quorum = [p for p in doc.principals if "intake" in p.roles], doc.intake.quorum
    if not min(len(parties), 1) <= quorum <= len(parties):
        raise ValueError(f"intake: quorum {quorum} of {len(parties)} intake parties")
    _unique("organisation of an intake party", [p.organisation for p in parties])
    interested = {p.organisation for p in doc.principals if {"lab", "log"} & set(p.roles)}
    for party in parties:
        if party.organisation in interested:
            raise ValueError(f"intake: {party.id} is of the organisation of a lab or a log")
    if parties and not any((due.role, due.stream) == ("intake", "close") for due in doc.due):
        raise ValueError("intake: expected a close in the list of what is due of intake parties")


@enforces("AGR-8")
def _check_numbers(doc: Document) -> None:
    """Refuse numbers that a formula cannot take.

    [AGR-8] The numbers of an agreement's tests MUST lie where the formulas are defined: it_factor, chip_headroom, the
    three utilisations and the power fraction of pretrain above 0, false_alarm above 0 and at most 1/2, detection at
    least 1/2 and below 1.
    """
    power, half = doc.power, Fraction(1, 2)
    positive = {
        "power.it_factor": power.it_factor,
        "power.chip_headroom": power.chip_headroom,
        "power.fractions.pretrain": power.fractions.get("pretrain"),
        "mfu.caps": doc.mfu.caps,
        "mfu.plausible": doc.mfu.plausible,
        "mfu.strict": doc.mfu.strict,
    }
    for place, ratio in positive.items():
        if ratio is None or ratio.value <= 0:
            raise ValueError(f"{place}: expected more than 0")
    if not 0 < power.false_alarm.value <= half or not half <= power.detection.value < 1:
        raise ValueError("power: expected false_alarm above 0 and at most 1/2, detection at least 1/2 and below 1")


def _holders(doc: Document, role: Role) -> set[str]:
    return {p.id for p in doc.principals if role in p.roles}


def _unique(what: str, names: list[str]) -> set[str]:
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise ValueError(f"{what} {twice} is named twice")
    return set(names)


def _known(what: str, names: set[str], known: set[str]) -> None:
    if not names <= known:
        raise ValueError(f"{what}: {min(names - known)} is not defined for that")
