# SPDX-License-Identifier: Apache-2.0
"""Policies that have to be refused, and checkpoints that a policy has to refuse, for `refused`."""

from __future__ import annotations

from collections.abc import Iterator

from pausectl.sim.refused import FORGED, MALFORMED, ROOT, Case
from pausectl.sim.terms import demo_key
from pausectl.sim.world import World
from pausectl.wire import checkpoint, cosignature, note
from pausectl.wire.checkpoint import Checkpoint
from pausectl.wire.keys import base64

TIME = 1_790_000_000


def cases(world: World) -> Iterator[Case]:
    """All of them, with the log and the two witnesses of the agreement of all vectors."""
    again = note.format_vkey(note.VerifierKey("again.example", note.TYPE_COSIGNATURE, demo_key("wharf").public))
    plain = note.format_vkey(note.VerifierKey("plain.example", note.TYPE_ED25519, demo_key("plain").public))
    for clause, why, lines in (
        ("POL-1", "a carriage return", "quorum wharf\r"), ("POL-1", "a zero byte", "quorum wharf\0"),
        ("POL-1", "0x7F", "#\x7f\nquorum wharf"), ("POL-2", "a comment behind a line", "quorum wharf # why"),
        ("POL-2", "an unknown word", "tree wharf\nquorum wharf"),
        ("POL-2", "a group of nobody", "group g any\nquorum g"),
        ("POL-2", "a no-break space", "quorum\u00a0wharf"),
        ("POL-3", "a witness twice", "group g 2 wharf wharf xylem\nquorum g"),
        ("POL-3", "a witness in two groups", "group g any wharf\ngroup h any wharf xylem\ngroup i all g h\nquorum i"),
        ("POL-3", "a member from below", "group g any h\ngroup h any wharf\nquorum g"),
        ("POL-3", "a group like a witness", "group wharf any xylem\nquorum wharf"),
        ("POL-3", "a group called none", "group none any wharf\nquorum none"),
        ("POL-4", "a threshold of 0", "group g 0 wharf\nquorum g"),
        ("POL-4", "a threshold above the number of members", "group g 3 wharf xylem\nquorum g"),
        ("POL-4", "a leading zero", "group g 01 wharf xylem\nquorum g"),
        ("POL-5", "no quorum", "# quorum wharf"), ("POL-5", "two lines", "quorum wharf\nquorum wharf"),
        ("POL-5", "a quorum of what is below", "quorum g\ngroup g any wharf"),
        ("POL-6", "a key under two names", f"witness again {again}\ngroup g all wharf again\nquorum g"),
        ("POL-6", "a witness's key of type 0x01", f"witness plain {plain}\nquorum plain"),
        ("POL-6", "a log twice", f"log {note.format_vkey(world.agreement.log_key)}\nquorum wharf"),
    ):  # fmt: skip
        yield Case(clause, "policy", MALFORMED, why, _file(world, lines))
    yield Case("POL-1", "policy", MALFORMED, "no line feed at the end", good(world)[0][:-1])
    policy, _ = good(world)
    bare = checkpoint.sign(_claim(world), world.keys[world.roll.log]).raw
    stranger = checkpoint.sign(_claim(world), demo_key("a stranger")).raw
    other = checkpoint.sign(Checkpoint("log.example/other", 2, ROOT), world.keys[world.roll.log]).raw
    for clause, why, raw in (
        ("POL-8", "no witness", bare), ("POL-7", "another key", stranger), ("POL-7", "another origin", other),
    ):  # fmt: skip
        yield Case(clause, "policy-checkpoint", FORGED, why, raw, {"policy": base64(policy)})


def good(world: World) -> tuple[bytes, bytes]:
    """A policy, and a checkpoint that it takes."""
    signed = checkpoint.sign(_claim(world), world.keys[world.roll.log])
    lines = [
        cosignature.cosign(signed.text, key.name, world.keys[party], TIME)
        for party, key in world.agreement.witness_keys.items()
    ]
    return _file(world, "group g all wharf xylem\nquorum g"), note.add(signed, lines).raw


def _claim(world: World) -> Checkpoint:
    return Checkpoint(world.agreement.log_key.name, 2, ROOT)


def _file(world: World, lines: str) -> bytes:
    known = [f"witness {party} {note.format_vkey(key)}" for party, key in world.agreement.witness_keys.items()]
    return "\n".join([f"log {note.format_vkey(world.agreement.log_key)}", *known, lines, ""]).encode()
