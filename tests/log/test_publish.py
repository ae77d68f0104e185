# SPDX-License-Identifier: Apache-2.0
"""LOG-19 to LOG-24: cosignatures, marks, and what readers are shown meanwhile, with real witnesses."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from pausectl.errors import Refused, Unavailable
from pausectl.history.decode import decode
from pausectl.history.reader import open_ledger, sight
from pausectl.history.source import DirectorySource
from pausectl.log import marks
from pausectl.log.fsck import fsck
from pausectl.log.growth import partials
from pausectl.log.index import Book
from pausectl.log.sequencer import KEPT
from pausectl.predicates import base
from pausectl.predicates.base import Header
from pausectl.predicates.checkpoint import Mark
from pausectl.sim import terms
from pausectl.wire import checkpoint, cosignature, dsse, merkle, note, witness
from pausectl.wire.note import Note

HOUR = 3600


def ledger(world):
    return open_ledger(DirectorySource(world.home / "log").fetch, world.agreement)


def marks_in(world) -> list[tuple[int, Mark]]:
    found = []
    for index, raw in ledger(world).entries():
        claim = decode(raw, world.agreement.keys).claim
        if isinstance(claim, Mark):
            found.append((index, claim))
    return found


@pytest.fixture
def witnesses(world, tmp_path):
    return world.witnesses(tmp_path / "witnesses")


@pytest.fixture
def log(world):
    with world.create() as made:
        yield made


def proof_from(log, old: int):
    tiles = log._sequencer.tiles
    return merkle.prove_consistency(old, tiles.size, tiles.read)


def answering(answer: bytes):
    return lambda _: answer


def refusing(error):
    def ask(request):
        raise error

    return ask


# ── cosigning ──


def test_readers_take_a_cosigned_log(world, log, witnesses):
    log.add([world.entry(0)])
    final = log.cosign(witnesses, world.now)
    assert final == log.checkpoint == (world.home / "log/checkpoint").read_bytes()
    assert ledger(world).size == log.size == 3
    assert log.complaints == ()
    assert fsck(world.home, world.agreement) == []


def test_a_quorum_is_enough_and_the_others_are_named(world, log, witnesses):
    """Whatever one of them does, the rest is asked."""
    answers = [
        refusing(Refused("closed today")),
        refusing(Unavailable("no route to host")),
        answering(b"<html>"),
        answering(b""),
        answering(witness.format_response([note.Signature("stranger", bytes(4), b"x")])),
        answering(witness.format_conflict(99)),
    ]
    for answer in answers:
        log.cosign([answer, *witnesses[1:]], world.now)
        sight(log.checkpoint, world.agreement)
        assert all(complaint.startswith("witness 1 of 4: ") for complaint in log.complaints)
        assert log.complaints
    assert "99 entries of this log, which has 2" in log.complaints[0]


def test_without_a_quorum_nothing_is_published_and_it_says_who_is_missing(world, log, witnesses):
    before = log.checkpoint
    with pytest.raises(Unavailable) as caught:
        log.cosign([witnesses[0], witnesses[0], witnesses[1], refusing(Refused("closed today"))], world.now)
    assert "2 of the 3 required (wharf, xylem; missing: yarrow, zephyr)" in str(caught.value)
    assert "witness 4 of 4: closed today" in str(caught.value)
    assert log.checkpoint == before == (world.home / "log/checkpoint").read_bytes()
    log.cosign(witnesses, world.now)


def test_only_verified_lines_of_the_agreements_witnesses_are_published(world, log, witnesses):
    """LOG-19: a line of a stranger is dropped, one in a witness's name that fails is that witness's answer gone."""
    stranger = terms.demo_key("stranger")

    def generous(request):
        text = witness.parse_request(request).signed.text
        extra = cosignature.cosign(text, "stranger.example", stranger, world.now)
        return witness.format_response([*witness.parse_response(witnesses[0](request)), extra])

    def forging(request):
        text = witness.parse_request(request).signed.text
        good = cosignature.cosign(text, "xylem.example", world.keys["xylem"], world.now)
        return witness.format_response([replace(good, payload=(1).to_bytes(8, "big") + good.payload[8:])])

    final = log.cosign([generous, *witnesses[1:]], world.now)
    assert b"stranger" not in final
    assert b"wharf.example" in final
    log.add([world.entry(0)])
    final = log.cosign([witnesses[0], forging, *witnesses[2:]], world.now)
    assert b"xylem.example" not in final
    assert "does not verify" in log.complaints[0]


def test_a_witness_that_remembers_another_size_is_asked_again_from_there(world, log, witnesses):
    """What it said is remembered for it alone, so that the next round costs one request, also after a start."""
    asked = []

    def listening(request):
        asked.append(witness.parse_request(request).old_size)
        return witnesses[3](request)

    log.add([world.entry(n) for n in range(3)])
    log.cosign(witnesses, world.now)
    log.add([world.entry(3)])
    log.cosign([*witnesses[:3], refusing(Unavailable("down"))], world.now)
    log.add([world.entry(4)])
    log.cosign([*witnesses[:3], listening], world.now)
    assert asked == [5]
    log.add([world.entry(5)])
    witnesses[3](witness.format_request(witness.Request(7, proof_from(log, 7), log._sequencer.head)))
    asked.clear()
    log.cosign([*witnesses[:3], listening], world.now)
    assert asked == [7, 8]
    assert log.complaints == ()
    assert b"zephyr.example" in log.checkpoint


def test_a_witness_is_not_asked_for_ever(world, log, witnesses):
    asked = []

    def moving(request):
        asked.append(request)
        return witness.format_conflict(len(asked) % 2)

    log.cosign([*witnesses[1:], moving], world.now)
    assert len(asked) == 4  # twice for the checkpoint, twice for the one with the mark
    assert "witness 4 of 4: says again" in log.complaints[0]


def test_witnesses_get_the_logs_own_line_only(world, log, witnesses):
    log.cosign(witnesses, world.now)
    asked = []

    def listening(request):
        asked.append(witness.parse_request(request).signed.signatures)
        return witnesses[0](request)

    log.cosign([listening, *witnesses[1:]], world.now)
    assert [[line.name for line in lines] for lines in asked] == [[terms.ORIGIN]]


def test_a_log_that_was_closed_goes_on_with_its_marks(world, witnesses):
    with world.create() as log:
        log.cosign(witnesses, world.now)
        cosigned = log.checkpoint
    with world.open() as log:
        assert log.checkpoint == cosigned == (world.home / "log/checkpoint").read_bytes()
        log.add([world.entry(0)])
        world.now += HOUR
        log.cosign(witnesses, world.now)
    (world.home / "state/index.db").unlink()
    with world.open() as log:
        log.add([world.entry(1)])
        world.now += HOUR
        log.cosign(witnesses, world.now)
    assert [(index, claim.header.sequence) for index, claim in marks_in(world)] == [(1, 0), (3, 1), (5, 2)]


# ── what readers are shown ──


def shown(home) -> bytes:
    return (home / "log/checkpoint").read_bytes()


def partial_files(home) -> set[str]:
    return {path.relative_to(home / "log").as_posix() for path in (home / "log").rglob("*.p/*")}


def test_readers_go_on_seeing_the_last_cosigned_checkpoint(world, log, witnesses):
    """LOG-24: whatever is added, refused to be cosigned, or opened again."""
    log.cosign(witnesses, world.now)
    before = shown(world.home)
    log.add([world.entry(0)])
    with pytest.raises(Unavailable):
        log.cosign(witnesses[:2], world.now)
    log.add([world.entry(n) for n in range(1, 4)])
    log.close()
    with world.open() as again:
        assert (again.size, again.cosigned) == (6, True)
        assert again.checkpoint == before == shown(world.home)
        assert ledger(world).size == 2
        assert [index for index, _ in ledger(world).entries()] == [0, 1]
        assert fsck(world.home, world.agreement) == fsck(world.home / "log", world.agreement) == []
        assert again.cosign(witnesses, world.now) == shown(world.home)
    assert ledger(world).size == 6


def test_a_log_that_never_had_a_quorum_shows_what_it_signed(world, log, witnesses):
    """LOG-24."""
    for size in range(2, 5):
        log.add([world.entry(size)])
        assert checkpoint.open(shown(world.home), world.agreement.log_key)[0].size == size
        assert not log.cosigned
        with pytest.raises(Unavailable):
            log.cosign(witnesses[:2], world.now)
    log.close()
    with world.open() as again:
        again.add([world.entry(9)])
        assert checkpoint.open(shown(world.home), world.agreement.log_key)[0].size == 5
        again.cosign(witnesses, world.now)
        assert again.cosigned


def test_witnesses_are_asked_about_the_head_and_not_about_what_is_shown(world, log, witnesses):
    log.cosign(witnesses, world.now)
    log.add([world.entry(0)])
    log.close()
    asked = []

    def listening(request):
        asked.append(witness.parse_request(request))
        return witnesses[0](request)

    with world.open() as again:
        again.cosign([listening, *witnesses[1:]], world.now)
    assert [(request.old_size, request.checkpoint.size) for request in asked] == [(2, 3)]


def test_a_shown_checkpoint_that_is_lost_is_replaced_by_what_was_signed(world, log, witnesses):
    log.cosign(witnesses, world.now)
    log.add([world.entry(0)])
    log.close()
    (world.home / "log/checkpoint").unlink()
    with world.open() as again:
        assert checkpoint.open(shown(world.home), world.agreement.log_key)[0].size == 3
        assert not again.cosigned


def test_partial_tiles_stay_for_what_is_shown_and_was_lately_and_for_the_head(world, log, witnesses):
    """LOG-8, and not those of commits that were never shown; first in one process, then in a new one at every step."""
    log.cosign(witnesses, world.now)
    published, number = [1, 2], 0
    for _ in range(3):
        for _ in range(2):
            log.add([world.entry(number)])
            number += 1
            assert partial_files(world.home) == set().union(*map(partials, {*published, log.size}))
        log.cosign(witnesses, world.now)
        published.append(log.size)
    log.close()
    for waiting in (1, 20, 3, *[1] * KEPT):
        for _ in range(waiting):
            with world.open() as again:
                again.add([world.entry(number)])
            number += 1
        with world.open() as again:
            wanted = set().union(*map(partials, {*published[-KEPT:], again.size}))
            assert partial_files(world.home) == wanted
            again.cosign(witnesses, world.now)
            published.append(again.size)
            assert fsck(world.home, world.agreement) == []
    assert ledger(world).size == number + 2


def test_readers_can_read_at_every_system_call(world, log, witnesses, in_child, tmp_path):
    """LOG-24: killed anywhere between an entry and the quorum for the mark that covers it, before and after a start."""
    log.cosign(witnesses, world.now)
    log.close()
    at, finished, sizes = 0, False, set()
    while not finished:
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(world.home, copy / "home")
        shutil.copytree(tmp_path / "witnesses", copy / "witnesses")
        home, asked = copy / "home", world.witnesses(copy / "witnesses", lambda: world.now + HOUR)

        def work(disk, ack, home=home, asked=asked):
            with world.open(home, disk=disk) as doomed:
                doomed.add([world.entry(0)])
                doomed.cosign(asked, world.now + HOUR)

        _, finished = in_child(at, work)
        for _ in range(2):
            seen = open_ledger(DirectorySource(home / "log").fetch, world.agreement)
            assert len(list(seen.entries())) == seen.size
            with world.open(home) as again:
                assert again.cosigned
        assert fsck(home, world.agreement) == []
        sizes.add(seen.size)
        at += 1
    assert sizes == {2, 3, 4}
    assert at > 50


# ── marks ──


def test_a_mark_has_the_logs_line_and_the_earliest_quorum(world, log, tmp_path):
    """LOG-20: by time, then by name; from 4 of 4 it takes 3."""
    times = [iter([first, 40]) for first in (30, 10, 20, 10)]
    late = [
        world.witnesses(tmp_path / "witnesses", lambda own=own: world.now + next(own))[place]
        for place, own in enumerate(times)
    ]
    log.cosign(late, world.now)
    [(index, mark)] = marks_in(world)
    lines = note.parse(mark.checkpoint.encode()).signatures
    assert [line.name for line in lines] == [terms.ORIGIN, "xylem.example", "zephyr.example", "yarrow.example"]
    seen = sight(mark.checkpoint.encode(), world.agreement)
    assert (seen.checkpoint.size, seen.first, seen.by) == (1, world.now + 10, world.now + 20)
    assert index == 1
    assert mark.header == Header(
        agreement=world.agreement.id, log=terms.ORIGIN, party="ledgerco", sequence=0, stream="marks", window=None
    )


def test_a_mark_is_written_when_its_time_has_come_and_something_is_to_be_marked(world, log, witnesses):
    """LOG-21, LOG-36."""
    sizes = []

    def step(seconds, entries=()):
        world.now += seconds
        log.add([world.entry(n) for n in entries])
        log.cosign(witnesses, world.now)
        sizes.append(log.size)

    step(0)  # the agreement, and the first mark
    step(0)
    step(HOUR)
    step(10 * HOUR)  # a mark never calls for another mark
    assert sizes == [2, 2, 2, 2]
    step(1, [0])  # long after the last mark
    step(0, [1])  # not long after it
    step(HOUR - 2, [])
    assert sizes[4:] == [4, 5, 5]
    step(2)
    assert sizes[-1] == 6
    step(HOUR)
    assert sizes[-1] == 6
    assert [(index, claim.header.sequence) for index, claim in marks_in(world)] == [(1, 0), (3, 1), (5, 2)]
    assert ledger(world).size == 6  # the head covers the mark


def test_the_first_time_that_would_fall_back_is_left_out_of_a_mark(world, log, witnesses):
    """LOG-20: one witness whose clock went wrong does not stop the ledger's time, as readers ignore marks that fall."""
    log.cosign(witnesses, world.now)
    world.now += HOUR
    log.add([world.entry(0)])
    lying = terms.demo_key("wharf")

    def early(request):
        text = witness.parse_request(request).signed.text
        return witness.format_response([cosignature.cosign(text, "wharf.example", lying, 1)])

    log.cosign([early, *witnesses[1:]], world.now)
    names = [line.name for line in note.parse(marks_in(world)[-1][1].checkpoint.encode()).signatures]
    assert names == [terms.ORIGIN, "xylem.example", "yarrow.example", "zephyr.example"]
    world.now += HOUR
    log.add([world.entry(1)])
    log.cosign([early, *witnesses[1:3], refusing(Refused("closed"))], world.now)
    assert "no mark" in log.complaints[-1]
    assert len(marks_in(world)) == 2


def test_a_quorum_whose_time_would_fall_back_is_no_mark(world, log):
    """LOG-20: the smallest of its times may have risen, the one that counts may not fall."""
    text = note.parse(log.checkpoint).text
    lines = [
        cosignature.cosign(text, key.name, world.keys[name], world.now + 15)
        for name, key in world.agreement.witness_keys.items()
    ]
    signed = note.add(note.parse(log.checkpoint), lines)
    last = Book(mark_first=world.now + 10, mark_by=world.now + 30)
    assert marks.minimal(signed, world.agreement, last) is None
    assert marks.minimal(signed, world.agreement, replace(last, mark_by=world.now + 15)) is not None
    assert marks.minimal(signed, world.agreement, replace(last, mark_by=0, mark_first=world.now + 16)) is None


def test_due_in_numbers():
    assert not marks.due(Book(), 10, 0)
    assert marks.due(Book(last_claim=0), 10, 0)
    marked = Book(last_claim=4, mark_size=5, mark_by=100)
    assert not marks.due(marked, 10, 1000)
    assert not marks.due(replace(marked, last_claim=5), 10, 109)
    assert marks.due(replace(marked, last_claim=5), 10, 110)


# ── marks of others ──


def mark_of(world, raw: bytes, party: str, sequence: int = 0) -> bytes:
    header = Header(
        agreement=world.agreement.id, log=terms.ORIGIN, party=party, sequence=sequence, stream="marks", window=None
    )
    return dsse.sign(base.write(Mark(checkpoint=raw.decode(), header=header)), world.keys[party]).raw


def test_anybody_of_the_agreement_may_submit_a_mark_that_moves_time_on(world, log, witnesses):
    """LOG-23."""
    log.cosign(witnesses, world.now)
    log.add([world.entry(0)])
    log.cosign(witnesses, world.now + 5)
    assert log.size == 3
    seen = log.checkpoint
    log.add([world.entry(1)])
    assert log.add([mark_of(world, seen, "aurora")])[0].index == 4
    assert log.add([mark_of(world, seen, "aurora")])[0].duplicate
    with pytest.raises(Refused, match="above 3"):
        log.add([mark_of(world, seen, "borealis")])
    log.cosign(witnesses, world.now + HOUR)  # theirs counts: entry 3 is not covered, and an hour has passed
    assert [claim.header.party for _, claim in marks_in(world)] == ["ledgerco", "aurora", "ledgerco"]
    assert [claim.header.sequence for _, claim in marks_in(world)] == [0, 0, 1]


def test_marks_that_readers_would_ignore_or_blame_the_log_for_are_refused(world, log, witnesses):
    """LOG-23."""
    log.cosign(witnesses, world.now)
    log.add([world.entry(0)])
    log.cosign(witnesses, world.now + 5)
    good = note.parse(log.checkpoint)
    log.add([world.entry(1)])

    def cosigned(size, root, now):
        made = checkpoint.sign(checkpoint.Checkpoint(terms.ORIGIN, size, root), world.signer)
        lines = [
            cosignature.cosign(made.text, key.name, world.keys[name], now)
            for name, key in world.agreement.witness_keys.items()
        ]
        return note.add(made, lines).raw

    root = checkpoint.parse(good.text).root
    cases = {
        "cosigned by 2 of the 3": Note(good.text, good.signatures[:3]).raw,
        "known key": Note(good.text, good.signatures[1:]).raw,
        "covers 5 entries, but would stand at 4": cosigned(5, root, world.now + 9),
        "above 1": cosigned(1, root, world.now + 9),
        "fall behind": cosigned(3, root, world.now - 1),
        "another tree of 3 entries": cosigned(3, bytes(32), world.now + 9),
    }
    for reason, raw in cases.items():
        with pytest.raises(Refused, match=reason):
            log.add([mark_of(world, raw, "aurora")])
    assert log.size == 4
    assert log.add([mark_of(world, cosigned(3, root, world.now + 9), "aurora")])[0].index == 4


def test_a_mark_appended_unasked_that_moves_nothing_on_counts_for_nothing(world, log, witnesses):
    log.append([(mark_of(world, log.checkpoint, "ledgerco"), "")])
    log.cosign(witnesses, world.now)
    [(_, bad), (index, mark)] = marks_in(world)
    assert (index, mark.header.sequence) == (2, 1)
    assert bad.header.sequence == 0
