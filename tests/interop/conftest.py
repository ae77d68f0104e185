# SPDX-License-Identifier: Apache-2.0
"""Other people's programs, as .ci/setup builds them, and a log of ours for them to read."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pausectl.agreement.document import Agreement
from pausectl.log.log import Log
from pausectl.sim.world import World
from pausectl.wire import note
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

    def policy(self, quorum: int | None = None) -> str:
        """The log and its witnesses in the format of c2sp.org/tlog-policy, as short as it can be written."""
        members = self.agreement.witness_keys
        lines = [f"log {self.vkey}"]
        lines += [f"witness {name} {note.format_vkey(key)}" for name, key in members.items()]
        lines += [f"group all-of-them {quorum or self.agreement.document.witnesses.quorum} {' '.join(members)}"]
        return "\n".join([*lines, "quorum all-of-them", ""])


@pytest.fixture(scope="session")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Ours:
    """A log of three tiles of real statements, cosigned, with superseded partial tiles."""
    world = World(windows=40, pause_at=None).run()
    folder, now = tmp_path_factory.mktemp("ours"), world.start(41)
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
