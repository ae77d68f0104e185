# SPDX-License-Identifier: Apache-2.0
"""Asking witnesses, all at once, and no longer than need be.

    panel = Panel(agreement, home / "state" / "witnesses.json")
    heard = panel.collect(head, tiles, witnesses, old)

Each is asked in a thread of its own, which does nothing but ask; proofs are made and answers are judged in the thread
of the log. A round ends when all have answered; or when there is a quorum, and those who were quick until now have had
`GRACE`; or after `LIMIT`. Who is still silent then is not asked again before it has answered, costs the next rounds
nothing, and has a place among the quick ones again as soon as an answer took no longer than `GRACE`.
"""

from __future__ import annotations

import contextlib
import json
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pausectl.agreement.document import Agreement
from pausectl.agreement.quorum import Quorum
from pausectl.errors import Broken, PausectlError, SplitView, Unavailable
from pausectl.history.tiles import Tiles
from pausectl.log import publish
from pausectl.log.publish import Contradicted, Heard, Named, Witness
from pausectl.registry import enforces
from pausectl.wire import merkle, note, witness
from pausectl.wire.merkle import Hash
from pausectl.wire.note import Note, Signature

#: Seconds for a whole round, whoever is down.
LIMIT = 15.0

#: Seconds for those who were quick until now, when there is a quorum already.
GRACE = 0.5

#: Times that one witness is asked about one checkpoint.
_ATTEMPTS = 2


@dataclass(frozen=True, slots=True)
class _Question:
    """body: what is sent. head, size: the checkpoint in it. attempt: 1, or 2 after the witness named another size."""

    name: str
    ask: Witness
    body: bytes
    head: bytes
    size: int
    attempt: int


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came of a question, and after how many seconds."""

    to: _Question
    said: bytes | BaseException
    seconds: float


class Panel:
    """The witnesses that a log asks, round after round. For one thread."""

    def __init__(self, agreement: Agreement, remembered: Path | None = None) -> None:
        """remembered: a file with the sizes that witnesses cosigned last, where nobody would guess them.

        Losing it costs a second request to each of those, so it is neither synchronised nor believed.
        """
        self._agreement = agreement
        self._path = remembered
        #: By name: what each said, or is believed to have cosigned; what it did cosign; whom we waited for in vain.
        self._sizes = _load(remembered)
        self._saved = dict(self._sizes)
        self._cosigned: dict[str, int] = {}
        self._slow: set[str] = set()
        #: What is under way, and what has come back from that.
        self._out: dict[str, _Question] = {}
        self._back: queue.SimpleQueue[_Answer] = queue.SimpleQueue()

    @enforces("WIT-4", "WIT-5")
    def collect(
        self,
        head: bytes,
        tiles: Tiles,
        witnesses: Sequence[Witness],
        old: int,
        *,
        limit: float = LIMIT,
        grace: float = GRACE,
    ) -> Heard:
        """Ask every witness to cosign the checkpoint `head` of these tiles; a quorum is for the caller to demand.

        old: the size that those are believed to have cosigned last of whom nothing else is known.

        [WIT-4] A log MUST ask each of its witnesses without waiting for what another one answers.

        [WIT-5] A log MUST use a quorum that it has, after a grace of its own for the witnesses that it does not need.
        """
        heard = _Round(self._agreement, head, tiles, publish.by_name(witnesses))
        for name in heard.asked.keys() - self._out.keys():
            self._send(heard.question(name, self._sizes.get(name, old)))
        deadline, reached = time.monotonic() + limit, 0.0
        while waiting := [name for name in heard.asked if name in self._out and self._is_awaited(heard, name, reached)]:
            near = not reached or any(not heard.is_far(name) for name in waiting)
            end = deadline if near else min(deadline, reached + grace)
            try:
                answer = self._back.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                break
            self._take(answer, heard, old, grace)
            if not reached and heard.quorum().reached:
                reached = time.monotonic()
        self._leave(heard, bool(reached))
        self._save(tiles.size if reached else old)
        return heard.told()

    def _is_awaited(self, heard: _Round, name: str, reached: float) -> bool:
        """With a quorum, those from whom nothing came in time when they were last asked are not."""
        return not (reached and heard.is_far(name) and name in self._slow)

    def _send(self, question: _Question) -> None:
        """Ask, in a thread that may outlive everybody's patience, and is left behind when this process ends."""
        self._out[question.name] = question
        threading.Thread(target=_ask, args=(question, self._back), name="asking a witness", daemon=True).start()

    def _take(self, answer: _Answer, heard: _Round, old: int, grace: float) -> None:
        """Make something of an answer, to this round's question or to an earlier one."""
        name, question, said = answer.to.name, answer.to, answer.said
        del self._out[name]
        if answer.seconds <= grace:
            self._slow.discard(name)
        if isinstance(said, BaseException) and (isinstance(said, Broken) or not isinstance(said, PausectlError)):
            raise said  # a bug of ours, in whatever thread
        again = False
        try:
            if isinstance(said, PausectlError):
                raise said
            size = publish.conflict(said)
            if size is None:
                self._sizes[name] = self._cosigned[name] = question.size
                if question.head == heard.head:
                    heard.hear(name, said)
            else:
                again = self._differ(heard, question, size)
        except PausectlError as error:
            heard.complain(name, error)
        if name in heard.asked and (again or question.head != heard.head):
            attempt = question.attempt + 1 if again and question.head == heard.head else 1
            self._send(heard.question(name, self._sizes.get(name, old), attempt))

    def _differ(self, heard: _Round, question: _Question, size: int) -> bool:
        """A witness says that it cosigned `size` last, which we did not know; whether to ask again from there."""
        name = question.name
        if size > heard.size:
            hint = "either this log was set back, or somebody else signs with its key"
            raise Contradicted(f"has cosigned {size} entries of this log, which has {heard.size}", hint=hint)
        self._sizes[name] = size
        if size < self._cosigned.get(name, 0):
            was = self._cosigned.pop(name)
            heard.complain(name, Unavailable(f"was set back: it cosigned {was} entries, and knows of {size} now"))
        if question.attempt == _ATTEMPTS:
            raise Unavailable(f"says again that it cosigned another size, now {size}: somebody else is asking it too")
        return True

    def _leave(self, heard: _Round, reached: bool) -> None:
        """Say of whom nothing was heard; with far ones nobody is patient again until they were quick once."""
        for name in heard.asked:
            if name in self._out:
                self._slow.add(name)
                what = "has not answered yet, and was not needed" if reached else "gave no answer in time"
                heard.complain(name, Unavailable(what))

    def _save(self, guess: int) -> None:
        """Write down whose size is another than will be guessed after the next start."""
        odd = {name: size for name, size in sorted(self._sizes.items()) if size != guess}
        if odd == self._saved or self._path is None:
            return
        self._saved = odd
        temporary = self._path.with_suffix(".new")
        with contextlib.suppress(OSError):  # it is only a hint
            temporary.write_text(json.dumps(odd), encoding="utf-8")
            temporary.replace(self._path)


class _Round:
    """One checkpoint, and what everybody says about it."""

    def __init__(self, agreement: Agreement, head: bytes, tiles: Tiles, asked: dict[str, Witness]) -> None:
        self.head, self.size, self.asked = head, tiles.size, asked
        self._agreement, self._tiles = agreement, tiles
        self._proof = cache(self._prove)  # most witnesses know the same size
        self._note = note.parse(head)
        self._lines: dict[str, list[Signature]] = {}
        self._complaints: dict[str, str] = {}
        self._contradicted: list[str] = []

    def is_far(self, name: str) -> bool:
        """Whether it is in another process, so that it may be slow."""
        ask = self.asked[name]
        return isinstance(ask, Named) and ask.far

    @enforces("WIT-6")
    def question(self, name: str, known: int, attempt: int = 1) -> _Question:
        """What to ask a witness that cosigned `known` last.

        [WIT-6] A log MUST NOT send to a witness any signature line but its own.
        """
        known = min(known, self.size)
        body = witness.format_request(witness.Request(known, self._proof(known), self.head))
        return _Question(name, self.asked[name], body, self.head, self.size, attempt)

    def _prove(self, known: int) -> tuple[Hash, ...]:
        return merkle.prove_consistency(known, self.size, self._tiles.read) if known else ()

    def hear(self, name: str, answer: bytes) -> None:
        """Keep its lines, if they are good."""
        self._lines[name] = publish.verified(answer, self._note, self._agreement)

    def complain(self, name: str, error: PausectlError) -> None:
        """Keep what went wrong with it, for people; a contradiction is not covered up by anything that follows."""
        if isinstance(error, Contradicted | SplitView):
            self._contradicted.append(name)
            self._complaints[name] = f"{name}: FORK SIGNAL: {error}"
        elif name not in self._contradicted:
            self._complaints[name] = f"{name}: {error}"

    def quorum(self) -> Quorum:
        """Whose lines we have."""
        return publish.quorum(self.signed(), self._agreement)

    def signed(self) -> Note:
        """With all lines, in the order in which the witnesses were given."""
        return note.add(self._note, [line for name in self.asked for line in self._lines.get(name, ())])

    def told(self) -> Heard:
        """Everything."""
        complaints = (self._complaints[name] for name in self.asked if name in self._complaints)
        return Heard(self.signed(), self.quorum(), tuple(complaints), tuple(dict.fromkeys(self._contradicted)))


def _ask(question: _Question, back: queue.SimpleQueue[_Answer]) -> None:
    begun = time.monotonic()
    said: bytes | BaseException
    try:
        said = question.ask(question.body)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is raised in the thread that waits for it
        said = error
    back.put(_Answer(question, said, time.monotonic() - begun))


def _load(path: Path | None) -> dict[str, int]:
    try:
        found = json.loads(path.read_text(encoding="utf-8")) if path else {}
    except (OSError, ValueError):
        return {}
    good = isinstance(found, dict) and all(type(size) is int and size >= 0 for size in found.values())
    return found if good else {}
