# SPDX-License-Identifier: Apache-2.0
"""Receipts that have to be refused, for `refused`: by their form, for their checkpoint, or for where they lead."""

from __future__ import annotations

from collections.abc import Iterator

from pausectl.sim.refused import FORGED, MALFORMED, Case
from pausectl.sim.terms import demo_key
from pausectl.sim.world import World
from pausectl.wire import checkpoint, cosignature, merkle, note, proof
from pausectl.wire.checkpoint import Checkpoint
from pausectl.wire.keys import PrivateKey, base64

ENTRIES = tuple(b"entry %d" % number for number in range(5))
TIME = 1_790_000_000


def good(world: World) -> bytes:
    """One that has to be accepted, of `ENTRIES[2]`."""
    return proof.format(proof.make(_read, 2, _head(world), b"hi"))


def cases(world: World) -> Iterator[Case]:
    """All of them; the agreement of all vectors says which log and which witnesses."""
    raw = good(world)
    for clause, why, old, new in (
        ("PROOF-1", "another version", b"@v1", b"@v2"), ("PROOF-1", "an empty extra", b"extra aGk=", b"extra "),
        ("PROOF-1", "extra behind index", b"extra aGk=\nindex 2", b"index 2\nextra aGk="),
        ("PROOF-1", "extra twice", b"extra aGk=\n", b"extra aGk=\nextra aGk=\n"),
        ("PROOF-1", "extra with spare bits", b"extra aGk=", b"extra aGl="),
        ("PROOF-1", "a leading zero", b"index 2", b"index 02"), ("PROOF-1", "2^63", b"index 2", b"index %d" % 2**63),
        ("PROOF-1", "no index", b"index 2\n", b""), ("PROOF-1", "carriage returns", b"\n", b"\r\n"),
        ("PROOF-1", "a hash of 31 bytes", b"index 2\n", b"index 2\n%b\n" % base64(bytes(31)).encode()),
        ("PROOF-1", "no empty line", b"\n\n", b"\n"),
        ("PROOF-2", "64 hashes", b"index 2\n", b"index 2\n" + f"{base64(bytes(32))}\n".encode() * 61),
    ):  # fmt: skip
        yield Case(clause, "proof", MALFORMED, why, raw.replace(old, new, -1 if old == b"\n" else 1))
    head, _, _ = raw.partition(b"\n\n")
    for why, data in (
        ("no checkpoint", head + b"\n\n"), ("something behind it", raw + b"x"), ("no line feed at the end", raw[:-1]),
    ):  # fmt: skip
        yield Case("PROOF-1", "proof", MALFORMED, why, data)
    yield from _unproven(world)


def _unproven(world: World) -> Iterator[Case]:
    given = {"entry": base64(ENTRIES[2])}
    right = proof.make(_read, 2, _head(world))
    alone, stranger = _head(world, witnesses=0), _head(world, demo_key("a stranger"))
    for why, head in (("no witness", alone), ("another log's key under its name", stranger)):
        yield Case("PROOF-4", "proof-checkpoint", FORGED, why, proof.format(proof.make(_read, 2, head)), given)
    for why, index, hashes in (
        ("of another index", 3, right.hashes), ("a hash fewer", 2, right.hashes[:-1]),
        ("a hash more", 2, (*right.hashes, bytes(32))), ("no hashes", 2, ()),
    ):  # fmt: skip
        wrong = proof.Proof(index, hashes, right.checkpoint_raw)
        yield Case("PROOF-3", "proof-inclusion", FORGED, why, proof.format(wrong), given)
    yield Case("PROOF-3", "proof-inclusion", FORGED, "of another entry", proof.format(right), {"entry": base64(b"x")})
    beyond = proof.Proof(5, right.hashes, right.checkpoint_raw)
    yield Case("PROOF-3", "proof-inclusion", MALFORMED, "an index beyond the tree", proof.format(beyond), given)
    named = proof.Proof(2, (), right.checkpoint_raw, b"this entry is in the log")
    yield Case("PROOF-5", "proof-inclusion", FORGED, "extra data that says so", proof.format(named), given)


def _head(world: World, signer: PrivateKey | None = None, witnesses: int = 2) -> bytes:
    agreement, claim = world.agreement, Checkpoint(world.agreement.log_key.name, 5, merkle.root(_leaves()))
    signed = checkpoint.sign(claim, signer or world.keys[world.roll.log])
    keys = list(agreement.witness_keys.items())[:witnesses]
    lines = [cosignature.cosign(signed.text, key.name, world.keys[party], TIME) for party, key in keys]
    return note.add(signed, lines).raw


def _leaves() -> list[merkle.Hash]:
    return [merkle.leaf_hash(entry) for entry in ENTRIES]


def _read(level: int, index: int) -> merkle.Hash:
    return merkle.root(_leaves()[index << level : index + 1 << level])
