# SPDX-License-Identifier: Apache-2.0
"""AGR-1, AGR-2, AGR-4, AGR-5: documents that contradict themselves, were altered, or signed by the wrong people."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pausectl.agreement import document
from pausectl.agreement.types import instant, seconds
from pausectl.errors import Forged, Malformed
from pausectl.sim import terms
from pausectl.sim.terms import Roll, demo_key
from pausectl.wire import canonical, dsse, note, statement
from pausectl.wire.keys import PrivateKey, base64

ROLL = Roll(labs={"aurora": ("aurora-1",)}, overseers=("avon", "brent"), witnesses=("wharf", "xylem", "yarrow"))
KEYS = {name: demo_key(name) for name in terms.names(ROLL)}
TERMS = terms.terms(ROLL, {name: key.public for name, key in KEYS.items()})
SIGNED = terms.agree(ROLL, KEYS)


def sign(body: dict[str, Any], *signers: PrivateKey) -> bytes:
    """An envelope over any body, without asking whether it is a document."""
    terms_digest = hashlib.sha256(canonical.dump(body)).hexdigest()
    subject = statement.Subject(str(body.get("name")), terms_digest)
    return dsse.sign(statement.format([subject], document.TYPE, body), *signers).raw


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    body = copy.deepcopy(TERMS)
    change(body)
    return body


def refused(change: Callable[[dict[str, Any]], object], match: str) -> None:
    with pytest.raises(Malformed, match=match):
        document.read_document(changed(change))


# ── what it is ──


def test_a_signed_agreement_is_read_back():
    read = document.parse(SIGNED.raw)
    assert read.document == document.read_document(TERMS)
    assert (read.id, read.raw) == (SIGNED.id, SIGNED.raw)
    assert read.quorum.signed == ("aurora", "avon", "brent")
    assert document.parse(SIGNED.raw + b"\n").raw == SIGNED.raw


def test_the_id_is_that_of_the_statement_and_not_of_the_envelope():
    """One signatory less is the same agreement; a changed word is another."""
    draft = document.draft(SIGNED.document)
    assert dsse.statement_id(draft) == SIGNED.id
    everybody = Roll(labs=ROLL.labs, overseers=("avon", "brent", "cam"), witnesses=ROLL.witnesses)
    keys = {name: demo_key(name) for name in terms.names(everybody)}
    draft = document.draft(terms.agree(everybody, keys).document)
    three = [
        dsse.sign(draft, *(keys[name] for name in names))
        for names in (("aurora", "avon", "brent", "cam"), ("aurora", "avon", "cam"))
    ]
    assert len({document.parse(envelope.raw).id for envelope in three}) == 1
    assert terms.agree(ROLL, KEYS, name="Another").id != SIGNED.id


def test_what_is_derived():
    assert SIGNED.labs == ("aurora",)
    assert SIGNED.holders("witness") == ROLL.witnesses
    assert SIGNED.facilities["aurora-1"].meter == "gridco"
    assert SIGNED.hardware["h100-sxm"].tdp_watts == 700
    assert set(SIGNED.witness_keys) == set(ROLL.witnesses)
    assert SIGNED.log_key.name == terms.ORIGIN


@given(st.integers(-200, 200), st.integers(0, terms.WEEK - 1))
def test_windows(window, inside):
    start = SIGNED.start(window)
    assert start == seconds(terms.ANCHOR) + window * terms.WEEK
    assert SIGNED.window_of(start + inside) == window
    assert SIGNED.first_boundary(start) == window
    assert SIGNED.first_boundary(start + 1 + inside) == window + 1
    assert instant(start).endswith("T00:00:00Z")


# ── members ──

Path = tuple[str | int, ...]


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield from places(item, (*path, name))


def look(value: Any, path: Path) -> Any:
    for part in path:
        value = value[part]
    return value


#: Members whose names are data: leaving one out, or another name, says something else and is no error of form.
MAPS = {"fractions", "peak_gflop_per_second"}
PLACES = [path for path in places(TERMS) if path]
MEMBERS = [path for path in PLACES if isinstance(path[-1], str) and not MAPS & set(path[:-1])]
OBJECTS = [path for path in places(TERMS) if isinstance(look(TERMS, path), dict) and not MAPS & set(path)]


def name(path: Path) -> str:
    return ".".join(str(part) for part in path)


def test_every_missing_member_is_named():
    for path in MEMBERS:
        refused(lambda body, path=path: look(body, path[:-1]).pop(path[-1]), f"^agreement: {name(path)}: ")


def test_every_additional_member_is_named():
    for path in OBJECTS:
        refused(lambda body, path=path: look(body, path).update(zzz=1), f"^agreement: {name((*path, 'zzz'))}: ")


WRONG = {dict: [], list: {}, str: 7, int: "7", type(None): True}


def test_every_mistyped_member_is_named():
    for path in PLACES:
        wrong = WRONG[type(look(TERMS, path))]
        refused(
            lambda body, path=path, wrong=wrong: look(body, path[:-1]).__setitem__(path[-1], wrong),
            f"^agreement: {name(path)}",
        )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(st.sampled_from(PLACES), JSON)
@settings(max_examples=150, deadline=None)
def test_any_other_value_is_refused_or_stands_as_written(path, value):
    """Nothing is coerced and nothing is dropped: what was taken writes what was read."""
    body = changed(lambda body: look(body, path[:-1]).__setitem__(path[-1], value))
    try:
        read = document.read_document(body)
    except Malformed:
        return
    assert canonical.dump(read.model_dump(mode="json")) == canonical.dump(body)


@given(JSON)
def test_what_is_no_document_is_malformed(value):
    with pytest.raises(Malformed):
        document.read_document(value)


# ── AGR-1 and AGR-2 ──


def test_agr_1_names_stand_once():
    def again(member: str) -> Callable[[dict[str, Any]], object]:
        return lambda body: body[member].append(dict(body[member][0]))

    for member, what in (
        ("principals", "principal"),
        ("bodies", "body"),
        ("facilities", "facility"),
        ("hardware", "sku"),
    ):
        refused(again(member), f"^agreement: {what} .* is named twice$")
    refused(lambda body: body["bodies"][0]["members"].append("avon"), "member of overseers avon is named twice")
    refused(lambda body: body["bodies"][0].update(id="avon"), "principal and body share the name avon")


def test_agr_1_a_public_key_belongs_to_one_principal():
    key = TERMS["principals"][0]["keys"][0]
    refused(lambda body: body["principals"][1].update(keys=[key]), "public key .* is named twice")
    refused(lambda body: body["principals"][0].update(keys=[key, key]), "public key .* is named twice")
    refused(
        lambda body: body["principals"][0].update(keys=[key, {**key, "suite": "other"}]), "public key .* is named twice"
    )


def test_agr_1_one_key_of_each_suite():
    other = {"public": base64(demo_key("somebody").public.raw), "suite": "ed25519"}
    refused(lambda body: body["principals"][0]["keys"].append(other), "suite of aurora ed25519 is named twice")


def test_agr_1_names_are_defined():
    refused(lambda body: body["bodies"][0]["members"].append("nobody"), "member of overseers: nobody is not defined")
    refused(lambda body: body["facilities"][0].update(lab="avon"), "lab of facility aurora-1: avon is not defined")
    refused(
        lambda body: body["facilities"][0].update(meter="aurora"), "meter of facility aurora-1: aurora is not defined"
    )
    refused(lambda body: body["witnesses"]["members"][0].update(principal="avon"), "witness: avon is not defined")
    refused(lambda body: body["bodies"].pop(0), "expected the bodies signatories and overseers")
    refused(lambda body: body.update(hardware=[]), "hardware: expected at least one")


def test_thresholds():
    refused(
        lambda body: body["bodies"][0].update(threshold=3), "body overseers: threshold 3 is more than its 2 members"
    )
    refused(lambda body: body["bodies"][0].update(threshold=0), "bodies.0.threshold")


@given(st.integers(0, 4), st.integers(1, 4))
def test_agr_2_two_quorums_share_an_honest_witness(faulty, quorum):
    def change(body: dict[str, Any]) -> None:
        body["witnesses"].update(faulty=faulty, quorum=quorum)

    if quorum <= 3 and faulty < quorum and 2 * quorum > 3 + faulty:
        document.read_document(changed(change))
    else:
        refused(change, "^agreement: witnesses: ")


def vkey(named: str, key: str, kind: int = note.TYPE_COSIGNATURE) -> str:
    return note.format_vkey(note.VerifierKey(named, kind, demo_key(key).public))


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        (vkey("wharf.example", "wharf"), "witness key .* is named twice"),
        (vkey("wharf.example", "xylem"), "two of them share a key name"),
        (vkey("xylem.example", "wharf"), "two of them share a key, or one has that of a log"),
        (vkey("xylem.example", "ledgerco"), "two of them share a key, or one has that of a log"),
        (vkey("xylem.example", "xylem", note.TYPE_ED25519), "expected vkeys of type 0x04"),
        ("xylem.example+00000000+AAAA", "verifier key"),
    ],
)
def test_agr_2_each_witness_has_its_own_name_and_key(wrong, match):
    body = changed(lambda body: body["witnesses"]["members"][1].update(vkey=wrong))
    with pytest.raises(Malformed, match=match):
        document.parse(sign(body, *(KEYS[name] for name in ("aurora", "avon", "brent"))))


@pytest.mark.parametrize("wrong", [vkey("other.example", "ledgerco", 1), vkey(terms.ORIGIN, "ledgerco", 4), "x"])
def test_the_log_has_a_plain_key_under_its_origin(wrong):
    body = changed(lambda body: body["log"].update(vkey=wrong))
    with pytest.raises(Malformed):
        document.parse(sign(body, *(KEYS[name] for name in ("aurora", "avon", "brent"))))


@pytest.mark.parametrize(
    ("member", "numerator", "place"),
    [
        ("power.it_factor", 0, "power.it_factor"),
        ("power.chip_headroom", 0, "power.chip_headroom"),
        ("power.fractions.pretrain", 0, "power.fractions.pretrain"),
        ("mfu.caps", 0, "mfu.caps"),
        ("mfu.strict", 0, "mfu.strict"),
        ("power.false_alarm", 0, "false_alarm above 0"),
        ("power.false_alarm", 501, "false_alarm above 0 and at most 1/2"),
        ("power.detection", 49, "detection at least 1/2"),
        ("power.detection", 100, "below 1"),
    ],
)
def test_agr_8_numbers_that_a_formula_cannot_take(member, numerator, place):
    def change(body):
        *path, last = member.split(".")
        for name in path:
            body = body[name]
        body[last]["numerator"] = numerator

    with pytest.raises(Malformed, match=place):
        document.read_document(changed(change))


def test_agr_8_the_power_of_training_is_agreed():
    with pytest.raises(Malformed, match=r"power\.fractions\.pretrain"):
        document.read_document(changed(lambda body: body["power"]["fractions"].pop("pretrain")))


# ── AGR-4 and AGR-5 ──

DRAFT = document.draft(SIGNED.document)


def by(*names: str) -> bytes:
    return dsse.sign(DRAFT, *(KEYS[name] for name in names)).raw


def test_agr_4_below_the_threshold():
    with pytest.raises(Forged, match=r"2 of the 3 required \(aurora, avon; missing: brent\)"):
        document.parse(by("aurora", "avon"))


def test_agr_4_a_principal_that_is_no_signatory():
    with pytest.raises(Forged):
        document.parse(by("aurora", "avon", "gridco"))
    with pytest.raises(Forged):
        document.parse(by("aurora", "avon", "brent", "gridco"))


def test_agr_4_a_key_that_is_in_no_agreement():
    with pytest.raises(Forged, match="no key of this agreement"):
        document.parse(dsse.sign(DRAFT, KEYS["aurora"], KEYS["avon"], KEYS["brent"], demo_key("stranger")).raw)


def test_agr_4_a_signature_under_another_text():
    signed = dsse.parse(by("aurora", "avon", "brent"))
    other = dsse.parse(sign({**TERMS, "name": "Another"}, KEYS["aurora"], KEYS["avon"], KEYS["brent"]))
    with pytest.raises(Forged, match="does not verify"):
        document.parse(dsse.format(signed.payload, other.signatures))


def test_agr_4_another_type_is_no_agreement():
    subject = statement.parse(DRAFT).subjects
    for kind in ("https://pausectl.dev/usage/v1", "https://pausectl.dev/agreement/v2"):
        raw = statement.format(subject, kind, TERMS)
        with pytest.raises(Malformed, match="expected a statement of type"):
            document.parse(dsse.sign(raw, *(KEYS[name] for name in ("aurora", "avon", "brent"))).raw)


def test_the_subject_is_the_digest_of_the_terms():
    for subjects in (
        [statement.Subject(TERMS["name"], "0" * 64)],
        [statement.Subject("Another", statement.parse(DRAFT).subjects[0].sha256)],
        [*statement.parse(DRAFT).subjects, statement.Subject("more", "0" * 64)],
    ):
        raw = statement.format(subjects, document.TYPE, TERMS)
        with pytest.raises(Malformed, match="subject"):
            document.parse(dsse.sign(raw, *(KEYS[name] for name in ("aurora", "avon", "brent"))).raw)


def test_agr_5_later_versions_are_not_read_by_this_release():
    body = {**TERMS, "version": 2, "previous": SIGNED.id}
    with pytest.raises(Malformed, match="agreement version 2: this release reads version 1 only"):
        document.parse(sign(body, *(KEYS[name] for name in ("aurora", "avon", "brent"))))
    refused(lambda body: body.update(version=2), "previous: expected null in version 1")
    refused(lambda body: body.update(previous="0" * 64), "previous: expected null in version 1")


@pytest.mark.parametrize(
    "public", ["", "AAAA", base64(bytes(32)), "x" * 44, base64(demo_key("a").public.raw)[:-1] + "\u00e9"]
)
def test_keys_that_are_none(public):
    body = changed(lambda body: body["principals"][0]["keys"][0].update(public=public))
    with pytest.raises(Malformed):
        document.parse(sign(body, KEYS["aurora"], KEYS["avon"], KEYS["brent"]))


def test_a_suite_that_we_do_not_know():
    body = changed(lambda body: body["principals"][0]["keys"][0].update(suite="rsa"))
    with pytest.raises(Malformed, match="signature suite"):
        document.parse(sign(body, KEYS["aurora"], KEYS["avon"], KEYS["brent"]))


# ── bytes ──


def test_no_byte_can_be_another():
    """One changed bit anywhere is an error; which one depends on where."""
    for place in range(0, len(SIGNED.raw), 3):
        raw = bytearray(SIGNED.raw)
        raw[place] ^= 1 << place % 8
        with pytest.raises((Malformed, Forged)):
            document.parse(bytes(raw))


@given(st.integers(0, len(SIGNED.raw) - 1), st.integers(0, 3), st.binary(max_size=3))
@settings(max_examples=200, deadline=None)
def test_no_piece_can_be_another(place, length, piece):
    raw = SIGNED.raw[:place] + piece + SIGNED.raw[place + length :]
    if raw.removesuffix(b"\n") == SIGNED.raw:
        return
    with pytest.raises((Malformed, Forged)):
        document.parse(raw)


@given(st.binary(max_size=200))
def test_any_bytes(raw):
    with pytest.raises((Malformed, Forged)):
        document.parse(raw)
