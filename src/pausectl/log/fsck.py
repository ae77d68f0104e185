# SPDX-License-Identifier: Apache-2.0
"""Everything that a log stores, hashed again: all damage is listed, and it always comes to an end.

    for damage in fsck(Path("home"), agreement): print(damage.path, damage.index, damage.message)

Memory holds one row of hashes for each level, whatever the size; `settle` says who is wrong, `rehash` has the bulk of
the work, and `bookmark` the place to go on from. Proofs say nothing of what bundles hold, so every entry is read.

Of public files alone, what goes beyond a cosigned checkpoint is left alone: it waits for its quorum, and nothing that
is public says what it should be. So it is with a log that somebody is writing to.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pausectl import durable
from pausectl.agreement.document import Agreement
from pausectl.errors import Malformed, PausectlError, Refused, Unavailable
from pausectl.history.reader import key_path, open_seen, origin_of
from pausectl.history.tiles import Tiles
from pausectl.log import bookmark, growth, rehash
from pausectl.log.bookmark import Bookmark
from pausectl.log.place import Place, lies_elsewhere, open_place
from pausectl.log.publish import quorate
from pausectl.log.settle import Tree
from pausectl.wire import checkpoint, cosignature, note, tile
from pausectl.wire.checkpoint import Checkpoint
from pausectl.wire.note import VerifierKey
from pausectl.wire.tile import CHECKPOINT_PATH, WIDTH, Bundle, Tile

#: (entries done, entries in all) after each bundle.
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, order=True)
class Damage:
    """path: relative to what was checked. index: of the entry, where it is one entry's."""

    path: str
    index: int | None
    message: str


@dataclass(frozen=True, slots=True)
class Resume:
    """Where a check keeps its place, and how many seconds of work a kill may cost."""

    path: Path
    every: float = 2.0


def fsck(
    place: Path | str,
    trusted: Agreement | VerifierKey,
    progress: Progress | None = None,
    *,
    jobs: int | None = None,
    resume: Resume | None = None,
) -> list[Damage]:
    """All damage to a log's home directory or a mirror's, or to public files alone, sorted by path; [] if it is whole.

    place: a directory, a bundle or a URL. trusted: the agreement, or for a log that has none its key. jobs: processes,
    as many as there are cores if None. UsageFault if there is no such place or `resume` is of another, Unavailable if
    nobody can say; nothing else is raised, whatever lies there.
    """
    survey = _Survey(str(place), trusted, progress, jobs or os.cpu_count() or 1, resume)
    try:
        survey.run()
    finally:
        survey.place.close()
    return sorted(survey.found.values(), key=lambda damage: (damage.path, -1 if damage.index is None else damage.index))


class _Survey:
    """One run. found: (path, index) → damage, the first that was said of it."""

    def __init__(
        self,
        word: str,
        trusted: Agreement | VerifierKey,
        progress: Progress | None,
        jobs: int,
        resume: Resume | None,
    ) -> None:
        self.found: dict[tuple[str, int | None], Damage] = {}
        here = "://" not in word
        self._elsewhere = here and lies_elsewhere(Path(word))
        self._home = Path(word) if self._elsewhere or (here and (Path(word) / "log").is_dir()) else None
        self._word = str(self._home / "log") if self._home and not self._elsewhere else word
        self._prefix = "log/" if self._home else ""
        self.place: Place = open_place(self._word)
        if isinstance(trusted, Agreement):
            trusted = self._under(trusted)
        self._agreement = trusted if isinstance(trusted, Agreement) else None
        self._key = trusted.log_key if isinstance(trusted, Agreement) else trusted
        self._first = trusted.raw if isinstance(trusted, Agreement) else None
        self._progress = progress
        self._jobs = jobs
        self._resume = resume
        self._register: Checkpoint | None = None
        self._quorate = False
        self._written_to = False

    def _under(self, agreement: Agreement) -> Agreement:
        """The agreement as it stands for the one of its logs that lies here, by what the checkpoint says."""
        try:
            return agreement.of_log(origin_of(self.place.read(CHECKPOINT_PATH) or b""))
        except PausectlError:
            return agreement

    def _blame(self, path: str, message: str, index: int | None = None) -> None:
        """Note damage to a public file."""
        self._say(f"{self._prefix}{path}", message, index)

    def _say(self, path: str, message: str, index: int | None = None) -> None:
        self.found.setdefault((path, index), Damage(path, index, message))

    def run(self) -> None:
        """Check everything."""
        if self._agreement:
            self._agreement = self._agreement.resolve(self._keys(self._agreement))
        if self._home and not _is_mirrors(self._home):
            self._check_home(self._home)
        shown = self._checkpoint()
        waits = bool(shown and self._register and self._quorate and shown.size < self._register.size)
        if shown and self._register not in (None, shown) and not waits:
            self._blame(CHECKPOINT_PATH, "is not the one in the head register: the last commit is not finished")
        # Where there is a register it says what must be there, whatever was published.
        head = self._register or shown
        size = head.size if head else self._largest()
        tree = Tree(self.place, size, self._first, self._blame)
        start = self._begin(tree, size, head)
        saved = time.monotonic()
        for index, reading in rehash.readings(self._word, start, size // WIDTH, self._jobs, self._first):
            tree.leaf(index, reading)
            self._tell(index * WIDTH + WIDTH, size)
            if self._resume and time.monotonic() - saved >= self._resume.every:
                self._save(self._resume, tree, index + 1)
                saved = time.monotonic()
        if size % WIDTH:
            self._tell(size, size)
        if not tree.finish(head.root if head else None):
            self._blame(CHECKPOINT_PATH, "its root is not the root of these tiles")
        self._sort_out(size)
        if shown and waits:
            self._check_shown(shown)
        if self._resume:
            self._resume.path.unlink(missing_ok=True)

    def _tell(self, done: int, size: int) -> None:
        if self._progress:
            self._progress(done, size)

    # ── resuming ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _of(self) -> str:
        """What is checked and against what, for a bookmark."""
        return f"{self._word} under {self._agreement.id if self._agreement else note.format_vkey(self._key)}"

    def _begin(self, tree: Tree, size: int, head: Checkpoint | None) -> int:
        """How many bundles were checked by a run before, which then need not be checked again."""
        mark = bookmark.load(self._resume.path, self._of()) if self._resume else None
        if mark is None or not self._is_of(mark, size, head):
            return 0
        tree.rows = [list(row) for row in mark.rows]
        for path, index, message in mark.found:
            self._say(path, message, index)
        return mark.bundles

    def _is_of(self, mark: Bookmark, size: int, head: Checkpoint | None) -> bool:
        """Whether what was checked before is the beginning of what lies here now."""
        if mark.bundles * WIDTH > size:
            return False
        before = mark.root()
        if before is None or head is None:
            return True  # damage hides it; the tiles above are compared in the end
        try:
            return Tiles(self._read, size, head.root).root(mark.bundles * WIDTH) == before
        except PausectlError:
            return True

    def _save(self, resume: Resume, tree: Tree, bundles: int) -> None:
        found = tuple((each.path, each.index, each.message) for each in self.found.values())
        bookmark.save(resume.path, Bookmark(self._of(), bundles, tuple(map(tuple, tree.rows)), found))

    # ── what is not in the tree ────────────────────────────────────────────────────────────────────────────────────

    def _check_home(self, home: Path) -> None:
        """Check what else lies in a log's home: the agreement, the key, the register."""
        expected = {"log.vkey": f"{note.format_vkey(self._key)}\n".encode()}
        if self._agreement:
            expected["agreement.json"] = self._agreement.raw + b"\n"
        for name, content in expected.items():
            if _bytes(home / name) != content:
                self._say(name, "missing, or not what the agreement makes it")
        try:
            register = self._open(self.place.register() if self._elsewhere else _bytes(home / "state" / "head") or b"")
        except PausectlError as error:
            self._say("state/head", str(error))
            return
        self._written_to = self._elsewhere or _written_to(home)  # another home may write it too
        if not self._written_to:
            self._register = register

    def _keys(self, agreement: Agreement) -> list[bytes]:
        """The keys that the agreement names by digest, those that are whole."""
        found = []
        for digest in agreement.pinned:
            try:
                raw = self.place.read(key_path(digest))
            except Malformed:
                raw = b""
            if raw is None or hashlib.sha256(raw).hexdigest() != digest:
                self._blame(key_path(digest), "is missing" if raw is None else "is not the key of this digest")
            else:
                found.append(raw)
        return found

    def _open(self, raw: bytes) -> Checkpoint:
        return open_seen(raw, self._agreement) if self._agreement else checkpoint.open(raw, self._key)[0]

    def _checkpoint(self) -> Checkpoint | None:
        try:
            raw = self.place.read(CHECKPOINT_PATH) or b""
        except Malformed as error:
            self._blame(CHECKPOINT_PATH, error.message)
            return None
        self._quorate = quorate(raw, self._agreement) if self._agreement else True
        try:
            opened, signed = self._open(raw), note.parse(raw)
            if self._agreement:
                cosignature.together(signed, list(self._agreement.witness_pairs.values()))
                cosignature.together(signed, list(self._agreement.mirror_pairs.values()))
        except PausectlError as error:
            self._blame(CHECKPOINT_PATH, str(error))
            return None
        if self._agreement:
            cosigners = (*self._agreement.witness_pairs.values(), *self._agreement.mirror_pairs.values())
            owners = (self._agreement.log_pair, *cosigners)
            known = {(key.name, key.key_id) for own in owners for key in own}
            for line in signed.signatures:
                if (line.name, line.key_id) not in known:
                    message = f"a signature line by {line.name!r}, whom the agreement does not know"
                    self._blame(CHECKPOINT_PATH, message)
        return opened

    def _read(self, path: str) -> bytes:
        raw = self.place.read(path)
        if raw is None:
            raise Unavailable("no such file in this log", where=path)
        return raw

    def _largest(self) -> int:
        """The size that the bundles speak of, where no checkpoint does."""
        places = (place for place in map(_parse, self.place.walk()) if isinstance(place, Bundle))
        return max((place.index * WIDTH + place.width for place in places), default=0)

    def _sort_out(self, size: int) -> None:
        """Blame what belongs to no log of this size; of what goes beyond a quorum nobody can say what it should be."""
        grows = self._written_to or (self._quorate and not self._register)
        widths = tile.widths(size)
        others = {CHECKPOINT_PATH, *map(key_path, self._agreement.pinned if self._agreement else ())}
        for path in self.place.walk():
            place = _parse(path)
            level = place.level if isinstance(place, Tile) else 0
            full, partial = widths[level] if place and level < len(widths) else (0, 0)
            if path in others or (place and (place.index, place.width) <= (full, partial)):
                continue
            if not (place and grows):
                self._blame(path, f"is no file of a log of size {size}")

    def _check_shown(self, shown: Checkpoint) -> None:
        """A cosigned checkpoint behind which newer ones wait: its partial tiles are there, and make its root."""
        edge = growth.partials(shown.size)
        for path in edge:
            if not _is_there(self.place, path):
                self._blame(path, "is missing")
        if {path for path, _ in self.found} & {f"{self._prefix}{path}" for path in edge}:
            return  # the larger tiles say who is wrong
        try:
            Tiles(self._read, shown.size, shown.root)
        except PausectlError:
            self._blame(CHECKPOINT_PATH, f"its root is not the root of the first {shown.size} entries")


def _is_there(place: Place, path: str) -> bool:
    try:
        return place.read(path) is not None
    except Malformed:
        return False


def _is_mirrors(home: Path) -> bool:
    """Whether a directory is a mirror's, which has a log's public files but neither its key nor its register."""
    return (home / "state" / "seen").is_dir() and not (home / "state" / "head").exists()


def _written_to(home: Path) -> bool:
    """Whether a process has the log open, so that the register may be ahead of what is there."""
    lock = home / "state" / "lock"
    if not lock.is_file():
        return False
    try:
        os.close(durable.lock(lock))
    except (Refused, OSError):
        return True
    return False


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes() if path.is_file() else None  # reading a pipe would never end
    except OSError:
        return None


def _parse(path: str) -> Tile | Bundle | None:
    try:
        return tile.parse_path(path)
    except PausectlError:
        return None
