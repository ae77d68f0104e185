# SPDX-License-Identifier: Apache-2.0
"""Witnesses that die, lose power, are away, lie, or were rolled back: none takes a cosignature back, no log forks."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from laboratory import (
    AGREEMENT,
    KEYS,
    SIGNER,
    START,
    Roots,
    Shelf,
    Verdict,
    dice,
    entry,
    judge,
    ledger,
    told,
    witnesses,
)
from power import Disc
from tally import Tally

from pausectl.durable import Disk
from pausectl.errors import PausectlError, Unavailable
from pausectl.log.log import Log
from pausectl.wire import checkpoint, cosignature, merkle, witness
from pausectl.wire.checkpoint import Checkpoint
from pausectl.wire.note import Signature
from pausectl.witness.witness import Witness

NAME, KEY = next((key.name, KEYS[principal]) for principal, key in AGREEMENT.witness_keys.items())
ORIGIN = AGREEMENT.log_key.name

#: How many trees a chain has.
_TREES = 200


def consistent(verdict: Verdict, home: Path, memory: Path) -> None:
    """Whatever a witness remembers that it cosigned is a beginning of this log."""
    roots = Roots(ledger(home, (home / "state" / "head").read_bytes())).of
    for path in memory.glob("*/*/checkpoint"):
        known = checkpoint.open(path.read_bytes(), AGREEMENT.log_key)[0]
        if known.size >= len(roots) or roots[known.size] != known.root:
            verdict.forks += 1
            verdict.wrong.append(f"{path.parent.parent.name} cosigned {known.size} entries that are not of this log")


# ── a witness in a process ─────────────────────────────────────────────────────────────────────────────────────────


class Chain:
    """Signed checkpoints of a growing tree, as add-checkpoint asks for them; and of its twin, which is another tree."""

    def __init__(self) -> None:
        self.leaves = [b"leaf %d" % n for n in range(_TREES)]
        self._hashes = [merkle.leaf_hash(leaf) for leaf in self.leaves]
        self.roots = Roots(self.leaves).of
        self._twin = [merkle.leaf_hash(b"twin"), *self._hashes[1:]]

    def request(self, old: int, new: int, *, forged: bool = False) -> bytes:
        hashes = (self._twin if forged else self._hashes)[:new]
        signed = checkpoint.sign(Checkpoint(ORIGIN, new, merkle.root(hashes)), SIGNER).raw
        proof = merkle.prove_consistency(old, new, partial(_subtree, hashes)) if old else ()
        return witness.format_request(witness.Request(old, tuple(proof), signed))


def _subtree(hashes: list[bytes], level: int, index: int) -> bytes:
    return merkle.root(hashes[index << level : (index + 1) << level])


class Cosigner:
    """A witness in a process of its own; `answered` is the largest size that it has let go of a cosignature for."""

    def __init__(
        self, state: Path, kind: type[Witness], disk: Callable[[], Disk], change: Callable[[], object]
    ) -> None:
        self.answered = 0
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            self._ours.close()
            try:
                change()
                _serve(theirs, kind.beside(NAME, KEY, AGREEMENT.log_key, state, disk=disk()))
            finally:
                os._exit(5)
        theirs.close()

    def ask(self, request: bytes, size: int, patience: float = 20) -> bytes | None:
        """Its answer, or None if there was none in time."""
        self._ours.send(request)
        ready, _, _ = select.select([self._ours], [], [], patience)
        answer = self._ours.recv(1 << 16) if ready else b""
        if answer.startswith("\u2014".encode()):
            self.answered = max(self.answered, size)
        return answer or None

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self._ours.close()


def _serve(door: socket.socket, cosigner: Witness) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    while request := door.recv(1 << 16):
        try:
            answer = cosigner.cosign(request, int(time.time()))
        except PausectlError as error:
            answer = f"! {error}".encode()
        door.send(answer)


def _life(chance: Random, chain: Chain, alive: Cosigner, known: int, *, calm: bool) -> int:
    """Ask for larger and larger trees from `known`; what was asked for last. calm: only after an answer it ends."""
    for _ in range(chance.randrange(1, 6)):
        new = min(known + chance.randrange(1, 4), _TREES)
        answer = alive.ask(chain.request(known, new), new)
        if answer is None or not answer.startswith("\u2014".encode()):
            return known
        known = new
    if not calm:
        new = min(known + 1, _TREES)
        alive.ask(chain.request(known, new), new, chance.random() * 0.01)
        known = new
    return known


def _remembered(state: Path, chain: Chain, answered: int, asked: int) -> tuple[Verdict, int]:
    """What it knows after the reboot; it must be what it let go of, or what it was asked for last."""
    verdict = Verdict()
    try:
        with Witness.beside(NAME, KEY, AGREEMENT.log_key, state) as again:
            raw = again.checkpoint(ORIGIN)
            known = checkpoint.open(raw, AGREEMENT.log_key)[0] if raw else Checkpoint(ORIGIN, 0, merkle.EMPTY)
            if not answered <= known.size <= max(asked, answered):
                verdict.wrong.append(f"cosigned {answered}, was asked for {asked}, and remembers {known.size}")
                verdict.lost += known.size < answered
            if chain.roots[known.size] != known.root:
                verdict.forks += 1
                verdict.wrong.append("remembers another tree")
            if known.size:
                _refuses(verdict, again, chain, known.size)
    except PausectlError as error:
        verdict.refused = str(error)
        verdict.wrong.append(f"does not start: {error}")
        return verdict, answered
    return verdict, known.size


def _refuses(verdict: Verdict, again: Witness, chain: Chain, size: int) -> None:
    """Another tree is not cosigned, from wherever it is said to grow."""
    for old in (0, size, max(1, size - 1)):
        try:
            answer = again.cosign(chain.request(old, size, forged=True), int(time.time()))
        except PausectlError:
            continue
        if answer != witness.format_conflict(size):
            verdict.forks += 1
            verdict.wrong.append(f"cosigned another tree of {size} entries")


def die(
    scratch: Path,
    trials: int,
    seed: int,
    *,
    kind: str = "",
    stop: bool = False,
    witness_kind: type[Witness] = Witness,
    disk: Callable[[], Disk] = Disk,
    change: Callable[[], object] = lambda: None,
) -> Tally:
    """kill -9, or on a file system of this kind a power cut, behind an answer or at any moment."""
    tally = Tally(f"a witness: power cut, {kind}" if kind else "a witness: kill -9", stop)
    chain, disc, known = Chain(), Disc(scratch, kind) if kind else None, 0
    state = (disc.top if disc else scratch) / "witness"
    shutil.rmtree(state, ignore_errors=True)
    for trial in range(trials):
        chance = dice(f"{seed}/{trial}")
        if known > _TREES - 20:
            known, disc = 0, Disc(scratch, kind) if kind else None
            shutil.rmtree(state, ignore_errors=True)
        if disc:
            disc.mount()
        alive = Cosigner(state, witness_kind, disk, change)
        asked = _life(chance, chain, alive, known, calm=chance.random() < 0.6)
        if disc:
            disc.cut()
        alive.kill()
        if disc:
            disc.unmount()
            disc.mount()
        verdict, known = _remembered(state, chain, alive.answered, asked)
        if disc:
            disc.unmount()
        tally.count("cosignatures", alive.answered > 0)
        tally.trial(verdict, about=f"seed {seed}, trial {trial}")
    tally.seconds = time.monotonic() - tally.started
    return tally


# ── witnesses that misbehave, and a log ────────────────────────────────────────────────────────────────────────────


def _lies(asked: Callable[[bytes], bytes], chance: Random) -> dict[str, Callable[[bytes], bytes]]:
    """What a witness may answer instead. A callable is what an HTTP client is to the log."""

    def unreachable(_: bytes) -> bytes:
        raise Unavailable("no route to host")

    def slow(request: bytes) -> bytes:
        time.sleep(0.05)
        return asked(request)

    def bad_signature(request: bytes) -> bytes:
        [line] = witness.parse_response(asked(request))
        return witness.format_response([_spoilt(line)])

    def of_another_text(request: bytes) -> bytes:
        text = witness.parse_request(request).signed.text.replace("pause", "peace")
        return witness.format_response([cosignature.cosign(text, NAME, KEY, START + 9)])

    return {
        "away": unreachable,
        "slow": slow,
        "bad signature": bad_signature,
        "a signature of something else": of_another_text,
        "wrong size": lambda _: witness.format_conflict(chance.randrange(1 << 40)),
        "a size that never ends to change": lambda _: witness.format_conflict(chance.randrange(1, 4)),
        "409 without a size": lambda _: b"",
        "garbage": lambda _: chance.randbytes(200),
        "endless": lambda _: b"\xe2\x80\x94 " + b"A" * (1 << 22),
        "nothing but lines": lambda _: "\u2014 x AAAA\n".encode() * 50_000,
    }


def _spoilt(line: Signature) -> Signature:
    return replace(line, payload=line.payload[:-1] + bytes([line.payload[-1] ^ 1]))


def misbehave(scratch: Path, trials: int, seed: int, *, stop: bool = False, **_: Any) -> Tally:
    """Some of four witnesses lie, are away or were rolled back: published with a quorum and not without."""
    tally, shelf = Tally("witnesses away, slow, lying, rolled back", stop), Shelf(scratch)
    for trial in range(trials):
        chance = dice(f"{seed}/{trial}")
        home, memory, old = shelf.home(scratch / "home", 3), scratch / "ws", scratch / "ws-old"
        for place in (memory, old):
            shutil.rmtree(place, ignore_errors=True)
        bad = chance.randrange(0, 4)
        acks, seen, clock = [], [], [START]
        with Log.open(home, SIGNER) as log:
            for number in range(4):
                clock[0] += 1
                good = witnesses(memory, lambda clock=clock: clock[0])
                lies = [_lies(ask, chance) for ask in good]
                names = [chance.choice(sorted(lies[at])) for at in range(bad)]
                asked = [*(lies[at][name] for at, name in enumerate(names)), *good[bad:]]
                tally.count(f"lies or silences of {len(lies[0])} kinds", len(names))
                answers = log.add([entry(number)])
                _publish(tally, log, asked, clock[0], names)
                acks.append(told(number, answers[0]))
                seen.append(log.checkpoint)
                if number == 1:
                    shutil.copytree(memory, old)
                if number == 2 and chance.random() < 0.5:
                    tally.count("rolled back")
                    _restore(chance, memory, old)
        verdict = judge(home, acks, seen)
        tally.acks, tally.seen = tally.acks + len(acks), tally.seen + len(seen)
        tally.trial(verdict, about=f"seed {seed}, trial {trial}")
    tally.seconds = time.monotonic() - tally.started
    return tally


def _publish(tally: Tally, log: Log, asked: list[Callable[[bytes], bytes]], now: int, names: list[str]) -> None:
    """Published with a quorum, and only with one; whoever failed is named."""
    before = log.checkpoint
    try:
        log.cosign(asked, now)
    except Unavailable:
        tally.count("without a quorum")
        if log.checkpoint != before:
            tally.check(False, "published without a quorum", about=str(names))
        return
    if log.size > 3 and not log.cosigned:
        tally.check(False, "a quorum was there and is not published", about=str(names))


def _restore(chance: Random, memory: Path, old: Path) -> None:
    """One witness gets an old state directory back."""
    name = chance.choice(sorted(path.name for path in memory.iterdir()))
    shutil.rmtree(memory / name)
    shutil.copytree(old / name, memory / name)
