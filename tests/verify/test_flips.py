# SPDX-License-Identifier: Apache-2.0
"""One damaged byte anywhere in a ledger, its agreement or its bundle: an error, or exactly the same verdicts."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest

from pausectl.agreement import document
from pausectl.errors import PausectlError, Unavailable
from pausectl.history import bundle, reader
from pausectl.history.reader import open_ledger
from pausectl.history.source import ZipSource
from pausectl.sim.cheats import HoursThief
from pausectl.sim.ledger import MemorySource
from pausectl.sim.terms import Roll
from pausectl.sim.world import Lab, World
from pausectl.verify.audit import Report, verify
from pausectl.verify.judge import Verdict

ROLL = Roll(labs={"aurora": ("aurora-1",)}, overseers=("avon", "brent"), witnesses=("wharf", "xylem"))


def tiny(lab: type[Lab]) -> World:
    """One window of one lab: fourteen entries."""
    return World(windows=1, pause_at=None, roll=ROLL, labs={"aurora": lab("aurora")}).run()


WORLDS = {Verdict.CONSISTENT: tiny(Lab), Verdict.INCONSISTENT: tiny(HoursThief)}
FILES = {verdict: world.memory.files() for verdict, world in WORLDS.items()}
NAMES = sorted(FILES[Verdict.CONSISTENT])


def test_these_worlds_are_what_they_say():
    for verdict, world in WORLDS.items():
        assert world.verify().verdicts == {"aurora": verdict}
        assert len(world.memory.entries) == 14
    assert NAMES == ["checkpoint", "tile/0/000.p/14", "tile/entries/000.p/14"]


def outcome(read: Callable[[], Report]) -> Report | int:
    """What a reader sees: a report, or the exit code of the error."""
    try:
        return read()
    except PausectlError as error:
        return error.exit_code


def same(report: Report, world: World) -> bool:
    before = world.verify()
    return (report.verdicts, report.exit_code, report.as_of) == (before.verdicts, before.exit_code, before.as_of)


def flips(data: bytes, masks: Callable[[int], tuple[int, ...]], step: int = 1):
    for place in range(0, len(data), step):
        for mask in masks(place):
            yield place, data[:place] + bytes([data[place] ^ mask]) + data[place + 1 :]


def one(place: int) -> tuple[int, ...]:
    return (1 << place % 8,)


def several(place: int) -> tuple[int, ...]:
    return (1, 1 << (place % 7 + 1), 0xFF)


@pytest.mark.parametrize("verdict", list(WORLDS))
@pytest.mark.parametrize("name", NAMES)
def test_a_flipped_byte_of_a_ledger(name, verdict, monkeypatch):
    world, files = WORLDS[verdict], FILES[verdict]
    if name != "checkpoint":  # which is the same each time, and takes the longest
        monkeypatch.setattr(reader, "sight", functools.cache(reader.sight))
    masks = one if "entries" in name else several
    unread = 0
    for place, damaged in flips(files[name], masks):
        source = MemorySource({**files, name: damaged})
        found = outcome(lambda source=source: verify(source.fetch, world.agreement))
        if isinstance(found, Report):
            assert same(found, world), place
            unread += 1
        else:
            assert found == 4, place
    assert unread == 0, "both witnesses are needed here, so that not even a name of a line may go bad"


def test_a_flipped_byte_of_a_line_that_is_not_needed():
    """Three of four: a line of a damaged name or key id is a stranger's; of a damaged signature, forged."""
    roll = Roll(labs={"aurora": ("aurora-1",)}, overseers=("avon", "brent"))
    world = World(windows=1, pause_at=None, roll=roll).run()
    files = world.memory.files()
    counts = {True: 0, False: 0}
    for place, damaged in flips(files["checkpoint"], one):
        source = MemorySource({**files, "checkpoint": damaged})
        found = outcome(lambda source=source: verify(source.fetch, world.agreement))
        counts[isinstance(found, Report)] += 1
        assert same(found, world) if isinstance(found, Report) else found == 4, place
    assert 4 * len("wharf.example") <= counts[True] <= 4 * (len("wharf.example") + 6)
    assert counts[False] > 500


def test_a_flipped_byte_of_the_agreement():
    """The verifier's own file: it is what it is, or it is none."""
    raw = WORLDS[Verdict.CONSISTENT].agreement.raw + b"\n"
    for place, damaged in flips(raw, one):
        with pytest.raises(PausectlError) as caught:
            document.parse(damaged)
        assert caught.value.exit_code == 4, place


@pytest.mark.parametrize("verdict", list(WORLDS))
def test_a_flipped_byte_of_a_bundle(tmp_path, verdict):
    """Every seventh. Of a zip some bytes mean nothing (times, attributes); a damaged name is a file that is missing."""
    world = WORLDS[verdict]
    whole = tmp_path / "whole.zip"
    bundle.write(open_ledger(world.source().fetch, world.agreement), whole)
    path = tmp_path / "damaged.zip"
    seen = set()
    for place, damaged in flips(whole.read_bytes(), one, 7):
        path.write_bytes(damaged)
        found = outcome(lambda: verify(ZipSource(path).fetch, world.agreement))
        if isinstance(found, Report):
            assert same(found, world), place
        else:
            assert found in {4, Unavailable.exit_code}, place
        seen.add("same" if isinstance(found, Report) else found)
    assert 4 in seen


def test_a_ledger_with_the_entries_of_another():
    """Each file is sound by itself, and none fits the checkpoint of the other."""
    good, bad = FILES[Verdict.CONSISTENT], FILES[Verdict.INCONSISTENT]
    agreement = WORLDS[Verdict.CONSISTENT].agreement
    for name in NAMES:
        mixed = MemorySource({**bad, name: good[name]})
        assert outcome(lambda mixed=mixed: verify(mixed.fetch, agreement)) == 4
