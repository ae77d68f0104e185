# SPDX-License-Identifier: Apache-2.0
"""A log whose every entry, mark and witness clock the test sets by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from pausectl.history.decode import decode
from pausectl.history.reader import Ledger, open_ledger
from pausectl.history.records import Case
from pausectl.history.replay import History
from pausectl.sim.ledger import MemoryLedger, minimal
from pausectl.sim.world import World
from pausectl.wire import checkpoint, cosignature, note

Times = int | Mapping[str, int]


class HandLedger(MemoryLedger):
    """Publishes nothing by itself."""

    def publish(self, now: int) -> None:
        """Never; see `HandWorld.tick`."""

    def signed(self, times: Times, *, size: int | None = None, root: bytes | None = None) -> bytes:
        """A checkpoint, cosigned by all witnesses at one time, or by some of them at times of their own."""
        origin = self.agreement.document.log.origin
        said = checkpoint.Checkpoint(origin, len(self.entries) if size is None else size, root or self._range.root())
        text = checkpoint.sign(said, self._keys[self._operator])
        each = dict.fromkeys(self.agreement.witness_keys, times) if isinstance(times, int) else times
        lines = [
            cosignature.cosign(text.text, self.agreement.witness_keys[name].name, self._keys[name], time)
            for name, time in each.items()
        ]
        return note.add(text, lines).raw


class HandWorld(World):
    """A world in which nothing happens unless the test says it."""

    def __init__(self, **more) -> None:
        super().__init__(windows=0, open_ledger=lambda agreement, keys, _now: HandLedger(agreement, keys), **more)

    def mark(self, times: Times, **tree) -> int:
        """Log a mark of what is there now; its index."""
        return self.ledger.append(self.ledger.mark(self.ledger.signed(times, **tree)))

    def bare(self, times: Times) -> bytes:
        """The note that a mark would carry."""
        return minimal(self.ledger.signed(times), self.agreement)

    def open(self, times: Times) -> Ledger:
        """What a reader finds under a head that was cosigned at `times`."""
        self.memory.head = self.ledger.signed(times)
        return open_ledger(self.source().fetch, self.agreement)

    def replay(
        self, times: Times, as_of: int | None = None, on: Callable[[Case], None] = lambda _case: None
    ) -> History:
        """The history under such a head."""
        ledger = self.open(times)
        history = History(self.agreement, ledger.head, ledger.tiles.root, as_of=as_of, on_settled=on)
        for index, raw in ledger.entries():
            history.add(index, decode(raw, self.agreement.keys))
        history.finish()
        return history


@pytest.fixture
def hand() -> type[HandWorld]:
    return HandWorld
