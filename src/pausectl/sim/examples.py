# SPDX-License-Identifier: Apache-2.0
"""One valid claim of each type: a week in the world of `terms`, small enough to read, for the pages of specs/.

    claims()["energy"].energy_wh == 134_786_582

The claims agree with one another: the accelerators that the inventory counts are as many as the usage has seconds for,
the meter reads what the usage would draw by the agreement's power model, and the correction speaks of that usage.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from typing import Any

from pausectl.agreement.document import Agreement
from pausectl.agreement.types import Span
from pausectl.predicates import base
from pausectl.predicates.accession import Accession
from pausectl.predicates.base import Predicate
from pausectl.predicates.capability import Capability
from pausectl.predicates.checkpoint import Mark
from pausectl.predicates.close import Close
from pausectl.predicates.correction import Correction
from pausectl.predicates.energy import Energy
from pausectl.predicates.inventory import Inventory
from pausectl.predicates.model import Model
from pausectl.predicates.pause import Declaration, Order
from pausectl.predicates.received import Received
from pausectl.predicates.run import Run
from pausectl.predicates.succession import Succession
from pausectl.predicates.usage import Usage
from pausectl.sim.terms import ORIGIN, Roll, agree, demo_key, names, ratio
from pausectl.wire import checkpoint, cosignature, dsse, note

ROLL = Roll(intake=("quay",), successors=("archive",))
KEYS = {name: demo_key(name) for name in names(ROLL)}
WINDOW = {"end_at": "2026-07-13T00:00:00Z", "start_at": "2026-07-06T00:00:00Z"}
SITE = "aurora-1"
WIDTH = 170


@lru_cache(maxsize=1)
def agreement() -> Agreement:
    """The agreement that every example is said under."""
    return agree(ROLL, KEYS)


@lru_cache(maxsize=1)
def claims() -> dict[str, Predicate]:
    """Type name → its example."""
    given = [
        _accession(),
        *_pause(),
        _inventory(),
        _usage(),
        _energy(),
        _run(),
        *_models(),
        _mark(),
        _close(),
        _correction(),
        _received(),
        _succession(),
    ]
    return {claim.name: claim for claim in given}


def signers(claim: Predicate) -> tuple[str, ...]:
    """Who has to sign a claim: its party, or as many members as its body asks for."""
    body = agreement().bodies.get(claim.header.party)
    return body.members[: body.threshold] if body else (claim.header.party,)


def digest(text: str) -> str:
    """Stands for the digest of something that the example does not show."""
    return hashlib.sha256(text.encode()).hexdigest()


def pretty(value: Any, indent: str = "") -> str:  # noqa: ANN401
    """JSON for people: on one line where it fits, a line for each member or item where it does not."""
    flat = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(flat) <= WIDTH or not isinstance(value, dict | list):
        return flat
    deeper = indent + "  "
    if isinstance(value, dict):
        parts = [f"{json.dumps(name)}: {pretty(item, deeper)}" for name, item in value.items()]
    else:
        parts = [pretty(item, deeper) for item in value]
    first, last = "{}" if isinstance(value, dict) else "[]"
    return f"{first}\n" + ",\n".join(deeper + part for part in parts) + f"\n{indent}{last}"


def _say(cls: type[Predicate], party: str, body: dict[str, Any], sequence: int = 0, log: str = ORIGIN) -> Predicate:
    header = base.Header.model_validate({
        "agreement": agreement().id,
        "log": log,
        "party": party,
        "sequence": sequence,
        "stream": f"{cls.stream}/{SITE}" if cls.per_facility else cls.stream,
        "window": Span(**WINDOW) if cls.windowed else None,
    })  # fmt: skip
    return base.construct(cls, body, header)


def _accession() -> Predicate:
    conditions = {
        "min_jurisdictions_count": 2, "min_parties_count": 3, "min_share": ratio(2, 3),
        "required_parties": ["borealis"],
    }  # fmt: skip
    return _say(Accession, "aurora", {
        "agreement_version": 1, "conditions": conditions, "frontier_h100e_count": 400_000,
    })  # fmt: skip


def _pause() -> tuple[Predicate, Predicate]:
    order = {"action": "pause", "reason": "Two evaluators report the agreed threshold crossed.", "term_windows": 13}
    own = {"action": "pause", "reason": "Our own evaluation came out above the ceiling.", "term_windows": 4}
    return _say(Order, "overseers", order), _say(Declaration, "borealis", own)


def _inventory() -> Predicate:
    moves = [
        {
            "at": "2026-07-08T09:00:00Z", "count": 8, "counterparty": "Chipworks (fictitious)",
            "destination": "spare", "origin": "outside",
        },
        {
            "at": "2026-07-09T15:30:00Z", "count": 4, "counterparty": None,
            "destination": "retired", "origin": "spare",
        },
    ]  # fmt: skip
    stock = {
        "beginning": {"installed_count": 1_024, "retired_count": 0, "sealed_count": 0, "spare_count": 16},
        "ending": {"installed_count": 1_024, "retired_count": 4, "sealed_count": 0, "spare_count": 20},
        "moves": moves,
        "serials_root": digest("salted serial numbers"),
        "sku": "h100-sxm",
    }
    return _say(Inventory, "aurora", {
        "facility": SITE, "location_class": "own", "seal_ids": [], "stock": [stock],
    })  # fmt: skip


def _usage(sequence: int = 0, moved: int = 0) -> Predicate:
    """moved: seconds that were booked as idle and were not."""
    work = (
        ("inference_external", 400_000_000, 70_833_333, "bf16", 4_000_000_000_000),
        ("research_small", 60_000_000 + moved, 12_750_000, "bf16", None),
        ("rl_update", 30_000_000, 8_075_000, "bf16", 21_000_000_000),
        ("idle", 129_315_200 - moved, None, None, None),
    )
    head_counts = (("accession", 1), ("corrections", 0), ("declarations", 0), ("models", 1), ("runs", 1))
    telemetry = {
        "block_rows": 256, "duration_ms": "619315200000", "energy_mj": "354701531880000", "gap_ms": "0",
        "rows_count": 10_321_920, "seal_id": digest("a seal"), "seal_root": digest("its root"),
    }  # fmt: skip
    return _say(Usage, "aurora", {
        "bookings": [
            {"accelerator_seconds": 30_000_000, "precision": "bf16", "run_id": "aurora-r7", "sku": "h100-sxm"},
        ],
        "facility": SITE,
        "heads": [{"count": count, "party": "aurora", "stream": stream} for stream, count in head_counts],
        "leases_in": [],
        "telemetry": telemetry,
        "work": [
            {
                "accelerator_seconds": seconds, "category": category, "energy_wh": energy, "precision": precision,
                "sku": "h100-sxm", "tokens_count": tokens,
            }
            for category, seconds, energy, precision, tokens in work
        ],
    }, sequence)  # fmt: skip


def _energy() -> Predicate:
    return _say(Energy, "gridco", {
        "energy_wh": 134_786_582, "facility": SITE, "interval_end_at": WINDOW["end_at"],
        "interval_start_at": WINDOW["start_at"], "lab": "aurora", "meter_class": "0.2 S", "meter_id": "grid-0117",
        "non_ai_energy_wh": 0, "onsite_generation_energy_wh": 0, "pue": ratio(120), "storage_change_energy_wh": 0,
    })  # fmt: skip


def _run() -> Predicate:
    return _say(Run, "aurora", {
        "accelerator_count": 512, "actual_accelerator_seconds": None, "actual_pflop": None,
        "actual_uncertainty_pflop": None, "code_commit": "3f0c9e1d7a", "dataset_digests": [digest("a data set")],
        "end_at": "2026-07-31T00:00:00Z", "method": "hardware", "parent_models": [digest("weights")],
        "planned_pflop": 40_000_000, "precision": "bf16", "run_id": "aurora-r7", "sku": "h100-sxm",
        "start_at": "2026-07-10T00:00:00Z", "status": "registered",
    })  # fmt: skip


def _models() -> tuple[Predicate, Predicate]:
    model = _say(Model, "aurora", {
        "created_at": "2026-05-02T00:00:00Z", "custody_log": None, "parents": [], "precision_variants": ["bf16", "fp8"],
        "served_since_at": "2026-06-01T00:00:00Z", "training_run": None, "weights_root": digest("weights"),
    })  # fmt: skip
    result = _say(Capability, "probe", {
        "ci_high": "0.35", "ci_low": "0.27", "elicitation_budget_pflop": 2_000, "eval_id": "autonomy-suite",
        "eval_version": "2", "lab": "aurora", "log_digest": digest("transcripts"), "model": digest("weights"),
        "sample_count": 400, "scaffold_digest": digest("scaffold"), "score": "0.31", "validity_ceiling": "0.95",
    })  # fmt: skip
    return model, result


def _mark() -> Predicate:
    return _say(Mark, "ledgerco", {"checkpoint": _cosigned()})


def _succession() -> Predicate:
    return _say(Succession, "archive", {"before_count": 42, "checkpoint": _cosigned()}, log="archive.example/pause")


def _cosigned() -> str:
    seen = checkpoint.Checkpoint(ORIGIN, 42, hashlib.sha256(b"a tree").digest())
    signed = checkpoint.sign(seen, KEYS[ROLL.log])
    quorum = agreement().document.witnesses.quorum
    lines = [
        cosignature.cosign(signed.text, f"{name}.example", KEYS[name], 1_783_296_000 + place)
        for place, name in enumerate(ROLL.witnesses[:quorum])
    ]
    return note.add(signed, lines).raw.decode()


def _close() -> Predicate:
    return _say(Close, "avon", {"heads": [{"count": 1, "party": "overseers", "stream": "orders"}]})


def _received() -> Predicate:
    usage = _usage()
    return _say(Received, "quay", {
        "of": usage.header.model_dump(mode="json"), "received_at": "2026-07-13T06:00:00Z",
        "statement": dsse.statement_id(base.write(usage)),
    })  # fmt: skip


def _correction() -> Predicate:
    first, second = (dsse.statement_id(base.write(usage)) for usage in (_usage(), _usage(1, 4_000 * 3_600)))
    return _say(Correction, "aurora", {
        "discovered_at": "2026-07-15T10:00:00Z", "impact": "4,000 accelerator-hours move from idle to research_small.",
        "reason": "A scheduler partition was missing from the export.",
        "replacement": second, "supersedes": first,
    })  # fmt: skip
