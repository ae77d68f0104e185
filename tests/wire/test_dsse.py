# SPDX-License-Identifier: Apache-2.0
"""Envelopes: other people's files and verifiers, two parsers that must agree, and no second leaf for one statement."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hypothesis import example, given, settings
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope as ForeignEnvelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey

from pausectl.errors import Forged, Malformed
from pausectl.wire import dsse, statement
from pausectl.wire.canonical import dump, tidy
from pausectl.wire.dsse import IN_TOTO, Signature
from pausectl.wire.keys import ED25519, PrivateKey, fingerprint

CHAPTER = Path(__file__).resolve().parents[2] / "specs" / "statements.md"

#: File, leaf hash of its canonical form, and the start of what `parse` says about that form (none: a good leaf).
FILES = {
    "env.ssh-fp": ("bbda7b9a666612dca64c6379c851d9f4052297f86a5ea5388022f9907e39d1c7", None),
    "env.empty": ("3a534bf5b4ea14bd548e035f2c2bb46b899d49124a1972dd613db28294c057c1", "signatures[0]: keyid: expected"),
    "env.absent": (
        "c6a8f1071ce4548a9bda229d9ca1a9196d602b216c1aea2db98bf60a261e363b",
        "signatures[0]: expected exactly",
    ),
    "env.sslib-default": (
        "aea75aeda9b42ce93d909ed9c6a10d1bee1a71572e24dd704b600640738119e6",
        "signatures[0]: keyid: expected",
    ),
    "multi": (
        "ae06e3c940fbc90fa211981cc81bdd66dc5d9f254cc40ddb2e382d5920a4964b",
        "signatures: expected strictly rising",
    ),
    "p256": ("45ae2166b933ec105502f71e65a3bde8a742bda6dfe1e78e57e667220696e28b", "signatures[0]: keyid: expected"),
}
SIGNERS = {"multi": ["p0", "p1", "p2"], "p256": ["p256"]}
STATEMENT_ID = "3aa3ef0d16457212899d91ebc1cf1afd5f43b450cf7aacf203557f6ddf99459a"


def key(name="pausectl-demo"):
    return PrivateKey.from_seed(ED25519, hashlib.sha256(name.encode()).digest())


def leaf_hash(raw):
    return hashlib.sha256(b"\0" + raw).hexdigest()


def by_keyid(*signers):
    return {signer.public.keyid: signer.public for signer in signers}


PAYLOAD = statement.format(
    [statement.Subject("north-1", "7" * 64)], "https://pausectl.dev/example/v1", {"energy_wh": 1}
)
LEAF = dsse.sign(PAYLOAD, key()).raw


# ── the chapter's example ──


def test_the_example_of_the_chapter():
    text = CHAPTER.read_text()
    leaf, payload = (block.encode() for block in re.findall(r"```json\n(.*)\n```", text)[:2])
    claim = statement.parse(payload)
    assert leaf == dsse.sign(statement.format(claim.subjects, claim.predicate_type, claim.predicate), key()).raw
    envelope = dsse.parse(leaf)
    assert envelope.payload == payload
    assert dsse.open(envelope, by_keyid(key())) == (key().public,)
    assert f"{len(leaf)} bytes, one line" in text
    for value in (envelope.statement_id, leaf_hash(leaf), key().public.keyid):
        assert f"`{value}` |" in text


# ── other people's envelopes ──


def foreign_key(path):
    return load_pem_public_key(path.read_bytes())


@pytest.mark.parametrize("name", FILES)
def test_a_published_file_is_no_leaf_but_its_signatures_verify(name, shared):
    """ENV-1 and ENV-2."""
    raw = shared(f"vectors/dsse/{name}.json").read_bytes()
    assert dsse.parse_fast(raw) is None
    with pytest.raises(Malformed, match="byte 11: not canonical JSON"):
        dsse.parse(raw)
    value = json.loads(raw)
    payload = base64.b64decode(value["payload"], validate=True)
    message = dsse.pae(value["payloadType"].encode(), payload)
    assert hashlib.sha256(message).hexdigest() == dsse.statement_id(payload) == STATEMENT_ID
    names = SIGNERS.get(name, ["pub"])
    assert len(value["signatures"]) == len(names)
    for signer, signature in zip(names, value["signatures"], strict=True):
        public = foreign_key(shared(f"vectors/dsse/{signer}.pem"))
        sig = base64.b64decode(signature["sig"], validate=True)
        if isinstance(public, Ed25519PublicKey):
            public.verify(sig, message)
        else:
            public.verify(sig, message, ec.ECDSA(SHA256()))


@pytest.mark.parametrize(("name", "expected", "message"), [(name, *row) for name, row in FILES.items()])
def test_a_published_file_written_canonically(name, expected, message, shared):
    raw = dump(tidy(shared(f"vectors/dsse/{name}.json").read_bytes()))
    assert leaf_hash(raw) == expected
    if message is None:
        assert dsse.parse(raw) == dsse.parse_fast(raw)
        assert dsse.parse(raw).statement_id == STATEMENT_ID
        assert dsse.open(dsse.parse(raw), by_keyid(key())) == (key().public,)
    else:
        assert dsse.parse_fast(raw) is None
        with pytest.raises(Malformed, match=re.escape(message)):
            dsse.parse(raw)


def test_the_three_signatures_in_order_of_keyid(shared):
    value = tidy(shared("vectors/dsse/multi.json").read_bytes())
    found = [Signature(s["keyid"], base64.b64decode(s["sig"])) for s in value["signatures"]]
    envelope = dsse.join(base64.b64decode(value["payload"]), found)
    signers = [key(name) for name in ("k0", "k1", "k2")]
    assert envelope == dsse.sign(envelope.payload, *signers)
    assert [s.keyid[7] for s in envelope.signatures] == ["C", "c", "j"]
    assert set(dsse.open(envelope, by_keyid(*signers))) == {signer.public for signer in signers}


def test_the_published_payload_is_no_statement_of_ours(shared):
    """It holds 2^53 + 1 on purpose: an importer may show it, the statement parser may not take it."""
    value = tidy(shared("vectors/dsse/env.ssh-fp.json").read_bytes())
    with pytest.raises(Malformed, match="found 9007199254740993"):
        statement.parse(base64.b64decode(value["payload"]))


def test_the_vector_of_the_dsse_specification():
    """protocol.md, section Test Vectors."""
    expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert dsse.pae(b"http://example.com/HelloWorld", b"hello world") == expected


def test_lengths_are_of_bytes():
    assert dsse.pae("é".encode(), "ü€".encode()) == "DSSEv1 2 é 5 ü€".encode()


# ── other people's verifier ──


def sslib_key(signer):
    public = Ed25519PrivateKey.from_private_bytes(signer.seed).public_key()
    return SSlibKey.from_crypto(public, keyid=signer.public.keyid)


@given(st.binary(max_size=100), st.integers(1, 3))
def test_securesystemslib_verifies_what_we_sign(payload, count):
    signers = [key(str(number)) for number in range(count)]
    raw = dsse.sign(payload, *signers).raw
    found = ForeignEnvelope.from_dict(copy.deepcopy(json.loads(raw)))
    keys = [sslib_key(signer) for signer in signers]
    assert set(found.verify(keys, count)) == {signer.public.keyid for signer in signers}
    damaged = json.loads(raw) | {"payload": base64.b64encode(payload + b"x").decode()}
    with pytest.raises(VerificationError):
        ForeignEnvelope.from_dict(copy.deepcopy(damaged)).verify(keys, count)


@given(st.binary(max_size=100))
def test_we_verify_what_securesystemslib_signs(payload):
    signer = key()
    foreign = ForeignEnvelope(payload, IN_TOTO, {})
    foreign.sign(CryptoSigner(Ed25519PrivateKey.from_private_bytes(signer.seed), sslib_key(signer)))
    envelope = dsse.parse(dump(foreign.to_dict()))
    assert envelope == dsse.sign(payload, signer)
    assert dsse.open(envelope, by_keyid(signer)) == (signer.public,)


# ── our two parsers ──


@given(st.binary(max_size=200), st.integers(1, 4))
def test_round_trip(payload, count):
    signers = [key(str(number)) for number in range(count)]
    envelope = dsse.sign(payload, *signers)
    assert dsse.parse(envelope.raw) == envelope
    assert dsse.format(envelope.payload, reversed(envelope.signatures)) == envelope.raw
    assert dsse.open(envelope, by_keyid(*signers, key("spare"))) == tuple(
        sorted((signer.public for signer in signers), key=lambda public: public.keyid)
    )
    assert envelope.statement_id == hashlib.sha256(envelope.pae).hexdigest() == dsse.statement_id(payload)


@given(st.binary(max_size=300), st.binary(min_size=32, max_size=32))
def test_the_fast_parser_answers_for_one_signer(payload, seed):
    envelope = dsse.sign(payload, PrivateKey.from_seed(ED25519, seed))
    assert dsse.parse_fast(envelope.raw) == envelope


def agree(raw):
    fast = dsse.parse_fast(raw)
    try:
        slow = dsse.parse(raw)
    except Malformed:
        slow = None
    if slow is not None:
        assert dsse.format(slow.payload, slow.signatures) == raw
    if slow is not None and len(slow.signatures) == 1:
        assert fast == slow
    else:
        assert fast is None


PIECES = [
    b"",
    b'"',
    b"\\",
    b"}",
    b"]",
    b",",
    b"=",
    b"==",
    b" ",
    b"\n",
    b"A",
    b"/",
    b"\xff",
    b"\\/",
    b"\\u0041",
    b"SHA256:",
]
PIECES += [b'","sig":"', b'{"keyid":"', b'"}]}', b'"},{"keyid":"', LEAF[LEAF.index(b'","payloadType') :][:60]]


@given(st.data())
def test_the_fast_parser_agrees_with_the_other_on_damaged_leaves(data):
    raw = data.draw(st.sampled_from([LEAF, dsse.sign(b"", key()).raw, dsse.sign(b"{}", key("a"), key("b")).raw]))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw)))
        until = at + data.draw(st.integers(0, 3) | st.sampled_from([43, 50, 88, 98]))
        piece = data.draw(st.sampled_from(PIECES) | st.binary(max_size=2))
        raw = raw[:at] + piece + raw[until:]
    agree(raw)


@given(st.integers(0, 120), st.integers(0, 80), st.sampled_from([b"", b"A", b"=", b"\\u0041", b'"']))
def test_the_fast_parser_agrees_on_fields_of_any_length(sig, keyid, extra):
    head = b'{"payload":"","payloadType":"application/vnd.in-toto+json","signatures":[{"keyid":"'
    agree(head + b"SHA256:" + b"A" * keyid + b'","sig":"' + b"A" * sig + extra + b'"}]}')


def test_a_signature_that_is_only_its_closing_quote():
    """The quote that opens the text was once taken for the one that closes it."""
    raw = dsse.format(b"", [Signature("SHA256:" + "A" * 43, b"")])
    agree(raw)
    assert dsse.parse_fast(raw) is not None
    assert raw.endswith(b'"sig":""}]}')
    agree(raw[:-5] + raw[-4:])


@given(st.binary(max_size=120))
@example(b"")
@example(LEAF[:12])
def test_bytes_are_an_envelope_or_malformed(raw):
    agree(raw)


# ── refusals ──


def altered(**members):
    return dump(json.loads(LEAF) | members)


GOOD = json.loads(LEAF)["signatures"][0]
REFUSED = {
    "no object": (b"[]", "envelope: expected exactly the members"),
    "another member": (altered(mediaType="x"), "envelope: expected exactly the members"),
    "a member missing": (dump({"payload": "", "payloadType": IN_TOTO}), "envelope: expected exactly the members"),
    "another type": (altered(payloadType="application/json"), "payloadType: expected .*, found 'application/json'"),
    "the type in capitals": (altered(payloadType=IN_TOTO.upper()), "payloadType: expected"),
    "type of no text": (altered(payloadType=None), "payloadType: expected .*, found 'None'"),
    "payload of no text": (altered(payload=1), "payload: expected base64 text"),
    "payload without padding": (altered(payload="QQ"), "payload: base64"),
    "payload with spare bits": (altered(payload="QR=="), "payload: base64: not canonical"),
    "payload in the other alphabet": (altered(payload="-_=="), "payload: base64"),
    "no list": (altered(signatures={}), "signatures: expected a list of 1 to 100"),
    "no signature": (altered(signatures=[]), "signatures: expected a list of 1 to 100"),
    "101 signatures": (
        altered(signatures=[{"keyid": f"SHA256:{i:043}", "sig": ""} for i in range(101)]),
        "signatures: expected a list of 1 to 100",
    ),
    "twice the same": (altered(signatures=[GOOD, GOOD]), "signatures: expected strictly rising keyids"),
    "no object inside": (altered(signatures=[1]), r"signatures\[0\]: expected exactly the members keyid, sig"),
    "another member inside": (altered(signatures=[GOOD | {"alg": "none"}]), r"signatures\[0\]: expected exactly"),
    "keyid of no text": (altered(signatures=[GOOD | {"keyid": 1}]), r"signatures\[0\]: keyid: expected SHA256:"),
    "keyid with padding": (altered(signatures=[GOOD | {"keyid": GOOD["keyid"] + "="}]), "keyid: expected SHA256:"),
    "keyid with a line feed": (altered(signatures=[GOOD | {"keyid": GOOD["keyid"] + "\n"}]), "keyid: expected SHA256:"),
    "keyid with a dash": (altered(signatures=[GOOD | {"keyid": GOOD["keyid"][:-1] + "-"}]), "keyid: expected SHA256:"),
    "keyId": (LEAF.replace(b'"keyid"', b'"keyId"'), r"signatures\[0\]: expected exactly the members keyid, sig"),
    "sog": (LEAF.replace(b'"sig"', b'"sog"'), r"signatures\[0\]: expected exactly the members keyid, sig"),
    "keyid in hex": (altered(signatures=[GOOD | {"keyid": "a" * 64}]), "keyid: expected SHA256:"),
    "sig of no text": (altered(signatures=[GOOD | {"sig": None}]), r"signatures\[0\]: sig: expected base64 text"),
    "sig without padding": (altered(signatures=[GOOD | {"sig": "QQ"}]), r"signatures\[0\]: base64"),
    "a line feed": (LEAF + b"\n", "not canonical JSON"),
    "a space": (b" " + LEAF, "not canonical JSON"),
}


@pytest.mark.parametrize(("raw", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(raw, message):
    """ENV-2 and ENV-3."""
    assert dsse.parse_fast(raw) is None
    with pytest.raises(Malformed, match=message):
        dsse.parse(raw)


def test_an_entry_is_at_most_65535_bytes():
    """ENV-2."""
    room = (65_535 - len(dsse.sign(b"", key()).raw)) // 4 * 3
    envelope = dsse.sign(bytes(room), key())
    assert 65_532 <= len(envelope.raw) <= 65_535
    assert dsse.parse_fast(envelope.raw) == envelope
    with pytest.raises(Malformed, match="at most 65535 bytes"):
        dsse.sign(bytes(room + 1), key())
    too_long = LEAF.replace(b'"payload":"', b'"payload":"' + b"AAAA" * 17_000)
    assert dsse.parse_fast(too_long) is None


def test_at_most_100_signers_and_none_twice():
    """ENV-3."""
    signers = [key(str(number)) for number in range(101)]
    assert len(dsse.sign(PAYLOAD, *signers[:100]).signatures) == 100
    for wrong in (signers, [], [key(), key()]):
        with pytest.raises(Malformed, match="signatures: expected"):
            dsse.sign(PAYLOAD, *wrong)


# ── who signed ──


def test_open_refuses_an_unknown_key():
    """ENV-5."""
    envelope = dsse.sign(PAYLOAD, key("a"), key("b"))
    for known in ({}, by_keyid(key("a")), by_keyid(key("b")), by_keyid(key("c"))):
        with pytest.raises(Forged, match=r"signed by SHA256:.*, which is no key of this agreement"):
            dsse.open(envelope, known)


def test_open_refuses_one_bad_signature_among_good_ones():
    """ENV-5."""
    good = dsse.sign(PAYLOAD, key("a"), key("b"))
    signers = by_keyid(key("a"), key("b"))
    for bad in range(2):
        values = [s.value if i != bad else bytes(64) for i, s in enumerate(good.signatures)]
        signatures = [Signature(s.keyid, value) for s, value in zip(good.signatures, values, strict=True)]
        with pytest.raises(Forged, match=f"the signature of {re.escape(signatures[bad].keyid)} does not verify"):
            dsse.open(dsse.join(PAYLOAD, signatures), signers)


def test_open_refuses_a_key_listed_under_another_keyid():
    """ENV-4: one key under two keyids would count as two signers."""
    first, other = key("a").public, key("b").public.keyid
    value = key("a").sign(dsse.pae(IN_TOTO.encode(), PAYLOAD))
    envelope = dsse.join(PAYLOAD, [Signature(first.keyid, value), Signature(other, value)])
    with pytest.raises(Forged, match="no key of this agreement"):
        dsse.open(envelope, {first.keyid: first, other: first})


def test_a_keyid_with_spare_bits_is_the_keyid_of_no_key():
    """ENV-4: the 43rd character carries four bits of the hash and two that could be anything."""
    public = key().public
    for last in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/":
        keyid = public.keyid[:-1] + last
        envelope = dsse.join(PAYLOAD, [Signature(keyid, key().sign(dsse.pae(IN_TOTO.encode(), PAYLOAD)))])
        if keyid == fingerprint(ED25519, public.raw):
            assert dsse.open(envelope, by_keyid(key())) == (public,)
        else:
            with pytest.raises(Forged):
                dsse.open(envelope, by_keyid(key()))


def still_verifies(raw):
    try:
        return dsse.open(dsse.parse(raw), by_keyid(key(), key("other")))
    except (Malformed, Forged):
        return None


def test_no_change_of_one_byte_makes_a_second_leaf():
    """Every place, each of its bits flipped, and a few bytes that JSON or base64 might forgive."""
    assert still_verifies(LEAF)
    for at, byte in enumerate(LEAF):
        for other in {byte ^ (1 << bit) for bit in range(8)} | set(b'"\\ =A\n'):
            if other != byte:
                assert still_verifies(LEAF[:at] + bytes([other]) + LEAF[at + 1 :]) is None, (at, other)


@settings(max_examples=300)
@given(st.integers(0, len(LEAF)), st.integers(0, 2), st.binary(max_size=2))
def test_no_small_change_makes_a_second_leaf(at, gone, new):
    raw = LEAF[:at] + new + LEAF[at + gone :]
    assert raw == LEAF or still_verifies(raw) is None
