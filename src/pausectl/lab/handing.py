# SPDX-License-Identifier: Apache-2.0
"""Handing in: an envelope to an intake party, whose receipt is read before it is believed.

receipt = hand_in("https://quay.example", envelope, agreement)
dsse.parse(receipt).payload            {"of":…,"received_at":"2026-07-13T06:00:00Z","statement":"b243…"}
"""

from __future__ import annotations

from pausectl.agreement.document import Agreement
from pausectl.errors import Forged, Refused, Unavailable
from pausectl.history.authority import objection
from pausectl.history.decode import decode
from pausectl.net import client
from pausectl.net.door import line
from pausectl.predicates.received import Received
from pausectl.registry import enforces
from pausectl.wire.tile import MAX_ENTRY_BYTES

_SECONDS = 30.0


def hand_in(url: str, envelope: bytes, agreement: Agreement, *, timeout: float = _SECONDS) -> bytes:
    """The receipt for an envelope. timeout: seconds. Refused if it is not taken, Unavailable if nobody answers."""
    answer = client.post(
        f"{url.rstrip('/')}/add", envelope, type="application/json", timeout=timeout, max_bytes=MAX_ENTRY_BYTES
    )
    if answer.status != 200:
        said = line(answer.body[:200].decode(errors="replace").strip()).decode().strip()
        kind = Unavailable if answer.status >= 500 or answer.status == 429 else Refused
        raise kind(f"answered {answer.status}: {said}", where=url)
    check(answer.body, envelope, agreement)
    return answer.body


@enforces("INT-9")
def check(receipt: bytes, envelope: bytes, agreement: Agreement) -> Received:
    """What a receipt says, if it is one for this envelope; Forged otherwise.

    [INT-9] A submitter MUST refuse as a receipt everything but a statement of type received that an intake party of the
    agreement may make, for the statement handed in and with its header.
    """
    given, handed = decode(receipt, agreement.keys), decode(envelope, agreement.keys)
    trouble = objection(given, agreement)
    if trouble is not None:
        raise Forged(f"receipt: {trouble[0]}: {trouble[1]}")
    if not isinstance(given.claim, Received):
        raise Forged("receipt: expected a statement of type received")
    if handed.claim is None or (given.claim.statement, given.claim.of) != (handed.id, handed.claim.header):
        raise Forged("receipt: it is for another statement than the one handed in")
    return given.claim
