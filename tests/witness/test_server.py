# SPDX-License-Identifier: Apache-2.0
"""A witness over HTTP: each status of tlog-witness by each way to get there, and the monitoring path."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from pausectl.net import client
from pausectl.net.limits import Limits
from pausectl.sim import terms
from pausectl.wire import checkpoint, cosignature, merkle, note, witness
from pausectl.wire.checkpoint import Checkpoint
from pausectl.wire.keys import ED25519, MLDSA44, PrivateKey
from pausectl.witness.server import MAX_BODY, Doorkeeper, Numbers
from pausectl.witness.witness import Witness, origin_hash

VECTORS = Path(__file__).parents[1] / "vectors"
NAME = "witness.example/one"
COSIGNERS = [(NAME, terms.demo_key("witness")), (NAME, terms.demo_key("witness", MLDSA44))]
NOW = 1_800_000_000
QUICK = Limits(rate=100_000, burst=100_000)


@dataclass
class Served:
    """A witness on loopback, its URL, and its clock, which a test may move."""

    witness: Witness
    url: str
    state: Path
    now: list[int]

    def ask(self, body: bytes):
        return client.post(f"{self.url}/add-checkpoint", body, timeout=20, max_bytes=1 << 20)

    def get(self, path: str):
        return client.get(self.url + path, timeout=20, max_bytes=1 << 20)


@pytest.fixture
def serve(hall, tmp_path, tree):
    def start(**options) -> Served:
        state, now = tmp_path / "state", [NOW]
        Witness.init(state, COSIGNERS)
        one = Witness.open(state, COSIGNERS)
        one.add_log([tree.key])
        numbers = Numbers()
        keeper = Doorkeeper(one, numbers, lambda: now[0])
        opened = hall(keeper.doors(), metrics=numbers, health=lambda: keeper.trouble, **{"limits": QUICK, **options})
        return Served(one, opened.url, state, now)

    return start


@pytest.fixture
def served(serve):
    return serve()


# ── the table ──


def put_in(request: bytes, **changes) -> bytes:
    asked = witness.parse_request(request)
    fields = {"old_size": asked.old_size, "proof": asked.proof, "checkpoint_raw": asked.checkpoint_raw}
    return witness.format_request(witness.Request(**{**fields, **changes}))


def signed(tree, size: int, root: bytes) -> bytes:
    return checkpoint.sign(Checkpoint(tree.origin, size, root), tree.signer).raw


def malformed(tree) -> dict[str, bytes]:
    """Nothing of these is an add-checkpoint body; the witness has cosigned 5."""
    good = tree.request(5, 9)
    first, _, rest = good.partition(b"\n")
    proof, _, told = rest.partition(b"\n\n")
    lines = proof.split(b"\n")
    origin, size, root, *_ = told.split(b"\n")
    line = told.split(b"\n")[-2]

    def body(first=first, proof=lines, told=told) -> bytes:
        return b"\n".join([first, *proof]) + b"\n\n" + told

    def text(*lines: bytes) -> bytes:
        return b"\n".join(lines) + b"\n\n" + line + b"\n"

    return {
        "empty": b"", "one line": b"old 5\n", "no empty line": good.replace(b"\n\n", b"\n"),
        "no old": body(first=b"5"), "old in capitals": body(first=b"OLD 5"), "two spaces": body(first=b"old  5"),
        "old with zeros": body(first=b"old 05"), "old with a sign": body(first=b"old +5"),
        "old -1": body(first=b"old -1"),
        "old of 2^63": body(first=b"old 9223372036854775808"), "old in hex": body(first=b"old 0x5"),
        "old and a blank": body(first=b"old 5 "), "carriage returns": good.replace(b"\n", b"\r\n"),
        "a hash of 31 bytes": body(proof=[b"A" * 42 + b"==", *lines[1:]]), "an empty hash": body(proof=[b"", *lines]),
        "a hash without padding": body(proof=[lines[0].rstrip(b"="), *lines[1:]]),
        "base64url": body(proof=[b"_" * 43 + b"=", *lines[1:]]),
        "spare bits": body(proof=[b"A" * 42 + b"B=", *lines[1:]]),
        "64 hashes": body(proof=[lines[0]] * 64), "not ASCII": body(proof=["é".encode(), *lines]),
        "a blank behind a hash": body(proof=[lines[0] + b" ", *lines[1:]]),
        "no checkpoint": body(told=b""), "no signature": body(told=b"\n".join((origin, size, root)) + b"\n"),
        "no final newline": body(told=told[:-1]), "text behind it": body(told=told + b"more\n"),
        "no origin": body(told=text(b"", size, root)), "no root": body(told=text(origin, size)),
        "size with zeros": body(told=text(origin, b"09", root)),
        "a size that is none": body(told=text(origin, b"x", root)),
        "size of 2^63": body(told=text(origin, b"9223372036854775808", root)),
        "a root of 31 bytes": body(told=text(origin, size, b"A" * 42 + b"==")),
        "a root with spare bits": body(told=text(origin, size, b"A" * 42 + b"B=")),
        "an extension line": body(told=text(origin, size, root, b"more")),
        "a signature that is no base64": body(told=told.replace(line, line[:-4] + b"!!!!")),
        "a signature of 3 bytes": body(told=told.replace(line, line[: line.rindex(b" ") + 1] + b"AAAA")),
        "a hyphen for a dash": body(told=told.replace("\u2014".encode(), b"-")),
        "a control character": body(told=told.replace(origin, origin + b"\x01")),
        "not UTF-8": body(told=b"\xff" + told),
        "101 signatures": body(told=told + (line + b"\n") * 100), "json": b'{"old":5}',
        "old larger than the checkpoint": put_in(good, old_size=10),
    }  # fmt: skip


def forged(tree) -> dict[str, bytes]:
    good = tree.request(5, 9)
    asked = witness.parse_request(good)
    [line] = asked.signed.signatures
    text = asked.signed.text
    stranger = terms.demo_key("stranger")
    other = note.VerifierKey(tree.origin, note.TYPE_ED25519, stranger.public)

    def told(*lines) -> bytes:
        return put_in(good, checkpoint_raw=note.Note(text, lines).raw)

    bad = note.Signature(line.name, line.key_id, tree.signer.sign(b"something else"))
    return {
        "another key": told(note.Signature(line.name, other.key_id, stranger.sign(text.encode()))),
        "another name": told(note.Signature("log.example/other", line.key_id, line.payload)),
        "another text": told(bad),
        "a bad one behind a good one": told(line, bad),
        "a good one behind a bad one": told(bad, line),
        "cut": told(note.Signature(line.name, line.key_id, line.payload[:-1])),
        "longer": told(note.Signature(line.name, line.key_id, line.payload + b"\0")),
    }


def inconsistent(tree, fork) -> dict[str, bytes]:
    good = tree.request(5, 9)
    proof = witness.parse_request(good).proof
    return {
        "no proof": put_in(good, proof=()),
        "a proof cut short": put_in(good, proof=proof[:-1]),
        "a proof with more": put_in(good, proof=(*proof, bytes(32))),
        "a wrong hash": put_in(good, proof=(bytes(32), *proof[1:])),
        "a proof from elsewhere": put_in(good, proof=witness.parse_request(tree.request(4, 9)).proof),
        "a fork": fork.request(5, 9),
        "another root of one size": fork.request(5, 5),
        "a proof of nothing": put_in(tree.request(5, 5), proof=(bytes(32),)),
    }


def test_every_way_to_400(served, tree):
    served.ask(tree.request(0, 5))
    cases = malformed(tree)
    answers = {why: served.ask(body) for why, body in cases.items()}
    assert {why: answer.status for why, answer in answers.items()} == dict.fromkeys(cases, 400)
    assert all(answer.body.isascii() and answer.body.count(b"\n") == 1 for answer in answers.values())
    assert served.ask(tree.request(5, 9)).status == 200


def test_404_for_an_origin_that_it_was_not_told_of(served, tree_of):
    for origin in ("log.example/other", "log.example/TEST", "log.example/test/"):
        assert served.ask(tree_of([b"x"], origin=origin).request(0, 1)).status == 404


def test_every_way_to_403(served, tree):
    served.ask(tree.request(0, 5))
    cases = forged(tree)
    assert {why: served.ask(body).status for why, body in cases.items()} == dict.fromkeys(cases, 403)


def test_409_has_the_size_that_it_knows(served, tree):
    """WTN-4."""

    def told(old: int, size: int) -> tuple[int, str, bytes]:
        answer = served.ask(tree.request(old, size))
        return answer.status, answer.type, answer.body

    assert told(3, 5) == (409, "text/x.tlog.size", b"0\n")
    served.ask(tree.request(0, 5))
    for old, size in ((0, 5), (4, 9), (0, 3)):
        assert told(old, size) == (409, "text/x.tlog.size", b"5\n")


def test_every_way_to_422_and_nothing_of_it_changes_what_it_knows(served, tree, fork):
    empty = {
        "an empty tree that is not": put_in(tree.request(0, 0), checkpoint_raw=signed(tree, 0, bytes(32))),
        "a proof from nothing": put_in(tree.request(0, 5), proof=(bytes(32),)),
    }
    assert {why: served.ask(body).status for why, body in empty.items()} == dict.fromkeys(empty, 422)
    assert served.get(f"/{origin_hash(tree.origin)}/checkpoint").status == 404
    served.ask(tree.request(0, 5))
    before = served.witness.checkpoint(tree.origin)
    cases = inconsistent(tree, fork)
    assert {why: served.ask(body).status for why, body in cases.items()} == dict.fromkeys(cases, 422)
    assert served.witness.checkpoint(tree.origin) == before
    assert {found.kind for found in served.witness.evidence} == {"split", "refused"}


def test_200_is_a_line_by_each_key_that_verifies(served, tree):
    """WTN-12."""
    for old, size in ((0, 0), (0, 1), (1, 1), (1, 5), (5, 40)):
        answer = served.ask(tree.request(old, size))
        assert (answer.status, answer.type) == (200, "text/plain; charset=utf-8")
        lines = witness.parse_response(answer.body)
        told = note.add(note.parse(tree.checkpoint(size)), lines)
        assert cosignature.together(told, [served.witness.keys]) == {NAME: NOW}
        assert len(lines) == 2


def test_503_while_its_clock_is_behind_and_health_says_so(served, tree):
    """WTN-7."""
    served.ask(tree.request(0, 5))
    assert served.get("/health").status == 200
    served.now[0] = NOW - 1
    answer = served.ask(tree.request(5, 9))
    assert (answer.status, answer.body.split(b":")[0]) == (503, b"clock")
    assert served.get("/health").status == 503
    assert b"clock" in served.get("/health").body
    served.now[0] = NOW
    assert served.ask(tree.request(5, 9)).status == 200
    assert served.get("/health").status == 200


def test_503_when_its_memory_was_set_back_and_no_path_of_ours_is_told(served, tree):
    """WTN-11."""
    served.ask(tree.request(0, 5))
    (served.state / origin_hash(tree.origin) / "checkpoint").chmod(0o644)
    other = Witness.open(served.state, COSIGNERS)
    with other._memory.step() as step:
        step._db.execute("DELETE FROM cosigned")
    answer = served.ask(tree.request(0, 5))
    assert answer.status == 503
    assert b"set back" in answer.body
    assert str(served.state).encode() not in answer.body


def test_the_exchange_of_others_over_http(serve, shared, tree):
    """The bytes that torchwood's test sends; two of them are refused for their form before their signature."""
    served = serve()
    told = json.loads((shared("vectors/torchwood-witness") / "add_checkpoint_sequence.json").read_text())
    served.witness.add_log([note.parse_vkey(told["log_vkey"])])
    for number, step in enumerate(told["steps"], start=1):
        answer = served.ask(step["request_body"].encode())
        assert answer.status == (400 if number == 2 else step["status_spec_v1"]), number


def test_our_vector_of_the_exchange_over_http(hall, tmp_path):
    told = json.loads((VECTORS / "witness" / "exchange.json").read_text())
    name = told["witness_vkey"].partition("+")[0]
    key = PrivateKey.from_seed(ED25519, bytes.fromhex(told["witness_seed"]))
    with Witness.beside(name, key, note.parse_vkey(told["log_vkey"]), tmp_path) as one:
        assert [note.format_vkey(key) for key in one.keys] == [told["witness_vkey"]]
        url = hall(Doorkeeper(one, Numbers(), lambda: told["time"]).doors(), limits=QUICK).url
        for number, step in enumerate(told["steps"]):
            answer = client.post(f"{url}/add-checkpoint", step["ask"].encode(), timeout=20, max_bytes=1 << 20)
            assert answer.status == step["status"], (number, step["why"], answer.body)
            assert answer.body.decode() == step.get("answer", answer.body.decode())
            assert (answer.type == "text/x.tlog.size") is (step["status"] == 409)
    assert {step["status"] for step in told["steps"]} == {200, 400, 403, 404, 409, 422}


# ── bodies ──


def test_the_largest_sensible_request_fits(served, tree):
    """63 hashes, and lines of ML-DSA-44 by many: only the log's own are looked at."""
    line = note.Signature("x" * 60, b"abcd", bytes(2_428))
    asked = witness.parse_request(tree.request(0, 5))
    lines = [
        *asked.signed.signatures,
        *[note.Signature(f"{line.name}{n}", line.key_id, line.payload) for n in range(17)],
    ]
    body = put_in(
        tree.request(0, 5), proof=(bytes(32),) * 63, checkpoint_raw=note.Note(asked.signed.text, tuple(lines)).raw
    )
    assert 58_000 < len(body) <= MAX_BODY
    assert served.ask(body).status == 422  # for the proof, which goes with nothing
    assert served.ask(put_in(body, proof=())).status == 200
    assert len(note.parse(served.witness.checkpoint(tree.origin)).signatures) == 3


def test_a_larger_one_is_413(served):
    assert served.ask(b"x" * (MAX_BODY + 1)).status == 413


def test_one_address_has_its_share_and_reading_is_free(serve, tree):
    served = serve(limits=Limits(rate=0.001, burst=2))
    assert [served.ask(b"x").status for _ in range(3)] == [400, 400, 429]
    assert served.get(f"/{origin_hash(tree.origin)}/checkpoint").status == 404
    assert served.get("/health").status == 200


# ── reading ──


def test_what_was_cosigned_last_is_served_under_the_hash_of_the_origin(served, tree):
    """WTN-13."""
    path = f"/{origin_hash(tree.origin)}/checkpoint"
    assert served.get(path).status == 404
    for old, size in ((0, 5), (5, 9)):
        served.ask(tree.request(old, size))
        answer = served.get(path)
        told, kept = checkpoint.open(answer.body, tree.key)
        assert (answer.status, told.size, answer.headers["cache-control"]) == (200, size, "no-store")
        assert cosignature.together(kept, [served.witness.keys]) == {NAME: NOW}
    for other in (
        path.upper(),
        path + "/",
        path[:-1],
        "/",
        "/checkpoint",
        f"/{'0' * 64}/checkpoint",
        "/add-checkpoint",
    ):
        assert served.get(other).status in (404, 405)
    served.witness.remove_log(tree.origin)
    assert served.get(path).status == 200  # what it cosigned, it cosigned


def test_its_numbers(serve, tree, fork):
    served = serve()
    served.ask(tree.request(0, 5))
    served.ask(fork.request(5, 5))
    told = served.get("/metrics").body.decode()
    assert 'pausectl_witness_size{origin="log.example/test"} 5.0' in told
    assert 'pausectl_witness_cosigned_seconds{origin="log.example/test"} 1.8e+09' in told
    assert 'pausectl_witness_trees_refused_total{kind="split",origin="log.example/test"} 1.0' in told
    again = Numbers()
    again.know(served.witness)
    assert b'pausectl_witness_size{origin="log.example/test"} 5.0' in again.text()


# ── at once ──


def test_of_racing_requests_over_http_one_history_comes_out(served, tree_of, tree):
    """WTN-6."""
    served.ask(tree.request(0, 4))
    forks = [tree_of([b"leaf-%d" % index for index in range(4)] + [b"fork %d" % n] * 8) for n in range(24)]
    start, answers = threading.Barrier(len(forks)), []

    def ask(one, size):
        start.wait()
        answers.append((served.ask(one.request(4, size)), one, size))

    threads = [threading.Thread(target=ask, args=(one, 5 + n % 7)) for n, one in enumerate(forks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    good = [(one, size) for answer, one, size in answers if answer.status == 200]
    assert len(good) == 1
    assert {answer.status for answer, _, _ in answers} <= {200, 409}
    [(one, size)] = good
    kept = checkpoint.parse(note.parse(served.witness.checkpoint(tree.origin)).text)
    assert (kept.size, kept.root) == (size, merkle.root(one.leaves[:size]))
