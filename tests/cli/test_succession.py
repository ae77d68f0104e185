# SPDX-License-Identifier: Apache-2.0
"""`log succeed`, `verify --before` and `lab attest --before`: real logs on disk, one after another (SUC-5)."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import pytest

from pausectl.agreement.types import instant
from pausectl.errors import Refused
from pausectl.history.chain import before, link
from pausectl.history.reader import open_ledger
from pausectl.history.source import open_source
from pausectl.log import succession
from pausectl.log.log import Log
from pausectl.sim.demo import DurableLedger, write_keys
from pausectl.sim.terms import Roll
from pausectl.sim.world import World
from pausectl.wire import dsse, note

ROLL = Roll(successors=("archive", "attic"))


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    """A pause of two windows in a log on disk; `place` has it, the agreement and everybody's key."""
    place = tmp_path_factory.mktemp("w") / "first"
    made = World(windows=2, pause_at=None, roll=ROLL, open_ledger=partial(DurableLedger, place))
    made.run()
    made.ledger.close()
    made.place = place.parent
    (place.parent / "agreement.json").write_bytes(made.agreement.raw + b"\n")
    write_keys(place.parent / "keys", made.agreement, made.keys)
    return made


@pytest.fixture
def options(world):
    """`options(party)`: what an operator gives."""
    later = instant(world.now + 3_600)
    witnesses = [word for name in ROLL.witnesses for word in ("--witness", world.place / "keys" / f"{name}.key")]
    return lambda party: ("--key", world.place / "keys" / f"{party}.key", *witnesses, "--now", later)


@pytest.fixture
def trusted(world) -> tuple[object, ...]:
    return ("--agreement", world.place / "agreement.json")


@pytest.fixture
def old(world) -> Path:
    return world.place / "first" / "log"


@pytest.fixture
def new(run, world, trusted, options, old, tmp_path) -> Path:
    """The home of a log that has just succeeded the first."""
    done = run("log", "succeed", tmp_path / "new", "--from", old, *trusted, *options("archive"))
    assert done.code == 0, done.err
    return tmp_path / "new"


def opened(place: Path, world: World):
    return open_ledger(open_source(str(place)).fetch, world.agreement)


def test_suc_5_a_log_that_goes_on(run, world, trusted, old, new):
    ledger, first = opened(new / "log", world), opened(old, world)
    assert ledger.agreement.origin == "archive.example/pause"
    entries = [raw for _, raw in ledger.entries()]
    assert entries[0] == world.agreement.raw
    said = before(ledger)
    assert (said.origin, said.end.checkpoint, said.index) == (
        "log.example/pause", first.head.checkpoint, first.size + 1
    )  # fmt: skip
    assert len(note.parse(said.end.raw).signatures) == 1 + world.agreement.document.witnesses.quorum
    assert link(ledger, [first]).excess == []
    whole = run("verify", new / "log", "--before", old, *trusted, "--json")
    assert (whole.code, set(whole.json["verdicts"].values())) == (0, {"CONSISTENT"})
    (told,) = whole.json["log"]["before"]
    assert (told["origin"], told["size"], told["at_hand"]) == ("log.example/pause", first.size, True)
    alone = run("verify", new / "log", *trusted)
    assert alone.code == 3
    assert "before it log.example/pause" in alone.out
    assert "which is not at hand" in alone.out
    assert "SUC-4" in alone.out


def test_a_statement_in_the_new_log_goes_on_from_the_numbers_of_the_old(
    run, world, trusted, options, old, new, tmp_path
):
    body, envelope = tmp_path / "body.json", tmp_path / "it.envelope"
    body.write_text(json.dumps({"action": "pause", "reason": "our own", "term_windows": 1}))
    words = ("--key", world.place / "keys" / "aurora.key", "--ledger", new / "log", "-o", envelope)
    alone = run("lab", "attest", "declaration", body, *trusted, *words)
    assert (alone.code, "log.example/pause, is not at hand" in alone.error) == (3, True)
    assert run("lab", "attest", "declaration", body, *trusted, *words, "--before", old).code == 0
    said = json.loads(dsse.parse(envelope.read_bytes()).payload)["predicate"]["header"]
    assert (said["log"], said["sequence"]) == ("archive.example/pause", 0)
    run("lab", "attest", "declaration", body, *trusted, *words[:-1], tmp_path / "x", "--before", old)
    done = run("lab", "submit", envelope, "--log", new, *options("archive"))
    assert done.code == 0, done.err
    assert run("verify", new / "log", "--before", old, *trusted).code == 0

    model = tmp_path / "model.json"
    model.write_text(json.dumps({
        "created_at": instant(world.now), "custody_log": None, "parents": [], "precision_variants": ["bf16"],
        "served_since_at": None, "training_run": "aurora-r1", "weights_root": "ab" * 32,
    }))  # fmt: skip
    done = run("lab", "attest", "model", model, *trusted, *words[:-1], tmp_path / "model", "--before", old)
    assert done.code == 0, done.err
    header = json.loads(dsse.parse((tmp_path / "model").read_bytes()).payload)["predicate"]["header"]
    assert header["sequence"] == 1  # its first model is in the old log


def test_three_logs_in_bundles(run, world, trusted, options, old, new, tmp_path):
    words = ("--from", new / "log", "--before", old, *trusted, *options("attic"))
    done = run("log", "succeed", tmp_path / "third", *words)
    assert (done.code, "attic.example/pause goes on from archive.example/pause" in done.err) == (0, True)
    zips = []
    for number, place in enumerate((old, new / "log", tmp_path / "third" / "log")):
        zips.append(tmp_path / f"{number}.zip")
        assert run("bundle", place, *trusted, "-o", zips[-1]).code == 0
    done = run("verify", zips[2], "--before", zips[0], "--before", zips[1], *trusted, "--offline", "--json")
    assert done.code == 0, done.err
    assert [log["origin"] for log in done.json["log"]["before"]] == ["log.example/pause", "archive.example/pause"]
    some = run("verify", zips[2], "--before", zips[1], *trusted)
    assert (some.code, "log.example/pause, is not at hand" in some.out) == (3, True)
    without = run("log", "succeed", tmp_path / "fourth", "--from", new / "log", *trusted, *options("attic"))
    assert (without.code, "log.example/pause, is not at hand" in without.error) == (2, True)


def test_a_new_log_is_opened_checked_and_written_like_any_other(run, world, trusted, options, new):
    assert run("log", "fsck", new, *trusted).code == 0
    assert run("log", "fsck", new / "log", *trusted).code == 0
    assert run("log", "cosign", new, *options("archive")).code in (0, 2)
    with Log.open(new, world.keys["archive"]) as log:
        assert log.agreement.origin == "archive.example/pause"
        entry = log.store.objects.get(f"tile/entries/000.p/{log.size}") if log.size < 256 else b""
        assert entry
        raw = (new / "succession.envelope").read_bytes()
        with pytest.raises(Refused, match="entry 1 of a successor"):
            log.add([raw])
    (new / "succession.envelope").write_bytes(world.agreement.raw)
    with pytest.raises(Refused, match="entry 1 is not the statement"):
        Log.open(new, world.keys["archive"])


@pytest.mark.parametrize(
    ("party", "text"),
    [("ledgerco", "expected the key of a log that the agreement names as a successor"), ("aurora", "as a successor")],
)
def test_who_may_not_succeed(run, world, trusted, options, old, tmp_path, party, text):
    done = run("log", "succeed", tmp_path / "new", "--from", old, *trusted, *options(party))
    assert (done.code, text in done.error) == (2, True)
    assert not (tmp_path / "new").exists()


def test_not_before_the_log_that_it_follows(run, world, trusted, options, new, old, tmp_path):
    words = ("--from", new / "log", "--before", old, *trusted, *options("archive"))
    done = run("log", "succeed", tmp_path / "again", *words)
    assert (done.code, "does not come after archive.example/pause" in done.error) == (2, True)


def test_where_there_is_a_log(run, trusted, options, old, new):
    done = run("log", "succeed", new, "--from", old, *trusted, *options("archive"))
    assert (done.code, "there is a log here already" in done.error) == (2, True)


def test_suc_5_an_old_log_of_which_an_entry_cannot_be_read(run, world, trusted, options, old, tmp_path):
    copy = Path(shutil.copytree(old, tmp_path / "copy"))
    for bundle in (copy / "tile" / "entries").rglob("*.p/*"):
        raw = bundle.read_bytes()
        bundle.chmod(0o644)
        bundle.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    done = run("log", "succeed", tmp_path / "new", "--from", copy, *trusted, *options("archive"))
    assert done.code == 4
    assert not (tmp_path / "new" / "log" / "checkpoint").exists()


def test_the_same_old_log_gives_the_same_statement(world, old):
    """So that a successor that is begun twice is begun once."""
    ledger, key = opened(old, world), world.keys["archive"]
    view = succession.successor(world.agreement, key)
    assert view.origin == "archive.example/pause"
    assert succession.begin(ledger, [], view, key).raw == succession.begin(ledger, [], view, key).raw
