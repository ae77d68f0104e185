# SPDX-License-Identifier: Apache-2.0
"""Which checkpoints a mirror takes, and the lines that it adds to them.

Trust.of(agreement)             the log's signature and the agreement's quorum of witnesses, as readers ask for
Trust(vkey)                     the log's signature alone: any log of anybody's can be copied

— mirror.example LQkZUwAAAABqWXCA…      a cosignature by a key of the mirror's own, type 0x04, and 0x06 if it has one
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pausectl.agreement.document import Agreement
from pausectl.errors import Malformed, Refused, Unavailable
from pausectl.history.reader import resolve, sight
from pausectl.history.tiles import Fetch
from pausectl.registry import enforces
from pausectl.wire import checkpoint, cosignature, note
from pausectl.wire.checkpoint import Checkpoint
from pausectl.wire.keys import MLDSA44, SUITES, Signer
from pausectl.wire.note import Note, VerifierKey


@dataclass(frozen=True, slots=True)
class Trust:
    """log_key: whose checkpoints. agreement: whose quorum they need, or None."""

    log_key: VerifierKey
    agreement: Agreement | None = None

    @classmethod
    def of(cls, agreement: Agreement) -> Trust:
        """As a reader of this agreement."""
        return cls(agreement.log_key, agreement)

    @property
    def origin(self) -> str:
        """Of the log."""
        return self.log_key.name

    @property
    def keys(self) -> tuple[VerifierKey, ...]:
        """All that the log has to sign with; Unavailable if one is known by its digest only."""
        return (self.log_key,) if self.agreement is None else self.agreement.log_pair

    def resolved(self, fetch: Fetch) -> Trust:
        """The same with what is at `key/…` of the keys that the agreement names by digest."""
        if self.agreement is None or set(self.agreement.pinned) <= set(self.agreement.resolved):
            return self
        return replace(self, agreement=resolve(fetch, self.agreement))

    def open(self, raw: bytes) -> Checkpoint:
        """The checkpoint that a note is; Forged without the log's signature, or the quorum if there is an agreement."""
        return self.signed(raw) if self.agreement is None else sight(raw, self.agreement).checkpoint

    def signed(self, raw: bytes) -> Checkpoint:
        """The same by the log's signature alone, which binds it, whoever cosigned."""
        first, *more = self.keys
        return checkpoint.open(raw, first, also=more)[0]

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
        others, digests = [trust.log_key], set[str | None]()
        if trust.agreement is not None:
            others += [*trust.agreement.log_keys.values(), *trust.agreement.witness_keys.values()]
            digests |= {trust.agreement.document.log.mldsa44}
            digests |= {successor.mldsa44 for successor in trust.agreement.document.log.successors}
            digests |= {member.mldsa44 for member in trust.agreement.document.witnesses.members}
        publics = [key.public for key in self.keys]
        if any(other.public in publics or other.name == name for other in others) or digests & {
            key.digest for key in publics if key.suite == MLDSA44
        }:
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
