# SPDX-License-Identifier: Apache-2.0
r"""A history as commits, one at a time: from a repository that is not trusted, or a file that was exported from one.

    git log -z --numstat --no-renames --format='commit %H%x00%P%x00%ct%x00%an%x00%ae%x00%aE%x00%cn%x00%ce%x00%B%x00'

`commit HASH` NUL parents NUL … NUL message NUL NUL, then `\n` and per file `inserted TAB deleted TAB path` NUL. Git
lets no NUL into any of these, and no line of files begins with a letter: no author's text ends a field early.

A repository's own configuration can name programs (core.fsmonitor, diff.external, core.sshCommand, textconv, gpg). It
is never read while commits are: git (2.37 or later) is given an empty directory of ours with the repository's objects.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from pausectl.errors import Broken, Malformed, Unavailable, UsageFault

#: What is asked of git log, and how a file must have been exported.
FORMAT = "commit %H%x00%P%x00%ct%x00%an%x00%ae%x00%aE%x00%cn%x00%ce%x00%B%x00"
LOG = ("log", "-z", "--numstat", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color", "--no-show-signature",
       "--no-notes", "--no-decorate", "--root", "--encoding=UTF-8", f"--format={FORMAT}")  # fmt: skip
_SAFE = ("--no-pager", "-c", "core.quotepath=off", "-c", "core.commitGraph=false", "-c", "core.fsmonitor=false")
_FIELDS = 10  # of a commit, with the empty one that ends it
#: Of one field: a message of more is no message.
MAX_FIELD = 64 << 20
_CHUNK = 1 << 20
_OID = re.compile(rb"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_STAT = re.compile(rb"\n?(?:(\d{1,12})|-)\t(?:\d{1,12}|-)\t(.+)", re.DOTALL)


class Commit(NamedTuple):
    """files: path and inserted lines, None for a binary file. canonical: the author's address by .mailmap."""

    oid: bytes
    parents: int
    time: int
    author: tuple[str, str]
    canonical: str
    committer: tuple[str, str]
    message: bytes
    files: list[tuple[bytes, int | None]]


def commits(stream: IO[bytes], place: str) -> Iterator[Commit]:
    """Every commit of such a stream, as it comes. place: for errors. Malformed if it is anything else."""
    head: list[bytes] = []
    files: list[tuple[bytes, int | None]] = []
    for token in _tokens(stream, place):
        if 0 < len(head) < _FIELDS:
            head.append(token)
        elif token.startswith(b"commit "):
            if head:
                yield _commit(head, files, place)
            head, files = [token[7:]], []
        elif head and (found := _STAT.fullmatch(token)):
            files.append((found[2], None if found[1] is None else int(found[1])))
        elif token or not head:
            hint = "export it with: git " + " ".join(LOG[:4]) + f" --format='{FORMAT}'"
            raise Malformed(f"expected a commit, found {token[:40]!r}", where=place, hint=hint)
    if head:
        yield _commit(head, files, place)


def _tokens(stream: IO[bytes], place: str) -> Iterator[bytes]:
    rest = b""
    while chunk := stream.read(_CHUNK):
        *whole, rest = (rest + chunk).split(b"\0")
        yield from whole
        if len(rest) > MAX_FIELD:
            raise Malformed(f"expected fields of at most {MAX_FIELD} bytes", where=place)
    if rest:
        raise Malformed(f"expected a NUL at the end, found {rest[-40:]!r}: half a file", where=place)


def _commit(head: list[bytes], files: list[tuple[bytes, int | None]], place: str) -> Commit:
    if len(head) != _FIELDS or head[9] or not _OID.fullmatch(head[0]) or not head[2].isdigit():
        raise Malformed(f"expected a hash, parents and seconds, found {head[:3]!r:.120}", where=place)
    an, ae, canonical, cn, ce = (part.decode("utf-8", "surrogateescape") for part in head[3:8])
    return Commit(head[0], len(head[1].split()), int(head[2]), (an, ae), canonical, (cn, ce), head[8], files)


# ── a repository ──


class Repository:
    """One that only git reads, through a directory of ours. head: the hash of what is counted. notes: commit → blob."""

    def __init__(self, git: str, place: str, env: Mapping[str, str], head: str, notes: str | None) -> None:
        self.place = place
        self.head = head
        self._git, self._env = git, env
        self._batch: subprocess.Popen[bytes] | None = None
        self.notes = dict(self._notes(notes)) if notes else {}

    def log(self, start: int, end: int) -> Iterator[Commit]:
        """Commits reachable from head; git leaves out most that were not committed in `[start, end)`."""
        since, until = max(start, 0), max(end, 0)  # git takes what it cannot parse for now
        window = (f"--since-as-filter=@{since} +0000", f"--until=@{until} +0000")
        with self._run(*LOG, *window, self.head, "--") as stream:
            yield from commits(stream, self.place)

    def blob(self, oid: str, limit: int) -> bytes:
        """One object. Malformed if it is none, or longer than limit."""
        if self._batch is None:
            command = [self._git, *_SAFE, "cat-file", "--batch"]
            self._batch = subprocess.Popen(  # noqa: S603  see _run
                command, env=self._env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        asked, answer = self._batch.stdin, self._batch.stdout
        if asked is None or answer is None:
            raise Broken("expected pipes")
        asked.write(oid.encode() + b"\n")
        asked.flush()
        told = answer.readline().split()
        if len(told) != 3:
            if not told:
                self.close()  # it died of what it read, and the next is asked of another
            raise Malformed(f"expected an object {oid}", where=self.place)
        size = int(told[2])
        kept, left = answer.read(min(size, limit)), size - min(size, limit) + 1  # and a line feed
        while left:
            left -= len(answer.read(min(left, _CHUNK))) or left
        if size > limit:
            raise Malformed(f"expected a note of at most {limit} bytes, found {size}", where=oid)
        return kept

    def close(self) -> None:
        """End the process that `blob` asks, if there is one."""
        if self._batch is not None:
            self._batch.communicate()
            self._batch = None

    def _notes(self, tree: str) -> Iterator[tuple[bytes, str]]:
        with self._run("ls-tree", "-r", "-z", "--full-tree", tree) as stream:
            for entry in _tokens(stream, self.place):
                kind, _, path = entry.partition(b"\t")
                oid = path.replace(b"/", b"")  # fanned out as it grows: ab/cdef…
                if _OID.fullmatch(oid) and len(kind.split()) == 3:
                    yield oid, kind.split()[2].decode()

    @contextmanager
    def _run(self, *args: str) -> Iterator[IO[bytes]]:
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(  # noqa: S603  no shell, a scrubbed environment, hashes for arguments
                [self._git, *_SAFE, *args], env=self._env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said
            )
            if process.stdout is None:
                raise Broken("expected a pipe")
            try:
                yield process.stdout
            except Malformed:
                process.stdout.close()
                if process.wait() <= 0:
                    raise  # not what git says: it ended well, or by the pipe that was closed
            finally:
                process.stdout.close()
                process.wait()
            if process.returncode:
                said.seek(0)
                raise Malformed(f"git could not read it: {_first(said.read(4_096))}", where=self.place)


@contextmanager
def opened(place: str, ref: str) -> Iterator[Repository]:
    """A repository by its path. UsageFault if there is none there, or nothing in it, or only a part of it."""
    git = shutil.which("git")
    if git is None:
        raise Unavailable("expected git to be installed", where=place)
    with tempfile.TemporaryDirectory(prefix="pausectl-git-") as ours:
        env = _environment(ours) | {"GIT_CEILING_DIRECTORIES": str(Path(place).resolve().parent)}
        asked = _ask(git, place, env, "--is-shallow-repository", "--show-object-format", "--path-format=absolute",
                     "--git-path", "objects")  # fmt: skip
        if asked is None:
            raise UsageFault("expected a git repository, found none", where=place)
        shallow, form, objects = asked.split("\n", 2)
        if shallow != "false":
            hint = "git fetch --unshallow"
            raise UsageFault("expected a whole history, found a shallow clone", where=place, hint=hint)
        head = None if ref.startswith("-") else _ask(git, place, env, "--verify", "--quiet", ref)
        if head is None or not _OID.fullmatch(head.encode()):
            raise UsageFault(f"expected commits, found none at {ref}", where=place)
        notes = _ask(git, place, env, "--verify", "--quiet", "refs/notes/ai")
        _lay_out(Path(ours), head, form)
        env = _environment(ours) | {"GIT_DIR": ours, "GIT_OBJECT_DIRECTORY": objects}
        with closing(Repository(git, place, env, head, notes)) as repository:
            yield repository


def _lay_out(ours: Path, head: str, form: str) -> None:
    """An empty bare repository. In it .mailmap is the committed one, and nothing is replaced, grafted or fetched."""
    (ours / "refs").mkdir()
    (ours / "HEAD").write_text(head + "\n")
    (ours / "config").write_text(
        f"[core]\nrepositoryformatversion = 1\nbare = true\n[extensions]\nobjectFormat = {form}\n"
    )


def _environment(home: str) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "HOME": home, "XDG_CONFIG_HOME": home,
        "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none",
        "GIT_NO_REPLACE_OBJECTS": "1",
    }  # fmt: skip


def _ask(git: str, place: str, env: Mapping[str, str], *args: str) -> str | None:
    """What rev-parse says of the repository itself; None if it refuses. Nothing that is configured runs."""
    command: Sequence[str] = [git, "-C", place, *_SAFE, "-c", "safe.directory=*", "rev-parse", *args]
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False)  # noqa: S603
    return None if done.returncode else os.fsdecode(done.stdout.removesuffix(b"\n"))


def _first(raw: bytes) -> str:
    return ascii(raw.decode("utf-8", "replace").partition("\n")[0][:200])[1:-1]
