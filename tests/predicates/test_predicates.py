# SPDX-License-Identifier: Apache-2.0
"""Every type of claim: what is written is read, nothing else is, and only whoever may say it is heard."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from pausectl.agreement import types
from pausectl.agreement.document import Agreement
from pausectl.errors import Malformed
from pausectl.history.authority import objection
from pausectl.history.decode import decode
from pausectl.history.records import Trouble
from pausectl.predicates import base, catalogue
from pausectl.predicates.base import Predicate, UnknownType
from pausectl.predicates.checkpoint import NoteText
from pausectl.sim import examples, terms
from pausectl.sim.examples import KEYS
from pausectl.wire import canonical, dsse, statement
from pausectl.wire.canonical import MAX_INTEGER
from pausectl.wire.keys import PrivateKey

CLAIMS = examples.claims()
EXAMPLES = sorted(CLAIMS)
RAW = {name: base.write(claim) for name, claim in CLAIMS.items()}
AGREEMENT = examples.agreement()

# ── claims out of thin air: a strategy for every annotation that a model has ──

WORDS = st.text(st.sampled_from('aZ09 .,-"\\/éΩ研ß'), min_size=1, max_size=6)
SITES = st.sampled_from(["a", "north-1", "0.9_x"])
KINDS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (types.Id, SITES),
    (types.StreamName, st.sampled_from(["usage", "runs", "usage/north-1"])),
    (types.Digest, st.binary(min_size=32, max_size=32).map(bytes.hex)),
    (types.Text, WORDS),
    (types.Name, WORDS),
    (types.Instant, st.integers(-(10**10), 10**11).map(types.instant)),
    (types.Decimal, st.sampled_from(["0", "-1.50", "0.7784", "12"])),
    (types.BigCount, st.integers(0, 2**64 - 1).map(str)),
    (types.Count, st.integers(0, MAX_INTEGER)),
    (types.Positive, st.integers(1, MAX_INTEGER)),
    (types.Signed, st.integers(-MAX_INTEGER, MAX_INTEGER)),
    (NoteText, st.text(st.sampled_from('a\n\t\r\b\f\x00\x1f\x7f\u2028\U0001f600"\\é'), min_size=1, max_size=9)),
]


def values(annotation: Any) -> st.SearchStrategy[Any]:
    """JSON values of an annotation."""
    known = next((strategy for kind, strategy in KINDS if kind == annotation), None)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if known is not None:
        return known
    if annotation is type(None):
        return st.none()
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple:
        return st.lists(values(arguments[0]), max_size=2)
    if origin is not None and origin is not Annotated:
        assert origin in (Union, type(int | None)), annotation
        return st.one_of(*map(values, arguments))
    assert issubclass(annotation, BaseModel), annotation
    return bodies(annotation)


def bodies(model: type[BaseModel]) -> st.SearchStrategy[dict[str, Any]]:
    hints = get_type_hints(model, include_extras=True)
    return st.fixed_dictionaries({name: values(hints[name]) for name in model.model_fields if name != "header"})


HEADERS = values(base.Header)
SPANS = values(types.Span)


@st.composite
def claims(draw: st.DrawFn, cls: type[Predicate]) -> Predicate:
    body, header = draw(bodies(cls)), draw(HEADERS)
    header["stream"] = f"{cls.stream}/{body['facility']}" if cls.per_facility else cls.stream
    header["window"] = draw(SPANS) if cls.windowed else None
    return base.construct(cls, body, base.Header.model_validate_json(json.dumps(header)))


ANY_CLAIM = st.sampled_from(catalogue.TYPES).flatmap(claims)


def outcome(reader: Any, payload: bytes) -> Any:
    """What a reader answers, or that it refuses; anything else that it raises is a bug and passes through."""
    try:
        return reader(payload)
    except Malformed:
        return Malformed


# ── write and read ──


@pytest.mark.parametrize("cls", catalogue.TYPES, ids=lambda cls: cls.name)
def test_what_is_written_is_read(cls):
    @given(claims(cls))
    @settings(max_examples=25, deadline=None)
    def check(claim: Predicate) -> None:
        raw = base.write(claim)
        assert base.read(raw) == base.explain(raw) == claim
        assert type(base.read(raw)) is cls
        assert base._readers[cls.type_uri().encode()].fast(raw) == claim, "the fast way must take what we write"

    check()


def test_every_type_is_in_the_catalogue_once():
    assert set(base._readers) == {cls.type_uri().encode() for cls in catalogue.TYPES}
    assert len({cls.name for cls in catalogue.TYPES}) == len(catalogue.TYPES)
    assert all(cls.type_uri() == f"https://pausectl.dev/{cls.name}/v1" for cls in catalogue.TYPES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_in_toto_reader_sees_the_subject(name):
    parsed = statement.parse(RAW[name])
    assert parsed.subjects == (CLAIMS[name].subject(),)
    assert parsed.predicate_type == CLAIMS[name].type_uri()


# ── what is not written is not read: STM-5, HDR-1, HDR-2, HDR-3 ──


@given(st.binary(max_size=300))
def test_any_bytes(payload):
    assert outcome(base.read, payload) == outcome(base.explain, payload) == Malformed


@given(st.sampled_from(EXAMPLES), st.data())
@settings(max_examples=300, deadline=None)
def test_any_piece_of_a_statement_can_be_another(name, data):
    raw = RAW[name]
    place = data.draw(st.integers(0, len(raw)))
    piece = data.draw(st.binary(max_size=4) | st.sampled_from([b'"', b"{}", b"0", b",", b" ", b'"predicateType":"']))
    payload = raw[:place] + piece + raw[place + data.draw(st.integers(0, 4)) :]
    found = outcome(base.read, payload)
    assert found == outcome(base.explain, payload)
    if isinstance(found, Predicate):
        assert base.write(found) == payload


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | st.text(max_size=4) | SITES,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=4), inner, max_size=2
        )
    ),
    max_leaves=4,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for name, item in items for place in places(item, (*path, name)))]


def look(value: Any, path: tuple[Any, ...]) -> Any:
    for part in path:
        value = value[part]
    return value


@given(st.sampled_from(EXAMPLES), st.data(), JSON)
@settings(max_examples=300, deadline=None)
def test_any_member_can_be_another(name, data, value):
    """Canonical JSON that is almost a statement: both ways of reading give one answer, and nothing is dropped."""
    parsed = json.loads(RAW[name])
    path = data.draw(st.sampled_from(places(parsed)[1:]))
    look(parsed, path[:-1])[path[-1]] = value
    payload = canonical.dump(parsed)
    found = outcome(base.read, payload)
    assert found == outcome(base.explain, payload)
    if isinstance(found, Predicate):
        assert base.write(found) == payload


@pytest.mark.parametrize("name", EXAMPLES)
def test_stm_5_missing_and_unknown_members_are_named(name):
    for path in places(json.loads(RAW[name])["predicate"]):
        for change in ("missing", "unknown"):
            parsed = json.loads(RAW[name])
            place = look(parsed["predicate"], path[:-1]) if path else parsed["predicate"]
            if change == "missing" and path and isinstance(path[-1], str):
                del place[path[-1]]
                named = path
            elif change == "unknown" and isinstance(look(parsed["predicate"], path), dict):
                look(parsed["predicate"], path)["zzz"] = 1
                named = (*path, "zzz")
            else:
                continue
            with pytest.raises(Malformed, match=f"^statement: predicate.{'.'.join(map(str, named))}: "):
                base.read(canonical.dump(parsed))


WRONG = {dict: [], list: {}, str: 7, int: "7", type(None): 7.0}


@pytest.mark.parametrize("name", EXAMPLES)
def test_stm_5_mistyped_members_are_named(name):
    for path in places(json.loads(RAW[name])["predicate"])[1:]:
        parsed = json.loads(RAW[name])
        found = look(parsed["predicate"], path)
        if found is None:
            continue
        look(parsed["predicate"], path[:-1])[path[-1]] = WRONG[type(found)]
        with pytest.raises(Malformed, match=f"^statement: predicate.{'.'.join(map(str, path))}"):
            base.read(canonical.dump(parsed))


def rewritten(name: str, **changes: Any) -> bytes:
    """An example with other header members."""
    parsed = json.loads(RAW[name])
    parsed["predicate"]["header"] |= changes
    return canonical.dump(parsed)


@pytest.mark.parametrize("name", EXAMPLES)
def test_hdr_1_a_statement_stands_in_its_stream(name):
    claim = CLAIMS[name]
    for wrong in {"other", claim.stream, f"{claim.stream}/north-1", f"{claim.stream}/aurora-1"} - {claim.stream_name()}:
        with pytest.raises(Malformed, match=f"^header: stream: expected {claim.stream_name()}, found {wrong}$"):
            base.read(rewritten(name, stream=wrong))


@pytest.mark.parametrize("name", EXAMPLES)
def test_hdr_2_a_window_or_none(name):
    wrong = None if CLAIMS[name].windowed else examples.WINDOW
    with pytest.raises(Malformed, match=r"^header: window: expected"):
        base.read(rewritten(name, window=wrong))


@pytest.mark.parametrize("name", EXAMPLES)
def test_hdr_3_one_subject_and_the_right_one(name):
    parsed = json.loads(RAW[name])
    right = parsed["subject"][0]
    other = {"digest": {"sha256": "0" * 64}, "name": right["name"]}
    for wrong in ([], [right, right], [right, other], [other], [{**right, "name": "other"}]):
        with pytest.raises(Malformed, match="subject"):
            base.read(canonical.dump({**parsed, "subject": wrong}))


def test_a_statement_of_unknown_type_is_an_answer():
    parsed = json.loads(RAW["order"])
    for uri in ("https://pausectl.dev/order/v2", "https://example.com/x"):
        assert base.read(canonical.dump({**parsed, "predicateType": uri})) == UnknownType(uri)


def test_the_fast_way_has_the_same_limit_of_bytes():
    """More heads than an entry can hold: valid but for its length."""
    parsed = json.loads(RAW["close"])
    parsed["predicate"]["heads"] *= 1_400
    payload = canonical.dump(parsed)
    assert len(payload) > canonical.MAX_BYTES
    assert outcome(base.read, payload) == outcome(base.explain, payload) == Malformed


def test_a_text_that_is_not_canonical_is_explained():
    with pytest.raises(Malformed, match="not canonical JSON"):
        base.read(RAW["order"].replace(b'"action":', b'"action": '))


# ── construct ──


def test_construct_names_what_is_wrong():
    header = CLAIMS["order"].header
    body = {"action": "pause", "reason": "Because.", "term_windows": 1}
    order = catalogue.Order
    assert base.construct(order, body, header).header == header
    with pytest.raises(Malformed, match=r"^order: action: expected 'pause', 'renew' or 'lift'$"):
        base.construct(order, {**body, "action": "stop"}, header)
    with pytest.raises(Malformed, match=r"^order: reason: field required$"):
        base.construct(order, {"action": "pause", "term_windows": 1}, header)
    with pytest.raises(Malformed, match="header: leave it out"):
        base.construct(order, {**body, "header": {}}, header)


def test_write_refuses_what_read_would():
    usage = CLAIMS["usage"]
    elsewhere = usage.model_copy(update={"header": usage.header.model_copy(update={"stream": "usage/north-1"})})
    with pytest.raises(Malformed, match="stream"):
        base.write(elsewhere)


@given(ANY_CLAIM)
@settings(max_examples=25, deadline=None)
def test_models_are_values(claim):
    assert claim == claim.model_copy()
    assert hash(claim) == hash(claim.model_copy())


# ── who may say it: HDR-4, HDR-5, HDR-6 ──


def said(claim: Predicate, *signers: PrivateKey, agreement: Agreement = AGREEMENT) -> Trouble | None:
    read = agreement.of_log(claim.header.log)  # as the log in which it stands is read
    found = objection(decode(dsse.sign(base.write(claim), *signers).raw, agreement.keys), read)
    return found[0] if found else None


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_heard(name):
    claim = CLAIMS[name]
    assert said(claim, *(KEYS[signer] for signer in examples.signers(claim))) is None


def with_header(claim: Predicate, **changes: Any) -> Predicate:
    """The claim with another header, and the subject that goes with it."""
    return claim.model_copy(update={"header": claim.header.model_copy(update=changes)})


@pytest.mark.parametrize("name", EXAMPLES)
def test_hdr_4_nothing_is_carried_from_elsewhere(name):
    claim = CLAIMS[name]
    signers = [KEYS[signer] for signer in examples.signers(claim)]
    assert said(with_header(claim, agreement="0" * 64), *signers) is Trouble.FOREIGN
    assert said(with_header(claim, log="log.example/other"), *signers) is Trouble.FOREIGN


@pytest.mark.parametrize("name", sorted(set(EXAMPLES) - {"order"}))
def test_hdr_5_nobody_speaks_for_another(name):
    claim = CLAIMS[name]
    own, other = claim.header.party, "cirrus"
    assert said(claim, KEYS[other]) is Trouble.UNAUTHORISED
    assert said(claim, KEYS[own], KEYS[other]) is Trouble.UNAUTHORISED
    assert said(claim, terms.demo_key("stranger")) is Trouble.UNAUTHORISED
    assert said(with_header(claim, party="nobody"), KEYS[own]) is Trouble.UNAUTHORISED


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("party", ["aurora", "avon", "wharf", "probe", "gridco", "ledgerco"])
def test_hdr_5_only_a_role_may_say_it(name, party):
    claim = with_header(CLAIMS[name], party=party)
    roles = AGREEMENT.principals[party].roles
    allowed = name == "checkpoint" or bool(set(roles) & set(claim.role.split()))
    assert (said(claim, KEYS[party]) is None) == allowed


def test_hdr_6_a_body_speaks_by_its_threshold():
    order = CLAIMS["order"]
    avon, brent, cam, aurora = (KEYS[name] for name in ("avon", "brent", "cam", "aurora"))
    assert said(order, avon, brent) is None
    assert said(order, avon, brent, cam) is None
    assert said(order, avon) is Trouble.UNAUTHORISED
    assert said(order, avon, aurora) is Trouble.UNAUTHORISED
    assert said(order, avon, brent, aurora) is Trouble.UNAUTHORISED
    assert (
        said(with_header(order, party="signatories"), avon, brent, cam, *(KEYS[lab] for lab in AGREEMENT.labs))
        is Trouble.UNAUTHORISED
    )
    assert said(with_header(order, party="avon"), avon) is Trouble.UNAUTHORISED
    assert said(with_header(CLAIMS["usage"], party="overseers"), avon, brent) is Trouble.UNAUTHORISED
