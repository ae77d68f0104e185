# SPDX-License-Identifier: Apache-2.0
"""INT-1, INT-4 to INT-6: what gets a receipt, and that none is given twice, lost, or dated back."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading

import pytest

from pausectl.errors import Malformed, Refused, Unavailable, UsageFault
from pausectl.history.authority import objection
from pausectl.history.decode import decode
from pausectl.intake.intake import FILE, Intake
from pausectl.predicates import base
from pausectl.predicates.checkpoint import Mark
from pausectl.sim.terms import demo_key
from pausectl.wire import dsse, statement


def test_a_receipt_is_a_statement_that_readers_take(scene):
    entry = scene.envelope()
    with scene.create() as intake:
        receipt = intake.receive(entry, scene.now)
    decoded = decode(receipt, scene.agreement.keys)
    assert objection(decoded, scene.agreement) is None
    assert (decoded.claim.header.party, decoded.claim.header.sequence) == ("quay", 0)
    assert decoded.claim.received_at == "2026-07-06T01:00:00Z"
    assert decoded.claim.statement == dsse.parse(entry).statement_id
    assert decoded.claim.of == decode(entry, scene.agreement.keys).claim.header


def test_int_5_again_is_the_same_receipt_whatever_the_time(scene):
    with scene.create() as intake:
        first = intake.receive(scene.envelope(0), scene.now)
        other = intake.receive(scene.envelope(1), scene.now + 1)
        assert intake.receive(scene.envelope(0), scene.now + 9) == first
    with scene.open() as intake:
        assert intake.receive(scene.envelope(0), scene.now - 9) == first
        assert intake.receive(scene.envelope(1), scene.now) == other
        assert intake.memory.count == 2


def test_int_4_numbers_go_on_after_a_restart(scene):
    for number in range(3):
        with scene.create() if not number else scene.open() as intake:
            receipt = intake.receive(scene.envelope(number), scene.now + number)
        assert scene.said(receipt).header.sequence == number


def test_int_6_no_receipt_is_dated_before_the_last(scene):
    with scene.create() as intake:
        intake.receive(scene.envelope(0), scene.now)
        with pytest.raises(Unavailable, match="the last receipt is of 2026-07-06T01:00:00Z"):
            intake.receive(scene.envelope(1), scene.now - 1)
        assert intake.memory.count == 1
        assert scene.said(intake.receive(scene.envelope(1), scene.now)).header.sequence == 1


def mark(scene) -> bytes:
    header = decode(scene.envelope(), scene.agreement.keys).claim.header.model_copy(update={"stream": "marks"})
    return dsse.sign(base.write(Mark(checkpoint="x", header=header)), scene.keys["aurora"]).raw


def unknown(scene) -> bytes:
    subject = statement.Subject("agreement", scene.agreement.id)
    return dsse.sign(statement.format([subject], f"{base.PREFIX}news/v1", {"said": "x"}), scene.keys["aurora"]).raw


REFUSED = {
    "nothing": (lambda _scene: b"", Malformed, "malformed"),
    "garbage": (lambda _scene: b"x" * 65_535, Malformed, "malformed"),
    "too much": (lambda _scene: b"x" * 65_536, Refused, "at most 65535 bytes"),
    "somebody else's signature": (lambda scene: scene.envelope(signer="borealis"), Refused, "unauthorised"),
    "not its to say": (lambda scene: scene.envelope(party="avon"), Refused, "holds the role overseer, not lab"),
    "a stranger": (
        lambda scene: dsse.sign(dsse.parse(scene.envelope()).payload, demo_key("nobody")).raw, Refused, "no key of this"
    ),
    "an agreement": (lambda scene: scene.agreement.raw, Refused, "agreement/v1' are not handed in here"),
    "an unknown type": (unknown, Refused, "news/v1' are not handed in here"),
    "a mark": (mark, Refused, "checkpoint/v1' are not handed in here"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_int_1_what_gets_no_receipt(scene, what):
    make, error, message = REFUSED[what]
    with scene.create() as intake:
        with pytest.raises(error, match=message):
            intake.receive(make(scene), scene.now)
        assert intake.memory.count == 0


def test_int_1_a_receipt_for_a_receipt(scene):
    with scene.create() as intake:
        receipt = intake.receive(scene.envelope(), scene.now)
        with pytest.raises(Refused, match="received/v1' are not handed in here"):
            intake.receive(receipt, scene.now)


def test_threads_get_numbers_of_their_own(scene):
    receipts: list[bytes] = []
    with scene.create() as intake:
        entries = [scene.envelope(number % 20) for number in range(40)]

        def hand_in(mine: list[bytes]) -> None:
            receipts.extend(intake.receive(entry, scene.now) for entry in mine)

        threads = [threading.Thread(target=hand_in, args=(entries[start::4],)) for start in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert intake.memory.count == 20
    assert len(receipts) == 40
    assert len(set(receipts)) == 20
    assert {scene.said(receipt).header.sequence for receipt in receipts} == set(range(20))


# ── the memory ──


def test_int_4_a_memory_is_made_by_init_alone(scene):
    with pytest.raises(Unavailable, match="memory is missing") as caught:
        scene.open()
    assert "pausectl intake init" in caught.value.hint
    assert not (scene.state / FILE).exists()
    scene.create().close()
    with pytest.raises(UsageFault, match="already"):
        scene.create()


def test_a_memory_of_somebody_else(scene):
    scene.create().close()
    with pytest.raises(Refused, match="expected the memory of pier"):
        Intake.open(scene.state, scene.agreement, [scene.keys["pier"]])
    with pytest.raises(UsageFault, match="role intake"):
        Intake.open(scene.state, scene.agreement, [scene.keys["aurora"]])
    scene.open().close()


def test_two_processes_do_not_share_a_memory(scene):
    with scene.create(), pytest.raises(Refused, match="another process"):
        scene.open()


def test_numbers_begin_where_they_are_told_to(scene):
    with scene.create(first=7) as intake:
        assert intake.memory.count == 7
        assert scene.said(intake.receive(scene.envelope(), scene.now)).header.sequence == 7


@pytest.mark.parametrize("wreck", [b"", b"not a database at all" * 400])
def test_a_memory_that_is_none(scene, wreck):
    scene.create().close()
    (scene.state / FILE).write_bytes(wreck)
    with pytest.raises(Unavailable):
        scene.open()


def test_a_memory_that_cannot_be_written_gives_no_receipt(scene):
    with scene.create() as intake:
        with sqlite3.connect(scene.state / FILE) as other:
            other.execute("DROP TABLE handed")
        with pytest.raises(Unavailable, match="memory"):
            intake.receive(scene.envelope(), scene.now)


PROGRAM = """
import sys
from pathlib import Path
from pausectl.agreement import document
from pausectl.intake.intake import Intake
from pausectl.sim.terms import demo_key
agreement = document.parse(Path(sys.argv[1]).read_bytes())
intake = Intake.open(Path(sys.argv[2]), agreement, [demo_key("quay")])
for line in sys.stdin.buffer:
    receipt = intake.receive(line.rstrip(b"\\n"), int(sys.argv[3]))
    sys.stdout.buffer.write(receipt + b"\\n")
    sys.stdout.buffer.flush()
"""


def test_int_4_killed_between_any_two_receipts_it_lost_none(scene):
    """kill -9, eight times: each receipt that came out is the one that is given again."""
    scene.create().close()
    (scene.place / "agreement.json").write_bytes(scene.agreement.raw)
    given: dict[bytes, bytes] = {}
    for trial in range(8):
        entries = [scene.envelope(trial * 5 + number) for number in range(5)]
        command = [sys.executable, "-c", PROGRAM, scene.place / "agreement.json", scene.state, str(scene.now + trial)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            process.stdin.write(b"".join(entry + b"\n" for entry in entries))
            process.stdin.flush()
            given |= {entry: process.stdout.readline().rstrip(b"\n") for entry in entries[: trial % 5 + 1]}
            os.kill(process.pid, signal.SIGKILL)
    assert len(given) == 21
    with scene.open() as intake:
        for entry, receipt in given.items():
            assert intake.receive(entry, scene.now + 99) == receipt
        numbers = [row.number for row in intake.memory.rows()]
        assert numbers == list(range(intake.memory.count))
