# SPDX-License-Identifier: Apache-2.0
r"""An exchange with a witness, for whoever writes another: what is asked, in order, and what has to be answered.

{"ask": "old 0\n\nlog.example/exchange\n3\n…", "status": 200, "why": "the first checkpoint"}
"""

from __future__ import annotations

from typing import Any

from pausectl.sim.terms import demo_key
from pausectl.wire import checkpoint, cosignature, merkle, note, witness
from pausectl.wire.checkpoint import Checkpoint
from pausectl.wire.merkle import Hash

ORIGIN, NAME, TIME = "log.example/exchange", "witness.example/exchange", 1_800_000_000
_LOG, _WITNESS = demo_key("exchange log"), demo_key("exchange witness")


def _leaves(kind: str) -> list[Hash]:
    return [merkle.leaf_hash(f"{kind} {number}".encode()) for number in range(12)]


_HONEST, _FORK = _leaves("leaf"), _leaves("another")


def _signed(size: int, root: Hash | None = None, *, origin: str = ORIGIN) -> bytes:
    told = Checkpoint(origin, size, merkle.root(_HONEST[:size]) if root is None else root)
    return checkpoint.sign(told, _LOG).raw


def _ask(old: int, size: int, raw: bytes | None = None, leaves: list[Hash] = _HONEST, proof: int | None = None) -> str:
    """A request; of its proof the first `proof` hashes."""

    def read(level: int, index: int) -> Hash:
        return merkle.root(leaves[index << level : (index + 1) << level])

    hashes = merkle.prove_consistency(old, size, read) if 0 < old <= size else ()
    signed = raw or _signed(size, merkle.root(leaves[:size]))
    return witness.format_request(witness.Request(old, tuple(hashes)[:proof], signed)).decode()


def steps() -> list[tuple[str, int, str]]:
    """(request, status, why), each after those before it."""
    size5, stranger = note.parse(_signed(5)), demo_key("stranger")
    line = size5.signatures[0]
    forged = note.Signature(line.name, line.key_id, stranger.sign(size5.text.encode()))
    return [
        (_ask(2, 3), 409, "WTN-4: it has cosigned nothing, and says 0"),
        (_ask(0, 3, _signed(0, bytes(32))), 422, "WTN-5: a tree of size 0 with another root"),
        (_ask(0, 0), 200, "an empty tree"),
        (_ask(0, 3), 200, "the first entries"),
        (_ask(3, 3), 200, "the same again, from the size that it knows"),
        (_ask(0, 3), 409, "WTN-4: from another size, 3 is what it knows"),
        (_ask(3, 5, _signed(5, origin="log.example/other")), 404, "WTN-1: another origin"),
        (_ask(3, 5, note.Note(size5.text, (forged,)).raw), 403, "WTN-2: a signature that fails"),
        (_ask(3, 5, note.Note(size5.text, (line, forged)).raw), 403, "WTN-2: a good one, and one that fails"),
        (_ask(9, 9, _signed(5)), 400, "WTN-3: the old size is above the checkpoint's"),
        (_ask(3, 5).replace("old 3", "old 03"), 400, "WIT-1: a size with a zero in front"),
        (_ask(3, 5).replace("old 3\n", "old 3\n" + f"{'A' * 43}=\n" * 64), 400, "WIT-1: more than 63 hashes"),
        (_ask(3, 5).replace("\n", "\r\n"), 400, "WIT-1: carriage returns"),
        (_ask(3, 3, leaves=_FORK), 422, "WTN-5: another root for the size that it knows"),
        (_ask(3, 5, proof=0), 422, "WTN-5: no proof"),
        (_ask(3, 5, leaves=_FORK), 422, "WTN-5: the proof of another tree"),
        (_ask(3, 5), 200, "nothing of that has changed what it knows"),
        (_ask(3, 9), 409, "WTN-4: 5 is what it knows"),
        (_ask(5, 12), 200, "and it goes on from there"),
    ]  # fmt: skip


def exchange() -> dict[str, Any]:
    """The vector. answer: the body, where it is said; the same time for all."""
    key = note.VerifierKey(NAME, note.TYPE_COSIGNATURE, _WITNESS.public)
    told, known = [], 0
    for ask, status, why in steps():
        step: dict[str, Any] = {"ask": ask, "status": status, "why": why}
        if status == 200:
            text = witness.parse_request(ask.encode()).signed.text
            known = checkpoint.parse(text).size
            line = cosignature.cosign(text, NAME, _WITNESS, TIME)
            step["answer"] = witness.format_response([line]).decode()
        elif status == 409:
            step["answer"] = witness.format_conflict(known).decode()
        told.append(step)
    return {
        "log_vkey": note.format_vkey(note.VerifierKey(ORIGIN, note.TYPE_ED25519, _LOG.public)),
        "steps": told,
        "time": TIME,
        "witness_seed": _WITNESS.seed.hex(),
        "witness_vkey": note.format_vkey(key),
    }
