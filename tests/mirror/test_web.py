# SPDX-License-Identifier: Apache-2.0
"""A mirror and web servers that do not mean well, or do not work well; and a mirror's own doors."""

from __future__ import annotations

import gzip
import time
from contextlib import suppress
from threading import Event, Thread

import pytest

from pausectl.errors import Malformed, Unavailable
from pausectl.history.source import MAX_FILE
from pausectl.history.web import UrlSource
from pausectl.mirror.compare import Comparison, place
from pausectl.mirror.server import doors
from pausectl.mirror.watch import PATIENCE, Watch
from pausectl.net.door import Request

NOW = 1_800_000_000
ORIGIN = "log.example/mirrored"


def public(mirror):
    folder = mirror.memory.public
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ── other people's servers ──


def test_files_come_as_they_are_or_gunzipped(tree, opened, serve, say):
    log, mirror = tree(300), opened()

    def answer(handler):
        packed = "entries" in handler.path
        body = log.fetch(handler.path[1:])
        say(handler, gzip.compress(body) if packed else body, **({"Content_Encoding": "gzip"} if packed else {}))

    mirror.follow(UrlSource(serve(answer).url), NOW)
    assert public(mirror) == log.files


@pytest.mark.parametrize("what", ["checkpoint", "tile/1/000.p/1", "tile/0/000", "tile/entries/000"])
@pytest.mark.parametrize("how", ["cut", "redirect", "huge", "bomb", "error", "trickle"])
def test_one_bad_answer_is_no_copy_and_the_next_visit_goes_on(tree, opened, serve, say, what, how):
    log, mirror, bad = tree(300), opened(), [True]

    def answer(handler):
        body = log.fetch(handler.path[1:])
        if handler.path[1:] != what or not bad[0]:
            say(handler, body)
        elif how == "error":
            say(handler, b"no\n", status=500)
        elif how == "redirect":
            say(handler, b"", status=302, Location=f"http://{handler.headers['Host']}/elsewhere")
        elif how == "bomb":
            say(handler, gzip.compress(bytes(MAX_FILE + 1)), Content_Encoding="gzip")
        elif how == "huge":
            with suppress(OSError):
                say(handler, bytes(MAX_FILE + 2))
        elif how == "cut":
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(body) + 1))
            handler.end_headers()
            handler.wfile.write(body)
            handler.close_connection = True
        else:
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            with suppress(OSError):
                for at in range(len(body)):
                    handler.wfile.write(body[at : at + 1])
                    time.sleep(0.1)

    site = serve(answer)
    source = UrlSource(site.url, timeout=0.5)
    begun = time.monotonic()
    with pytest.raises((Unavailable, Malformed)):
        mirror.follow(source, NOW)
    assert time.monotonic() - begun < 5
    assert mirror.size == 0
    assert not any("elsewhere" in path for path in site.asked)
    bad[0] = False
    mirror.follow(source, NOW)
    assert public(mirror) == log.files


def test_a_few_files_are_fetched_at_a_time_and_no_more(tree, opened, serve, say):
    log, under_way, most = tree(5_000), [0], [0]

    def answer(handler):
        under_way[0] += 1
        most[0] = max(most[0], under_way[0])
        time.sleep(0.005)
        body = log.fetch(handler.path[1:])
        under_way[0] -= 1
        say(handler, body)

    mirror = opened(jobs=3)
    mirror.follow(UrlSource(serve(answer).url), NOW)
    assert public(mirror) == log.files
    assert 2 <= most[0] <= 4


# ── visits that go on ──


class Heard(list):
    def __call__(self, line: str) -> None:
        self.append(line)


def watching(mirror, source, others=()):
    heard = Heard()
    return Watch(mirror, source, Comparison(mirror, others), clock=lambda: NOW, say=heard), heard


def visits(watch, count: int) -> None:
    """So many visits, as fast as they go."""
    for _ in range(count):
        watch._visit()


def test_an_outage_is_said_once_and_so_is_its_end(tree, opened):
    log, mirror = tree(5), opened()
    watch, heard = watching(mirror, log)
    log.changed["checkpoint"] = None
    visits(watch, 5)
    assert heard == ["log/checkpoint: no such file"]
    assert watch.trouble
    log.changed.clear()
    visits(watch, 3)
    assert heard[1:] == ["log: 5 entries, 5 of them new", "log: all is well again, 5 entries"]
    assert (watch.trouble, watch.code) == ("", 0)


def test_a_fork_is_said_once_ends_with_4_and_what_is_held_stays(tree, opened):
    mirror = opened()
    mirror.follow(tree(5), NOW)
    before = public(mirror)
    watch, heard = watching(mirror, tree(9, other=1))
    visits(watch, 3)
    assert len(heard) == 1
    assert "two histories" in heard[0]
    assert "convicts the log" in heard[0]
    assert (watch.code, public(mirror)) == (4, before)


def test_the_comparison_goes_on_when_the_log_does_not_answer(tree, opened):
    log, mirror, other = tree(5), opened(), tree(0)
    mirror.follow(log, NOW)
    other.files = {f"{place(ORIGIN)}/checkpoint": tree(4, other=1).files["checkpoint"]}
    log.changed["checkpoint"] = None
    watch, heard = watching(mirror, log, [other])
    visits(watch, 2)
    assert watch.code == 4
    assert len(heard) == 1


def test_a_witness_that_is_ahead_is_said_after_some_patience(tree, opened):
    log, mirror, ahead = tree(5), opened(), tree(0)
    ahead.name = "w.example"
    ahead.files = {f"{place(ORIGIN)}/checkpoint": tree(9).files["checkpoint"]}
    watch, heard = watching(mirror, log, [ahead])
    visits(watch, PATIENCE - 1)
    assert heard == ["log: 5 entries, 5 of them new"]
    visits(watch, 3)
    assert heard[1:] == ["w.example: shows 9 entries, of which the log shows 5"]
    log.changed["checkpoint"], log.files = None, tree(9).files
    log.changed.clear()
    visits(watch, 2)
    assert heard[2:] == ["log: 9 entries, 4 of them new", "w.example: shows what is held here again"]


def test_once_raises_what_is_wrong_and_3_says_that_somebody_was_not_compared(tree, opened):
    log, mirror, silent = tree(5), opened(), tree(0)
    silent.name, silent.files = "w.example", {}
    assert watching(mirror, log)[0].once() == 0
    assert watching(mirror, log, [silent])[0].once() == 3
    log.changed["checkpoint"] = None
    with pytest.raises(Unavailable):
        watching(mirror, log)[0].once()


def test_it_waits_longer_while_the_log_is_away_and_ends_when_told(tree, opened):
    log, mirror = tree(5), opened()
    log.changed["checkpoint"] = None
    watch, _ = watching(mirror, log)
    stop = Event()
    thread = Thread(target=watch.run, args=(0.02, stop))
    thread.start()
    time.sleep(0.7)
    stop.set()
    thread.join(timeout=5)
    assert not thread.is_alive()
    assert 3 <= len(log.asked) <= 7, "0.02 s, 0.04 s, 0.08 s, …"


# ── its own doors: MIR-10 ──


@pytest.fixture
def ask(tree, opened):
    """`ask(path)`: (status, body) by the doors of a mirror that holds 300 entries."""
    mirror = opened(name="mirror.example")
    mirror.follow(tree(300), NOW)
    found = doors(mirror.memory.public, ORIGIN)

    def one(path: str):
        door = next(d for d in found if d.path == path or (d.path.endswith("/") and path.startswith(d.path)))
        try:
            answer = door.handle(Request("GET", path))
        except (Malformed, Unavailable) as error:
            return door.status(error), b"", {}
        return answer.status, answer.body, answer.headers

    one.mirror = mirror
    return one


def test_everything_is_served_at_both_places(ask):
    for path, data in public(ask.mirror).items():
        for prefix in ("", f"/{place(ORIGIN)}"):
            status, body, headers = ask(f"{prefix}/{path}")
            assert (status, body) == (200, data)
            assert ("immutable" in headers["cache-control"]) == (path != "checkpoint")


@pytest.mark.parametrize(
    "path",
    [
        "/tile/0/000.p/1", "/tile/0/../../state/held", "/tile/0/00", "/tile/", "/tile/0/001", "/tile/entries/x000/001",
        "/tile/0/.000.tmp", "/key/abc", f"/key/{'0' * 64}", "/key/../../state/held", f"/{place(ORIGIN)}/tile/0/000.p/9",
        "/tile/0/000/../000", "/tile/64/000", f"/{place(ORIGIN)}/key/{'A' * 64}",
    ],
)  # fmt: skip
def test_no_other_path_is_served(ask, path):
    assert ask(path)[0] == 404


def test_before_there_is_anything_there_is_nothing(opened):
    mirror = opened()
    found = doors(mirror.memory.public, ORIGIN)
    assert next(d for d in found if d.path == "/checkpoint").handle(Request("GET", "/checkpoint")).status == 404
