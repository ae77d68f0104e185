# SPDX-License-Identifier: Apache-2.0
"""Which checkpoints a mirror takes, and the lines that it adds to them.

Trust.of(agreement)             the log's signature and the agreement's quorum of witnesses, as readers ask for
Trust(vkey)                     the log's signature alone: any log of anybody's can be copied

— mirror.example LQkZUwAAAABqWXCA…      a cosignature by a key of the mirror's own, type 0x04, and 0x06 if it has one
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pausectl.agreement.document import Agreement
from pausectl.errors import Malformed, Refused, Unavailable
from pausectl.history.reader import sight
from pausectl.registry import enforces
from pausectl.wire import checkpoint, cosignature, note
from pausectl.wire.checkpoint import Checkpoint
from pausectl.wire.keys import SUITES, Signer
from pausectl.wire.note import Note, VerifierKey


@dataclass(frozen=True, slots=True)
class Trust:
    """log_key: whose checkpoints. agreement: whose quorum they need, or None. also: keys of the log besides log_key."""

    log_key: VerifierKey
    agreement: Agreement | None = None
    also: tuple[VerifierKey, ...] = ()

    @classmethod
    def of(cls, agreement: Agreement) -> Trust:
        """As a reader of this agreement."""
        return cls(agreement.log_key, agreement)

    @property
    def origin(self) -> str:
        """Of the log."""
        return self.log_key.name

    def open(self, raw: bytes) -> Checkpoint:
        """The checkpoint that a note is; Forged without the log's signature, or the quorum if there is an agreement."""
        return self.signed(raw) if self.agreement is None else sight(raw, self.agreement).checkpoint

    def signed(self, raw: bytes) -> Checkpoint:
        """The same by the log's signature alone, which binds it, whoever cosigned."""
        return checkpoint.open(raw, self.log_key, also=self.also)[0]

    def older(self, raw: bytes, held: bytes) -> bool:
        """Whether `raw`, of the tree of `held`, is witnessed at an earlier time, so that it must not take its place."""
        if self.agreement is None:
            return False
        return sight(raw, self.agreement).by < sight(held, self.agreement).by


class Cosigner:
    """A mirror's keys, of one name. Not for threads."""

    @enforces("MIR-7")
    def __init__(self, name: str, signers: Sequence[Signer], trust: Trust) -> None:
        """Take keys that are nobody else's, one of each suite.

        [MIR-7] A mirror MUST NOT cosign with a key or under a key name that the log or one of its witnesses has.
        """
        suites = [signer.public.suite for signer in signers]
        if not suites or len(set(suites)) != len(suites):
            raise Refused(f"mirror keys: expected one of each suite, found {', '.join(suites) or 'none'}")
        self.name = name
        self.keys = tuple(VerifierKey(name, SUITES[s.public.suite].cosignature_type, s.public) for s in signers)
        self._signers = tuple(signers)
        others = [trust.log_key, *trust.also]
        if trust.agreement is not None:
            others += [*trust.agreement.log_keys.values(), *trust.agreement.witness_keys.values()]
        publics = [key.public for key in self.keys]
        if any(other.public in publics or other.name == name for other in others):
            raise Refused(f"mirror key {name}: expected one that neither the log nor a witness has")

    def cosign(self, raw: bytes, held: bytes, now: int) -> bytes:
        """The note with lines of ours at `now` (POSIX seconds); held: the note that we published last, or b"".

        Whether it may be cosigned is for the caller to know. Unavailable if our clock is behind that last one.
        """
        signed = note.parse(raw)
        last = self.time(held) if held else 0
        if now < max(last, 1):
            raise Unavailable(f"clock: expected {last} or later, when we cosigned last, found {now}")
        others = tuple(line for line in signed.signatures if line.name != self.name)
        own = tuple(cosignature.cosign(signed.text, self.name, signer, now) for signer in self._signers)
        try:
            return Note(signed.text, (*others, *own)).raw
        except Malformed:  # a hundred lines already: the last of them make room
            return Note(signed.text, (*others[: note.MAX_SIGNATURES - len(own)], *own)).raw

    def time(self, raw: bytes) -> int:
        """When a note was cosigned by all our keys, POSIX seconds; 0 if it was not."""
        return cosignature.together(note.parse(raw), [self.keys]).get(self.name, 0)


def essence(raw: bytes, trust: Trust, cosigner: Cosigner | None) -> bytes:
    """A note without lines of mirrors, which a log collects: two mirrors would answer each other for ever."""
    names = {cosigner.name} if cosigner else set()
    names |= {key.name for key in trust.agreement.mirror_keys.values()} if trust.agreement else set()
    signed = note.parse(raw)
    rest = tuple(line for line in signed.signatures if line.name not in names)
    return Note(signed.text, rest).raw if rest else raw
