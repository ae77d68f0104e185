# SPDX-License-Identifier: Apache-2.0
"""A log finds who has it all, and says so in its ledger: LOG-36, LOG-37, LOG-38."""

from __future__ import annotations

import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from pausectl.history.reader import open_ledger, sight
from pausectl.history.source import DirectorySource
from pausectl.log import marks, mirrors
from pausectl.log.commit import Committer
from pausectl.log.index import Book
from pausectl.log.mirrors import Mirrors
from pausectl.mirror.compare import place
from pausectl.mirror.follow import Mirror
from pausectl.mirror.trust import Cosigner, Trust
from pausectl.sim import terms
from pausectl.sim.terms import Roll, demo_key
from pausectl.verify.audit import verify
from pausectl.wire import cosignature, note
from pausectl.wire.keys import MLDSA44

HOUR = 3_600
POOLS = ("pool", "quay", "reef")


@pytest.fixture(params=[False, True], ids=["ed25519", "both suites"])
def mirrored(world, request):
    """The world's log, under an agreement that asks for two of three mirrors."""
    roll = replace(Roll(), mirrors=POOLS, post_quantum=request.param)
    keys = {name: terms.demo_key(name) for name in terms.names(roll)}
    world.roll, world.keys, world.agreement = roll, keys, terms.agree(roll, keys)
    return world


def witnesses(world):
    """Each cosigns whatever it is asked about, at the world's time."""

    def one(principal):
        keys = world.agreement.witness_pairs[principal]
        signers = [demo_key(principal, key.public.suite) for key in keys]

        def cosign(request):
            asked = request.partition(b"\n\n")[2]
            text = note.parse(asked).text
            lines = [cosignature.cosign(text, keys[0].name, signer, world.now) for signer in signers]
            return "".join(f"{note.format_signature(line)}\n" for line in lines).encode()

        return cosign

    return [one(principal) for principal in world.agreement.witness_pairs]


def created(world):
    second = demo_key(world.roll.log, MLDSA44) if world.roll.post_quantum else None
    return world.create(second=second) if second else world.create()


def copies(world, tmp_path, names=POOLS[:2]) -> list[bytes]:
    """What mirrors of these names show after a visit."""
    found = []
    for name in names:
        trust = Trust.of(world.agreement)
        signers = [demo_key(name, suite) for suite in ("ed25519", MLDSA44)[: 1 + world.roll.post_quantum]]
        with Mirror(tmp_path / name, trust, Cosigner(f"{name}.example", signers, trust)) as mirror:
            mirror.follow(DirectorySource(world.home / "log"), world.now)
            found.append((mirror.memory.public / "checkpoint").read_bytes())
    return found


def all_marks(world):
    """(index, sighting) of every mark in the ledger."""
    ledger = open_ledger(DirectorySource(world.home / "log").fetch, world.agreement)
    found = [(index, marks.read(raw, world.agreement)) for index, raw in ledger.entries()]
    return [(index, sight(each.checkpoint.encode(), world.agreement)) for index, each in found if each]


def test_a_mark_shows_that_mirrors_have_what_is_published(mirrored, tmp_path):
    world = mirrored
    with created(world) as log:
        log.add([world.entry(0)])
        log.cosign(witnesses(world), world.now)
        [(_, plain)] = all_marks(world)
        assert plain.mirrored is None
        world.now += 60
        shown = copies(world, tmp_path)
        log.mirrors = lambda: shown
        assert log.mark_due_at == 0
        log.cosign(witnesses(world), world.now)
        index, seen = all_marks(world)[-1]
        assert (index, seen.checkpoint.size, seen.mirrored) == (3, 3, world.now)
        names = [line.name for line in note.parse(seen.raw).signatures]
        suites = 1 + world.roll.post_quantum
        assert len(names) == suites * (1 + world.agreement.document.witnesses.quorum + 2)
        for _ in range(3):  # it does not feed on itself, whatever mirrors show then
            world.now += 2 * HOUR
            shown[:] = copies(world, tmp_path)
            assert log.mark_due_at is None
            log.cosign(witnesses(world), world.now)
        assert all_marks(world)[-1][0] == 3
    report = verify(DirectorySource(world.home / "log").fetch, world.agreement)
    assert report.available == (3, seen.mirrored)
    assert not [
        each for each in report.judgement.findings if each.rule.startswith("LED") and each.outcome == "VIOLATED"
    ]


def test_the_next_one_waits_for_the_interval(mirrored, tmp_path):
    world = mirrored
    with created(world) as log:
        log.cosign(witnesses(world), world.now)
        shown = copies(world, tmp_path)
        log.mirrors = lambda: shown
        log.cosign(witnesses(world), world.now)
        first = all_marks(world)[-1]
        assert first[1].mirrored
        log.add([world.entry(0)])
        log.cosign(witnesses(world), world.now)
        shown[:] = copies(world, tmp_path)
        assert log.mark_due_at == first[1].mirrored + HOUR
        world.now += HOUR - 1
        log.cosign(witnesses(world), world.now)
        assert [index for index, seen in all_marks(world) if seen.mirrored] == [first[0]]
        shown[:] = copies(world, tmp_path)
        world.now += 1
        log.cosign(witnesses(world), world.now)
        assert len([index for index, seen in all_marks(world) if seen.mirrored]) == 2


def test_what_is_no_quorum_of_mirrors_is_none(mirrored, tmp_path):
    world = mirrored
    with created(world) as log:
        log.cosign(witnesses(world), world.now)
        good = copies(world, tmp_path)
        signed = note.parse(good[1])
        last = signed.signatures[-1]
        failing = replace(last, payload=last.payload[:-1] + bytes([last.payload[-1] ^ 1]))
        half = note.Note(signed.text, signed.signatures[:-1]).raw  # one of two suites, or no line at all
        other = note.Note(signed.text.replace("\n2\n", "\n1\n"), signed.signatures).raw
        book = log._index.book
        for shown in (
            [], good[:1], [good[0], good[0]], [good[0], note.Note(signed.text, (*signed.signatures[:-1], failing)).raw],
            [good[0], half], [good[0], b"nonsense"], [good[0], other], [b"", log.checkpoint],
        ):  # fmt: skip
            assert mirrors.vouched(log.checkpoint, shown, world.agreement, book) is None
        assert mirrors.vouched(log.checkpoint, [b"nonsense", *good], world.agreement, book) is not None
        assert mirrors.vouched(log.checkpoint, good, world.agreement, replace(book, mirror_size=2)) is None


def test_when_one_is_due():
    assert mirrors.due_at(Book(last_claim=-1), HOUR) is None
    assert mirrors.due_at(Book(last_claim=0), HOUR) == 0
    assert mirrors.due_at(Book(last_claim=7, mirror_size=8, mirror_by=100), HOUR) is None
    assert mirrors.due_at(Book(last_claim=8, mirror_size=8, mirror_by=100), HOUR) == 100 + HOUR


def test_the_index_remembers_it_and_finds_it_again(mirrored, tmp_path):
    world = mirrored
    with created(world) as log:
        log.cosign(witnesses(world), world.now)
        shown = copies(world, tmp_path)
        log.mirrors = lambda: shown
        log.cosign(witnesses(world), world.now)
        book = log._index.book
        assert book.mirror_size == 2
    for gone in (False, True):
        if gone:
            for file in (world.home / "state").glob("index.db*"):
                file.unlink()
        second = demo_key(world.roll.log, MLDSA44) if world.roll.post_quantum else None
        with world.open(**({"second": second} if second else {})) as log:
            assert replace(log._index.book, recent=book.recent) == book


def test_mirrors_are_asked_over_http_and_wake_the_writer(mirrored, tmp_path):
    """A log that nobody writes to says all the same that mirrors have it."""
    world, asked = mirrored, []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            asked.append(self.path)
            body = shown.get(self.path)
            self.send_response(200 if body else 404)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    shown: dict[str, bytes] = {}
    urls = [f"http://127.0.0.1:{server.server_port}/{name}/" for name in (*POOLS[:2], "nobody")]
    with created(world) as log:
        log.cosign(witnesses(world), world.now)
        writer = Committer(log, witnesses(world), clock=lambda: world.now)
        others = Mirrors(urls, terms.ORIGIN, writer.nudge, every=0.05)
        log.mirrors = others.shown
        with writer, others:
            for name, raw in zip(POOLS, copies(world, tmp_path), strict=False):
                shown[f"/{name}/{place(terms.ORIGIN)}/checkpoint"] = raw
            until = time.monotonic() + 20
            while log._index.book.mirror_size == 0 and time.monotonic() < until:
                time.sleep(0.05)
    server.shutdown()
    thread.join()
    server.server_close()
    assert [seen.mirrored for _, seen in all_marks(world) if seen.mirrored] == [world.now]
    assert f"/nobody/{place(terms.ORIGIN)}/checkpoint" in asked
