# SPDX-License-Identifier: Apache-2.0
"""AGR-3: k of n is counted over principals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pausectl.agreement.quorum import count
from pausectl.errors import Malformed

NAMES = st.sampled_from("abcdefg")


def test_who_signed_and_who_is_missing():
    quorum = count(["c", "a", "b"], 2, ["b", "c"])
    assert (quorum.signed, quorum.missing, quorum.reached) == (("b", "c"), ("a",), True)
    assert str(quorum) == "2 of the 2 required (b, c; missing: a)"
    assert str(count(["a"], 1, [])) == "0 of the 1 required (nobody; missing: a)"


def test_one_voice_for_each_principal():
    assert not count(["a", "b", "c"], 2, ["a", "a", "a"]).reached


def test_strangers_do_not_count():
    quorum = count(["a", "b"], 2, ["a", "x", "y"])
    assert not quorum.reached
    assert quorum.signed == ("a",)


@pytest.mark.parametrize("threshold", [0, -1, 3])
def test_a_threshold_is_between_one_and_all(threshold):
    with pytest.raises(Malformed, match=rf"expected 1 to 2 .* found {threshold}"):
        count(["a", "b"], threshold, ["a", "b"])


def test_nobody_is_a_member_twice():
    with pytest.raises(Malformed):
        count(["a", "a", "b"], 2, ["a", "b"])


def test_an_empty_body_reaches_nothing():
    with pytest.raises(Malformed):
        count([], 0, [])


@given(st.sets(NAMES, min_size=1), st.lists(NAMES), st.data())
def test_reached_is_set_arithmetic(members, signed, data):
    threshold = data.draw(st.integers(1, len(members)))
    quorum = count(sorted(members), threshold, signed)
    assert set(quorum.signed) == members & set(signed)
    assert set(quorum.missing) == members - set(signed)
    assert quorum.reached == (len(members & set(signed)) >= threshold)
    assert count(sorted(members), threshold, [*signed, *members]).reached
