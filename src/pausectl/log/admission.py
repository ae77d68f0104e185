# SPDX-License-Identifier: Apache-2.0
"""What may enter: whatever a reader of the ledger would give effect, and nothing else.

A reader decides again, with the same two functions of `history/`; an entry that gets in all the same is a finding
against the log's operator and harms nobody else.
"""

from __future__ import annotations

from collections.abc import Callable

from pausectl.agreement.document import TYPE as AGREEMENT_TYPE
from pausectl.agreement.document import Agreement
from pausectl.errors import Refused
from pausectl.history.authority import objection
from pausectl.history.decode import Decoded, decode
from pausectl.history.records import Trouble
from pausectl.log import marks
from pausectl.log.index import Book
from pausectl.predicates.checkpoint import Mark
from pausectl.predicates.succession import Succession
from pausectl.registry import enforces
from pausectl.wire.merkle import Hash
from pausectl.wire.tile import MAX_ENTRY_BYTES


class Unreadable(Refused):
    """No statement at all, whoever signed it."""


@enforces("LOG-14", "LOG-15")
def admit(entry: bytes, agreement: Agreement) -> Decoded:
    """What the entry says, by whom; Refused with the reason if it may not enter.

    [LOG-14] A log MUST refuse an entry that is no canonical envelope of a canonical statement of a type it knows, or
    that its signers may not say under its agreement.

    [LOG-15] Entry 0 of a log MUST be the envelope of its agreement as its signatories signed it, and no later entry may
    be an agreement.
    """
    if len(entry) > MAX_ENTRY_BYTES:
        raise Refused(f"expected at most {MAX_ENTRY_BYTES} bytes, found {len(entry)}")
    decoded = decode(entry, agreement.keys)
    if decoded.unknown == AGREEMENT_TYPE and entry == agreement.raw:
        return decoded
    if decoded.unknown == AGREEMENT_TYPE:
        raise Refused("an agreement other than the one this log was made for", hint="this release keeps one version")
    if decoded.unknown is not None:
        raise Refused(f"statements of type {decoded.unknown[:80]!r} are unknown to this log")
    if isinstance(decoded.claim, Succession):
        raise Refused("a succession statement is entry 1 of a successor, and stands nowhere else")
    trouble = objection(decoded, agreement)
    if trouble is not None:
        kind = Unreadable if trouble[0] is Trouble.MALFORMED else Refused
        raise kind(f"{trouble[0]}: {trouble[1]}")
    return decoded


@enforces("LOG-23")
def admit_mark(claim: Mark, agreement: Agreement, book: Book, size: int, root_at: Callable[[int], Hash]) -> None:
    """Refuse a mark, whoever submits it, that readers would ignore or call a mistake of this log.

    [LOG-23] A log MUST refuse a mark that has not its own signature and a quorum of cosignatures, is not of its own
    tree, does not exceed the size of the mark before it, or falls behind that one's times.
    """
    reason = marks.fault(claim, agreement, book, size, root_at)
    if reason:
        raise Refused(f"mark: {reason}")
