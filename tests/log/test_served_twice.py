# SPDX-License-Identifier: Apache-2.0
"""One log, served from PostgreSQL and S3 by two processes, of which one is killed: nothing acknowledged is lost."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pausectl.durable import Disk
from pausectl.errors import Unavailable
from pausectl.history import receipt
from pausectl.history.tiles import Tiles
from pausectl.log.log import Log
from pausectl.log.storage import config
from pausectl.log.storage.config import Places
from pausectl.net import client
from pausectl.net.door import Answer, Door
from pausectl.sim import terms
from pausectl.wire import checkpoint, dsse, keyfile, proof
from pausectl.wire.tile import bundles_for

CROWD = 8
EACH = 12


class Server:
    """`pausectl log serve`, and where it listens."""

    def __init__(self, home: Path, key: Path, witnesses):
        command = [sys.executable, "-m", "pausectl", "log", "serve", home, "--key", key, "--listen", "127.0.0.1:0"]
        for url in witnesses:
            command += ["--witness", url]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.lines, self.ready = [], threading.Event()
        self.reader = threading.Thread(target=self._read)
        self.reader.start()
        assert self.ready.wait(60)
        self.url = next(line for line in map(json.loads, self.lines) if "listening" in line["message"])["message"]
        self.url = self.url.removeprefix("listening on ")

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line)
            if "listening on" in line:
                self.ready.set()
        self.ready.set()

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        code = self.process.wait(60)
        self.reader.join()
        self.process.stderr.close()
        return code


def test_two_servers_of_one_log_of_which_one_is_killed(world, hall, postgres, s3, tmp_path, capsys):
    places = Places(f"{s3.url}/{tmp_path.name}", f"{postgres.url}#{tmp_path.name}")
    key = tmp_path / "log.key"
    key.write_bytes(keyfile.format_key(terms.ORIGIN, world.signer, passphrase=None, salt=b"", nonce=b""))
    key.chmod(0o600)
    one_at_a_time = threading.Lock()

    def door(place: int, ask) -> Door:
        def handle(request) -> Answer:
            with one_at_a_time:
                said = ask(request.body)
            if said.startswith("— ".encode()):
                return Answer(200, said)
            return Answer(409, said, "text/x.tlog.size")

        return Door("POST", f"/{place}/add-checkpoint", handle, max_body=1 << 20)

    asks = world.witnesses(tmp_path / "witnesses")
    witnesses = hall([door(place, ask) for place, ask in enumerate(asks)])
    urls = [f"{witnesses.url}/{place}" for place in range(len(asks))]
    world.create(places=places).close()
    Log.join(tmp_path / "other", world.agreement, world.signer, places).close()
    servers = [Server(world.home, key, urls), Server(tmp_path / "other", key, urls)]
    told: list[tuple[int, bytes]] = []
    busy, killed = [], threading.Event()

    def submit(number: int) -> None:
        for turn in range(EACH):
            entry = world.entry(number * EACH + turn // 2 * 2)  # each twice, of which the second is a duplicate
            for attempt in range(200):
                at = servers[(number + turn + attempt) % 2]
                try:
                    answer = client.post(f"{at.url}/add", entry, timeout=60, max_bytes=1 << 20)
                except Unavailable:
                    continue  # it is dead, or died with the answer
                if answer.status == 200:
                    told.append((proof.parse(answer.body).index, entry))
                    receipt.check(proof.parse(answer.body), entry, world.agreement)
                    break
                assert answer.status == 503, answer
                busy.append(answer.body)
                threading.Event().wait(0.2)
            else:
                raise AssertionError("nobody took it")
            if len(told) > CROWD * EACH // 3 and not killed.is_set():
                killed.set()
                servers[1].process.kill()

    try:
        with ThreadPoolExecutor(CROWD) as pool:
            list(pool.map(submit, range(CROWD)))
        assert killed.is_set()
        shown = client.get(f"{servers[0].url}/checkpoint", timeout=30, max_bytes=1 << 16).body
    finally:
        codes = servers[1].end(9), servers[0].end(15)
        print(*[line for line in servers[0].lines if "message" in line], sep="")  # why it failed, if it did
    assert codes == (-9, 0), servers[0].lines[-3:]
    found = check(world, config.open(tmp_path / "reader", places, Disk()), told, shown)
    with capsys.disabled():
        print(f"\n{len(told)} receipts, {len(found)} entries, {len(busy)} times busy, one server of two killed")


def check(world, store, told, shown) -> list[bytes]:
    """The entries, each there once, those that were told where they were told, under a head that extends `shown`."""
    head = checkpoint.open(store.head.read(), world.agreement.log_key)[0]
    tiles = Tiles(store.objects.get, head.size, head.root)
    found = [entry for bundle in bundles_for(head.size) for entry in tiles.bundle(bundle)]
    ids = [dsse.parse(entry).statement_id for entry in found]
    store.close()
    assert len(ids) == len(set(ids))
    assert all(found[index] == entry for index, entry in told)
    seen = checkpoint.open(shown, world.agreement.log_key)[0]
    assert tiles.root(seen.size) == seen.root
    return found
