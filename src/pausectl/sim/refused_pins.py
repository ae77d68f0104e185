# SPDX-License-Identifier: Apache-2.0
"""Checkpoints and keys that have to be refused under an agreement that names ML-DSA-44 keys, for `refused`.

ML-DSA-44 signatures differ each time, so here there are none that hold: what is refused lacks them, or has zeros.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from pausectl.agreement import document
from pausectl.agreement.document import Agreement
from pausectl.sim import terms
from pausectl.sim.refused import FORGED, MALFORMED, ROOT, Case
from pausectl.sim.terms import Roll, demo_key
from pausectl.sim.world import World
from pausectl.wire import checkpoint, cosignature, note
from pausectl.wire.checkpoint import Checkpoint
from pausectl.wire.keys import MLDSA44, PrivateKey, base64
from pausectl.wire.note import Note, Signature

TIME = 1_790_000_000


def cases(world: World) -> Iterator[Case]:
    """All of them, each with the agreement and the keys that it is refused under."""
    yield from _checkpoints(world)
    digest = demo_key("ledgerco", MLDSA44).public.digest
    for why, raw in (
        ("another key", demo_key("avon", MLDSA44).public.raw),
        ("no bytes", b""),
        ("a byte more", _key() + b"\0"),
    ):
        yield Case("READ-12", "key-bytes", FORGED, why, raw, {"digest": digest})
    roll = Roll(labs={"aurora": ("aurora-1",)}, overseers=("avon", "brent"), post_quantum=True,
                witnesses=tuple(f"w{number:02}" for number in range(20)))  # fmt: skip
    yield Case("AGR-12", "agreement", MALFORMED, "a quorum of 15 with two keys each", _crowd(roll, 15))
    few = replace(roll, witnesses=roll.witnesses[:10], mirrors=tuple(f"m{number:02}" for number in range(16)))
    yield Case("AGR-12", "agreement", MALFORMED, "quorums of 6 and of 9 with two keys each", _crowd(few, 6))


def good(world: World) -> tuple[Agreement, bytes]:
    """An agreement with its keys, and a checkpoint that has to be accepted under it; another one each time."""
    agreement = _agreement(world, log=True, witnesses=True)
    return agreement, _signed(agreement, world.keys, (demo_key(world.roll.log, MLDSA44),), post_quantum=True).raw


def _checkpoints(world: World) -> Iterator[Case]:
    both, witnesses = _agreement(world, log=True, witnesses=True), _agreement(world, log=False, witnesses=True)
    bare = _signed(both, world.keys)
    log = note.VerifierKey(both.log_key.name, note.TYPE_MLDSA44, demo_key(world.roll.log, MLDSA44).public)
    zeros = Signature(log.name, log.key_id, bytes(8 + 2_420))
    for clause, agreement, why, signed in (
        ("READ-11", both, "no ML-DSA-44 signature of the log", bare),
        ("CKPT-7", both, "an ML-DSA-44 signature of the log that does not verify", note.add(bare, [zeros])),
        ("READ-11", witnesses, "no ML-DSA-44 signature of a witness", bare),
        ("COSIG-8", witnesses, "Ed25519 cosignatures alone, under two keys known", bare),
    ):
        yield Case(clause, "pinned", FORGED, why, signed.raw, _given(agreement))
    wharf = witnesses.witness_pairs["wharf"][1]
    untimed = Signature(wharf.name, wharf.key_id, bytes(8 + 2_420))
    yield Case("COSIG-2", "pinned", FORGED, "time 0", note.add(bare, [untimed]).raw, _given(witnesses))


def _given(agreement: Agreement) -> dict[str, Any]:
    keys = [base64(key.raw) for key in agreement.resolved.values()]
    return {"agreement": base64(agreement.raw), "keys": keys}


def _key() -> bytes:
    return demo_key("ledgerco", MLDSA44).public.raw


def _agreement(world: World, *, log: bool, witnesses: bool) -> Agreement:
    """That of the world, with keys named by digest of the log, of the witnesses, or of both."""
    roll = replace(world.roll, post_quantum=True)
    publics = {name: key.public for name, key in world.keys.items()}
    whole, plain = terms.terms(roll, publics), terms.terms(world.roll, publics)
    parts = {name: (whole if wanted else plain)[name] for name, wanted in (("log", log), ("witnesses", witnesses))}
    draft = document.read_document({**plain, **parts})
    signed = document.parse(terms.envelope(draft, world.roll, world.keys))
    return signed.resolve(demo_key(name, MLDSA44).public.raw for name in _named(world.roll, log, witnesses))


def _named(roll: Roll, log: bool, witnesses: bool) -> list[str]:
    return [*([roll.log] if log else []), *(roll.witnesses if witnesses else [])]


def _signed(
    agreement: Agreement, keys: dict[str, PrivateKey], more: tuple[PrivateKey, ...] = (), *, post_quantum: bool = False
) -> Note:
    operator = agreement.holders("log")[0]
    signed = checkpoint.sign(Checkpoint(agreement.log_key.name, 2, ROOT), keys[operator], *more)
    lines = []
    for name, pair in agreement.witness_pairs.items():
        signers = [keys[name], demo_key(name, MLDSA44)][: 1 + post_quantum]
        lines += [cosignature.cosign(signed.text, pair[0].name, signer, TIME) for signer in signers]
    return note.add(signed, lines)


def _crowd(roll: Roll, quorum: int) -> bytes:
    keys = {name: demo_key(name) for name in terms.names(roll)}
    whole = terms.terms(roll, {name: key.public for name, key in keys.items()}, due=[], facilities=[])
    draft = document.read_document({**whole, "witnesses": {**whole["witnesses"], "quorum": quorum}})
    return terms.envelope(draft, roll, keys)
