# SPDX-License-Identifier: Apache-2.0
"""INT-7 and INT-8: everything gets to the log, through refusals, silence, lies and restarts; no receipt too soon."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import closing

import pytest

from pausectl.intake.courier import Courier, waiting
from pausectl.net import client
from pausectl.predicates import base
from pausectl.predicates.base import Header
from pausectl.predicates.pause import Order
from pausectl.wire import dsse


def carry(scene, intake, url: str, rounds: int = 1, **options) -> list[str]:
    """Let a courier try so many times, in this thread; what it said."""
    said: list[str] = []
    with closing(Courier(intake, url, clock=lambda: scene.now, say=said.append, **options)) as courier:
        for _ in range(rounds):
            courier.round()
            scene.now += 400  # beyond the longest pause between two tries
    return said


def hand_in(scene, intake, count: int) -> list[bytes]:
    return [intake.receive(scene.envelope(number), scene.now) for number in range(count)]


def test_int_7_a_statement_and_then_its_receipt(scene, served):
    with scene.create() as intake:
        hand_in(scene, intake, 2)
        assert carry(scene, intake, served.url) == []
        assert waiting(intake.memory) == []
        assert list(intake.memory.unfiled()) == []
    assert served.held() == [
        ("aurora", "declarations", 0), ("aurora", "declarations", 1), ("quay", "received", 0), ("quay", "received", 1)
    ]  # fmt: skip


def test_what_is_there_already_is_not_carried_again(scene, served):
    with scene.create() as intake:
        hand_in(scene, intake, 1)
        carry(scene, intake, served.url, rounds=3)
    assert len(served.asked) == 2


def test_int_8_receipts_wait_for_their_statements_an_hour_and_keep_their_order(scene, served):
    censored = scene.envelope(1)
    served.refuse = lambda raw: raw == censored
    with scene.create() as intake:
        hand_in(scene, intake, 3)
        said = carry(scene, intake, served.url)
        assert [line.partition(": ")[2] for line in said] == ["the log did not take it: answered 403: not today"]
        assert served.held()[-1] == ("quay", "received", 0)
        assert [one["number"] for one in waiting(intake.memory)] == [1]
        carry(scene, intake, served.url)
        assert served.held()[-1] == ("quay", "received", 0)
        scene.now += 3_600
        carry(scene, intake, served.url)
        assert served.held()[-2:] == [("quay", "received", 1), ("quay", "received", 2)]
        served.refuse = lambda _raw: False
        carry(scene, intake, served.url)
        assert waiting(intake.memory) == []
    assert served.held()[-1] == ("aurora", "declarations", 1)


def test_what_is_pending_is_told_with_its_time_and_reason(scene, served):
    served.refuse = lambda _raw: True
    with scene.create() as intake:
        hand_in(scene, intake, 1)
        carry(scene, intake, served.url, rounds=2)
        (found,) = waiting(intake.memory)
    assert found == {
        "number": 0, "since": "2026-07-06T01:00:00Z", "statement": dsse.parse(scene.envelope(0)).statement_id,
        "tries": 2, "trouble": "answered 403: not today",
    }  # fmt: skip


def test_tries_in_vain_come_less_and_less_often(scene, served):
    served.refuse = lambda _raw: True
    with scene.create() as intake:
        hand_in(scene, intake, 1)
        with closing(Courier(intake, served.url, clock=lambda: scene.now)) as courier:
            for _ in range(64):
                courier.round()
                scene.now += 1
    assert len(served.asked) == 7  # after 0, 1, 3, 7, 15, 31 and 63 seconds


@pytest.mark.parametrize("lie", ["no proof", "proof of something else"])
def test_int_7_a_200_is_not_believed_without_the_proof(scene, served, lie):
    """An operator who says that it holds what it does not."""
    with scene.create() as intake:
        hand_in(scene, intake, 1)
        if lie == "no proof":
            served.refuse, served.lies = lambda _raw: True, True
        else:
            served.instead = scene.envelope(7)
        said = carry(scene, intake, served.url)
        assert [one["number"] for one in waiting(intake.memory)] == [0]
        assert len(said) == 1


def test_int_7_a_statement_of_a_body_in_another_envelope_is_there(scene, served):
    """The log answers with the proof of its first copy, which others signed."""
    header = Header(
        agreement=scene.agreement.id, log=scene.agreement.document.log.origin, party="overseers", sequence=0,
        stream="orders", window=None,
    )  # fmt: skip
    payload = base.write(Order(action="pause", header=header, reason="x", term_windows=2))
    first, second = (
        dsse.sign(payload, *(scene.keys[name] for name in names)).raw for names in (("avon", "cam"), ("brent", "cam"))
    )
    with scene.create() as intake:
        intake.receive(second, scene.now)
        assert client.post(f"{served.url}/add", first, timeout=30, max_bytes=1 << 20).status == 200
        assert carry(scene, intake, served.url) == []
        assert waiting(intake.memory) == []


def unreachable() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_a_log_that_is_away_is_asked_about_one_thing_at_a_time(scene, served):
    with scene.create() as intake:
        hand_in(scene, intake, 3)
        assert len(carry(scene, intake, unreachable())) == 1
        served.down = True
        assert "answered 503: closed for the day" in carry(scene, intake, served.url)[0]
        assert len(served.asked) == 1
        served.down = False
        carry(scene, intake, served.url)
        assert waiting(intake.memory) == []


def until(true: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.02)
    assert true()


def test_the_thread_goes_on_after_a_restart_and_does_not_wait_for_a_timer(scene, served):
    served.down = True
    with scene.create() as intake:
        hand_in(scene, intake, 1)
        with Courier(intake, served.url, clock=lambda: scene.now):
            until(lambda: bool(served.asked))
    served.down = False
    with scene.open() as intake, Courier(intake, served.url, clock=lambda: scene.now) as courier:
        until(lambda: not list(intake.memory.unfiled()))
        begun = time.monotonic()
        intake.receive(scene.envelope(5), scene.now)
        courier.hurry()
        until(lambda: not list(intake.memory.unfiled()))
        assert time.monotonic() - begun < 1.0  # seconds; the next timer is further off
    assert served.held()[-2:] == [("aurora", "declarations", 5), ("quay", "received", 1)]
