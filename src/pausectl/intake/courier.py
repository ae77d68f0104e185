# SPDX-License-Identifier: Apache-2.0
"""Hands on what was handed in, until the log shows that it holds it: statements at once, receipts in their order.

    with Courier(intake, "https://log.example/pause", say=print):      a thread of its own
        …

What is believed is not the log's 200 but its proof: the statement under a checkpoint with the agreement's quorum.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from pausectl.agreement.types import instant
from pausectl.errors import PausectlError, Refused, Unavailable
from pausectl.history import receipt
from pausectl.history.reader import open_ledger
from pausectl.history.source import open_source
from pausectl.intake.intake import Intake
from pausectl.intake.memory import Memory, Row
from pausectl.net.client import Client
from pausectl.net.door import line
from pausectl.registry import enforces
from pausectl.wire import dsse, proof

#: Of a tlog-proof with many cosignatures; bytes.
_MOST = 1 << 18
#: Between two tries, in seconds: after the first one in vain, and at most.
_SHORTEST, _LONGEST = 1.0, 300.0
#: Seconds after which a receipt is filed although the log has not taken its statement.
PATIENCE = 3_600


class Courier:
    """One thread that tries again and again; a context."""

    def __init__(
        self,
        intake: Intake,
        url: str,
        *,
        patience: int = PATIENCE,
        timeout: float = 60.0,
        clock: Callable[[], float] = time.time,
        say: Callable[[str], object] = lambda _text: None,
    ) -> None:
        """url: the log's. patience, timeout: in seconds. clock: POSIX seconds. say: is told what goes wrong."""
        self._intake = intake
        self._url = url.rstrip("/")
        self._client = Client(self._url, timeout=timeout)
        self._patience = patience
        self._clock = clock
        self._say = say
        self._later: dict[int, float] = {}
        self._wake = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)

    def hurry(self) -> None:
        """There is something new."""
        self._wake.set()

    @enforces("INT-7", "INT-8")
    def round(self) -> bool:
        """Try whatever is due for a try; whether the log could be reached.

        [INT-7] An intake party MUST hand on what it was handed until the log has proved that the statement stands in a
        tree with the agreement's quorum of cosignatures.

        [INT-8] An intake party MUST hand its receipts to the log in order of their numbers, each once the log has its
        statement or has not taken it for an hour.
        """
        memory, now = self._intake.memory, self._clock()
        try:
            for row in memory.untaken():
                if self._later.get(row.number, 0) <= now:
                    self._deliver(row, row.entry, "taken")
            for row in memory.unfiled():
                if row.taken is None and now < row.time + self._patience:
                    break
                if self._later.get(-1 - row.number, 0) > now or not self._deliver(row, row.receipt, "filed"):
                    break
        except Unavailable as error:
            self._say(f"the log did not take anything: {error}")
            return False
        return True

    def _deliver(self, row: Row, entry: bytes, column: str) -> bool:
        """Hand on one envelope; False if the log does not want it. Unavailable if the log cannot be reached."""
        memory, place = self._intake.memory, row.number if column == "taken" else -1 - row.number
        try:
            self._post(entry)
        except Unavailable as error:
            memory.failed(row.number, str(error))
            raise
        except PausectlError as error:
            memory.failed(row.number, str(error))
            self._later[place] = self._clock() + min(_SHORTEST * 2 ** min(row.tries, 20), _LONGEST)
            self._say(f"number {row.number}, statement {row.statement[:12]}…: the log did not take it: {error}")
            return False
        memory.took(row.number, column, int(self._clock()))
        self._later.pop(place, None)
        return True

    def _post(self, entry: bytes) -> None:
        answer = self._client.post("/add", entry, type="application/json", max_bytes=_MOST)
        if answer.status != 200:
            said = line(answer.body[:200].decode(errors="replace").strip()).decode().strip()
            kind = Unavailable if answer.status >= 500 or answer.status == 429 else Refused
            raise kind(f"answered {answer.status}: {said}")
        made = proof.parse(answer.body)
        try:
            receipt.check(made, entry, self._intake.agreement)
        except PausectlError:
            self._stands(made.index, dsse.parse(entry).statement_id)  # perhaps in an envelope by other signers

    def _stands(self, index: int, statement: str) -> None:
        ledger = open_ledger(open_source(self._url).fetch, self._intake.agreement)
        found = next(ledger.entries(index), None) if index < ledger.size else None
        if found is None or dsse.parse(found[1]).statement_id != statement:
            raise Refused("answered 200, and what it proves is not that it holds this statement")

    # ── the thread ──

    def _run(self) -> None:
        wait = _SHORTEST
        while not self._over.is_set():
            self._wake.clear()
            try:
                reached = self.round()
            except PausectlError as error:
                self._say(f"the courier: {error}")
                reached = False
            if reached:
                wait = _SHORTEST
                self._wake.wait(self._idle())
            else:  # nobody is in a hurry while the log is away
                self._over.wait(wait)
                wait = min(wait * 2, _LONGEST)

    def _idle(self) -> float:
        """Seconds until the next try is due, as long as nothing new comes in."""
        due = min(self._later.values(), default=self._clock() + _LONGEST)
        return min(max(due - self._clock(), _SHORTEST), _LONGEST)

    def close(self) -> None:
        """End the thread after the request that is under way."""
        self._over.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=5)
        self._client.close()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def waiting(memory: Memory) -> list[dict[str, object]]:
    """What the log has not taken, for people and programs: since when, how often it was tried, what was answered."""
    return [
        {
            "number": row.number, "since": instant(row.time), "statement": row.statement, "tries": row.tries,
            "trouble": row.trouble,
        }
        for row in memory.untaken()
    ]  # fmt: skip
