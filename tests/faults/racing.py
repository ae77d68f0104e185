# SPDX-License-Identifier: Apache-2.0
"""Many ask a witness at once, from several processes, for trees that exclude one another; and old databases come back.

Of a race one history comes out, and all who lost it are told so. A restored database is refused wherever it turns up.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from laboratory import AGREEMENT, SIGNER, Verdict, dice
from tally import Tally
from witnessing import KEY, NAME, ORIGIN

from pausectl.errors import PausectlError, Unavailable
from pausectl.wire import checkpoint, merkle, witness
from pausectl.wire.checkpoint import Checkpoint
from pausectl.witness.decision import http_status
from pausectl.witness.memory import Memory, Step
from pausectl.witness.second import Second
from pausectl.witness.witness import Witness

_PROCESSES, _THREADS = 3, 4
_NOW = 1_800_000_000

#: After so many leaves a tree begins anew, with another witness: proofs are made from all of them each time.
_LEAVES = 400


class Racer:
    """A process with one open witness and several threads, which ask it all at once; and then it tells what came."""

    def __init__(self, state: Path, change: Callable[[], object]) -> None:
        self._ours, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            self._ours.close()
            try:
                change()
                _run(theirs.makefile("rwb"), Witness.beside(NAME, KEY, AGREEMENT.log_key, state))
            finally:
                os._exit(5)
        theirs.close()
        self._door = self._ours.makefile("rwb")

    def start(self, requests: Sequence[bytes]) -> None:
        pickle.dump(list(requests), self._door)
        self._door.flush()

    def told(self) -> list[int]:
        """The status of each request."""
        return list(pickle.load(self._door))  # noqa: S301 - from a child of ours

    def end(self) -> None:
        os.kill(self.pid, signal.SIGKILL)  # its sisters hold its socket too, so that closing it would end nobody
        self._door.close()
        self._ours.close()
        os.waitpid(self.pid, 0)


def _run(door: Any, one: Witness) -> None:
    while True:
        requests = pickle.load(door)  # noqa: S301 - from our parent
        together, statuses = threading.Barrier(len(requests)), [0] * len(requests)
        threads = [
            threading.Thread(target=_ask, args=(one, request, together, statuses, place))
            for place, request in enumerate(requests)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        pickle.dump(statuses, door)
        door.flush()


def _ask(one: Witness, request: bytes, together: threading.Barrier, statuses: list[int], place: int) -> None:
    together.wait()
    try:
        answer = one.cosign(request, lambda: int(time.time()))
        statuses[place] = 200 if answer.startswith("\u2014".encode()) else 409
    except PausectlError as error:
        statuses[place] = http_status(error)


def _subtree(hashes: list[bytes], level: int, index: int) -> bytes:
    return merkle.root(hashes[index << level : (index + 1) << level])


def request(base: Sequence[bytes], more: Sequence[bytes]) -> bytes:
    """From the tree of `base` to the one with `more` behind it."""
    hashes = [*base, *more]
    signed = checkpoint.sign(Checkpoint(ORIGIN, len(hashes), merkle.root(hashes)), SIGNER).raw
    proof = merkle.prove_consistency(len(base), len(hashes), partial(_subtree, hashes)) if base else ()
    return witness.format_request(witness.Request(len(base), tuple(proof), signed))


def race(
    scratch: Path, trials: int, seed: int, *, stop: bool = False, change: Callable[[], object] = lambda: None, **_: Any
) -> Tally:
    """Each trial: twelve threads of three processes offer twelve continuations of what was cosigned last."""
    tally, state = Tally("a witness: twelve exclusive requests at once", stop), scratch / "witness"
    racers: list[Racer] = []
    try:
        _races(tally, state, trials, seed, racers, change)
    finally:
        for each in racers:
            each.end()
    tally.seconds = time.monotonic() - tally.started
    return tally


def _races(
    tally: Tally, state: Path, trials: int, seed: int, racers: list[Racer], change: Callable[[], object]
) -> None:
    base: list[bytes] = []
    for trial in range(trials):
        chance = dice(f"{seed}/{trial}")
        if not racers or len(base) > _LEAVES:
            while racers:
                racers.pop().end()
            shutil.rmtree(state, ignore_errors=True)
            Witness.beside(NAME, KEY, AGREEMENT.log_key, state).close()
            base = []
            racers += [Racer(state, change) for _ in range(_PROCESSES)]
        offers = [[chance.randbytes(32) for _ in range(chance.randrange(1, 6))] for _ in range(_PROCESSES * _THREADS)]
        for place, racer in enumerate(racers):
            racer.start([request(base, offer) for offer in offers[place * _THREADS :][:_THREADS]])
        statuses = [status for racer in racers for status in racer.told()]
        verdict, won = _judged(statuses, state, base, offers)
        tally.count("requests", len(statuses))
        tally.trial(verdict, about=f"seed {seed}, trial {trial}")
        base = [*base, *won]


def no_step() -> None:
    """Sabotage: the comparison and the writing are two steps, and no lock is held over both."""

    @contextlib.contextmanager
    def apart(self: Memory) -> Iterator[Step]:
        with self._told() as db:
            yield Step(db)

    @contextlib.contextmanager
    def free(self: Second, hash: str) -> Iterator[None]:
        (self.place / hash).mkdir(exist_ok=True)
        yield

    Memory.step, Second.held = apart, free  # type: ignore[method-assign]


def _judged(
    statuses: list[int], state: Path, base: list[bytes], offers: list[list[bytes]]
) -> tuple[Verdict, list[bytes]]:
    """Exactly one was cosigned, the others were told the new size, and that one is what is remembered."""
    verdict = Verdict()
    won = [place for place, status in enumerate(statuses) if status == 200]
    if len(won) != 1 or set(statuses) - {200, 409}:
        verdict.forks += len(won) > 1
        verdict.wrong.append(f"of one race came {sorted(statuses)}")
    more = offers[won[0]] if won else []
    try:
        known = checkpoint.parse(_remembered(state)) if won else None
    except PausectlError as error:  # its two memories hold different winners
        verdict.wrong.append(f"does not start after a race: {error}")
        return verdict, more
    if known and (known.size, known.root) != (len(base) + len(more), merkle.root([*base, *more])):
        verdict.lost += 1
        verdict.wrong.append(f"cosigned {len(base) + len(more)} entries and remembers {known.size}, or another tree")
    return verdict, more


def _remembered(state: Path) -> str:
    with Witness.beside(NAME, KEY, AGREEMENT.log_key, state) as one:
        return witness_text(one.checkpoint(ORIGIN) or b"")


def witness_text(raw: bytes) -> str:
    return raw.partition(b"\n\n")[0].decode() + "\n"


def restore(scratch: Path, trials: int, seed: int, *, stop: bool = False, **_: Any) -> Tally:
    """An old database comes back, under a witness that starts or that runs; then it is recovered."""
    tally = Tally("a witness: an old database comes back", stop)
    for trial in range(trials):
        chance = dice(f"{seed}/{trial}")
        state, backup = scratch / "state", scratch / "backup"
        for place in (state, backup):
            shutil.rmtree(place, ignore_errors=True)
        verdict = _restored(tally, chance, state, backup)
        tally.trial(verdict, about=f"seed {seed}, trial {trial}")
    tally.seconds = time.monotonic() - tally.started
    return tally


def _restored(tally: Tally, chance: Random, state: Path, backup: Path) -> Verdict:
    leaves: list[bytes] = []
    steps, saved_at = chance.randrange(2, 6), chance.randrange(0, 2)
    with Witness.beside(NAME, KEY, AGREEMENT.log_key, state) as one:
        for step in range(steps):
            if step == saved_at:
                shutil.copytree(state, backup)
            more = [chance.randbytes(32) for _ in range(chance.randrange(0 if leaves else 1, 4))]
            one.cosign(request(leaves, more), _NOW + step)
            leaves += more
    running = Witness.beside(NAME, KEY, AGREEMENT.log_key, state) if chance.random() < 0.5 else None
    for path in state.glob("witness.db*"):
        path.unlink()
    for path in backup.glob("witness.db*"):
        shutil.copy2(path, state / path.name)
    verdict = Verdict()
    fork = [chance.randbytes(32)] * (len(leaves) + 1)
    if running is not None:
        tally.count("of them under one that ran")
        _never(verdict, running, fork, leaves)
        running.close()
    try:
        Witness.open(state, [(NAME, KEY)]).close()
    except Unavailable as error:
        verdict.refused = str(error)
    else:
        verdict.wrong.append("an old database was opened")
    Witness.recover(state)
    with Witness.open(state, [(NAME, KEY)]) as one:
        if one.cosign(request([], fork), _NOW + 99) != b"%d\n" % len(leaves):
            verdict.forks += 1
            verdict.wrong.append("cosigned another history after all")
        one.cosign(request(leaves, [b"\0" * 32]), _NOW + 99)
    return verdict


def _never(verdict: Verdict, one: Witness, fork: list[bytes], leaves: list[bytes]) -> None:
    """Another history is not cosigned by a witness whose database was exchanged under it, nor told to be welcome."""
    for each in (request([], fork), request(fork[:1], fork[:2])):
        with contextlib.suppress(PausectlError):
            answer = one.cosign(each, _NOW + 50)
            if answer != b"%d\n" % len(leaves):
                verdict.forks += 1
                verdict.wrong.append(f"with its database exchanged it said {answer[:20]!r}")
