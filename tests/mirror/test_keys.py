# SPDX-License-Identifier: Apache-2.0
"""Logs, witnesses and mirrors with two keys each, of which the second is known by its digest."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pausectl.agreement import document
from pausectl.errors import Forged, Refused, SplitView, Unavailable
from pausectl.mirror.follow import Mirror
from pausectl.mirror.trust import Cosigner, Trust
from pausectl.sim.ledger import MemorySource
from pausectl.sim.terms import Roll, demo_key
from pausectl.sim.world import World
from pausectl.wire import cosignature, evidence, note
from pausectl.wire.keys import MLDSA44

NOW = 1_900_000_000


@pytest.fixture(scope="module")
def world():
    return World(windows=1, roll=replace(Roll(), post_quantum=True)).run()


@pytest.fixture
def agreed(world):
    """That of somebody who has the agreement's bytes and no key of anybody's."""
    return Trust.of(document.parse(world.agreement.raw))


def test_the_keys_are_kept_and_served_as_the_log_does(world, agreed, tmp_path):
    files = world.memory.files()
    with Mirror(tmp_path / "m", agreed) as mirror:
        mirror.follow(MemorySource(files), NOW)
        folder = mirror.memory.public
        assert {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()} == files
    gone = {path: data for path, data in files.items() if not path.startswith("key/")}
    with Mirror(tmp_path / "m", agreed) as mirror:  # and read from there after a restart
        assert not mirror.follow(MemorySource(gone), NOW).published


def test_without_the_log_s_key_nothing_is_taken_and_a_wrong_one_is_refused(world, agreed, tmp_path):
    files = world.memory.files()
    path = f"key/{world.agreement.document.log.mldsa44}"
    with Mirror(tmp_path / "m", agreed) as mirror:
        with pytest.raises(Unavailable, match="ML-DSA-44 key"):
            mirror.follow(MemorySource({each: data for each, data in files.items() if each != path}), NOW)
        with pytest.raises(Forged, match=path):
            mirror.follow(MemorySource({**files, path: bytes(1_312)}), NOW)
        signed = note.parse(files["checkpoint"])
        one = note.Note(signed.text, tuple(line for line in signed.signatures if len(line.payload) != 2_428))
        with pytest.raises(Forged):
            mirror.follow(MemorySource({**files, "checkpoint": one.raw}), NOW)
        mirror.follow(MemorySource(files), NOW)


def test_evidence_has_the_key_that_a_stranger_lacks(world, agreed, tmp_path):
    files = world.memory.files()
    forked = world.memory.cosigned(NOW, root=bytes(32))
    with Mirror(tmp_path / "m", agreed) as mirror:
        mirror.follow(MemorySource(files), NOW)
        with pytest.raises(SplitView) as caught:
            mirror.follow(MemorySource({**files, "checkpoint": forked}), NOW)
    told = evidence.parse(caught.value.evidence)
    assert evidence.format(told) == caught.value.evidence
    assert told.key == demo_key(world.roll.log, MLDSA44).public.raw
    evidence.check(told, *agreed.agreement.resolve([told.key]).log_pair)
    signed = note.parse(told.second)
    half = tuple(line for line in signed.signatures if len(line.payload) != 2_428)
    with pytest.raises(Forged, match="second checkpoint"):
        evidence.check(
            replace(told, second=note.Note(signed.text, half).raw), *agreed.agreement.resolve([told.key]).log_pair
        )


def test_a_mirror_with_two_keys_signs_with_both_at_one_time(tree, opened, tmp_path):
    mirror = opened()
    cosigner = Cosigner("m.example", [demo_key("m"), demo_key("m", MLDSA44)], mirror.trust)
    mirror.close()
    with Mirror(tmp_path / "m", mirror.trust, cosigner) as mirror:
        mirror.follow(tree(5), NOW)
        signed = note.parse((mirror.memory.public / "checkpoint").read_bytes())
        assert cosignature.together(signed, [cosigner.keys]) == {"m.example": NOW}
        assert [len(line.payload) for line in signed.signatures] == [64, 72, 2_428]
        with pytest.raises(Unavailable, match="clock"):
            mirror.follow(tree(6), NOW - 1)


def test_a_second_key_of_somebody_else_is_refused(world, agreed):
    for other in (world.roll.log, next(iter(world.agreement.witness_keys))):
        with pytest.raises(Refused, match="neither the log nor a witness"):
            Cosigner("m.example", [demo_key("m"), demo_key(other, MLDSA44)], agreed)
