# SPDX-License-Identifier: Apache-2.0
"""A small run of the fuzzer, and proof that it can find something."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

HERE = Path(__file__).resolve().parent
EACH = 2_000


@pytest.fixture
def fuzz(monkeypatch):
    """The modules of the fuzzer, which is a script."""
    monkeypatch.syspath_prepend(str(HERE))
    import run

    return run


def test_two_thousand_inputs_for_each_parser_and_door():
    command = [sys.executable, str(HERE / "run.py"), "--each", str(EACH), "--jobs", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[1:-2]]
    assert len(rows) >= 35
    for name, accepted, refused, wrong, *_ in rows:
        assert int(accepted) + int(refused) == EACH, name
        assert int(accepted) > 20, f"{name}: too few inputs are well-formed for the pair to mean anything"
        assert int(refused) > 20, f"{name}: too few inputs are malformed"
        assert wrong == "0"


@pytest.mark.parametrize(
    ("bug", "said"),
    [
        (lambda raw: raw[:40].decode("ascii"), "UnicodeDecodeError"),
        (lambda raw: {}[raw[0]] if b"\x00" in raw else None, "KeyError"),
        (lambda raw: sum(range(5_000_000)) if len(raw) > 60_000 else None, "took"),
    ],
)
def test_a_parser_with_a_bug_is_found_and_can_be_repeated(fuzz, monkeypatch, bug, said):
    target = fuzz.targets()["canonical.load"]
    monkeypatch.setattr(fuzz, "SLOW", 0.05)

    def check(raw: bytes) -> str:
        bug(raw)
        return target.check(raw)

    monkeypatch.setitem(fuzz.targets(), "canonical.load", replace(target, check=check))
    found = fuzz.chunk("canonical.load", "1", 0, 1_500)
    assert found.counts["violation"] == len(found.violations) > 0
    assert said in found.violations[0]
    index = int(found.violations[0].split()[1].rstrip(":"))
    raw = fuzz.make(target, "1", index)
    assert f"--only canonical.load --at {index}" in found.violations[0]
    assert fuzz.throw(replace(target, check=check), raw)[0] == "violation"


def test_a_format_that_is_no_inverse_is_found(fuzz, monkeypatch):
    shelf = fuzz.shelf
    check = shelf.pair(shelf.note.parse, lambda value: shelf.note.format(value).replace(b"5", b"6"))
    monkeypatch.setitem(fuzz.targets(), "note", replace(fuzz.targets()["note"], check=check))
    found = fuzz.chunk("note", "1", 0, 200)
    assert "format(parse(b))" in found.violations[0]


def test_inputs_follow_from_the_seed_and_nothing_else(fuzz):
    for target in fuzz.targets().values():
        first = [fuzz.make(target, "1", index) for index in range(30)]
        assert first == [fuzz.make(target, "1", index) for index in range(30)]
        assert len(set(first)) > 15, target.name
        assert first[len(target.seeds) :] != [fuzz.make(target, "2", index) for index in range(len(target.seeds), 30)]


def test_a_door_that_fails_is_found(fuzz, monkeypatch):
    from pausectl.net.door import Answer, Door

    broken = [Door("GET", "/checkpoint", lambda _: 1 // 0), Door("GET", "/tile/", lambda _: Answer(503))]
    monkeypatch.setitem(fuzz.shelf.doors.SERVERS, "mirror", lambda: broken)
    monkeypatch.setattr(fuzz.shelf.doors, "_app", fuzz.shelf.doors._app.__wrapped__)
    found = fuzz.chunk("doors.mirror", "1", 0, 200)
    assert {"answered 500", "answered 503"} <= set(re.findall(r"answered \d+", "".join(found.violations)))


def test_every_mutation_changes_something_sometimes(fuzz):
    import mutations

    rng = Random(3)  # noqa: S311 - to be repeatable is the point
    seed = b'{"a":[1,2,{"b":"c"}]}\nx\n'
    changed = Counter()
    for mutate in mutations._BYTES:
        for _ in range(50):
            data = bytearray(seed)
            mutate(rng, data, [seed, b"other"])
            changed[mutate.__name__] += bytes(data) != seed
    assert min(changed.values()) > 10
