# SPDX-License-Identifier: Apache-2.0
"""However many processes decode: the same entries in the same order, and the same refusals."""

from __future__ import annotations

import pytest

from pausectl.errors import Forged
from pausectl.history import parallel
from pausectl.history.reader import open_ledger
from pausectl.sim.ledger import MemorySource
from pausectl.sim.world import World
from pausectl.verify.audit import verify


@pytest.fixture(scope="module")
def world():
    return World(windows=36).run()


@pytest.fixture(autouse=True)
def _even_small_ledgers(monkeypatch):
    monkeypatch.setattr(parallel, "WORTH_A_POOL", 1)


def quiet(_done: int, _all: int) -> None:
    """No progress to show."""


@pytest.mark.parametrize("start", [0, 1, 255, 256, 300])
def test_two_processes_read_what_one_does(world, start):
    ledger = open_ledger(world.source().fetch, world.agreement)
    assert ledger.size > 512
    one, two = (list(parallel.decoded(ledger, start, jobs, quiet)) for jobs in (1, 2))
    assert [index for index, _ in two] == list(range(start, ledger.size))
    assert one == two


def test_the_same_verdicts(world):
    fetch = world.source().fetch
    assert verify(fetch, world.agreement, jobs=2).judgement == verify(fetch, world.agreement, jobs=1).judgement


def test_a_forged_entry_is_refused_in_whatever_process(world):
    files = world.memory.files()
    damaged = bytearray(files["tile/entries/001"])
    damaged[5_000] ^= 1
    source = MemorySource({**files, "tile/entries/001": bytes(damaged)})
    for jobs in (1, 2):
        with pytest.raises(Forged, match="not the one that the tree commits to"):
            verify(source.fetch, world.agreement, jobs=jobs)
