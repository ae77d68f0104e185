# SPDX-License-Identifier: Apache-2.0
"""What `pausectl demo --network` prints is what it takes: a log, two witnesses and a mirror, each a process, run so."""

from __future__ import annotations

import json
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

Words = list[str]


@dataclass(frozen=True)
class Network:
    """home: the folder. then: the commands that follow once everything runs. port: of 8100 (log), 8103 (mirror) …"""

    home: Path
    then: list[Words]
    port: Callable[[int], int]


def patience(true: Callable[[], bool], otherwise: str) -> None:
    """Wait for something that another process does, for half a minute at most."""
    until = time.monotonic() + 30
    while not true():
        assert time.monotonic() < until, otherwise
        time.sleep(0.1)


def free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def pausectl(words: Words, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pausectl", *words[1:]]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, **options)


def commands(printed: str) -> list[Words]:
    """Every line that begins with `pausectl`, continued lines put together."""
    whole = printed.replace("\\\n", " ")
    return [shlex.split(line) for line in whole.splitlines() if line.strip().startswith("pausectl ")]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    home = tmp_path_factory.mktemp("network") / "net"
    printed = pausectl(["pausectl", "demo", "--network", "--dir", str(home)])
    assert printed.returncode == 0, printed.stderr
    ports = {number: free() for number in range(8100, 8104)}
    moved = re.sub(r"127\.0\.0\.1:(810\d)", lambda found: f"127.0.0.1:{ports[int(found[1])]}", printed.stdout)
    *first, attest, submit, verify = commands(moved)
    serving, then = first, [attest, submit, verify]
    assert [words[1] for words in serving] == ["witness", "witness", "log", "mirror"]
    running = []
    try:
        for words in serving:
            told_in = home / f"{words[1]}-{len(running)}.err"
            with told_in.open("w") as told:
                command = [sys.executable, "-m", "pausectl", *words[1:]]
                running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=told))
            port = int(words[words.index("--listen") + 1].rpartition(":")[2])
            listens(port, running[-1], told_in)
        yield Network(home, then, ports.__getitem__)
    finally:
        for process in running:
            process.terminate()
        ended = [process.wait(20) for process in running]
    assert ended == [0, 0, 0, 0]


def listens(port: int, process: subprocess.Popen[bytes], told: Path) -> None:
    def there() -> bool:
        assert process.poll() is None, told.read_text()
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return False
        return True

    patience(there, f"nothing listens: {told.read_text()}")


def test_what_is_printed_then_runs(network: Network) -> None:
    attest, submit, verify = network.then
    assert pausectl(attest).returncode == 0
    handed = pausectl(submit)
    assert handed.returncode == 0, handed.stderr
    index = json.loads(handed.stdout)["index"]

    def mirrored() -> bool:
        """The mirror follows, cosigns, and reads in the log's own ledger that it has it."""
        done = pausectl([*verify, "--json"])
        told = json.loads(done.stdout)
        return done.returncode in (0, 3) and told["log"]["size"] > index and told["available"] is not None

    patience(mirrored, "the mirror does not follow, or the log does not say so")


def test_a_url_a_directory_and_a_mirror_give_the_same_json(network: Network) -> None:
    def verified(place: str) -> str:
        words = ["pausectl", "verify", place, "--agreement", str(network.home / "agreement.json"), "--json"]
        return pausectl([*words, "--at", at]).stdout

    [copy] = (network.home / "pool").rglob("checkpoint")
    at = json.loads(pausectl([*network.then[-1], "--json"]).stdout)["as_of"]
    places = [f"http://127.0.0.1:{network.port(port)}" for port in (8100, 8103)]
    places += [str(network.home / "log" / "log"), str(copy.parent)]
    found: list[str] = []

    def level() -> bool:  # the ledger may have grown by a mark just now, and the mirror follows
        found[:] = [verified(place) for place in places]
        return len({json.loads(each)["log"]["size"] for each in found}) == 1

    patience(level, "the mirror does not follow")
    assert json.loads(found[0])["log"]["size"] > 1
    log_url, mirror_url, log_folder, mirror_folder = found
    assert (log_url, mirror_url) == (log_folder, mirror_folder)
    # What a mirror holds carries its own cosignature, which the log may not have yet; all else is the same.
    log, mirror = (json.loads(each) | {"available": None} for each in (log_url, mirror_url))
    assert log == mirror
