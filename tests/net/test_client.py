# SPDX-License-Identifier: Apache-2.0
"""The client against servers that say anything at all: it takes whole answers, in time, and nothing else."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from pausectl.errors import Unavailable, UsageFault
from pausectl.net import client
from pausectl.net.client import Client, Oversized
from pausectl.net.door import Answer, Door


class Raw:
    """Accepts on loopback and lets `speak(connection)` do the talking; `asked` has every request's head and body."""

    def __init__(self, speak) -> None:
        self.asked: list[bytes] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._speak = speak
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._talk, args=[connection]))
            self._threads[-1].start()

    def _talk(self, connection: socket.socket) -> None:
        connection.settimeout(20)
        with connection, contextlib.suppress(OSError):
            self._speak(self, connection)

    def hear(self, connection: socket.socket) -> bytes:
        """One request without a body; b"" when there are no more."""
        heard = b""
        while b"\r\n\r\n" not in heard:
            part = connection.recv(65_536)
            if not part:
                return b""
            heard += part
        self.asked.append(heard)
        return heard

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for each in self._threads:
            each.join()


@pytest.fixture
def raw():
    opened = []

    def build(speak) -> Raw:
        opened.append(Raw(speak))
        return opened[-1]

    yield build
    for each in opened:
        each.close()


def saying(*parts: bytes, pause: float = 0.0):
    """Hears one request and says these parts."""

    def speak(server: Raw, connection: socket.socket) -> None:
        server.hear(connection)
        for part in parts:
            connection.sendall(part)
            time.sleep(pause)

    return speak


def get(url: str, *, timeout: float = 5, max_bytes: int = 1000) -> Answer:
    return client.get(url, timeout=timeout, max_bytes=max_bytes)


def test_an_answer_of_any_status_is_an_answer(hall):
    url = hall([Door("GET", "/", lambda _: Answer(409, b"5\n", "text/x.tlog.size", {"x-own": "1"}), inline=True)]).url
    answer = get(f"{url}/x")
    assert (answer.status, answer.body, answer.type, answer.headers["x-own"]) == (409, b"5\n", "text/x.tlog.size", "1")


def test_a_redirect_is_not_followed(raw):
    server = raw(saying(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"))
    assert get(server.url).status == 302
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "head", [b"content-length: 1001\r\n", b"content-length: 99999999999\r\n", b"transfer-encoding: chunked\r\n", b""]
)
def test_more_bytes_than_were_granted_are_not_taken(raw, head):
    body = bytes(1001)
    body = b"3e9\r\n" + body + b"\r\n0\r\n\r\n" if b"chunked" in head else body
    server = raw(saying(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + body))
    with pytest.raises(Oversized, match="at most 1000 bytes"):
        get(server.url)


@pytest.mark.parametrize(
    "said",
    [
        b"", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabc", b"SSH-2.0-OpenSSH_9.2\r\n", b"\x00" * 100,
        b"HTTP/1.1 2x0 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\ny: " + b"z" * 100_000,
        b"HTTP/1.1 200 OK\r\n" + b"y: z\r\n" * 200,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-5\r\nabc",
    ],
)  # fmt: skip
def test_half_an_answer_and_no_http_are_unavailable(raw, said):
    server = raw(saying(said))
    with pytest.raises(Unavailable, match=r"^http://127.0.0.1:\d+: (cannot be reached|the answer was cut off)"):
        get(server.url)


def test_nobody_there_is_unavailable():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(Unavailable, match="Connection refused"):
        get(f"http://127.0.0.1:{port}")


@pytest.mark.parametrize(
    "parts",
    [
        [b"HTTP/1.1 200 OK\r\n", *[b"y: z\r\n"] * 100],
        [b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n", *[b"x"] * 100],
        [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", *[b"1\r\nx\r\n"] * 100],
        [b"HTTP/1.1 100 Continue\r\n\r\n"] * 100,
        [b""] * 100,
    ],
)
def test_a_trickle_is_cut_off_at_the_time_for_all_of_it(raw, parts):
    server = raw(saying(*parts, pause=0.1))
    begun = time.monotonic()
    with pytest.raises(Unavailable, match="timed out"):
        get(server.url, timeout=0.5)
    assert time.monotonic() - begun < 5  # and not the ten seconds that all of it takes


def test_a_server_that_does_not_listen_to_the_end_is_heard(raw):
    def speak(_: Raw, connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")

    server = raw(speak)
    try:
        answer = client.post(server.url, bytes(5_000_000), timeout=10, max_bytes=100)
    except Unavailable:
        return  # the reset overtook the answer, which a network may do
    assert answer.status == 413


def serving(server: Raw, connection: socket.socket) -> None:
    """Answers everything on a connection."""
    while server.hear(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


def test_a_connection_is_used_again(raw):
    connections = []

    def speak(server: Raw, connection: socket.socket) -> None:
        connections.append(connection)
        serving(server, connection)

    server = raw(speak)
    with contextlib.closing(Client(f"{server.url}/a/", timeout=5)) as opened:
        assert {opened.get(f"{number}", max_bytes=9).body for number in range(5)} == {b"ok"}
    assert len(connections) == 1
    assert server.asked[3].startswith(b"GET /a/3 HTTP/1.1\r\n")


def test_an_idle_connection_that_the_server_closed_is_replaced(raw):
    def speak(server: Raw, connection: socket.socket) -> None:
        server.hear(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    server = raw(speak)
    with contextlib.closing(Client(server.url, timeout=5)) as opened:
        for _ in range(3):
            assert opened.get("/", max_bytes=9).body == b"ok"
            time.sleep(0.05)


def test_threads_may_share_it(raw):
    server = raw(serving)
    with contextlib.closing(Client(server.url, timeout=10)) as opened, ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: opened.get("/", max_bytes=9).body, range(200)))
    assert answers == [b"ok"] * 200


@pytest.mark.parametrize(
    "url",
    [
        "", "log.example", "ftp://x", "file:///etc/passwd", "http://", "http:///x", "http://user:pw@x/", "http://x:0/",
        "http://x:99999/", "http://x:y/", "http://[::1", "http://x/#part", "http://x/\r\ny: z", "http://x y/",
    ],
)  # fmt: skip
def test_what_is_no_url_is_the_callers_mistake(url):
    with pytest.raises(UsageFault):
        get(url)


def test_no_path_makes_a_second_request_of_one(raw):
    server = raw(serving)
    with contextlib.closing(Client(server.url, timeout=5)) as opened, pytest.raises(Unavailable):
        opened.get("/x HTTP/1.1\r\nhost: y\r\n\r\nGET /", max_bytes=9)
    assert server.asked == []
