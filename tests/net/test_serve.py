# SPDX-License-Identifier: Apache-2.0
"""A server on loopback and what strangers do to it: every status, every limit."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from urllib.parse import urlsplit

import pytest

from pausectl.errors import Broken, Forged, Malformed, Refused, Unavailable, UsageFault
from pausectl.net import client
from pausectl.net.door import Answer, Busy, Door, Request, Throttled
from pausectl.net.limits import Limits

LIMITS = Limits(header_seconds=1, body_seconds=1, rate=1, burst=3)


def speak(url: str, said: bytes, *, wait: float = 10) -> bytes:
    """All that a server answers to raw bytes until it closes."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=wait) as opened:
        opened.sendall(said)
        heard = b""
        while part := opened.recv(65_536):
            heard += part
    return heard


def ask(url: str, path: str = "", *, body: bytes | None = None) -> Answer:
    if body is None:
        return client.get(url + path, timeout=10, max_bytes=1 << 20)
    return client.post(url + path, body, timeout=10, max_bytes=1 << 20)


def echo(request: Request) -> Answer:
    return Answer(200, repr((request.method, request.path, request.query, len(request.body))).encode())


def raising(error: Exception):
    def handle(_: Request) -> Answer:
        raise error

    return handle


# ── finding a door ──


def test_a_door_is_an_exact_path_or_a_prefix(hall):
    url = hall([Door("GET", "/one", echo), Door("GET", "/many/", echo, inline=True)]).url
    assert ask(url, "/one").body == b"('GET', '/one', '', 0)"
    assert ask(url, "/many/x/../%2e?y=1").body == b"('GET', '/many/x/../.', 'y=1', 0)"
    assert [ask(url, path).status for path in ("/", "/one/", "/many", "/ONE", "/nowhere")] == [404] * 5


def test_another_method_is_405_and_head_is_get_without_a_body(hall):
    url = hall([Door("GET", "/one", lambda _: Answer(200, b"hello")), Door("POST", "/two", echo, max_body=9)]).url
    assert ask(url, "/one", body=b"x").status == 405
    assert ask(url, "/two").status == 405
    heard = speak(url, b"HEAD /one HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert heard.startswith(b"HTTP/1.1 200")
    assert b"content-length: 5\r\n" in heard
    assert heard.endswith(b"\r\n\r\n")


def test_a_range_is_not_answered_with_a_part(hall):
    url = hall([Door("GET", "/one", lambda _: Answer(200, b"hello"))]).url
    ranges = b",".join(b"%d-%d" % (at, at) for at in range(500))
    heard = speak(url, b"GET /one HTTP/1.1\r\nhost: x\r\nrange: bytes=" + ranges + b"\r\nconnection: close\r\n\r\n")
    assert heard.startswith(b"HTTP/1.1 200")
    assert heard.endswith(b"hello")


# ── what a handler says ──


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Malformed("no"), 400), (UsageFault("no"), 400), (Refused("no"), 403), (Forged("no"), 403),
        (Throttled("no", after=7), 429), (Unavailable("no"), 503), (Busy("no", after=7), 503), (Broken("no"), 500),
        (ZeroDivisionError("secret"), 500),
    ],
)  # fmt: skip
@pytest.mark.parametrize("inline", [True, False])
def test_an_error_is_a_status_and_one_line(hall, error, status, inline):
    answer = ask(hall([Door("GET", "/", raising(error), inline=inline)]).url, "/x")
    assert answer.status == status
    assert answer.body == (b"internal error\n" if status == 500 else b"no\n")
    assert answer.headers.get("retry-after") == ("7" if isinstance(error, Busy | Throttled) else None)


def test_an_error_quotes_no_line_break_and_no_path_of_ours(hall):
    doors = [
        Door("GET", "/theirs", raising(Malformed("found '\n\x1b[31m\u202e'", where="envelope"))),
        Door("GET", "/ours", raising(Unavailable("cannot be read", where="/var/lib/secret"))),
    ]
    url = hall(doors).url
    assert ask(url, "/theirs").body == b"envelope: found '\\n\\x1b[31m\\u202e'\n"
    assert ask(url, "/ours").body == b"cannot be read\n"


def test_a_bug_is_written_down_and_the_server_goes_on(hall):
    opened = hall([Door("GET", "/bug", raising(ZeroDivisionError("what"))), Door("GET", "/one", echo)])
    assert ask(opened.url, "/bug").status == 500
    assert ask(opened.url, "/one").status == 200
    opened.close()
    assert "ZeroDivisionError: what" in json.loads(opened.lines[0])["error"]


def test_a_handler_may_answer_later_and_from_anywhere(hall):
    pending: Future[Answer] = Future()
    threading.Timer(0.05, pending.set_result, [Answer(200, b"later")]).start()
    url = hall([Door("GET", "/", lambda _: pending, inline=True)]).url
    assert ask(url, "/x").body == b"later"


def test_a_door_may_have_statuses_of_its_own(hall):
    url = hall([Door("GET", "/", raising(Refused("no")), status=lambda _: 409)]).url
    assert ask(url, "/x").status == 409


# ── bodies: HTTP-1 and HTTP-2 ──


def test_a_body_of_the_limit_is_taken_and_a_byte_more_is_413(hall):
    url = hall([Door("POST", "/add", echo, max_body=65_535)]).url
    assert ask(url, "/add", body=bytes(65_535)).body == b"('POST', '/add', '', 65535)"
    assert ask(url, "/add", body=bytes(65_536)).status == 413


def test_ten_megabytes_are_413_whether_announced_or_not(hall):
    url = hall([Door("POST", "/add", echo, max_body=65_535)]).url
    assert ask(url, "/add", body=bytes(10_000_000)).status == 413
    chunk = b"%x\r\n" % 100_000 + bytes(100_000) + b"\r\n"
    heard = speak(url, b"POST /add HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" + chunk)
    assert heard.startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("length", [b"-1", b"+1", b"1e3", b"9" * 30, b"1, 1", b""])
def test_an_odd_content_length_is_no_body(hall, length):
    url = hall([Door("POST", "/add", echo, max_body=65_535)]).url
    heard = speak(
        url, b"POST /add HTTP/1.1\r\nhost: x\r\ncontent-length: " + length + b"\r\nconnection: close\r\n\r\nabc"
    )
    assert heard[9:12] in (b"400", b"413")


def test_a_trickling_body_is_408_and_the_connection_ends(hall):
    url = hall([Door("POST", "/add", echo, max_body=65_535)], limits=LIMITS).url
    begun = time.monotonic()
    assert speak(url, b"POST /add HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc").startswith(b"HTTP/1.1 408")
    assert time.monotonic() - begun < 8


def test_http_9_half_a_head_and_no_head_are_hung_up_on_while_others_are_answered(hall):
    url = hall([Door("GET", "/one", echo, inline=True)], limits=LIMITS).url
    parts = urlsplit(url)
    slow = [socket.create_connection((parts.hostname, parts.port), timeout=8) for _ in range(300)]
    try:
        for place, each in enumerate(slow):
            each.sendall(b"GET /one HTTP/1.1\r\nho" if place % 2 else b"")
        assert ask(url, "/one").status == 200
        assert all(each.recv(1 << 16)[:12] in (b"", b"HTTP/1.1 408") for each in slow)
    finally:
        for each in slow:
            each.close()


def test_a_client_that_goes_away_half_way_harms_nobody(hall):
    opened = hall([Door("POST", "/add", echo, max_body=65_535)])
    parts = urlsplit(opened.url)
    with socket.create_connection((parts.hostname, parts.port)) as gone:
        gone.sendall(b"POST /add HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc")
    assert ask(opened.url, "/add", body=b"x").status == 200


def test_a_head_of_a_megabyte_is_refused(hall):
    url = hall([Door("GET", "/one", echo)]).url
    try:
        heard = speak(url, b"GET /one HTTP/1.1\r\nhost: x\r\ny: " + b"z" * 1_000_000 + b"\r\n\r\n")
    except ConnectionError:
        heard = b""
    assert heard[:12] in (b"", b"HTTP/1.1 431")
    assert ask(url, "/one").status == 200


# ── shares: HTTP-3 ──


def test_one_party_is_429_others_and_reads_are_not(hall):
    doors = [
        Door("POST", "/add", lambda _: Answer(200), max_body=9, party=lambda request: request.body.decode()),
        Door("GET", "/one", lambda _: Answer(200)),
    ]
    url = hall(doors, limits=LIMITS).url
    assert [ask(url, "/add", body=b"a").status for _ in range(5)] == [200, 200, 200, 429, 429]
    assert int(ask(url, "/add", body=b"a").headers["retry-after"]) >= 1
    assert ask(url, "/add", body=b"b").status == 200
    assert {ask(url, "/one").status for _ in range(20)} == {200}


def test_what_we_could_not_answer_uses_up_no_share(hall):
    url = hall([Door("POST", "/add", raising(Busy("full")), max_body=9, party=lambda _: "a")], limits=LIMITS).url
    assert {ask(url, "/add", body=b"a").status for _ in range(10)} == {503}


@pytest.mark.parametrize(("proxies", "seen"), [((), b"127.0.0.1"), (("127.0.0.1",), b"192.0.2.7")])
def test_a_proxy_is_believed_only_if_it_is_ours(hall, proxies, seen):
    doors = [Door("GET", "/", lambda request: Answer(200, request.client.encode()))]
    url = hall(doors, limits=Limits(proxies=frozenset(proxies))).url
    head = b"GET /x HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 198.51.100.1, 192.0.2.7\r\nconnection: close\r\n\r\n"
    assert speak(url, head).endswith(b"\r\n\r\n" + seen)


# ── what is written down ──


def test_the_access_log_is_one_line_of_json_whatever_was_asked(hall):
    opened = hall([Door("GET", "/one", echo), Door("POST", "/add", echo, max_body=99)])
    ask(opened.url, '/no%0A{"status":200}?secret=1')
    ask(opened.url, "/" + "x" * 5_000)
    ask(opened.url, "/add", body=b"hidden")
    opened.close()
    lines = [json.loads(each) for each in opened.lines]
    assert [(each["status"], each["method"]) for each in lines] == [(404, "GET"), (404, "GET"), (200, "POST")]
    assert lines[0]["path"] == '/no\n{"status":200}'
    assert len(lines[1]["path"]) == 256
    assert "secret" not in str(lines)
    assert "hidden" not in str(lines)


def test_metrics_have_no_label_that_a_stranger_chose(hall):
    url = hall([Door("GET", "/many/", echo)]).url
    for path in ("/many/stranger", "/stranger"):
        ask(url, path)
    speak(url, b"STRANGER /many/x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    numbers = ask(url, "/metrics").body.decode()
    assert 'pausectl_http_requests_total{door="/many/",method="GET",status="200"} 1.0' in numbers
    assert 'pausectl_http_requests_total{door="other",method="GET",status="404"} 1.0' in numbers
    assert 'pausectl_http_requests_total{door="/many/",method="other",status="405"} 1.0' in numbers
    assert "stranger" not in numbers.lower()


def test_health_says_what_is_wrong(hall):
    trouble = [""]
    url = hall([], health=lambda: trouble[0]).url
    assert ask(url, "/health").body == b"ok\n"
    trouble[0] = "the writer has ended"
    assert (ask(url, "/health").status, ask(url, "/health").body) == (503, b"the writer has ended\n")


# ── beginning and end ──

PROGRAM = """
import sys, time
from pausectl.net.door import Answer, Door
from pausectl.net.serve import application, serve

def slow(_):
    print("begun", flush=True)
    time.sleep(0.5)
    return Answer(200, b"whole")

serve(application([Door("GET", "/slow", slow)]), "127.0.0.1", 0, announce=lambda text: print(text, flush=True))
print("ended")
"""


def test_sigterm_ends_it_after_what_is_under_way_and_an_idle_connection_holds_nothing_up():
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        url = process.stdout.readline().decode().strip().removeprefix("listening on ")
        parts = urlsplit(url)
        with (
            socket.create_connection((parts.hostname, parts.port), timeout=10) as idle,
            socket.create_connection((parts.hostname, parts.port), timeout=10) as busy,
        ):
            idle.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
            assert idle.recv(1 << 16).startswith(b"HTTP/1.1 200")
            busy.sendall(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
            assert process.stdout.readline() == b"begun\n"
            os.kill(process.pid, signal.SIGTERM)
            assert busy.recv(1 << 16).endswith(b"whole")
        assert process.stdout.readline() == b"ended\n"
    assert process.returncode == 0


def test_two_servers_cannot_share_an_address(hall):
    from pausectl.net.serve import application, serve

    port = urlsplit(hall([]).url).port
    with pytest.raises(UsageFault, match="cannot listen: Address already in use"):
        serve(application([]), "127.0.0.1", port, announce=print)


def test_a_server_ends_with_the_error_of_what_it_depends_on():
    from pausectl.net.serve import application, serve

    until: Future[None] = Future()
    with pytest.raises(Broken, match="the writer"):
        serve(
            application([]), "127.0.0.1", 0, until=until,
            announce=lambda _: until.set_exception(Broken("the writer has ended")),
        )  # fmt: skip
