# SPDX-License-Identifier: Apache-2.0
"""An intake party's doors.

POST /add                an envelope in; the receipt out, an envelope too, once both are durable
GET  /pending            what the log has not taken, and since when; JSON, and /pending.txt for people
GET  /receipt/<id>       the receipt for a statement; /entry/<id> has what was handed in
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from pausectl.agreement.types import instant
from pausectl.intake.courier import Courier, waiting
from pausectl.intake.intake import Intake
from pausectl.net.door import Answer, Door, Request, line
from pausectl.wire.tile import MAX_ENTRY_BYTES

_JSON = "application/json"
_NEVER = {"cache-control": "no-store"}


def doors(intake: Intake, courier: Courier | None, clock: Callable[[], float] = time.time) -> list[Door]:
    """The doors of an intake party. clock: POSIX seconds."""
    desk = _Desk(intake, courier, clock)
    return [
        Door("POST", "/add", desk.add, max_body=MAX_ENTRY_BYTES, party=lambda request: request.client),
        Door("GET", "/pending", desk.pending),
        Door("GET", "/pending.txt", desk.pending),
        Door("GET", "/receipt/", desk.stored),
        Door("GET", "/entry/", desk.stored),
    ]


class _Desk:
    def __init__(self, intake: Intake, courier: Courier | None, clock: Callable[[], float]) -> None:
        self._intake, self._courier, self._clock = intake, courier, clock

    def add(self, request: Request) -> Answer:
        receipt = self._intake.receive(request.body, int(self._clock()))
        if self._courier:
            self._courier.hurry()
        return Answer(200, receipt, _JSON, _NEVER)

    def pending(self, request: Request) -> Answer:
        found, count = waiting(self._intake.memory), self._intake.memory.count
        if request.path.endswith(".txt"):
            return Answer(200, plain(self._intake.party, count, found).encode(), headers=_NEVER)
        whole = {
            "agreement": self._intake.agreement.id, "now": instant(int(self._clock())), "party": self._intake.party,
            "pending": found, "receipts": count,
        }  # fmt: skip
        return Answer(200, json.dumps(whole, indent=1).encode() + b"\n", _JSON, _NEVER)

    def stored(self, request: Request) -> Answer:
        _, kind, statement = request.path.split("/", 2)
        row = self._intake.find(statement)
        if row is None:
            return Answer(404, b"no such statement was handed in here\n", headers=_NEVER)
        return Answer(200, row.receipt if kind == "receipt" else row.entry, _JSON, _NEVER)


def plain(party: str, count: int, found: list[dict[str, object]]) -> str:
    """The same for people."""
    lines = [f"{party}: {count} receipts given, {len(found)} statements that the log has not taken"]
    for one in found:
        tried = f"tried {one['tries']} times: {one['trouble']}"
        lines.append(line(f"{one['since']}  number {one['number']}  {one['statement']}  {tried}").decode().rstrip())
    return "\n".join([*lines, ""])
