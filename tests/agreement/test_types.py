# SPDX-License-Identifier: Apache-2.0
"""The kinds of value: what they take, and that no reader's software decides it."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from pausectl.agreement import types
from pausectl.wire.canonical import MAX_INTEGER

FIRST, LAST = -62_135_596_800, 253_402_300_799  # years 1 to 9999


def takes(kind: Any, value: Any) -> bool:
    try:
        TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


@given(st.integers(FIRST, LAST))
def test_instants_and_seconds_are_inverse(moment):
    text = types.instant(moment)
    assert len(text) == 20
    assert types.seconds(text) == moment
    assert takes(types.Instant, text)


@pytest.mark.parametrize(
    "text",
    [
        "2026-07-06T24:00:00Z",  # Python 3.14 reads this as the next day
        "2026-07-06T23:59:60Z",
        "2026-07-06 00:00:00Z",
        "2026-07-06T00:00:00+00:00",
        "2026-07-06T00:00:00.0Z",
        "2026-07-06T00:00:00z",
        "2026-02-29T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "2026-07-06T00:00:00Z\n",
        "٢٠٢٦-07-06T00:00:00Z",
        "2026-7-06T00:00:00Z",
        "",
    ],
)
def test_an_instant_has_one_text(text):
    assert not takes(types.Instant, text)
    with pytest.raises(ValueError, match=r"."):
        types.seconds(text)


@given(st.text(max_size=24))
def test_seconds_refuses_what_it_cannot_write(text):
    try:
        moment = types.seconds(text)
    except ValueError:
        return
    assert types.instant(moment) == text


@pytest.mark.parametrize("text", ["a", "north-1", "a" * 64, "0.9_x"])
def test_ids(text):
    assert takes(types.Id, text)


@pytest.mark.parametrize("text", ["", "A", "-a", "a-", "a" * 65, "a b", "ä", "a\n", "a/b", "\u0430"])
def test_what_is_no_id(text):
    assert not takes(types.Id, text)


def test_streams():
    assert all(takes(types.StreamName, text) for text in ("usage", "usage/north-1", "ab"))
    assert not any(
        takes(types.StreamName, text) for text in ("u", "Usage", "usage/", "usage/a/b", "usage/-", "usage\n")
    )


def test_digests():
    assert takes(types.Digest, "0" * 64)
    assert not any(takes(types.Digest, text) for text in ("0" * 63, "0" * 65, "A" * 64, "0" * 64 + "\n"))


def test_decimals():
    assert all(takes(types.Decimal, text) for text in ("0", "-0.5", "12.340", "9" * 18 + "." + "9" * 18))
    wrong = ("", "01", ".5", "5.", "1e3", "+1", "NaN", "inf", "1_0", "٣", "9" * 19, "0." + "9" * 19, "1\n")
    assert not any(takes(types.Decimal, text) for text in wrong)


def test_sums_beyond_2_53_are_text():
    assert all(takes(types.BigCount, text) for text in ("0", str(2**53), str(2**64 - 1)))
    assert not any(takes(types.BigCount, value) for value in (str(2**64), "9" * 20, "00", "-1", "", "1.0", 1))


def test_numbers_stop_where_other_tools_stop_reading_them():
    assert takes(types.Count, MAX_INTEGER)
    assert takes(types.Count, 0)
    assert not any(takes(types.Count, value) for value in (MAX_INTEGER + 1, -1, 1.0, True, "1", None))
    assert not any(takes(types.Positive, value) for value in (0, MAX_INTEGER + 1))
    assert takes(types.Signed, -MAX_INTEGER)
    assert not takes(types.Signed, -MAX_INTEGER - 1)


@pytest.mark.parametrize("text", ["Aurora", "Zürich – Æther", "研究所", "a" * 200, '"\\'])
def test_names(text):
    assert takes(types.Name, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a" * 201,
        "a\tb",
        "a\nb",
        "\x7f",
        "Zu\u0308rich",  # not NFC
        "a\u00a0b",
        "a\u3000b",
        "a\u202eb",  # right-to-left override
        "a\u200bb",  # zero width space, which Unicode 3.2 takes for a space and later versions do not
        "\ue000",
        "\u2028",
        "\ud800",
        "\u0378",  # assigned in no version yet
        "\U0001f600",  # assigned, but not in 3.2
        "\u20c0",  # som sign, assigned in Unicode 14: a Python with 13 would not know it
    ],
)
def test_what_is_no_name(text):
    assert not takes(types.Name, text)


@given(st.text(max_size=6))
def test_text_is_judged_by_unicode_3_2(text):
    """What is accepted is normal in every later version too: normal forms of assigned characters never change."""
    if takes(types.Text, text):
        assert types.unicode.unidata_version == "3.2.0"
        assert "Cn" not in {types.unicode.category(character) for character in text}


def test_a_ratio_is_exact():
    assert types.Ratio(denominator=100, numerator=114).value == Fraction(57, 50)
    with pytest.raises(ValidationError):
        types.Ratio(denominator=0, numerator=1)


def test_models_are_frozen_closed_and_strict():
    ratio = types.Ratio(denominator=1, numerator=1)
    with pytest.raises(ValidationError):
        ratio.numerator = 2
    for body in ('{"denominator":1}', '{"denominator":1,"numerator":1,"x":1}', '{"denominator":1,"numerator":"1"}'):
        with pytest.raises(ValidationError):
            types.Ratio.model_validate_json(body)
