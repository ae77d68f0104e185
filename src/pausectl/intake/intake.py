# SPDX-License-Identifier: Apache-2.0
"""An intake party: takes what a log would have to take, signs when, and remembers it.

    with Intake.open(state, agreement, [key]) as intake:
        receipt = intake.receive(envelope, now)

Handing on is the courier's work (`courier`), which may fail for as long as it likes: the receipt is given before.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from pausectl.agreement.document import Agreement
from pausectl.agreement.types import instant
from pausectl.durable import Disk
from pausectl.errors import Malformed, Refused, Unavailable, UsageFault
from pausectl.history.authority import objection
from pausectl.history.decode import Decoded, decode
from pausectl.history.reader import Ledger
from pausectl.history.records import Trouble
from pausectl.intake.memory import Memory, Row
from pausectl.predicates import base
from pausectl.predicates.base import Header, Predicate
from pausectl.predicates.checkpoint import Mark
from pausectl.predicates.received import Received
from pausectl.registry import enforces
from pausectl.wire import dsse
from pausectl.wire.keys import Signer
from pausectl.wire.tile import MAX_ENTRY_BYTES

#: The name of the memory in a party's state.
FILE = "intake.db"


@enforces("INT-1")
def admit(entry: bytes, agreement: Agreement) -> tuple[Decoded, Predicate]:
    """What was handed in, and by whom; Malformed or Refused with the reason if there is no receipt for it.

    [INT-1] An intake party MUST refuse what readers of the ledger would give no effect, and agreements, marks and
    receipts.
    """
    if len(entry) > MAX_ENTRY_BYTES:
        raise Refused(f"expected at most {MAX_ENTRY_BYTES} bytes, found {len(entry)}")
    decoded = decode(entry, agreement.keys)
    trouble = objection(decoded, agreement)
    if trouble is not None:
        raise (Malformed if trouble[0] is Trouble.MALFORMED else Refused)(f"{trouble[0]}: {trouble[1]}")
    if decoded.claim is None or isinstance(decoded.claim, Mark | Received):
        what = (decoded.unknown or "") if decoded.claim is None else decoded.claim.type_uri()
        raise Refused(f"statements of type {what[:80]!r} are not handed in here")
    return decoded, decoded.claim


class Intake:
    """An intake party at work; `close` it, or use it as a context. Threads may share it."""

    def __init__(self, memory: Memory, agreement: Agreement, party: str, signers: Sequence[Signer]) -> None:
        """For `open`."""
        self.memory = memory
        self.agreement = agreement
        self.party = party
        self._signers = tuple(signers)

    @staticmethod
    def create(
        state: Path, agreement: Agreement, signers: Sequence[Signer], *, first: int = 0, disk: Disk | None = None
    ) -> None:
        """Make a memory in `state`. first: the number of the first receipt. UsageFault if there is one."""
        if (state / FILE).exists():
            raise UsageFault("there is an intake party's memory here already", where=str(state / FILE))
        Memory.create(state / FILE, agreement.id, party_of(agreement, signers), first, disk or Disk())

    @classmethod
    def open(cls, state: Path, agreement: Agreement, signers: Sequence[Signer]) -> Intake:
        """Take up the memory in `state`; Refused if it is of another agreement or party, or in use."""
        party, memory = party_of(agreement, signers), Memory(state / FILE)
        if memory.identity != (agreement.id, party):
            memory.close()
            raise Refused(f"expected the memory of {party} under this agreement", where=str(state / FILE))
        return cls(memory, agreement, party, signers)

    def receive(self, entry: bytes, now: int) -> bytes:
        """The receipt for an envelope, as an envelope; the one that was given first, if it is known.

        now: POSIX seconds. Malformed or Refused as `admit`; Unavailable if the clock is behind the last receipt.
        """
        decoded, claim = admit(entry, self.agreement)

        def sign(number: int, last: int) -> tuple[int, bytes]:
            return _not_before(last, now), self._sign(claim.header, decoded.id, number, now).raw

        return self.memory.give(decoded.id, entry, sign)

    def _sign(self, of: Header, statement: str, number: int, now: int) -> dsse.Envelope:
        header = Header(
            agreement=self.agreement.id, log=self.agreement.origin, party=self.party, sequence=number,
            stream=Received.stream, window=None,
        )  # fmt: skip
        body = {"of": of.model_dump(mode="json"), "received_at": instant(now), "statement": statement}
        return dsse.sign(base.write(base.construct(Received, body, header)), *self._signers)

    def find(self, statement: str) -> Row | None:
        """What is known of a statement by its id in hexadecimal, or None."""
        try:
            return self.memory.find(bytes.fromhex(statement))
        except ValueError:
            return None

    def close(self) -> None:
        """Let others open it."""
        self.memory.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@enforces("INT-6")
def _not_before(last: int, now: int) -> int:
    """The time to sign with.

    [INT-6] An intake party MUST NOT date a receipt before its last one.
    """
    if now < last:
        raise Unavailable(f"the clock shows {instant(now)}, and the last receipt is of {instant(last)}")
    return now


def party_of(agreement: Agreement, signers: Sequence[Signer]) -> str:
    """The intake party whose keys these are, one for each of its suites; UsageFault if they are nobody's."""
    owners = {agreement.keys.get(signer.public.keyid, ("", None))[0] for signer in signers}
    party = min(owners, default="")
    if len(owners) != 1 or party not in agreement.holders("intake"):
        raise UsageFault("expected the keys of one principal with the role intake")
    if len(signers) != len(agreement.principals[party].keys):
        raise UsageFault(f"expected one key for each suite of {party}")
    return party


def counted(ledger: Ledger, party: str) -> int:
    """How many receipts of a party a ledger has or leaves room for: the first number that is free after them."""
    first = 0
    for _, raw in ledger.entries():
        claim = decode(raw, ledger.agreement.keys).claim
        if isinstance(claim, Received) and claim.header.party == party:
            first = max(first, claim.header.sequence + 1)
    return first
