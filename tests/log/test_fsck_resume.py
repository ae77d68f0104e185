# SPDX-License-Identifier: Apache-2.0
"""A check that is killed at any moment goes on from where it was, and lists in the end what it would have at once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from pausectl.errors import Malformed, UsageFault
from pausectl.log import bookmark, growth
from pausectl.log import fsck as room
from pausectl.log.bookmark import Bookmark
from pausectl.log.fsck import Resume, fsck
from pausectl.wire import checkpoint

BUNDLES = 40
ENTRIES = BUNDLES * 256 + 9


def write(folder: Path, parties, entries: int, word: bytes = b"entry") -> Path:
    roll, keys, agreement = parties
    edge, files = growth.grow(growth.EMPTY_EDGE, [agreement.raw, *(b"%b %d" % (word, n) for n in range(1, entries))])
    head = checkpoint.Checkpoint(agreement.log_key.name, edge.size, edge.root)
    for name, data in (files | {"checkpoint": checkpoint.sign(head, keys[roll.log]).raw}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture
def place(parties, tmp_path) -> Path:
    return write(tmp_path / "log", parties, ENTRIES)


@pytest.fixture
def damaged(place) -> Path:
    for path, at in (
        ("tile/entries/002", 900),
        ("tile/0/017", 40),
        ("tile/entries/030", 0),
        ("tile/entries/040.p/9", 4),
    ):
        data = bytearray((place / path).read_bytes())
        data[at] ^= 1
        (place / path).write_bytes(data)
    (place / "tile/0/039").unlink()
    return place


class Stop(Exception):
    """Somebody pressed control-C."""


def stopped_after(place, agreement, resume: Resume, bundles: int) -> None:
    def stop(done: int, _: int) -> None:
        if done >= bundles * 256:
            raise Stop

    with pytest.raises(Stop):
        fsck(place, agreement, stop, jobs=1, resume=resume)


def read_bundles(place, agreement, resume: Resume, monkeypatch) -> tuple[list, int]:
    """(damage, number of bundles that were read for it)."""
    told = []
    found = fsck(place, agreement, lambda done, _: told.append(done), jobs=1, resume=resume)
    return found, len(told)


def test_it_goes_on_where_it_was_and_lists_all_damage(parties, damaged, tmp_path, monkeypatch):
    whole = fsck(damaged, parties[2])
    assert len(whole) >= 5
    resume = Resume(tmp_path / "place", every=0)
    for bundles in (3, 18, 35):
        stopped_after(damaged, parties[2], resume, bundles)
        assert bookmark.parse(resume.path.read_bytes()).bundles == bundles - 1
    found, read = read_bundles(damaged, parties[2], resume, monkeypatch)
    assert found == whole
    assert read == BUNDLES - 34 + 1
    assert not resume.path.exists()


CHILD = """
import sys
import time
from pathlib import Path
from pausectl.agreement import document
from pausectl.log.fsck import Resume, fsck
place, agreement, mark, answer = map(Path, sys.argv[1:])
found = fsck(place, document.parse(agreement.read_bytes()), jobs=1, resume=Resume(mark, every=0))
answer.write_text(repr(found))
"""


def test_it_may_be_killed_at_any_moment(parties, damaged, tmp_path):
    whole = fsck(damaged, parties[2])
    (tmp_path / "agreement").write_bytes(parties[2].raw)
    mark, answer, rng = tmp_path / "place", tmp_path / "answer", Random(7)  # noqa: S311 - to be repeatable
    words = [sys.executable, "-c", CHILD, damaged, tmp_path / "agreement", mark, answer]
    kills, seen = 0, []
    while not answer.exists():
        before = mark.read_bytes() if mark.exists() else b""
        with subprocess.Popen(words) as child:
            while child.poll() is None and (not mark.exists() or mark.read_bytes() == before):
                time.sleep(0.001)
            time.sleep(rng.uniform(0.0, 0.06))
            child.send_signal(signal.SIGKILL)
            kills += child.wait() != 0
        if mark.exists():
            seen.append(bookmark.parse(mark.read_bytes()).bundles)  # whole, whenever that was
    assert kills > 1
    assert answer.read_text() == repr(whole)
    assert seen == sorted(seen)
    print(f"killed {kills} times, places {seen}")


def test_a_log_that_grew_meanwhile_is_checked_to_its_new_end(parties, place, tmp_path, monkeypatch):
    resume = Resume(tmp_path / "place", every=0)
    stopped_after(place, parties[2], resume, 10)
    write(place, parties, ENTRIES + 700)
    for path in place.rglob("*.p/9"):
        path.unlink()
    for path in place.rglob("*.p/40"):
        path.unlink()
    assert read_bundles(place, parties[2], resume, monkeypatch) == ([], 42 - 9 + 1)


def test_a_place_in_a_log_that_was_changed_since_is_not_believed(parties, place, tmp_path, monkeypatch):
    resume = Resume(tmp_path / "place", every=0)
    stopped_after(place, parties[2], resume, 10)
    write(place, parties, ENTRIES, b"other")
    assert read_bundles(place, parties[2], resume, monkeypatch) == ([], BUNDLES + 1)


def test_damage_where_it_was_before_cannot_hide_behind_a_lying_place(parties, place, tmp_path):
    """Hashes that were not checked are compared with the tile above."""
    resume = Resume(tmp_path / "place", every=0)
    stopped_after(place, parties[2], resume, 10)
    mark = bookmark.parse(resume.path.read_bytes())
    row = list(mark.rows[0])
    row[4] = None
    bookmark.save(resume.path, Bookmark(mark.of, mark.bundles, (tuple(row),), mark.found))
    assert fsck(place, parties[2], resume=resume) == []  # not known is no lie
    row[4] = bytes(32)
    other = Bookmark(mark.of, mark.bundles, (tuple(row),), mark.found)
    monkey = pytest.MonkeyPatch()
    monkey.setattr(room._Survey, "_is_of", lambda *_: True)
    bookmark.save(resume.path, other)
    assert [each.path for each in fsck(place, parties[2], resume=resume)] == ["tile/0/004"]
    monkey.undo()


@pytest.mark.parametrize("what", ["another log", "another agreement", "a byte", "a part", "nothing"])
def test_a_place_of_something_else_is_a_usage_error_and_stays(parties, place, tmp_path, what):
    resume = Resume(tmp_path / "place", every=0)
    stopped_after(place, parties[2], resume, 10)
    raw = resume.path.read_bytes()
    if what == "another log":
        place = place.rename(tmp_path / "moved")
    elif what != "another agreement":
        raw = {"a byte": raw.replace(b":9,", b":8,"), "a part": raw[:-1], "nothing": b""}[what]
        assert raw != resume.path.read_bytes()
        resume.path.write_bytes(raw)
    trusted = parties[2].log_key if what == "another agreement" else parties[2]
    with pytest.raises(UsageFault):
        fsck(place, trusted, resume=resume)
    assert resume.path.read_bytes() == raw


def test_the_file_says_what_it_is(parties, place, tmp_path):
    resume = Resume(tmp_path / "place", every=0)
    stopped_after(place, parties[2], resume, 3)
    line, digest, end = resume.path.read_bytes().split(b"\n")
    assert json.loads(line)["type"] == "pausectl-fsck/v1"
    assert (len(digest), end) == (64, b"")
    for wrong in ({}, {"bundles": -1}, {"rows": [[]]}, {"rows": [["00"] * 2]}, {"damage": [["x"]]}, {"extra": 1}):
        import hashlib

        text = json.dumps(json.loads(line) | wrong, sort_keys=True, separators=(",", ":")).encode()
        raw = text + b"\n" + hashlib.sha256(text).hexdigest().encode() + b"\n"
        if wrong:
            with pytest.raises(Malformed):
                bookmark.parse(raw)
        else:
            assert bookmark.format(bookmark.parse(raw)) == raw == resume.path.read_bytes()
