# SPDX-License-Identifier: Apache-2.0
"""Whether a store keeps its promises: the conformance suite for ours and for anybody's.

    def make_store(place: str, create: bool) -> Store: ...

    for failure in check_store(make_store):         # or AtUrls("s3://bucket/trial", "postgresql://…", Path("trial"))
        print(failure)          # one writer wins: 2 of 4 writers who replaced one value were told that they had

`make_store` opens the store at a place of that name, as another process would; with `create` it makes it first, new and
with its registers. It is called many times, from several threads, and by processes started afresh, so it must be
importable, or what `functools.partial` makes of something that is. A store in memory gives one store for one place, and
is checked with `processes=False`. What is not checked here is what a power cut leaves (STORE-9).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from threading import Barrier, Event
from urllib.parse import urlsplit

from pausectl.durable import Disk
from pausectl.errors import PausectlError, Refused, Unavailable
from pausectl.log.storage import config
from pausectl.log.storage.config import Places
from pausectl.log.storage.seams import Absent, Objects, Store
from pausectl.registry import enforces

MakeStore = Callable[[str, bool], Store]

_WRITERS = 4
_PATH = "tile/0/x001/000"


@dataclass(frozen=True, slots=True)
class Failure:
    """A promise that was not kept. property: its name, as in `PROPERTIES`. message: what was seen."""

    property: str
    message: str

    def __str__(self) -> str:
        return f"{self.property}: {self.message}"


@dataclass(frozen=True, slots=True)
class AtUrls:
    """Makes stores below the URLs that `pausectl log init` takes; "" is POSIX, in a folder below `home`."""

    objects: str
    head: str
    home: Path

    def __call__(self, place: str, create: bool) -> Store:
        """The store at a place, as `log.storage.config` opens or creates it."""
        places = Places(_below(self.objects, place), _below(self.head, place))
        home = self.home / place
        (home / "state").mkdir(parents=True, exist_ok=True)
        return (config.create if create else config.open)(home, places, Disk())


def _below(url: str, place: str) -> str:
    if not url:
        return ""
    return f"{url.rstrip('/')}/{place}" if urlsplit(url).scheme == "s3" else f"{url}#{place}"


class _Place:
    """One place, and every store that was opened there. Opens none in a process that it is sent to."""

    def __init__(self, make_store: MakeStore, name: str) -> None:
        self._make_store, self._name = make_store, name
        self._opened: list[Store] = []

    def __call__(self, create: bool) -> Store:
        store = self._make_store(self._name, create)
        self._opened.append(store)
        return store

    def close(self) -> None:
        for store in self._opened:
            store.close()

    def __reduce__(self) -> tuple[type[_Place], tuple[MakeStore, str]]:
        return _Place, (self._make_store, self._name)


class _Seen(Exception):
    """What a check saw that it should not have."""


def check_store(make_store: MakeStore, *, processes: bool = True, rounds: int = 25) -> list[Failure]:
    """Every promise that is not kept, [] if all are. rounds: how many races of each kind."""
    failures = []
    run = time.time_ns()  # so that it may be repeated on one database
    for place, (name, check) in enumerate(PROPERTIES.items()):
        made = _Place(make_store, f"check-{run}-{place}")
        try:
            if check is _one_writer_wins:
                check(made, rounds=rounds, processes=processes)
            else:
                check(made)
        except _Seen as seen:
            failures.append(Failure(name, str(seen)))
        except Exception as error:  # noqa: BLE001 - a stranger's store may raise anything
            failures.append(Failure(name, f"expected a PausectlError or none, found {type(error).__name__}: {error}"))
        finally:
            made.close()
    return failures


def _need(condition: bool, message: str) -> None:
    if not condition:
        raise _Seen(message)


def _refuses(act: Callable[[], object], message: str) -> None:
    try:
        act()
    except Refused:
        return
    raise _Seen(message)


@enforces("STORE-1")
def _create_only(made: _Place) -> None:
    """Put, then put something else.

    [STORE-1] A store MUST refuse other bytes for an object that it has, and leave the object as it is.
    """
    store = made(True)
    for objects in (store.objects, store.staging):
        objects.put(_PATH, b"first")
        for other in (b"other", b"", b"first and more"):
            for afresh in (False, True):
                act = partial(objects.put, _PATH, other, afresh=afresh)
                _refuses(act, f"an object with other bytes ({other!r}) was accepted, or not Refused")
        _need(objects.get(_PATH) == b"first", "an object was replaced by one that was refused")
    if store.exclusive:
        return  # whoever writes has its lock
    results = _race([partial(_told, made(False).objects.put, "race", b"%d" % number) for number in range(_WRITERS)])
    won = [b"%d" % number for number, told in enumerate(results) if told == "done"]
    _need(len(won) <= 1, f"{len(won)} of {_WRITERS} writers were told that they had created one object")
    _need("unknown" in results or won == [store.objects.get("race")], "an object is not what its one creator put there")


@enforces("STORE-2")
def _identical_rewrite(made: _Place) -> None:
    """Put the same again.

    [STORE-2] A store MUST accept the bytes that an object has already, as often as they come.
    """
    store = made(True)
    for data in (b"", b"data", bytes(range(256)) * 300):
        path = f"tile/entries/{len(data):03}"
        store.objects.put(path, data)
        for afresh in (False, True, False):
            try:
                store.objects.put(path, data, afresh=afresh)
            except Refused as error:
                raise _Seen(f"the bytes that an object has were refused: {error}") from error
        _need(store.objects.get(path) == data, "an object changed when its own bytes were put there again")
    old = store.head.read()
    store.head.swap(old, old)
    store.head.swap(old, b"next")
    store.head.swap(b"next", b"next")
    _need(store.head.read() == b"next", "a register changed when its own value was put there again")


@enforces("STORE-3")
def _late_duplicates(made: _Place) -> None:
    """Repeat what was done long ago, as a network does.

    [STORE-3] A store MUST NOT let a write that comes late, or once more, change what was written since.
    """
    store = made(True)
    for register in (store.head, store.public):
        values = [register.read(), b"one", b"two", b"three"]
        steps = list(pairwise(values))
        for old, new in steps:
            register.swap(old, new)
        for old, new in steps:
            late = partial(register.swap, old, new)
            _refuses(late, f"a swap from {old!r} to {new!r} was accepted again, after the register had moved on")
        _need(register.read() == b"three", "a late swap took a register back")
    store.objects.put("tile/0/000.p/1", b"a")
    store.objects.put("tile/0/000.p/2", b"ab")
    store.objects.put("tile/0/000.p/1", b"a")
    found = store.objects.get("tile/0/000.p/1"), store.objects.get("tile/0/000.p/2")
    _need(found == (b"a", b"ab"), "a late put changed another object")


@enforces("STORE-4")
def _one_writer_wins(made: _Place, *, rounds: int = 25, processes: bool = False) -> None:
    """Race, in threads and in processes.

    [STORE-4] A store MUST let at most one of those succeed who replace the same value of a register.
    """
    head = made(True).head
    heads = [made(False).head for _ in range(_WRITERS)]
    for turn in range(rounds):
        old = head.read()
        new = [b"%d of %d" % (number, turn) for number in range(_WRITERS)]
        results = _race([partial(_told, each.swap, old, value) for each, value in zip(heads, new, strict=True)])
        won = [value for value, told in zip(new, results, strict=True) if told == "done"]
        left = head.read()
        _need(len(won) <= 1, f"{len(won)} of {_WRITERS} writers who replaced one value were told that they had")
        _need("unknown" in results or won == [left], f"the register has {left!r}, but {won!r} was told that it had won")
    with suppress(Refused):
        head.swap(head.read(), b"")
    if processes:
        context = get_context("spawn")
        with ProcessPoolExecutor(2, mp_context=context) as pool:
            hammers = [pool.submit(_hammer, made, name, rounds) for name in ("a", "b")]
            sure, unsure = zip(*(hammer.result() for hammer in hammers), strict=True)
        _compare(head.read().decode().split(), {*sure[0], *sure[1]}, {*unsure[0], *unsure[1]})


def _hammer(made: _Place, name: str, rounds: int) -> tuple[list[str], list[str]]:
    """Append a word to the register, over and over: the words of which it was told that they are there, and unsure."""
    store = made(False)
    head = store.head
    sure: list[str] = []
    unsure: list[str] = []
    for turn in range(rounds):
        word = f"{name}{turn}"
        old = head.read()
        told = _told(head.swap, old, old + b" " + word.encode())
        if told != "refused":
            (sure if told == "done" else unsure).append(word)
    store.close()
    return sure, unsure


def _compare(found: Sequence[str], sure: set[str], unsure: set[str]) -> None:
    """What two processes appended to one register must all be there, once."""
    lost, extra = sure - set(found), set(found) - sure - unsure
    _need(not lost, f"{len(lost)} of {len(sure)} swaps that succeeded in two processes were overwritten")
    _need(not extra, f"{len(extra)} swaps that were refused are in the register all the same")
    _need(len(found) == len(set(found)), "a swap was applied twice")


@enforces("STORE-5")
def _read_after_write(made: _Place) -> None:
    """Write here, read there.

    [STORE-5] A store MUST show to everybody what it accepted, from the moment when it answered.
    """
    here, there = made(True), made(False)
    for number in range(20):
        path, data = f"tile/0/{number:03}", b"%d" % number
        with suppress(Absent):
            there.objects.get(path)  # a store may remember that there was nothing
        here.objects.put(path, data)
        _need(_got(there.objects, path) == data, "an object that was put could not be read elsewhere")
        for register in ("head", "public"):
            written, read = getattr(here, register), getattr(there, register)
            written.swap(read.read(), data)
            _need(read.read() == data, f"the {register} register was read elsewhere as it was before a swap")
        here.objects.discard(path)
        _need(_got(there.objects, path) is None, "an object that was discarded could still be read elsewhere")


@enforces("STORE-6")
def _path_alone(made: _Place) -> None:
    """Ask for what lies beside, above and below.

    [STORE-6] A store MUST find an object by its whole path and by nothing else, without a list.
    """
    store = made(True)
    paths = ("tile/0/x001/000", "tile/0/x001/000.p/3", "tile/0/000", "tile/0/000.p/3", "tile/0/000.p/30")
    for path in paths:
        store.objects.put(path, path.encode())
    store.staging.put("2-ab", b"staged")
    for path in paths:
        _need(_got(store.objects, path) == path.encode(), f"{path} is not what was put there")
    for path in (
        "tile/0/x001",
        "tile/0",
        "tile",
        "tile/0/000.p",
        "tile/0/00",
        "tile/0/000.p/300",
        "2-ab",
        "tile/0/001",
    ):
        _need(_got(store.objects, path) is None, f"{path} was found, but never put there")
    _need(_got(store.staging, "tile/0/000") is None, "what was published was found among what is staged")
    store.objects.discard("tile/0/000.p/3")
    store.objects.discard("tile/0/000.p/3")
    left = [path for path in paths if _got(store.objects, path) is not None]
    _need(left == [path for path in paths if path != "tile/0/000.p/3"], "a discard removed another object, or none")


@enforces("STORE-7")
def _missing_register(made: _Place) -> None:
    """Read and swap a register that was never made.

    [STORE-7] A store MUST NOT make a head register by reading or swapping it: one that is missing was lost.
    """
    head = made(False).head
    for what, act in (("reading", head.read), ("swapping", partial(head.swap, b"", b"x")), ("reading", head.read)):
        try:
            act()
        except Unavailable:
            continue
        except Refused as error:
            raise _Seen(f"{what} a register that is missing was Refused, and not Unavailable") from error
        raise _Seen(f"{what} a register that is missing succeeded")


@enforces("STORE-8")
def _whole_or_not(made: _Place) -> None:
    """Read while it is written.

    [STORE-8] A store MUST give an object as a whole, or say that it has none or cannot tell.
    """
    writing, reading = made(True).objects, made(False).objects
    data = bytes(range(256)) * 4096
    done, partly = Event(), []

    def read() -> None:
        while not done.is_set():
            for number in range(3):
                found = _got(reading, f"tile/entries/{number:03}")
                if found not in (None, data):
                    partly.append(len(found or b""))

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(read)
        try:
            for number in range(3):
                writing.put(f"tile/entries/{number:03}", data)
        finally:
            done.set()
        reader.result()
    _need(not partly, f"{partly[:1]} bytes were read of an object of {len(data)} that was being written")
    _need(_got(reading, "tile/entries/002") == data, "an object that was written is not there as a whole")


#: The name of each promise, in words, and the function that looks for it.
PROPERTIES: dict[str, Callable[..., None]] = {
    "create-only objects": _create_only,
    "identical rewrite": _identical_rewrite,
    "late duplicates": _late_duplicates,
    "one writer wins": _one_writer_wins,
    "read after write": _read_after_write,
    "found by path alone": _path_alone,
    "missing register": _missing_register,
    "whole or not at all": _whole_or_not,
}


def _got(objects: Objects, path: str) -> bytes | None:
    try:
        return objects.get(path)
    except Absent:
        return None


def _told(act: Callable[..., object], *arguments: bytes | str) -> str:
    """done, refused, or unknown: an error from which nobody can tell."""
    try:
        act(*arguments)
    except Refused:
        return "refused"
    except (PausectlError, OSError):
        return "unknown"
    return "done"


def _race(acts: Sequence[Callable[[], str]]) -> list[str]:
    """Do everything at once; the results in order."""
    start = Barrier(len(acts))

    def run(act: Callable[[], str]) -> str:
        start.wait()
        return act()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))
