# SPDX-License-Identifier: Apache-2.0
"""One log and its home directory: create it, add to it, have it cosigned.

    with Log.create(home, agreement, signer, now) as log:
        [admission] = log.add([envelope])
        log.cosign(witnesses, now)

It lies in `home`, or where `storage.config.Places` say: then two processes may have it open by mistake, and whoever
loses a commit to the other reads the log again and goes on.

`add` is `admit` (may this enter?) and `append` (make it so); an operator who does not ask the first is the simulator's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from pausectl.agreement.document import Agreement
from pausectl.agreement.types import seconds
from pausectl.durable import Disk
from pausectl.errors import Broken, Refused, Unavailable, UsageFault
from pausectl.history.decode import Decoded
from pausectl.history.reader import resolve
from pausectl.log import admission, homes, marks, mirrors, pins, publish
from pausectl.log.held import Held
from pausectl.log.index import Index
from pausectl.log.panel import Panel
from pausectl.log.publish import Witness
from pausectl.log.receipts import Receipts
from pausectl.log.second import SecondMemory
from pausectl.log.sequencer import Adrift, Beaten, Sequencer
from pausectl.log.storage import config
from pausectl.log.storage.config import Places
from pausectl.log.storage.seams import Store
from pausectl.predicates.checkpoint import Mark
from pausectl.registry import enforces
from pausectl.wire import note
from pausectl.wire.keys import Signer
from pausectl.wire.tile import WIDTH, Bundle

#: How often a batch is tried again that another process was quicker than.
TURNS = 32

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Admission:
    """The answer to one entry: where its statement stands. duplicate: it stood there before, nothing was written."""

    index: int
    statement_id: str
    duplicate: bool


class Log:
    """A log that is open for writing, by `create` or `open`; `close` it, or use it as a context. Not for threads."""

    def __init__(
        self,
        home: Path,
        agreement: Agreement,
        signer: Signer,
        store: Store,
        memory: SecondMemory | None,
        lock: int,
        second: Signer | None = None,
    ) -> None:
        """For `create` and `open`. lock: the file descriptor of the lock, which is now this log's to close."""
        self.home = home
        self._party = _operator(agreement, signer, second)
        self.agreement = agreement
        self._signer = signer
        self.store = store
        self._lock = lock
        self._complaints: tuple[str, ...] = ()
        #: The checkpoints that mirrors show just now; whoever asks them puts this in its place.
        self.mirrors: Callable[[], Sequence[bytes]] = tuple
        self._receipts: Receipts | None = None
        self._cosigned_size = 0
        self._index = Index(home / "state" / "index.db")
        try:
            self.agreement = agreement = pins.publish(agreement, store.objects)
            self._panel = Panel(agreement, home / "state" / "witnesses.json")
            # Of one checkpoint it is asked again and again, and verifies all its signatures each time.
            self._quorate = lru_cache(4)(partial(publish.quorate, agreement=agreement))
            known, also = self._index.book.recent, (second,) if second else ()
            self._sequencer = Sequencer(agreement.log_key, signer, store, known, self._quorate, memory, also)
            self._held = Held(self._index, self._sequencer, agreement, self._party)
            store.clear()
            self._begin()
            self._follow()
        except BaseException:
            self._index.close()
            store.close()
            raise

    @classmethod
    @enforces("LOG-12")
    def create(
        cls,
        home: Path,
        agreement: Agreement,
        signer: Signer,
        now: int,
        *,
        second: Signer | None = None,
        disk: Disk | None = None,
        places: Places | None = None,
        succession: bytes = b"",
    ) -> Log:
        """Make a log in `home`, with the agreement as its first entry, and publish its first checkpoint.

        agreement: with the keys that it names by digest, as it is read under this log. second: signs as well, if one of
        them is the log's. succession: entry 1 of a log that succeeds another (`succession.begin`).

        [LOG-12] A log MUST NOT be created where there is one, or what remains of one.

        Refused also for a signer that is not the agreement's log, and for an agreement that has expired at `now`. A
        crash on the way leaves something that `create` or `open` finishes. places: where it lies, if not in `home`.
        """
        _operator(agreement, signer, second)
        agreement = pins.complete(agreement, second)
        if now >= seconds(agreement.document.expires_at):
            raise Refused(f"the agreement expired at {agreement.document.expires_at}")
        disk, places = disk or Disk(), homes.placed(home, places or Places())
        homes.make(home, disk)
        with homes.locked(home) as lock:
            homes.need_nothing(home, agreement)
            memory = homes.settle(home, agreement, places, disk, succession)
            return cls(home, agreement, signer, config.create(home, places, disk), memory, lock, second)

    @classmethod
    @enforces("LOG-30")
    def open(cls, home: Path, signer: Signer, *, second: Signer | None = None, disk: Disk | None = None) -> Log:
        """Open the log in `home` for writing, finishing what the last process could not.

        [LOG-30] A log MUST NOT be open for writing in two processes that use one home directory.

        Refused also for another signer than the log's, and for files that are older than the head register.
        """
        disk = disk or Disk()
        with homes.locked(home) as lock:
            agreement, places = homes.agreement_of(home), config.read(home)
            memory = SecondMemory(Path(places.memory), disk) if places.memory else None
            return cls(home, agreement, signer, config.open(home, places, disk), memory, lock, second)

    @classmethod
    def join(
        cls,
        home: Path,
        agreement: Agreement,
        signer: Signer,
        places: Places,
        *,
        second: Signer | None = None,
        disk: Disk | None = None,
    ) -> Log:
        """Open a log that another home has created on shared stores, from a new home directory.

        agreement: the keys that it names by digest are read where the log lies.
        """
        if not places.shared:
            raise UsageFault("expected URLs of both the objects and the head: what lies in a home is not shared")
        disk, places = disk or Disk(), homes.placed(home, places)
        homes.make(home, disk)
        with homes.locked(home) as lock:
            homes.need_nothing(home, agreement)
            store = config.open(home, places, disk)
            try:
                store.head.read()  # Unavailable where there is no log
                agreement = pins.complete(resolve(store.objects.get, agreement), second)
                memory = homes.settle(home, agreement, places, disk)
            except BaseException:
                store.close()
                raise
            return cls(home, agreement, signer, store, memory, lock, second)

    @property
    def size(self) -> int:
        """How many entries."""
        return self._sequencer.size

    @property
    def checkpoint(self) -> bytes:
        """The checkpoint as it is published: the newest with a quorum, or until there was one the newest signed."""
        return self._sequencer.published

    @property
    def published_size(self) -> int:
        """How many entries the published checkpoint has."""
        return self._sequencer.published_size

    @property
    def mark_due_at(self) -> int | None:
        """From when on (POSIX seconds) `cosign` will write a mark; None while there is nothing for one to cover."""
        book, interval = self._held.book, self.agreement.document.log.mark_interval_seconds
        plain, late = marks.due_at(book, interval), mirrors.due_at(book, interval)
        if late is None or self._vouched() is None:
            return plain
        return late if plain is None else min(plain, late)

    def _vouched(self) -> note.Note | None:
        """What is published, if mirrors have it all."""
        shown = self.mirrors() if self.published_size <= self.size else ()
        return mirrors.vouched(self.checkpoint, shown, self.agreement, self._held.book) if shown else None

    @property
    def cosigned(self) -> bool:
        """Whether the published checkpoint has its quorum, so that readers take it."""
        return self._quorate(self.checkpoint)

    @property
    def complaints(self) -> tuple[str, ...]:
        """What witnesses answered in the last `cosign` instead of a cosignature, for people."""
        return self._complaints

    # ── adding ─────────────────────────────────────────────────────────────────────────────────────────────────────

    @enforces("LOG-16", "LOG-17", "LOG-18")
    def add(self, entries: Sequence[bytes]) -> list[Admission]:
        """Admit entries and append them as one commit; the answers, in the order of the entries.

        [LOG-16] A log MUST find that the signers may say a statement before it looks whether it holds that statement.

        [LOG-17] A log MUST answer a statement that it holds with the index of its first copy, and write nothing.

        [LOG-18] A log MUST refuse a batch as a whole, with nothing written, when it refuses one of its entries.
        """
        return self._settled(lambda own: self._add(entries, own))

    def enter(self, admitted: Sequence[tuple[bytes, Decoded]]) -> list[Admission | Refused]:
        """Append what `admission.admit` let pass before, as one commit; the answers, in the order of the entries.

        Unlike `add` it refuses one entry and takes its neighbours, which may be other people's.
        """
        return self._settled(lambda own: self._take(admitted, own))

    @enforces("LOG-29")
    def _settled(self, attempt: Callable[[int | None], R]) -> R:
        """Try until it is so. attempt: is given the first leaf that may be of an attempt before it; None for no leaf.

        [LOG-29] A log that cannot tell whether its commit became the newest MUST look for its statements in the tree
        that did, before it commits any of them again.

        Unavailable in the end: then it stands there or it does not, and asking again is safe.
        """
        own: int | None = None
        for _ in range(TURNS):
            try:
                if self._sequencer.adrift and not self.store.exclusive:
                    self._reload()
                size = self.size
                return attempt(own)
            except Adrift as error:
                trouble = error
                if own is None and not isinstance(error, Beaten):
                    own = size
        raise Unavailable(f"gave up after {TURNS} attempts: {trouble}", hint="another process writes this log: end one")

    def _reload(self) -> None:
        self._sequencer.reload()
        self._follow()

    def _add(self, entries: Sequence[bytes], own: int | None) -> list[Admission]:
        ids = []
        for place, entry in enumerate(entries):
            try:
                ids.append(self.admit(entry))
            except Refused as error:
                raise error.at(f"entry {place}") from error
        return self._place(list(zip(entries, ids, strict=True)), own)

    def _take(self, admitted: Sequence[tuple[bytes, Decoded]], own: int | None) -> list[Admission | Refused]:
        answers: list[Admission | Refused] = []
        run: list[tuple[bytes, str]] = []
        for entry, decoded in admitted:
            if not isinstance(decoded.claim, Mark):
                run.append((entry, decoded.id))
                continue
            # A mark is judged by what stands before it, so that has to be there.
            answers += self._place(run, own)
            run = []
            try:
                self._admit_mark(decoded)
            except Refused as error:
                answers.append(error)
            else:
                answers += self._place([(entry, decoded.id)], own)
        return [*answers, *self._place(run, own)]

    def admit(self, entry: bytes) -> str:
        """The statement id of an entry that may enter, with nothing changed; Refused says why it may not."""
        decoded = admission.admit(entry, self.agreement)
        self._admit_mark(decoded)
        return decoded.id

    def _admit_mark(self, decoded: Decoded) -> None:
        if isinstance(decoded.claim, Mark) and self._held.leaf(decoded.id) is None:
            root_at = self._sequencer.tiles.root
            admission.admit_mark(decoded.claim, self.agreement, self._held.book, self.size, root_at)

    def _place(self, batch: Sequence[tuple[bytes, str]], own: int | None) -> list[Admission]:
        """Where each of (entry, statement id) stands, after appending as one commit what stands nowhere.

        own: what stands there from this leaf on was not there before, though it is now.
        """
        held = {
            statement_id: self._held.leaf(statement_id) for statement_id in {statement_id for _, statement_id in batch}
        }
        fresh: dict[str, bytes] = {}
        told: set[str] = set()
        answers = []
        for entry, statement_id in batch:
            leaf = held[statement_id]
            known = statement_id in told or (leaf is not None and (own is None or leaf < own))
            told.add(statement_id)
            if leaf is None:
                leaf = held[statement_id] = self.size + len(fresh)
                fresh[statement_id] = bytes(entry)
            answers.append(Admission(leaf, statement_id, known))
        self.append([(entry, statement_id) for statement_id, entry in fresh.items()])
        return answers

    def append(self, batch: Sequence[tuple[bytes, str]]) -> int:
        """Append (entry, statement id) as one commit, with no questions asked; the index of the first.

        A later `add` of the same statement will be answered with this leaf, so give "" as the id of an entry that no
        reader gives effect. An entry that stands here unasked is a finding against whoever operates this log.

        On a store that others may write, Adrift says that it stands there or does not; the log is read again first.
        """
        if self._sequencer.adrift and not self.store.exclusive:
            self._reload()
        first = self._sequencer.append([entry for entry, _ in batch])
        try:
            self._held.enter(first, batch)
        except Broken:
            try:
                self._held.remake()
            except Broken:
                self.close()
                raise
        return first

    def prove(self, index: int) -> bytes:
        """The receipt (.tlog-proof) of an entry that the published checkpoint covers."""
        if self.published_size > self.size:
            self._reload()  # it is another process's, of a larger tree than this one has read
        if self._receipts is None or self._receipts.checkpoint_raw is not self.checkpoint:
            self._receipts = Receipts(self._sequencer.tiles, self.checkpoint)
        return self._receipts.of(index)

    # ── being cosigned ─────────────────────────────────────────────────────────────────────────────────────────────

    def cosign(self, witnesses: Sequence[Witness], now: int) -> bytes:
        """Have the newest checkpoint cosigned and publish it so; the checkpoint that is published in the end.

        now: POSIX seconds. If a mark is due by then, it is appended, and the head that covers it is cosigned as well.
        Every witness is asked; `complaints` has what went wrong with some. Unavailable if there is no quorum: then what
        was published stays, and `cosign` may be repeated.
        """
        self._complaints = ()
        if not self.store.exclusive and (self._sequencer.adrift or self.store.head.read() != self._sequencer.head):
            self._reload()  # witnesses may have seen more than this process
        late = mirrors.due_at(self._held.book, self.agreement.document.log.mark_interval_seconds)
        if late is not None and late <= now and (vouched := self._vouched()):
            self._mark(vouched)
        signed = self._cosigned(witnesses)
        book = self._held.book
        if marks.due(book, self.agreement.document.log.mark_interval_seconds, now):
            chosen = marks.minimal(signed, self.agreement, book)
            if chosen is None:
                self._complaints += ("no mark: the witnesses' times fall behind those of the last one",)
            else:
                self._mark(chosen)
                self._cosigned(witnesses)
        return self.checkpoint

    def _mark(self, chosen: note.Note) -> None:
        """Log a mark with these lines."""
        mark = marks.write(chosen, self.agreement, self._party, self._held.book.marks, self._signer)
        try:
            self.append([(mark.raw, mark.statement_id)])
        except Adrift as error:
            self._complaints += (f"no mark now: {error}",)
            self._reload()

    def _cosigned(self, witnesses: Sequence[Witness]) -> note.Note:
        sequencer = self._sequencer
        heard = self._panel.collect(sequencer.head, sequencer.tiles, witnesses, self._cosigned_size)
        if heard.contradicted and not self.store.exclusive and self.store.head.read() != sequencer.head:
            # What they know and we did not is no fork: another process of this log was quicker.
            raise Unavailable(f"another process went on from size {self.size} meanwhile", hint="repeat it")
        self._complaints += heard.complaints
        if not heard.quorum.reached:
            told = "; ".join((f"cosigned by {heard.quorum}", *heard.complaints))
            raise Unavailable(f"checkpoint of size {self.size}: {told}", hint="repeat it when they can be reached")
        sequencer.publish(heard.signed)
        self._cosigned_size = self.size
        return heard.signed

    # ── starting, ending ───────────────────────────────────────────────────────────────────────────────────────────

    def close(self) -> None:
        """Let others open it."""
        self._index.close()
        self.store.close()
        if self._lock >= 0:
            lock, self._lock = self._lock, -1
            with suppress(OSError):  # it is let go all the same, and everything else is done
                os.close(lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begin(self) -> None:
        """Entry 0 is the agreement, and entry 1 of a successor says so; a crash in `create` may have left none."""
        founding = homes.founding(self.home, self.agreement)
        while self.size == 0:
            if len(founding) <= bool(self.agreement.log_number):
                raise Unavailable("there is no statement to begin with", where=str(self.home / homes.SUCCESSION))
            try:
                self._sequencer.append(founding)
            except Adrift:
                self._sequencer.reload()
        first = self._sequencer.tiles.bundle(Bundle(0, min(self.size, WIDTH)))[: len(founding)]
        if first[0] != self.agreement.raw:
            raise Refused("entry 0 is not the agreement in agreement.json", where=str(self.home))
        if list(first) != founding:
            raise Refused(f"entry 1 is not the statement in {homes.SUCCESSION}", where=str(self.home))

    def _follow(self) -> None:
        """Bring everything that is derived up to the tree."""
        self._held.follow()
        # What witnesses probably remember; if not, they say so, which costs a second request.
        self._cosigned_size = self._sequencer.published_size if self.cosigned else self._held.book.mark_size


def _operator(agreement: Agreement, signer: Signer, second: Signer | None) -> str:
    """The principal that the signer signs marks as."""
    pins.need_second(agreement, second)
    if signer.public != agreement.log_key.public:
        raise Refused(f"signer: expected the log's key {agreement.log_key.public.keyid}, found {signer.public.keyid}")
    principal, _ = agreement.keys.get(signer.public.keyid, ("", None))
    if principal not in agreement.holders("log"):
        raise Refused("signer: expected a key of a principal with the role log, which has to sign the marks")
    return principal
