# SPDX-License-Identifier: Apache-2.0
"""How much of a server one stranger gets: bytes, seconds, and writes a second. Reads are never counted."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one server.

    header_seconds, body_seconds: for the head and for the body of a request; also how long an idle connection lives.
    rate: requests a second of one party in the long run. burst: at once. parties: of how many we remember what they
    used. connections: at a time; more wait. proxies: addresses whose X-Forwarded-For is believed. threads: for doors
    that are not inline.
    """

    header_seconds: float = 10.0
    body_seconds: float = 10.0
    rate: float = 100.0
    burst: int = 1_000
    parties: int = 10_000
    connections: int = 4_096
    proxies: frozenset[str] = frozenset()
    threads: int = 8


class Buckets:
    """A token bucket for each party, of a bounded number of them. Any number of threads may share it."""

    def __init__(
        self, rate: float, burst: int, parties: int = 10_000, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """rate: tokens a second. burst: what a bucket holds. parties: who was longest away is forgotten beyond it."""
        self._rate, self._burst, self._parties, self._clock = rate, float(burst), parties, clock
        self._held: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = Lock()

    def take(self, party: str, tokens: float = 1.0) -> int:
        """0 if the party may go on, and else after how many whole seconds it may, with nothing taken."""
        with self._lock:
            now = self._clock()
            level, then = self._held.pop(party, (self._burst, now))
            level = min(self._burst, level + (now - then) * self._rate)
            granted = level >= tokens
            self._held[party] = (level - tokens if granted else level, now)
            if len(self._held) > self._parties:
                self._held.popitem(last=False)
            return 0 if granted else max(1, math.ceil((tokens - level) / self._rate))

    def give_back(self, party: str, tokens: float = 1.0) -> None:
        """Undo a `take`, because what came of it was our fault and not the party's."""
        with self._lock:
            if party in self._held:
                level, then = self._held[party]
                self._held[party] = (min(self._burst, level + tokens), then)

    def __len__(self) -> int:
        """How many parties are remembered."""
        return len(self._held)
