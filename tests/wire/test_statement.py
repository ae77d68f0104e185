# SPDX-License-Identifier: Apache-2.0
"""Statements: what the in-toto project's own library takes, and what ours does not."""

from __future__ import annotations

import json

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement as ForeignStatement

from pausectl.errors import Malformed
from pausectl.wire import statement
from pausectl.wire.canonical import MAX_INTEGER, dump
from pausectl.wire.statement import TYPE, Subject

HEX = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
KIND = "https://pausectl.dev/example/v1"

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
NAMES = st.text(st.characters(exclude_categories=["Cs"], max_codepoint=0xFFFF), max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
)
SUBJECTS = st.lists(
    st.builds(Subject, TEXTS, st.binary(min_size=32, max_size=32).map(bytes.hex)), min_size=1, max_size=4
)
PREDICATES = st.dictionaries(NAMES, VALUES, min_size=1, max_size=4)


def good(**members):
    subject = [{"digest": {"sha256": HEX}, "name": "north-1"}]
    return {"_type": TYPE, "predicate": {"energy_wh": 1}, "predicateType": KIND, "subject": subject} | members


@given(SUBJECTS, TEXTS, PREDICATES)
def test_round_trip(subjects, kind, predicate):
    raw = statement.format(subjects, kind, predicate)
    found = statement.parse(raw)
    assert (list(found.subjects), found.predicate_type, found.predicate) == (subjects, kind, predicate)
    assert found.raw == raw == statement.format(found.subjects, found.predicate_type, found.predicate)


@given(SUBJECTS, TEXTS, PREDICATES)
def test_the_library_of_in_toto_reads_the_same_values(subjects, kind, predicate):
    raw = statement.format(subjects, kind, predicate)
    message = json_format.Parse(raw, statement_pb2.Statement())
    ForeignStatement.copy_from_pb(message).validate()
    assert [(s.name, dict(s.digest)) for s in message.subject] == [(s.name, {"sha256": s.sha256}) for s in subjects]
    assert message.predicate_type == kind
    assert json_format.MessageToDict(message.predicate) == predicate  # its numbers are binary64: equal up to 2^53 - 1


def test_beyond_our_integers_that_library_reads_another_number():
    """Why the limit is where it is."""
    raw = json.dumps(good(predicate={"n": 2**53 + 1}))
    message = json_format.Parse(raw, statement_pb2.Statement())
    assert message.predicate["n"] == 2**53
    with pytest.raises(Malformed, match="found 9007199254740993"):
        statement.parse(dump(good(predicate={"n": 0})).replace(b'"n":0', b'"n":9007199254740993'))


def test_the_same_claim_again_is_the_same_bytes():
    first = statement.format([Subject("north-1", HEX)], KIND, {"a": 1, "b": [1, {"d": 1, "c": None}]})
    again = statement.format((Subject("north-1", HEX),), KIND, {"b": [1, {"c": None, "d": 1}], "a": 1})
    assert first == again


def subject(name="north-1", **digest):
    return {"digest": digest or {"sha256": HEX}, "name": name}


REFUSED = {
    "no object": ([], "statement: expected exactly the members"),
    "another member": (good(extra=1), "statement: expected exactly the members"),
    "a member missing": ({"_type": TYPE}, "statement: expected exactly the members"),
    "older type": (good(_type="https://in-toto.io/Statement/v0.1"), "_type: expected .*/v1, found '.*/v0.1'"),
    "type of no text": (good(_type=1), "_type: expected .*, found '1'"),
    "no predicate type": (good(predicateType=""), "predicateType: expected a URI"),
    "predicate type of no text": (good(predicateType=[KIND]), "predicateType: expected a URI"),
    "empty predicate": (good(predicate={}), "predicate: expected an object with at least one member"),
    "predicate of no object": (good(predicate=[1]), "predicate: expected an object with at least one member"),
    "predicate null": (good(predicate=None), "predicate: expected an object with at least one member"),
    "no subject": (good(subject=[]), "subject: expected a list of 1 to 1024"),
    "subject of no list": (good(subject=subject()), "subject: expected a list of 1 to 1024"),
    "subject of no object": (
        good(subject=[subject(), "x"]),
        r"subject\[1\]: expected exactly the members digest, name",
    ),
    "subject with uri": (good(subject=[subject() | {"uri": "x"}]), r"subject\[0\]: expected exactly the members"),
    "subject without name": (good(subject=[{"digest": {"sha256": HEX}}]), r"subject\[0\]: expected exactly"),
    "empty name": (good(subject=[subject("")]), r"subject\[0\]: name: expected a text that is not empty"),
    "name of no text": (good(subject=[subject(7)]), r"subject\[0\]: name: expected"),
    "no digest": (
        good(subject=[{"digest": {}, "name": "a"}]),
        r"subject\[0\]: digest: expected exactly the member sha256",
    ),
    "digest of no object": (good(subject=[{"digest": HEX, "name": "a"}]), r"subject\[0\]: digest: expected exactly"),
    "two digests": (good(subject=[subject(sha256=HEX, sha512=HEX)]), r"subject\[0\]: digest: expected exactly"),
    "another digest": (good(subject=[subject(sha512=HEX)]), r"subject\[0\]: digest: expected exactly"),
    "short digest": (good(subject=[subject(sha256=HEX[1:])]), r"subject\[0\]: sha256: expected 64 lower-case"),
    "capital digest": (good(subject=[subject(sha256=HEX.upper())]), r"subject\[0\]: sha256: expected 64 lower-case"),
    "digest with a line feed": (good(subject=[subject(sha256=HEX + "\n")]), r"subject\[0\]: sha256: expected 64"),
    "digest in other digits": (good(subject=[subject(sha256="\u0661" * 64)]), r"subject\[0\]: sha256: expected 64"),
    "digest of no text": (good(subject=[subject(sha256=7)]), r"subject\[0\]: sha256: expected 64 lower-case"),
}


@pytest.mark.parametrize(("value", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(value, message):
    """STM-3 and STM-4."""
    with pytest.raises(Malformed, match=message):
        statement.parse(dump(value))


def test_accepted():
    assert statement.parse(dump(good())).subjects == (Subject("north-1", HEX),)


def test_a_statement_that_is_not_canonical_is_refused():
    for raw in (json.dumps(good()).encode(), dump(good()) + b"\n", dump(good()).replace(b"north", b"n\\u006frth")):
        with pytest.raises(Malformed, match="not canonical JSON"):
            statement.parse(raw)


def test_at_most_1024_subjects():
    """STM-4: 65,535 bytes hold no more than 700 good ones, so the cap shows only on bad ones."""
    with pytest.raises(Malformed, match=r"subject\[0\]: expected exactly"):
        statement.parse(dump(good(subject=[0] * 1024)))
    with pytest.raises(Malformed, match="subject: expected a list of 1 to 1024"):
        statement.parse(dump(good(subject=[0] * 1025)))


def test_format_refuses_what_parse_refuses():
    for subjects, kind, predicate in (
        ([], KIND, {"a": 1}),
        ([Subject("", HEX)], KIND, {"a": 1}),
        ([Subject("a", "x")], KIND, {"a": 1}),
        ([Subject("a", HEX)], "", {"a": 1}),
        ([Subject("a", HEX)], KIND, {}),
        ([Subject("a", HEX)], KIND, {"a": 1.5}),
        ([Subject("a", HEX)], KIND, {"a": "x" * 65_535}),
    ):
        with pytest.raises(Malformed):
            statement.format(subjects, kind, predicate)


@given(st.binary(max_size=40) | VALUES.map(dump))
def test_bytes_are_a_statement_or_malformed(raw):
    with pytest.raises(Malformed):
        statement.parse(raw)


@given(st.sampled_from([[], *good()]), st.sampled_from(["digest", "name", None]), VALUES)
def test_any_value_anywhere_is_a_statement_or_malformed(member, inner, value):
    changed = good()
    if inner:
        changed["subject"][0][inner] = value
    elif member:
        changed[member] = value
    raw = dump(changed)
    try:
        found = statement.parse(raw)
    except Malformed:
        return
    assert statement.format(found.subjects, found.predicate_type, found.predicate) == raw
