# SPDX-License-Identifier: Apache-2.0
"""One tree that only grows: stage → sign → compare-and-swap → tiles → checkpoint, and only then an answer.

| step                | after a crash just behind it                                                          |
|---------------------|---------------------------------------------------------------------------------------|
| 1 stage             | the register has not moved: the bundle is dropped, nobody was promised anything       |
| 2 sign              | the same; the signature never left the process                                        |
| 3 compare-and-swap  | the new checkpoint *is* the log: the next start replays the bundle                    |
| 4 tiles             | replayed, under new names, since what can be read need not be on the disk             |
| 5 checkpoint        | published again, if it is to be: a cosigned one stays until `publish` has a newer one |
| 6 answer            | a submitter without an answer asks again and gets the same index                      |

Two processes may write one log by mistake, where no lock keeps them apart: one of them wins the compare-and-swap, and
the other reads the log again (`reload`), which finishes whatever the winner has not, before it tries once more.

Knows no agreement, no clock and no rules: `log.Log` decides what may enter, and which checkpoints readers take.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache

from pausectl.errors import Broken, PausectlError, Refused, SplitView, Unavailable
from pausectl.history.tiles import Fetch, Tiles
from pausectl.log import growth, stage
from pausectl.log.second import SecondMemory
from pausectl.log.shown import PATIENCE, Quorate, Shown
from pausectl.log.storage.seams import Absent, Store
from pausectl.registry import enforces
from pausectl.wire import checkpoint, merkle, tile
from pausectl.wire.checkpoint import Checkpoint
from pausectl.wire.keys import SUITES, Signer
from pausectl.wire.note import Note, VerifierKey
from pausectl.wire.tile import WIDTH, Bundle

#: Of how many checkpoints the partial tiles are kept, for readers who are still at work with them.
KEPT = 8

_AGAIN = "open the log again: that finishes the commit"
_OLD = "the state directory is an old copy: going on would sign a second history"


def _nobody_asks(_: bytes) -> bool:
    """For a tree whose readers ask for no quorum: each checkpoint is published as it is signed."""
    return False


class Adrift(Unavailable):
    """Nobody can say what was written: `reload`, and see what is so."""


class Beaten(Adrift):
    """Another process wrote, and this one did not: `reload`, and try again."""


class Sequencer:
    """The writer of a tree. Not for several threads. On an exclusive store its lock must be held.

    After an error behind the compare-and-swap it refuses everything, until it has read the log again: on an exclusive
    store only the next start does that, on others `reload`.
    """

    def __init__(
        self,
        key: VerifierKey,
        signer: Signer,
        store: Store,
        recent: Sequence[int] = (),
        quorate: Quorate = _nobody_asks,
        memory: SecondMemory | None = None,
        also: Sequence[Signer] = (),
    ) -> None:
        """Recover from whatever the last process left. recent: what `recent` was in the last process, as far as known.

        quorate: of the checkpoints for which this holds, the one that is published stays until `publish` replaces it.
        also: what signs besides the signer, each with a key of another type.
        """
        if signer.public != key.public:
            raise Refused(f"signer: expected the log's key {key.public.keyid}, found {signer.public.keyid}")
        self._key, self._signers, self._store = key, (signer, *also), store
        self._also = [VerifierKey(key.name, SUITES[one.public.suite].note_type, one.public) for one in also]
        self._shown = Shown(store, self._open, quorate)
        self._memory = memory
        self._head, self._known = b"", Checkpoint(key.name, 0, merkle.EMPTY)
        self._recent = _rising(recent)
        self._loose: list[Checkpoint] = []
        self._read(start=True)

    @property
    def adrift(self) -> bool:
        """Whether the log has to be read again before anything else."""
        return self._stopped

    @property
    def size(self) -> int:
        """How many entries."""
        return self._known.size

    @property
    def tiles(self) -> Tiles:
        """The tree as a reader of the published files sees it."""
        return self._tiles

    @property
    def head(self) -> bytes:
        """The newest checkpoint with the log's signature alone; b"" for an empty log that never signed."""
        return self._head

    @property
    def published(self) -> bytes:
        """The checkpoint that readers see; it may be older than `head`, and is cosigned then."""
        return self._shown.raw

    @property
    def published_size(self) -> int:
        """How many entries readers see."""
        return self._shown.size

    @property
    def recent(self) -> tuple[int, ...]:
        """The last sizes that were published. To be given to the next start, or some partial tiles stay for ever."""
        return self._recent

    @enforces("LOG-5")
    def append(self, entries: Sequence[bytes]) -> int:
        """Add entries as one commit, whatever they are; the index of the first of them.

        [LOG-5] A log MUST publish the tiles and bundles of a checkpoint before the checkpoint, and before it answers a
        submitter.

        Refused if they cannot be stored, with nothing changed. Broken if the log stopped half way: open it again.
        Adrift, on a store that others may write: the entries stand there or they do not, and `reload` finds out.
        """
        self._need_running()
        if not entries:
            return self.size
        first = self.size
        edge, files = growth.grow(self._edge, entries)
        with self._among_others():
            self._commit(edge, files)
        return first

    def publish(self, signed: Note) -> None:
        """Publish the newest checkpoint with more signatures than the log's, in place of whatever is published."""
        self._need_running()
        if self._open(signed.raw) != self._known:
            raise Broken("a checkpoint of another size than the newest was to be published")
        try:
            self._shown.replace(signed, self.size)
        except OSError as error:
            raise Refused(f"the checkpoint cannot be stored: {error.strerror}") from error

    def reload(self) -> None:
        """Read the log again, as a start does, and finish what another process has not.

        SplitView if the log is no longer an extension of what this process knew; Unavailable if it cannot be read, and
        then this may be repeated.
        """
        self._read(start=False)

    @contextmanager
    def _among_others(self) -> Iterator[None]:
        """On a store that others may write, what went wrong says only that the log is to be read again."""
        try:
            yield
        except (Refused, Unavailable, OSError) as error:
            if self._store.exclusive:
                raise
            self._stopped = True
            trouble = Beaten if isinstance(error, Refused) else Adrift
            raise trouble(f"the commit was not finished: {error}") from error

    # ── the steps of a commit ──────────────────────────────────────────────────────────────────────────────────────

    def _commit(self, edge: growth.Edge, files: Mapping[str, bytes]) -> None:
        new = Checkpoint(self._key.name, edge.size, edge.root)
        self._stage(new, files)
        signed, audited = self._sign(new)
        self._decide(new, signed, edge, audited)

    def _stage(self, new: Checkpoint, files: Mapping[str, bytes]) -> None:
        if not self._store.exclusive:
            self._loose.append(new)
        try:
            self._store.staging.put(stage.name(new), stage.format(files), afresh=True)
        except OSError as error:
            raise Refused(f"the entries cannot be stored: {error.strerror}; nothing was changed") from error
        except Refused:
            # Another process staged the same tree, from another size. What is there is audited like one's own.
            if self._store.exclusive:
                raise

    @enforces("LOG-6", "LOG-7")
    def _sign(self, new: Checkpoint) -> tuple[Note, Mapping[str, bytes]]:
        """Sign what is stored, not what is in memory: a bit that flipped in between cost a real log its life.

        [LOG-6] A log MUST NOT sign a checkpoint before it has read back from its store what it staged and found that
        every entry and every tile of it leads to the root.

        [LOG-7] A log MUST NOT sign a checkpoint whose tree does not extend the tree in its head register.

        The signed checkpoint, and the files as they were read back.
        """
        name, old = stage.name(new), self._known
        try:
            files = stage.parse(self._store.staging.get(name))
            tiles = self._audited(new, files)
            if old.size:
                proof = merkle.prove_consistency(old.size, new.size, tiles.read)
                merkle.check_consistency(old.size, old.root, new.size, new.root, proof)
        except PausectlError as error:
            if isinstance(error, Unavailable) and not self._store.exclusive:
                raise  # whoever won with the same tree has done with it, or the store does not answer
            self._store.staging.discard(name)
            hint = "nothing was signed; run fsck, and distrust this machine's memory and disk"
            raise Broken(f"what was staged does not make the tree that is to be signed: {error}", hint=hint) from error
        return checkpoint.sign(new, *self._signers), files

    def _audited(self, new: Checkpoint, files: Mapping[str, bytes]) -> Tiles:
        """The new tree read by the code that readers use, staged files first; everything staged was compared."""

        def fetch(path: str) -> bytes:
            return files[path] if path in files else self._store.objects.get(path)

        tiles = Tiles(fetch, new.size, new.root)
        for path in files:
            place = tile.parse_path(path)
            if isinstance(place, Bundle):
                tiles.bundle(place)
            else:
                tiles.tile(place)
        return tiles

    def _decide(self, new: Checkpoint, signed: Note, edge: growth.Edge, files: Mapping[str, bytes]) -> None:
        self._stopped = True
        try:
            self._store.head.swap(self._head, signed.raw)
            self._remember(signed.raw)
            # The register has the new checkpoint, everything else is only staged: a crash from here on is replayed.
            for path, data in files.items():
                self._store.objects.put(path, data)
            old, self._head = self.size, signed.raw
            self._known, self._edge = new, edge
            self._shown.follow(signed.raw, new.size)
            self._tiles = self._authenticated(new)
            self._store.staging.discard(stage.name(new))
            self._tidy(old)
        except OSError as error:
            raise Broken(f"the log stopped half way through a commit: {error}", hint=_AGAIN) from error
        self._stopped = False
        self._sweep()

    def _remember(self, raw: bytes) -> None:
        if self._memory is not None:
            self._memory.write(raw)

    @enforces("LOG-8")
    def _tidy(self, old: int) -> None:
        """Remove partial tiles that nobody should still be reading. old: the size before this commit.

        [LOG-8] A log MUST keep the partial tiles and bundles of the last 8 checkpoints that it published.

        Those of its newest one are kept besides, published or not: without them it could not go on. Where others write
        too, one of them may be about to publish what this process did not.
        """
        dropped = {*self._recent, old}
        own = () if self._store.exclusive else (old, self.size)
        self._recent = _rising((*self._recent, self.published_size, *own))[-KEPT:]
        for path in sorted(growth.superseded(dropped, {*self._recent, self.size})):
            self._store.objects.discard(path)

    def _sweep(self) -> None:
        """Remove what this process staged and nobody can decide for any more, since the tree has grown past it."""
        for lost in [each for each in self._loose if each.size <= self.size]:
            if lost != self._known:
                self._store.staging.discard(stage.name(lost))
            self._loose.remove(lost)

    # ── a start ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _read(self, *, start: bool) -> None:
        self._stopped = True
        for _ in range(PATIENCE):
            head = self._store.head.read()
            try:
                self._load(head, start=start)
            except (Refused, Unavailable):
                # Files that others are still writing, or have done with already, belong to another head than this one.
                if self._store.exclusive or self._store.head.read() == head:
                    raise
            else:
                self._stopped = False
                self._sweep()
                return
        raise Unavailable(f"other processes write this log faster than it can be read, {PATIENCE} times")

    @enforces("LOG-27")
    def _load(self, head: bytes, *, start: bool) -> None:
        """Take over the log as it is in the store.

        [LOG-27] A log MUST NOT commit to a tree before the tiles and bundles of the tree in its head register are
        published, whoever left them unpublished.

        Then whoever wins a swap may die at once: the next to win has done its work before.
        """
        known = self._open(head) if head else Checkpoint(self._key.name, 0, merkle.EMPTY)
        staged = self._staged(known)
        tiles = self._authenticated(known) if staged is None else self._audited(known, staged)
        self._need_extension(known, head, tiles)
        self._shown.look()
        if staged is not None:
            self._replay(known, head, staged, start=start)
            tiles = self._authenticated(known)
        self._head, self._known, self._tiles = head, known, tiles
        self._edge = growth.load(tiles)
        self._need_no_later()
        if start:
            self._need_no_longer_bundle()
        self._shown.follow(head, known.size)
        self._recent = _rising((*self._recent, self.published_size))

    def _staged(self, known: Checkpoint) -> dict[str, bytes] | None:
        try:
            return stage.parse(self._store.staging.get(stage.name(known)))
        except Absent:
            return None

    @enforces("LOG-26")
    def _need_extension(self, known: Checkpoint, head: bytes, tiles: Tiles) -> None:
        """Refuse a register that was set back, by what this process and what the second memory know.

        [LOG-26] A log MUST refuse to start when the checkpoint in its second memory is larger than the one in its head
        register, or of a tree that the register's does not extend.
        """
        memory = self._memory.read() if self._memory is not None else b""
        for what, raw in (("second memory", memory), ("process", self._head)):
            seen = self._open(raw) if raw else None
            if seen is None:
                continue
            if seen.size > known.size:
                told = f"head register: expected size {seen.size} or more, as its {what} has it, found {known.size}"
                raise Refused(told, hint=_OLD)
            if tiles.root(seen.size) != seen.root:
                raise SplitView(f"this log signed two trees of its first {seen.size} entries", raw, head)
        if memory != head:
            self._remember(head)

    @enforces("LOG-9")
    def _replay(self, known: Checkpoint, head: bytes, files: Mapping[str, bytes], *, start: bool) -> None:
        """Finish the commit that the last process, or another one, did not.

        [LOG-9] A log that finds the staged bundle of its newest checkpoint MUST write the head register, every file of
        the bundle and the published checkpoint again, whatever of them is there, before it signs anything else.

        If fsync failed, the last process ended and the page cache still shows what the disk never got.
        """
        if start:
            self._store.head.swap(head, head)
        for path, data in files.items():
            self._store.objects.put(path, data, afresh=True)
        self._shown.follow(head, known.size, again=True)
        self._store.staging.discard(stage.name(known))

    @enforces("LOG-10")
    def _authenticated(self, known: Checkpoint) -> Tiles:
        """The published tiles under the root in the register.

        [LOG-10] A log MUST refuse to start when its published tiles do not make the root in its head register.
        """
        try:
            tiles = Tiles(self._kept_bundle(known.size), known.size, known.root)
            if known.size:
                last = known.size - 1
                width = min(tile.WIDTH, known.size - last // tile.WIDTH * tile.WIDTH)
                tiles.bundle(Bundle(last // tile.WIDTH, width))
        except PausectlError as error:
            hint = "an old copy of the files, or a damaged one: fsck says which; never put an older head register back"
            raise Refused(f"the files are not those of the head register: {error}", hint=hint) from error
        return tiles

    def _kept_bundle(self, size: int) -> Fetch:
        """Reads objects, and the partial bundle of this tree once: others may have done with it before this process."""
        path = Bundle(size // WIDTH, size % WIDTH).path if size % WIDTH else ""
        get = cache(self._store.objects.get)
        return lambda wanted: get(wanted) if wanted == path else self._store.objects.get(wanted)

    @enforces("LOG-11")
    def _need_no_later(self) -> None:
        """Refuse a register that was set back, and what is published of another tree.

        [LOG-11] A log MUST refuse to start when its published checkpoint is larger than the one in its head register,
        or of a tree that the register's does not extend.
        """
        seen = self._shown.seen
        if seen is not None and seen.size > self.size:
            raise Refused(f"head register: expected size {seen.size}, as published, found {self.size}", hint=_OLD)
        if seen is not None and self._tiles.root(seen.size) != seen.root:
            raise SplitView(f"this log signed two trees of its first {seen.size} entries", self._shown.raw, self._head)

    @enforces("LOG-25")
    def _need_no_longer_bundle(self) -> None:
        """Refuse a register that was set back behind commits whose checkpoints were never published.

        [LOG-25] A log MUST refuse to start when a bundle is published that goes beyond the tree in its head register.

        A later tree has the bundle where this one ends, with more entries in it.
        """
        last = self.size // WIDTH
        for path in (Bundle(last, width).path for width in range(self.size % WIDTH + 1, WIDTH + 1)):
            with contextlib.suppress(Absent):
                self._store.objects.get(path)
                raise Refused(f"head register: expected the size that {path} is of, found {self.size}", hint=_OLD)

    def _open(self, raw: bytes) -> Checkpoint:
        return checkpoint.open(raw, self._key, also=self._also)[0]

    def _need_running(self) -> None:
        if self._stopped:
            raise Broken("the log stopped half way through a commit", hint=_AGAIN)


def _rising(sizes: Sequence[int]) -> tuple[int, ...]:
    return tuple(sorted(set(sizes) - {0}))
