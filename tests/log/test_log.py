# SPDX-License-Identifier: Apache-2.0
"""LOG-12 to LOG-18: creating, opening, admitting, adding."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from pausectl.durable import Disk
from pausectl.errors import Broken, Refused, Unavailable, UsageFault
from pausectl.history.decode import decode
from pausectl.history.source import DirectorySource
from pausectl.history.tiles import Tiles
from pausectl.log.fsck import fsck
from pausectl.log.log import Admission, Log
from pausectl.predicates import base
from pausectl.predicates.base import Header
from pausectl.predicates.checkpoint import Mark
from pausectl.sim import terms
from pausectl.wire import checkpoint, dsse, note, statement
from pausectl.wire.tile import bundles_for


def read_all(home, agreement) -> list[bytes]:
    """The ledger as any reader gets it."""
    fetch = DirectorySource(home / "log").fetch
    seen = checkpoint.open(fetch("checkpoint"), agreement.log_key)[0]
    tiles = Tiles(fetch, seen.size, seen.root)
    return [entry for bundle in bundles_for(seen.size) for entry in tiles.bundle(bundle)]


# ── creating and opening ──


def test_a_new_log_holds_its_agreement_and_says_so(world):
    """LOG-15: entry 0."""
    with world.create() as log:
        assert log.size == 1
        assert log.checkpoint == (world.home / "log/checkpoint").read_bytes()
    assert read_all(world.home, world.agreement) == [world.agreement.raw]
    assert (world.home / "agreement.json").read_bytes() == world.agreement.raw + b"\n"
    assert note.parse_vkey((world.home / "log.vkey").read_text()[:-1]) == world.agreement.log_key
    assert {path.name for path in (world.home / "log").iterdir()} == {"checkpoint", "tile"}


def test_a_log_is_not_created_twice_or_over_remains(world, snapshot):
    """LOG-12."""
    world.create().close()
    before = snapshot(world.home)
    with pytest.raises(Refused, match="a log here already"):
        world.create()
    assert snapshot(world.home) == before
    shutil.rmtree(world.home / "state")
    with pytest.raises(Refused, match="log/checkpoint"):
        world.create()


def test_a_log_is_not_created_beside_another_agreement(world):
    world.home.mkdir()
    (world.home / "agreement.json").write_bytes(b"{}\n")
    with pytest.raises(Refused, match="another agreement"):
        world.create()
    (world.home / "agreement.json").write_bytes(world.agreement.raw + b"\n")
    world.create().close()


def test_a_log_is_not_created_under_an_expired_agreement(world):
    world.now = terms.seconds(world.agreement.document.expires_at)
    with pytest.raises(Refused, match="expired"):
        world.create()
    assert not world.home.exists()


def test_only_the_agreements_log_key_opens_a_log(world):
    other = world.keys["aurora"]
    with pytest.raises(Refused, match="expected the log's key"):
        Log.create(world.home, world.agreement, other, world.now)
    world.create().close()
    with pytest.raises(Refused, match="expected the log's key"):
        Log.open(world.home, other)
    world.open().close()


def test_a_log_key_that_no_principal_has_cannot_sign_marks(world):
    other = terms.demo_key("somebody else")
    vkey = note.format_vkey(note.VerifierKey(terms.ORIGIN, note.TYPE_ED25519, other.public))
    policy = {
        "mark_interval_seconds": 3600,
        "mldsa44": None,
        "origin": terms.ORIGIN,
        "successors": [],
        "vkey": vkey,
    }
    agreement = terms.agree(world.roll, world.keys, log=policy)
    with pytest.raises(Refused, match="role log"):
        Log.create(world.home, agreement, other, world.now)


def test_two_processes_do_not_write_one_log(world):
    """LOG-30."""
    with world.create(), pytest.raises(Refused, match="another process"):
        world.open()
    world.open().close()


def test_there_is_no_log_where_there_is_none(world, tmp_path):
    with pytest.raises(UsageFault, match="no log here"):
        world.open(tmp_path)


def test_a_home_that_was_meddled_with_is_refused(world):
    world.create().close()
    (world.home / "log.vkey").write_bytes(b"other\n")
    with pytest.raises(Refused, match=r"log\.vkey"):
        world.open()
    (world.home / "log.vkey").unlink()
    with pytest.raises(Unavailable):
        world.open()


def test_entry_0_of_another_agreement_is_refused(world):
    world.create().close()
    other = terms.agree(world.roll, world.keys, name="Another agreement")
    (world.home / "agreement.json").write_bytes(other.raw + b"\n")
    with pytest.raises(Refused, match="entry 0"):
        world.open()
    world.home.joinpath("agreement.json").write_bytes(world.agreement.raw + b"\n")
    world.open().close()


def test_creation_killed_at_every_system_call_can_be_finished(world, in_child, tmp_path):
    at, finished = 0, False
    while not finished:
        home = tmp_path / str(at)

        def work(disk, ack, home=home):
            Log.create(home, world.agreement, world.signer, world.now, disk=disk).close()

        _, finished = in_child(at, work)
        if (home / "state/head").exists():
            Log.open(home, world.signer).close()
        else:
            Log.create(home, world.agreement, world.signer, world.now).close()
        assert read_all(home, world.agreement) == [world.agreement.raw]
        assert fsck(home, world.agreement) == []
        at += 1
    assert at > 40


def test_a_full_disk_at_the_start_is_a_reason_and_room_is_enough_to_go_on(world):
    """The commit that has to be finished does not fit: not an exception of the interpreter's, and nothing lost."""

    def full(call, path):
        if call == "create" and "tile" in path.parts:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    world.create().close()
    with world.open(disk=Disk(full)) as log, pytest.raises(Broken, match="half way"):
        log.add([world.entry(0)])
    with pytest.raises(Unavailable, match="cannot be opened: No space left"):
        world.open(disk=Disk(full))
    with world.open() as log:
        assert log.add([world.entry(0)]) == [Admission(1, dsse.parse(world.entry(0)).statement_id, True)]


# ── admission ──


def refusals(world) -> list[tuple[str, bytes, str]]:
    good = world.entry(0)
    payload = world.statement(0)
    unknown = statement.format([statement.Subject("x", "00" * 32)], "https://pausectl.dev/gossip/v1", {"a": 1})
    other = terms.agree(world.roll, world.keys, name="Another agreement")
    fewer = dsse.join(world.agreement.raw and dsse.parse(world.agreement.raw).payload, dsse.parse(other.raw).signatures)
    forged = dsse.parse(good).signatures[0]
    mark = Mark(
        checkpoint="not a checkpoint",
        header=Header(
            agreement=world.agreement.id, log=terms.ORIGIN, party="ledgerco", sequence=0, stream="marks", window=None
        ),
    )
    return [
        ("no envelope", b"{}", "malformed"),
        ("an empty entry", b"", "malformed"),
        ("white space", good.replace(b'","', b'", "', 1), "malformed"),
        ("too long", b"x" * 65_536, "at most 65535 bytes, found 65536"),
        ("a key of nobody", dsse.sign(payload, terms.demo_key("nobody")).raw, "no key of this agreement"),
        ("a signature of something else", dsse.join(world.statement(1), [forged]).raw, "does not verify"),
        ("another's statement", world.entry(0, signer="gridco"), "signed by gridco"),
        ("a role that may not", world.entry(0, party="aurora"), "holds the role lab"),
        ("another agreement's", world.entry(0, agreement="00" * 32), "said under agreement"),
        ("another log's", world.entry(0, log="other.example"), "said in log other.example"),
        ("two signers", dsse.sign(payload, world.keys["probe"], world.keys["aurora"]).raw, "signed by aurora, probe"),
        ("an unknown type", dsse.sign(unknown, world.keys["probe"]).raw, "unknown to this log"),
        ("another agreement", other.raw, "an agreement other than"),
        ("the agreement, signed otherwise", fewer.raw, "does not verify"),
        ("a mark without a checkpoint", _marked(mark, world), "mark: "),
    ]


def _marked(mark, world) -> bytes:
    return dsse.sign(base.write(mark), world.signer).raw


def test_what_may_not_enter_is_refused_with_the_reason_and_leaves_no_trace(world, snapshot):
    """LOG-14, LOG-15, LOG-23, LOG-18: every file stays byte for byte what it was."""
    with world.create() as log:
        log.add([world.entry(7)])
        before = snapshot(world.home)
        for what, entry, reason in refusals(world):
            with pytest.raises(Refused) as caught:
                log.add([world.entry(0), entry, world.entry(1)])
            assert reason in str(caught.value), what
            assert caught.value.where == "entry 1", what
            assert snapshot(world.home) == before, what
        assert log.add([world.entry(0)]) == [Admission(2, decode(world.entry(0), world.agreement.keys).id, False)]


def test_a_stranger_who_signs_a_statement_first_does_not_take_its_place(world):
    """LOG-16: authorised before it is looked up, in both orders."""
    with world.create() as log:
        with pytest.raises(Refused, match="signed by gridco"):
            log.add([world.entry(0, signer="gridco")])
        [first] = log.add([world.entry(0)])
        assert not first.duplicate
        with pytest.raises(Refused, match="signed by gridco"):
            log.add([world.entry(0, signer="gridco")])


def test_a_statement_again_is_answered_with_its_first_place_and_nothing_is_written(world, snapshot):
    """LOG-17."""
    with world.create() as log:
        answers = log.add([world.entry(0), world.entry(1), world.entry(0)])
        assert [(answer.index, answer.duplicate) for answer in answers] == [(1, False), (2, False), (1, True)]
        assert answers[0].statement_id == dsse.parse(world.entry(0)).statement_id
        before = snapshot(world.home)
        again = log.add([world.entry(1), world.agreement.raw])
        assert [(answer.index, answer.duplicate) for answer in again] == [(2, True), (0, True)]
        assert log.add([]) == []
        assert snapshot(world.home) == before
        assert log.size == 3
        mixed = log.add([world.entry(1), world.entry(2)])
        assert [(answer.index, answer.duplicate) for answer in mixed] == [(2, True), (3, False)]
    with world.open() as log:
        assert log.add([world.entry(2)])[0].index == 3
    assert read_all(world.home, world.agreement)[1:] == [world.entry(0), world.entry(1), world.entry(2)]


def test_admit_changes_nothing(world, snapshot):
    with world.create() as log:
        before = snapshot(world.home)
        assert log.admit(world.entry(0)) == dsse.parse(world.entry(0)).statement_id
        assert snapshot(world.home) == before


# ── the index ──


def test_the_index_is_made_again_from_the_ledger(world):
    """Lost, damaged, behind, or of another tree: the answers are the same."""
    index = world.home / "state/index.db"
    with world.create() as log:
        log.add([world.entry(0), world.entry(1)])
        behind = index.with_suffix(".old")
    shutil.copy(index, behind)
    with world.open() as log:
        log.add([world.entry(2)])

    def check():
        with world.open() as log:
            assert [answer.index for answer in log.add([world.entry(n) for n in range(3)])] == [1, 2, 3]
            assert log.size == 4

    index.unlink()
    check()
    index.write_bytes(b"this is no database" * 1000)
    check()
    shutil.copy(behind, index)
    check()
    for change in (
        "UPDATE book SET root = zeroblob(32)",
        "UPDATE book SET marks = 7",
        "DELETE FROM statement WHERE leaf = 1",
        "UPDATE statement SET id = zeroblob(32) WHERE leaf = 2",
        "UPDATE statement SET leaf = 77",
        "UPDATE statement SET leaf = 3 - leaf WHERE leaf IN (1, 2)",
    ):
        with sqlite3.connect(index) as db:
            db.execute(change)
        db.close()
        check()


def test_an_index_that_lost_its_end_is_made_again(world):
    """SQLite hands out NULL where a column takes none, if the file says so."""
    index = world.home / "state/index.db"
    with world.create() as log:
        log.add([world.entry(n) for n in range(254)])
    whole = index.read_bytes()
    for keep in range(4_200, len(whole), 4_200):
        index.write_bytes(whole[:keep] + bytes(len(whole) - keep))
        with world.open() as log:
            assert [answer.index for answer in log.add([world.entry(n) for n in range(3)])] == [1, 2, 3], keep


def test_entries_that_were_never_admitted_are_not_what_a_duplicate_is_answered_with(world):
    """An operator who asks no questions: what has no effect does not hide what has."""
    bad = dsse.join(world.statement(0), [dsse.parse(world.entry(1)).signatures[0]]).raw
    with world.create() as log:
        assert log.append([(bad, ""), (b"\x00 anything", "")]) == 1
        assert log.add([world.entry(0)])[0] == Admission(3, dsse.parse(bad).statement_id, False)
    (world.home / "state/index.db").unlink()
    with world.open() as log:
        assert log.add([world.entry(0)])[0] == Admission(3, dsse.parse(bad).statement_id, True)


def test_of_copies_that_were_appended_unasked_the_first_is_the_answer(world):
    with world.create() as log:
        known = log.admit(world.entry(0))
        log.append([(world.entry(0), known), (world.entry(0), known)])
        log.append([(world.entry(0), known)])
        assert log.add([world.entry(0)]) == [Admission(1, known, True)]


# ── crashes, with everything ──


def test_adding_killed_at_every_system_call(world, in_child, tmp_path):
    """What was acknowledged stands where it was said to stand, and a retry finds it there."""
    with world.create() as log:
        log.append([(b"x%d" % index, "") for index in range(253)])
    at, finished = 0, False
    while not finished:
        home = tmp_path / "copy"
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(world.home, home)

        def work(disk, ack, home=home):
            with world.open(home, disk=disk) as log:
                for batch in ([0, 1, 2], [3]):
                    for answer in log.add([world.entry(n) for n in batch]):
                        ack(str(answer.index))

        acks, finished = in_child(at, work)
        with world.open(home) as log:
            answers = log.add([world.entry(n) for n in range(4)])
            assert [str(answer.index) for answer in answers][: len(acks)] == acks
            assert all(answer.duplicate for answer in answers[: len(acks)])
            assert [answer.index for answer in answers] == [254, 255, 256, 257]
            assert list((home / "state/stage").iterdir()) == []
        assert fsck(home, world.agreement) == []
        at += 3  # test_sequencer does not skip any; this is about the index
    assert at > 60


def test_power_cut_at_every_system_call_with_the_index_lost(world, lossy, relay, tmp_path):
    with world.create() as log:
        log.add([world.entry(100)])
    disk = lossy(world.home)
    with world.open(disk=Disk(disk)) as log:
        answer = log.add([world.entry(0)])[0]
        disk.cut()
    cuts = len(disk.cuts)
    for at, (tree, _) in enumerate(disk.cuts):
        home = relay(tree, tmp_path / "left")
        with world.open(home) as log:
            assert log.add([world.entry(100)])[0].index == 1
            again = log.add([world.entry(0)])[0]
            assert again.index == answer.index
            assert again.duplicate or at < cuts - 1
        assert fsck(home, world.agreement) == []


def test_256_entries_cost_a_handful_of_fsyncs(world):
    calls = []
    with world.create(disk=Disk(lambda call, _: calls.append(call))) as log:
        calls.clear()
        log.add([world.entry(n) for n in range(255)])
        assert calls.count("fsync") <= 16


def test_closing_lets_go_of_everything(world):
    def held() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    if not Path("/proc/self/fd").exists():
        pytest.skip("no /proc")
    before = held()
    log = world.create()
    assert held() > before
    log.close()
    log.close()
    assert held() == before
