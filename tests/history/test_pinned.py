# SPDX-License-Identifier: Apache-2.0
"""Ledgers of which the agreement names post-quantum keys: one signature of two is none."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from pausectl.agreement import document
from pausectl.errors import Forged, Malformed, Refused, Unavailable
from pausectl.history import bundle
from pausectl.history.reader import key_path, open_ledger, open_seen, resolve, sight
from pausectl.history.source import ZipSource
from pausectl.sim import terms
from pausectl.sim.ledger import MemorySource
from pausectl.sim.terms import Roll, demo_key
from pausectl.sim.world import World
from pausectl.verify.audit import verify
from pausectl.wire import note
from pausectl.wire.keys import MLDSA44

spec = importlib.util.spec_from_file_location("second_reader", Path(__file__).parents[1] / "second_reader.py")
second = importlib.util.module_from_spec(spec)
spec.loader.exec_module(second)


@pytest.fixture(scope="module")
def world() -> World:
    return World(windows=2, pause_at=1, roll=Roll(post_quantum=True)).run()


@pytest.fixture(scope="module")
def stranger(world):
    """The agreement as somebody has it who knows none of the keys."""
    return document.parse(world.agreement.raw)


@pytest.fixture
def files(world):
    return dict(world.memory.files())


def without(raw: bytes, *lines: tuple[str, int]) -> bytes:
    """The note without the lines of these (key name, bytes of a payload)."""
    signed = note.parse(raw)
    kept = [line for line in signed.signatures if (line.name, len(line.payload)) not in lines]
    assert len(kept) == len(signed.signatures) - len(lines)
    return note.Note(signed.text, tuple(kept)).raw


PLAIN, OLD, NEW = 64, 72, 2_428
LOG = terms.ORIGIN


def test_a_ledger_with_both_signatures_is_read_by_whoever_has_the_agreement(world, stranger, files):
    assert len(stranger.pinned) == 5
    assert stranger.resolved == {}
    report = verify(MemorySource(files).fetch, stranger)
    assert {str(verdict) for verdict in report.verdicts.values()} == {"CONSISTENT"}
    assert set(report.ledger.agreement.resolved) == set(stranger.pinned)
    assert stranger.resolved == {}
    assert len(note.parse(files["checkpoint"]).signatures) == 10
    assert verify(MemorySource(files).fetch, stranger, jobs=2).verdicts == report.verdicts


def test_its_marks_have_time(world, stranger, files):
    ledger = open_ledger(MemorySource(files).fetch, stranger)
    marks = [raw for _, raw in ledger.entries() if b"checkpoint/v1" in raw or len(raw) > 10_000]
    assert marks
    assert max(map(len, marks)) < 65_535
    report = verify(MemorySource(files).fetch, stranger)
    assert report.judgement.findings is not None
    assert {f.outcome.value for f in report.judgement.findings} & {"VIOLATED", "UNPROVEN"} == set()


@pytest.mark.parametrize("line", [(LOG, PLAIN), (LOG, NEW)])
def test_read_11_a_checkpoint_without_one_of_the_log_s_signatures_is_none(world, line):
    stripped = without(world.memory.head, line)
    for take in (sight, open_seen):
        with pytest.raises(Forged, match="known key"):
            take(stripped, world.agreement)


@pytest.mark.parametrize("size", [OLD, NEW])
def test_read_11_a_witness_with_one_signature_of_two_does_not_count(world, size):
    one = without(world.memory.head, ("wharf.example", size))
    assert sight(one, world.agreement).quorum.missing == ("wharf",)
    two = without(one, ("xylem.example", NEW))
    with pytest.raises(Forged, match="cosigned by 2 of the 3 required"):
        sight(two, world.agreement)


def test_a_line_by_a_key_that_is_not_named_is_a_stranger_s(world):
    """Even a failing one of type 0x06, where only the Ed25519 key is in the agreement."""
    plain = World(windows=0).run()
    key = note.VerifierKey("wharf.example", note.TYPE_MLDSA44, demo_key("wharf", MLDSA44).public)
    line = note.Signature(key.name, key.key_id, bytes(NEW))
    signed = note.add(note.parse(plain.memory.head), [line])
    assert sight(signed.raw, plain.agreement).quorum.missing == ()
    with pytest.raises(Forged):
        sight(note.add(note.parse(world.memory.head), [line]).raw, world.agreement)


def test_without_the_log_s_key_nothing_is_concluded(stranger, files):
    del files[key_path(stranger.document.log.mldsa44)]
    with pytest.raises(Unavailable, match="the log's ML-DSA-44 key") as caught:
        open_ledger(MemorySource(files).fetch, stranger)
    assert "key/" in caught.value.hint


def test_a_witness_s_key_is_missed_where_it_would_be_needed(stranger, files):
    digests = [member.mldsa44 for member in stranger.document.witnesses.members]
    del files[key_path(digests[0])]
    assert open_ledger(MemorySource(files).fetch, stranger).head.quorum.missing == ("wharf",)
    del files[key_path(digests[1])]
    with pytest.raises(Unavailable, match="wharf, xylem"):
        open_ledger(MemorySource(files).fetch, stranger)


@pytest.mark.parametrize("raw", [b"", bytes(1_312), demo_key("wharf", MLDSA44).public.raw + b"\0"])
def test_read_12_other_bytes_than_the_key_s_are_forged(stranger, files, raw):
    path = key_path(stranger.document.log.mldsa44)
    with pytest.raises(Forged, match="SHA-256") as caught:
        resolve(MemorySource({**files, path: raw}).fetch, stranger)
    assert caught.value.where == path


def test_a_key_that_is_not_named_is_not_taken(stranger):
    with pytest.raises(Refused, match="names none"):
        stranger.resolve([demo_key("nobody", MLDSA44).public.raw])
    with pytest.raises(Malformed):
        stranger.resolve([bytes(32)])


def test_a_bundle_takes_the_keys_along(stranger, files, tmp_path):
    ledger = open_ledger(MemorySource(files).fetch, stranger)
    count = bundle.write(ledger, tmp_path / "a.zip")
    again = ZipSource(tmp_path / "a.zip")
    assert count == len(files)
    assert {name: again.fetch(name) for name in files} == files
    assert verify(again.fetch, stranger).verdicts


def test_the_second_reader_asks_for_both_too(world, files, tmp_path):
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    trusted = second.Agreement(world.agreement.raw)
    ledger = open_ledger(MemorySource(files).fetch, world.agreement)
    found = second.read(tmp_path, trusted)
    assert (found["size"], found["root"]) == (ledger.size, ledger.head.checkpoint.root.hex())
    assert len(found["marks"]) > 1
    for lines in (
        ((LOG, NEW),), ((LOG, PLAIN),), (("wharf.example", NEW), ("xylem.example", OLD)),
    ):  # fmt: skip
        (tmp_path / "checkpoint").unlink()
        (tmp_path / "checkpoint").write_bytes(without(files["checkpoint"], *lines))
        with pytest.raises(second.REFUSALS):
            second.read(tmp_path, trusted)


# ── what a mark has room for ──


def crowd(count: int, quorum: int, **more) -> dict:
    roll = Roll(witnesses=tuple(f"w{n:02}" for n in range(count)), **more)
    keys = {name: demo_key(name) for name in terms.names(roll)}
    whole = terms.terms(roll, {name: key.public for name, key in keys.items()})
    witnesses = {**whole["witnesses"], "faulty": 1, "quorum": quorum}
    return terms.agree(roll, keys, witnesses=witnesses)


def test_agr_12_a_quorum_that_no_mark_has_room_for_is_refused():
    assert crowd(20, 12, post_quantum=True).pinned
    assert crowd(20, 13).document.witnesses.quorum == 13
    with pytest.raises(Malformed, match="mark with 14 of them"):
        crowd(20, 14, post_quantum=True)


def test_agr_12_mirrors_need_room_in_the_same_mark():
    """Six witnesses with two keys each have it beside five such mirrors, and not beside nine."""
    mirrors = [f"m{n:02}" for n in range(16)]
    assert crowd(10, 6, post_quantum=True, mirrors=tuple(mirrors[:9])).document.mirrors.quorum == 5
    assert crowd(10, 6, mirrors=tuple(mirrors)).document.mirrors.quorum == 9
    with pytest.raises(Malformed, match="mark with 6 of them and 9 mirrors"):
        crowd(10, 6, post_quantum=True, mirrors=tuple(mirrors))
