# SPDX-License-Identifier: Apache-2.0
"""A log whose agreement names post-quantum keys: it signs with two, publishes all, and waits for pairs of lines."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pausectl.agreement import document
from pausectl.errors import Refused, Unavailable
from pausectl.history.reader import key_path, open_ledger
from pausectl.history.source import DirectorySource
from pausectl.log.fsck import fsck
from pausectl.log.log import Log
from pausectl.log.storage.config import Places
from pausectl.sim import terms
from pausectl.sim.terms import demo_key
from pausectl.wire import note
from pausectl.wire.keys import MLDSA44
from pausectl.witness.witness import Witness


@pytest.fixture(scope="module")
def pinned():
    roll = terms.Roll(post_quantum=True)
    keys = {name: demo_key(name) for name in terms.names(roll)}
    return roll, keys, terms.agree(roll, keys)


@pytest.fixture
def quantum(world, pinned):
    roll, keys, agreement = pinned
    return replace(world, roll=roll, keys=keys, agreement=agreement)


SECOND = demo_key("ledgerco", MLDSA44)


def witnesses(world, state, suites=2):
    """Witnesses with both keys, or with the first."""
    made = []
    for name, key in world.agreement.witness_keys.items():
        cosigners = [(key.name, world.keys[name]), (key.name, demo_key(name, MLDSA44))][:suites]
        Witness.init(state / name, cosigners)
        made.append(Witness.open(state / name, cosigners))
        made[-1].add_log(world.agreement.log_pair)
    return [lambda request, w=w: w.cosign(request, world.now) for w in made]


def test_log_31_the_keys_are_published_and_a_stranger_reads_the_log(quantum, tmp_path):
    with quantum.create(second=SECOND) as log:
        log.add([quantum.entry(0)])
        log.cosign(witnesses(quantum, tmp_path / "w"), quantum.now)
        assert log.complaints == ()
    for digest, key in quantum.agreement.resolved.items():
        assert (quantum.home / "log" / key_path(digest)).read_bytes() == key.raw
    stranger = document.parse(quantum.agreement.raw)
    ledger = open_ledger(DirectorySource(quantum.home / "log").fetch, stranger)
    assert ledger.size == 3
    assert ledger.head.quorum.missing == ()
    signed = note.parse(ledger.head.raw)
    assert len(signed.signatures) == 10
    mark = next(raw for index, raw in ledger.entries() if index == 2)
    assert 15_000 < len(mark) < 65_535
    assert fsck(quantum.home, stranger) == []


def test_another_home_joins_it_and_finds_the_keys_where_it_lies(quantum, tmp_path, postgres):
    places = Places(postgres.url, f"{postgres.url}#{tmp_path.name}")
    stranger = document.parse(quantum.agreement.raw)
    with pytest.raises(Unavailable, match=r"does not exist|missing"):
        Log.join(tmp_path / "early", stranger, quantum.signer, Places(places.head, places.head), second=SECOND)
    with quantum.create(second=SECOND, places=places) as log:
        log.add([quantum.entry(0)])
    with Log.join(tmp_path / "other", stranger, quantum.signer, places, second=SECOND) as log:
        assert log.add([quantum.entry(0)])[0].duplicate
        log.cosign(witnesses(quantum, tmp_path / "w"), quantum.now)
        assert log.cosigned
    Log.open(tmp_path / "other", quantum.signer, second=SECOND).close()


def test_it_opens_again_and_goes_on(quantum, tmp_path):
    asked = witnesses(quantum, tmp_path / "w")
    with quantum.create(second=SECOND) as log:
        log.cosign(asked, quantum.now)
    with quantum.open(second=SECOND) as log:
        assert log.agreement.resolved.keys() == set(quantum.agreement.pinned)
        log.add([quantum.entry(1)])
        log.cosign(asked, quantum.now + 3_600)
        assert log.cosigned
    assert fsck(quantum.home, quantum.agreement) == []


def test_a_witness_that_signs_with_one_key_is_not_heard(quantum, tmp_path):
    half, whole = witnesses(quantum, tmp_path / "half", suites=1), witnesses(quantum, tmp_path / "w")
    with quantum.create(second=SECOND) as log:
        with pytest.raises(Unavailable, match="cosigned by 2 of the 3 required"):
            log.cosign([*half[:2], *whole[2:]], quantum.now)
        assert len(log.complaints) == 2
        assert "one of its keys" in log.complaints[0]
        assert not log.cosigned
        log.cosign([*half[:1], *whole[1:]], quantum.now)
        assert log.cosigned


@pytest.mark.parametrize("second", [None, demo_key("avon", MLDSA44), demo_key("ledgerco")])
def test_another_second_signer_or_none_is_refused(quantum, second):
    with pytest.raises(Refused, match="second signer"):
        quantum.create(second=second)
    assert not (quantum.home / "state").exists()
    with quantum.create(second=SECOND):
        pass
    with pytest.raises(Refused, match="second signer"):
        quantum.open(second=second)


def test_a_second_signer_that_nobody_asked_for_is_refused(world):
    with pytest.raises(Refused, match="digest none"):
        world.create(second=SECOND)


def test_a_log_needs_the_keys_of_all_before_it_begins(quantum):
    bare = document.parse(quantum.agreement.raw)
    with pytest.raises(Refused, match="4 keys that were not given"):
        Log.create(quantum.home, bare, quantum.signer, quantum.now, second=SECOND)
    assert not (quantum.home / "state").exists()


def test_keys_that_were_lost_are_published_again(quantum):
    with quantum.create(second=SECOND):
        pass
    gone = quantum.home / "log" / key_path(quantum.agreement.document.log.mldsa44)
    gone.unlink()
    with quantum.open(second=SECOND):
        assert gone.exists()


def test_fsck_lists_a_key_that_is_missing_or_another(quantum):
    with quantum.create(second=SECOND):
        pass
    first, other = (quantum.home / "log" / key_path(digest) for digest in quantum.agreement.pinned[1:3])
    first.unlink()
    other.chmod(0o644)
    other.write_bytes(bytes(1_312))
    found = {(damage.path, damage.message) for damage in fsck(quantum.home, document.parse(quantum.agreement.raw))}
    assert found == {
        (f"log/key/{first.name}", "is missing"), (f"log/key/{other.name}", "is not the key of this digest"),
    }  # fmt: skip
    (quantum.home / "log" / key_path("0" * 64)).write_bytes(b"x")
    assert f"log/key/{'0' * 64}" in {d.path for d in fsck(quantum.home, quantum.agreement)}


def test_creation_killed_at_every_system_call_can_be_finished(quantum, in_child, tmp_path):
    at, finished = 0, False
    while not finished:
        made = replace(quantum, home=tmp_path / str(at))

        def work(disk, ack, made=made):
            made.create(second=SECOND, disk=disk).close()

        _, finished = in_child(at, work)
        if (made.home / "state/head").exists():
            made.open(second=SECOND).close()
        else:
            made.create(second=SECOND).close()
        assert fsck(made.home, quantum.agreement) == []
        at += 3  # test_log does not skip any; this is about the keys
    assert at > 60
