# SPDX-License-Identifier: Apache-2.0
"""Canonical JSON: an RFC 8785 library on our subset, and every text that a lenient parser lets pass."""

from __future__ import annotations

import json
import time

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from pausectl.errors import Malformed
from pausectl.wire.canonical import MAX_BYTES, MAX_DEPTH, MAX_INTEGER, dump, load, tidy

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NAMES = st.text(st.characters(exclude_categories=["Cs"], max_codepoint=0xFFFF), max_size=6)
SCALARS = st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | TEXTS
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(NAMES, inner, max_size=5))


def nested(depth):
    value = 0
    for _ in range(depth):
        value = [value]
    return value


# ── what we write ──


@given(VALUES)
def test_dump_writes_what_an_rfc_8785_library_writes(value):
    assert dump(value) == rfc8785.dumps(value)


@given(VALUES)
def test_load_gives_back_what_dump_wrote(value):
    assert load(dump(value)) == value
    assert tidy(dump(value)) == value


@given(VALUES, st.integers(0, 4), st.booleans())
def test_tidy_reads_any_layout_and_load_only_one(value, indent, ascii_only):
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    assert tidy(text) == value
    if text != dump(value):
        with pytest.raises(Malformed, match="not canonical"):
            load(text)


ANYTHING = st.recursive(
    SCALARS | st.floats() | st.integers() | st.text(max_size=4) | st.binary(max_size=2),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=4),
)


@given(ANYTHING)
def test_dump_writes_only_what_load_reads(value):
    try:
        raw = dump(value)
    except Malformed:
        return
    assert load(raw) == value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (1.5, "without floats, found float"),
        ({"a": [1.0]}, "without floats, found float"),
        (float("nan"), "found float"),
        (b"a", "found bytes"),
        ({1: 2}, "member name: expected a text, found int"),
        (2**53, r"±\(2\^53 - 1\), found one of 54 bits"),
        (-(2**53), "found one of 54 bits"),
        pytest.param(10**5000, "found one of 16610 bits", id="5001 digits"),
        ("\ud800", r"lone surrogate '\\ud800'"),
        ({"\udfff": 1}, "lone surrogate"),
        ({"\U0001f600": 1}, r"member name '😀': expected no character above U\+FFFF"),
        (nested(33), "at most 32 levels deep"),
    ],
)
def test_dump_refuses(value, message):
    with pytest.raises(Malformed, match=message):
        dump(value)


def test_dump_refuses_a_list_that_holds_itself():
    loop = []
    loop.append(loop)
    with pytest.raises(Malformed, match="levels deep"):
        dump(loop)


# ── what other people published ──


@pytest.mark.parametrize("name", ["arrays", "french", "unicode"])
def test_rfc_8785_files_within_our_subset(name, shared):
    given_text = shared(f"vectors/jcs/input/{name}.json").read_bytes()
    expected = shared(f"vectors/jcs/output/{name}.json").read_bytes()
    assert dump(tidy(given_text)) == expected
    assert load(expected) == tidy(given_text)
    with pytest.raises(Malformed, match="not canonical"):
        load(given_text)


@pytest.mark.parametrize(
    ("name", "message"), [("values", "expected an integer, found"), ("weird", r"no character above U\+FFFF")]
)
def test_rfc_8785_files_beyond_our_subset(name, message, shared):
    """Floats in one, and in the other a name that UTF-16 sorts before U+FB33 and code points after it."""
    for folder in ("input", "output"):
        raw = shared(f"vectors/jcs/{folder}/{name}.json").read_bytes()
        for read in (load, tidy):
            with pytest.raises(Malformed, match=message):
                read(raw)


def test_the_structures_file_has_a_float_before_and_none_after(shared):
    with pytest.raises(Malformed, match=r"expected an integer, found 56\.0"):
        tidy(shared("vectors/jcs/input/structures.json").read_bytes())
    expected = shared("vectors/jcs/output/structures.json").read_bytes()
    assert dump(load(expected)) == expected


def test_the_weird_file_without_its_smiley(shared):
    value = json.loads(shared("vectors/jcs/input/weird.json").read_bytes())
    del value["\U0001f602"]
    assert dump(value) == rfc8785.dumps(value)


# ── what we refuse ──

NEVER = {
    "repeated member": (b'{"a":1,"a":2}', "member 'a' is repeated"),
    "repeated member, deep": (b'[{"b":{"a":1,"c":0,"a":1}}]', "member 'a' is repeated"),
    "repeated through an escape": (b'{"a":1,"\\u0061":2}', "member 'a' is repeated"),
    "nan": (b"[NaN]", "expected an integer, found NaN"),
    "infinity": (b"[Infinity]", "expected an integer, found Infinity"),
    "minus infinity": (b"[-Infinity]", "expected an integer, found -Infinity"),
    "1e999": (b"1e999", "expected an integer, found 1e999"),
    "1.0": (b"1.0", "expected an integer, found 1.0"),
    "1e2": (b"1E2", "expected an integer, found 1E2"),
    "-0": (b"-0", "found -0"),
    "-0.0": (b"-0.0", "found -0.0"),
    "2^53": (b"9007199254740992", "found 9007199254740992"),
    "-2^53": (b"-9007199254740992", "found -9007199254740992"),
    "2^53 + 1": (b"9007199254740993", "found 9007199254740993"),
    "4300 digits": (b"1" * 4300, "found 111111111111111111111111$"),
    "5000 digits": (b"1" * 5000, "found 111111111111111111111111$"),
    "leading zero": (b"01", "byte 1: expected JSON"),
    "plus": (b"+1", "byte 0: expected JSON"),
    "33 levels": (b"[" * 33 + b"]" * 33, "at most 32 levels deep"),
    "100,000 levels": (b"[" * 32_000 + b"]" * 32_000, "at most 32 levels deep"),
    "33 levels of objects": (b'{"a":' * 33 + b"0" + b"}" * 33, "at most 32 levels deep"),
    "lone surrogate": (b'"\\ud800"', r"lone surrogate '\\ud800'"),
    "lone surrogate in a name": (b'{"\\ud800":1}', "lone surrogate"),
    "utf-8 surrogate": (b'"\xed\xa0\x80"', "byte 1: expected UTF-8, found 0xed"),
    "overlong": (b'"\xc0\xaf"', "byte 1: expected UTF-8, found 0xc0"),
    "utf-16": ('"a"'.encode("utf-16"), "byte 0: expected UTF-8, found 0xff"),
    "byte order mark": (b"\xef\xbb\xbf{}", "byte 0: expected JSON"),
    "control character": (b'"\x01"', "byte 1: expected JSON: invalid control character"),
    "newline in a text": (b'"a\nb"', "byte 2: expected JSON: invalid control character"),
    "trailing data": (b"{}x", "byte 2: expected JSON: extra data"),
    "trailing comma": (b'{"a":1,}', "byte 7: expected JSON"),
    "comment": (b"{}//", "byte 2: expected JSON: extra data"),
    "single quotes": (b"{'a':1}", "byte 1: expected JSON"),
    "nothing": (b"", "byte 0: expected JSON"),
    "unclosed": (b'{"a":"', "byte 5: expected JSON: unterminated"),
    "name above U+FFFF": ('{"\U0001f600":1}'.encode(), r"no character above U\+FFFF"),
    "place after two-byte characters": ('{"éé":x}'.encode(), "byte 8: expected JSON"),
}
NOT_SIGNED = {
    "space": (b'{"a": 1}', "byte 5: not canonical JSON: expected '1}', found ' 1}'"),
    "line feed at the end": (b"{}\n", "byte 2: not canonical JSON: expected '', found '\\\\n'"),
    "carriage return": (b"[\r1]", "byte 1: not canonical JSON"),
    "unsorted": (b'{"b":1,"a":2}', 'byte 2: not canonical JSON: expected \'a":2,"b":1}\''),
    "sorted without case": (b'{"a":1,"B":2}', "byte 2: not canonical JSON"),
    "escaped letter": (b'"\\u0041"', "byte 1: not canonical JSON: expected 'A\"'"),
    "escaped slash": (b'"\\/"', "byte 1: not canonical JSON"),
    "escaped e acute": (b'"\\u00e9"', "byte 1: not canonical JSON: expected 'é\"'"),
    "escaped delete": (b'"\\u007f"', "byte 1: not canonical JSON"),
    "surrogate pair": (b'"\\ud83d\\ude00"', "byte 1: not canonical JSON"),
    "long escape": (b'"\\u000a"', "byte 2: not canonical JSON"),
    "capital escape": (b'"\\u001F"', "byte 6: not canonical JSON"),
}


@pytest.mark.parametrize(("raw", "message"), NEVER.values(), ids=NEVER)
def test_load_and_tidy_refuse(raw, message):
    """STM-1 and STM-2."""
    for read in (load, tidy):
        with pytest.raises(Malformed, match=message):
            read(raw)


@pytest.mark.parametrize(("raw", "message"), NOT_SIGNED.values(), ids=NOT_SIGNED)
def test_load_alone_refuses_and_says_where(raw, message):
    """STM-1."""
    assert dump(tidy(raw)) != raw
    with pytest.raises(Malformed, match=message):
        load(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"0",
        b"-1",
        b"9007199254740991",
        b"-9007199254740991",
        b'""',
        b"{}",
        b"[]",
        b'"\\u001f\\b\\f\\n\\r\\t\\"\\\\"',
        b'"\x7f"',
        '"\U0001f600\u2028"'.encode(),
        b'["[[[[{{{{"]',
        b'"\\"[[[["',
        b"[" * MAX_DEPTH + b"]" * MAX_DEPTH,
        b"[" + b"[],{}," * 100 + b"0]",
    ],
)
def test_load_accepts(raw):
    assert dump(load(raw)) == raw


def test_size_is_capped():
    assert load(b'"' + b"a" * (MAX_BYTES - 2) + b'"') == "a" * (MAX_BYTES - 2)
    with pytest.raises(Malformed, match="at most 65535 bytes of JSON, found 65536"):
        load(b'"' + b"a" * (MAX_BYTES - 1) + b'"')
    with pytest.raises(Malformed, match="at most 10 bytes"):
        load(b"[1,2,3,4,5]", limit=10)
    with pytest.raises(Malformed, match="at most 1048560 bytes"):
        tidy(b" " * 1_048_561)


HOSTILE = {
    "escaped quotes that never close": b'"' + b'\\"' * 32_000,
    "as many names as fit, the last one twice": b"{" + b"".join(b'"%x":1,' % i for i in range(6500)) + b'"1963":1}',
    "quotes": b'"' * 65_000,
    "backslashes": b"\\" * 65_000,
    "a bad escape, then brackets": b'"\\\n' + b"[" * 60_000,
    "nothing but brackets": b"[" * 65_000,
}


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE)
def test_hostile_texts_are_refused_at_once(raw):
    """The first two took twelve seconds and half a second once, and sixteen times the size is allowed for a draft."""
    start = time.process_time()
    with pytest.raises(Malformed):
        load(raw)
    assert time.process_time() - start < 0.3


SYMBOLS = st.text(alphabet='{}[]",:\\ \n0123456789-+.eEu_atrufalsn\u00e9\U0001f600', max_size=40).map(str.encode)


@given(st.binary(max_size=60) | SYMBOLS)
@example(b'{"a":1,"\\u0061":2}')
def test_bytes_are_canonical_or_malformed(raw):
    try:
        value = load(raw)
    except Malformed:
        return
    assert dump(value) == raw
    assert json.loads(raw) == value


@given(VALUES, st.data())
def test_damaged_json_is_canonical_or_malformed(value, data):
    raw = bytearray(dump(value))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at : at + data.draw(st.integers(0, 2))] = data.draw(
        st.sampled_from([b"", b" ", b'"', b"\\", b"0", b"[", b"\xff"])
    )
    try:
        again = load(bytes(raw))
    except Malformed:
        return
    assert dump(again) == raw
