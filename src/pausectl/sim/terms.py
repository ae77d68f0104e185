# SPDX-License-Identifier: Apache-2.0
"""A small, complete agreement for worlds that do not exist, and keys that anybody can compute.

`terms(...)` is also the shortest way to see every member of an agreement filled in; `pausectl agreement new` prints it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pausectl.agreement import document
from pausectl.agreement.document import Agreement
from pausectl.agreement.terms import Document
from pausectl.agreement.types import instant, seconds
from pausectl.wire import dsse, note
from pausectl.wire.keys import ED25519, MLDSA44, PrivateKey, PublicKey, base64

ORIGIN = "log.example/pause"
WEEK = 7 * 86_400
ANCHOR = "2026-07-06T00:00:00Z"

#: Public data with its source; peaks are dense (no sparsity), rated_watts is server power per accelerator.
HARDWARE: tuple[dict[str, Any], ...] = (
    {
        "peak_gflop_per_second": {"bf16": 989_500, "fp8": 1_979_000},
        "rated_watts": 1_275,
        "sku": "h100-sxm",
        "source": "Epoch AI, Machine Learning Hardware, CC BY 4.0; HGX rating 10.2 kW per 8",
        "tdp_watts": 700,
    },
    {
        "peak_gflop_per_second": {"bf16": 2_250_000, "fp4": 9_000_000, "fp8": 4_500_000},
        "rated_watts": 1_833,
        "sku": "b200-sxm",
        "source": "Epoch AI, Machine Learning Hardware, CC BY 4.0; server power from chip-count model",
        "tdp_watts": 1_000,
    },
)

#: Power by category relative to rated_watts. Training as published for HGX H100; others are to be calibrated per site.
POWER_FRACTIONS: dict[str, tuple[int, int]] = {
    "pretrain": (76, 100), "posttrain_sft": (76, 100), "rl_rollout": (60, 100), "rl_update": (76, 100),
    "eval": (60, 100), "datagen": (60, 100), "distill": (76, 100), "inference_external": (50, 100),
    "inference_internal": (50, 100), "research_small": (60, 100), "idle": (15, 100), "maintenance": (15, 100),
    "sealed": (0, 100), "leased_out": (60, 100),
}  # fmt: skip


def demo_key(name: str, suite: str = ED25519) -> PrivateKey:
    """The key of a party in a world that does not exist: its seed is a hash of its name, so it protects nothing."""
    return PrivateKey.from_seed(suite, hashlib.sha256(b"pausectl demo key\x00" + name.encode()).digest())


def ratio(numerator: int, denominator: int = 100) -> dict[str, int]:
    """A Ratio as JSON."""
    return {"denominator": denominator, "numerator": numerator}


def limits(
    total: int | None, training: int | None, run: int | None, ceilings: Iterable[tuple[str, str, str]] = ()
) -> dict[str, Any]:
    """Limits of one state, in pflop; ceilings are (eval_id, eval_version, ceiling)."""
    return {
        "capability": [{"ceiling": c, "eval_id": i, "eval_version": v} for i, v, c in ceilings],
        "run_pflop": run,
        "total_pflop": total,
        "training_pflop": training,
    }


@dataclass(frozen=True)
class Roll:
    """Who takes part. labs: lab → its facilities. post_quantum: logs, witnesses and mirrors have ML-DSA-44 keys too."""

    labs: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: {"aurora": ("aurora-1",), "borealis": ("borealis-1",), "cirrus": ("cirrus-1",)}
    )
    overseers: tuple[str, ...] = ("avon", "brent", "cam")
    witnesses: tuple[str, ...] = ("wharf", "xylem", "yarrow", "zephyr")
    evaluator: str = "probe"
    meter: str = "gridco"
    log: str = "ledgerco"
    mirrors: tuple[str, ...] = ()
    intake: tuple[str, ...] = ()
    successors: tuple[str, ...] = ()
    post_quantum: bool = False


def _principals(roll: Roll, publics: Mapping[str, PublicKey]) -> list[dict[str, Any]]:
    lands = ("nl", "ca", "jp", "br", "ke")
    roles = [
        *((lab, "lab") for lab in roll.labs), *((name, "overseer") for name in roll.overseers),
        *((name, "witness") for name in roll.witnesses), (roll.evaluator, "evaluator"), (roll.meter, "meter"),
        (roll.log, "log"), *((name, "mirror") for name in roll.mirrors),
        *((name, "intake") for name in roll.intake), *((name, "log") for name in roll.successors),
    ]  # fmt: skip
    return [
        {
            "id": name,
            "jurisdiction": lands[place % len(lands)],
            "keys": [{"public": base64(publics[name].raw), "suite": ED25519}],
            "organisation": f"{name.capitalize()} (fictitious)",
            "roles": [role],
        }
        for place, (name, role) in enumerate(roles)
    ]


def _successor(name: str, publics: Mapping[str, PublicKey], roll: Roll) -> dict[str, Any]:
    origin = f"{name}.example/pause"
    vkey = note.format_vkey(note.VerifierKey(origin, note.TYPE_ED25519, publics[name]))
    return {"mldsa44": _digest(name, roll), "origin": origin, "vkey": vkey}


def terms(roll: Roll, publics: Mapping[str, PublicKey], **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    """The document as JSON. publics: every principal's key. changes: members to replace."""
    origin = changes.get("log", {}).get("origin", ORIGIN)
    log_vkey = note.format_vkey(note.VerifierKey(origin, note.TYPE_ED25519, publics[roll.log]))
    witnesses, mirrors = (_cosigners(names, publics, roll) for names in (roll.witnesses, roll.mirrors))
    anchor = changes.get("windows", {}).get("anchor_at", ANCHOR)
    year = 365 * 86_400
    document: dict[str, Any] = {
        "accede_by_at": instant(seconds(anchor) + year),
        "bodies": [
            {"id": "overseers", "members": list(roll.overseers), "threshold": 2},
            {"id": "signatories", "members": [*roll.labs, *roll.overseers], "threshold": len(roll.labs) + 2},
        ],
        "deadlines": {
            "clock_skew_seconds": 60, "closing_seconds": 3 * 86_400, "correction_seconds": 21 * 86_400,
            "filing_seconds": 2 * 86_400, "notice_seconds": 86_400, "registration_lead_seconds": 3 * 86_400,
            "staleness_seconds": 86_400,
        },
        "due": [
            {"per": "facility", "role": "lab", "stream": "usage"},
            {"per": "facility", "role": "lab", "stream": "inventory"},
            {"per": "facility", "role": "meter", "stream": "energy"},
            {"per": "party", "role": "meter", "stream": "close"},
            {"per": "party", "role": "overseer", "stream": "close"},
            {"per": "party", "role": "evaluator", "stream": "close"},
            *([{"per": "party", "role": "intake", "stream": "close"}] if roll.intake else []),
        ],
        "expires_at": instant(seconds(anchor) + 3 * year),
        "facilities": [
            {"id": facility, "jurisdiction": "nl", "lab": lab, "meter": roll.meter}
            for lab, facilities in roll.labs.items()
            for facility in facilities
        ],
        "hardware": [dict(entry) for entry in HARDWARE],
        "intake": {"quorum": (len(roll.intake) + 1) // 2},
        "limits": {
            "ARMED": limits(None, None, None),
            "PAUSED": limits(300_000_000, 20_000_000, 40_000_000, [("autonomy-suite", "2", "0.50")]),
        },
        "log": {
            "mark_interval_seconds": 3_600, "mldsa44": _digest(roll.log, roll), "origin": origin,
            "successors": [_successor(name, publics, roll) for name in roll.successors],
            "vkey": log_vkey,
        },
        "mfu": {"caps": ratio(50), "plausible": ratio(60), "strict": ratio(100)},
        "mirrors": {"members": mirrors, "quorum": len(mirrors) // 2 + 1 if mirrors else 0},
        "name": "Example agreement on a coordinated pause",
        "power": {
            "chip_headroom": ratio(130),
            "detection": ratio(90),
            "false_alarm": ratio(1, 1000),
            "fractions": {category: ratio(*value) for category, value in POWER_FRACTIONS.items()},
            "it_factor": ratio(114),
            "sigma_hours": ratio(5, 1000),
            "sigma_meter": ratio(2, 1000),
            "sigma_model": ratio(30, 1000),
            "sigma_pue": ratio(20, 1000),
        },
        "previous": None,
        "principals": _principals(roll, publics),
        "statistics": {
            "goal_pflop": 1_000_000_000, "guard": ratio(1), "hours_tolerance": ratio(5, 1000),
            "registration_pflop": 10_000_000,
        },
        "term": {"max_total_windows": 52, "term_windows": 13},
        "version": 1,
        "windows": {"anchor_at": anchor, "length_seconds": WEEK},
        "witnesses": {
            "faulty": 1 if len(roll.witnesses) > 1 else 0,
            "members": witnesses,
            "quorum": (len(roll.witnesses) + 1) // 2 + 1 if len(roll.witnesses) > 1 else 1,
        },
    }  # fmt: skip
    return {**document, **changes}


def _digest(name: str, roll: Roll) -> str | None:
    return demo_key(name, MLDSA44).public.digest if roll.post_quantum else None


def _cosigners(names: Iterable[str], publics: Mapping[str, PublicKey], roll: Roll) -> list[dict[str, Any]]:
    keys = {name: note.VerifierKey(f"{name}.example", note.TYPE_COSIGNATURE, publics[name]) for name in names}
    return [
        {"mldsa44": _digest(name, roll), "principal": name, "vkey": note.format_vkey(key)} for name, key in keys.items()
    ]


def agree(roll: Roll, keys: Mapping[str, PrivateKey], **changes: Any) -> Agreement:  # noqa: ANN401
    """The agreement of `terms`, signed by all its signatories."""
    publics = {name: key.public for name, key in keys.items()}
    raw = envelope(document.read_document(terms(roll, publics, **changes)), roll, keys)
    second = (roll.log, *roll.witnesses, *roll.mirrors) if roll.post_quantum else ()
    return document.parse(raw).resolve(demo_key(name, MLDSA44).public.raw for name in second)


def envelope(terms: Document, roll: Roll, keys: Mapping[str, PrivateKey]) -> bytes:
    """Terms, signed by all signatories; not read, so that they may be wrong."""
    return dsse.sign(document.draft(terms), *(keys[name] for name in (*roll.labs, *roll.overseers))).raw


def names(roll: Roll) -> tuple[str, ...]:
    """Everybody who needs a key."""
    officials = (roll.evaluator, roll.meter, roll.log)
    return (*roll.labs, *roll.overseers, *roll.witnesses, *officials, *roll.mirrors, *roll.intake, *roll.successors)
