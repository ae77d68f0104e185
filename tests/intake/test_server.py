# SPDX-License-Identifier: Apache-2.0
"""The doors of an intake party, over HTTP, and what a lab makes of the answer (INT-9)."""

from __future__ import annotations

import json
from contextlib import ExitStack, closing

import pytest

from pausectl.errors import Forged, Refused, Unavailable
from pausectl.intake.courier import Courier
from pausectl.intake.server import doors
from pausectl.lab import handing
from pausectl.net import client
from pausectl.net.door import Answer, Door
from pausectl.predicates import base
from pausectl.wire import dsse


@pytest.fixture
def quay(scene, hall):
    """(its address, the party)."""
    with ExitStack() as stack:
        intake = stack.enter_context(scene.create())
        opened = hall(doors(intake, None, clock=lambda: scene.now))
        yield opened.url, intake
        opened.close()


def get(url: str) -> Answer:
    return client.get(url, timeout=10, max_bytes=1 << 20)


def test_a_lab_hands_in_and_gets_a_receipt_that_it_checks(scene, quay):
    url, intake = quay
    entry = scene.envelope()
    receipt = handing.hand_in(url, entry, scene.agreement)
    statement = dsse.parse(entry).statement_id
    assert handing.check(receipt, entry, scene.agreement).statement == statement
    assert handing.hand_in(url, entry, scene.agreement) == receipt
    assert get(f"{url}/receipt/{statement}").body == receipt
    assert get(f"{url}/entry/{statement}").body == entry
    assert intake.memory.count == 1


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/receipt/" + "0" * 64, 404), ("/receipt/", 404), ("/receipt/../state/intake.db", 404), ("/entry/xyz", 404),
        ("/entry/%00", 404), ("/receipt", 404), ("/", 404),
    ],
)  # fmt: skip
def test_what_is_not_there(quay, path, status):
    assert get(quay[0] + path).status == status


@pytest.mark.parametrize(
    ("make", "status"),
    [
        (lambda _scene: b"garbage", 400),
        (lambda scene: scene.envelope(signer="borealis"), 403),
        (lambda _scene: b"x" * 65_536, 413),
    ],
)
def test_what_is_refused(scene, quay, make, status):
    answer = client.post(f"{quay[0]}/add", make(scene), timeout=10, max_bytes=4096)
    assert (answer.status, quay[1].memory.count) == (status, 0)


def test_a_lab_is_told_why(scene, quay):
    with pytest.raises(Refused, match="answered 403: unauthorised"):
        handing.hand_in(quay[0], scene.envelope(signer="borealis"), scene.agreement)
    scene.now -= 1
    handing.hand_in(quay[0], scene.envelope(0), scene.agreement)
    scene.now -= 1
    with pytest.raises(Unavailable, match="503: the clock shows"):
        handing.hand_in(quay[0], scene.envelope(1), scene.agreement)


def test_pending_for_programs_and_for_people(scene, quay, served):
    url, intake = quay
    assert json.loads(get(f"{url}/pending").body)["pending"] == []
    served.refuse = lambda _raw: True
    statement = dsse.parse(scene.envelope()).statement_id
    handing.hand_in(url, scene.envelope(), scene.agreement)
    with closing(Courier(intake, served.url, clock=lambda: scene.now)) as courier:
        courier.round()
    scene.now += 60
    told = json.loads(get(f"{url}/pending").body)
    assert told == {
        "agreement": scene.agreement.id, "now": "2026-07-06T01:01:00Z", "party": "quay", "receipts": 1,
        "pending": [{
            "number": 0, "since": "2026-07-06T01:00:00Z", "statement": statement, "tries": 1,
            "trouble": "answered 403: not today",
        }],
    }  # fmt: skip
    assert get(f"{url}/pending.txt").body.decode().splitlines() == [
        "quay: 1 receipts given, 1 statements that the log has not taken",
        f"2026-07-06T01:00:00Z  number 0  {statement}  tried 1 times: answered 403: not today",
    ]


# ── INT-9 ──


def forged(scene, what: str) -> bytes:
    with scene.create() as intake:
        real = intake.receive(scene.envelope(1 if what == "another statement" else 0), scene.now)
    if what == "the lab's own signature":
        return dsse.sign(dsse.parse(real).payload, scene.keys["aurora"]).raw
    if what == "no receipt":
        return scene.envelope(3)
    if what == "another header":
        claim = scene.said(real)
        of = claim.of.model_copy(update={"sequence": 9})
        return dsse.sign(base.write(claim.model_copy(update={"of": of})), scene.keys["quay"]).raw
    return b"{}" if what == "garbage" else real


@pytest.mark.parametrize(
    "what", ["garbage", "no receipt", "the lab's own signature", "another statement", "another header"]
)
def test_int_9_what_is_no_receipt_for_this(scene, hall, what):
    answer = forged(scene, what)
    url = hall([Door("POST", "/add", lambda _request: Answer(200, answer), max_body=65_535)]).url
    with pytest.raises(Forged, match="receipt: "):
        handing.hand_in(url, scene.envelope(0), scene.agreement)
