# SPDX-License-Identifier: Apache-2.0
"""Operators of a log who do not keep their word, and authorities who say too little or too much."""

from __future__ import annotations

from abc import ABC, abstractmethod

from pausectl.agreement.terms import OVERSEERS
from pausectl.agreement.types import instant, seconds
from pausectl.predicates import base
from pausectl.predicates.base import Predicate
from pausectl.predicates.close import Close
from pausectl.predicates.pause import Order
from pausectl.predicates.received import Received
from pausectl.predicates.usage import Usage
from pausectl.sim.ledger import minimal
from pausectl.sim.world import HonestOperator, World, digest
from pausectl.wire import canonical, dsse, merkle, note, statement


class Censor(HonestOperator):
    """Leaves out everything that one party says in one stream."""

    def __init__(self, party: str, stream: str) -> None:
        self._place = (party, stream)

    def append(self, world: World, raw: bytes, claim: Predicate | None) -> None:
        """Append, or not."""
        if claim is None or (claim.header.party, claim.header.stream) != self._place:
            super().append(world, raw, claim)


class SilentOverseer(HonestOperator):
    """Stands for an overseer who closes nothing."""

    def __init__(self, party: str) -> None:
        self._party = party

    def append(self, world: World, raw: bytes, claim: Predicate | None) -> None:
        """Its closes were never made."""
        if not (isinstance(claim, Close) and claim.header.party == self._party):
            super().append(world, raw, claim)


class UnheadedCloser(HonestOperator):
    """Stands for a party whose closes carry no heads."""

    def __init__(self, party: str) -> None:
        self._party = party

    def append(self, world: World, raw: bytes, claim: Predicate | None) -> None:
        """The same close, signed by the same party, without heads."""
        if isinstance(claim, Close) and claim.header.party == self._party:
            bare = claim.model_copy(update={"heads": ()})
            raw = dsse.sign(base.write(bare), world.keys[self._party]).raw
        super().append(world, raw, claim)


class DenyingIntake(HonestOperator):
    """Stands for an intake party that denies, at the end of each window, that it gave any receipt."""

    def append(self, world: World, raw: bytes, claim: Predicate | None) -> None:
        """The same close, signed by the same party, with a head of 0."""
        if isinstance(claim, Close) and claim.header.party in world.roll.intake:
            heads = tuple(head.model_copy(update={"count": 0}) for head in claim.heads)
            raw = dsse.sign(base.write(claim.model_copy(update={"heads": heads})), world.keys[claim.header.party]).raw
        super().append(world, raw, claim)


class ObligingIntake(HonestOperator):
    """Stands for an intake party that dates whatever a lab hands in late to twelve hours after the window's end."""

    def append(self, world: World, raw: bytes, claim: Predicate | None) -> None:
        """The same receipt with an earlier time."""
        if isinstance(claim, Received) and claim.of.window is not None:
            at = seconds(claim.of.window.end_at) + 12 * 3_600
            if at < world.now:
                early = claim.model_copy(update={"received_at": instant(at)})
                raw = dsse.sign(base.write(early), world.keys[claim.header.party]).raw
        super().append(world, raw, claim)


class ForgetfulSuccessor(HonestOperator):
    """Begins a log with an old checkpoint of the one before it, so that a quarter of what that one had is gone."""

    def cut(self, world: World) -> bytes:
        """Cosigned like any other."""
        kept = len(world.memory.entries) * 3 // 4
        root = merkle.root([merkle.leaf_hash(raw) for raw in world.memory.entries[:kept]])
        return world.memory.cosigned(world.now, size=kept, root=root)


class Withholder(HonestOperator):
    """Stands for whoever shows the newest log and keeps the one before it (`look` of its evasion does)."""


class Usurper(HonestOperator):
    """Begins a log with a checkpoint of another tree than the one that the log before it showed."""

    def cut(self, world: World) -> bytes:
        """Of the same size."""
        return world.memory.cosigned(world.now, root=merkle.leaf_hash(b"another history"))


class TwoFacedOverseer(HonestOperator):
    """Stands for overseers who sign a second order under the number of the first."""

    def append(self, world: World, raw: bytes, claim: Predicate | None) -> None:
        """Both go into the log."""
        super().append(world, raw, claim)
        if isinstance(claim, Order):
            other = claim.model_copy(update={"reason": "another reason", "term_windows": 1})
            signers = [world.keys[name] for name in world.agreement.bodies[OVERSEERS].members]
            super().append(world, dsse.sign(base.write(other), *signers).raw, other)


class _Once(HonestOperator, ABC):
    """Adds one entry of its own after the first usage statement of a paused window."""

    def __init__(self) -> None:
        self._done = False

    def append(self, world: World, raw: bytes, claim: Predicate | None) -> None:
        """Append, and then the extra entry."""
        super().append(world, raw, claim)
        if isinstance(claim, Usage) and not self._done and world.now > world.start(2):
            self._done = True
            world.ledger.append(self.addition(world, raw, claim))

    @abstractmethod
    def addition(self, world: World, raw: bytes, claim: Usage) -> bytes:
        """What to add."""


class Garbler(_Once):
    """Adds a statement with a member twice."""

    def addition(self, world: World, raw: bytes, claim: Usage) -> bytes:  # noqa: ARG002
        """Two readers could take either."""
        return raw.replace(b'{"payload":', b'{"payload":"","payload":', 1)


class Forger(_Once):
    """Adds a quiet usage statement in a lab's name, signed with the operator's key."""

    def __init__(self, lab: str) -> None:
        super().__init__()
        self._lab = lab

    def addition(self, world: World, raw: bytes, claim: Usage) -> bytes:  # noqa: ARG002
        """Good form, wrong key."""
        header = claim.header.model_copy(update={"party": self._lab})
        forged = claim.model_copy(update={"header": header})
        return dsse.sign(base.write(forged), world.keys[world.roll.log]).raw


class Foreigner(_Once):
    """Adds a statement that a lab really signed, under another agreement."""

    def __init__(self, lab: str) -> None:
        super().__init__()
        self._lab = lab

    def addition(self, world: World, raw: bytes, claim: Usage) -> bytes:  # noqa: ARG002
        """Good signature, other agreement."""
        header = claim.header.model_copy(update={"agreement": digest("another agreement"), "party": self._lab})
        return dsse.sign(base.write(claim.model_copy(update={"header": header})), world.keys[self._lab]).raw


class FalseReceipt(_Once):
    """Adds a receipt for a filing that a lab kept to itself, signed by that lab and not by the intake party."""

    def __init__(self, lab: str) -> None:
        super().__init__()
        self._lab = lab

    def addition(self, world: World, raw: bytes, claim: Usage) -> bytes:
        """Good form, wrong key."""
        facility = world.roll.labs[self._lab][0]
        of = claim.header.model_copy(update={"party": self._lab, "stream": f"usage/{facility}"})
        header = world.header(world.roll.intake[0], Received.stream, None, sequence=10_000)
        body = {**world.receipt(raw, claim), "of": of.model_dump(mode="json"), "statement": digest("what was kept")}
        return dsse.sign(base.write(base.construct(Received, body, header)), world.keys[self._lab]).raw


class Duplicator(_Once):
    """Adds the same entry again."""

    def addition(self, world: World, raw: bytes, claim: Usage) -> bytes:  # noqa: ARG002
        """Byte for byte."""
        return raw


class LaterVersion(_Once):
    """Stands for a lab that speaks a later version of the protocol."""

    def __init__(self, lab: str) -> None:
        super().__init__()
        self._lab = lab

    def addition(self, world: World, raw: bytes, claim: Usage) -> bytes:  # noqa: ARG002
        """A well-formed statement of a type that does not exist yet."""
        subject = statement.Subject("agreement", world.agreement.id)
        payload = statement.format([subject], f"{base.PREFIX}confession/v1", {"said": "something new"})
        return dsse.sign(payload, world.keys[self._lab]).raw


class BadMarker(_Once):
    """Adds a mark that has the log's signature and one cosignature only."""

    def addition(self, world: World, raw: bytes, claim: Usage) -> bytes:  # noqa: ARG002
        """Below the quorum."""
        signed = note.parse(minimal(world.memory.cosigned(world.start(0)), world.agreement))
        short = note.Note(signed.text, signed.signatures[:2]).raw
        value = canonical.load(dsse.parse(world.memory.mark(world.memory.head)).payload)
        value["predicate"]["checkpoint"] = short.decode()
        value["subject"][0]["digest"]["sha256"] = digest(short.decode())
        return dsse.sign(canonical.dump(value), world.keys[world.roll.log]).raw


class Impostor(_Once):
    """Stands for one overseer who lifts the pause alone."""

    def addition(self, world: World, raw: bytes, claim: Usage) -> bytes:  # noqa: ARG002
        """An order with one signature where two are needed."""
        header = world.header(OVERSEERS, Order.stream, None, sequence=1)
        order = Order(action="lift", header=header, reason="over", term_windows=1)
        return dsse.sign(base.write(order), world.keys[world.roll.overseers[0]]).raw


def find(world: World) -> list[tuple[str, bytes]]:
    """The checkpoint that the log showed to somebody else: another tree of half the size."""
    size = len(world.memory.entries) // 2
    other = world.memory.cosigned(world.now, size=size, root=merkle.leaf_hash(b"another history"))
    return [("the lab's copy", other)]
