# SPDX-License-Identifier: Apache-2.0
"""SUC-1 to SUC-4: logs that succeed one another are one ledger, and nothing can be left out between them unseen."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import pytest

from pausectl.errors import Forged, SplitView, Unavailable, UsageFault
from pausectl.history.chain import link
from pausectl.history.decode import decode
from pausectl.history.reader import open_ledger, sight
from pausectl.history.replay import History
from pausectl.predicates import base
from pausectl.predicates.base import Predicate
from pausectl.predicates.close import Close
from pausectl.predicates.succession import Succession
from pausectl.report.json import render
from pausectl.sim.ledger import MemoryLedger, MemorySource, minimal
from pausectl.sim.terms import Roll
from pausectl.sim.world import DAY, HonestOperator, Lab, World, digest
from pausectl.verify.audit import verify
from pausectl.verify.judge import Verdict
from pausectl.verify.resume import Resumption
from pausectl.wire import checkpoint, cosignature, dsse, merkle, note

ROLL = Roll(intake=("quay",), successors=("archive", "attic", "cellar"))


def play(at: tuple[int, ...] = (2, 4), windows: int = 6, **more) -> World:
    """A story in which a log is succeeded at the beginning of each of these windows."""
    world = World(windows=windows, roll=ROLL, **more)
    for lab in world.people.values():
        lab.begin(world)
    world.evaluate_all()
    world.until(world.now + 3600)
    for window in range(windows):
        if window in at:
            world.succeed()
        world.window(window)
    world.until(world.start(windows) + 4 * DAY)
    return world


@pytest.fixture(scope="module")
def three() -> World:
    return play()


def fetches(*ledgers: MemoryLedger) -> list[Callable[[str], bytes]]:
    return [MemorySource(ledger.files()).fetch for ledger in ledgers]


def found(report, rule: str) -> list[tuple[str, str | None]]:
    return [(f.outcome.value, f.lab) for f in report.judgement.findings if f.rule == rule and f.outcome != "HOLDS"]


# ── one ledger ──


def test_three_logs_give_what_one_would_have_given(three):
    many, one = three.verify(), play(at=()).verify()
    assert set(many.verdicts.values()) == {Verdict.CONSISTENT}
    assert many.verdicts == one.verdicts
    assert many.judgement.windows == one.judgement.windows
    judged = [
        [(f.rule, f.outcome, f.lab, f.window) for f in report.judgement.findings if f.window is not None]
        for report in (many, one)
    ]
    assert judged[0] == judged[1]
    assert many.exit_code == 0


def test_an_index_is_one_through_all_logs(three):
    ledgers = [open_ledger(fetch, three.agreement) for fetch in fetches(*three.before, three.memory)]
    chain = link(ledgers[-1], ledgers[:-1])
    sizes = [len(old.entries) for old in three.before]
    assert [segment.first for segment in chain.segments] == [0, sizes[0], sum(sizes)]
    entries = [raw for old in (*three.before, three.memory) for raw in old.entries]
    for finding in three.verify().judgement.findings:
        if finding.rule == "COV-1" and finding.window and finding.window[0] in {2, 5}:
            (index,) = finding.entries
            claim = base.read(dsse.parse(entries[index]).payload)
            assert (claim.header.party, claim.header.stream.split("/")[0]) == (finding.lab, finding.message.split()[0])


def test_with_some_of_the_logs_the_indices_stay(three):
    """From the last two of three, entries have the indices that they have in all."""

    newest = fetches(three.memory)[0]
    some = verify(newest, three.agreement, before=fetches(three.before[1]))
    assert found(some, "SUC-4") == [("UNPROVEN", lab) for lab in ROLL.labs]
    assert set(some.verdicts.values()) == {None}
    assert some.exit_code == 3
    told = render(some)["log"]
    assert [(log["origin"], log["at_hand"]) for log in told["before"]] == [
        ("log.example/pause", False), ("archive.example/pause", True)
    ]  # fmt: skip
    assert [log["size"] for log in told["before"]] == [len(old.entries) for old in three.before]
    chain = link(open_ledger(newest, three.agreement))
    assert chain.segments[0].first == sum(len(old.entries) for old in three.before)


def test_the_order_of_the_older_logs_does_not_matter(three):
    newest = fetches(three.memory)[0]
    for older in (three.before, three.before[::-1]):
        assert verify(newest, three.agreement, before=fetches(*older)).exit_code == 0


def test_a_log_that_is_none_of_them(three):
    first, second, third = fetches(*three.before, three.memory)
    with pytest.raises(UsageFault, match=r"attic.example/pause is not a log before archive.example/pause"):
        verify(second, three.agreement, before=[first, third])
    with pytest.raises(UsageFault, match=r"archive.example/pause is not a log before log.example/pause"):
        verify(first, three.agreement, before=[second])


def test_a_successor_can_be_passed_over():
    world = World(windows=0, roll=ROLL)
    world.until(world.now)
    world.before.append(world.memory)  # as if the first successor had been there
    world.succeed()
    world.before = world.before[1:]
    report = world.verify()
    assert report.chain.missing is None
    assert [log.origin for log in report.chain.before] == ["log.example/pause"]


def history_of(world: World) -> History:
    """The history of all logs of a world."""
    ledgers = [open_ledger(fetch, world.agreement) for fetch in fetches(*world.before, world.memory)]
    chain, newest = link(ledgers[-1], ledgers[:-1]), ledgers[-1]
    history = History(world.agreement, newest.head, newest.tiles.root, as_of=None, on_settled=lambda _case: None)
    for segment in chain.segments:
        history.enter_log(segment)
        for index, raw in islice(segment.ledger.entries(), segment.size):
            history.add(segment.first + index, decode(raw, world.agreement.keys))
        if segment is not chain.segments[-1]:
            history.leave_log(segment)
    history.finish()
    return history


def test_time_goes_on_across():
    """What the first log's marks did not cover existed by the time of the checkpoint that its successor begins with."""
    world = World(windows=0, roll=ROLL)
    world.register_run("aurora", "r1", start=world.now)
    moment = world.now + 1000
    world.ledger.head = world.memory.cosigned(moment)
    world.now = moment
    world.succeed()
    world.register_run("aurora", "r2", start=world.now)
    world.until(moment + 5_000)
    runs = history_of(world).records["aurora"].runs
    assert (runs["r1"].registered[0].not_yet, runs["r1"].registered[0].by) == (None, moment)
    assert (runs["r2"].registered[0].not_yet, runs["r2"].registered[0].by) == (moment, moment + 5_000)


# ── SUC-1 ──


def successor(change: Callable[[World, Succession], Predicate | None], place: int = 1) -> World:
    """A successor whose succession statement is another, or none, or stands elsewhere."""
    world = World(windows=0, roll=ROLL)
    world.until(world.now)
    world.succeed()
    new, old = MemoryLedger(world.memory.agreement, world.keys), world.memory
    claim = change(world, base.read(dsse.parse(old.entries[1]).payload))
    new.append(world.agreement.raw)
    for _ in range(place - 1):
        new.append(dsse.sign(base.write(world.claim("quay", *CLOSE)), world.keys["quay"]).raw)
    if claim is not None:
        new.append(dsse.sign(base.write(claim), world.keys[claim.header.party]).raw)
    new.publish(world.now)
    world.ledger = new
    return world


CLOSE = (Close, {"heads": []}, 0)


def cosigned(world: World, size: int, root: bytes, *, witnesses: int = 4, origin: str = "log.example/pause") -> str:
    """A checkpoint of the first log with so many witnesses' lines."""
    signed = checkpoint.sign(checkpoint.Checkpoint(origin, size, root), world.keys["ledgerco"])
    lines = [
        cosignature.cosign(signed.text, f"{name}.example", world.keys[name], world.now)
        for name in world.roll.witnesses[:witnesses]
    ]
    return note.add(signed, lines).raw.decode()


CHANGES = {
    "none at all": (lambda _world, _claim: None, "expected the agreement and a succession"),
    "signed by somebody without the role": (
        lambda _world, claim: claim.model_copy(update={"header": claim.header.model_copy(update={"party": "avon"})}),
        "expected the agreement and a succession",
    ),
    "said in the log before": (
        lambda _world, claim: claim.model_copy(
            update={"header": claim.header.model_copy(update={"log": "log.example/pause"})}
        ),
        "is not about a log that came before it",
    ),
    "without a quorum": (
        lambda world, claim: claim.model_copy(
            update={"checkpoint": cosigned(world, 2, merkle.leaf_hash(b"x"), witnesses=2)}
        ),
        "cosigned by 2 of the 3",
    ),
    "of a log of nobody's": (
        lambda world, claim: claim.model_copy(
            update={"checkpoint": cosigned(world, 2, merkle.leaf_hash(b"x"), origin="elsewhere")}
        ),
        "is not about a log that came before it",
    ),
    "another count": (
        lambda _world, claim: claim.model_copy(update={"before_count": claim.before_count + 1}), "before_count"
    ),
    "too small a count": (lambda _world, claim: claim.model_copy(update={"before_count": 0}), "before_count"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_suc_1_what_is_no_succession(name):
    change, message = CHANGES[name]
    with pytest.raises(Forged, match=message):
        successor(change).verify()


def test_suc_1_not_in_its_place():
    with pytest.raises(Forged, match="as its first entries"):
        successor(lambda _world, claim: claim, place=2).verify()
    assert successor(lambda _world, claim: claim).verify().exit_code == 3


def test_suc_1_an_agreement_of_others():
    other = World(windows=0, roll=ROLL, changes={"name": "other terms"})
    world = successor(lambda _world, claim: claim)
    with pytest.raises(Forged, match="as its first entries"):
        verify(world.source().fetch, other.agreement)


@pytest.mark.parametrize("log", [0, 1])
def test_a_succession_anywhere_else_has_no_effect_and_is_the_operators(log):
    world = play(at=(1,) if log else (), windows=3)
    cut = minimal(world.memory.head, world.memory.agreement)
    world.ledger.append(world.memory.succession(cut, 9))
    world.until(world.now + 3600)
    report = world.verify()
    assert found(report, "LED-2") == [("VIOLATED", None)]
    assert set(report.verdicts.values()) == {Verdict.CONSISTENT}


# ── SUC-2 and SUC-3 ──


def test_suc_2_an_old_copy_of_the_old_log():
    world = World(windows=0, roll=ROLL)
    world.register_run("aurora", "r1", start=world.now)
    world.until(world.now + 5_000)
    early = world.memory.files()
    world.register_run("aurora", "r2", start=world.now)
    world.until(world.now + 5_000)
    world.succeed()
    with pytest.raises(Unavailable, match="and its successor begins with"):
        verify(world.source().fetch, world.agreement, before=[MemorySource(early).fetch])


def test_suc_2_another_tree_is_a_split_view_with_both_notes(three):
    """The old log as somebody else saw it: as large, and another."""
    other = play(labs={"aurora": Lab("aurora")}, at=())
    rewritten = MemoryLedger(three.agreement, three.keys)
    for raw in other.memory.entries[: len(three.before[0].entries) - 1]:
        rewritten.append(raw)
    rewritten.append(b"another history")
    rewritten.head = rewritten.cosigned(three.now)
    older = fetches(rewritten, three.before[1])
    with pytest.raises(SplitView, match=r"log.example/pause signed two different trees") as caught:
        verify(fetches(three.memory)[0], three.agreement, before=older)
    for raw in (caught.value.first, caught.value.second):
        assert sight(raw, three.agreement).checkpoint.origin == "log.example/pause"


def test_suc_3_a_log_that_goes_on_behind_its_successors_back():
    world = play(at=(2,), windows=4)
    world.before[0].append(dsse.sign(base.write(world.claim("quay", *CLOSE)), world.keys["quay"]).raw)
    world.before[0].publish(world.now)
    report = world.verify()
    assert found(report, "SUC-3") == [("VIOLATED", None), *(("UNPROVEN", lab) for lab in ROLL.labs)]
    assert set(report.verdicts.values()) == {Verdict.INCONCLUSIVE}
    assert report.exit_code == 1


def seen(world: World, number: int, size: int, root: bytes | None = None) -> list[tuple[str, bytes]]:
    """A checkpoint of one of the logs with nobody's line but the log's own."""
    old = [*world.before, world.memory][number]
    if root is None:
        root = merkle.root([merkle.leaf_hash(raw) for raw in old.entries[:size]])
    said = checkpoint.Checkpoint(old.agreement.origin, size, root)
    return [("a friend's", checkpoint.sign(said, world.keys[("ledgerco", "archive", "attic")[number]]).raw)]


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("number", [0, 1])
def test_suc_3_a_larger_checkpoint_that_somebody_has_seen(three, number, alone):
    """It needs no witness, and the older log need not be at hand."""
    if alone and number == 0:
        return  # the log before the log before: of it nothing is known
    size = len(three.before[number].entries)
    report = three.verify(seen=seen(three, number, size + 1, digest("x").encode()[:32]), alone=alone)
    assert found(report, "SUC-3")[0] == ("VIOLATED", None)
    assert three.verify(seen=seen(three, number, size), alone=alone).exit_code == (3 if alone else 0)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_read_5_holds_for_each_log(three, number):
    size = len([*three.before, three.memory][number].entries)
    assert three.verify(seen=seen(three, number, size - 3)).exit_code == 0
    for other in (size, size - 3):
        with pytest.raises(SplitView):
            three.verify(seen=seen(three, number, other, merkle.leaf_hash(b"x")))
    if number == 2:
        with pytest.raises(Unavailable, match="rolled back"):
            three.verify(seen=seen(three, number, size + 1, merkle.leaf_hash(b"x")))


# ── what goes on across ──


def test_a_statement_again_in_a_later_log_is_no_finding():
    world = play(at=(2,), windows=4)
    again = next(raw for raw in world.before[0].entries if b"/usage/v1" in dsse.parse(raw).payload)
    world.ledger.append(again)
    world.until(world.now + 3600)
    assert world.verify().exit_code == 0
    world.ledger.append(next(raw for raw in world.memory.entries if b"/usage/v1" in dsse.parse(raw).payload))
    world.until(world.now + 3600)
    assert ("VIOLATED", None) in found(world.verify(), "LED-4")


class Reluctant(HonestOperator):
    """The first log does not take one lab's usage statements, nor any receipt for them; the next one takes them."""

    def __init__(self, *, receipts: bool = True) -> None:
        self.kept: list[bytes] = []
        self.receipts = receipts

    def append(self, world, raw, claim):
        of = getattr(claim, "of", claim and claim.header)
        censored = of is not None and of.stream == "usage/borealis-1" and of.window.start_at == "2026-07-13T00:00:00Z"
        if not world.before and censored:
            self.kept += [raw] if self.receipts or claim.name == "usage" else []
        else:
            super().append(world, raw, claim)

    def tick(self, world):
        while world.before and self.kept:
            world.ledger.append(self.kept.pop(0))


def test_a_receipt_counts_in_the_successor_of_the_log_that_took_neither():
    """The usage of window 1 is logged in window 2, long after its deadline; the receipt dates it."""
    world = World(windows=4, roll=ROLL, operator=Reluctant())
    for lab in world.people.values():
        lab.begin(world)
    world.evaluate_all()
    for window in range(4):
        world.window(window)
        if window == 2:
            world.succeed()
    world.until(world.start(4) + 4 * DAY)
    report = world.verify()
    late = [f for f in report.judgement.findings if f.rule == "TIM-1" and f.lab == "borealis" and f.window[0] == 1]
    assert [(f.outcome.value, "handed in by 2026-07-20T06:00:00Z" in f.message) for f in late] == [
        ("HOLDS", True), ("HOLDS", False)
    ]  # fmt: skip
    assert report.verdicts["borealis"] is Verdict.CONSISTENT


def test_without_the_receipt_it_would_be_late():
    world = World(windows=4, roll=ROLL, operator=Reluctant(receipts=False))
    for lab in world.people.values():
        lab.begin(world)
    world.evaluate_all()
    for window in range(4):
        world.window(window)
        if window == 2:
            world.succeed()
    world.until(world.start(4) + 4 * DAY)
    assert ("UNPROVEN", "borealis") in found(world.verify(), "TIM-1")  # a receipt's number is missing


def test_a_state_is_kept_of_the_first_log_only(three):
    with pytest.raises(UsageFault, match="first log only"):
        verify(three.source().fetch, three.agreement, before=fetches(*three.before), resumption=Resumption(None))
