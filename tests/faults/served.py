# SPDX-License-Identifier: Apache-2.0
"""The commands as they are run: `log serve`, four `witness serve`, `mirror`, and submitters over HTTP; each dies."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from laboratory import (
    AGREEMENT,
    KEYS,
    ROLL,
    Ack,
    Shelf,
    Verdict,
    dice,
    entry,
    judge,
    statement_id,
)
from tally import Skipped, Tally
from witnessing import consistent

from pausectl.durable import FATAL
from pausectl.errors import PausectlError, Unavailable
from pausectl.history.reader import sight
from pausectl.log.fsck import fsck
from pausectl.net.client import Client, get
from pausectl.wire import keyfile, note, proof

_LISTENING = re.compile(r"listening on (http://[0-9.]+:[0-9]+)")
_PATIENCE = 60.0


def key_file(scratch: Path, principal: str, name: str) -> Path:
    path = scratch / f"{principal}.key"
    path.write_bytes(keyfile.format_key(name, KEYS[principal], passphrase=None, salt=b"", nonce=b""))
    path.chmod(0o600)
    return path


class Server:
    """One command of ours that serves; `url` when it does. It comes back at the same port."""

    def __init__(self, errors: Path, words: Sequence[object], listen: str, before: Sequence[str] = ()) -> None:
        self._errors, self._words, self._before = errors, [str(word) for word in words], list(before)
        self.listen = listen
        self.url = ""
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [*self._before, sys.executable, "-m", "pausectl", *self._words, "--listen", self.listen]
        with self._errors.open("wb") as errors:
            self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True)
        until = time.monotonic() + _PATIENCE
        while not (found := _LISTENING.search(self.told)):
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{' '.join(self._words[:2])} does not start: {self.told[-600:]}")
            time.sleep(0.01)
        self.url = found[1]
        self.listen = self.url.removeprefix("http://")

    @property
    def told(self) -> str:
        return self._errors.read_text(errors="replace")

    def stop(self, number: int = signal.SIGKILL) -> int:
        """End it; its exit status."""
        if self.process is None:
            return 0
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)
        code = self.process.wait(_PATIENCE)
        self.process = None
        return code


class Town:
    """A log, its four witnesses and a mirror, each a process. host: of a party, its address, and what it runs under."""

    def __init__(self, scratch: Path, home: Path, host: Callable[[str], tuple[str, Sequence[str]]]) -> None:
        self.home, self.memory = home, scratch / "witnesses"
        self.witnesses = []
        log_vkey = note.format_vkey(AGREEMENT.log_key)
        for principal, key in AGREEMENT.witness_keys.items():
            address, before = host("witness")
            words = ["witness", "serve", self.memory / principal, "--key", key_file(scratch, principal, key.name)]
            words += ["--log", log_vkey, "--init", "--rate", "100000", "--burst", "100000"]
            self.witnesses.append(Server(scratch / f"{principal}.err", words, f"{address}:0", before))
        self.memory.mkdir()
        self._scratch, self._host = scratch, host
        self.log: Server | None = None
        self.mirror: Server | None = None
        self.copy = scratch / "mirror"

    def start(self) -> None:
        for each in self.witnesses:
            each.start()
        address, before = self._host("log")
        words = ["log", "serve", self.home, "--key", key_file(self._scratch, ROLL.log, ROLL.log)]
        words += ["--rate", "100000", "--burst", "100000"]
        words += [word for each in self.witnesses for word in ("--witness", each.url)]
        self.log = Server(self._scratch / "log.err", words, f"{address}:0", before)
        self.log.start()
        address, before = self._host("mirror")
        words = ["mirror", self.log.url, self.copy, "--agreement", self.home / "agreement.json", "--every", "0.2"]
        words += [word for each in self.witnesses for word in ("--compare", each.url)]
        self.mirror = Server(self._scratch / "mirror.err", words, f"{address}:0", before)
        self.mirror.start()

    def follows(self, patience: float) -> str:
        """Wait until the mirror shows all that the log shows now; what is wrong if it never does."""
        until, there = time.monotonic() + patience, _size(_checkpoint(self.log.url))
        while _size(_checkpoint(self.mirror.url)) < there:
            if time.monotonic() > until:
                return f"the mirror does not follow to {there}: {self.mirror.told[-300:]}"
            time.sleep(0.05)
        return ""

    def copied(self) -> str:
        """What is wrong with the mirror's copy, when nobody writes."""
        damage = fsck(self.copy / "log", AGREEMENT)
        return f"the mirror: {damage[0].path}: {damage[0].message}" if damage else ""

    def stop(self, number: int = signal.SIGKILL) -> None:
        for each in (self.log, self.mirror, *self.witnesses):
            if each is not None:
                each.stop(number)


def _checkpoint(url: str) -> bytes | None:
    try:
        answer = get(f"{url}/checkpoint", timeout=5, max_bytes=1 << 16)
    except Unavailable:
        return None
    return answer.body if answer.status == 200 else None


def _size(raw: bytes | None) -> int:
    return int(raw.split(b"\n", 2)[1]) if raw else -1


class Crowd:
    """Submitters in threads; what they were answered."""

    def __init__(self, url: str, numbers: Iterator[int], threads: int = 3, timeout: float = 5.0) -> None:
        self.acks: list[Ack] = []
        self.seen: list[bytes] = []
        self.wrong: list[str] = []
        self.refusals = 0
        self._client = Client(url, timeout=timeout)
        self._numbers = numbers
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._submit, daemon=True) for _ in range(threads)]
        for each in self._threads:
            each.start()

    def wait(self, more: int, patience: float) -> bool:
        """Whether so many more are acknowledged in so many seconds."""
        until, enough = time.monotonic() + patience, len(self.acks) + more
        while len(self.acks) < enough and time.monotonic() < until:
            time.sleep(0.005)
        return len(self.acks) >= enough

    def end(self) -> None:
        self._over.set()
        for each in self._threads:
            each.join()
        self._client.close()

    def _submit(self) -> None:
        with self._lock:
            number = next(self._numbers)
            raw = entry(number)
        while not self._over.is_set():
            try:
                answer = self._client.post("/add", raw, max_bytes=1 << 20)
            except Unavailable:
                time.sleep(0.02)
                continue
            if answer.status != 200:
                self.refusals += 1
                if answer.status != 503:
                    self.wrong.append(f"answered {answer.status}: {answer.body[:120]!r}")
                time.sleep(0.02)
                continue
            with self._lock:
                self._heard(number, raw, answer.body)
                number = next(self._numbers)
                raw = entry(number)

    def _heard(self, number: int, raw: bytes, body: bytes) -> None:
        """The receipt is checked as a stranger checks it."""
        try:
            receipt = proof.parse(body)
            proof.check(receipt, raw, lambda signed: sight(signed, AGREEMENT).checkpoint)
        except PausectlError as error:
            self.wrong.append(f"the receipt of entry {number}: {error}")
            return
        self.acks.append(Ack(number, receipt.index, statement_id(number), hashlib.sha256(raw).hexdigest(), time.time()))
        if receipt.checkpoint_raw not in self.seen[-4:]:
            self.seen.append(receipt.checkpoint_raw)


def need_servers() -> None:
    try:
        import granian  # noqa: F401
    except ImportError as error:
        raise Skipped("granian absent: the extra pausectl[log] is not installed") from error


def serve(scratch: Path, trials: int, seed: int, *, stop: bool = False, **_: Any) -> Tally:
    """kill -9 of the log or of a witness, each a server under load; what a submitter has a receipt for stays."""
    need_servers()
    tally = Tally("kill -9 of servers under load", stop)
    home = Shelf(scratch).home(scratch / "home", 250)
    town = Town(scratch, home, lambda _: ("127.0.0.1", ()))
    acks: list[Ack] = []
    seen: list[bytes] = []
    numbers = itertools.count()
    town.start()
    try:
        for trial in range(trials):
            chance = dice(f"{seed}/{trial}")
            crowd = Crowd(town.log.url, numbers)
            verdict = Verdict()
            if not crowd.wait(1, _PATIENCE):
                verdict.wrong.append(f"nothing is acknowledged: {town.log.told[-300:]}")
            time.sleep(chance.random() * 0.5)
            victim = chance.choice([town.log, town.log, town.mirror, *town.witnesses])
            victim.stop()
            if victim is town.log:
                tally.count("logs")
                crowd.end()
                _reopened(chance, verdict, home, acks + crowd.acks, seen + crowd.seen, trial)
            else:
                tally.count("mirrors" if victim is town.mirror else "witnesses")
                if not crowd.wait(3, 20):
                    verdict.wrong.append("without one of them nothing is acknowledged")
                crowd.end()
            victim.start()
            verdict.wrong += crowd.wrong[:2]
            acks, seen = acks + crowd.acks, seen + crowd.seen
            tally.acks, tally.seen = tally.acks + len(crowd.acks), tally.seen + len(crowd.seen)
            tally.trial(verdict, about=f"seed {seed}, trial {trial}")
        behind = town.follows(_PATIENCE) or town.copied()
        tally.check(not behind, behind, about="the end")
    finally:
        town.stop()
    verdict = judge(home, acks, seen, more=950_000)
    consistent(verdict, home, town.memory)
    tally.trial(verdict, about="the end")
    tally.seconds = time.monotonic() - tally.started
    return tally


def _reopened(
    chance: Any, verdict: Verdict, home: Path, acks: Sequence[Ack], seen: Sequence[bytes], trial: int
) -> None:
    """In half of the trials the server itself has to recover, and the next trials tell; in the other half we look."""
    if chance.random() < 0.5:
        found = judge(home, acks, seen[-200:], more=900_000 + trial)
        verdict.wrong += found.wrong
        verdict.lost, verdict.forks = found.lost, found.forks


def sync_fails(scratch: Path, trials: int, seed: int, *, stop: bool = False, **_: Any) -> Tally:
    """An fsync of the serving log fails: it ends with 5, answers nobody after that, and comes back with everything."""
    need_servers()
    if shutil.which("strace") is None:
        raise Skipped("strace absent: run .ci/setup as root")
    tally = Tally("fsync fails in a serving log", stop)
    home = Shelf(scratch).home(scratch / "home", 250)
    town = Town(scratch, home, lambda _: ("127.0.0.1", ()))
    numbers = itertools.count()
    town.start()
    try:
        for trial in range(trials):
            crowd = Crowd(town.log.url, numbers)
            verdict = Verdict()
            crowd.wait(2, _PATIENCE)
            ended, at = _fail(scratch, town.log, 1 + dice(f"{seed}/{trial}").randrange(30))
            crowd.end()
            if ended != FATAL:
                verdict.wrong.append(f"ended with {ended}, not {FATAL}: {town.log.told[-200:]}")
            late = sum(ack.at > at + _ON_ITS_WAY for ack in crowd.acks)
            if late:
                verdict.wrong.append(f"{late} entries were acknowledged after fsync had failed")
            found = judge(home, crowd.acks, crowd.seen, more=900_000 + trial)
            found.wrong += verdict.wrong + crowd.wrong[:2]
            tally.acks, tally.seen = tally.acks + len(crowd.acks), tally.seen + len(crowd.seen)
            tally.trial(found, about=f"seed {seed}, trial {trial}")
            town.log.start()
    finally:
        town.stop()
    tally.seconds = time.monotonic() - tally.started
    return tally


#: An answer that left before the fault is read a little after it. Seconds.
_ON_ITS_WAY = 0.1


def _fail(scratch: Path, victim: Server, after: int) -> tuple[int, float]:
    """Let its fsync number `after` from now on fail, in whatever thread; its exit status, and when it was to fail."""
    trace = scratch / "trace"
    inject = f"inject=fsync,fdatasync:error=EIO:when={after}+"
    command = ["strace", "-f", "-qq", "-ttt", "-o", str(trace), "-e", inject, "-p", str(victim.process.pid)]
    strace = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        ended = victim.process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        ended = victim.stop()
    victim.process = None
    strace.wait(10)
    strace.stderr.close()
    injected = [line for line in trace.read_text(errors="replace").splitlines() if "(INJECTED)" in line]
    return ended, float(injected[0].split()[1]) if injected else 0.0
