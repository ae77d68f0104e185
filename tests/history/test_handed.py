# SPDX-License-Identifier: Apache-2.0
"""INT-2 and INT-3: whose receipts date what, and how far back a receipt can be dated."""

from __future__ import annotations

import pytest

from pausectl.agreement.types import instant
from pausectl.history.records import Attested, Trouble
from pausectl.predicates import base
from pausectl.predicates.close import Close
from pausectl.predicates.received import Received
from pausectl.predicates.usage import Usage
from pausectl.sim.terms import Roll
from pausectl.sim.world import DAY, HOUR, Lab, digest
from pausectl.wire import dsse

T0 = 1_783_904_400  # 2026-07-13T01:00:00Z: window 0 of a world is just over
THREE = Roll(intake=("quay", "pier", "dock"))  # a quorum is two


@pytest.fixture
def world(hand):
    return hand(roll=THREE)


def usage(world, window: int = 0):
    claim = world.claim("aurora", Usage, Lab("aurora").usage(world, "aurora-1", window), window)
    return claim, dsse.sign(base.write(claim), world.keys["aurora"])


def receive(world, party: str, claim, statement: str, at: int, number: int | None = None, of=None) -> int:
    body = {
        "of": {**claim.header.model_dump(mode="json"), **(of or {})},
        "received_at": instant(at),
        "statement": statement,
    }
    world.say(party, Received, body, sequence=number)
    return len(world.ledger.entries) - 1


def troubles(history) -> list[tuple[Trouble, int, str | None]]:
    return [(problem.trouble, problem.index, problem.party) for problem in history.problems]


def outstanding(history) -> list[str]:
    return [name for name, _ in history.receipts.outstanding()]


# ── INT-2 ──


@pytest.mark.parametrize(
    ("given", "attested"),
    [
        ({"quay": 5}, None),
        ({"quay": 5, "pier": 9}, 9),
        ({"quay": 9, "pier": 5}, 9),
        ({"quay": 1, "pier": 5, "dock": 9}, 5),
    ],
)
def test_int_2_the_latest_of_the_earliest_quorum(world, given, attested):
    claim, envelope = usage(world)
    world.ledger.append(envelope.raw)
    leaves = {party: receive(world, party, claim, envelope.statement_id, T0 + at) for party, at in given.items()}
    history = world.replay(T0 + HOUR)
    found = history.receipts.attested(envelope.statement_id)
    if attested is None:
        assert found is None
    else:
        counted = sorted(given, key=given.get)[:2]
        assert found == Attested(T0 + attested, tuple(sorted(leaves[party] for party in counted)))
    assert outstanding(history) == []


def test_int_2_two_receipts_of_one_party_are_one(world):
    claim, envelope = usage(world)
    receive(world, "quay", claim, envelope.statement_id, T0)
    receive(world, "quay", claim, envelope.statement_id, T0 + 1)
    assert world.replay(T0 + HOUR).receipts.attested(envelope.statement_id) is None


@pytest.mark.parametrize("first", ["statement", "receipts"])
def test_int_2_whichever_was_logged_first(world, first):
    claim, envelope = usage(world)
    if first == "statement":
        world.ledger.append(envelope.raw)
        world.mark(T0)
    for party in ("quay", "pier"):
        receive(world, party, claim, envelope.statement_id, T0)
    if first == "receipts":
        world.mark(T0 + 1)
        world.ledger.append(envelope.raw)
    history = world.replay(T0 + HOUR)
    assert history.receipts.attested(envelope.statement_id) is not None
    assert outstanding(history) == []


def test_nobody_else_gives_receipts(world):
    claim, envelope = usage(world)
    index = receive(world, "avon", claim, envelope.statement_id, T0)
    assert troubles(world.replay(T0 + HOUR)) == [(Trouble.UNAUTHORISED, index, None)]


def test_hdr_4_a_receipt_for_something_said_under_another_agreement(world):
    claim, envelope = usage(world)
    index = receive(world, "quay", claim, envelope.statement_id, T0, of={"agreement": digest("another")})
    assert troubles(world.replay(T0 + HOUR)) == [(Trouble.FOREIGN, index, None)]


@pytest.mark.parametrize("change", [{}, {"sequence": 1}, {"stream": "usage/aurora-2"}, {"party": "borealis"}])
def test_what_is_outstanding_is_told_by_party_stream_number_and_id(world, change):
    claim, envelope = usage(world)
    world.ledger.append(envelope.raw)
    receive(world, "quay", claim, envelope.statement_id, T0, of=change)
    assert outstanding(world.replay(T0 + HOUR)) == ([envelope.statement_id] if change else [])


def test_another_statement_under_the_number_is_not_what_was_handed_in(world):
    claim, envelope = usage(world)
    world.ledger.append(envelope.raw)
    receive(world, "quay", claim, digest("what the log did not want"), T0)
    assert outstanding(world.replay(T0 + HOUR)) == [digest("what the log did not want")]


# ── INT-3 ──


def numbered(world, *given: tuple[int, int]) -> list[int]:
    """Receipts of one party as (number, time), in the order in which they are logged."""
    claim, _ = usage(world)
    return [receive(world, "quay", claim, digest(str(number)), T0 + at, number) for number, at in given]


@pytest.mark.parametrize(
    ("given", "bent"),
    [
        ([(0, 5), (1, 5), (2, 6)], []),
        ([(0, 5), (1, 4)], [1]),
        ([(0, 5), (1, 4), (2, 4)], [1, 2]),  # the one that counts for nothing is no neighbour
        ([(0, 9), (1, 4), (2, 9)], [1]),
        ([(1, 5), (0, 6)], [1]),  # the number below it comes later, and has a later time
        ([(1, 5), (0, 5)], []),
        ([(0, 3600 + 61)], [0]),  # the ledger had it at 3,600, and a clock may be off by 60
        ([(0, 3600 + 60)], []),
    ],
)
def test_int_3_between_the_receipts_before_and_after_it(world, given, bent):
    leaves = numbered(world, *given)
    history = world.replay(T0 + HOUR)
    assert troubles(history) == [(Trouble.BENT_RECEIPT, leaves[place], "quay") for place in bent]
    dated = {number: history.receipts.known[digest(str(number))].receipts["quay"].dated for number, _ in given}
    assert [number for number, counts in dated.items() if not counts] == [given[place][0] for place in bent]


def close(world, window: int, count: int) -> int:
    world.say("quay", Close, {"heads": [{"count": count, "party": "quay", "stream": "received"}]}, window)
    return len(world.ledger.entries) - 1


@pytest.mark.parametrize(
    ("number", "at", "left_out"),
    [(2, -HOUR - 1, True), (2, -HOUR, False), (1, -HOUR - 1, False), (3, -DAY, True)],
)
@pytest.mark.parametrize("first", ["close", "receipt"])
def test_int_3_before_the_end_of_a_window_that_was_closed_without_it(world, number, at, left_out, first):
    """T0 is an hour after the window's end."""
    closed = close(world, 0, 2) if first == "close" else None
    (leaf,) = numbered(world, (number, at))
    closed = close(world, 0, 2) if closed is None else closed
    history = world.replay(T0 + HOUR)
    expected = [(Trouble.LEFT_OUT_RECEIPT, leaf if first == "close" else closed, "quay")] if left_out else []
    assert troubles(history) == expected
    given = history.receipts.known[digest(str(number))].receipts["quay"]
    assert given.dated is not (left_out and first == "close")


def test_int_3_a_close_before_its_windows_end_counts_nothing(world):
    close(world, 0, 0)
    world.mark(T0 - DAY)
    numbered(world, (0, -2 * DAY))
    assert troubles(world.replay(T0 + HOUR)) == []


# ── forgetting ──


def test_receipts_of_settled_windows_are_forgotten(world):
    for window in range(8):
        claim, envelope = usage(world, window)
        now = world.start(window + 1) + HOUR
        receive(world, "quay", claim, envelope.statement_id, now)
        world.ledger.append(envelope.raw)
        world.mark(now)
        claim, envelope = usage(world, window)  # of which the log holds the receipt alone
        receive(world, "pier", claim, envelope.statement_id, now)
        world.mark(now + HOUR)
    history = world.replay(world.start(12))
    assert history.settled >= 8
    assert len(history.receipts.known) == len(outstanding(history)) == 8
    assert history.receipts.until == {}
