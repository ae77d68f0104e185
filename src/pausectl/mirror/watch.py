# SPDX-License-Identifier: Apache-2.0
"""Visits that go on, whatever the log and its witnesses do, and say each thing once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from threading import Event

from pausectl.errors import Broken, PausectlError, SplitView
from pausectl.history.source import Source
from pausectl.mirror.compare import Comparison
from pausectl.mirror.follow import Mirror, Progress, Round

#: Seconds after which an unreachable log is visited again at the latest, unless `every` is longer.
LONGEST = 300.0
#: Visits on which something has to be wrong with a witness before it is said: it may just be ahead of the log.
PATIENCE = 3


class Watch:
    """A mirror, its log, and whom it is compared with. `code` is what a process that ends now should exit with."""

    def __init__(
        self,
        mirror: Mirror,
        source: Source,
        comparison: Comparison,
        *,
        clock: Callable[[], int],
        say: Callable[[str], object],
        progress: Progress = lambda _done, _all: None,
    ) -> None:
        """clock: POSIX seconds. say: one line for people."""
        self.code = 0
        self.trouble = ""
        self._mirror = mirror
        self._source = source
        self._comparison = comparison
        self._clock = clock
        self._say = say
        self._progress = progress
        self._behind: Counter[str] = Counter()
        self._failures = 0

    @property
    def size(self) -> int:
        """How many entries are held."""
        return self._mirror.size

    def once(self) -> int:
        """One visit; raises what goes wrong. 3 if somebody could not be compared with, else 0."""
        try:
            self._tell(self._mirror.follow(self._source, self._clock(), self._progress))
        finally:
            told = self._comparison.look()
        for complaint in told.values():
            self._say(complaint)
        return 3 if told else 0

    def run(self, every: float, stop: Event) -> int:
        """Visits until `stop`, each `every` seconds after the last; later and later while the log does not answer."""
        while not stop.is_set():
            self._visit()
            pause = min(every * 2**self._failures, max(every, LONGEST)) if self._failures < 32 else LONGEST
            stop.wait(pause)
        return self.code

    def _visit(self) -> None:
        trouble = "; ".join(filter(None, [self._attempt(self._follow), self._attempt(self._compare)]))
        if trouble and trouble != self.trouble:
            self._say(trouble)
        elif self.trouble and not trouble:
            self._say(f"{self._source.name}: all is well again, {self._mirror.size} entries")
        self.trouble = trouble

    def _attempt(self, step: Callable[[], None]) -> str:
        """Why a step failed, or "". A bug of ours ends the process; anything else waits for better times."""
        try:
            step()
        except SplitView as error:
            self.code = error.exit_code
            return f"{error}; {error.hint}"
        except Broken:
            raise
        except (PausectlError, OSError) as error:
            return str(error)
        return ""

    def _follow(self) -> None:
        self._failures += 1
        self._tell(self._mirror.follow(self._source, self._clock(), self._progress))
        self._failures = 0

    def _compare(self) -> None:
        told = self._comparison.look()
        for name, complaint in told.items():
            self._behind[name] += 1
            if self._behind[name] == PATIENCE:
                self._say(complaint)
        for name in set(self._behind) - set(told):
            if self._behind.pop(name) >= PATIENCE:
                self._say(f"{name}: shows what is held here again")

    def _tell(self, done: Round) -> None:
        if done.size > done.before:
            self._say(f"{self._source.name}: {done.size} entries, {done.size - done.before} of them new")
