# SPDX-License-Identifier: Apache-2.0
"""Bytes that have to be refused, each with one thing wrong, and the layer at which it has to show.

    {"error": "Malformed", "input": "ezF9Cg==", "layer": "json", "why": "a member that is no text"}

A layer is one step of reading (`LAYERS`, each row from below). An input passes every layer below its own: a check that
is made too early or too late would hide that the right one is missing. What a layer needs to know stands in the case
(`vkey`, `width`, `key` and `message`, `entry`) or is the agreement of all vectors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pausectl.agreement import document
from pausectl.agreement.terms import OVERSEERS
from pausectl.predicates import base
from pausectl.predicates.close import Close
from pausectl.predicates.energy import Energy
from pausectl.predicates.pause import Order
from pausectl.sim.terms import demo_key, ratio
from pausectl.sim.world import World
from pausectl.wire import canonical, checkpoint, dsse, keyfile, note, statement, tile
from pausectl.wire.checkpoint import Checkpoint
from pausectl.wire.keys import MLDSA44, base64

#: Steps of reading one kind of input, from below.
LAYERS: dict[str, tuple[str, ...]] = {
    "entry": ("json", "envelope", "signatures", "authority"),
    "statement": ("json", "statement", "predicate"),
    "agreement": ("json", "envelope", "statement", "agreement"),
    "note": ("note", "note-signatures", "checkpoint", "origin"),
    "pinned": ("pinned-note", "pinned"),
    "proof": ("proof", "proof-checkpoint", "proof-inclusion"),
    "vkey": ("vkey",),
    "path": ("tile-path",),
    "tile": ("tile",),
    "bundle": ("bundle",),
    "key": ("public-key",),
    "signature": ("ed25519",),
    "post-quantum signature": ("ml-dsa-44",),
    "policy": ("policy",),
    "checkpoint under a policy": ("policy-checkpoint",),
    "key by digest": ("key-bytes",),
    "key file": ("key-file", "key-file-open"),
    "evidence": ("evidence", "evidence-check"),
}

MALFORMED, FORGED = "Malformed", "Forged"
ROOT = hashlib.sha256(b"a tree").digest()

#: Cases 6, 2 and 4 of novifinancial/ed25519-speccheck (Apache-2.0, commit 6551933), of "Taming the many EdDSAs".
SPECCHECK: tuple[tuple[str, str, str, str, str], ...] = (
    (
        "KEY-1", "S is not below L",
        "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
        "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623",
        ("e96f66be976d82e60150baecff9906684aebb1ef181f67a7189ac78ea23b6c0e"
         "547f7690a0e2ddcd04d87dbc3490dc19b3b3052f7ff0538cb68afb369ba3a514"),
    ),
    (
        "KEY-3", "R is of small order",
        "aebf3f2601a0c8c5d39cc7d8911642f740b78168218da8471772b35f9d35b9ab",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        ("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"
         "8c4bd45aecaca5b24fb97bc10ac27ac8751a7dfe1baff8b953ec9f5833ca260e"),
    ),
    (
        "KEY-4", "the equation holds only after multiplication by the cofactor",
        "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
        "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        ("160a1cb0dc9c0258cd0a7d23e94d8fa878bcb1925f2c64246b2dee1796bed512"
         "5ec6bc982a269b723e0668e540911a9a6a58921d6925e434ab10aa7940551a09"),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """id: of the sentence. error: class of error; for `authority` the trouble. given: what else the layer needs."""

    id: str
    layer: str
    error: str
    why: str
    data: bytes
    given: dict[str, Any] = field(default_factory=dict)

    def json(self) -> dict[str, Any]:
        """As it stands in a file."""
        return {"error": self.error, "input": base64(self.data), "layer": self.layer, "why": self.why, **self.given}


def cases(world: World) -> Iterator[Case]:
    """All of them; world: one whose agreement is that of all vectors."""
    for part in (_json, _statements, _predicates, _authority, _envelopes, _agreements, _notes, _checkpoints):
        yield from part(world)
    yield from _vkeys(world)
    yield from _tiles()
    yield from _keys()


# ── statements ──


def _json(_world: World) -> Iterator[Case]:
    for why, raw in (
        ("members not sorted", b'{"b":1,"a":2}'), ("a member twice", b'{"a":1,"a":1}'), ("white space", b'{"a": 1}'),
        ("an escape that need not be", b'["\\u0041"]'), ("an escaped solidus", b'["\\/"]'),
        ("a shorter escape exists", b'["\\u000a"]'), ("an escape in upper case", b'["\\u001F"]'),
        ("a lone surrogate", b'["\\ud800"]'), ("a name above U+FFFF", '{"\U0001f600":1}'.encode()),
        ("no UTF-8", b'["\xff"]'), ("a byte order mark", b"\xef\xbb\xbf[]"), ("33 levels", b"[" * 33 + b"]" * 33),
        ("something behind the value", b"[]\n"),
    ):  # fmt: skip
        yield Case("STM-1", "json", MALFORMED, why, raw)
    for why, number in (
        ("a fraction", "1.0"), ("an exponent", "1e3"), ("a leading zero", "01"), ("a plus sign", "+1"),
        ("minus zero", "-0"), ("2^53", "9007199254740992"), ("no number", "NaN"),
    ):  # fmt: skip
        yield Case("STM-2", "json", MALFORMED, why, f"[{number}]".encode())


def _changed(raw: bytes, **members: Any) -> bytes:  # noqa: ANN401
    value = {**canonical.load(raw), **members}
    return canonical.dump({name: member for name, member in value.items() if member is not ...})


def _statements(world: World) -> Iterator[Case]:
    good = base.write(_close(world))
    subject = {"digest": {"sha256": "0" * 64}, "name": "x"}
    for clause, why, members in (
        ("STM-3", "a member more", {"comment": "x"}), ("STM-3", "a member fewer", {"subject": ...}),
        ("STM-3", "another version", {"_type": "https://in-toto.io/Statement/v0.1"}),
        ("STM-3", "an empty predicate", {"predicate": {}}), ("STM-3", "a predicate that is a list", {"predicate": [1]}),
        ("STM-4", "no subject", {"subject": []}), ("STM-4", "no name", {"subject": [{"digest": {"sha256": "0" * 64}}]}),
        ("STM-4", "upper case", {"subject": [{**subject, "digest": {"sha256": "A" * 64}}]}),
        ("STM-4", "another digest", {"subject": [{**subject, "digest": {"sha512": "0" * 128}}]}),
        ("STM-4", "two digests", {"subject": [{**subject, "digest": {"sha1": "0" * 40, "sha256": "0" * 64}}]}),
    ):  # fmt: skip
        yield Case(clause, "statement", MALFORMED, why, _changed(good, **members))


def _close(world: World) -> base.Predicate:
    return world.claim(world.roll.overseers[0], Close, {"heads": []}, 0, 0)


def _order(world: World) -> base.Predicate:
    return world.claim(OVERSEERS, Order, {"action": "lift", "reason": "over", "term_windows": 1}, None, 0)


def _predicates(world: World) -> Iterator[Case]:
    good = base.write(_close(world))
    predicate = canonical.load(good)["predicate"]
    header, subject = predicate["header"], canonical.load(good)["subject"][0]
    for clause, why, members in (
        ("STM-5", "an unknown member", {"predicate": {**predicate, "comment": "x"}}),
        ("STM-5", "a missing member", {"predicate": {"header": header}}),
        ("STM-5", "text for a list", {"predicate": {**predicate, "heads": "none"}}),
        ("STM-5", "text for a number", {"predicate": {**predicate, "header": {**header, "sequence": "0"}}}),
        ("STM-5", "a negative number", {"predicate": {**predicate, "header": {**header, "sequence": -1}}}),
        ("HDR-1", "another stream", {"predicate": {**predicate, "header": {**header, "stream": "orders"}}}),
        ("HDR-1", "a facility", {"predicate": {**predicate, "header": {**header, "stream": "close/aurora-1"}}}),
        ("HDR-2", "no window", {"predicate": {**predicate, "header": {**header, "window": None}}}),
        ("HDR-3", "another name", {"subject": [{**subject, "name": "telemetry"}]}),
        ("HDR-3", "another digest", {"subject": [{**subject, "digest": {"sha256": "0" * 64}}]}),
        ("HDR-3", "two subjects", {"subject": [subject, subject]}),
    ):  # fmt: skip
        yield Case(clause, "predicate", MALFORMED, why, _changed(good, **members))
    order = canonical.load(base.write(_order(world)))["predicate"]
    windowed = {**order, "header": {**order["header"], "window": header["window"]}}
    yield Case(
        "HDR-2", "predicate", MALFORMED, "a window too many", _changed(base.write(_order(world)), predicate=windowed)
    )


def _authority(world: World) -> Iterator[Case]:
    close, order, (first, second, *_) = _close(world), _order(world), world.roll.overseers
    reading = world.claim("aurora", Energy, _reading(), 0, 0)
    for clause, trouble, why, claim, members, signers in (
        ("HDR-4", "FOREIGN", "another agreement", close, {"agreement": "0" * 64}, (first,)),
        ("HDR-4", "FOREIGN", "another log", close, {"log": "log.example/other"}, (first,)),
        ("HDR-5", "UNAUTHORISED", "signed by somebody else", close, {}, (second,)),
        ("HDR-5", "UNAUTHORISED", "signed by somebody else as well", close, {}, (first, second)),
        ("HDR-5", "UNAUTHORISED", "by a party without the role", reading, {}, ("aurora",)),
        ("HDR-5", "UNAUTHORISED", "by no party", close, {"party": "nobody"}, (first,)),
        ("HDR-6", "UNAUTHORISED", "one of two members", order, {}, (first,)),
        ("HDR-6", "UNAUTHORISED", "a stranger as well", order, {}, (first, second, "aurora")),
    ):  # fmt: skip
        header = claim.header.model_copy(update=members)
        payload = base.write(claim.model_copy(update={"header": header}))
        yield Case(clause, "authority", trouble, why, dsse.sign(payload, *(world.keys[name] for name in signers)).raw)


def _reading() -> dict[str, Any]:
    return {
        "energy_wh": 1, "facility": "aurora-1", "interval_end_at": "2026-07-13T00:00:00Z",
        "interval_start_at": "2026-07-06T00:00:00Z", "lab": "aurora", "meter_class": "0.2", "meter_id": "main",
        "non_ai_energy_wh": 0, "onsite_generation_energy_wh": 0, "pue": ratio(120), "storage_change_energy_wh": 0,
    }  # fmt: skip


# ── envelopes ──


def _envelopes(world: World) -> Iterator[Case]:
    first, second = (world.keys[name] for name in world.roll.overseers[:2])
    payload = base.write(_order(world))
    good = dsse.sign(payload, first, second)
    value = canonical.load(good.raw)
    one, two = value["signatures"]
    own = dsse.sign(base.write(_close(world)), first)
    mine = canonical.load(own.raw)["signatures"][0]
    other = {**mine, "keyid": second.public.keyid}
    stranger = dsse.sign(own.payload, first, demo_key("a stranger")).raw
    flipped = base64(bytes([own.signatures[0].value[0] ^ 1]) + own.signatures[0].value[1:])
    for clause, layer, error, why, raw in (
        ("ENV-2", "envelope", MALFORMED, "a member more", _changed(good.raw, comment="x")),
        ("ENV-2", "envelope", MALFORMED, "another payload type", _changed(good.raw, payloadType="application/json")),
        ("ENV-2", "envelope", MALFORMED, "base64 without padding", _changed(own.raw, payload="e30")),
        ("ENV-2", "envelope", MALFORMED, "base64 with spare bits", _changed(own.raw, payload="e31=")),
        ("ENV-2", "envelope", MALFORMED, "base64url", _changed(own.raw, payload="_-8=")),
        ("ENV-2", "envelope", MALFORMED, "a member more", _changed(own.raw, signatures=[{**mine, "cert": ""}])),
        ("ENV-3", "envelope", MALFORMED, "no signature", _changed(good.raw, signatures=[])),
        ("ENV-3", "envelope", MALFORMED, "falling keyids", _changed(good.raw, signatures=[two, one])),
        ("ENV-3", "envelope", MALFORMED, "one keyid twice", _changed(good.raw, signatures=[one, one])),
        ("ENV-4", "envelope", MALFORMED, "a keyid in hex", _changed(own.raw, signatures=[{**mine, "keyid": "0" * 64}])),
        ("ENV-4", "envelope", MALFORMED, "no keyid", _changed(own.raw, signatures=[{**mine, "keyid": ""}])),
        ("ENV-4", "signatures", FORGED, "the keyid of another key", _changed(own.raw, signatures=[other])),
        ("ENV-5", "signatures", FORGED, "an unknown key as well", stranger),
        (
            "ENV-5",
            "signatures",
            FORGED,
            "a failing signature",
            _changed(own.raw, signatures=[{**mine, "sig": flipped}]),
        ),
    ):
        yield Case(clause, layer, error, why, raw)


# ── agreements ──


def _agreements(world: World) -> Iterator[Case]:
    whole = world.agreement.document.model_dump(mode="json")
    terms = {**whole, "due": [], "facilities": [], "hardware": whole["hardware"][:1]}
    people, (overseers, signatories), policy = terms["principals"], terms["bodies"], terms["witnesses"]
    first, second = policy["members"]
    log = terms["log"]
    itself = {name: log[name] for name in ("mldsa44", "origin", "vkey")}
    mirrored = {"principals": [*people, {**people[0], "id": "pool", "keys": [], "roles": ["mirror"]}]}
    same = {**first, "principal": "pool"}
    quay = {**people[0], "id": "quay", "keys": [], "roles": ["intake"]}
    beside, taking = {"principals": [*people, quay]}, {"principals": [*people, {**quay, "organisation": "Quay"}]}
    closed = [{"per": "party", "role": "intake", "stream": "close"}]
    spare = [{"public": base64(demo_key("a spare").public.raw), "suite": "ed25519"}]
    for clause, why, members in (
        ("AGR-1", "a principal twice", {"principals": [*people, {**people[0], "keys": []}]}),
        ("AGR-1", "a key twice", {"principals": [*people, {**people[0], "id": "twin"}]}),
        ("AGR-1", "two of a suite", {"principals": [{**people[0], "keys": people[0]["keys"] + spare}, *people[1:]]}),
        ("AGR-1", "an undefined name", {"bodies": [{**overseers, "members": ["avon", "nobody"]}, signatories]}),
        ("AGR-2", "as many faulty as a quorum", {"witnesses": {**policy, "faulty": 2}}),
        ("AGR-2", "two quorums that share nobody", {"witnesses": {**policy, "faulty": 0, "quorum": 1}}),
        ("AGR-2", "a principal twice", {"witnesses": {**policy, "members": [first, {**second, "principal": "wharf"}]}}),
        ("AGR-2", "a key twice", {"witnesses": {**policy, "members": [first, {**second, "vkey": first["vkey"]}]}}),
        ("AGR-9", "a quorum of no mirrors", {"mirrors": {"members": [], "quorum": 1}}),
        ("AGR-9", "a mirror with a witness's key", {**mirrored, "mirrors": {"members": [same], "quorum": 1}}),
        ("AGR-9", "a log that succeeds itself", {"log": {**log, "successors": [itself]}}),
        ("AGR-10", "a quorum of nobody", {"intake": {"quorum": 1}}),
        ("AGR-10", "an intake party of a lab's organisation", {**beside, "due": closed, "intake": {"quorum": 1}}),
        ("AGR-10", "intake parties that close nothing", {**taking, "intake": {"quorum": 1}}),
        ("AGR-5", "version 2", {"version": 2, "previous": world.agreement.id}),
    ):  # fmt: skip
        raw = _agreed(world, {**terms, **members}, *signatories["members"])
        yield Case(clause, "agreement", MALFORMED, why, raw)
    everybody = signatories["members"]
    for error, why, signers, kind in (
        (FORGED, "one signature fewer than the threshold", everybody[1:], document.TYPE),
        (FORGED, "somebody else as well", (*everybody, "probe"), document.TYPE),
        (MALFORMED, "another type", everybody, document.TYPE.replace("v1", "v2")),
    ):
        yield Case("AGR-4", "agreement", error, why, _agreed(world, terms, *signers, kind=kind))


def _agreed(world: World, terms: dict[str, Any], *signers: str, kind: str = document.TYPE) -> bytes:
    subject = statement.Subject(terms["name"], hashlib.sha256(canonical.dump(terms)).hexdigest())
    return dsse.sign(statement.format([subject], kind, terms), *(world.keys[name] for name in signers)).raw


# ── notes and checkpoints ──


def _notes(world: World) -> Iterator[Case]:
    key, log = world.agreement.log_key, world.keys[world.roll.log]
    good = checkpoint.sign(Checkpoint(key.name, 2, ROOT), log).raw
    text, _, line = good.partition(b"\n\n")
    start = "\u2014 ".encode()
    blob = line.rpartition(b" ")[2].rstrip()
    stranger = note.sign(good.decode().partition("\n\n")[0] + "\n", [("stranger.example", demo_key("a stranger"))]).raw
    failing = note.sign("another text\n", [(key.name, log)]).raw.partition(b"\n\n")[2]
    for clause, layer, error, why, raw in (
        ("NOTE-1", "note", MALFORMED, "no UTF-8", b"\xff" + good),
        ("NOTE-1", "note", MALFORMED, "a tab", good.replace(b"\n2\n", b"\n2\t\n")),
        ("NOTE-1", "note", MALFORMED, "a carriage return", good.replace(b"\n2\n", b"\r\n2\r\n")),
        ("NOTE-1", "note", MALFORMED, "no empty line", good.replace(b"\n\n", b"\n")),
        ("NOTE-1", "note", MALFORMED, "no signature line", text + b"\n\n"),
        ("NOTE-1", "note", MALFORMED, "no newline at the end", good[:-1]),
        ("NOTE-1", "note", MALFORMED, "an empty line at the end", good + b"\n"),
        ("NOTE-2", "note", MALFORMED, "a hyphen for the dash", good.replace(start, b"- ")),
        ("NOTE-2", "note", MALFORMED, "two spaces", good.replace(blob, b" " + blob)),
        ("NOTE-2", "note", MALFORMED, "a key id and no signature", good.replace(blob, b"MK4J2w==")),
        ("NOTE-2", "note", MALFORMED, "base64 with spare bits", good.replace(blob, b"MK4J2wB=")),
        ("NOTE-3", "note-signatures", FORGED, "a second line of the log, of another text", good + failing),
        ("NOTE-4", "note-signatures", FORGED, "no line by a known key", stranger),
        ("NOTE-6", "note-signatures", MALFORMED, "the same line twice", good + line),
        ("NOTE-7", "note", MALFORMED, "101 lines", good + (start + b"x AAAAAAA=\n") * 100),
        ("NOTE-8", "note", MALFORMED, "no key name", good + start + b" AAAAAAA=\n"),
        ("NOTE-8", "note", MALFORMED, "a plus sign", good + start + b"a+b AAAAAAA=\n"),
        ("NOTE-8", "note", MALFORMED, "a no-break space", good + start + "a\u00a0b AAAAAAA=\n".encode()),
    ):
        yield Case(clause, layer, error, why, raw, {"vkey": note.format_vkey(key)})


def _checkpoints(world: World) -> Iterator[Case]:
    key, log = world.agreement.log_key, world.keys[world.roll.log]
    root = base64(ROOT)
    for clause, why, text in (
        ("CKPT-1", "two lines", f"{key.name}\n2\n"), ("CKPT-1", "no origin", f"\n2\n{root}\n"),
        ("CKPT-1", "an origin of 256 bytes", f"{'a' * 256}\n2\n{root}\n"),
        ("CKPT-2", "a leading zero", f"{key.name}\n02\n{root}\n"),
        ("CKPT-2", "a plus sign", f"{key.name}\n+2\n{root}\n"),
        ("CKPT-2", "a minus sign", f"{key.name}\n-2\n{root}\n"),
        ("CKPT-2", "2^63", f"{key.name}\n{2**63}\n{root}\n"),
        ("CKPT-2", "digits that are not ASCII", f"{key.name}\n\u0662\n{root}\n"),
        ("CKPT-3", "31 bytes", f"{key.name}\n2\n{base64(ROOT[1:])}\n"),
        ("CKPT-3", "33 bytes", f"{key.name}\n2\n{base64(ROOT + b'x')}\n"),
        ("CKPT-3", "spare bits", f"{key.name}\n2\n{root[:-2]}{chr(ord(root[-2]) + 1)}=\n"),
        ("CKPT-4", "an extension line", f"{key.name}\n2\n{root}\nextension\n"),
        ("CKPT-4", "an empty extension line", f"{key.name}\n2\n{root}\n\n"),
    ):  # fmt: skip
        raw = note.sign(text, [(key.name, log)]).raw
        yield Case(clause, "checkpoint", MALFORMED, why, raw, {"vkey": note.format_vkey(key)})
    given = {"vkey": note.format_vkey(key)}
    other = checkpoint.sign(Checkpoint(key.name, 2, ROOT), demo_key("a stranger")).raw
    yield Case("CKPT-5", "note-signatures", FORGED, "another key under the log's name", other, given)
    crossed = note.sign(checkpoint.format(Checkpoint("log.example/other", 2, ROOT)), [(key.name, log)]).raw
    yield Case("CKPT-6", "origin", FORGED, "signed by the log, about another", crossed, given)


def _vkeys(world: World) -> Iterator[Case]:
    good = note.format_vkey(world.agreement.log_key)
    name, number, key = good.split("+", 2)
    for clause, why, text in (
        ("NOTE-8", "no key name", f"+{number}+{key}"), ("NOTE-8", "a space", f"log example+{number}+{key}"),
        ("NOTE-9", "the id of another key", f"{name}+00000000+{key}"),
        ("NOTE-9", "upper case", f"{name}+{number.upper()}+{key}"),
        ("NOTE-9", "a newline behind it", good + "\n"),
        ("NOTE-9", "a type that nobody verifies", _vkey(name, bytes([2]) + bytes(32))),
        ("NOTE-9", "ML-DSA-44 with a key of 32 bytes", _vkey(name, bytes([6]) + bytes(32))),
    ):  # fmt: skip
        yield Case(clause, "vkey", MALFORMED, why, text.encode())


def _vkey(name: str, material: bytes) -> str:
    number = hashlib.sha256(name.encode() + b"\n" + material).digest()[:4]
    return f"{name}+{number.hex()}+{base64(material)}"


# ── tiles and keys ──


def _tiles() -> Iterator[Case]:
    for why, path in (
        ("a slash in front", "/tile/0/000"), ("level 64", "tile/64/000"), ("a level with a zero", "tile/00/000"),
        ("a group of zeros in front", "tile/0/x000/001"), ("two digits", "tile/0/01"), ("no x", "tile/0/001/234"),
        ("a width of 0", "tile/0/000.p/0"), ("a width of 256", "tile/0/000.p/256"),
        ("a width with a zero", "tile/0/000.p/01"), ("a way out", "tile/0/../../checkpoint"),
    ):  # fmt: skip
        yield Case("TILE-1", "tile-path", MALFORMED, why, path.encode())
    for why, data, width in (("empty", b"", 1), ("cut", bytes(63), 2), ("a hash more", bytes(64), 1)):
        yield Case("TILE-3", "tile", MALFORMED, why, data, {"width": width})
    bundle = tile.format_bundle([b"golden-0", b"golden-1"])
    for why, data, width in (
        ("an entry more", bundle, 1), ("an entry fewer", bundle, 3), ("a byte more", bundle + b"\0", 2),
        ("a cut entry", bundle[:-1], 2), ("a cut length", bundle[:11], 2),
    ):  # fmt: skip
        yield Case("TILE-4", "bundle", MALFORMED, why, data, {"width": width})


def _keys() -> Iterator[Case]:
    for clause, why, number in (
        ("KEY-2", "a y-coordinate of p + 3", (2**255 - 16).to_bytes(32, "little")),
        ("KEY-3", "the point of order 1", b"\1" + bytes(31)),
    ):
        yield Case(clause, "public-key", MALFORMED, why, number)
    key = demo_key("aurora")
    given = {"key": base64(key.public.raw), "message": base64(b"message")}
    yield Case("KEY-1", "ed25519", FORGED, "65 bytes", key.sign(b"message") + b"\0", given)
    for clause, why, message, public, signature in SPECCHECK:
        given = {"key": base64(bytes.fromhex(public)), "message": base64(bytes.fromhex(message))}
        yield Case(clause, "ed25519", FORGED, why, bytes.fromhex(signature), given)
    post = demo_key("aurora", MLDSA44)
    given = {"key": base64(post.public.raw), "message": base64(b"message")}
    for why, size in (("a byte fewer", 2_419), ("a byte more", 2_421), ("zeros", 2_420)):
        yield Case("KEY-8", "ml-dsa-44", FORGED, why, bytes(size), given)
    bare = keyfile.format_key("aurora", key, passphrase=None, salt=b"", nonce=b"")[:-1]
    kdf = {"memory_bytes": 67_108_864, "name": "argon2id", "operations": 2, "salt": base64(bytes(16))}
    sealed = _changed(bare, kdf=kdf, seed=..., sealed=base64(bytes(72)))
    public = base64(demo_key("borealis").public.raw)
    for clause, layer, why, raw in (
        ("KEY-5", "key-file", "no line feed", bare),
        ("KEY-5", "key-file", "a member more", _changed(bare, comment="x") + b"\n"),
        ("KEY-5", "key-file", "a bare seed beside a derivation", _changed(bare, kdf=kdf) + b"\n"),
        ("KEY-6", "key-file", "scrypt", _changed(sealed, kdf={**kdf, "name": "scrypt"}) + b"\n"),
        ("KEY-6", "key-file", "more memory", _changed(sealed, kdf={**kdf, "memory_bytes": 2**40}) + b"\n"),
        ("KEY-6", "key-file", "a salt of 8 bytes", _changed(sealed, kdf={**kdf, "salt": base64(bytes(8))}) + b"\n"),
        ("KEY-7", "key-file-open", "the public key of another seed", _changed(bare, public=public) + b"\n"),
    ):
        yield Case(clause, layer, MALFORMED, why, raw)
