# SPDX-License-Identifier: Apache-2.0
"""The desk: numbers go on from the ledger, headers are filled in, and nothing is signed that a reader would refuse."""

from __future__ import annotations

from typing import Any

import pytest

from pausectl.agreement.types import Span, instant
from pausectl.errors import Malformed, PausectlError, UsageFault
from pausectl.history.authority import objection
from pausectl.history.chain import link
from pausectl.history.decode import decode
from pausectl.history.reader import open_ledger
from pausectl.history.replay import LAB_STREAMS
from pausectl.lab import attest
from pausectl.lab.attest import Desk, counts, kind_of, window_of
from pausectl.predicates.catalogue import TYPES
from pausectl.predicates.inventory import Inventory
from pausectl.predicates.model import Model
from pausectl.predicates.usage import Usage
from pausectl.sim.world import Lab, World


@pytest.fixture(scope="module")
def world() -> World:
    return World(windows=2).run()


@pytest.fixture
def desk(world) -> Desk:
    ledger = open_ledger(world.source().fetch, world.agreement)
    return Desk(world.agreement, "aurora", (world.keys["aurora"],), counts(link(ledger), "aurora"))


@pytest.fixture
def window(world) -> Span:
    return window_of(world.agreement, world.start(2), world.start(3))


def inventory(world: World) -> dict[str, Any]:
    return Lab("aurora").inventory(world, "aurora-1", 2)


def usage(world: World) -> dict[str, Any]:
    body = Lab("aurora").usage(world, "aurora-1", 2)
    del body["heads"]
    return body


def claim_of(world: World, envelope: Any) -> Any:
    """The claim, after a reader has found nothing to object to."""
    decoded = decode(envelope.raw, world.agreement.keys)
    assert objection(decoded, world.agreement) is None
    return decoded.claim


# ── numbers ──


def test_counts_are_what_the_ledger_holds(world, desk):
    assert desk.counts == {stream: n for (party, stream), n in world.counts.items() if party == "aurora"}
    assert desk.counts["inventory/aurora-1"] == 2


def test_counts_of_somebody_who_never_spoke(world):
    ledger = open_ledger(world.source().fetch, world.agreement)
    assert counts(link(ledger), "wharf") == {}


def test_numbers_rise_by_one_in_each_stream_on_its_own(world, desk, window):
    made = [
        claim_of(world, desk.attest(Inventory, inventory(world), window)),
        claim_of(world, desk.attest(Inventory, inventory(world), window)),
        claim_of(world, desk.attest(Usage, usage(world), window)),
    ]
    assert [(c.header.stream, c.header.sequence) for c in made] == [
        ("inventory/aurora-1", 2), ("inventory/aurora-1", 3), ("usage/aurora-1", 2),
    ]  # fmt: skip


def test_a_claim_that_fails_uses_up_no_number(world, desk, window):
    before = dict(desk.counts)
    for wrong in ({}, {**inventory(world), "surprise": 1}, {**inventory(world), "stock": 3}):
        with pytest.raises(Malformed):
            desk.attest(Inventory, wrong, window)
    assert desk.counts == before


def test_two_desks_on_one_ledger_sign_one_number_twice(world, window):
    """What a lab must not do, since two statements under one number are equivocation: file before you attest again."""
    ledger = open_ledger(world.source().fetch, world.agreement)
    desks = [Desk(world.agreement, "aurora", (world.keys["aurora"],), counts(link(ledger), "aurora")) for _ in range(2)]
    body = inventory(world)
    first, second = (claim_of(world, each.attest(Inventory, body, window)) for each in desks)
    assert first == second  # the same claim: the same statement, which does no harm


def test_numbers_beyond_a_gap_go_on_after_the_highest(world):
    other = World(windows=1)
    other.say("aurora", Model, _model("a"), sequence=7)
    other.run()
    ledger = open_ledger(other.source().fetch, other.agreement)
    assert counts(link(ledger), "aurora")["models"] == 8


def _model(name: str) -> dict[str, Any]:
    from pausectl.sim.world import digest

    return {
        "created_at": "2026-06-01T00:00:00Z", "custody_log": None, "parents": [], "precision_variants": ["bf16"],
        "served_since_at": None, "training_run": None, "weights_root": digest(name),
    }  # fmt: skip


# ── headers ──


def test_heads_are_filled_in_for_usage_and_left_alone_if_given(world, desk, window):
    desk.attest(Model, _model("b"))
    filled = claim_of(world, desk.attest(Usage, usage(world), window))
    assert [(h.party, h.stream) for h in filled.heads] == [("aurora", stream) for stream in LAB_STREAMS]
    assert {h.stream: h.count for h in filled.heads}["models"] == 2
    given = [{"count": 0, "party": "aurora", "stream": "models"}]
    assert [h.count for h in claim_of(world, desk.attest(Usage, {**usage(world), "heads": given}, window)).heads] == [0]


def test_the_header_is_the_agreement_s(world, desk, window):
    header = claim_of(world, desk.attest(Inventory, inventory(world), window)).header
    assert (header.agreement, header.log, header.party) == (
        world.agreement.id, world.agreement.document.log.origin, "aurora",
    )  # fmt: skip
    assert header.window == window


@pytest.mark.parametrize("kind", [Inventory, Usage])
def test_a_windowed_claim_wants_a_window(world, desk, kind):
    with pytest.raises(UsageFault, match=f"{kind.name}: expected a window"):
        desk.attest(kind, inventory(world))


def test_a_claim_about_no_window_takes_none(desk, window):
    with pytest.raises(UsageFault, match="model: expected no window"):
        desk.attest(Model, _model("c"), window)


@pytest.mark.parametrize("facility", ["", "No", None, 3, ["aurora-1"], "a" * 100, "a\x1b[31m"])
def test_a_facility_that_is_none(world, desk, window, facility):
    with pytest.raises(Malformed, match="facility") as caught:
        desk.attest(Inventory, {**inventory(world), "facility": facility}, window)
    assert "\x1b" not in str(caught.value)
    body = inventory(world)
    del body["facility"]
    with pytest.raises(Malformed, match="facility"):
        desk.attest(Inventory, body, window)


def test_nobody_types_a_header(world, desk, window):
    with pytest.raises(Malformed, match="header"):
        desk.attest(Inventory, {**inventory(world), "header": {}}, window)


def test_every_kind_has_a_word(world):
    for kind in TYPES:
        assert kind_of(kind.name) is kind
    with pytest.raises(UsageFault, match="nosuch"):
        kind_of("nosuch")


# ── windows ──


def test_windows_are_the_agreement_s(world):
    for number in (0, 1, 51):
        start, end = world.start(number), world.start(number + 1)
        assert window_of(world.agreement, start, end) == Span(end_at=instant(end), start_at=instant(start))


@pytest.mark.parametrize(("start", "end"), [(0, 1), (1, 0), (-1, -1), (3600, 0), (-7 * 86_400, 0), (0, 14 * 86_400)])
def test_other_spans_are_refused_with_the_nearest(world, start, end):
    anchor = world.start(0)
    with pytest.raises(UsageFault, match="no window") as caught:
        window_of(world.agreement, anchor + start, anchor + end)
    assert "the nearest is" in caught.value.hint


def test_a_desk_signs_with_everything_it_has(world, window):
    """Two keys on one attestation: a reader refuses what is not exactly one signature per suite."""
    ledger = open_ledger(world.source().fetch, world.agreement)
    two = Desk(world.agreement, "aurora", (world.keys["aurora"], world.keys["avon"]), counts(link(ledger), "aurora"))
    decoded = decode(two.attest(Inventory, inventory(world), window).raw, world.agreement.keys)
    assert objection(decoded, world.agreement) is not None


def test_errors_are_ours(world, desk, window):
    for body in ({"facility": {}}, {"facility": "x"}, {1: 2}, {"facility": "x", "stock": [float("nan")]}):
        with pytest.raises(PausectlError):
            desk.attest(attest.kind_of("inventory"), body, window)
