# SPDX-License-Identifier: Apache-2.0
"""Who else has it all: what the agreement's mirrors show, and the mark that their cosignatures make.

    log.mirrors = mirrors.shown          the checkpoints that mirrors show just now
    vouched(published, shown, agreement)     the note for a mark: the published checkpoint, with a quorum of both kinds

Mirrors fetch when they like, so their lines come after the witnesses'. A log looks for them in a thread of its own, and
no submitter waits for a mirror.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from threading import Event, Thread
from types import TracebackType
from typing import Self

from pausectl.agreement.document import Agreement
from pausectl.errors import Forged, Malformed, PausectlError
from pausectl.log import marks
from pausectl.log.index import Book
from pausectl.net.client import Client
from pausectl.registry import enforces
from pausectl.wire import cosignature, note
from pausectl.wire.note import Note

EVERY_SECONDS = 5.0
_TIMEOUT_SECONDS = 5.0


@enforces("LOG-37")
def due_at(book: Book, interval: int) -> int | None:
    """From when on (POSIX seconds) a mark with mirrors is to be written, if they have what is published; None if never.

    [LOG-37] A log that has obtained a quorum of mirrors' cosignatures of its published checkpoint MUST write a mark
    with them if the last such mark, or the want of one, leaves an entry other than a mark uncovered, and the
    agreement's mark interval has passed since its time.
    """
    if book.last_claim < book.mirror_size:
        return None
    return book.mirror_by + interval if book.mirror_size else 0


@enforces("LOG-38")
def vouched(published: bytes, shown: Sequence[bytes], agreement: Agreement, book: Book) -> Note | None:
    """The published checkpoint with the earliest quorum of witnesses and the earliest of mirrors, or None.

    shown: the checkpoints that mirrors show, of any size; what of them is no line by a mirror for this one is ignored.

    [LOG-38] A mark with mirrors that a log writes MUST carry its own signature lines and those of exactly a quorum of
    witnesses and exactly a quorum of mirrors, the earliest of each, whether or not MARK-3 lets it have effect.
    """
    quorum = agreement.document.mirrors.quorum
    signed = note.parse(published)
    if not quorum:
        return None
    for raw in shown:
        signed = note.add(signed, _lines(raw, signed.text, agreement))
    mirrored = marks.lines(signed, agreement.mirror_pairs)[:quorum]
    witnessed = marks.lines(signed, agreement.witness_pairs)[: agreement.document.witnesses.quorum]
    if len(mirrored) < quorum or len(witnessed) < agreement.document.witnesses.quorum:
        return None
    own = [note.open(signed, [key])[0] for key in agreement.log_pair]
    chosen = Note(signed.text, (*own, *(line for _, lines in (*witnessed, *mirrored) for line in lines)))
    covers = int(signed.text.split("\n")[1])
    return chosen if covers > book.mirror_size and len(chosen.raw) <= marks.MAX_BYTES else None


def _lines(raw: bytes, text: str, agreement: Agreement) -> tuple[note.Signature, ...]:
    """The lines by mirrors of the agreement on a note, if it is of this text and all of them hold."""
    pairs = list(agreement.mirror_pairs.values())
    names = {(key.name, key.key_id) for own in pairs for key in own}
    try:
        shown = note.parse(raw)
        found = tuple(line for line in shown.signatures if (line.name, line.key_id) in names)
        if shown.text != text or not found:
            return ()
        cosignature.together(Note(text, found), pairs)
    except (Malformed, Forged):
        return ()
    return found


class Mirrors:
    """Looks at mirrors until it is closed. shown: their checkpoints, one for each that answered last."""

    def __init__(
        self, urls: Sequence[str], origin: str, heard: Callable[[], object], *, every: float = EVERY_SECONDS
    ) -> None:
        """urls: monitoring prefixes, without the hash of the origin. heard: called when any of them shows another."""
        path = f"/{hashlib.sha256(origin.encode()).hexdigest()}/checkpoint"
        self._clients = [Client(url.rstrip("/") + path, timeout=_TIMEOUT_SECONDS) for url in urls]
        self._heard = heard
        self._every = every
        self._stop = Event()
        self._shown: tuple[bytes, ...] = ()
        self._thread = Thread(target=self._run, name="mirrors")

    def shown(self) -> tuple[bytes, ...]:
        """What they showed when they were asked last."""
        return self._shown

    def look(self) -> None:
        """Ask each of them once; one that does not answer shows nothing."""
        found = []
        for client in self._clients:
            try:
                answer = client.get("", max_bytes=note.MAX_BYTES)
            except PausectlError:
                continue
            found += [answer.body] if answer.status == 200 else []
        if tuple(found) != self._shown:
            self._shown = tuple(found)
            self._heard()

    def _run(self) -> None:
        while not self._stop.is_set():
            self.look()
            self._stop.wait(self._every)

    def __enter__(self) -> Self:
        if self._clients:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._clients:
            self._thread.join()
        for client in self._clients:
            client.close()
