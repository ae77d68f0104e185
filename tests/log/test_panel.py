# SPDX-License-Identifier: Apache-2.0
"""WIT-4 to WIT-7: witnesses that are slow, away, lying, set back, or that know another history of the log."""

from __future__ import annotations

import json
import threading
import time

import pytest

from pausectl.errors import Broken, Refused, SplitView, Unavailable
from pausectl.log.panel import Panel
from pausectl.log.publish import Contradicted, Named
from pausectl.log.witnesses import judge
from pausectl.net.door import Answer
from pausectl.wire import witness

GRACE = 0.3


@pytest.fixture
def log(world):
    with world.create() as made:
        yield made


@pytest.fixture
def witnesses(world, tmp_path):
    """As if they were elsewhere, by name."""
    names = [key.name for key in world.agreement.witness_keys.values()]
    asked = world.witnesses(tmp_path / "witnesses")
    return {name: Named(name, ask, far=True) for name, ask in zip(names, asked, strict=True)}


@pytest.fixture
def collect(log, world):
    """One round of a panel about the log's head; options as for `Panel.collect`."""
    panel = Panel(world.agreement)

    def ask(witnesses, old=0, panel=panel, **options):
        sequencer = log._sequencer
        return panel.collect(sequencer.head, sequencer.tiles, list(witnesses), old, **{"grace": GRACE, **options})

    return ask


class Gate:
    """A witness that answers when it is let, and how often it was asked."""

    def __init__(self, of: Named) -> None:
        self.open, self.asked, self._of = threading.Event(), [], of
        self.named = Named(of.name, self, far=True)

    def __call__(self, request: bytes) -> bytes:
        self.asked.append(witness.parse_request(request).old_size)
        assert self.open.wait(30)
        return self._of(request)


def names(heard) -> list[str]:
    return [line.name for line in heard.signed.signatures[1:]]


def refusing(name: str, error: BaseException) -> Named:
    def ask(_: bytes) -> bytes:
        raise error

    return Named(name, ask, far=True)


# ── all at once, and no longer than need be ──


def test_all_are_asked_before_anybody_has_answered(witnesses, collect):
    """WIT-4: each of them answers only when all have been asked."""
    together = threading.Barrier(len(witnesses))

    def after_all(ask):
        def wait(request):
            together.wait(20)
            return ask(request)

        return wait

    heard = collect([Named(name, after_all(ask), far=True) for name, ask in witnesses.items()])
    assert heard.complaints == ()
    assert names(heard) == list(witnesses)  # in the order in which they were given, whoever was first


def test_with_a_quorum_a_slow_one_gets_a_grace_once_and_then_nothing(witnesses, collect, log, world):
    """WIT-5: and is not asked again while it has not answered."""
    slow = Gate(witnesses["zephyr.example"])
    asked = [*list(witnesses.values())[:3], slow.named]
    begun = time.monotonic()
    heard = collect(asked)
    assert GRACE <= time.monotonic() - begun < 10
    assert heard.quorum.reached
    assert heard.complaints == ("zephyr.example: has not answered yet, and was not needed",)
    for number in range(3):
        log.add([world.entry(number)])
        begun = time.monotonic()
        assert collect(asked, grace=20).quorum.reached
        assert time.monotonic() - begun < 15  # the grace is not for one who was late
    assert slow.asked == [0]
    slow.open.set()
    heard = wait_for(lambda: collect(asked), lambda heard: not heard.complaints)
    assert names(heard) == list(witnesses)
    assert slow.asked[1] == 1  # its late answer told us what it had cosigned


def wait_for(ask, good):
    for _ in range(100):
        found = ask()
        if good(found):
            return found
        time.sleep(0.05)
    raise AssertionError(found)


def test_a_late_answer_about_the_same_checkpoint_is_used_in_the_next_round(witnesses, collect):
    slow = [Gate(witnesses[name]) for name in ("yarrow.example", "zephyr.example")]
    asked = [*list(witnesses.values())[:2], *(gate.named for gate in slow)]
    heard = collect(asked, limit=0.2)
    assert not heard.quorum.reached
    assert [told.partition(":")[2] for told in heard.complaints] == [" gave no answer in time"] * 2
    for gate in slow:
        gate.open.set()
    wait_for(lambda: [each.name for each in threading.enumerate()], lambda names: "asking a witness" not in names)
    heard = collect(asked)
    assert names(heard) == list(witnesses)
    assert [gate.asked for gate in slow] == [[0], [0]]


def test_one_in_this_process_is_waited_for(witnesses, collect):
    """Simulations and trials are the same each time, however busy the machine is."""

    def late(request):
        time.sleep(3 * GRACE)
        return witnesses["zephyr.example"](request)

    heard = collect([*list(witnesses.values())[:3], Named("zephyr.example", late)])
    assert names(heard) == list(witnesses)


def test_no_round_is_longer_than_its_limit(witnesses, collect):
    gates = [Gate(each) for each in witnesses.values()]
    begun = time.monotonic()
    heard = collect([gate.named for gate in gates], limit=0.3)
    assert 0.3 <= time.monotonic() - begun < 10
    assert len(heard.complaints) == 4
    for gate in gates:
        gate.open.set()


def test_one_that_is_given_twice_is_asked_once(witnesses, collect):
    gate = Gate(witnesses["wharf.example"])
    gate.open.set()
    collect([gate.named, *list(witnesses.values())[1:], gate.named])
    assert gate.asked == [0]


# ── what each remembers ──


def test_what_a_witness_remembers_is_remembered_after_a_start_and_costs_one_question(witnesses, world, log, tmp_path):
    place = world.home / "state" / "witnesses.json"
    all_four = list(witnesses.values())
    log.cosign(all_four, world.now)
    log.add([world.entry(0)])
    log.cosign([*all_four[:3], refusing("zephyr.example", Unavailable("down"))], world.now)
    assert json.loads(place.read_text()) == {"zephyr.example": 2}
    log.close()
    gates = [Gate(each) for each in all_four]
    for gate in gates:
        gate.open.set()
    with world.open() as again:
        again.add([world.entry(1)])
        again.cosign([gate.named for gate in gates], world.now)
        assert again.complaints == ()
    assert [gate.asked for gate in gates] == [[3], [3], [3], [2]]
    assert json.loads(place.read_text()) == {}


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"zephyr.example": -1}', b'{"zephyr.example": true}', b"\xff"])
def test_a_hint_that_is_damaged_is_no_harm(witnesses, world, raw):
    world.create().close()
    (world.home / "state" / "witnesses.json").write_bytes(raw)
    with world.open() as log:
        log.cosign(list(witnesses.values()), world.now)
        assert log.complaints == ()


def test_a_hint_beyond_the_tree_is_no_harm(witnesses, world):
    world.create().close()
    (world.home / "state" / "witnesses.json").write_text('{"zephyr.example": 1000}')
    with world.open() as log:
        log.cosign(list(witnesses.values()), world.now)
        assert log.complaints == ()


def test_a_witness_that_was_set_back_is_named(witnesses, world, log, tmp_path):
    [*others, last] = witnesses.values()
    log.cosign([*others, last], world.now)
    log.add([world.entry(0)])
    forgetful = world.witnesses(tmp_path / "anew")[3]
    log.cosign([*others, Named(last.name, forgetful, far=True)], world.now)
    assert log.complaints == ("zephyr.example: was set back: it cosigned 2 entries, and knows of 0 now",)
    assert b"zephyr.example" in log.checkpoint


# ── other histories ──


def fork_signals(heard) -> list[str]:
    return [told for told in heard.complaints if "FORK SIGNAL" in told]


@pytest.mark.parametrize(
    "error",
    [Contradicted("answered 409 and no size"), SplitView("two trees of 2 entries", b"1", b"2")],
)
def test_a_contradiction_is_told_loudly_and_by_name_and_the_quorum_is_used(witnesses, collect, error):
    """WIT-7: it is asked once, nothing is retried."""
    times = []

    def other(request):
        times.append(request)
        raise error

    heard = collect([Named("wharf.example", other, far=True), *list(witnesses.values())[1:]])
    assert heard.quorum.reached
    assert heard.contradicted == ("wharf.example",)
    assert fork_signals(heard) == list(heard.complaints)
    assert heard.complaints[0].startswith("wharf.example: FORK SIGNAL: ")
    assert len(times) == 1


def test_a_size_beyond_ours_is_a_contradiction(witnesses, collect):
    heard = collect([Named("wharf.example", lambda _: b"99\n"), *list(witnesses.values())[1:]])
    assert fork_signals(heard) == ["wharf.example: FORK SIGNAL: has cosigned 99 entries of this log, which has 1"]


def test_a_late_contradiction_is_not_lost(witnesses, collect, log, world):
    gate = Gate(refusing("wharf.example", Contradicted("answered 409 and no size")))
    asked = [gate.named, *list(witnesses.values())[1:]]
    assert not fork_signals(collect(asked))
    log.add([world.entry(0)])
    gate.open.set()
    wait_for(lambda: collect(asked), fork_signals)


def test_a_log_that_was_set_back_learns_of_it_from_its_witnesses(witnesses, world, log, tmp_path):
    """The register and everything else of an old backup: the log alone cannot see it."""
    import shutil

    log.cosign(list(witnesses.values()), world.now)
    log.close()
    shutil.copytree(world.home, tmp_path / "backup")
    with world.open() as later:
        later.add([world.entry(n) for n in range(3)])
        later.cosign(list(witnesses.values()), world.now)
    with world.open(tmp_path / "backup") as old:
        old.add([world.entry(9)])
        with pytest.raises(Unavailable, match="FORK SIGNAL: has cosigned 5 entries of this log, which has 3"):
            old.cosign(list(witnesses.values()), world.now)
        old.add([world.entry(n) for n in range(10, 13)])
        with pytest.raises(Unavailable) as caught:
            old.cosign(list(witnesses.values()), world.now)
        assert str(caught.value).count("is not shown to extend") == 4


def test_a_bug_in_asking_is_not_taken_for_a_witness(witnesses, collect):
    for error in (Broken("an invariant"), ZeroDivisionError("a bug")):
        with pytest.raises(type(error)):
            collect([refusing("wharf.example", error), *list(witnesses.values())[1:]])


# ── answers over HTTP ──

SIZE = "text/x.tlog.size"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(409, b"", SIZE), Contradicted), (Answer(409, b"5\n", "text/plain"), Contradicted),
        (Answer(409, b"", "text/plain"), Contradicted), (Answer(409, b"5", SIZE), Contradicted),
        (Answer(409, b"05\n", SIZE), Contradicted), (Answer(409, b"-1\n", SIZE), Contradicted),
        (Answer(422, b"no"), Contradicted), (Answer(400, b"no"), Refused), (Answer(403, b"no"), Refused),
        (Answer(404, b"no"), Refused), (Answer(301, b"elsewhere"), Refused), (Answer(201, b"\xe2\x80\x94 x"), Refused),
        (Answer(429, b"slowly"), Unavailable), (Answer(500, b"oh"), Unavailable), (Answer(503, b"busy"), Unavailable),
    ],
)  # fmt: skip
def test_what_other_statuses_mean(answer, kind):
    """WIT-7."""
    with pytest.raises(kind) as caught:
        judge(answer)
    assert type(caught.value) is kind
    assert f"answered {answer.status}" in str(caught.value)


def test_what_the_two_answers_mean():
    assert judge(Answer(200, b"anything")) == b"anything"
    for type in (SIZE, f"{SIZE}; charset=utf-8"):
        assert judge(Answer(409, b"5\n", type)) == b"5\n"


def test_what_a_witness_says_in_an_error_is_one_line_of_ascii():
    with pytest.raises(Refused) as caught:
        judge(Answer(403, "no\n\x1b[31m\u202e".encode() * 200))
    assert str(caught.value).isascii()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 2000
