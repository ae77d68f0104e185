# SPDX-License-Identifier: Apache-2.0
"""A demonstration made once, a private copy of it for each test, and a way to call the command line in this process."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pausectl import cli
from pausectl.agreement import document
from pausectl.history.decode import decode
from pausectl.history.reader import open_ledger
from pausectl.history.source import open_source
from pausectl.sim.cheats import PausedTrainer
from pausectl.sim.demo import stage
from pausectl.sim.world import World


@dataclass(frozen=True)
class Result:
    """What a command line did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """The one error line, after checking that it is the only one and that nothing else but a hint follows."""
        lines = self.err.splitlines()
        errors = [line for line in lines if line.startswith("pausectl: error: ")]
        assert len(errors) == 1, self.err
        assert all(line.startswith("pausectl: hint: ") for line in lines if line != errors[0]), self.err
        assert "Traceback" not in self.err
        assert self.code not in (0, 1)
        return errors[0].removeprefix("pausectl: error: ")


Run = Callable[..., Result]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run("verify", log, …)` in this process."""
    monkeypatch.delenv("PAUSECTL_KEY", raising=False)
    monkeypatch.delenv("PAUSECTL_PASSPHRASE_FILE", raising=False)
    monkeypatch.delenv("PAUSECTL_DEBUG", raising=False)

    def call(*arguments: object) -> Result:
        capsys.readouterr()
        code = cli.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def spawn() -> Run:
    """The same in a process of its own; keyword arguments go to subprocess.run."""

    def call(*arguments: object, **options: Any) -> Result:
        command = [sys.executable, "-m", "pausectl", *map(str, arguments)]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, **options}
        done = subprocess.run(command, text=True, check=False, timeout=60, **options)
        return Result(done.returncode, done.stdout or "", done.stderr or "")

    return call


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demonstration that nobody may change."""
    home = tmp_path_factory.mktemp("demo") / "d"
    stage(home)
    return home


@pytest.fixture
def home(demo: Path, tmp_path: Path) -> Path:
    """A demonstration of one's own."""
    return Path(shutil.copytree(demo, tmp_path / "d"))


@pytest.fixture(scope="session")
def tree() -> Callable[[Path], dict[str, str]]:
    """Path → digest of every file below a directory: what must not change. The index is a cache, made anew at will."""

    def of(root: Path) -> dict[str, str]:
        files = (Path(folder) / name for folder, _, names in os.walk(root) for name in names)
        kept = (path for path in files if not path.name.startswith("index.db"))
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}

    return of


@pytest.fixture(scope="session")
def operator() -> Callable[[Path], tuple[object, ...]]:
    """The options of somebody who has all the demonstration's keys."""

    def of(home: Path) -> tuple[object, ...]:
        witnesses = [("--witness", home / "keys" / f"{name}.key") for name in ("wharf", "xylem", "yarrow", "zephyr")]
        return ("--key", home / "keys" / "ledgerco.key", *(each for pair in witnesses for each in pair))

    return of


@pytest.fixture(scope="session")
def bodies() -> Callable[..., dict[str, Any]]:
    """`bodies(home, party, name, …)`: members of the last such statement by a party, as a body for `lab attest`."""

    def of(home: Path, party: str, name: str, facility: str | None = None) -> dict[str, Any]:
        agreement = document.parse((home / "agreement.json").read_bytes())
        found: dict[str, Any] = {}
        for _, raw in open_ledger(open_source(str(home / "log")).fetch, agreement).entries():
            claim = decode(raw, agreement.keys).claim
            if claim is None or (claim.header.party, claim.name) != (party, name):
                continue
            if facility in (None, getattr(claim, "facility", None)):
                found = claim.model_dump(mode="json")
        del found["header"]
        return found

    return of


@pytest.fixture(scope="session")
def fork(tmp_path_factory) -> Path:
    """What the same log, with the same keys and agreement, signed in another world: home of agreement.json and log/."""
    place = tmp_path_factory.mktemp("fork")
    world = World(windows=1, labs={"aurora": PausedTrainer("aurora")})
    world.show_model("aurora", "another")
    world.run()
    for name, data in world.memory.files().items():
        (place / "log" / name).parent.mkdir(parents=True, exist_ok=True)
        (place / "log" / name).write_bytes(data)
    return place


@pytest.fixture
def grow(
    run: Run, bodies: Callable[..., dict[str, Any]], operator: Callable[[Path], tuple[object, ...]]
) -> Callable[..., Result]:
    """`grow(home, now)`: one more model of aurora's, attested, added and cosigned through the command line."""

    def one_more(home: Path, now: str = "2026-08-08T00:00:00Z", name: str = "one more") -> Result:
        body = bodies(home, "aurora", "model") | {"weights_root": hashlib.sha256(name.encode()).hexdigest()}
        draft, envelope = home / f"{name}.body", home / f"{name}.envelope"
        draft.write_text(json.dumps(body))
        common = ("--agreement", home / "agreement.json", "--key", home / "keys" / "aurora.key")
        made = run("lab", "attest", "model", draft, *common, "--ledger", home / "log", "-o", envelope)
        assert made.code == 0, made.err
        return run("log", "add", envelope, "--log", home, *operator(home), "--now", now)

    return one_more


class Server:
    """A web server on loopback that answers every request with one function; `asked` are the paths.

    answer_post: the function for POST, if it is another.
    """

    def __init__(self, answer: Callable[[BaseHTTPRequestHandler], None]) -> None:
        self.answer = answer
        self.answer_post: Callable[[BaseHTTPRequestHandler], None] | None = None
        self.asked: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                server.asked.append(self.path)
                server.answer(self)

            def do_POST(self) -> None:
                server.asked.append(self.path)
                (server.answer_post or server.answer)(self)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    """Knows no page, until a test gives it an answer."""
    made = Server(lambda handler: handler.send_error(404))
    yield made
    made.close()


@pytest.fixture
def site(home: Path, server: Server) -> Server:
    """The public files of `home`, served."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        path = home / "log" / handler.path.lstrip("/")
        if not path.is_file():
            handler.send_error(404)
            return
        body = path.read_bytes()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    server.answer = answer
    return server


@pytest.fixture
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens a socket fails."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def started(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Starts the `Process` of the test's module, and sees to it that none outlives the test."""
    running = []

    def start(*arguments: object) -> Any:
        running.append(request.module.Process(*arguments))
        return running[-1]

    yield start
    for each in running:
        if each.process.poll() is None:
            each.process.kill()
        each.process.stderr.close()
        each.process.wait()
