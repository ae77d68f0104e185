# SPDX-License-Identifier: Apache-2.0
"""What is fuzzed: for each parser, how inputs are made of valid ones, and what must be true of whatever it answers.

A check returns "accepted" or "refused", and raises for everything that must not be. Refused means Malformed or Forged.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from hashlib import sha256
from io import BytesIO
from random import Random
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import doors
import mutations
from doors import world

from pausectl.agreement import document
from pausectl.agreement import policy as exports
from pausectl.agreement.lint import lint_file
from pausectl.errors import Forged, Malformed, Refused
from pausectl.history.decode import decode
from pausectl.history.reader import sight
from pausectl.lab.collectors import inspect_ai, lm_eval
from pausectl.log import bookmark, stage
from pausectl.log.bookmark import Bookmark
from pausectl.mirror import memory as mirror_memory
from pausectl.mirror.memory import Cursor
from pausectl.predicates import base
from pausectl.predicates.base import Predicate
from pausectl.sim import refused_policies, terms
from pausectl.sim.world import World
from pausectl.wire import (
    canonical,
    checkpoint,
    cosignature,
    dsse,
    evidence,
    keyfile,
    keys,
    merkle,
    note,
    opening,
    pem,
    policy,
    proof,
    rows,
    seal,
    sealtree,
    statement,
    tile,
    witness,
)

Check = Callable[[bytes], str]
Make = Callable[[Random], bytes]


class Violation(AssertionError):
    """A parser took what it does not write, or two that must agree do not."""


@dataclass(frozen=True)
class Target:
    """One parser. share: of the inputs, relative to the others; less for those that take long."""

    name: str
    make: Make
    check: Check
    seeds: Sequence[bytes] = field(repr=False, default=())
    share: float = 1.0


def same(found: object, expected: object, what: str) -> None:
    if found != expected:
        raise Violation(f"{what}: expected {repr(expected)[:300]}, found {repr(found)[:300]}")


def attempt(call: Callable[[], Any], *more: type[Exception]) -> tuple[bool, Any]:
    """(whether it was accepted, value or the message)."""
    try:
        return True, call()
    except (Malformed, Forged, *more) as error:
        return False, str(error)


def pair(parse: Callable[[bytes], Any], format: Callable[[Any], bytes]) -> Check:
    """`format(parse(b)) == b`, or refused."""

    def check(raw: bytes) -> str:
        accepted, value = attempt(lambda: parse(raw))
        if accepted:
            same(format(value), raw, "format(parse(b))")
        return "accepted" if accepted else "refused"

    return check


def text(parse: Callable[[str], Any]) -> Callable[[bytes], Any]:
    """A parser of text, fed bytes: what is no UTF-8 goes in with lone surrogates, as os.fsdecode makes them."""
    return lambda raw: parse(raw.decode("utf-8", "surrogateescape"))


def plain(call: Callable[[bytes], Any], *more: type[Exception]) -> Check:
    """Any answer will do, but no other error."""
    return lambda raw: "accepted" if attempt(lambda: call(raw), *more)[0] else "refused"


# ── seeds ──


@cache
def quantum() -> World:
    return World(windows=0, roll=terms.Roll(post_quantum=True)).run()


@cache
def payloads() -> tuple[bytes, ...]:
    """One statement of each type, and a few more."""
    kinds: dict[str, bytes] = {}
    for _, raw, claim in world().said:
        if claim is not None:
            kinds.setdefault(claim.name, dsse.parse(raw).payload)
    unknown = statement.format([statement.Subject("x", "0" * 64)], "https://example.com/x/v1", {"a": [1, "é", None]})
    marks = (dsse.parse(raw).payload for raw in world().memory.entries if b"payload" in raw)
    mark = next(raw for raw in marks if b"checkpoint/v1" in raw)
    return (*kinds.values(), unknown, mark)


@cache
def leaves() -> tuple[bytes, ...]:
    """Entries with one signature, several, and one over a long payload."""
    several = dsse.sign(payloads()[0], *(terms.demo_key(name) for name in ("a", "b", "c"))).raw
    return (*world().memory.entries[1:12], several)


@cache
def head() -> bytes:
    return world().memory.files()["checkpoint"]


@cache
def requests() -> tuple[bytes, ...]:
    signed = note.parse(head())
    bare = note.Note(signed.text, signed.signatures[:1]).raw
    proofs: list[tuple[int, tuple[bytes, ...]]] = [
        (0, ()),
        (1, (bytes(32),)),
        (7, tuple(bytes([n]) * 32 for n in range(9))),
    ]
    return tuple(witness.format_request(witness.Request(size, proof, bare)) for size, proof in proofs)


@cache
def policies() -> tuple[bytes, ...]:
    written = policy.format(exports.of(world().agreement, {terms.ORIGIN: "https://log.example/"}))
    return (
        written,
        b"# c\n\t" + written.replace(b"quorum", b"  # more\nquorum\t"),
        *refused_policies.good(world())[:1],
    )


@cache
def post() -> tuple[bytes, ...]:
    key = terms.demo_key("aurora", keys.MLDSA44).public
    return (note.format_vkey(note.VerifierKey("wharf.example", note.TYPE_MLDSA44, key)).encode(),)


@cache
def proofs() -> tuple[bytes, ...]:
    return tuple(
        proof.format(proof.Proof(index, (bytes(32),) * hashes, head(), extra))
        for index, hashes, extra in ((0, 0, b""), (5, 3, b""), (5, 2, b"name.json"))
    )


@cache
def openings() -> tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]]:
    context = seal.Context("a" * 64, "aurora", "aurora-1", "telemetry/aurora-1", 0, 3_600_000, 4)
    made = rows.rows_from_readings(
        bytes(16), [(n * 60_000, 1_000_000 + n) for n in range(20)], 0, 3_600_000, max_gap_ms=90_000
    )
    sealed = seal.seal(made, context, bytes(32))
    of_rows = [
        opening.prove_row(sealed, made[n // 4 * 4 : n // 4 * 4 + 4], n, bytes(32)) for n in (0, 5, len(made) - 1)
    ]
    of_blocks = [opening.prove_block(sealed, made[n * 4 : n * 4 + 4], n, bytes(32)) for n in (0, 2)]
    return (
        tuple(opening.format_row_opening(each) for each in of_rows),
        tuple(opening.format_block_opening(each) for each in of_blocks),
    )


@cache
def key_files() -> tuple[bytes, ...]:
    key = terms.demo_key("aurora")
    return (
        keyfile.format_key("aurora", key, passphrase=None, salt=b"", nonce=b""),
        keyfile.format_key("log.example/pause", key, passphrase=b"x", salt=bytes(16), nonce=bytes(24)),
    )


# ── inputs ──


def damaged(seeds: Sequence[bytes]) -> Make:
    return lambda rng: mutations.damage(rng, seeds)


def reworked(seeds: Sequence[bytes], wrap: Callable[[Random, bytes], bytes] = lambda _, raw: raw) -> Make:
    """Half of them damaged as bytes, half changed as JSON and written anew; `wrap` puts an envelope around."""
    values = [json.loads(seed) for seed in seeds]

    def make(rng: Random) -> bytes:
        if rng.random() < 0.5:
            return wrap(rng, mutations.damage(rng, seeds))
        return wrap(rng, mutations.write(rng, mutations.rework(rng, rng.choice(values))))

    return make


def signed_agreement(rng: Random, payload: bytes) -> bytes:
    """Signed by those who may, or nearly."""
    names = ["aurora", "borealis", "cirrus", "avon", "brent", "cam"]
    if rng.random() < 0.1:
        names = rng.sample([*names, "wharf", "nobody"], rng.randrange(1, 8))
    message = dsse.pae(dsse.IN_TOTO.encode(), payload)
    made = [dsse.Signature(key.public.keyid, key.sign(message)) for key in map(terms.demo_key, names)]
    try:
        return dsse.format(payload, made)
    except Malformed:
        return payload


def signed_leaf(rng: Random, payload: bytes) -> bytes:
    key = terms.demo_key(rng.choice(("aurora", "avon", "gridco", "nobody")))
    return dsse.format(payload, [dsse.Signature(key.public.keyid, key.sign(dsse.pae(dsse.IN_TOTO.encode(), payload)))])


def cosigned(rng: Random) -> bytes:
    """A checkpoint of damaged text, signed by the log and by some witnesses all the same; or damaged bytes."""
    if rng.random() < 0.4:
        return mutations.damage(rng, [head()])
    seed = note.parse(head()).text.encode()
    body = mutations.damage(rng, [seed]) if rng.random() < 0.7 else seed
    lines = [_line(terms.ORIGIN, note.TYPE_ED25519, "ledgerco", body, b"")]
    for name in rng.sample(world().roll.witnesses, rng.randrange(5)):
        time = rng.choice((1_785_000_000, 0, 1, 2**63 - 1, 2**63, 2**64 - 1, 253_402_300_799, 253_402_300_800))
        message = b"cosignature/v1\ntime %d\n%b" % (time, body)
        lines.append(_line(f"{name}.example", note.TYPE_COSIGNATURE, name, message, time.to_bytes(8, "big")))
    rng.shuffle(lines)
    if rng.random() < 0.1:
        lines *= rng.choice((2, 30))
    return body + b"\n" + b"".join(lines)


def _line(name: str, kind: int, party: str, message: bytes, stamp: bytes) -> bytes:
    key = terms.demo_key(party)
    key_id = note.VerifierKey(name, kind, key.public).key_id
    return f"\u2014 {name} {keys.base64(key_id + stamp + key.sign(message))}\n".encode()


def digested(seeds: Sequence[bytes]) -> Make:
    """A line that was damaged, and its digest, most often the right one."""

    def make(rng: Random) -> bytes:
        if rng.random() < 0.2:
            return mutations.damage(rng, seeds)
        line = mutations.damage(rng, [seed.split(b"\n")[0] for seed in seeds])
        return line + b"\n" + sha256(line).hexdigest().encode() + b"\n"

    return make


@cache
def places() -> list[bytes]:
    """Where a check of a log was."""
    row, found = tuple(bytes([n]) * 32 for n in range(5)), (("tile/0/003", None, "is missing"), ("x", 9, "y"))
    return [
        bookmark.format(Bookmark("log", 5, (row,), found)),
        bookmark.format(Bookmark("log", 256, ((), (None,)), ())),
    ]


@cache
def proven() -> list[bytes]:
    """Evidence of one size and of two."""
    key = terms.demo_key("ledgerco")

    def signed(size: int, fill: int) -> bytes:
        return checkpoint.sign(checkpoint.Checkpoint(terms.ORIGIN, size, bytes([fill]) * 32), key).raw

    made = [
        evidence.Evidence(signed(5, 1), signed(5, 2), ("x", "y")),
        evidence.Evidence(signed(5, 1), signed(5, 2), ("x", "y"), key=bytes(1312)),
        evidence.Evidence(signed(5, 1), signed(9, 2), ("x", "y"), root=bytes(32), proof=(bytes(32), b"\x01" * 32)),
    ]
    return [evidence.format(each) for each in made]


@cache
def cursors() -> list[bytes]:
    """Where a mirror was."""
    return [mirror_memory.format_cursor(each) for each in (Cursor(), Cursor((1, 300), 256, head()))]


# ── checks ──


def check_canonical(raw: bytes) -> str:
    """`load` takes what `dump` gives, and `tidy` takes that too."""
    accepted, value = attempt(lambda: canonical.load(raw))
    if accepted:
        same(canonical.dump(value), raw, "dump(load(b))")
        same(canonical.tidy(raw), value, "tidy(b)")
    return "accepted" if accepted else "refused"


def check_tidy(raw: bytes) -> str:
    """What `tidy` reads has a canonical form, unless it is too large for one, and that form reads back."""
    accepted, value = attempt(lambda: canonical.tidy(raw))
    if accepted:
        whole = canonical.dump(value)
        same(canonical.load(whole, limit=1 << 24), value, "load(dump(tidy(b)))")
    return "accepted" if accepted else "refused"


def check_dsse(raw: bytes) -> str:
    """The quick parser takes a subset and agrees there."""
    accepted, envelope = attempt(lambda: dsse.parse(raw))
    quick = dsse.parse_fast(raw)
    if quick is not None:
        same(quick, envelope if accepted else None, "parse_fast(b)")
    if accepted:
        same(dsse.format(envelope.payload, envelope.signatures), raw, "format(parse(b))")
        if len(envelope.signatures) == 1 and quick is None:
            raise Violation("parse_fast(b) is None for a leaf with one signature")
    return "accepted" if accepted else "refused"


def check_statement(raw: bytes) -> str:
    accepted, value = attempt(lambda: statement.parse(raw))
    if accepted:
        same(statement.format(value.subjects, value.predicate_type, value.predicate), raw, "format(parse(b))")
    return "accepted" if accepted else "refused"


def check_predicate(raw: bytes) -> str:
    """The quick reader and the one that explains say the same, and a claim writes its own bytes."""
    accepted, claim = attempt(lambda: base.read(raw))
    slow_accepted, explained = attempt(lambda: base.explain(raw))
    same(accepted, slow_accepted, "whether explain(b) accepts what read(b) accepts")
    if accepted:
        same(claim, explained, "read(b)")
    if isinstance(claim, Predicate):
        same(base.write(claim), raw, "write(read(b))")
    return "accepted" if accepted else "refused"


def check_decode(raw: bytes) -> str:
    """For a reader of a ledger no bytes are an error."""
    decoded = decode(raw, world().agreement.keys)
    said = [decoded.claim is not None, decoded.unknown is not None, decoded.trouble is not None]
    same(sum(said), 1, "exactly one of claim, unknown and trouble")
    return "refused" if decoded.trouble is not None else "accepted"


def check_checkpoint(raw: bytes) -> str:
    accepted, value = attempt(lambda: checkpoint.open(raw, world().agreement.log_key))
    if accepted:
        opened, signed = value
        same(signed.raw, raw, "open(b)")
        same(checkpoint.format(opened), signed.text, "format(parse(text))")
        attempt(lambda: cosignature.cosignatures(signed, list(world().agreement.witness_keys.values())))
    return "accepted" if accepted else "refused"


def check_sight(raw: bytes) -> str:
    accepted, seen = attempt(lambda: sight(raw, world().agreement))
    if accepted:
        same(seen.raw, raw, "sight(b)")
        if not 0 < seen.first <= seen.by:
            raise Violation(f"times {seen.first} and {seen.by}")
    return "accepted" if accepted else "refused"


def check_pinned(raw: bytes) -> str:
    """Under an agreement with two keys for everybody; what is taken has both lines of the log and of a quorum."""
    accepted, seen = attempt(lambda: sight(raw, quantum().agreement))
    if accepted:
        same(seen.raw, raw, "sight(b)")
        names = [line.name for line in note.parse(raw).signatures]
        whole = [party for party in quantum().roll.witnesses if names.count(f"{party}.example") >= 2]
        if names.count(terms.ORIGIN) < 2 or len(whole) < quantum().agreement.document.witnesses.quorum:
            raise Violation("a checkpoint was taken without all its lines")
    return "accepted" if accepted else "refused"


def stripped(rng: Random) -> bytes:
    """A checkpoint with two lines each, some of them gone, or damaged."""
    signed = note.parse(quantum().memory.head)
    kept = [line for line in signed.signatures if rng.random() < 0.9]
    raw = note.Note(signed.text, tuple(kept or signed.signatures)).raw
    return mutations.damage(rng, [raw]) if rng.random() < 0.3 else raw


def check_document(raw: bytes) -> str:
    accepted, agreed = attempt(lambda: document.parse(raw))
    if accepted:
        same(agreed.raw, raw.removesuffix(b"\n"), "parse(b)")
        same(document.draft(agreed.document), dsse.parse(agreed.raw).payload, "draft(parse(b))")
    return "accepted" if accepted else "refused"


def check_draft(raw: bytes) -> str:
    """A draft that is read can be written, and reads back as itself."""
    accepted, read = attempt(lambda: document.read_document(canonical.tidy(raw)))
    if accepted:
        again = document.read_document(statement.parse(document.draft(read)).predicate)
        same(again, read, "read(draft(read(b)))")
    return "accepted" if accepted else "refused"


def check_policy(raw: bytes) -> str:
    """What is read can be written, and says the same; `lint_file` finds an error exactly where it is not read."""
    accepted, found = attempt(lambda: policy.parse(raw))
    if accepted:
        same(policy.parse(policy.format(found)), found, "parse(format(p))")
        attempt(lambda: policy.take(found, head()))
    same(any(each.code == "refused" for each in lint_file(raw)), not accepted, "whether lint finds it refused")
    return "accepted" if accepted else "refused"


def check_bundle(raw: bytes) -> str:
    """At the width that the first byte asks for, so that all widths come."""
    width, data = (raw[0] % 256 or 256, raw[1:]) if raw else (1, b"")
    pair(lambda b: tile.parse_hashes(b, width), tile.format_hashes)(data)
    return pair(lambda b: tile.parse_bundle(b, width), tile.format_bundle)(data)


def check_opening(parse: Callable[[Any], Any], format: Callable[[Any], Any], raw: bytes) -> str:
    """JSON, of which it must be shown that it is what the writer writes."""
    accepted, value = attempt(lambda: canonical.tidy(raw))
    if not accepted:
        return "refused"
    accepted, opened = attempt(lambda: parse(value))
    if accepted:
        same(format(opened), value, "format(parse(value))")
    return "accepted" if accepted else "refused"


def check_pem(raw: bytes) -> str:
    spelled = raw.decode("utf-8", "surrogateescape")
    found = [
        attempt(lambda: pem.public_from_openssh(spelled))[0],
        attempt(lambda: pem.public_from_pem(spelled))[0],
        attempt(lambda: pem.private_from_pem(raw, None))[0],
    ]
    return "accepted" if any(found) else "refused"


def check_inspect(raw: bytes) -> str:
    """A log of either form, up to the results of its run."""

    def whole(name: str) -> object:
        run = inspect_ai.parse(BytesIO(raw), name, "")
        return run is not None and (run.flaw(), list(run.results()))

    found = [attempt(lambda name=name: whole(name))[0] for name in ("log.eval", "log.json")]
    return "accepted" if any(found) else "refused"


def inspected() -> list[bytes]:
    """A log of Inspect as JSON."""
    scores = [{"name": "match", "scorer": "match", "metrics": {"accuracy": {"value": 0.75}, "stderr": {"value": 0.2}}}]
    log = {
        "version": 2, "status": "success", "results": {"total_samples": 2, "completed_samples": 2, "scores": scores},
        "eval": {"run_id": "r", "task_id": "t", "task": "a", "model": "m", "created": "2026-07-06T10:00:00Z",
                 "config": {"epochs": 2}, "dataset": {"samples": 100, "sample_ids": [1]}},
        "stats": {"started_at": "2026-07-06T10:00:00Z", "completed_at": "2026-07-06T10:00:30+02:00",
                  "model_usage": {"m": {"total_tokens": 7}}},
        "samples": [{}, {}],
    }  # fmt: skip
    return [json.dumps(log).encode()]


def zipped() -> list[bytes]:
    """The same as archives, stored and deflated; and one of a run without an end."""
    (log,) = inspected()
    made = []
    for method, name in (
        (ZIP_STORED, "header.json"),
        (ZIP_DEFLATED, "header.json"),
        (ZIP_STORED, "_journal/start.json"),
    ):
        with ZipFile(packed := BytesIO(), "w", method) as archive:
            for member in (name, "samples/1_epoch_1.json", "samples/1_epoch_2.json"):
                archive.writestr(ZipInfo(member), log, method)
        made.append(packed.getvalue())
    return made


def harnessed() -> list[bytes]:
    """A results file of lm_eval."""
    file = {
        "results": {"g": {"acc,none": 0.5}, "t": {"alias": "t", "acc,none": 0.5, "acc_stderr,none": "N/A"}},
        "groups": {"g": {}}, "group_subtasks": {"g": ["t"]}, "versions": {"t": 1.0}, "n-shot": {"t": 5},
        "configs": {"t": {"repeats": 1}}, "n-samples": {"t": {"original": 9, "effective": 3}}, "date": 1766001300.25,
        "config": {"model_args": "pretrained=m,dtype=x"}, "model_name": "", "lm_eval_version": "0.4.9.2",
        "total_evaluation_time_seconds": "1810.12",
    }  # fmt: skip
    return [json.dumps(file).encode()]


def bundles() -> list[bytes]:
    entries = [b"", b"a", b"bc" * 30, b"d" * 300]
    return [bytes([n % 256]) + tile.format_bundle((entries * 64)[:n]) for n in (1, 2, 3, 4, 255, 256)]


def foreign() -> list[bytes]:
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.from_private_bytes(bytes(32))
    bare = form.NoEncryption()
    public = terms.demo_key("aurora").public
    return [
        pem.to_openssh(public).encode(), pem.to_pem(public).encode(),
        private.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, bare),
        private.private_bytes(form.Encoding.PEM, form.PrivateFormat.OpenSSH, bare),
    ]  # fmt: skip


def all_targets() -> Iterator[Target]:
    """Every parser of bytes that come from somebody else."""
    messy = [json.dumps(json.loads(payload), indent=2).encode() for payload in payloads()]
    agreement = world().agreement.raw
    draft = json.dumps(
        terms.terms(world().roll, {n: terms.demo_key(n).public for n in terms.names(world().roll)})
    ).encode()
    of_rows, of_blocks = ([canonical.dump(each) for each in kind] for kind in openings())
    vkeys = [
        note.format_vkey(key).encode() for key in (world().agreement.log_key, *world().agreement.witness_keys.values())
    ]
    paths = [
        b"tile/0/000",
        b"tile/63/x001/x234/067.p/8",
        b"tile/entries/x018/x446/x744/x073/x709/x551/615",
        b"tile/entries/000.p/1",
    ]
    lines = b"".join(requests()[0].splitlines(keepends=True)[-1:])
    row = rows.format_row(rows.Row(bytes(16), 1, 2, 3, None))
    node = sealtree.format_node(sealtree.Node(3, sealtree.Sums(1, 2, 3), bytes(32)))
    made: list[tuple[str, Make, Check, Sequence[bytes], float]] = [
        ("canonical.load", reworked(payloads()), check_canonical, payloads(), 1),
        ("canonical.tidy", reworked([*messy, *payloads()]), check_tidy, messy, 1),
        ("dsse", reworked(leaves()), check_dsse, leaves(), 1),
        ("statement", reworked(payloads()), check_statement, payloads(), 1),
        ("predicates", reworked(payloads()), check_predicate, payloads(), 1.5),
        ("decode", reworked(payloads(), signed_leaf), check_decode, leaves()[:-1], 1),
        ("note", damaged([head(), *requests()]), pair(note.parse, note.format), [head()], 1),
        ("note.vkey", damaged(vkeys), pair(text(note.parse_vkey), lambda key: note.format_vkey(key).encode()), vkeys,
        0.5),
        ("checkpoint", cosigned, check_checkpoint, [head()], 0.7),
        ("sight", cosigned, check_sight, [head()], 0.7),
        ("sight.pinned", stripped, check_pinned, [quantum().memory.head], 0.3),
        ("tile.path", damaged(paths), pair(text(tile.parse_path), lambda found: found.path.encode()), paths, 1),
        ("tile.bundle", damaged([*bundles(), bytes([2]) + bytes(64)]), check_bundle, bundles(), 0.7),
        ("witness.request", damaged(requests()), pair(witness.parse_request, witness.format_request), requests(), 1),
        ("witness.response", damaged([lines * 3]), pair(witness.parse_response, witness.format_response), [lines], 0.7),
        ("witness.conflict", damaged([b"5\n", b"0\n"]), pair(witness.parse_conflict, witness.format_conflict),
        [b"5\n"], 0.3),
        ("policy", damaged(policies()), check_policy, policies(), 1),
        ("vkey.mldsa44", damaged(post()), pair(text(note.parse_vkey), lambda key: note.format_vkey(key).encode()),
        post(), 0.2),
        ("proof", damaged(proofs()), pair(proof.parse, proof.format), proofs(), 1),
        ("keyfile", reworked(key_files(), lambda _, raw: raw.rstrip(b"\n") + b"\n"), pair(keyfile.parse,
        keyfile.format),
         key_files(), 1),
        ("keyfile.open", damaged(key_files()[:1]), plain(lambda raw: keyfile.open_key(raw, None), Refused),
        key_files()[:1], 0.5),
        ("pem", damaged(foreign()), check_pem, foreign(), 0.5),
        ("opening.row", reworked(of_rows), partial(check_opening, opening.parse_row_opening,
        opening.format_row_opening), of_rows, 1),
        ("opening.block", reworked(of_blocks),
         partial(check_opening, opening.parse_block_opening, opening.format_block_opening), of_blocks, 1),
        ("rows", damaged([row]), pair(rows.parse_row, rows.format_row), [row], 0.5),
        ("sealtree", damaged([node]), pair(sealtree.parse_node, sealtree.format_node), [node], 0.3),
        ("document", reworked([dsse.parse(agreement).payload], signed_agreement), check_document, [agreement], 0.5),
        ("document.draft", reworked([draft]), check_draft, [draft], 0.5),
        ("merkle.size", damaged([b"0", b"17", b"9223372036854775807"]),
         pair(text(merkle.parse_size), lambda size: merkle.format_size(size).encode()), [b"17"], 0.3),
        ("base64", damaged([b"AAAA", b"AA==", b"+/8="]), pair(text(keys.unbase64),
        lambda raw: keys.base64(raw).encode()),
         [b"AA=="], 0.3),
        ("log.stage", damaged([stage.format({"tile/0/000.p/1": bytes(32), "tile/entries/000.p/1": b"\x00\x01a"})]),
         pair(stage.parse, stage.format), [], 0.5),
        ("log.fsck", digested(places()), pair(bookmark.parse, bookmark.format), places(), 0.5),
        ("mirror.cursor", damaged(cursors()), pair(mirror_memory.parse_cursor, mirror_memory.format_cursor), cursors(),
        0.5),
        ("inspect_ai", reworked(inspected()), check_inspect, inspected(), 0.5),
        ("inspect_ai.eval", damaged(zipped()), check_inspect, zipped(), 0.5),
        ("lm_eval", reworked(harnessed()), plain(lambda raw: lm_eval.parse(BytesIO(raw), "", "")), harnessed(), 0.5),
        ("evidence", damaged(proven()), pair(evidence.parse, evidence.format), proven(), 0.7),
    ]  # fmt: skip
    return (Target(*each) for each in (*made, *door_targets()))


def door_targets() -> list[tuple[str, Make, Check, Sequence[bytes], float]]:
    """Every HTTP door, and the socket in front of them."""
    said = [raw for _, raw, _ in world().said[:12]]
    signed = reworked([dsse.parse(raw).payload for raw in said], signed_leaf)
    adds, asks = doors.posts("/add", said), doors.posts("/add-checkpoint", requests())
    handed = doors.posts("/add", [doors.handed()[1]])
    hand = reworked([dsse.parse(doors.handed()[1]).payload], signed_leaf)
    log = [*doors.reads(), *doors.strays()]
    mirrored, pending = doors.mirrored(), [doors.request("GET", f"/pending{end}") for end in ("", ".txt", "?after=1")]
    wire = damaged([doors.wire(each) for each in (*log, *adds)])
    return [
        ("doors.log", doors.maker([*log, *adds], "/add", signed), partial(doors.check, "log"),
         [*doors.reads(), *adds], 0.5),
        ("doors.witness", doors.maker([*asks, *doors.monitors()], "/add-checkpoint", doors.told),
         partial(doors.check, "witness"), [], 0.5),
        ("doors.mirror", damaged([*mirrored, *doors.strays()]), partial(doors.check, "mirror"), mirrored, 0.3),
        ("doors.intake", doors.maker([*handed, *pending], "/add", hand), partial(doors.check, "intake"),
         [*handed, *pending[:2]], 0.5),
        ("socket", wire, doors.check_socket, [], 0.1),
    ]  # fmt: skip
