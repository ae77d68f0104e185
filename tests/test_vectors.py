# SPDX-License-Identifier: Apache-2.0
"""The vectors are what the generator writes, both readers agree about them, and each refusal comes from its layer."""

from __future__ import annotations

import copy
import importlib.util
import json
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from pausectl.agreement import document
from pausectl.agreement.document import Agreement
from pausectl.agreement.types import instant, seconds
from pausectl.errors import Forged, Malformed, PausectlError, UsageFault
from pausectl.history import receipt
from pausectl.history.authority import objection
from pausectl.history.decode import decode
from pausectl.history.reader import open_ledger, origin_of, resolve, sight
from pausectl.history.source import DirectorySource
from pausectl.predicates import base, catalogue
from pausectl.predicates.checkpoint import Mark
from pausectl.predicates.close import Close
from pausectl.sim import contradictions, refused, refused_pins, refused_policies, refused_proofs, vectors
from pausectl.sim.evasions import evasions
from pausectl.sim.terms import demo_key
from pausectl.sim.world import World
from pausectl.verify.audit import verify
from pausectl.wire import (
    canonical,
    checkpoint,
    dsse,
    evidence,
    keyfile,
    merkle,
    note,
    opening,
    policy,
    proof,
    rows,
    seal,
    statement,
    tile,
)
from pausectl.wire.keys import ED25519, MLDSA44, PublicKey, base64, unbase64

HERE = Path(__file__).resolve().parent
VECTORS = HERE / "vectors"
SPECS = HERE.parent / "specs"
AGAIN = "run make vectors"

spec = importlib.util.spec_from_file_location("second_reader", HERE / "second_reader.py")
second = importlib.util.module_from_spec(spec)
spec.loader.exec_module(second)

LEDGERS = sorted(path.parent for path in VECTORS.glob("*/expect.json"))
SEALS = sorted((VECTORS / "seal").glob("SEAL-*.json"))
STATEMENTS = sorted((VECTORS / "statements").glob("*.json"))
REFUSED = [
    pytest.param(path.stem, case, id=f"{path.stem}-{number}")
    for path in sorted((VECTORS / "bytes").glob("*.json"))
    for number, case in enumerate(json.loads(path.read_text(encoding="utf-8")))
]

by_name = pytest.mark.parametrize("path", LEDGERS, ids=lambda path: path.name)
by_stem = partial(pytest.mark.parametrize, "path", ids=lambda path: path.stem)


def load(path):
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def agreement():
    return document.parse((VECTORS / "agreement.json").read_bytes())


def second_agreement():
    return second.Agreement((VECTORS / "agreement.json").read_bytes())


@pytest.fixture(scope="module")
def trusted():
    """The same, as the second reader has it."""
    return second_agreement()


def its_agreement(path):
    """The file of a vector's agreement: its own, or that of all."""
    own = path / "agreement.json"
    return own if own.exists() else VECTORS / "agreement.json"


def tree(directory):
    return {p.relative_to(directory).as_posix(): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


# ── what is committed is what is generated ──


def test_vectors_are_fresh(tmp_path):
    (tmp_path / "agreement.json").write_bytes(b"")
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone" / "stale.json").write_bytes(b"")
    count = vectors.write(tmp_path)
    made, committed = tree(tmp_path), tree(VECTORS)
    assert sorted(set(made) ^ set(committed)) == [], AGAIN
    assert sorted(name for name in made if made[name] != committed[name]) == [], AGAIN
    assert count == len(made)


def test_vectors_are_written_over_vectors_only(tmp_path):
    (tmp_path / "thesis.tex").write_bytes(b"")
    with pytest.raises(UsageFault):
        vectors.write(tmp_path)
    assert vectors.main([]) == 2


def test_vectors_are_small():
    assert sum(map(len, tree(VECTORS).values())) < 4_500_000


def test_every_evasion_has_its_vector():
    found = {load(path / "expect.json")["evasion"] for path in LEDGERS}
    assert found == {*evasions(), None}


def test_every_rule_that_an_evasion_names_is_named_by_a_folder():
    caught = {evasion.caught_by for evasion in evasions().values() if evasion.caught_by}
    assert caught == {match[0] for path in LEDGERS if (match := re.match(r"[A-Z]+-\d+", path.name))}


def test_ids_are_in_the_specifications():
    pages = "".join(path.read_text(encoding="utf-8") for path in SPECS.rglob("*.md"))
    known = set(re.findall(r"\*\*\[([A-Z]+-\d+)\]\*\*", pages))
    named = {path.stem for path in (VECTORS / "bytes").iterdir()} | {load(path)["id"] for path in SEALS}
    named |= {rule for path in LEDGERS if (rule := load(path / "expect.json")["rule"])}
    assert len(named) > 60
    assert named - known == set()


# ── our verifier ──


@by_name
def test_the_verifier_says_what_is_expected(path):
    expect, agreement = load(path / "expect.json"), document.parse(its_agreement(path).read_bytes())
    seen = [("seen", (path / "seen").read_bytes())] if (path / "seen").exists() else []
    source, as_of = DirectorySource(path), seconds(expect["as_of"])
    before = [DirectorySource(log).fetch for log in sorted(path.glob("before/*"))]
    if expect["outcome"] == "ERROR":
        with pytest.raises(Forged) as caught:
            verify(source.fetch, agreement, before=before, as_of=as_of, seen=seen)
        assert caught.value.exit_code == 4
        assert (expect["findings"], expect["verdicts"]) == ([], {})
        return
    report = verify(source.fetch, agreement, before=before, as_of=as_of, seen=seen)
    bad = {(f.rule, f.outcome, f.lab) for f in report.judgement.findings if f.outcome in {"VIOLATED", "UNPROVEN"}}
    assert bad == {tuple(found) for found in expect["findings"]}
    assert report.verdicts == expect["verdicts"]
    if expect["rule"]:
        assert (expect["rule"], expect["outcome"]) in {found[:2] for found in bad}
    else:
        assert set(expect["verdicts"].values()) == {"CONSISTENT"}
    if expect["rule"] != "LED-7":
        assert expect["as_of"] == instant(report.ledger.head.by)


# ── the second reader ──


def our_id(raw):
    """Statement id of an entry, None where it is no statement."""
    try:
        envelope = dsse.parse(raw)
        statement.parse(envelope.payload)
    except Malformed:
        return None
    return envelope.statement_id


def our_mark(index, raw, agreement):
    """Size of the mark at an index, None where it is none or has no quorum."""
    entry = decode(raw, agreement.keys)
    if not isinstance(entry.claim, Mark) or objection(entry, agreement):
        return None
    try:
        size = sight(entry.claim.checkpoint.encode(), agreement).checkpoint.size
    except PausectlError:
        return None
    return size if size <= index else None


@by_name
def test_the_second_reader_reads_the_same(path):
    raw = its_agreement(path).read_bytes()
    agreement = document.parse(raw)
    log = agreement.of_log(origin_of((path / "checkpoint").read_bytes())).log_number
    trusted = second.Agreement(raw, log)
    try:
        ledger = open_ledger(DirectorySource(path).fetch, agreement)
    except Forged:
        assert load(path / "expect.json")["outcome"] == "ERROR"
        with pytest.raises(second.REFUSALS):
            second.read(path, trusted)
        return
    agreement = ledger.agreement
    entries = [raw for _, raw in ledger.entries()]
    marks = [our_mark(index, raw, agreement) for index, raw in enumerate(entries)]
    assert second.read(path, trusted) == {
        "origin": ledger.head.checkpoint.origin,
        "size": ledger.size,
        "root": ledger.head.checkpoint.root.hex(),
        "statements": [our_id(raw) for raw in entries],
        "marks": [size for size in marks if size is not None],
    }
    assert trusted.id == agreement.id


@by_stem(STATEMENTS)
def test_statements_have_their_ids_in_both_readers(path):
    told = load(path)
    raw = told["entry"].encode()
    under = document.parse(load(VECTORS / "statements" / "agreement.json")["entry"].encode())
    entry = decode(raw, under.keys)
    assert [our_id(raw), second.Entry(raw).id] == [told["statement_id"]] * 2
    assert [merkle.leaf_hash(raw).hex(), second.sha(b"\0", raw).hex()] == [told["leaf_hash"]] * 2
    log = under.of_log(entry.claim.header.log) if entry.claim else under
    assert objection(entry, log) is None
    assert told["type"] == path.stem == (entry.claim.name if entry.claim else "agreement")
    if not entry.claim:
        assert second.Agreement(raw).id == told["statement_id"] == under.id


def test_every_type_has_a_statement():
    assert {path.stem for path in STATEMENTS} == {kind.name for kind in catalogue.TYPES} | {"agreement"}


# ── seals ──


def commitment(told):
    names = ("energy_mj", "duration_ms", "gap_ms")
    sums = seal.Sums(*(int(told["commitment"][name]) for name in names))
    root = bytes.fromhex(told["commitment"]["seal_root"])
    return seal.Commitment(seal.Context(**told["context"]), told["commitment"]["rows_count"], sums, root)


def top_of(told):
    """The committed node, put together without our code."""
    numbers = [int(told["commitment"][name]) for name in ("rows_count", "energy_mj", "duration_ms", "gap_ms")]
    return b"".join(number.to_bytes(8, "big") for number in numbers) + bytes.fromhex(told["commitment"]["seal_root"])


def test_the_seal_is_the_same_in_both_readers():
    told = load(VECTORS / "seal" / "seal.json")
    raw, master = [bytes.fromhex(row) for row in told["rows"]], bytes.fromhex(told["master"])
    ours = seal.seal([rows.parse_row(row) for row in raw], seal.Context(**told["context"]), master).commitment
    theirs = second.Seal(told["context"])
    assert ours == commitment(told)
    assert theirs.seal(raw, master) == (top_of(told), told["commitment"]["seal_id"])
    assert ours.seal_id.hex() == told["commitment"]["seal_id"]
    row = opening.open_row(ours, opening.parse_row_opening(told["row_opening"]))
    assert rows.format_row(row) == theirs.open_row(top_of(told), told["row_opening"]) == raw[0]
    block = opening.open_block(ours, opening.parse_block_opening(told["block_opening"]))
    assert [rows.format_row(row) for row in block] == raw[4:]


def take(told):
    """Seal or open what a file shows, or only read its commitment."""
    if "rows" in told:
        parsed = [rows.parse_row(bytes.fromhex(row)) for row in told["rows"]]
        seal.seal(parsed, seal.Context(**told["context"]), bytes.fromhex(told["master"]))
    elif "block_opening" in told:
        opening.open_block(commitment(told), opening.parse_block_opening(told["block_opening"]))
    elif "row_opening" in told:
        opening.open_row(commitment(told), opening.parse_row_opening(told["row_opening"]))
    else:
        commitment(told)


def take_again(told):
    """The same by the second reader."""
    theirs = second.Seal(told["context"])
    if "rows" in told:
        theirs.seal([bytes.fromhex(row) for row in told["rows"]], bytes.fromhex(told["master"]))
    else:
        theirs.open_row(top_of(told), told["row_opening"])


@by_stem(SEALS)
def test_a_cheat_with_a_seal_is_refused(path):
    told = load(path)
    with pytest.raises((Malformed, Forged)) as caught:
        take(told)
    assert type(caught.value).__name__ == told["error"]


@by_stem([path for path in SEALS if "row_opening" in load(path) or "rows" in load(path)])
def test_the_second_reader_refuses_it_too(path):
    told = load(path)
    with pytest.raises(second.REFUSALS):
        take_again(told)


@by_stem([path for path in SEALS if load(path)["id"] not in {"SEAL-2", "SEAL-3", "SEAL-26"}])
def test_it_is_not_refused_for_its_form(path):
    told = load(path)
    [rows.parse_row(bytes.fromhex(row)) for row in told.get("rows", ())]
    for kind, parse in (("row_opening", opening.parse_row_opening), ("block_opening", opening.parse_block_opening)):
        if kind in told:
            parse(told[kind])


# ── bytes that are refused, and where ──


def _signed(data, agreement):
    envelope = dsse.parse(data)
    return dsse.open(
        envelope, {s.keyid: agreement.keys[s.keyid][1] for s in envelope.signatures if s.keyid in agreement.keys}
    )


def _authority(data, agreement):
    base.read(dsse.parse(data).payload)
    trouble = objection(decode(data, agreement.keys), agreement)
    if trouble:
        raise Forged(trouble[0].name)


def _verified(suite, data, case):
    if not PublicKey(suite, unbase64(case["key"])).verify(unbase64(case["message"]), data):
        raise Forged("the signature does not verify")


def pinned(case):
    """The agreement of a case, with the keys that it names by digest."""
    return document.parse(unbase64(case["agreement"])).resolve(unbase64(key) for key in case["keys"])


def naming(digest):
    """An agreement that names one key."""
    log = SimpleNamespace(mldsa44=digest, successors=())
    nobody = SimpleNamespace(members=())
    return Agreement(SimpleNamespace(log=log, witnesses=nobody, mirrors=nobody), b"", "", None, {})


def layers(case, agreement):
    """Name of a layer → the function that is that layer."""
    key = note.parse_vkey(case["vkey"]) if "vkey" in case else None
    return {
        "json": lambda data: canonical.load(data.removesuffix(b"\n") if data.startswith(b'{"kdf"') else data),
        "envelope": dsse.parse,
        "signatures": lambda data: _signed(data, agreement),
        "authority": lambda data: _authority(data, agreement),
        "statement": lambda data: statement.parse(dsse.parse(data).payload if data.startswith(b'{"pay') else data),
        "predicate": base.read,
        "agreement": document.parse,
        "note": note.parse,
        "note-signatures": lambda data: note.open(note.parse(data), [key]),
        "checkpoint": lambda data: checkpoint.parse(note.parse(data).text),
        "origin": lambda data: checkpoint.open(data, key),
        "proof": proof.parse,
        "proof-checkpoint": lambda data: sight(proof.parse(data).checkpoint_raw, agreement),
        "proof-inclusion": lambda data: receipt.check(proof.parse(data), unbase64(case["entry"]), agreement),
        "policy": policy.parse,
        "policy-checkpoint": lambda data: policy.take(policy.parse(unbase64(case["policy"])), data),
        "pinned-note": note.parse,
        "pinned": lambda data: sight(data, pinned(case)),
        "key-bytes": lambda data: resolve(lambda _: data, naming(case["digest"])),
        "vkey": lambda data: note.parse_vkey(data.decode()),
        "tile-path": lambda data: tile.parse_path(data.decode()),
        "tile": lambda data: tile.parse_hashes(data, case["width"]),
        "bundle": lambda data: tile.parse_bundle(data, case["width"]),
        "public-key": lambda data: PublicKey(ED25519, data),
        "evidence": evidence.parse,
        "evidence-check": lambda data: evidence.check(evidence.parse(data), key),
        "ed25519": lambda data: _verified(ED25519, data, case),
        "ml-dsa-44": lambda data: _verified(MLDSA44, data, {**case, "key": case.get("post") or case["key"]}),
        "key-file": keyfile.parse,
        "key-file-open": lambda data: keyfile.open_key(data, None),
    }


@pytest.mark.parametrize(("clause", "case"), REFUSED)
def test_an_input_is_refused_by_its_layer_and_by_nothing_lower(clause, case, agreement):
    data, functions = unbase64(case["input"]), layers(case, agreement)
    ladder = next(names for names in refused.LAYERS.values() if case["layer"] in names)
    for lower in ladder[: ladder.index(case["layer"])]:
        functions[lower](data)
    with pytest.raises((Malformed, Forged)) as caught:
        functions[case["layer"]](data)
    found = caught.value.message if case["layer"] == "authority" else type(caught.value).__name__
    assert found == case["error"]


def second_pinned(case):
    found = second.Agreement(unbase64(case["agreement"]))
    keys = [unbase64(key) for key in case["keys"]]
    found.resolve({second.sha(key).hex(): key for key in keys})
    return found


def second_layers(data, case, trusted):
    """Name of a layer → what the second reader does with it; the others it does not have."""
    anyone = copy.copy(trusted)
    anyone.quorum = 0  # a note by the log alone
    keyid = next(iter(trusted.keys["aurora"]))
    return {
        "json": lambda: second.parse_json(b'{"a":' + data + b"}", "a"),
        "statement": lambda: second.Entry(dsse.format(data, [dsse.Signature(keyid, b"x")])),
        "envelope": lambda: second.Entry(data),
        "signatures": lambda: second.need(trusted.signed(second.Entry(data), "avon"), "signed"),
        "agreement": lambda: second.Agreement(data),
        "vkey": lambda: second.vkey(data.decode()),
        "ed25519": lambda: second.need(
            second.verified(unbase64(case["key"]), data, unbase64(case["message"])), "verified"
        ),
        "key-bytes": lambda: second.need(second.sha(data).hex() == case["digest"], "digest"),
        "pinned": lambda: second_pinned(case).open(data),
        **dict.fromkeys(("note", "note-signatures", "checkpoint", "origin"), lambda: anyone.open(data)),
    }


READ_TWICE = [
    param for param in REFUSED if param.values[1]["layer"] in second_layers(b"", {}, second_agreement())
    and param.values[0] != "AGR-1"
]  # fmt: skip


@pytest.mark.parametrize(("clause", "case"), READ_TWICE)
def test_the_second_reader_refuses_what_it_reads(clause, case, trusted):
    functions = second_layers(unbase64(case["input"]), case, trusted)
    with pytest.raises(second.REFUSALS):
        functions[case["layer"]]()


def test_what_is_right_passes_the_layers(agreement, trusted):
    """So that a layer that refuses everything is no success."""
    key, world = demo_key("avon"), World(roll=vectors.ROLL)
    signed = checkpoint.sign(checkpoint.Checkpoint(agreement.log_key.name, 2, refused.ROOT), demo_key("ledgerco"))
    claim = base.write(world.claim("avon", Close, {"heads": []}, 0))
    entry, file = dsse.sign(claim, key).raw, keyfile.format_key("avon", key, passphrase=None, salt=b"", nonce=b"")
    vkey = note.format_vkey(agreement.log_key)
    post = demo_key("avon", MLDSA44)
    case = {
        "post": base64(post.public.raw),
        "vkey": vkey,
        "width": 1,
        "key": base64(key.public.raw),
        "message": base64(b"m"),
        "entry": base64(refused_proofs.ENTRIES[2]),
    }
    named, whole = refused_pins.good(world)
    case |= {"agreement": base64(named.raw), "keys": [base64(key.raw) for key in named.resolved.values()]}
    rules, taken = refused_policies.good(world)
    case |= {"digest": post.public.digest, "policy": base64(rules)}
    inputs = {
        "entry": entry, "statement": claim, "agreement": agreement.raw, "note": signed.raw, "vkey": vkey.encode(),
        "path": b"tile/0/x001/x234/067.p/8", "tile": bytes(32), "bundle": b"\0\1x", "key": key.public.raw,
        "signature": key.sign(b"m"), "key file": file, "proof": refused_proofs.good(world),
        "evidence": contradictions.example(),
        "post-quantum signature": post.sign(b"m"), "pinned": whole, "key by digest": post.public.raw,
        "policy": rules, "checkpoint under a policy": taken,
    }  # fmt: skip
    assert set(inputs) == set(refused.LAYERS)
    functions = layers(case, agreement)
    for kind, names in refused.LAYERS.items():
        for name in names:
            functions[name](inputs[kind])
    anyone = copy.copy(trusted)
    anyone.quorum = 0
    assert anyone.open(signed.raw) == second_pinned(case).open(whole) == (2, refused.ROOT)
    assert trusted.signed(second.Entry(entry), "avon")
    assert second.parse_json(b'{"a":[1]}', "a") == {"a": [1]}


def test_the_generator_is_a_program(tmp_path):
    command = [sys.executable, "-m", "pausectl.sim.vectors"]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(b"usage:")
