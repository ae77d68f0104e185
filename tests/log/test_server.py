# SPDX-License-Identifier: Apache-2.0
"""A log over HTTP: what readers fetch is what lies on disk, what comes in is in the tree when the answer says so."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from pausectl.history import receipt
from pausectl.history.reader import open_ledger
from pausectl.history.source import open_source
from pausectl.log.commit import Committer
from pausectl.log.server import Numbers, Reads, doors
from pausectl.log.storage import memory
from pausectl.net import client
from pausectl.net.door import Request
from pausectl.net.limits import Limits
from pausectl.wire import dsse, proof
from pausectl.wire.keys import ED25519, PrivateKey


class Served:
    """A log with its writer and its doors, on loopback."""

    def __init__(self, world, hall, tmp_path, stack: ExitStack, limits: Limits, **options) -> None:
        self.world = world
        self.log = stack.enter_context(world.create())
        self.gate = threading.Event()
        self.gate.set()
        self.asked = threading.Event()
        witnesses = world.witnesses(tmp_path / "witness")
        self.log.cosign(witnesses, world.now)

        def held(request: bytes) -> bytes:
            self.asked.set()
            assert self.gate.wait(30)
            return witnesses[0](request)

        numbers = Numbers()
        self.writer = Committer(
            self.log, [held, *witnesses[1:]], clock=lambda: world.now, watch=numbers.watch, **options
        )
        stack.enter_context(self.writer)
        stack.callback(self.gate.set)
        numbers.follow(self.writer)
        hall_ = hall(
            doors(self.log.store, self.writer, limits), limits=limits, metrics=numbers,
            health=lambda: self.writer.trouble,
        )  # fmt: skip
        self.url, self.close = hall_.url, hall_.close

    def add(self, body: bytes):
        return client.post(f"{self.url}/add", body, timeout=30, max_bytes=1 << 20)

    def get(self, path: str):
        return client.get(self.url + path, timeout=30, max_bytes=1 << 24)


@pytest.fixture
def served(world, hall, tmp_path):
    with ExitStack() as stack:
        opened = []

        def build(limits: Limits | None = None, **options) -> Served:
            opened.append(Served(world, hall, tmp_path, stack, limits or Limits(), **options))
            return opened[-1]

        yield build
        for each in opened:
            each.gate.set()
            each.close()


def test_an_envelope_in_its_proof_out(served, world):
    our = served()
    entry = world.entry(0)
    answer = our.add(entry)
    assert (answer.status, answer.type) == (200, "text/plain; charset=utf-8")
    made = proof.parse(answer.body)
    assert made.index == 2
    receipt.check(made, entry, world.agreement)
    assert our.add(entry).body.split(b"\n\n")[0] == answer.body.split(b"\n\n")[0]


def test_readers_over_http_see_what_readers_of_the_files_see(served, world):
    our = served()
    for number in range(5):
        assert our.add(world.entry(number)).status == 200
    over, beside = (
        list(open_ledger(open_source(place).fetch, world.agreement).entries())
        for place in (our.url, str(world.home / "log"))
    )
    assert over == beside
    assert len(over) == 7


def test_http_7_what_is_served_how(served, world):
    our = served()
    our.add(world.entry(0))
    found = our.get("/checkpoint")
    assert (found.status, found.headers["cache-control"]) == (200, "no-store")
    assert found.type == "text/plain; charset=utf-8"
    assert found.body == (world.home / "log" / "checkpoint").read_bytes()
    for path in ("tile/0/000.p/3", "tile/entries/000.p/3"):
        for _ in range(2):
            found = our.get(f"/{path}")
            assert found.body == (world.home / "log" / path).read_bytes()
            assert (found.type, found.headers["cache-control"]) == (
                "application/octet-stream", "public, max-age=31536000, immutable",
            )  # fmt: skip


STRAY = (
    "/tile/0/000", "/tile/0/0", "/tile/0/000.p/3/", "/tile/0/000.p/03", "/tile/0/000.p/0", "/tile/0/000.p/256",
    "/tile//0/000.p/3", "/tile/00/000.p/3", "/tile/64/000.p/3", "/tile/0/x000/000", "/tile/data/000.p/3",
    "/tile/0/../../checkpoint", "/tile/..%2f..%2fstate%2fhead", "/tile/%2e%2e/%2e%2e/state/head",
    "/tile/0/000.p/3%00", "/tile/0/000.p/%EF%BC%93", "/tile/0/000.p/3%0A", "/tile/", "/state/head", "//state/head",
    "/log.vkey", "/key/", "/key/../state/head", "/key/" + "a" * 64, "/key/" + "A" * 64, "/key/" + "a" * 63 + "%0a",
)  # fmt: skip


def test_http_8_no_other_path_leads_anywhere(served):
    our = served()
    assert {our.get(path).status for path in STRAY} == {404}


def test_a_key_is_served_by_its_digest(served, world):
    our = served()
    (world.home / "log" / "key").mkdir()
    (world.home / "log" / "key" / ("a" * 64)).write_bytes(b"a key")
    assert our.get("/key/" + "a" * 64).body == b"a key"


def _other(world) -> bytes:
    """Something that its signer may not say."""
    return world.entry(0, party="probe", signer=world.roll.log)


def _stranger(world) -> bytes:
    return dsse.sign(world.statement(0), PrivateKey.from_seed(ED25519, bytes(32))).raw


BAD = (
    (lambda _: b"", 400, b"malformed"),
    (lambda _: b"{}", 400, b"malformed"),
    (lambda _: b'{"payload":"' + b"A" * 60_000, 400, b"malformed"),
    (lambda world: world.entry(0) + b"\n", 400, b"malformed"),
    (lambda world: world.entry(0).replace(b'"sig":"', b'"sig":"A'), 400, b"malformed"),
    (_stranger, 403, b"is no key of this agreement"),
    (_other, 403, b"unauthorised"),
    (lambda _: bytes(65_536), 413, b"expected a body of at most 65535 bytes"),
)


def test_what_may_not_enter_is_told_why_in_one_line(served, world):
    our = served()
    for body, status, text in BAD:
        answer = our.add(body(world))
        assert answer.status == status, answer.body
        assert text in answer.body
        assert answer.body.count(b"\n") == 1
    assert our.log.size == 2


def test_http_4_a_borrowed_keyid_uses_up_nobodys_share(served, world):
    our = served(Limits(rate=0.001, burst=2))
    forged = world.entry(0)
    place = forged.index(b'"sig":"') + 7
    forged = forged[:place] + (b"B" if forged[place : place + 1] == b"A" else b"A") + forged[place + 1 :]
    assert [our.add(forged).status for _ in range(3)] == [403, 403, 429]
    # The stranger's address is used up, for good statements from there too; the party's share is whole elsewhere.
    assert our.add(world.entry(0)).status == 429


def test_a_party_that_submits_too_much_is_429_and_others_are_not(served, world):
    our = served(Limits(rate=0.001, burst=2))
    assert [our.add(world.entry(number)).status for number in range(3)] == [200, 200, 429]
    answer = our.add(world.entry(3))
    assert (answer.status, int(answer.headers["retry-after"]) > 1) == (429, True)
    window = {"sequence": 0}
    assert our.add(world.entry(party="aurora", **window)).status != 429
    assert our.get("/checkpoint").status == 200


def test_a_full_queue_is_503_and_costs_no_share(served, world):
    our = served(Limits(rate=0.001, burst=3), queue=2)
    our.gate.clear()
    with ThreadPoolExecutor(8) as pool:
        first = [pool.submit(our.add, world.entry(number)) for number in range(2)]
        while our.writer.waiting < 2:
            threading.Event().wait(0.01)
        refused = [our.add(world.entry(number)) for number in range(2, 7)]
        assert our.get("/tile/0/000.p/2").status == 200  # readers wait for nobody
        our.gate.set()
        assert [each.result().status for each in first] == [200, 200]
    assert {each.status for each in refused} == {503}
    assert {each.headers["retry-after"] for each in refused} == {"1"}
    assert our.add(world.entry(2)).status == 200


def test_two_hundred_at_once_are_all_answered_with_proofs_that_hold(served, world):
    our = served()
    entries = [world.entry(number) for number in range(200)]
    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(our.add, entries))
    assert {each.status for each in answers} == {200}
    for entry, answer in zip(entries, answers, strict=True):
        receipt.check(proof.parse(answer.body), entry, world.agreement)
    numbers = our.get("/metrics").body.decode()
    commits = float(numbers.split("pausectl_log_commit_seconds_count ")[1].split("\n")[0])
    assert commits < 100
    assert 'pausectl_log_entries_total{new="yes"} 200.0' in numbers
    assert "pausectl_log_size 202.0" in numbers


def test_while_witnesses_are_gone_health_says_so_and_reads_go_on(served, world, monkeypatch):
    our = served()
    shown = our.get("/checkpoint").body
    monkeypatch.setattr(our.writer, "_witnesses", [_gone])
    answer = our.add(world.entry(0))
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert b"no quorum of witnesses yet" in answer.body
    assert our.get("/health").status == 503
    assert our.get("/checkpoint").body == shown


def _gone(_: bytes) -> bytes:
    raise client.Unavailable("gone")


def test_the_memory_of_tiles_is_bounded_and_never_wrong(world):
    store = memory.store()
    tiles = {f"tile/0/{number:03}": bytes([number]) * 100 for number in range(20)}
    for path, data in tiles.items():
        store.objects.put(path, data)
    reads = Reads(store, cache_bytes=450)
    for _ in range(2):
        for path, data in tiles.items():
            answer = reads.tile(Request("GET", f"/{path}"))
            answer = answer.result() if isinstance(answer, Future) else answer
            assert answer.body == data
            assert reads._bytes <= 450


def test_an_empty_log_has_no_checkpoint_yet(world):
    answer = Reads(memory.store()).checkpoint(Request("GET", "/checkpoint")).result()
    assert answer.status == 404
