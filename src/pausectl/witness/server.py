# SPDX-License-Identifier: Apache-2.0
r"""A witness's doors, C2SP tlog-witness: one question, and what was answered last.

POST /add-checkpoint                                 cosignature lines; or 409 and the size that it knows
GET  /<hex SHA-256 of the origin>/checkpoint         what it cosigned last of that log
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence

from prometheus_client import Counter, Gauge

from pausectl.errors import PausectlError, SplitView, Unavailable
from pausectl.net.door import Answer, Door, Request, Throttled, status_of
from pausectl.net.metrics import Metrics
from pausectl.registry import enforces
from pausectl.wire import checkpoint, note, witness
from pausectl.wire.checkpoint import Checkpoint
from pausectl.wire.note import Signature
from pausectl.witness.decision import Inconsistent, http_status
from pausectl.witness.witness import Witness

#: A proof of 63 hashes and a checkpoint with two lines of ML-DSA-44 are 9.5 KB; other people's lines may be on it too.
MAX_BODY = 65_536

_MONITORED = re.compile(r"/([0-9a-f]{64})/checkpoint")
_FRESH = {"cache-control": "no-store"}


class Doorkeeper:
    """The doors of one witness, and why it cannot cosign just now, if it cannot."""

    def __init__(self, witness: Witness, numbers: Numbers, clock: Callable[[], int] = lambda: int(time.time())) -> None:
        """clock: POSIX seconds."""
        self._witness, self._numbers, self._clock = witness, numbers, clock
        #: For /health: the last fault of our own since the last cosignature, or "".
        self.trouble = ""
        numbers.know(witness)

    def doors(self) -> list[Door]:
        """For `net.serve`."""
        return [
            Door(
                "POST",
                f"/{witness.ADD_CHECKPOINT_PATH}",
                self.add,
                max_body=MAX_BODY,
                party=lambda request: request.client,
                status=_status,
            ),
            Door("GET", "/", self.monitor),
        ]

    def add(self, request: Request) -> Answer:
        """One add-checkpoint request."""
        asked = witness.parse_request(request.body)
        try:
            answer = self._witness.answer(asked, self._clock)
        except (SplitView, Inconsistent) as error:
            self._numbers.refused(asked.checkpoint.origin, error)
            raise
        except Unavailable as error:
            self.trouble = error.message
            raise
        if isinstance(answer, int):
            return Answer(409, witness.format_conflict(answer), witness.SIZE_TYPE, _FRESH)
        self.trouble = ""
        self._numbers.cosigned(asked.checkpoint, answer)
        return Answer(200, witness.format_response(answer), headers=_FRESH)

    @enforces("WTN-13")
    def monitor(self, request: Request) -> Answer:
        """What was cosigned last of one log.

        [WTN-13] A witness MUST serve the checkpoint that it cosigned last of a log, with the log's signature and its
        own, below the SHA-256 of the log's origin in hexadecimal, and 404 for one that it never cosigned.
        """
        asked = _MONITORED.fullmatch(request.path)
        found = self._witness.published(asked[1]) if asked else None
        if found is None:
            return Answer(404, b"nothing was cosigned under this path\n", headers=_FRESH)
        return Answer(200, found, headers=_FRESH)


def _status(error: PausectlError) -> int:
    return status_of(error) if isinstance(error, Throttled) else http_status(error)


class Numbers(Metrics):
    """A server's numbers and a witness's. Labelled by origin: of logs that were added here, so they are few."""

    def __init__(self) -> None:
        super().__init__()
        self._size = Gauge(
            "pausectl_witness_size", "Entries of the checkpoint cosigned last.", ("origin",), registry=self.registry
        )
        self._time = Gauge(
            "pausectl_witness_cosigned_seconds",
            "When it was cosigned, POSIX time.",
            ("origin",),
            registry=self.registry,
        )
        self._refused = Counter(
            "pausectl_witness_trees_refused", "Signed checkpoints refused for their tree, one of which may be a fork.",
            ("origin", "kind"), registry=self.registry,
        )  # fmt: skip

    def know(self, known: Witness) -> None:
        """Begin with what was cosigned before."""
        for origin in known.logs:
            raw = known.checkpoint(origin)
            if raw is not None:
                signed = note.parse(raw)
                ours = [line for line in signed.signatures if line.key_id == known.keys[0].key_id]
                self.cosigned(checkpoint.parse(signed.text), ours)

    def cosigned(self, told: Checkpoint, lines: Sequence[Signature]) -> None:
        """A checkpoint was cosigned with these lines."""
        self._size.labels(told.origin).set(told.size)
        self._time.labels(told.origin).set(int.from_bytes(lines[0].payload[:8], "big"))

    def refused(self, origin: str, error: PausectlError) -> None:
        """A signed checkpoint was refused for its tree."""
        self._refused.labels(origin, "split" if isinstance(error, SplitView) else "inconsistent").inc()
