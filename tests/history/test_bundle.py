# SPDX-License-Identifier: Apache-2.0
"""A ledger in a zip: the same bytes under the same paths, the same verdicts, and nothing unchecked goes in."""

from __future__ import annotations

import zipfile

import pytest

from pausectl.errors import PausectlError, UsageFault
from pausectl.history import bundle
from pausectl.history.reader import open_ledger
from pausectl.history.source import ZipSource
from pausectl.sim.ledger import MemorySource
from pausectl.sim.world import World
from pausectl.verify.audit import verify


@pytest.fixture(scope="module")
def world():
    return World(windows=20).run()


def test_a_bundle_is_the_log(world, tmp_path):
    path = tmp_path / "pocket.zip"
    ledger = open_ledger(world.source().fetch, world.agreement)
    count = bundle.write(ledger, path)
    files = world.memory.files()
    with zipfile.ZipFile(path) as pocket:
        assert {name: pocket.read(name) for name in pocket.namelist()} == files
    assert count == len(files) > 5
    assert verify(ZipSource(path).fetch, world.agreement).judgement == world.verify().judgement


def test_the_same_ledger_makes_the_same_bundle(world, tmp_path):
    ledger = open_ledger(world.source().fetch, world.agreement)
    for name in ("a.zip", "b.zip"):
        bundle.write(ledger, tmp_path / name)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_progress_ends_at_all(world, tmp_path):
    steps: list[tuple[int, int]] = []
    ledger = open_ledger(world.source().fetch, world.agreement)
    count = bundle.write(ledger, tmp_path / "a.zip", lambda done, of: steps.append((done, of)))
    assert [of for _, of in steps] == [count] * len(steps)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert steps[-1][0] <= count


def test_a_forged_log_leaves_no_bundle_behind(world, tmp_path):
    files = world.memory.files()
    damaged = bytearray(files["tile/entries/000"])
    damaged[77] ^= 1
    source = MemorySource({**files, "tile/entries/000": bytes(damaged)})
    with pytest.raises(PausectlError):
        bundle.write(open_ledger(source.fetch, world.agreement), tmp_path / "a.zip")
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_left_alone(world, tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(b"mine")
    ledger = open_ledger(world.source().fetch, world.agreement)
    with pytest.raises(UsageFault, match="exists already"):
        bundle.write(ledger, path)
    assert path.read_bytes() == b"mine"
    with pytest.raises(UsageFault, match="cannot be written"):
        bundle.write(ledger, tmp_path / "nowhere" / "a.zip")
