# SPDX-License-Identifier: Apache-2.0
"""Other people's programs, as .ci/setup builds them, and a log of ours for them to read."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pausectl.agreement.document import Agreement
from pausectl.agreement.policy import of as of_agreement
from pausectl.log.log import Log
from pausectl.net import client
from pausectl.sim.world import World
from pausectl.wire import keyfile, policy
from pausectl.wire.keys import PrivateKey, base64
from pausectl.witness.witness import Witness

HERE = Path(__file__).parent
Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def peer() -> Callable[[str], Path]:
    """Path of a program in tests/interop/bin, the modules of npm among them; without it the test is skipped."""

    def find(name: str) -> Path:
        path = HERE / "bin" / name
        if not path.exists():
            kind = "npm" if name == "node_modules" else "go"
            pytest.skip(f"{kind} peer absent: {name} (.ci/setup builds it)")
        return path

    return find


@pytest.fixture(scope="session")
def call(peer: Callable[[str], Path]) -> Call:
    """Run a peer to its end: `call("fsck", "--ui=false", …)`."""

    def run(name: str, *words: object, timeout: float = 120, **options: object) -> subprocess.CompletedProcess[str]:
        command = [str(peer(name)), *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout, **options)  # type: ignore[call-overload,no-any-return]

    return run


@dataclass(frozen=True)
class Ours:
    """A log of ours: its home directory and what it keeps."""

    home: Path
    agreement: Agreement
    keys: dict[str, PrivateKey]

    @property
    def public(self) -> Path:
        return self.home / "log"

    @property
    def vkey(self) -> str:
        return self.agreement.document.log.vkey

    @property
    def size(self) -> int:
        return int((self.public / "checkpoint").read_bytes().split(b"\n")[1])

    def policy(self, quorum: int = 0) -> str:
        """The log and its witnesses as `pausectl policy export` writes them; quorum: another than the agreement has."""
        made = of_agreement(self.agreement)
        if quorum:
            *others, last = made.groups
            made = replace(made, groups=(*others, replace(last, threshold=quorum)))
        return policy.format(made).decode()


@pytest.fixture(scope="session")
def world() -> World:
    """Some 600 statements of labs that are not paused."""
    return World(windows=44, pause_at=None).run()


@pytest.fixture(scope="session")
def ours(world: World, tmp_path_factory: pytest.TempPathFactory) -> Ours:
    """A log of three tiles of real statements, cosigned, with superseded partial tiles."""
    folder, now = tmp_path_factory.mktemp("ours"), world.start(45)
    keys, agreement = world.keys, world.agreement
    witnesses = [
        Witness.beside(key.name, keys[principal], agreement.log_key, folder / principal)
        for principal, key in agreement.witness_keys.items()
    ]
    entries = [(raw, "") for raw in world.memory.entries[1:]]
    with Log.create(folder / "home", agreement, keys[world.roll.log], now) as log:
        for at in range(0, len(entries), 173):
            log.append(entries[at : at + 173])
        log.cosign([partial(witness.cosign, now=now) for witness in witnesses], now)
    return Ours(folder / "home", agreement, keys)


class Process:
    """`pausectl` with these words, once it listens. url: where."""

    def __init__(self, *words: object) -> None:
        command = [sys.executable, "-m", "pausectl", *map(str, words), "--listen", "127.0.0.1:0"]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.said: list[str] = []
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.said.append(line)
            found = re.search(r"listening on (http://[0-9.:]+)", line)
            if found:
                self.url = found.group(1)
                break
        else:
            raise AssertionError("".join(self.said))
        self._reader = threading.Thread(target=self._listen, args=(self._process.stderr,))
        self._reader.start()

    def _listen(self, lines: Iterable[str]) -> None:
        self.said.extend(lines)

    def stop(self) -> int:
        """Exit status after SIGTERM."""
        self._process.terminate()
        status = self._process.wait(30)
        self._reader.join()
        assert self._process.stderr is not None
        self._process.stderr.close()
        return status


@pytest.fixture(scope="session")
def process() -> type[Process]:
    """`process("witness", "serve", …)`; whoever starts one stops it."""
    return Process


@dataclass(frozen=True)
class Live(Ours):
    """A log of ours that is being served. receipts: (entry, tlog-proof) of what was handed in over HTTP."""

    url: str
    receipts: list[tuple[bytes, bytes]]


@pytest.fixture(scope="session")
def live(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """`pausectl log serve` with three witness processes, 500 entries and 40 more that came in by POST /add."""
    folder, keys, agreement = tmp_path_factory.mktemp("live"), world.keys, world.agreement
    said = [raw for _, raw, _ in world.said]
    with Log.create(folder / "home", agreement, keys[world.roll.log], world.start(45)) as log:
        log.add(said[:500])
    files = {name: folder / f"{name}.key" for name in (world.roll.log, *agreement.witness_keys)}
    for principal, path in files.items():
        name = agreement.witness_keys[principal].name if principal in agreement.witness_keys else agreement.log_key.name
        path.write_bytes(keyfile.format_key(name, keys[principal], passphrase=None, salt=b"", nonce=b""))
    running = []
    try:
        vkey = agreement.document.log.vkey
        for name in agreement.witness_keys:
            words = ("--key", files[name], "--log", vkey, "--init")
            running.append(Process("witness", "serve", folder / name, *words))
        asked = [word for each in running for word in ("--witness", each.url)]
        server = Process("log", "serve", folder / "home", "--key", files[world.roll.log], *asked, "--rate", 1000)
        running.append(server)
        with ThreadPoolExecutor(16) as pool:
            proofs = list(pool.map(partial(submit, server.url), said[500:540]))
        yield Live(folder / "home", agreement, keys, server.url, list(zip(said[500:540], proofs, strict=True)))
    finally:
        stopped = [each.stop() for each in reversed(running)]
    assert set(stopped) == {0}


def submit(url: str, entry: bytes) -> bytes:
    answer = client.post(f"{url}/add", entry, timeout=30, max_bytes=1 << 16)
    assert answer.status == 200, answer.body
    return answer.body


@pytest.fixture
def copy(ours: Ours, tmp_path: Path) -> Path:
    """The public files again, to be damaged."""
    shutil.copytree(ours.public, tmp_path / "copy")
    for path in (tmp_path / "copy").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return tmp_path / "copy"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="session")
def publish() -> Iterator[Callable[[Path], str]]:
    """URL at which a directory is served as any web server would."""
    running: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    def serve(directory: Path) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=os.fspath(directory)))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="session")
def go_key() -> Callable[[str, PrivateKey], str]:
    """A private key as golang.org/x/mod/sumdb/note writes it."""

    def write(vkey: str, key: PrivateKey) -> str:
        name, key_id, _ = vkey.split("+", 2)
        return f"PRIVATE+KEY+{name}+{key_id}+{base64(bytes([1]) + key.seed)}"

    return write
