# SPDX-License-Identifier: Apache-2.0
"""Token buckets, by a clock of the test's own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pausectl.net.limits import Buckets


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_then_the_rate_and_the_wait_is_enough():
    clock = Clock()
    buckets = Buckets(2.0, 3, clock=clock)
    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, 1]
    clock.now += 0.5
    assert [buckets.take("a"), buckets.take("a")] == [0, 1]
    clock.now += buckets.take("a")
    assert buckets.take("a") == 0


def test_one_partys_share_is_nobody_elses():
    buckets = Buckets(1.0, 1, clock=Clock())
    assert [buckets.take(party) for party in ("a", "b", "a", "b")] == [0, 0, 1, 1]


def test_what_is_given_back_is_there_again_and_never_more_than_a_bucket_holds():
    buckets = Buckets(1.0, 1, clock=Clock())
    buckets.take("a")
    buckets.give_back("a")
    buckets.give_back("a")
    buckets.give_back("nobody")
    assert [buckets.take("a"), buckets.take("a")] == [0, 1]


def test_of_strangers_only_so_many_are_remembered():
    buckets = Buckets(1.0, 1, 100, clock=Clock())
    for number in range(10_000):
        buckets.take(str(number))
    assert len(buckets) == 100


@given(st.lists(st.floats(0, 10), max_size=40), st.floats(0.1, 50), st.integers(1, 20))
def test_nobody_ever_gets_more_than_burst_and_rate(pauses, rate, burst):
    clock = Clock()
    buckets = Buckets(rate, burst, clock=clock)
    granted = 0
    for pause in pauses:
        clock.now += pause
        granted += buckets.take("a") == 0
        assert granted <= burst + rate * clock.now + 1e-6
