# SPDX-License-Identifier: Apache-2.0
"""AGR-6: the greatest set in which every condition holds, against all subsets there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import chain, combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from pausectl.agreement.pledges import Pledge, bound_by

#: domain KA-40: A needs three, B a share of 80 %, C needs A, D needs E, and E has not acceded.
FOUR = {
    "A": Pledge("x", 40, min_parties=3),
    "B": Pledge("x", 30, min_share=Fraction(80, 100)),
    "C": Pledge("y", 20, required=frozenset({"A"})),
    "D": Pledge("y", 10, required=frozenset({"E"})),
}


def subsets(pledges: Mapping[str, Pledge]) -> Iterator[dict[str, Pledge]]:
    names = sorted(pledges)
    for chosen in chain.from_iterable(combinations(names, size) for size in range(len(names) + 1)):
        yield {name: pledges[name] for name in chosen}


def content(bound: Mapping[str, Pledge], pledges: Mapping[str, Pledge]) -> bool:
    total = sum(pledge.weight for pledge in pledges.values())
    return all(pledge.satisfied(bound, total) for pledge in bound.values())


def least(pledges: Mapping[str, Pledge]) -> frozenset[str]:
    """The other fixed point: begin with nobody, add whoever is content with those in."""
    total = sum(pledge.weight for pledge in pledges.values())
    bound: dict[str, Pledge] = {}
    while True:
        more = {name: pledge for name, pledge in pledges.items() if pledge.satisfied(bound, total)}
        if more.keys() <= bound.keys():
            return frozenset(bound)
        bound = {**bound, **more}


def test_ka_40_three_of_four_are_bound():
    assert bound_by(FOUR) == {"A", "B", "C"}
    share = Fraction(sum(FOUR[name].weight for name in "ABC"), 100)
    jurisdictions = {FOUR[name].jurisdiction for name in "ABC"}
    assert (len(jurisdictions), share) == (2, Fraction(90, 100))
    assert share >= Fraction(2, 3)


def test_ka_41_one_condition_too_many_and_all_fall():
    assert bound_by({**FOUR, "B": Pledge("x", 30, min_share=Fraction(95, 100))}) == frozenset()


def test_ka_42_the_least_fixed_point_leaves_everybody_waiting():
    assert least(FOUR) == frozenset()


def test_the_example_of_pledges_py():
    """A says "if two others", B says "if A"."""
    pledges = {"A": Pledge("x", 1, min_parties=2), "B": Pledge("y", 1, required=frozenset({"A"}))}
    assert bound_by(pledges) == {"A", "B"}
    assert least(pledges) == frozenset()


def test_a_unilateral_pledge_binds_alone():
    assert bound_by({"A": Pledge("x", 0)}) == {"A"}
    assert bound_by({"A": Pledge("x", 0), "B": Pledge("x", 5, min_parties=3)}) == {"A"}


def test_nobody_acceded():
    assert bound_by({}) == frozenset()


def test_jurisdictions_are_counted_once():
    pair = {"A": Pledge("x", 1, min_jurisdictions=2), "B": Pledge("x", 1)}
    assert bound_by(pair) == {"B"}
    assert bound_by({**pair, "C": Pledge("y", 1)}) == {"A", "B", "C"}


def test_a_share_of_nothing_is_none():
    assert bound_by({"A": Pledge("x", 0, min_share=Fraction(1, 100))}) == frozenset()


def test_a_share_exactly_met_is_met():
    pledges = {"A": Pledge("x", 2, min_share=Fraction(2, 3)), "B": Pledge("y", 1, required=frozenset({"Z"}))}
    assert bound_by(pledges) == {"A"}


def test_who_acceded_and_is_not_bound_still_counts_in_the_whole():
    """A limit that specs/agreement.md owns up to: a large declared stock lowers everybody else's share."""
    honest = {"A": Pledge("x", 50, min_share=Fraction(1, 2)), "B": Pledge("y", 50, min_share=Fraction(1, 2))}
    assert bound_by(honest) == {"A", "B"}
    assert bound_by({**honest, "C": Pledge("z", 1_000, min_parties=9)}) == frozenset()


LABS = "abcdefg"
PLEDGES = st.builds(
    Pledge,
    jurisdiction=st.sampled_from("xyz"),
    weight=st.integers(0, 5),
    min_parties=st.integers(1, 7),
    min_jurisdictions=st.integers(1, 3),
    min_share=st.builds(Fraction, st.integers(0, 6), st.just(5)),
    required=st.frozensets(st.sampled_from(LABS + "h"), max_size=2),
)
GROUPS = st.dictionaries(st.sampled_from(LABS), PLEDGES, max_size=7)


@given(GROUPS)
@settings(max_examples=150, deadline=None)
def test_it_is_the_union_of_all_content_sets_and_one_of_them(pledges):
    bound = bound_by(pledges)
    stable = [frozenset(chosen) for chosen in subsets(pledges) if content(chosen, pledges)]
    assert bound in stable
    assert bound == frozenset().union(*stable)


@given(GROUPS, st.randoms())
def test_the_order_of_accessions_does_not_matter(pledges, random):
    names = list(pledges)
    random.shuffle(names)
    assert bound_by({name: pledges[name] for name in names}) == bound_by(pledges)


@given(GROUPS, st.sampled_from(LABS))
def test_more_members_never_make_a_condition_false(pledges, newcomer):
    total = sum(pledge.weight for pledge in pledges.values())
    for smaller in subsets(pledges):
        larger = {**smaller, **{name: pledges[name] for name in pledges if name == newcomer}}
        for pledge in smaller.values():
            assert not pledge.satisfied(smaller, total) or pledge.satisfied(larger, total)
