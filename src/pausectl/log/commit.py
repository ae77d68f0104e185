# SPDX-License-Identifier: Apache-2.0
"""Many submitters, one writer: everything that waits goes into one commit, one round of cosigning, one checkpoint.

    with Committer(log, witnesses) as writer:
        receipt = writer.submit(entry, admission.admit(entry, log.agreement)).result()

No timer: a lone entry is committed at once, and what comes meanwhile is the next commit, so that a crowd shares one
fsync. Only the writer's thread touches the log.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from pausectl.agreement.document import Agreement
from pausectl.errors import Refused, Unavailable
from pausectl.history.decode import Decoded
from pausectl.log.log import Admission, Log
from pausectl.log.publish import Witness
from pausectl.net.door import Busy
from pausectl.registry import enforces

#: After how many seconds a quorum that failed is asked for again when nobody submits: doubled, up to the second.
_FIRST_WAIT, _LAST_WAIT = 1.0, 60.0


#: For how many seconds nothing is said twice.
_QUIET = 60.0


@dataclass(frozen=True, slots=True)
class Receipt:
    """Where an entry stands. duplicate: it stood there before. proof: a tlog-proof under the published checkpoint."""

    index: int
    statement_id: str
    duplicate: bool
    proof: bytes


@dataclass(frozen=True, slots=True)
class Turn:
    """What one commit was: how many entries were handed in, how many of them are new, and its seconds in all."""

    entries: int
    fresh: int
    seconds: float


@dataclass(frozen=True, slots=True)
class _Waiting:
    entry: bytes
    decoded: Decoded
    answer: Future[Receipt]


class Committer:
    """The writer of an open log, in a thread of its own. `submit` may be called from any thread."""

    def __init__(
        self,
        log: Log,
        witnesses: Sequence[Witness],
        *,
        clock: Callable[[], float] = time.time,
        queue: int = 4_096,
        batch: int = 1_024,
        say: Callable[[str], object] = lambda _: None,
        watch: Callable[[Turn], object] = lambda _: None,
    ) -> None:
        """queue: how many may wait. batch: how many go into one commit. say: told what goes wrong, and that it is over.

        watch: told of every commit.
        """
        self._log, self._witnesses, self._clock = log, witnesses, clock
        self._queue, self._batch = queue, batch
        self._say, self._watch = say, watch
        self._waiting: deque[_Waiting] = deque()
        self._turn: list[_Waiting] = []
        self._wake = threading.Condition()
        self._closing = False
        self._patience, self._not_before = _FIRST_WAIT, 0.0
        self._judged: tuple[bytes, bool] = (b"", False)
        self._told = ""
        self._lately: dict[str, float] = {}
        #: Why entries are not acknowledged just now, or "".
        self.trouble = ""
        #: What single witnesses said in the last round instead of cosigning; FORK SIGNAL if one knows another history.
        self.complaints: tuple[str, ...] = ()
        #: Done when the writer has ended, with the error that ended it.
        self.ended: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="writer")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def waiting(self) -> int:
        """How many entries wait or are being written."""
        return len(self._waiting) + len(self._turn)

    @property
    def size(self) -> int:
        """How many entries the tree has."""
        return self._log.size

    @property
    def published_size(self) -> int:
        """How many of them readers see."""
        return self._log.published_size

    @property
    def agreement(self) -> Agreement:
        """Of the log."""
        return self._log.agreement

    @enforces("HTTP-5")
    def submit(self, entry: bytes, decoded: Decoded) -> Future[Receipt]:
        """Hand in an entry that `admission.admit` let pass as `decoded`; Busy if too many wait already.

        [HTTP-5] A log MUST answer 503 with a Retry-After, and take nothing in, while as many entries wait as its queue
        holds.

        The future has the receipt; Refused if the entry may not enter after all; Unavailable if it was not published,
        and then handing it in again is safe, whether or not it stands in the tree by now.
        """
        answer: Future[Receipt] = Future()
        with self._wake:
            if self._closing or self.ended.done():
                raise Busy("this log is just ending", after=5)
            if self.waiting >= self._queue:
                raise Busy(f"{self._queue} entries wait already")
            self._waiting.append(_Waiting(entry, decoded, answer))
            self._wake.notify()
        return answer

    def nudge(self) -> None:
        """Something changed that may make a mark due."""
        with self._wake:
            self._wake.notify()

    def close(self) -> None:
        """Commit what waits, and end."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    # ── in the writer's thread ─────────────────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        try:
            while self._take():
                self._write()
        except BaseException as error:  # noqa: BLE001 - whatever it is, nobody may be left waiting
            self._end(error)
        else:
            self._end(None)

    def _take(self) -> bool:
        """Wait for something to do and make it `_turn`, which is empty when the time has come for a mark or a retry."""
        with self._wake:
            self._turn = []
            while not self._waiting and not self._closing:
                pause = self._idle_seconds()
                if pause is not None and pause <= 0:
                    return True
                self._wake.wait(pause)
            while self._waiting and len(self._turn) < self._batch:
                self._turn.append(self._waiting.popleft())
            return bool(self._turn)

    def _idle_seconds(self) -> float | None:
        """For how long there is nothing to do if nobody submits; None for ever."""
        if not self._witnesses:
            return None
        retry = self._not_before - time.monotonic()
        if not self._is_published(self._log.size - 1):
            return retry
        due = self._log.mark_due_at
        return None if due is None else max(due - self._clock(), retry)

    def _write(self) -> None:
        begun = time.perf_counter()
        try:
            answers = self._log.enter([(each.entry, each.decoded) for each in self._turn])
        except (Refused, Unavailable) as error:  # the store's; if it was half way, the next commit says so
            self._tell(str(error))
            text = f"not stored: {error.message}"
            self._fail(lambda: Busy(text, after=5))
            return
        needed = [each.index for each in answers if isinstance(each, Admission)]
        if not needed or not self._is_published(max(needed)):
            self._cosign()
        self._answer(answers)
        fresh = sum(isinstance(each, Admission) and not each.duplicate for each in answers)
        if answers:
            self._watch(Turn(len(answers), fresh, time.perf_counter() - begun))

    def _cosign(self) -> None:
        """Ask the witnesses; what they say instead of cosigning is told once, until it changes."""
        if not self._witnesses:
            return
        try:
            self._log.cosign(self._witnesses, int(self._clock()))
            self._patience, trouble = _FIRST_WAIT, ""
        except (Refused, Unavailable) as error:
            self._patience, trouble = min(self._patience * 2, _LAST_WAIT), str(error)
        self._not_before = time.monotonic() + self._patience
        self.trouble, self.complaints = trouble, self._log.complaints
        self._tell(trouble or "; ".join(self.complaints))

    @enforces("HTTP-6")
    def _answer(self, answers: Sequence[Admission | Refused]) -> None:
        """Answer everybody of this turn.

        [HTTP-6] A log MUST NOT answer 200 to a submitter before the entry is covered by a published checkpoint that has
        a quorum of cosignatures.
        """
        for waiting, place in zip(self._turn, answers, strict=True):
            if isinstance(place, Refused):
                _set(waiting.answer, place)
            elif self._is_published(place.index):
                _set(waiting.answer, self._receipt(place))
            else:
                text = f"entry {place.index} is stored, but has no quorum of witnesses yet: hand it in again"
                _set(waiting.answer, Busy(text, after=5))

    def _receipt(self, place: Admission) -> Receipt | Exception:
        try:
            made = self._log.prove(place.index)
        except (Refused, Unavailable) as error:  # a shared store that does not answer just now
            self._tell(str(error))
            return Busy(f"entry {place.index} is stored, but cannot be proven just now: hand it in again", after=5)
        return Receipt(place.index, place.statement_id, place.duplicate, made)

    def _is_published(self, index: int) -> bool:
        """Whether readers see the entry, in a checkpoint that they take."""
        raw = self._log.checkpoint
        if self._judged[0] != raw:
            self._judged = raw, self._log.cosigned
        return self._judged[1] and index < self._log.published_size

    def _tell(self, trouble: str) -> None:
        """Say what is wrong when it changes; one that comes and goes with every commit is not told every time."""
        now = time.monotonic()
        if trouble == self._told or (trouble in self._lately and now - self._lately[trouble] < _QUIET):
            return
        self._told = trouble
        self._lately = {text: when for text, when in self._lately.items() if now - when < _QUIET} | {trouble: now}
        self._say(trouble or "all is well again")

    def _fail(self, error: Callable[[], Exception]) -> None:
        for waiting in self._turn:
            _set(waiting.answer, error())

    def _end(self, error: BaseException | None) -> None:
        """Nothing is written any more; whoever waits is told so."""
        with self._wake:
            self._closing = True
            self._turn += self._waiting
            self._waiting.clear()
        self._fail(lambda: Busy("this log has ended; what it had not answered may stand in it or not", after=5))
        if error is not None:
            self.ended.set_exception(error)
        else:
            self.ended.set_result(None)


def _set(answer: Future[Receipt], value: Receipt | Exception) -> None:
    # Whoever asked may have gone and cancelled it; that harms nobody else.
    with contextlib.suppress(InvalidStateError):
        if isinstance(value, Exception):
            answer.set_exception(value)
        else:
            answer.set_result(value)
