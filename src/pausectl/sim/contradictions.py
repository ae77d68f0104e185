# SPDX-License-Identifier: Apache-2.0
"""A log that signs two histories: evidence of it, and files that look like evidence and show nothing.

    pausectl evidence check evidence --agreement agreement.json

for one size (`split`) and for two (`rewritten`), and every way to get them wrong (`cases`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pausectl.sim.refused import FORGED, MALFORMED, Case
from pausectl.sim.terms import demo_key
from pausectl.sim.world import World
from pausectl.wire import checkpoint, evidence, merkle, note
from pausectl.wire.checkpoint import Checkpoint
from pausectl.wire.evidence import Evidence
from pausectl.wire.keys import Signer, base64
from pausectl.wire.merkle import Hash

GOT = ("http://log.example", "http://witness.example")

#: What the log shows some of its readers, and what it shows the others.
FIRST = (b"one", b"two", b"three")
OTHER = (b"one", b"another two", b"three", b"four", b"five")


def _leaves(entries: tuple[bytes, ...]) -> list[Hash]:
    return [merkle.leaf_hash(entry) for entry in entries]


def _read(entries: tuple[bytes, ...]) -> merkle.Read:
    leaves = _leaves(entries)
    return lambda level, index: merkle.root(leaves[index << level : index + 1 << level])


def _signed(origin: str, signer: Signer, entries: tuple[bytes, ...]) -> bytes:
    return checkpoint.sign(Checkpoint(origin, len(entries), merkle.root(_leaves(entries))), signer).raw


def split(origin: str, signer: Signer) -> Evidence:
    """Two trees of three entries."""
    first, other = (_signed(origin, signer, entries) for entries in (FIRST, OTHER[:3]))
    return evidence.prove((GOT[0], first), (GOT[1], other))


def rewritten(origin: str, signer: Signer) -> Evidence:
    """Three entries, and five that do not begin with them."""
    first, other = (_signed(origin, signer, entries) for entries in (FIRST, OTHER))
    return evidence.prove((GOT[0], first), (GOT[1], other), _read(OTHER))


def example() -> bytes:
    """The file that the page shows."""
    world = World(windows=0, pause_at=None)
    return evidence.format(rewritten(world.agreement.log_key.name, world.keys[world.roll.log]))


def cases(world: World) -> Iterator[Case]:
    """Files that have to be refused."""
    key, signer = world.agreement.log_key, world.keys[world.roll.log]
    given = {"vkey": note.format_vkey(key)}
    for clause, layer, error, why, raw in (*_texts(key.name, signer), *_trees(key.name, signer)):
        yield Case(clause, layer, error, why, raw, given)


Row = tuple[str, str, str, str, bytes]


def _texts(origin: str, signer: Signer) -> Iterator[Row]:
    two = rewritten(origin, signer)
    good, one = evidence.format(two), evidence.format(split(origin, signer))
    head, blank, notes = good.partition(b"\n\n")
    lines = head.split(b"\n")
    for why, raw in (
        ("another version", good.replace(b"evidence/v1", b"evidence/v2", 1)),
        ("no line first", good.replace(b"first ", b"frst ", 1)),
        ("first and second changed over", b"\n".join([lines[0], lines[2], lines[1], *lines[3:]]) + blank + notes),
        ("a source of 301 bytes", good.replace(b"http://log.example", b"x" * 301, 1)),
        ("a control character in a source", good.replace(b"http://log.example", b"\x1b[31m", 1)),
        ("no root between two sizes", b"\n".join(lines[:3]) + blank + notes),
        ("a key of 1,311 bytes", good.replace(b"root ", b"key " + base64(bytes(1_311)).encode() + b"\nroot ", 1)),
        ("an empty key", good.replace(b"root ", b"key \nroot ", 1)),
        ("an empty root", b"\n".join([*lines[:3], b"root "]) + blank + notes),
        ("a root of 31 bytes", good.replace(lines[3], b"root " + base64(two.root[1:]).encode(), 1)),
        ("a root between two trees of one size", one.replace(b"\n\n", b"\n" + b"\n".join(lines[3:]) + b"\n\n", 1)),
        ("65 hashes", b"\n".join([*lines[:4], *[lines[4]] * 65]) + blank + notes),
        ("base64 with spare bits", good.replace(lines[4], lines[4][:-2] + bytes([lines[4][-2] + 1]) + b"=", 1)),
        ("the larger checkpoint first", b"\n".join((head + b"\n", two.second, two.first))),
        ("one checkpoint", b"\n".join((head + b"\n", two.first))),
        ("an empty line behind", good + b"\n"),
        ("no UTF-8", good.replace(b"http://log.example", b"\xff", 1)),
    ):
        yield "EVD-1", "evidence", MALFORMED, why, raw


def _trees(origin: str, signer: Signer) -> Iterator[Row]:
    stranger, two, one = demo_key("a stranger"), rewritten(origin, signer), split(origin, signer)
    layer = "evidence-check"
    forged = _signed(origin, stranger, OTHER)
    yield "EVD-2", layer, FORGED, "the larger signed by a stranger", evidence.format(replace(two, second=forged))
    forged = _signed(origin, stranger, FIRST)
    yield "EVD-2", layer, FORGED, "the smaller signed by a stranger", evidence.format(replace(two, first=forged))
    yield "EVD-3", layer, FORGED, "one tree", evidence.format(replace(one, second=one.first))
    whole = merkle.prove_consistency(3, 5, _read(OTHER))
    honest = evidence.prove((GOT[0], _signed(origin, signer, OTHER[:3])), (GOT[1], two.second), _read(OTHER))
    for why, said in (
        ("a log that only grew", honest),
        ("no proof", replace(two, proof=())),
        ("a proof that leads elsewhere", replace(two, proof=(*whole[:-1], merkle.EMPTY))),
        ("a hash more", replace(two, proof=(*whole, merkle.EMPTY))),
        ("a hash fewer", replace(two, proof=whole[:-1])),
        ("a proof that fails from the signed root", replace(two, root=merkle.root(_leaves(FIRST)))),
        ("a root of nothing", replace(two, root=merkle.EMPTY)),
    ):
        yield "EVD-4", layer, FORGED, why, evidence.format(said)
