# SPDX-License-Identifier: Apache-2.0
"""Other people's witnesses of our log, and other people's load on our witness.

`omniwitness` and `loadtest` are of transparency-dev, `litewitness` is torchwood's. Their keys are ones that the
agreement of our simulated world has, in the formats in which each of them reads its own.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pausectl.agreement.document import Agreement
from pausectl.agreement.types import seconds
from pausectl.errors import Unavailable
from pausectl.history.reader import open_ledger, sight
from pausectl.history.source import DirectorySource
from pausectl.log.log import Log
from pausectl.log.publish import Named
from pausectl.log.witnesses import http_witness
from pausectl.net import client
from pausectl.sim import terms
from pausectl.sim.terms import demo_key
from pausectl.wire import checkpoint, keyfile, merkle, note
from pausectl.wire.keys import MLDSA44, PrivateKey, base64
from pausectl.witness.witness import Witness, origin_hash


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def go_key(name: str, key: PrivateKey) -> str:
    """As Go's note package writes a private key: the key id is that of a note key, also for a cosigner."""
    type = 6 if key.suite == MLDSA44 else 1
    keyid = hashlib.sha256(name.encode() + b"\n" + bytes([type]) + key.public.raw).digest()[:4].hex()
    return f"PRIVATE+KEY+{name}+{keyid}+{base64(bytes([type]) + key.seed)}"


class Peer:
    """A server of somebody else, from when it answers until `stop`; it can be started again."""

    def __init__(self, url: str, command: list[str], log: Path, **environment: str) -> None:
        self.url, self._command, self._log = url, command, log
        self._environment = {**os.environ, **environment}
        self.start()

    def start(self) -> None:
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(self._command, stdout=out, stderr=out, env=self._environment)
        for _ in range(200):
            try:
                client.get(self.url, timeout=1, max_bytes=1 << 20)
            except Unavailable:
                assert self._process.poll() is None, self._log.read_text()
                time.sleep(0.05)
            else:
                return
        raise AssertionError(self._log.read_text())

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)


@pytest.fixture
def start() -> Iterator[Callable[..., Peer]]:
    started: list[Peer] = []

    def build(*words: object, **options: str) -> Peer:
        started.append(Peer(*words, **options))  # type: ignore[arg-type]
        return started[-1]

    yield build
    for each in started:
        each.stop()


class World:
    """Parties, and a log that two of their four witnesses cosign right here; two are needed for its quorum of three."""

    def __init__(self, folder: Path, *, post_quantum: bool) -> None:
        self.roll = terms.Roll(post_quantum=post_quantum)
        self.keys = {name: demo_key(name) for name in terms.names(self.roll)}
        self.agreement: Agreement = terms.agree(self.roll, self.keys)
        self.second = demo_key(self.roll.log, MLDSA44) if post_quantum else None
        self.folder = folder
        pair = self.agreement.log_pair if post_quantum else (self.agreement.log_key,)
        self.near = []
        for principal, key in list(self.agreement.witness_keys.items())[:2]:
            cosigners = self.cosigners(principal)
            Witness.init(folder / principal, cosigners)
            one = Witness.open(folder / principal, cosigners)
            one.add_log(pair)
            self.near.append(Named(key.name, lambda body, one=one: one.cosign(body, lambda: int(time.time()))))

    def cosigners(self, principal: str) -> list[tuple[str, PrivateKey]]:
        name = self.agreement.witness_keys[principal].name
        keys = [self.keys[principal]] + ([demo_key(principal, MLDSA44)] if self.second else [])
        return [(name, key) for key in keys]

    def create(self, home: str = "home") -> Log:
        signer = self.keys[self.roll.log]
        return Log.create(self.folder / home, self.agreement, signer, seconds(terms.ANCHOR), second=self.second)

    def open(self, home: str = "home") -> Log:
        return Log.open(self.folder / home, self.keys[self.roll.log], second=self.second)


def lines_of(raw: bytes) -> list[str]:
    return [line.name for line in note.parse(raw).signatures]


def statement(number: int) -> bytes:
    """Whatever stands in it: it is appended without being asked what it is."""
    return b"entry %d" % number


# ── transparency-dev's witness ──


@pytest.fixture
def omniwitness(peer, start, tmp_path):
    """It is told of our log, and of a proxy that is not there, so that it leaves the logs it knows by itself alone."""

    def run(world: World, principal: str) -> Peer:
        binary, port = peer("omniwitness"), free_port()
        logs = (
            f"Logs:\n- Origin: {world.agreement.log_key.name}\n  URL: http://127.0.0.1:9/\n"
            f"  PublicKey: {note.format_vkey(world.agreement.log_key)}\n  Feeder: none\n"
        )
        (tmp_path / "logs.yaml").write_text(logs)
        words = []
        for place, (name, key) in enumerate(world.cosigners(principal)):
            (tmp_path / f"{place}.sec").write_text(go_key(name, key))
            words += ["--private_key_path", str(tmp_path / f"{place}.sec")]
        command = [
            str(binary), *words, "--additional_logs", str(tmp_path / "logs.yaml"), "--db_file",
            str(tmp_path / "omni.db"), "--listen", f"127.0.0.1:{port}", "--metrics_listen", "",
        ]  # fmt: skip
        nowhere = "http://127.0.0.1:9"
        return start(
            f"http://127.0.0.1:{port}", command, tmp_path / "omni.log", HTTPS_PROXY=nowhere, HTTP_PROXY=nowhere
        )

    return run


@pytest.mark.parametrize("post_quantum", [False, True], ids=["Ed25519", "Ed25519 and ML-DSA-44"])
def test_omniwitness_cosigns_our_log_as_it_grows(omniwitness, tmp_path, post_quantum):
    """As one of three that are needed, over a restart of both."""
    world = World(tmp_path, post_quantum=post_quantum)
    there = omniwitness(world, "zephyr")
    asked = [*world.near, http_witness(there.url)]
    with world.create() as log:
        for number in range(3):
            log.append([(statement(number), "")])
            log.cosign(asked, int(time.time()))
            assert log.complaints == ()
            assert lines_of(log.checkpoint).count("zephyr.example") == 1 + post_quantum
    there.stop()
    there.start()
    with world.open() as log:
        log.append([(statement(n), "") for n in range(3, 300)])
        log.cosign(asked, int(time.time()))
        assert log.complaints == ()
        size = log.size
    seen = sight((tmp_path / "home/log/checkpoint").read_bytes(), world.agreement)
    assert seen.checkpoint.size == size > 300
    assert open_ledger(DirectorySource(tmp_path / "home/log").fetch, world.agreement).size == size


def test_omniwitness_refuses_our_fork_and_we_call_it_one(omniwitness, tmp_path):
    """Two trees of one size, and a tree that does not extend what it cosigned."""
    world = World(tmp_path, post_quantum=False)
    there = http_witness(omniwitness(world, "zephyr").url)
    with world.create() as log:
        log.append([(statement(0), "")])
        log.close()
    shutil.copytree(tmp_path / "home", tmp_path / "other")
    with world.open() as log:
        log.append([(statement(1), "")])
        log.cosign([*world.near, there], int(time.time()))
        assert log.complaints == ()
        size = log.size
    with world.open("other") as forked:
        while forked.size < size:
            forked.append([(b"another history", "")])
        for _ in range(2):
            with pytest.raises(Unavailable, match=r"FORK SIGNAL: answered (409|422)"):
                forked.cosign([there], int(time.time()))
            forked.append([(b"and more of it", "")])


def test_omniwitness_that_was_away_is_asked_from_where_it_stands(omniwitness, tmp_path):
    world = World(tmp_path, post_quantum=False)
    there = omniwitness(world, "zephyr")
    yarrow = Witness.beside("yarrow.example", world.keys["yarrow"], world.agreement.log_key, tmp_path / "yarrow")
    others = [*world.near, Named("yarrow.example", lambda body: yarrow.cosign(body, lambda: int(time.time())))]
    with world.create() as log:
        log.cosign([*others, http_witness(there.url)], int(time.time()))
        there.stop()
        log.append([(statement(1), "")])
        log.cosign([*others, http_witness(there.url)], int(time.time()))
        assert all("cannot be reached" in told for told in log.complaints)
        assert log.cosigned
        there.start()
        log.append([(statement(2), "")])
        log.cosign([*others, http_witness(there.url)], int(time.time()))
        assert log.complaints == ()
        assert "zephyr.example" in lines_of(log.checkpoint)


# ── torchwood's witness ──


@pytest.fixture
def litewitness(peer, start, tmp_path):
    """Its key is held by an ssh-agent, its logs are rows of its database, which `witnessctl` would have written."""
    running = []

    def run(world: World, principal: str) -> Peer:
        binary, port = peer("litewitness"), free_port()
        if shutil.which("ssh-agent") is None:
            pytest.skip("ssh-agent is absent")
        [(name, key)] = world.cosigners(principal)
        private = Ed25519PrivateKey.from_private_bytes(key.seed).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
        (tmp_path / "ssh.key").write_bytes(private)
        (tmp_path / "ssh.key").chmod(0o600)
        agent = tmp_path / "agent"
        running.append(subprocess.Popen(["ssh-agent", "-D", "-a", str(agent)], stdout=subprocess.DEVNULL))
        for _ in range(100):
            if agent.exists():
                break
            time.sleep(0.05)
        added = subprocess.run(
            ["ssh-add", str(tmp_path / "ssh.key")], env={**os.environ, "SSH_AUTH_SOCK": str(agent)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert added.returncode == 0, added.stderr
        tell(tmp_path / "lite.db", world)
        command = [
            str(binary), "-db", str(tmp_path / "lite.db"), "-name", name, "-key", key.public.keyid, "-ssh-agent",
            str(agent), "-listen", f"127.0.0.1:{port}",
        ]  # fmt: skip
        return start(f"http://127.0.0.1:{port}", command, tmp_path / "lite.log")

    yield run
    for each in running:
        each.terminate()
        each.wait(20)


def tell(path: Path, world: World) -> None:
    """What `witnessctl add-log` and `add-key` do. (That program needs a module that not every Go proxy has.)"""
    db = sqlite3.connect(path)
    with db:
        db.execute("CREATE TABLE log (origin TEXT PRIMARY KEY, tree_size INTEGER NOT NULL, tree_hash TEXT NOT NULL)")
        db.execute(
            "CREATE TABLE key (origin TEXT NOT NULL, key TEXT NOT NULL, FOREIGN KEY(origin) REFERENCES log(origin))"
        )
        origin, key = world.agreement.log_key.name, note.format_vkey(world.agreement.log_key)
        db.execute("INSERT INTO log VALUES (?, 0, ?)", (origin, base64(merkle.EMPTY)))
        db.execute("INSERT INTO key VALUES (?, ?)", (origin, key))
    db.close()


def test_litewitness_cosigns_our_log_as_it_grows(litewitness, tmp_path):
    world = World(tmp_path, post_quantum=False)
    there = litewitness(world, "yarrow")
    asked = [*world.near, http_witness(there.url)]
    with world.create() as log:
        for number in range(3):
            log.append([(statement(number), "")])
            log.cosign(asked, int(time.time()))
            assert log.complaints == ()
            assert lines_of(log.checkpoint).count("yarrow.example") == 1
    there.stop()
    there.start()
    with world.open() as log:
        log.append([(statement(n), "") for n in range(3, 300)])
        log.cosign(asked, int(time.time()))
        assert log.complaints == ()
        assert "yarrow.example" in lines_of(log.checkpoint)


def test_litewitness_refuses_our_fork(litewitness, tmp_path):
    """It has its own statuses for it (403 and 409 among them, torchwood#58); nothing of it becomes a cosignature."""
    world = World(tmp_path, post_quantum=False)
    there = http_witness(litewitness(world, "yarrow").url)
    with world.create() as log:
        log.close()
    shutil.copytree(tmp_path / "home", tmp_path / "other")
    with world.open() as log:
        log.append([(statement(n), "") for n in range(4)])
        log.cosign([*world.near, there], int(time.time()))
        size = log.size
    with world.open("other") as forked:
        while forked.size < size:
            forked.append([(b"another history", "")])
        with pytest.raises(Unavailable) as caught:
            forked.cosign([there], int(time.time()))
        assert "yarrow.example" not in str(caught.value).partition("cosigned by")[2].partition(";")[0]
        assert re.search(r"answered (403|409|422)", str(caught.value)), caught.value


# ── load on ours ──


def test_loadtest_of_transparency_dev_runs_against_our_witness(process, call, tmp_path):
    """Twice: the second run finds a witness that remembers, and goes on from the sizes that our 409 tells it.

    Few a second, because it takes a machine that is busy with other tests for a slow witness.
    """
    printed = call("loadtest", "--log_count", 10)
    vkeys = re.findall(r"PublicKey: (\S+)", printed.stdout)
    assert len(vkeys) == 10, printed
    raw = keyfile.format_key("witness.example", demo_key("witness"), passphrase=None, salt=b"", nonce=b"")
    (tmp_path / "witness.key").write_bytes(raw)
    logs = [word for vkey in vkeys for word in ("--log", vkey)]
    ours = process(
        "witness", "serve", tmp_path / "state", "--init", "--key", tmp_path / "witness.key", *logs,
        "--rate", 100_000, "--burst", 100_000,
    )  # fmt: skip
    try:
        sizes = []
        for _ in range(2):
            done = call(
                "loadtest", "--log_count", 10, "--target", f"{ours.url}/", "--start_qps", 10, "--success_qps", 9,
                "--timeout", "3s", timeout=240,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr[-3000:]
            assert "Exiting successfully: QPS reached" in done.stderr
            paths = [f"/{origin_hash(note.parse_vkey(vkey).name)}/checkpoint" for vkey in vkeys]
            found = [client.get(ours.url + path, timeout=9, max_bytes=9999) for path in paths]
            sizes.append([checkpoint.parse(note.parse(each.body).text).size for each in found])
        assert all(0 < first < second for first, second in zip(*sizes, strict=True))
        said = "".join(ours.said)
        assert '"status":500' not in said.replace(" ", "")
    finally:
        assert ours.stop() == 0
