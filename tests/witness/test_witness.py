# SPDX-License-Identifier: Apache-2.0
"""WTN-1 to WTN-14: what a witness refuses, what it remembers, and that it remembers before it speaks."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sqlite3
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pausectl.durable import Disk
from pausectl.errors import Forged, Malformed, PausectlError, Refused, SplitView, Unavailable, UsageFault
from pausectl.sim import terms
from pausectl.wire import checkpoint, cosignature, merkle, note, witness
from pausectl.wire.checkpoint import Checkpoint
from pausectl.wire.witness import Request
from pausectl.witness.decision import Inconsistent, Known, decide, http_status
from pausectl.witness.witness import Witness

NAME = "witness.example/one"
SIGNER = terms.demo_key("witness")
LOG = terms.demo_key("log")
ORIGIN = "log.example/test"
LOG_KEY = note.VerifierKey(ORIGIN, note.TYPE_ED25519, LOG.public)
NOW = 1_800_000_000


class Tree:
    """A log as its witness sees it: leaves, roots, proofs."""

    def __init__(self, leaves: list[bytes]) -> None:
        self.leaves = [merkle.leaf_hash(leaf) for leaf in leaves]

    def read(self, level: int, index: int) -> bytes:
        return merkle.root(self.leaves[index << level : index + 1 << level])

    def checkpoint(self, size: int, signer=LOG, origin=LOG_KEY.name) -> bytes:
        return checkpoint.sign(Checkpoint(origin, size, merkle.root(self.leaves[:size])), signer).raw

    def request(self, old: int, size: int, **options) -> bytes:
        proof = merkle.prove_consistency(old, size, self.read) if old else ()
        return witness.format_request(Request(old, proof, self.checkpoint(size, **options)))


TREE = Tree([b"leaf-%d" % index for index in range(40)])
FORK = Tree([b"fork-%d" % index for index in range(40)])


def made(state: Path, disk: Disk | None = None) -> Witness:
    return Witness.beside(NAME, SIGNER, LOG_KEY, state, disk=disk)


@pytest.fixture
def one(tmp_path) -> Witness:
    return made(tmp_path)


def alter(state: Path, statement: str, *values) -> None:
    """Do something to the database behind the witness's back."""
    db = sqlite3.connect(state / "witness.db")
    with db:
        db.execute(statement, values)
    db.close()


def put_second(state: Path, raw: bytes) -> None:
    path = home(state) / "checkpoint"
    path.unlink(missing_ok=True)
    path.write_bytes(raw)


def home(state: Path) -> Path:
    return state / hashlib.sha256(LOG_KEY.name.encode()).hexdigest()


def check_answer(answer: bytes, request: bytes, now: int) -> None:
    [line] = witness.parse_response(answer)
    text = witness.parse_request(request).signed.text
    key = note.VerifierKey(NAME, note.TYPE_COSIGNATURE, SIGNER.public)
    assert cosignature.open_cosignature(text, line, key) == now


def put_in(request: bytes, **changes) -> bytes:
    asked = witness.parse_request(request)
    fields = {"old_size": asked.old_size, "proof": asked.proof, "checkpoint_raw": asked.checkpoint_raw}
    return witness.format_request(Request(**{**fields, **changes}))


# ── what it cosigns ──


def test_it_cosigns_a_log_as_it_grows_and_the_same_size_again(one, tmp_path):
    for step, (old, size) in enumerate([(0, 1), (1, 3), (3, 3), (3, 8), (8, 40)]):
        request = TREE.request(old, size)
        check_answer(one.cosign(request, NOW + step), request, NOW + step)
        kept = note.parse(one.checkpoint(ORIGIN))
        assert checkpoint.parse(kept.text).size == size
        assert [line.name for line in kept.signatures] == [LOG_KEY.name, NAME]
    assert (home(tmp_path) / "checkpoint").read_bytes() == one.checkpoint(ORIGIN)


def test_an_empty_tree_can_be_cosigned_and_grown(one):
    one.cosign(TREE.request(0, 0), NOW)
    one.cosign(TREE.request(0, 0), NOW)
    one.cosign(TREE.request(0, 5), NOW)
    assert one.cosign(TREE.request(0, 7), NOW) == b"5\n"


def test_the_exchange_of_torchwood(shared, tmp_path):
    """Statuses as tlog-witness v1.0.0 has them, but step 2: its signature is bad and its base64 is not canonical."""
    sequence = json.loads((shared("vectors/torchwood-witness") / "add_checkpoint_sequence.json").read_text())
    key = note.parse_vkey(sequence["log_vkey"])
    one = Witness.beside("example.com/witness", SIGNER, key, tmp_path)
    for number, step in enumerate(sequence["steps"], start=1):
        try:
            answer = one.cosign(step["request_body"].encode(), NOW)
            status = 200 if answer.startswith("\u2014 example.com/witness ".encode()) else 409
        except PausectlError as error:
            status, answer = http_status(error), b""
        assert status == (400 if number == 2 else step["status_spec_v1"]), number
        assert answer == {7: b"3\n", 9: b"5\n"}.get(number, answer)
        assert (answer == b"") is (status in {400, 403, 404, 422})


def test_the_exchange_of_go(shared, tmp_path):
    folder = shared("vectors/golden-go")
    key = note.parse_vkey((folder / "log.vkey").read_text().strip())
    request = (folder / "add-checkpoint.request.txt").read_bytes()
    one = Witness.beside(NAME, SIGNER, key, tmp_path)
    check_answer(one.cosign(request, NOW), request, NOW)
    assert one.cosign(request, NOW) == b"600\n"


# ── what it refuses ──


def test_another_origin_is_unknown(one):
    """WTN-1."""
    with pytest.raises(Refused, match="origin") as caught:
        one.cosign(TREE.request(0, 3, origin="log.example/other"), NOW)
    assert http_status(caught.value) == 404


def test_without_a_valid_signature_of_the_log_nothing_is_cosigned(one):
    """WTN-2."""
    good = TREE.request(0, 3)
    asked = witness.parse_request(good)
    lines = asked.signed.signatures
    stranger = note.VerifierKey(LOG_KEY.name, note.TYPE_ED25519, SIGNER.public)
    others = [note.Signature(LOG_KEY.name, stranger.key_id, SIGNER.sign(asked.signed.text.encode()))]
    wrong = [note.Signature(LOG_KEY.name, LOG_KEY.key_id, LOG.sign(b"something else"))]
    for signatures in (others, wrong, [*wrong, *lines], [*lines, *wrong]):
        raw = note.Note(asked.signed.text, tuple(signatures)).raw
        with pytest.raises(Forged) as caught:
            one.cosign(put_in(good, checkpoint_raw=raw), NOW)
        assert http_status(caught.value) == 403
    raw = note.Note(asked.signed.text, (*others, *lines)).raw
    one.cosign(put_in(good, checkpoint_raw=raw), NOW)
    assert [line.name for line in note.parse(one.checkpoint(ORIGIN)).signatures] == [LOG_KEY.name, NAME]


@given(st.binary(max_size=200))
def test_any_bytes_are_malformed(tmp_path_factory, raw):
    one = made(tmp_path_factory.mktemp("witness"))
    with pytest.raises(Malformed) as caught:
        one.cosign(raw, NOW)
    assert http_status(caught.value) == 400
    assert one.checkpoint(ORIGIN) is None


def test_an_old_size_above_the_checkpoint_is_malformed(one):
    """WTN-3."""
    with pytest.raises(Malformed, match="at most 3, found 4") as caught:
        one.cosign(put_in(TREE.request(0, 3), old_size=4), NOW)
    assert http_status(caught.value) == 400


def test_another_old_size_is_answered_with_the_one_it_knows(one):
    """WTN-4; with no cosignature, and nothing remembered."""
    assert one.cosign(TREE.request(2, 5), NOW) == b"0\n"
    assert one.checkpoint(ORIGIN) is None
    one.cosign(TREE.request(0, 5), NOW)
    before = one.checkpoint(ORIGIN)
    for old, size in ((0, 5), (4, 5), (3, 9), (0, 3)):
        assert one.cosign(TREE.request(old, size), NOW) == b"5\n"
    assert one.checkpoint(ORIGIN) == before


INCONSISTENT = {
    "an empty tree that is not": lambda: put_in(
        TREE.request(0, 0), checkpoint_raw=checkpoint.sign(Checkpoint(LOG_KEY.name, 0, bytes(32)), LOG).raw
    ),
    "a proof from nothing": lambda: put_in(TREE.request(0, 5), proof=(bytes(32),)),
}


@pytest.mark.parametrize("what", INCONSISTENT)
def test_a_first_checkpoint_that_cannot_be_right_is_refused(one, what):
    """WTN-5."""
    with pytest.raises(Inconsistent) as caught:
        one.cosign(INCONSISTENT[what](), NOW)
    assert http_status(caught.value) == 422
    assert one.checkpoint(ORIGIN) is None


def test_a_proof_that_does_not_hold_is_refused_and_accuses_nobody(one, tmp_path):
    """WTN-5, WTN-8: missing, cut, padded, of another size, of a fork. Anybody can send them with a good checkpoint."""
    one.cosign(TREE.request(0, 5), NOW)
    before = one.checkpoint(ORIGIN)
    good = TREE.request(5, 9)
    proof = witness.parse_request(good).proof
    bad = [
        (),
        proof[:-1],
        (*proof, bytes(32)),
        (bytes(32), *proof[1:]),
        witness.parse_request(TREE.request(4, 9)).proof,
    ]
    requests = [put_in(good, proof=wrong) for wrong in bad] + [FORK.request(5, 9)]
    for request in requests:
        with pytest.raises(Inconsistent) as caught:
            one.cosign(request, NOW)
        assert not isinstance(caught.value, SplitView)
        assert http_status(caught.value) == 422
        assert one.checkpoint(ORIGIN) == before
        [kept] = one.evidence
        assert (kept.kind, kept.origin, kept.size) == ("refused", ORIGIN, 9)
        assert (kept.first, kept.second) == (before, request)
    one.cosign(good, NOW)


def test_two_trees_of_one_size_are_a_split_view_and_both_are_kept(one, tmp_path):
    """WTN-5, WTN-8."""
    one.cosign(TREE.request(0, 5), NOW)
    before = one.checkpoint(ORIGIN)
    for request in (FORK.request(5, 5), put_in(FORK.request(5, 5), proof=(bytes(32),))):
        with pytest.raises(SplitView) as caught:
            one.cosign(request, NOW)
        assert http_status(caught.value) == 422
        assert one.checkpoint(ORIGIN) == before
    split = caught.value
    [kept] = made(tmp_path).evidence
    assert (kept.kind, kept.first, kept.second) == ("split", split.first, split.second)
    trees = [checkpoint.open(raw, LOG_KEY)[0] for raw in (kept.first, kept.second)]  # a stranger needs nothing else
    assert trees[0].size == trees[1].size
    assert trees[0].root != trees[1].root


@given(st.integers(0, 12), st.integers(0, 12), st.integers(0, 12), st.booleans())
def test_the_decision_in_all_small_cases(known_size, old, size, fork):
    """It cosigns if and only if nothing is taken back and the proof is asked for from where it stands."""
    if old > size:
        return
    known = Known(Checkpoint(LOG_KEY.name, known_size, merkle.root(TREE.leaves[:known_size])), NOW, b"")
    asked = witness.parse_request((FORK if fork else TREE).request(old, size))
    try:
        answer = decide(asked, known)
    except (Inconsistent, SplitView):
        assert fork
        assert old == known_size > 0
        return
    assert answer == (None if old == known_size else known_size)
    assert answer is not None or not fork or known_size == 0


# ── time and memory ──


def test_time_does_not_go_backwards(one):
    """WTN-7; a size may be cosigned twice in one second."""
    one.cosign(TREE.request(0, 3), NOW)
    before = one.checkpoint(ORIGIN)
    with pytest.raises(Unavailable, match="clock") as caught:
        one.cosign(TREE.request(3, 5), NOW - 1)
    assert http_status(caught.value) == 503
    assert one.checkpoint(ORIGIN) == before
    one.cosign(TREE.request(3, 5), NOW)
    with pytest.raises(UsageFault):
        one.cosign(TREE.request(5, 6), 0)


def test_another_process_goes_on_where_the_first_one_ended(one, tmp_path):
    one.cosign(TREE.request(0, 3), NOW)
    again = made(tmp_path)
    assert again.cosign(TREE.request(0, 3), NOW) == b"3\n"
    check_answer(again.cosign(TREE.request(3, 5), NOW), TREE.request(3, 5), NOW)
    assert one.cosign(TREE.request(3, 5), NOW) == b"5\n"


@pytest.mark.parametrize("memory", ["first", "second"])
@pytest.mark.parametrize("damage", ["flipped", "empty", "of another witness", "not cosigned"])
def test_a_damaged_memory_cosigns_nothing(one, tmp_path, damage, memory):
    one.cosign(TREE.request(0, 3), NOW)
    good = one.checkpoint(ORIGIN)
    other = Witness.beside("other.example", terms.demo_key("other"), LOG_KEY, tmp_path / "other")
    other.cosign(TREE.request(0, 3), NOW)
    bad = {
        "flipped": good[:-9] + (b"A" if good[-9:-8] != b"A" else b"B") + good[-8:],
        "empty": b"",
        "of another witness": other.checkpoint(ORIGIN),
        "not cosigned": TREE.checkpoint(3),
    }[damage]

    def write(raw):
        if memory == "second":
            put_second(tmp_path, raw)
        else:
            alter(tmp_path, "UPDATE cosigned SET note = ?", raw)

    write(bad)
    with pytest.raises(Unavailable, match="damaged") as caught:
        one.cosign(TREE.request(3, 5), NOW)
    assert http_status(caught.value) == 503
    with pytest.raises(Unavailable, match="damaged"):
        made(tmp_path)
    write(good)
    made(tmp_path).cosign(TREE.request(3, 5), NOW)


def test_it_is_durable_before_the_answer(tmp_path):
    """WTN-6: the commit comes first, then the second memory, and the last call before the answer makes it durable."""
    calls, committed = [], []

    def watch(call, path):
        calls.append((call, path.relative_to(tmp_path).name))
        with sqlite3.connect(
            tmp_path / "witness.db"
        ) as db:  # as after a power cut here, as far as SQLite can be trusted
            committed.append(db.execute("SELECT size FROM cosigned").fetchall())
        db.close()

    made(tmp_path)
    one = made(tmp_path, Disk(watch))
    one.cosign(TREE.request(0, 3), NOW)
    folder = home(tmp_path).name
    assert calls == [
        ("mkdir", folder),
        ("fsync", ""),
        ("create", ".checkpoint.tmp"),
        ("write", ".checkpoint.tmp"),
        ("fsync", ".checkpoint.tmp"),
        ("rename", "checkpoint"),
        ("fsync", folder),
    ]
    assert committed == [[], []] + [[(3,)]] * 5
    calls.clear()
    assert one.cosign(TREE.request(0, 5), NOW) == b"3\n"
    assert calls == []


def test_the_database_synchronises_every_commit(one):
    """WTN-6: WAL with synchronous=FULL, which lost nothing in forty power cuts."""
    one.cosign(TREE.request(0, 3), NOW)
    with one._memory._told() as db:
        asked = ("journal_mode", "synchronous", "fullfsync", "checkpoint_fullfsync")
        assert [db.execute(f"PRAGMA {name}").fetchone()[0] for name in asked] == ["wal", 2, 1, 1]
        assert {row[-1] for row in db.execute("PRAGMA table_list") if not row[1].startswith("sqlite_")} == {1}


def test_killed_at_every_system_call_it_never_forgets_an_answer(tmp_path):
    """WTN-6."""
    base = tmp_path / "base"
    made(base).cosign(TREE.request(0, 3), NOW)
    at, finished = 0, False
    while not finished:
        state = tmp_path / str(at)
        shutil.copytree(base, state)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            left = iter(range(at))

            def watch(call, path, left=left):
                if next(left, None) is None:
                    os.kill(os.getpid(), signal.SIGKILL)

            one = made(state, Disk(watch))
            os.write(writing, one.cosign(TREE.request(3, 5), NOW + 1))
            os.write(writing, one.cosign(TREE.request(5, 8), NOW + 2))
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as answers:
            said = answers.read().count(b"\n")
        finished = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        after = made(state)
        size = int(after.cosign(TREE.request(0, 20), NOW + 3))
        assert size >= (3, 5, 8)[said]
        check_answer(after.cosign(TREE.request(size, 20), NOW + 3), TREE.request(size, 20), NOW + 3)
        at += 1
    assert at == 11  # two second memories of five calls each: SQLite's own are killed at random, in test_faults


def test_of_racing_requests_none_rolls_it_back(tmp_path):
    """WTN-6: one step with the comparison. Twenty threads offer forks from one size; one history comes out."""
    made(tmp_path).cosign(TREE.request(0, 4), NOW)
    forks = [Tree([b"leaf-%d" % index for index in range(4)] + [b"fork %d" % n] * 8) for n in range(20)]
    start, cosigned = threading.Barrier(len(forks)), []

    def ask(fork: Tree, size: int) -> None:
        one = made(tmp_path)
        start.wait()
        request = fork.request(4, size)
        if one.cosign(request, NOW).startswith("\u2014 ".encode()):
            cosigned.append(request)

    threads = [threading.Thread(target=ask, args=(fork, 5 + n % 7)) for n, fork in enumerate(forks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(cosigned) == 1
    assert note.parse(made(tmp_path).checkpoint(ORIGIN)).text == witness.parse_request(cosigned[0]).signed.text


def test_logs_share_a_state_directory(tmp_path):
    other = note.VerifierKey("log.example/other", note.TYPE_ED25519, LOG.public)
    made(tmp_path).cosign(TREE.request(0, 3), NOW)
    second = Witness.beside(NAME, SIGNER, other, tmp_path)
    second.cosign(FORK.request(0, 2, origin=other.name), NOW)
    assert made(tmp_path).cosign(TREE.request(0, 3), NOW) == b"3\n"
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 2
