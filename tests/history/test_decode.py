# SPDX-License-Identifier: Apache-2.0
"""One entry by itself: what it says, who signed it, or why it has no effect; never an exception."""

from __future__ import annotations

import base64
import json
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pausectl.history.decode import Decoded, decode
from pausectl.history.records import Trouble
from pausectl.predicates import base
from pausectl.predicates.checkpoint import Mark
from pausectl.sim.terms import demo_key
from pausectl.sim.world import World
from pausectl.wire import canonical, dsse, statement

WORLD = World(windows=2, pause_at=1).run()
KEYS = WORLD.agreement.keys
RAWS = WORLD.memory.entries
STATEMENTS = [raw for raw, entry in ((raw, decode(raw, KEYS)) for raw in RAWS) if entry.claim is not None]


def test_every_entry_of_an_honest_world_is_what_was_said():
    entries = [decode(raw, KEYS) for raw in RAWS]
    assert entries[0].unknown == "https://pausectl.dev/agreement/v1"
    assert entries[0].id == WORLD.agreement.id
    assert {entry.trouble for entry in entries} == {None}
    claims = [entry.claim for entry in entries if entry.claim is not None and not isinstance(entry.claim, Mark)]
    assert claims == [claim for _, _, claim in WORLD.said]


def test_pickled_entries_are_equal():
    odd = [b"", b"{}", RAWS[3][:-1], dsse.sign(b"no statement", WORLD.keys["aurora"]).raw]
    for raw in [*RAWS, *odd, dsse.sign(unknown(), WORLD.keys["aurora"]).raw, forged(RAWS[2])]:
        entry = decode(raw, KEYS)
        assert pickle.loads(pickle.dumps(entry)) == entry  # noqa: S301
        assert sum(part is not None for part in (entry.claim, entry.unknown, entry.trouble)) == 1


def unknown() -> bytes:
    subject = statement.Subject("agreement", WORLD.agreement.id)
    return statement.format([subject], f"{base.PREFIX}confession/v1", {"said": "something"})


def forged(raw: bytes) -> bytes:
    return dsse.sign(dsse.parse(raw).payload, demo_key("nobody")).raw


def test_a_type_nobody_knows_keeps_its_signers():
    entry = decode(dsse.sign(unknown(), WORLD.keys["aurora"], WORLD.keys["avon"]).raw, KEYS)
    assert (entry.unknown, entry.signers) == ("https://pausectl.dev/confession/v1", ("aurora", "avon"))


def test_keys_that_are_not_the_agreements():
    entry = decode(forged(RAWS[2]), KEYS)
    assert entry.trouble is Trouble.UNAUTHORISED
    assert entry.id == decode(RAWS[2], KEYS).id, "a statement is named by what it says, whoever signed it"


def test_one_bad_signature_beside_a_good_one():
    payload = dsse.parse(RAWS[2]).payload
    good = dsse.sign(payload, WORLD.keys["aurora"]).signatures[0]
    bad = dsse.Signature(WORLD.keys["avon"].public.keyid, bytes(64))
    assert decode(dsse.format(payload, [good, bad]), KEYS).trouble is Trouble.UNAUTHORISED


def test_a_signature_moved_to_another_statement():
    first, second = dsse.parse(STATEMENTS[0]), dsse.parse(STATEMENTS[1])
    assert decode(dsse.format(first.payload, second.signatures), KEYS).trouble is Trouble.UNAUTHORISED


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[" * 40_000,
        b'{"a":' * 9_000,
        b"\xff\xfe",
        b"9" * 30_000,
        b'{"_type":"https://in-toto.io/Statement/v1"}',
        json.dumps({"predicateType": "https://pausectl.dev/usage/v1"}).encode(),
    ],
)
def test_payloads_that_are_no_statement(payload):
    entry = decode(dsse.sign(payload, WORLD.keys["aurora"]).raw, KEYS)
    assert entry.trouble is Trouble.MALFORMED


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_no_bytes_raise(raw):
    assert decode(raw, KEYS).trouble is Trouble.MALFORMED


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_damaged_entry_raises_or_says_the_same(data):
    raw = bytearray(data.draw(st.sampled_from(STATEMENTS)))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    assert decode(bytes(raw), KEYS).trouble in (Trouble.MALFORMED, Trouble.UNAUTHORISED)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_signed_nonsense_raises(data):
    """A party may sign anything: one value of a well-formed statement is replaced, and the whole signed properly."""
    value = canonical.load(dsse.parse(data.draw(st.sampled_from(STATEMENTS))).payload)
    place, key = value, "predicate"
    while isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
        place = place[key]
        key = (
            data.draw(st.sampled_from(sorted(place)))
            if isinstance(place, dict)
            else data.draw(st.integers(0, len(place) - 1))
        )
    place[key] = data.draw(
        st.sampled_from([None, 0, -1, 2**53 - 1, "", "x", "\u202e", [], {}, [[]], True, "9999-12-31T23:59:59Z", "1e9"])
    )
    entry = decode(dsse.sign(canonical.dump(value), WORLD.keys["aurora"]).raw, KEYS)
    assert isinstance(entry, Decoded)
    assert entry.trouble in (None, Trouble.MALFORMED)
    if entry.claim is not None:
        assert base.write(entry.claim) == entry.payload


def test_two_spellings_of_one_envelope_are_not_both_entries():
    text = json.loads(RAWS[2])
    for spelt in (json.dumps(text), json.dumps(text, separators=(",", ":"))[::-1]):
        assert decode(spelt.encode(), KEYS).trouble is Trouble.MALFORMED
    loose = {**text, "payload": base64.b64encode(base64.b64decode(text["payload"])).decode().rstrip("=") + "=" * 3}
    assert decode(canonical.dump(loose), KEYS).trouble is Trouble.MALFORMED
