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

Knows no agreement, no clock and no rules: `log.Log` decides what may enter, and which checkpoints readers take.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence

from pausectl.errors import Broken, PausectlError, Refused, SplitView
from pausectl.history.tiles import Tiles
from pausectl.log import growth, stage
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

#: Whether a signed checkpoint has what readers ask for besides the log's signature.
Quorate = Callable[[bytes], bool]


def _nobody_asks(_: bytes) -> bool:
    """For a tree whose readers ask for no quorum: each checkpoint is published as it is signed."""
    return False


class Sequencer:
    """The one writer of a tree. Not for several threads, and for one process only: the caller holds the log's lock.

    After an error behind the compare-and-swap it refuses everything: only a new start knows what is so.
    """

    def __init__(
        self,
        key: VerifierKey,
        signer: Signer,
        store: Store,
        recent: Sequence[int] = (),
        quorate: Quorate = _nobody_asks,
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
        self._quorate = quorate
        self._stopped = False
        self._head = store.head.read()
        self._known = self._open(self._head) if self._head else Checkpoint(key.name, 0, merkle.EMPTY)
        self._replay()
        self._tiles = self._authenticated()
        self._edge = growth.load(self._tiles)
        self._published, self._seen = self._shown()
        self._need_no_later()
        self._show(self._due(self._published, self._seen))
        self._recent = _rising((*recent, self.published_size))

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
        return self._published

    @property
    def published_size(self) -> int:
        """How many entries readers see."""
        return self._seen.size if self._seen else 0

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
        """
        self._need_running()
        if not entries:
            return self.size
        edge, files = growth.grow(self._edge, entries)
        new = Checkpoint(self._key.name, edge.size, edge.root)
        self._stage(new, files)
        signed = self._sign(new)
        first = self.size
        self._commit(new, signed, edge, files)
        return first

    def publish(self, signed: Note) -> None:
        """Publish the newest checkpoint with more signatures than the log's, in place of whatever is published."""
        self._need_running()
        if self._open(signed.raw) != self._known:
            raise Broken("a checkpoint of another size than the newest was to be published")
        if self._quorate(self._published) and not self._quorate(signed.raw):
            raise Refused("the checkpoint lacks the quorum that the published one has")
        try:
            self._store.public.swap(self._published, signed.raw)
        except OSError as error:
            raise Refused(f"the checkpoint cannot be stored: {error.strerror}") from error
        self._published, self._seen = signed.raw, self._known

    # ── the steps of a commit ──────────────────────────────────────────────────────────────────────────────────────

    def _stage(self, new: Checkpoint, files: Mapping[str, bytes]) -> None:
        try:
            self._store.staging.put(stage.name(new), stage.format(files), afresh=True)
        except OSError as error:
            raise Refused(f"the entries cannot be stored: {error.strerror}; nothing was changed") from error

    @enforces("LOG-6", "LOG-7")
    def _sign(self, new: Checkpoint) -> Note:
        """Sign what is on the disk, not what is in memory: a bit that flipped in between cost a real log its life.

        [LOG-6] A log MUST NOT sign a checkpoint before it has read back from the disk what it staged and found that
        every entry and every tile of it leads to the root.

        [LOG-7] A log MUST NOT sign a checkpoint whose tree does not extend the tree in its head register.
        """
        name, old = stage.name(new), self._known
        try:
            tiles = self._audited(new, stage.parse(self._store.staging.get(name)))
            if old.size:
                proof = merkle.prove_consistency(old.size, new.size, tiles.read)
                merkle.check_consistency(old.size, old.root, new.size, new.root, proof)
        except PausectlError as error:
            self._store.staging.discard(name)
            hint = "nothing was signed; run fsck, and distrust this machine's memory and disk"
            raise Broken(f"what was staged does not make the tree that is to be signed: {error}", hint=hint) from error
        return checkpoint.sign(new, *self._signers)

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

    def _commit(self, new: Checkpoint, signed: Note, edge: growth.Edge, files: Mapping[str, bytes]) -> None:
        self._stopped = True
        try:
            self._store.head.swap(self._head, signed.raw)
            # The register has the new checkpoint, everything else is only staged: a crash from here on is `_replay`ed.
            for path, data in files.items():
                self._store.objects.put(path, data)
            old, self._head = self.size, signed.raw
            self._known, self._edge = new, edge
            self._show(self._due(self._published, self._seen))
            self._tiles = self._authenticated()
            self._store.staging.discard(stage.name(new))
            self._tidy(old)
        except OSError as error:
            raise Broken(f"the log stopped half way through a commit: {error}", hint=_AGAIN) from error
        self._stopped = False

    @enforces("LOG-24")
    def _due(self, shown: bytes, seen: Checkpoint | None) -> bytes:
        """The checkpoint that is to be published where `shown`, which says `seen`, is now.

        [LOG-24] A log that published a checkpoint with its agreement's quorum of cosignatures MUST NOT publish any
        other in its place but one with a quorum, of the same size or larger.

        Readers refuse a checkpoint without, so a log that showed its newest one at once could be read by nobody from
        each commit to the next quorum. A log that never had a quorum shows what it signed.
        """
        keep = seen is not None and (seen.size >= self.size or self._quorate(shown))
        return shown if keep else self._head

    def _show(self, due: bytes) -> None:
        if due != self._published:
            self._store.public.swap(self._published, due)
            self._published, self._seen = due, self._open(due)

    @enforces("LOG-8")
    def _tidy(self, old: int) -> None:
        """Remove partial tiles that nobody should still be reading. old: the size before this commit.

        [LOG-8] A log MUST keep the partial tiles and bundles of the last 8 checkpoints that it published.

        Those of its newest one are kept besides, published or not: without them it could not go on.
        """
        dropped = {*self._recent, old}
        self._recent = _rising((*self._recent, self.published_size))[-KEPT:]
        for path in sorted(growth.superseded(dropped, {*self._recent, self.size})):
            self._store.objects.discard(path)

    # ── a start ────────────────────────────────────────────────────────────────────────────────────────────────────

    @enforces("LOG-9")
    def _replay(self) -> None:
        """Finish the commit that the last process did not.

        [LOG-9] A log that finds the staged bundle of its newest checkpoint MUST write the head register, every file of
        the bundle and the published checkpoint again, whatever of them is there, before it signs anything else.

        If fsync failed, the last process ended and the page cache still shows what the disk never got.
        """
        name = stage.name(self._known)
        try:
            raw = self._store.staging.get(name)
        except Absent:
            return
        self._store.head.swap(self._head, self._head)
        files = stage.parse(raw)
        self._audited(self._known, files)
        for path, data in files.items():
            self._store.objects.put(path, data, afresh=True)
        shown, seen = self._shown()
        self._store.public.swap(shown, self._due(shown, seen))
        self._store.staging.discard(name)

    @enforces("LOG-10")
    def _authenticated(self) -> Tiles:
        """The published tiles under the root in the register.

        [LOG-10] A log MUST refuse to start when its published tiles do not make the root in its head register.
        """
        try:
            tiles = Tiles(self._store.objects.get, self.size, self._known.root)
            if self.size:
                last = self.size - 1
                width = min(tile.WIDTH, self.size - last // tile.WIDTH * tile.WIDTH)
                tiles.bundle(Bundle(last // tile.WIDTH, width))
        except PausectlError as error:
            hint = "an old copy of the files, or a damaged one: fsck says which; never put an older head register back"
            raise Refused(f"the files are not those of the head register: {error}", hint=hint) from error
        return tiles

    @enforces("LOG-11", "LOG-25")
    def _need_no_later(self) -> None:
        """Refuse a register that was set back, and what is published of another tree.

        [LOG-11] A log MUST refuse to start when its published checkpoint is larger than the one in its head register,
        or of a tree that the register's does not extend.

        [LOG-25] A log MUST refuse to start when a bundle is published that goes beyond the tree in its head register.

        A later tree has the bundle where this one ends, with more entries in it, whether or not its checkpoint was
        published.
        """
        seen = self._seen
        if seen is not None and seen.size > self.size:
            raise Refused(f"head register: expected size {seen.size}, as published, found {self.size}", hint=_OLD)
        if seen is not None and self._tiles.root(seen.size) != seen.root:
            raise SplitView(f"this log signed two trees of its first {seen.size} entries", self._published, self._head)
        last = self.size // WIDTH
        for path in (Bundle(last, width).path for width in range(self.size % WIDTH + 1, WIDTH + 1)):
            with contextlib.suppress(Absent):
                self._store.objects.get(path)
                raise Refused(f"head register: expected the size that {path} is of, found {self.size}", hint=_OLD)

    def _shown(self) -> tuple[bytes, Checkpoint | None]:
        shown = self._store.public.read()
        if not shown:
            return b"", None
        try:
            return shown, self._open(shown)
        except PausectlError as error:
            hint = "move it away, and the one in the head register is published again"
            raise Refused(f"the published checkpoint is damaged: {error}", hint=hint) from error

    def _open(self, raw: bytes) -> Checkpoint:
        return checkpoint.open(raw, self._key, also=self._also)[0]

    def _need_running(self) -> None:
        if self._stopped:
            raise Broken("the log stopped half way through a commit", hint=_AGAIN)


def _rising(sizes: Sequence[int]) -> tuple[int, ...]:
    return tuple(sorted(set(sizes) - {0}))
