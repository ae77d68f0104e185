# SPDX-License-Identifier: Apache-2.0
r"""A log's doors: what anybody may read, and the one through which statements come in.

GET  /checkpoint                 never cached
GET  /tile/0/000.p/2             never changes; also /tile/entries/…
GET  /key/<hex SHA-256>          the log's post-quantum key, which its agreement has by this digest
POST /add                        an envelope in; its tlog-proof out, once it is published and cosigned
"""

from __future__ import annotations

import re
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from threading import Lock

from pausectl.errors import Malformed, PausectlError, Unavailable
from pausectl.log import admission
from pausectl.log.admission import Unreadable
from pausectl.log.commit import Committer, Receipt, Turn
from pausectl.log.storage.seams import Absent, Store
from pausectl.net.door import OCTETS, Answer, Door, Request, Throttled, status_of
from pausectl.net.limits import Buckets, Limits
from pausectl.net.metrics import Counter, GaugeMetricFamily, Histogram, Metrics
from pausectl.registry import enforces
from pausectl.wire import tile

#: What readers fetch most: the right edge and the hash tiles above it. Bytes.
CACHE_BYTES = 64 << 20

_FOREVER = {"cache-control": "public, max-age=31536000, immutable"}
_NEVER = {"cache-control": "no-store"}
_KEY = re.compile(r"key/[0-9a-f]{64}")


def doors(store: Store, committer: Committer, limits: Limits) -> list[Door]:
    """The doors of a log that lies in `store` and is written by `committer`."""
    reads, adds = Reads(store), Adds(committer, limits)
    return [
        Door("POST", "/add", adds.add, max_body=tile.MAX_ENTRY_BYTES, inline=True, status=_add_status),
        Door("GET", "/checkpoint", reads.checkpoint, inline=True),
        Door("GET", "/tile/", reads.tile, inline=True, status=_read_status),
        Door("GET", "/key/", reads.key, inline=True, status=_read_status),
    ]


def _read_status(error: PausectlError) -> int:
    """A path that is none is not there, like any other."""
    return 404 if isinstance(error, Malformed | Absent) else 503


def _add_status(error: PausectlError) -> int:
    return 400 if isinstance(error, Unreadable) else status_of(error)


class Reads:
    """What is published, from the store, with a bounded memory of it. Threads of its own: writes delay no reader."""

    def __init__(self, store: Store, *, cache_bytes: int = CACHE_BYTES, threads: int = 4) -> None:
        self._store = store
        self._threads = ThreadPoolExecutor(threads, "reads")
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._bytes, self._most = 0, cache_bytes
        self._lock = Lock()

    @enforces("HTTP-7")
    def checkpoint(self, _: Request) -> Future[Answer]:
        """The published checkpoint.

        [HTTP-7] A log MUST serve its published checkpoint at /checkpoint so that no cache keeps it.
        """
        return self._threads.submit(self._checkpoint)

    @enforces("HTTP-8")
    def tile(self, request: Request) -> Answer | Future[Answer]:
        """A tile or bundle.

        [HTTP-8] A log MUST serve a tile or bundle under its canonical path only, and every other path below /tile/ as
        404.
        """
        return self._immutable(tile.parse_path(request.path.removeprefix("/")).path)

    def key(self, request: Request) -> Answer | Future[Answer]:
        """A public key, which its path commits to."""
        path = request.path.removeprefix("/")
        if not _KEY.fullmatch(path):
            raise Malformed("expected key/ and 64 hexadecimal digits")
        return self._immutable(path)

    def _checkpoint(self) -> Answer:
        raw = self._store.public.read()
        return Answer(200, raw, headers=_NEVER) if raw else Answer(404, b"nothing is published yet\n", headers=_NEVER)

    def _immutable(self, path: str) -> Answer | Future[Answer]:
        with self._lock:
            data = self._kept.get(path)
            if data is not None:
                self._kept.move_to_end(path)
                return Answer(200, data, OCTETS, _FOREVER)
        return self._threads.submit(self._load, path)

    def _load(self, path: str) -> Answer:
        data = self._store.objects.get(path)
        with self._lock:
            if path not in self._kept:
                self._kept[path] = data
                self._bytes += len(data)
            while self._bytes > self._most:
                self._bytes -= len(self._kept.popitem(last=False)[1])
        return Answer(200, data, OCTETS, _FOREVER)


class Adds:
    """The door for statements.

    Two shares are counted. Bad requests count against the address they come from, good ones against their signers: a
    keyid that anybody can write into an envelope is nobody's until the signature verifies.
    """

    def __init__(self, committer: Committer, limits: Limits) -> None:
        self._committer = committer
        self._strangers = Buckets(limits.rate, limits.burst, limits.parties)
        self._parties = Buckets(limits.rate, limits.burst, limits.parties)

    @enforces("HTTP-4")
    def add(self, request: Request) -> Future[Answer]:
        """Admit an envelope and hand it to the writer; the answer comes when it is published.

        On the event loop, since a thread costs as much again as the signature check that it would do.

        [HTTP-4] A log MUST count a statement against the shares of its signers only after it has verified their
        signatures.
        """
        _share(self._strangers, request.client, "this address sends more that is refused than this log looks at")
        decoded = admission.admit(request.body, self._committer.agreement)
        self._strangers.give_back(request.client)
        party = "+".join(decoded.signers)
        _share(self._parties, party, "more statements than this log takes from one party")
        answer: Future[Answer] = Future()
        try:
            waiting = self._committer.submit(request.body, decoded)
        except Unavailable:
            self._parties.give_back(party)
            raise
        waiting.add_done_callback(partial(self._answer, answer, party))
        return answer

    def _answer(self, answer: Future[Answer], party: str, done: Future[Receipt]) -> None:
        error = done.exception()
        if error is None:
            answer.set_result(Answer(200, done.result().proof, headers=_NEVER))
            return
        if isinstance(error, Unavailable):
            self._parties.give_back(party)
        answer.set_exception(error)


def _share(buckets: Buckets, party: str, text: str) -> None:
    wait = buckets.take(party)
    if wait:
        raise Throttled(text, after=wait)


class Numbers(Metrics):
    """A server's numbers, and those of a log's writer. `watch` is for the committer."""

    def __init__(self) -> None:
        super().__init__()
        self._entries = Counter("pausectl_log_entries", "Entries handed in.", ("new",), registry=self.registry)
        self._commits = Histogram(
            "pausectl_log_commit_seconds", "From taking a batch to answering it, cosigning included.",
            registry=self.registry,
        )  # fmt: skip

    def watch(self, turn: Turn) -> None:
        """Count one commit."""
        self._entries.labels("yes").inc(turn.fresh)
        self._entries.labels("no").inc(turn.entries - turn.fresh)
        self._commits.observe(turn.seconds)

    def follow(self, committer: Committer) -> None:
        """Show how many entries wait, and how many the log has and shows."""
        self.registry.register(_Gauges(committer))


class _Gauges:
    def __init__(self, committer: Committer) -> None:
        self._committer = committer

    def collect(self) -> list[GaugeMetricFamily]:
        """As `prometheus_client` asks for it."""
        now = self._committer
        return [
            GaugeMetricFamily("pausectl_log_waiting", "Entries that wait or are being written.", now.waiting),
            GaugeMetricFamily("pausectl_log_complaints", "Witnesses that did not cosign.", len(now.complaints)),
            GaugeMetricFamily("pausectl_log_size", "Entries in the tree.", now.size),
            GaugeMetricFamily(
                "pausectl_log_published_size", "Entries of the published checkpoint.", now.published_size
            ),
        ]
