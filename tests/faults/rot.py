# SPDX-License-Identifier: Apache-2.0
"""Bytes that change on their own, files that end early, and temporary files of writers that are no more."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from laboratory import AGREEMENT, SIGNER, START, Ack, Shelf, Verdict, dice, entry, judge, ledger, told, witnesses
from tally import Tally

from pausectl.errors import PausectlError
from pausectl.history.reader import open_ledger
from pausectl.history.source import DirectorySource
from pausectl.log.fsck import fsck
from pausectl.log.log import Log

#: Made again from the ledger when they are not what they should be; their bytes are nobody's evidence.
DERIVED = ("state/index.db",)

#: Locks are empty, and what a witness in the log's process remembers is the witness's.
_NOT_OURS = (".lock", "/lock")


def small(scratch: Path) -> Path:
    """A cosigned log of a few entries, with superseded partial tiles and a staged bundle that was not cleared."""
    home = Shelf(scratch).home(scratch / "small", 3)
    asked = witnesses(scratch / "small-witnesses", lambda: START + 60)
    with Log.open(home, SIGNER) as log:
        for number in range(4):
            log.add([entry(number)])
        log.cosign(asked, START + 60)
    return home


def files(home: Path) -> list[Path]:
    """Everything that lies there and is the log's, by path."""
    every = sorted(path for path in home.rglob("*") if path.is_file())
    return [path for path in every if not str(path).endswith(_NOT_OURS) and path.suffix != ".db-wal"]


def flips(home: Path, trials: int, seed: int, only: str) -> Iterator[tuple[Path, int, int]]:
    """(file, byte, bit): every byte of every file, or `trials`, some of each file. only: names that begin so."""
    chosen = [path for path in files(home) if path.name.startswith(only)]
    every = [(path, at) for path in chosen for at in range(path.stat().st_size)]
    chance = dice(seed)
    if trials:
        some = [(path, chance.randrange(path.stat().st_size)) for path in chosen if path.stat().st_size]
        every = some + chance.sample(every, max(0, min(trials - len(some), len(every))))
    for path, at in every:
        yield path, at, 1 << chance.randrange(8)


def rot(
    scratch: Path,
    trials: int,
    seed: int,
    *,
    stop: bool = False,
    change: Callable[[], Any] | None = None,
    only: str = "",
) -> Tally:
    """Flip one bit: fsck names the file; a reader refuses or reads the same entries; what is derived heals."""
    tally = Tally("one bit of one file flips", stop)
    undo = change() if change else lambda: None
    home = small(scratch)
    head = (home / "state" / "head").read_bytes()
    entries = ledger(home, head)
    with Log.open(home, SIGNER) as log:
        acks = [told(n, answer) for n, answer in enumerate(log.add([entry(n) for n in range(4)]))]
    try:
        _flip_all(scratch, home, tally, flips(home, trials, seed, only), entries, acks)
    finally:
        undo()
    tally.check(fsck(home, AGREEMENT) == [], "the log is not what it was before", about="the end")
    tally.seconds = time.monotonic() - tally.started
    return tally


def _flip_all(
    scratch: Path,
    home: Path,
    tally: Tally,
    every: Iterator[tuple[Path, int, int]],
    entries: list[bytes],
    acks: list[Ack],
) -> None:
    for path, at, bit in every:
        whole, mode = path.read_bytes(), path.stat().st_mode
        name = path.relative_to(home).as_posix()
        path.chmod(0o644)
        path.write_bytes(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :])
        if name in DERIVED:
            verdict = _healed(scratch, home, acks)
            tally.count("of the index")
        else:
            verdict = _found(home, name, entries)
            tally.count("of what is evidence")
        tally.trial(verdict, about=f"{name} byte {at} bit {bit}")
        path.write_bytes(whole)
        path.chmod(mode)


def _found(home: Path, name: str, entries: list[bytes]) -> Verdict:
    verdict = Verdict()
    named = {damage.path for damage in fsck(home, AGREEMENT)}
    if name not in named:
        verdict.wrong.append(f"fsck names {sorted(named) or 'nothing'}")
    try:
        read = open_ledger(DirectorySource(home / "log").fetch, AGREEMENT)
        if [raw for _, raw in read.entries()] != entries[: read.size]:
            verdict.wrong.append("a reader takes other entries")
    except PausectlError:
        verdict.refused = "by the reader"
    return verdict


def _healed(scratch: Path, home: Path, acks: list[Ack]) -> Verdict:
    """Opened in a copy: every statement is answered with the place where it stands."""
    copy = scratch / "healing"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(home, copy)
    found = fsck(copy, AGREEMENT)
    verdict = judge(copy, acks, [], may_refuse=True, more=900_000)
    if found:
        verdict.wrong = []  # whoever runs fsck hears of it, and deletes the file
    elif verdict.refused:
        verdict.wrong.append(f"refuses for a file that can be made again: {verdict.refused}")
    return verdict


def torn(scratch: Path, trials: int, seed: int, *, stop: bool = False, **_: Any) -> Tally:
    """The last file written ends early or in garbage, and temporary files lie about: refused with a reason, or healed.

    A write that was not synchronised may leave this. What was synchronised may not, so a log that refuses is right.
    """
    tally, shelf = Tally("torn tails and temporary files", stop), Shelf(scratch)
    for trial in range(trials):
        chance = dice(f"{seed}/{trial}")
        home = shelf.home(scratch / "torn", chance.choice((1, 3, 254, 255)))
        with Log.open(home, SIGNER) as log:
            acks = [told(n, answer) for n, answer in enumerate(log.add([entry(n) for n in range(3)]))]
            seen = [log.checkpoint]
        last = sorted(files(home), key=lambda path: path.stat().st_mtime_ns)[-chance.randrange(1, 5) :]
        what = chance.choice(("truncated", "garbled", "temporary"))
        for path in last[:1]:
            _tear(chance, path, what, home)
        verdict = judge(home, acks, seen, may_refuse=what != "temporary")
        tally.count(what)
        tally.trial(verdict, about=f"seed {seed}, trial {trial}: {what} {last[0].relative_to(home)}")
    tally.seconds = time.monotonic() - tally.started
    return tally


def _tear(chance: Random, path: Path, what: str, home: Path) -> None:
    raw = path.read_bytes()
    keep = chance.randrange(len(raw)) if raw else 0
    if what == "temporary":
        for folder in {path.parent, home / "state" / "stage", home / "log" / "tile" / "0"}:
            (folder / f".{path.name}.tmp").write_bytes(raw[:keep])
        (home / "state" / "stage" / f"{10**6}-{'00' * 32}").write_bytes(raw[:keep])
        return
    path.chmod(0o644)
    garbage = chance.randbytes(len(raw) - keep) if what == "garbled" else b""
    path.write_bytes(raw[:keep] + garbage)
