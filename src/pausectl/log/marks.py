# SPDX-License-Identifier: Apache-2.0
"""Marks, by which the ledger tells time: which cosignatures go into one, when one is due, and what they have reached.

    pause.example/golden
    2
    Xw/N7w2B9+wuDYNN/mzd4KyDHMUip4lNApomNtnF/ww=

    — pause.example/golden OuuWUsmf+XkzKqjKzC0sm6Sr2jv8jqRZtLqYJLloTCy8F6zIpacX2LYsZTViH2D/YdDjCxOfGOkYDVf9Xux4Pbs1jwU=
    — witness.example/ed qiFJSAAAAABrAkzf3htoz6rCr+FjdZ6eLpCmSqoPkEQ5VuIU0cDh5aItKg983eA38L8KYrYP7sxJRnsikEPpDLh4F7su9ULabUMyDw==

is what a mark has in it where one witness is a quorum: no more lines than are needed, because an entry has 65,535 bytes
and a line of a post-quantum suite 3,300.
"""  # noqa: E501 - a line of the format

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from pausectl.agreement.document import Agreement
from pausectl.errors import PausectlError
from pausectl.history.authority import objection
from pausectl.history.decode import decode
from pausectl.history.reader import Sighting, sight
from pausectl.log.index import Book
from pausectl.predicates import base
from pausectl.predicates.base import Header
from pausectl.predicates.checkpoint import Mark
from pausectl.registry import enforces
from pausectl.wire import cosignature, dsse, note
from pausectl.wire.keys import Signer
from pausectl.wire.merkle import Hash
from pausectl.wire.note import Note

RootAt = Callable[[int], Hash]

#: Of the note in a mark.
MAX_BYTES = 47_104

_TYPE = f'"predicateType":"{Mark.type_uri()}"'.encode()


@enforces("LOG-21", "LOG-36")
def due(book: Book, interval: int, now: int) -> bool:
    """Whether a mark is to be written at `now` (POSIX seconds), given the agreement's mark_interval_seconds.

    [LOG-21] A log that has obtained a quorum of cosignatures MUST write a mark if the last one, or the want of one,
    leaves an entry other than a mark uncovered, and the agreement's mark interval has passed since its time.

    [LOG-36] A log MUST NOT write a mark when all entries that the last one does not cover are marks, unless it shows of
    an entry other than a mark for the first time that mirrors have it.
    """
    at = due_at(book, interval)
    return at is not None and now >= at


def due_at(book: Book, interval: int) -> int | None:
    """From when on `due` holds; None while nothing but marks stands behind the last one."""
    if not book.unmarked:
        return None
    return book.mark_by + interval if book.mark_size else 0


@enforces("LOG-20")
def minimal(signed: Note, agreement: Agreement, book: Book) -> Note | None:
    """The note that goes into a mark, or None if readers would ignore a mark with any quorum of these cosignatures.

    [LOG-20] A mark without mirrors that a log writes MUST carry its own signature lines and those of exactly a quorum
    of witnesses, the earliest by time and then by key name that MARK-3 lets have effect.
    """
    quorum, skew = agreement.document.witnesses.quorum, agreement.document.deadlines.clock_skew_seconds
    found = lines(signed, agreement.witness_pairs)
    for at in range(len(found) - quorum + 1):
        chosen = found[at : at + quorum]
        together = chosen[-1][0] - chosen[0][0] <= skew
        if together and chosen[0][0] >= book.mark_first and chosen[-1][0] >= book.mark_by:
            log_lines = (note.open(signed, [key])[0] for key in agreement.log_pair)
            return Note(signed.text, (*log_lines, *(line for _, own in chosen for line in own)))
    return None


def lines(
    signed: Note, pairs: Mapping[str, tuple[note.VerifierKey, ...]]
) -> list[tuple[int, tuple[note.Signature, ...]]]:
    """(time, lines) of everybody among `pairs` who cosigned: of their earliest time, one line by each of their keys.

    The earliest first, and of one time in order of names.
    """
    times = cosignature.together(signed, list(pairs.values()))
    found = []
    for keys in pairs.values():
        time = times.get(keys[0].name)
        if time is not None:
            found.append((time, tuple(_line(signed, key, time) for key in keys)))
    return sorted(found, key=lambda each: (each[0], each[1][0].name))


def _line(signed: Note, key: note.VerifierKey, time: int) -> note.Signature:
    return next(
        line
        for line in signed.signatures
        if (line.name, line.key_id) == (key.name, key.key_id) and cosignature.time_of(line) == time
    )


def write(text: Note, agreement: Agreement, party: str, sequence: int, signer: Signer) -> dsse.Envelope:
    """The entry that is the mark."""
    header = Header(
        agreement=agreement.id,
        log=agreement.origin,
        party=party,
        sequence=sequence,
        stream=Mark.stream,
        window=None,
    )
    return dsse.sign(base.write(Mark(checkpoint=text.raw.decode(), header=header)), signer)


def read(entry: bytes, agreement: Agreement) -> Mark | None:
    """The mark that an entry is, if its signer may say so. Quick where it is something else."""
    envelope = dsse.parse_fast(entry)
    if envelope is not None and _TYPE not in envelope.payload:
        return None
    decoded = decode(entry, agreement.keys)
    return decoded.claim if isinstance(decoded.claim, Mark) and objection(decoded, agreement) is None else None


def fault(claim: Mark, agreement: Agreement, book: Book, index: int, root_at: RootAt) -> str:
    """Why a mark at leaf `index` does not move time on, or ""; the judgement of `history.replay`, before the fact."""
    try:
        seen = sight(claim.checkpoint.encode(), agreement)
    except PausectlError as error:
        return str(error)
    if seen.checkpoint.size > index:
        return f"covers {seen.checkpoint.size} entries, but would stand at {index}"
    if seen.checkpoint.size <= book.mark_size:
        return f"expected a size above {book.mark_size}, that of the mark before it, found {seen.checkpoint.size}"
    if seen.by < book.mark_by or seen.first < book.mark_first:
        return "its times fall behind those of the mark before it"
    if root_at(seen.checkpoint.size) != seen.checkpoint.root:
        return f"a checkpoint of another tree of {seen.checkpoint.size} entries"
    return ""


def follow(book: Book, leaf: int, entry: bytes, agreement: Agreement, root_at: RootAt, party: str) -> Book:
    """What is known after entry `leaf`. party: who writes this log's marks."""
    claim = read(entry, agreement)
    if claim is None:
        return replace(book, last_claim=leaf)
    own = claim.header.party == party
    book = replace(book, marks=book.marks + own)
    book = _vouched(book, leaf, claim, agreement, root_at)
    if fault(claim, agreement, book, leaf, root_at):
        return book
    seen: Sighting = sight(claim.checkpoint.encode(), agreement)
    return replace(book, mark_size=seen.checkpoint.size, mark_first=seen.first, mark_by=seen.by)


def _vouched(book: Book, leaf: int, claim: Mark, agreement: Agreement, root_at: RootAt) -> Book:
    """What a mark shows that mirrors have, whether or not it moves time on."""
    try:
        seen = sight(claim.checkpoint.encode(), agreement)
    except PausectlError:
        return book
    size = seen.checkpoint.size
    if seen.mirrored is None or not book.mirror_size < size <= leaf or root_at(size) != seen.checkpoint.root:
        return book
    return replace(book, mirror_size=size, mirror_by=seen.mirrored)
