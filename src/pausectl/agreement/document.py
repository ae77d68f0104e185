# SPDX-License-Identifier: Apache-2.0
"""The agreement: who may say what, what is due, what is in force, and by which numbers it is judged.

    {"bodies":[{"id":"overseers","members":["avon","brent","cam"],"threshold":2},…],…,"version":1,…}

It is a statement like any other (predicate type `…/agreement/v1`, so it can never be taken for an attestation), signed
by k of n principals of its body `signatories`. Its id is the SHA-256 of version 1's PAE, and stands in the header of
everything said under it. A verifier is always given the file it trusts: there is no default.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from pydantic import ValidationError

from pausectl.agreement.quorum import Quorum, count
from pausectl.agreement.terms import (
    SIGNATORIES,
    Accelerator,
    Body,
    Document,
    Facility,
    LogPolicy,
    Member,
    Principal,
    Successor,
)
from pausectl.agreement.types import describe, seconds
from pausectl.errors import Forged, Malformed, Refused, Unavailable
from pausectl.registry import enforces
from pausectl.wire import canonical, dsse, note, statement
from pausectl.wire.keys import MLDSA44, SUITES, PublicKey, base64, suite, unbase64
from pausectl.wire.merkle import MAX_SIZE
from pausectl.wire.note import TYPE_COSIGNATURE, TYPE_ED25519, TYPE_MLDSA44, VerifierKey, parse_vkey

TYPE = "https://pausectl.dev/agreement/v1"

#: Bytes of the note in a mark, of the 65,535 that an entry has: base64 takes a quarter, and the rest some hundred.
MAX_MARK = 47_104


@dataclass(frozen=True, eq=False)
class Agreement:
    """A document whose signatures were checked, with what is derived from it.

    raw: the envelope as it stands in the ledger. digest: SHA-256 of its PAE. quorum: who signed it. resolved: digest →
    key of the ML-DSA-44 keys that it names by digest, as far as they are known (`resolve`). log_number: under which of
    its logs it is read here, 0 for the first and n for the n-th that may succeed it (`of_log`).
    """

    document: Document
    raw: bytes
    digest: str
    quorum: Quorum
    keys: dict[str, tuple[str, PublicKey]] = field(repr=False)
    resolved: Mapping[str, PublicKey] = field(repr=False, default_factory=dict)
    log_number: int = 0

    @property
    def id(self) -> str:
        """The name of the agreement in every header: the digest of version 1."""
        return self.digest

    @cached_property
    def principals(self) -> dict[str, Principal]:
        """Principals by id."""
        return {p.id: p for p in self.document.principals}

    @cached_property
    def bodies(self) -> dict[str, Body]:
        """Bodies by id."""
        return {b.id: b for b in self.document.bodies}

    @cached_property
    def labs(self) -> tuple[str, ...]:
        """Ids of the labs, in the order of the document."""
        return self.holders("lab")

    def holders(self, role: str) -> tuple[str, ...]:
        """Ids of the principals that have a role."""
        return self._holders.get(role, ())

    @cached_property
    def _holders(self) -> dict[str, tuple[str, ...]]:
        roles = {role for p in self.document.principals for role in p.roles}
        return {role: tuple(p.id for p in self.document.principals if role in p.roles) for role in roles}

    @cached_property
    def facilities(self) -> dict[str, Facility]:
        """Facilities by id."""
        return {f.id: f for f in self.document.facilities}

    @cached_property
    def hardware(self) -> dict[str, Accelerator]:
        """Accelerators by sku."""
        return {a.sku: a for a in self.document.hardware}

    @cached_property
    def peaks(self) -> dict[tuple[str, str | None], int]:
        """(sku, precision) → gflop_per_second; for precision None the sku's best format."""
        found: dict[tuple[str, str | None], int] = {}
        for chip in self.document.hardware:
            found |= {(chip.sku, precision): peak for precision, peak in chip.peak_gflop_per_second.items()}
            found[chip.sku, None] = max(chip.peak_gflop_per_second.values())
        return found

    # ── one log of several ──

    def of_log(self, origin: str) -> Agreement:
        """The same agreement, read under another of its logs; as it is, if none of them has this origin."""
        origins = [log.origin for log in self._logs]
        return replace(self, log_number=origins.index(origin)) if origin in origins else self

    @property
    def _logs(self) -> tuple[LogPolicy | Successor, ...]:
        return (self.document.log, *self.document.log.successors)

    @property
    def log_pin(self) -> str | None:
        """Digest of the ML-DSA-44 key that this log has to sign with, too."""
        return self._logs[self.log_number].mldsa44

    @property
    def origin(self) -> str:
        """Of the log that it is read under."""
        return self._logs[self.log_number].origin

    @cached_property
    def origins(self) -> tuple[str, ...]:
        """Of that log and of those that it may have succeeded, oldest first."""
        return tuple(log.origin for log in self._logs[: self.log_number + 1])

    @cached_property
    def log_key(self) -> VerifierKey:
        """The log's note key."""
        return parse_vkey(self._logs[self.log_number].vkey)

    @cached_property
    def witness_keys(self) -> dict[str, VerifierKey]:
        """Cosignature keys by principal."""
        return {m.principal: parse_vkey(m.vkey) for m in self.document.witnesses.members}

    @cached_property
    def mirror_keys(self) -> dict[str, VerifierKey]:
        """Cosignature keys by principal."""
        return {m.principal: parse_vkey(m.vkey) for m in self.document.mirrors.members}

    @cached_property
    def log_keys(self) -> dict[str, VerifierKey]:
        """Origin → note key of the log and of those that may succeed it, in order."""
        return {log.origin: parse_vkey(log.vkey) for log in self._logs}

    # ── keys that are named by digest ──

    @cached_property
    def pinned(self) -> tuple[str, ...]:
        """Digests of every ML-DSA-44 key that this agreement names: of logs, witnesses and mirrors, in that order."""
        doc = self.document
        named = [*self._logs, *doc.witnesses.members, *doc.mirrors.members]
        return tuple(one.mldsa44 for one in named if one.mldsa44)

    def resolve(self, found: Iterable[bytes]) -> Agreement:
        """The same agreement, with more of its keys known. found: raw keys; Refused for one that it does not name."""
        keys = [PublicKey(MLDSA44, raw) for raw in found]
        strange = next((key.digest for key in keys if key.digest not in self.pinned), None)
        if strange is not None:
            raise Refused(f"key: the agreement names none of digest {strange}")
        return replace(self, resolved={**self.resolved, **{key.digest: key for key in keys}})

    def keys_of(self, one: LogPolicy | Successor | Member) -> tuple[VerifierKey, ...]:
        """Every key that has to sign for a log, witness or mirror, all of one name; () if not all are known."""
        first = parse_vkey(one.vkey)
        if one.mldsa44 is None:
            return (first,)
        second = self.resolved.get(one.mldsa44)
        return (first, VerifierKey(first.name, TYPE_MLDSA44, second)) if second else ()

    @cached_property
    def log_pair(self) -> tuple[VerifierKey, ...]:
        """Every key that has to sign for the log; Unavailable if not all are known."""
        log = self._logs[self.log_number]
        found = self.keys_of(log)
        if not found:
            hint = f"it has to be at key/{log.mldsa44} of the log"
            raise Unavailable("the log's ML-DSA-44 key, which the agreement pins, is not at hand", hint=hint)
        return found

    @cached_property
    def witness_pairs(self) -> dict[str, tuple[VerifierKey, ...]]:
        """By principal, every key that has to sign for a witness; one whose keys are not all known cannot count."""
        found = {member.principal: self.keys_of(member) for member in self.document.witnesses.members}
        return {principal: keys for principal, keys in found.items() if keys}

    @cached_property
    def mirror_pairs(self) -> dict[str, tuple[VerifierKey, ...]]:
        """The same of mirrors."""
        found = {member.principal: self.keys_of(member) for member in self.document.mirrors.members}
        return {principal: keys for principal, keys in found.items() if keys}

    def start(self, window: int) -> int:
        """POSIX seconds at which window number `window` begins; the end is `start(window + 1)`."""
        return seconds(self.document.windows.anchor_at) + window * self.document.windows.length_seconds

    def window_of(self, moment: int) -> int:
        """The window that a POSIX second lies in; negative before the anchor."""
        return (moment - seconds(self.document.windows.anchor_at)) // self.document.windows.length_seconds

    def first_boundary(self, moment: int) -> int:
        """The first window that starts at or after a POSIX second."""
        return -((seconds(self.document.windows.anchor_at) - moment) // self.document.windows.length_seconds)


def draft(document: Document) -> bytes:
    """Statement bytes of a document, ready for `dsse.sign` by each signatory."""
    predicate = document.model_dump(mode="json")
    terms = hashlib.sha256(canonical.dump(predicate)).hexdigest()
    return statement.format([statement.Subject(document.name, terms)], TYPE, predicate)


def read_document(value: canonical.Json) -> Document:
    """A document from parsed JSON, or Malformed naming the member."""
    try:
        return Document.model_validate_json(canonical.dump(value))
    except ValidationError as error:
        raise Malformed(describe(error), where="agreement") from error


@enforces("AGR-4", "AGR-5")
def parse(raw: bytes) -> Agreement:
    """Read a signed agreement.

    [AGR-4] An agreement MUST be a statement of type `https://pausectl.dev/agreement/v1`, signed by at least the
    threshold of its own body `signatories` and by nobody else.

    [AGR-5] A verifier MUST refuse to judge under an agreement whose version it cannot trace to version 1.
    """
    envelope = dsse.parse(raw.removesuffix(b"\n"))
    claim = statement.parse(envelope.payload)
    if claim.predicate_type != TYPE:
        raise Malformed(f"expected a statement of type {TYPE}, found {claim.predicate_type[:80]}")
    document = read_document(claim.predicate)
    if draft(document) != envelope.payload:
        raise Malformed("agreement: its subject is not the digest of its own terms")
    if document.version != 1:
        raise Malformed(f"agreement version {document.version}: this release reads version 1 only, and walks no chain")
    keys = _keys(document)
    signed = dsse.open(envelope, {keyid: key for keyid, (_, key) in keys.items()})
    names = [keys[key.keyid][0] for key in signed]
    body = next(b for b in document.bodies if b.id == SIGNATORIES)
    quorum = count(body.members, body.threshold, names)
    if not quorum.reached or not set(names) <= set(body.members):
        raise Forged(f"agreement: signed by {quorum}")
    agreement = Agreement(document, envelope.raw, envelope.statement_id, quorum, keys)
    _check_vkeys(agreement)
    _check_mark(agreement)
    return agreement


def _check_vkeys(agreement: Agreement) -> None:
    """What AGR-2 and AGR-9 ask of keys; who shares a name or key with another would be one with it (COSIG-4)."""
    logs, cosigners = agreement.log_keys, [*agreement.witness_keys.values(), *agreement.mirror_keys.values()]
    if any(log.name != origin or log.type != TYPE_ED25519 for origin, log in logs.items()):
        raise Malformed("log: expected a vkey of type 0x01 whose key name is the origin")
    if any(key.type != TYPE_COSIGNATURE for key in cosigners):
        raise Malformed("witnesses, mirrors: expected vkeys of type 0x04")
    if len({key.name for key in cosigners}) < len(cosigners):
        raise Malformed("witnesses, mirrors: two of them share a key name")
    publics = [key.public for key in (*logs.values(), *cosigners)]
    if len(set(publics)) < len(publics):
        raise Malformed("witnesses, mirrors: two of them share a key, or one has that of a log")


@enforces("AGR-12")
def _check_mark(agreement: Agreement) -> None:
    """Refuse an agreement under which a log could not write its marks.

    [AGR-12] An agreement MUST NOT ask for quorums of witnesses and of mirrors of which, together and with any of its
    logs, the signed note can have more than 47,104 bytes, for which a mark has room.
    """
    doc, frame = agreement.document, len(f"\n{MAX_SIZE}\n{base64(bytes(32))}\n\n".encode())
    logs: tuple[LogPolicy | Successor, ...] = (doc.log, *doc.log.successors)
    most = frame + max(len(log.origin.encode()) + _line_bytes(log, log.origin, 64) for log in logs)
    for policy, keys in ((doc.witnesses, agreement.witness_keys), (doc.mirrors, agreement.mirror_keys)):
        lines = sorted((_line_bytes(one, keys[one.principal].name) for one in policy.members), reverse=True)
        most += sum(lines[: policy.quorum])
    if most > MAX_MARK:
        also = f" and {doc.mirrors.quorum} mirrors" if doc.mirrors.quorum else ""
        raise Malformed(
            f"witnesses: a mark with {doc.witnesses.quorum} of them{also} has {most} bytes, and room for {MAX_MARK}"
        )


def _line_bytes(one: LogPolicy | Successor | Member, name: str, ed25519: int = 72) -> int:
    """Bytes of the signature lines that a log or a witness has to have. ed25519: of its payload of that type."""
    payloads = [ed25519, 8 + SUITES[MLDSA44].signature_bytes] if one.mldsa44 else [ed25519]
    return sum(
        len(note.format_signature(note.Signature(name, bytes(4), bytes(size))).encode()) + 1 for size in payloads
    )


def _keys(document: Document) -> dict[str, tuple[str, PublicKey]]:
    keys: dict[str, tuple[str, PublicKey]] = {}
    for principal in document.principals:
        for entry in principal.keys:
            suite(entry.suite)
            key = PublicKey(entry.suite, unbase64(entry.public))
            keys[key.keyid] = (principal.id, key)
    return keys
