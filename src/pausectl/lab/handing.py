# SPDX-License-Identifier: Apache-2.0
"""Handing in: an envelope to an intake party, whose receipt is read before it is believed.

receipt = hand_in("https://quay.example", envelope, agreement)
dsse.parse(receipt).payload            {"of":…,"received_at":"2026-07-13T06:00:00Z","statement":"b243…"}
"""

from __future__ import annotations

from pausectl.agreement.document import Agreement
from pausectl.errors import Forged
from pausectl.history.authority import objection
from pausectl.history.decode import decode
from pausectl.lab.submit import Tell, submit
from pausectl.predicates.received import Received
from pausectl.registry import enforces


def hand_in(
    url: str, envelope: bytes, agreement: Agreement, *, wait: float = 0, tell: Tell = lambda _pause, _why: None
) -> bytes:
    """The receipt for an envelope. wait, tell, errors: as `submit`; Forged for what is no receipt."""
    receipt = submit(url, envelope, wait=wait, tell=tell, who="the intake party")
    check(receipt, envelope, agreement)
    return receipt


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
