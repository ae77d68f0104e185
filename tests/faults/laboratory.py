# SPDX-License-Identifier: Apache-2.0
"""What every trial needs: parties and entries, a writer in a process of its own, and the judgement afterwards.

A writer is the real log, opened by a forked process (forked, so that a trial costs 30 ms and not the start of an
interpreter). It says on a pipe what it acknowledged and what it published; only what was read from the pipe before the
fault counts. The judgement recomputes roots from the entries by twelve lines of its own, beside the log's fsck.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import random
import select
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

from pausectl.agreement.types import Span, instant, seconds
from pausectl.durable import Disk
from pausectl.errors import PausectlError
from pausectl.history.source import DirectorySource
from pausectl.history.tiles import Tiles
from pausectl.log.fsck import fsck
from pausectl.log.log import Admission, Log
from pausectl.predicates import base
from pausectl.predicates.base import Header
from pausectl.predicates.close import Close
from pausectl.sim import terms
from pausectl.wire import checkpoint, dsse
from pausectl.wire.tile import bundles_for
from pausectl.witness.witness import Witness

START = seconds(terms.ANCHOR)
ROLL = terms.Roll()
KEYS = {name: terms.demo_key(name) for name in terms.names(ROLL)}
AGREEMENT = terms.agree(ROLL, KEYS)
SIGNER = KEYS[ROLL.log]

#: Say something through the pipe.
Tell = Callable[[bytes], int]

_PR_SET_PDEATHSIG, _PR_SET_PTRACER = 1, 0x59616D61


def dice(seed: object) -> random.Random:
    """Chance that can be repeated."""
    return random.Random(str(seed))  # noqa: S311 - that is the point


@cache
def entry(number: int) -> bytes:
    """An entry that the log must admit, another for each number."""
    span = Span(end_at=instant(START + terms.WEEK), start_at=instant(START))
    header = Header(
        agreement=AGREEMENT.id, log=terms.ORIGIN, party="probe", sequence=number, stream="close", window=span
    )
    return dsse.sign(base.write(Close(header=header, heads=())), KEYS["probe"]).raw


@cache
def statement_id(number: int) -> str:
    return dsse.parse(entry(number)).statement_id


def witnesses(state: Path, clock: Callable[[], int], kind: type[Witness] = Witness) -> list[Callable[[bytes], bytes]]:
    """One callable for each witness of the agreement."""
    made = [
        kind.beside(key.name, KEYS[name], AGREEMENT.log_key, state / name)
        for name, key in AGREEMENT.witness_keys.items()
    ]
    return [lambda request, w=w: w.cosign(request, clock()) for w in made]


# ── homes ──────────────────────────────────────────────────────────────────────────────────────────────────────────

#: Sizes from which a trial may begin: around the first full tile, where files of every kind are made.
SIZES = (1, 3, 250, 254, 255, 256, 511)

#: Entries of templates have numbers from here on, those of writers lower ones.
FILLED = 10_000_000


class Shelf:
    """Homes of several sizes, made once and copied."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def template(self, size: int) -> Path:
        place = self._folder / f"template-{size}"
        if not place.exists():
            with Log.create(place, AGREEMENT, SIGNER, START) as log:
                fill = [(entry(FILLED + n), statement_id(FILLED + n)) for n in range(1, size)]
                if fill:
                    log.append(fill)
        return place

    def home(self, place: Path, size: int) -> Path:
        """A log of this size at `place`, whatever lay there."""
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self.template(size), place)
        return place


# ── the writer ─────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Ack:
    """What a submitter was told. number: which `entry` it is about. at: when, in POSIX seconds."""

    number: int
    index: int
    statement_id: str
    digest: str
    at: float


@dataclass
class Plan:
    """What a writer does. limit: after so many acknowledgements it idles. pause: seconds between commits.

    change: called in the writer before it opens the log; what it breaks, it breaks there only. make_log: what opens it.
    """

    home: Path
    first: int = 0
    batches: Sequence[int] = (1,)
    limit: int = 1 << 40
    pause: float = 0.0
    disk: Callable[[], Disk] = Disk
    make_log: Callable[..., Log] = Log.open
    witnessed: Path | None = None
    witness_kind: type[Witness] = Witness
    change: Callable[[], object] = lambda: None
    wait: bool = False  # for a byte on stdin, before anything is done
    finish: bool = False  # end at the limit instead of idling
    errors: str = os.devnull  # where its stderr goes
    work: Callable[[Plan, Tell], int] | None = None  # instead of adding to a log


class Writer:
    """A process that adds entries; `acks`, `seen` (checkpoints) and `said` (errors) are what it told so far.

    hidden: indices that were acknowledged while no reader could have found them.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.acks: list[Ack] = []
        self.seen: list[bytes] = []
        self.said: list[str] = []
        self.hidden: list[int] = []
        self.ready = False
        self.status: int | None = None
        self._rest = b""
        self._out, told = os.pipe()
        heard, self._in = os.pipe()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._out)
            os.close(self._in)
            _child(plan, told, heard)
        os.close(told)
        os.close(heard)

    def go(self) -> None:
        os.write(self._in, b"g")

    def listen(self, seconds_: float, enough: Callable[[Writer], bool] = lambda _: False) -> None:
        """Read until `enough`, the writer's end, or the time is over; meanwhile read what is published."""
        until = time.monotonic() + seconds_
        while not enough(self) and self._out >= 0:
            left = until - time.monotonic()
            if left <= 0:
                return
            ready, _, _ = select.select([self._out], [], [], min(left, 0.002))
            self.look()
            if ready and not self._read():
                return

    def look(self) -> bytes:
        """The checkpoint as a reader sees it now; b"" if there is none."""
        try:
            raw = (self.plan.home / "log" / "checkpoint").read_bytes()
        except OSError:
            return b""
        if raw and raw not in self.seen[-8:]:
            self.seen.append(raw)
        return raw

    def _look_for(self, ack: Ack) -> None:
        shown = self.look()
        if shown and int(shown.split(b"\n", 2)[1]) <= ack.index:
            self.hidden.append(ack.index)

    def has(self, count: int) -> Callable[[Writer], bool]:
        return lambda writer: len(writer.acks) >= count

    def kill(self, number: int = signal.SIGKILL) -> int:
        """End it, or find it ended; the wait status. Nothing that it says from now on counts."""
        if self.status is None:
            os.kill(self.pid, number)
            self.end()
        return self.status or 0

    def end(self) -> int:
        """Wait for its end."""
        if self.status is None:
            _, self.status = os.waitpid(self.pid, 0)
            for fd in (self._out, self._in):
                if fd >= 0:
                    os.close(fd)
            self._out = self._in = -1
        return self.status

    def _read(self) -> bool:
        data = os.read(self._out, 1 << 20)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            kind, _, rest = line.decode().partition(" ")
            if kind == "A":
                number, index, statement, digest, at = rest.split()
                self.acks.append(Ack(int(number), int(index), statement, digest, float(at)))
                self._look_for(self.acks[-1])
            elif kind == "C":
                self.seen.append(bytes.fromhex(rest))
            elif kind == "R":
                self.ready = True
            else:
                self.said.append(rest)
        return bool(data)


def _child(plan: Plan, told: int, heard: int) -> None:
    """The writer's whole life; never returns."""
    code = 70
    try:
        os.dup2(os.open(plan.errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        prctl(_PR_SET_PTRACER, ctypes.c_ulong(-1))  # strace is no ancestor of it
        if plan.wait:
            os.write(told, b"R \n")
            os.read(heard, 1)
        plan.change()
        code = (plan.work or _write)(plan, partial(os.write, told))
    except PausectlError as error:
        os.write(told, f"E {type(error).__name__}: {_line(error)}\n".encode())
        code = error.exit_code
    except BaseException as error:  # noqa: BLE001
        os.write(told, f"E ! {type(error).__name__}: {_line(error)}: {_line(traceback.format_exc())[-600:]}\n".encode())
    finally:
        os._exit(code)


def _line(what: object) -> str:
    return " ".join(str(what).split())


def _write(plan: Plan, tell: Tell) -> int:
    given, number, done = 0, plan.first, 0
    asked = witnesses(plan.witnessed, lambda: START + 60 + done, plan.witness_kind) if plan.witnessed else []
    with plan.make_log(plan.home, SIGNER, disk=plan.disk()) as log:
        while given < plan.limit:
            batch = list(range(number, number + plan.batches[done % len(plan.batches)]))
            answers = log.add([entry(n) for n in batch])
            if asked:
                log.cosign(asked, START + 60 + done)
            acknowledge(tell, batch, answers)
            tell(f"C {log.checkpoint.hex()}\n".encode())
            given, number, done = given + len(batch), number + len(batch), done + 1
            if plan.pause:
                time.sleep(plan.pause)
        if plan.finish:
            return 0
        signal.pause()
    return 0


def told(number: int, answer: Admission) -> Ack:
    """What the submitter of an entry knows after the answer."""
    digest = hashlib.sha256(entry(number)).hexdigest()
    return Ack(number, answer.index, answer.statement_id, digest, time.time())


def acknowledge(tell: Tell, batch: Iterable[int], answers: Iterable[Admission]) -> None:
    """One line for each answer; shorter than what a pipe takes whole."""
    for number, answer in zip(batch, answers, strict=True):
        ack = told(number, answer)
        tell(f"A {number} {ack.index} {ack.statement_id} {ack.digest} {ack.at:.6f}\n".encode())


# ── the judgement ──────────────────────────────────────────────────────────────────────────────────────────────────


class Roots:
    """RFC 6962 roots of every beginning of a list, from the definition: peaks of complete subtrees, folded."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self.of: list[bytes] = [hashlib.sha256(b"").digest()]
        peaks: list[tuple[int, bytes]] = []  # (leaves below it, hash)
        for leaf in leaves:
            peaks.append((1, hashlib.sha256(b"\x00" + leaf).digest()))
            while len(peaks) > 1 and peaks[-1][0] == peaks[-2][0]:
                (count, left), (_, right) = peaks[-2:]
                peaks[-2:] = [(2 * count, hashlib.sha256(b"\x01" + left + right).digest())]
            root = peaks[-1][1]
            for _, left in reversed(peaks[:-1]):
                root = hashlib.sha256(b"\x01" + left + root).digest()
            self.of.append(root)


@dataclass
class Verdict:
    """What was found after a fault. wrong: each of them a failure. refused: why the log does not start, or ""."""

    wrong: list[str] = field(default_factory=list)
    lost: int = 0
    forks: int = 0
    refused: str = ""
    size: int = 0

    @property
    def bad(self) -> bool:
        return bool(self.wrong)


def judge(
    home: Path, acks: Sequence[Ack], seen: Sequence[bytes], *, may_refuse: bool = False, more: int = 0
) -> Verdict:
    """Open the log as after a reboot, and look for everything that was promised.

    may_refuse: a PausectlError at the opening is an answer and no failure. more: the number of a fresh entry, which has
    to be taken.
    """
    verdict = Verdict()
    try:
        log = Log.open(home, SIGNER)
    except PausectlError as error:
        verdict.refused = str(error)
        if not may_refuse:
            verdict.wrong.append(f"does not start: {error}")
        return verdict
    with log:
        try:
            _find(verdict, log, home, acks, seen)
            _run_on(verdict, log, home, acks, more or FILLED - 1)
        except PausectlError as error:
            verdict.wrong.append(f"{type(error).__name__}: {error}")
    return verdict


def ledger(home: Path, head: bytes) -> list[bytes]:
    """All entries up to the checkpoint `head`, authenticated as a reader does it."""
    known = checkpoint.open(head, AGREEMENT.log_key)[0]
    tiles = Tiles(DirectorySource(home / "log").fetch, known.size, known.root)
    return [each for bundle in bundles_for(known.size) for each in tiles.bundle(bundle)]


def _find(verdict: Verdict, log: Log, home: Path, acks: Sequence[Ack], seen: Sequence[bytes]) -> None:
    damage = fsck(home, AGREEMENT)
    verdict.wrong += [f"fsck: {each.path}: {each.message}" for each in damage[:3]]
    entries = ledger(home, log._sequencer.head)
    verdict.size = len(entries)
    for ack in acks:
        stands = entries[ack.index] if ack.index < len(entries) else b""
        if hashlib.sha256(stands).hexdigest() != ack.digest or dsse.parse(stands).statement_id != ack.statement_id:
            verdict.lost += 1
            verdict.wrong.append(f"entry {ack.index} was acknowledged and is lost")
    roots = Roots(entries)
    for raw in (*seen, log.checkpoint):
        told = checkpoint.open(raw, AGREEMENT.log_key)[0]
        if told.size > len(entries) or roots.of[told.size] != told.root:
            verdict.forks += 1
            verdict.wrong.append(f"a published checkpoint of {told.size} entries is not of this log of {len(entries)}")


def _run_on(verdict: Verdict, log: Log, home: Path, acks: Sequence[Ack], more: int) -> None:
    """A submitter who asks again gets the same answer, and a new entry is taken."""
    again = [*acks[:1], *acks[-2:]]
    answers = log.add([entry(ack.number) for ack in again] + [entry(more)])
    for ack, answer in zip(again, answers, strict=False):
        if answer.index != ack.index or not answer.duplicate:
            verdict.wrong.append(f"entry {ack.index} is answered with {answer.index} when it is submitted again")
    if answers[-1].index > log.size - 1:
        verdict.wrong.append("the log does not run on")
    if fsck(home, AGREEMENT):
        verdict.wrong.append("fsck finds damage after one more entry")
