# SPDX-License-Identifier: Apache-2.0
"""Following a log: whatever it has grown by is fetched, checked, and written before anything is said about it.

    with Mirror(home, Trust.of(agreement), cosigner) as mirror:
        mirror.follow(source, now)          Round(size=70000, before=600, …)

checkpoint → right edge → is it the tree we hold, grown? → bundles and tiles, each under a hash that is known already →
held → checkpoint → cursor. A process that is killed anywhere begins again at the cursor; nothing below it is fetched
again, and of what is held only the right edge is read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from types import TracebackType
from typing import Self

from pausectl.durable import Disk
from pausectl.errors import Malformed, PausectlError, Refused, SplitView, Unavailable
from pausectl.history.reader import key_path
from pausectl.history.source import Source
from pausectl.history.tiles import Fetch, Tiles
from pausectl.mirror.memory import Cursor, Memory
from pausectl.mirror.trust import Cosigner, Trust, essence
from pausectl.registry import enforces
from pausectl.wire import evidence, merkle, tile
from pausectl.wire.checkpoint import Checkpoint
from pausectl.wire.tile import CHECKPOINT_PATH, WIDTH, Bundle, Tile

#: (entries done, entries in all) after each bundle.
Progress = Callable[[int, int], None]

#: Checkpoints whose partial files stay, as in LOG-8.
KEPT = 8
#: Bundles after which the cursor is saved.
STRIDE = 16


@dataclass(frozen=True, slots=True)
class Held:
    """What a mirror has all entries of. raw: the note as it is published here."""

    checkpoint: Checkpoint
    raw: bytes


@dataclass(frozen=True, slots=True)
class Round:
    """What one visit brought. size: entries held now. before: entries held until then. published: anything new."""

    size: int
    before: int
    published: bool


class Mirror:
    """One log's copy, open for one process; `close` it, or use it as a context. Not for threads."""

    def __init__(
        self, home: Path, trust: Trust, cosigner: Cosigner | None = None, *, jobs: int = 4, disk: Disk | None = None
    ) -> None:
        """jobs: files fetched, and files written, at a time. Refused if what lies there is not a copy of this log."""
        self._cosigner = cosigner
        self._jobs = jobs
        self.memory = Memory(home, disk or Disk())
        try:
            self.trust = trust.resolved(self.memory.get)
            self.held, self.tiles = self._recover()
            self._cursor = self.memory.cursor()
        except BaseException:
            self.memory.close()
            raise

    @enforces("MIR-8")
    def _recover(self) -> tuple[Held | None, Tiles]:
        """What is held, by the right edge of its tree.

        [MIR-8] A mirror MUST refuse to start when its files do not make the root of the checkpoint that it holds.
        """
        raw = self.memory.held()
        if not raw:
            return None, Tiles(self.memory.get, 0, merkle.EMPTY)
        try:
            held = Held(self.trust.signed(raw), raw)
            tiles = Tiles(self.memory.get, held.checkpoint.size, held.checkpoint.root)
            for last in islice(tile.bundles_for(tiles.size, max(tiles.size - 1, 0)), 1):
                tiles.bundle(last)
        except PausectlError as error:
            hint = "an old copy of the files, or a damaged one: 'pausectl log fsck' says which"
            raise Refused(f"the files are not those of the held checkpoint: {error}", hint=hint) from error
        if _shown(self.memory) != raw:
            self.memory.publish(raw)
        return held, tiles

    @property
    def size(self) -> int:
        """How many entries are held."""
        return self.held.checkpoint.size if self.held else 0

    # ── one visit ──────────────────────────────────────────────────────────────────────────────────────────────────

    def follow(self, source: Source, now: int, progress: Progress = lambda _done, _all: None) -> Round:
        """Copy what `source` has grown by; now: POSIX seconds, to cosign at.

        Unavailable if it cannot be reached, or shows less than before; Malformed or Forged for bytes that are not the
        log's; SplitView, with evidence, if it is another history. Whatever is raised, what was held is held and served.
        """
        self._learn(source)
        raw = source.fetch(CHECKPOINT_PATH)
        try:
            new = self.trust.open(raw)
        except PausectlError as error:
            raise error.at(f"{source.name}: {CHECKPOINT_PATH}") from error
        before = self.size
        self._need_growth(new, raw, source.name)
        if self.held and new.size == before:
            return Round(before, before, self._refresh(raw, now))
        with ThreadPoolExecutor(self._jobs, "fetch") as readers, ThreadPoolExecutor(self._jobs, "write") as writers:
            ahead = _Ahead(source.fetch, readers)
            try:
                tiles = Tiles(ahead, new.size, new.root)
                self._cursor = self._extends(tiles, raw, source.name)
                _Copy(self.memory, tiles, ahead, writers, self._cursor).run(before, progress)
            except PausectlError as error:
                raise error if source.name in error.where else error.at(source.name)  # noqa: B904
            finally:
                ahead.stop()
        self._publish(new, raw, tiles, now)
        return Round(new.size, before, published=True)

    def _learn(self, source: Source) -> None:
        """Keep the keys that the agreement names by digest; they are served here as by the log."""
        known = self.trust.resolved(source.fetch)
        if known is self.trust or known.agreement is None:
            return
        for digest, key in known.agreement.resolved.items():
            self.memory.folder(key_path(digest))
            self.memory.put(key_path(digest), key.raw)
        self.trust = known

    @enforces("MIR-1")
    def _need_growth(self, new: Checkpoint, raw: bytes, where: str) -> None:
        """Refuse a checkpoint of another or an earlier tree than the one that is held.

        [MIR-1] A mirror MUST NOT replace what it holds by a tree that is smaller, or of which what it holds is not the
        beginning.
        """
        if self.held is None or new == self.held.checkpoint:
            return
        held = self.held.checkpoint
        if new.size <= held.size and self.tiles.root(new.size) != new.root:
            raise self.split((str(self.memory.home), self.held.raw), (where, raw), self.tiles.read)
        if new.size < held.size:
            hint = "if it stays so, keep this mirror's checkpoint: it shows what the log had signed"
            told = f"shows {new.size} entries of the {held.size} that are held: it is rolled back, or an old copy"
            raise Unavailable(told, where=where, hint=hint)

    def _extends(self, tiles: Tiles, raw: bytes, where: str) -> Cursor:
        """Where copying has to begin in a tree that was shown to extend all we know; SplitView if it does not."""
        if self.held and tiles.root(self.size) != self.held.checkpoint.root:
            raise self.split((str(self.memory.home), self.held.raw), (where, raw), tiles.read)
        if not self._cursor.target:
            return Cursor(self._cursor.kept, self.size, raw)
        known = self.trust.signed(self._cursor.target)
        if known.size > tiles.size:
            told = f"shows {tiles.size} entries, and showed {known.size} before: it is rolled back, or an old copy"
            raise Unavailable(told, where=where)
        if tiles.root(known.size) != known.root:
            raise self.split((where, self._cursor.target), (where, raw), tiles.read)
        # Partial files of a tree that was never finished here may lie about: they go when its size is dropped.
        return Cursor(_rising(*self._cursor.kept, known.size), max(self.size, self._cursor.done), raw)

    def split(self, one: tuple[str, bytes], two: tuple[str, bytes], read: merkle.Read) -> SplitView:
        """The error for two checkpoints (where from, note) that contradict each other, with evidence that is kept.

        read: hashes of the larger one's tree, checked.
        """
        sizes = sorted({self.trust.signed(raw).size for _, raw in (one, two)})
        split = SplitView(
            f"the log signed two histories, of {' and of '.join(map(str, sizes))} entries", one[1], two[1]
        )
        try:
            told = evidence.prove(one, two, read, self.trust.keys)
        except Malformed:  # one of them is empty
            return split
        split.evidence = evidence.format(told)
        name = "-".join(f"{each.size}.{each.root.hex()[:8]}" for each in told.checkpoints)
        file = self.memory.convict(f"{name}.evidence", split.evidence)
        split.hint = f"{file} convicts the log; 'pausectl evidence check' shows it to anyone"
        return split

    # ── publishing ─────────────────────────────────────────────────────────────────────────────────────────────────

    @enforces("MIR-4", "MIR-5", "MIR-6")
    def _publish(self, new: Checkpoint, raw: bytes, tiles: Tiles, now: int) -> None:
        """Say that all of it is held, now that it is.

        [MIR-4] A mirror MUST NOT cosign or publish a checkpoint before every tile and entry of its tree is durable and
        can be read from it.

        [MIR-5] A mirror MUST make a checkpoint durable in its memory before its cosignature of it leaves it.

        [MIR-6] A mirror MUST NOT cosign a tree that does not extend the one it cosigned last, or at a time before that.
        """
        old, last = self.size, self.held.raw if self.held else b""
        shown = self._cosigner.cosign(raw, last, now) if self._cosigner else raw
        self.memory.publish(shown)
        self.held, self.tiles = Held(new, shown), Tiles(self.memory.get, new.size, new.root)
        dropped = {*self._cursor.kept, old}
        kept = _rising(*self._cursor.kept, old, new.size)[-KEPT:]
        self._cursor = Cursor(kept, new.size)
        self.memory.save(self._cursor)
        if tiles.size > old:
            self.memory.prune(kept, dropped)

    def _refresh(self, raw: bytes, now: int) -> bool:
        """The same tree with other lines: publish them, unless they are older. Whether anything was."""
        held = self.held
        if held is None:
            return False
        bare = self._cosigner is not None and not self._cosigner.time(held.raw)
        same = essence(raw, self.trust, self._cosigner) == essence(held.raw, self.trust, self._cosigner)
        if (same and not bare) or self.trust.older(raw, held.raw):
            return False
        self._publish(held.checkpoint, raw, self.tiles, now)
        return True

    # ── ending ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def close(self) -> None:
        """Let others open it."""
        self.memory.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _rising(*sizes: int) -> tuple[int, ...]:
    return tuple(sorted(set(sizes) - {0}))


def _shown(memory: Memory) -> bytes:
    try:
        return memory.get(CHECKPOINT_PATH)
    except Unavailable:
        return b""


class _Ahead:
    """A fetch that was begun before it is asked for, so that several are under way at a time."""

    def __init__(self, fetch: Fetch, threads: ThreadPoolExecutor) -> None:
        self._fetch = fetch
        self._threads = threads
        self._under_way: dict[str, Future[bytes]] = {}

    def want(self, path: str) -> None:
        """This will be asked for."""
        self._under_way[path] = self._threads.submit(self._fetch, path)

    def __call__(self, path: str) -> bytes:
        """The bytes at a path, or what went wrong with them."""
        begun = self._under_way.pop(path, None)
        return begun.result() if begun else self._fetch(path)

    def stop(self) -> None:
        """What is not begun is not wanted any more."""
        for begun in self._under_way.values():
            begun.cancel()


class _Copy:
    """The files that one tree has and the copy has not."""

    def __init__(
        self, memory: Memory, tiles: Tiles, ahead: _Ahead, threads: ThreadPoolExecutor, cursor: Cursor
    ) -> None:
        """cursor: what is saved before the first byte; from its `done` on everything is copied."""
        self._memory = memory
        self._tiles = tiles
        self._ahead = ahead
        self._threads = threads
        self._cursor = cursor
        self._writing: deque[Future[None]] = deque()

    @enforces("MIR-2", "MIR-3")
    def run(self, held: int, progress: Progress) -> None:
        """Copy it; held: entries of the tree whose upper tiles are there.

        [MIR-2] A mirror MUST compare every tile that it stores with the tile above it, itself checked, and every entry
        with its leaf hash, before it stores them.

        [MIR-3] A mirror MUST save how far it has come only after everything up to there is durable.
        """
        self._memory.save(self._cursor)
        size, start = self._tiles.size, self._cursor.done
        for number, bundle in enumerate(self._reading_ahead(tile.bundles_for(size, start)), 1):
            entries = self._tiles.bundle(bundle)
            self._write(Tile(0, bundle.index, bundle.width).path, self._tiles.leaves(bundle))
            self._write(bundle.path, tile.format_bundle(entries))
            done = bundle.index * WIDTH + bundle.width
            if number % STRIDE == 0 and bundle.width == WIDTH:
                self._settle()
                self._memory.save(Cursor(self._cursor.kept, done, self._cursor.target))
            progress(done, size)
        for each in (each for each in tile.tiles_for(size, held) if each.level):
            self._write(each.path, self._tiles.tile(each))
        self._settle()

    def _reading_ahead(self, bundles: Iterator[Bundle]) -> Iterator[Bundle]:
        """The same bundles, the files of the next few being fetched meanwhile."""
        waiting: deque[Bundle] = deque()
        for bundle in chain(bundles, [None] * 4):
            if bundle is not None:
                if bundle.width == WIDTH:
                    self._ahead.want(Tile(0, bundle.index).path)
                self._ahead.want(bundle.path)
                waiting.append(bundle)
            if waiting and (bundle is None or len(waiting) > 4):
                yield waiting.popleft()

    def _write(self, path: str, data: bytes) -> None:
        self._memory.folder(path)
        self._writing.append(self._threads.submit(self._memory.put, path, data))
        if len(self._writing) > 8:  # so that no more than a few bundles are in memory
            self._writing.popleft().result()

    def _settle(self) -> None:
        """Wait until everything that was begun is durable."""
        while self._writing:
            self._writing.popleft().result()
