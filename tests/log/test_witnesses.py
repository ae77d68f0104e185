# SPDX-License-Identifier: Apache-2.0
"""A log and its witnesses over HTTP: cosigning, marks, and what happens while some are down, slow or lying."""

from __future__ import annotations

import socket
import time

import pytest

from pausectl.errors import Unavailable
from pausectl.history.decode import decode
from pausectl.history.reader import open_ledger, sight
from pausectl.history.source import DirectorySource
from pausectl.log.witnesses import http_witness
from pausectl.net.door import Answer, Door
from pausectl.net.limits import Limits
from pausectl.predicates.checkpoint import Mark
from pausectl.wire import checkpoint, note, witness
from pausectl.witness.server import Doorkeeper, Numbers
from pausectl.witness.witness import Witness, origin_hash

HOUR = 3600
QUICK = Limits(rate=100_000, burst=100_000)


@pytest.fixture
def log(world):
    with world.create() as made:
        yield made


@pytest.fixture
def servers(world, hall, tmp_path):
    """Key name → (witness, URL), each behind a server of its own, at the world's time."""
    made = {}
    for name, key in world.agreement.witness_keys.items():
        one = Witness.beside(key.name, world.keys[name], world.agreement.log_key, tmp_path / "witnesses" / name)
        keeper = Doorkeeper(one, Numbers(), lambda: world.now)
        made[key.name] = one, hall(keeper.doors(), limits=QUICK).url
    return made


@pytest.fixture
def asked(servers):
    return [http_witness(url) for _, url in servers.values()]


def marks_of(world) -> list[int]:
    ledger = open_ledger(DirectorySource(world.home / "log").fetch, world.agreement)
    return [index for index, raw in ledger.entries() if isinstance(decode(raw, world.agreement.keys).claim, Mark)]


def test_a_log_is_cosigned_and_its_witnesses_show_it(world, log, servers, asked):
    log.add([world.entry(0)])
    final = log.cosign(asked, world.now)
    assert log.complaints == ()
    assert {line.name for line in note.parse(final).signatures[1:]} == set(servers)
    for one, url in servers.values():
        shown = Client(url).get(f"/{origin_hash(world.agreement.log_key.name)}/checkpoint")
        assert checkpoint.open(shown, world.agreement.log_key)[0].size == log.size == 3
        assert shown == one.checkpoint(world.agreement.log_key.name)


class Client:
    def __init__(self, url: str) -> None:
        from pausectl.net import client

        self._get = lambda path: client.get(url + path, timeout=10, max_bytes=1 << 20)

    def get(self, path: str) -> bytes:
        answer = self._get(path)
        assert answer.status == 200
        return answer.body


def test_marks_follow_each_quorum_and_never_one_another(world, log, asked):
    """LOG-21, LOG-36, with witnesses elsewhere."""
    sizes = []

    def step(seconds, entries=()):
        world.now += seconds
        log.add([world.entry(number) for number in entries])
        log.cosign(asked, world.now)
        assert log.complaints == ()
        sizes.append(log.size)

    step(0)
    for _ in range(3):
        step(HOUR)
    step(1, [0])
    step(0, [1])
    for _ in range(3):
        step(HOUR)
    assert sizes == [2, 2, 2, 2, 4, 5, 6, 6, 6]
    assert marks_of(world) == [1, 3, 5]
    assert sight(log.checkpoint, world.agreement).checkpoint.size == 6


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_one_that_is_down_is_named_by_its_url_and_delays_nobody(world, log, asked):
    down = closed_port()
    begun = time.monotonic()
    log.cosign([*asked[:3], http_witness(down)], world.now)
    assert time.monotonic() - begun < 5
    assert len(log.complaints) == 2  # for the head, and for the head with the mark
    assert all(told.startswith(f"{down}: {down}/add-checkpoint: cannot be reached") for told in log.complaints)


def test_one_that_takes_the_call_and_says_nothing_delays_one_round_only(world, log, asked):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        witnesses = [*asked[:3], http_witness(url, timeout=8)]
        log.cosign(witnesses, world.now)
        begun = time.monotonic()
        for number in range(3):
            log.add([world.entry(number)])
            log.cosign(witnesses, world.now)
            assert log.complaints == (f"{url}: has not answered yet, and was not needed",)
        assert time.monotonic() - begun < 5


def test_without_a_quorum_all_are_named(world, log, asked):
    down = [closed_port(), closed_port()]
    with pytest.raises(Unavailable) as caught:
        log.cosign([*asked[:2], *map(http_witness, down)], world.now)
    assert all(url in str(caught.value) for url in down)
    assert "missing: yarrow, zephyr" in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(409), Answer(409, b"not a size\n", witness.SIZE_TYPE), Answer(409, b"7\n", witness.SIZE_TYPE),
        Answer(422, b"another root\n"),
    ],
)  # fmt: skip
def test_one_that_knows_another_history_is_a_fork_signal_and_is_asked_once(world, log, asked, hall, answer):
    """WIT-7, WIT-3."""
    times = []

    def other(request):
        times.append(request)
        return answer

    url = hall([Door("POST", "/add-checkpoint", other, max_body=1 << 16)], limits=QUICK).url
    log.cosign([*asked[:3], http_witness(url)], world.now)
    assert len(times) == 2  # once for the head, and once for the head with the mark
    assert all(told.startswith(f"{url}: FORK SIGNAL: ") for told in log.complaints)


def test_witnesses_get_the_logs_line_only_over_http_too(world, log, asked, hall):
    """WIT-6."""
    bodies = []

    def listening(request):
        bodies.append(request.body)
        return Answer(503)

    url = hall([Door("POST", "/add-checkpoint", listening, max_body=1 << 16)], limits=QUICK).url
    for number in range(2):
        log.add([world.entry(number)])
        log.cosign([*asked[:3], http_witness(url)], world.now)
    lines = [witness.parse_request(body).signed.signatures for body in bodies]
    assert [[line.name for line in each] for each in lines] == [[world.agreement.log_key.name]] * 3


def test_an_answer_that_is_too_long_is_that_witnesss_answer_gone(world, log, asked, hall):
    def long(_):
        return Answer(200, b"\xe2\x80\x94 x " + b"A" * (1 << 17))

    url = hall([Door("POST", "/add-checkpoint", long, max_body=1 << 16)], limits=QUICK).url
    log.cosign([*asked[:3], http_witness(url)], world.now)
    assert all("expected an answer of at most" in told for told in log.complaints)


def test_a_redirect_is_not_followed(world, log, asked, hall, servers):
    [*_, (_, there)] = servers.values()

    def elsewhere(_):
        return Answer(307, headers={"location": f"{there}/add-checkpoint"})

    url = hall([Door("POST", "/add-checkpoint", elsewhere, max_body=1 << 16)], limits=QUICK).url
    log.cosign([*asked[:3], http_witness(url)], world.now)
    assert "answered 307" in log.complaints[0]
    assert b"zephyr.example" not in log.checkpoint
