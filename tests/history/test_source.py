# SPDX-License-Identifier: Apache-2.0
"""Directories, zips and URLs: whole files or an error, never part of one, and no file that nobody asked for."""

from __future__ import annotations

import gzip
import threading
import zipfile
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pausectl.agreement.document import Agreement
from pausectl.errors import Malformed, Unavailable, UsageFault
from pausectl.history.source import MAX_FILE, DirectorySource, ZipSource, open_source
from pausectl.history.web import UrlSource
from pausectl.sim.world import World
from pausectl.verify.audit import verify

TILE = "tile/0/000.p/2"


def put(path: Path, members: list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as pocket:
        for name, data in members:
            pocket.writestr(name, data)
    return path


# ── directory ──


def test_directory(tmp_path):
    (tmp_path / "tile/0/000.p").mkdir(parents=True)
    (tmp_path / TILE).write_bytes(b"x" * 64)
    source = open_source(str(tmp_path), offline=True)
    assert source.fetch(TILE) == b"x" * 64
    for absent in ("tile/0/001", "nosuch", f"{TILE}/deeper", "tile/0"):
        with pytest.raises(Unavailable):
            source.fetch(absent)


def test_directory_file_larger_than_any_published_one(tmp_path):
    with (tmp_path / "checkpoint").open("wb") as file:
        file.truncate(MAX_FILE + 1)
    with pytest.raises(Malformed, match="at most"):
        DirectorySource(tmp_path).fetch("checkpoint")


def test_a_place_that_is_none(tmp_path):
    with pytest.raises(UsageFault, match="no such directory or bundle"):
        open_source(str(tmp_path / "nowhere"))


@pytest.mark.parametrize("url", ["ftp://log.example", "file:///etc", "gopher://x"])
def test_other_schemes_are_refused(url):
    with pytest.raises(UsageFault, match="expected http or https"):
        open_source(url)


def test_offline_opens_no_url():
    with pytest.raises(UsageFault, match="--offline"):
        open_source("https://log.example", offline=True)


# ── zip ──


def test_read_6_a_path_twice(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = put(tmp_path / "twice.zip", [("checkpoint", b"one"), ("checkpoint", b"two")])
    with pytest.raises(Malformed, match="once"):
        ZipSource(path)


def test_read_6_a_path_that_is_the_same_up_to_a_nul(tmp_path):
    """zipfile cuts names at NUL, so these two are one path to it."""
    path = put(tmp_path / "nul.zip", [("checkpoint", b"one"), ("checkpointX", b"two")])
    path.write_bytes(path.read_bytes().replace(b"checkpointX", b"checkpoint\0"))
    with pytest.raises(Malformed, match="once"):
        ZipSource(path)


def test_a_bomb_is_not_unpacked(tmp_path):
    path = put(tmp_path / "bomb.zip", [("checkpoint", bytes(MAX_FILE + 10_000_000))])
    assert path.stat().st_size < 200_000
    with pytest.raises(Malformed, match="at most"):
        ZipSource(path).fetch("checkpoint")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_methods_are_refused_before_they_unpack_anything(tmp_path, method):
    path = put(tmp_path / "odd.zip", [("checkpoint", b"x" * 100)], method)
    with pytest.raises(Malformed, match="stored or deflated"):
        ZipSource(path).fetch("checkpoint")


def test_names_in_a_zip_lead_nowhere(tmp_path):
    """Paths come from the tree and never from the zip: what else it holds is not looked at."""
    (tmp_path / "secret").write_bytes(b"not in the zip")
    path = put(tmp_path / "evil.zip", [("../secret", b"a"), ("/etc/passwd", b"b"), ("checkpoint", b"c")])
    source = ZipSource(path)
    before = sorted(p.name for p in tmp_path.iterdir())
    assert source.fetch("checkpoint") == b"c"
    for name in ("secret", "etc/passwd", "../evil.zip"):
        with pytest.raises(Unavailable):
            source.fetch(name)
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_an_encrypted_member(tmp_path):
    path = put(tmp_path / "locked.zip", [("checkpoint", b"x")], zipfile.ZIP_STORED)
    raw = bytearray(path.read_bytes())
    raw[6] |= 1  # the flag in the local header
    raw[raw.index(b"PK\x01\x02") + 8] |= 1  # and in the directory
    path.write_bytes(bytes(raw))
    with pytest.raises(Malformed, match="damaged bundle"):
        ZipSource(path).fetch("checkpoint")


@pytest.fixture(scope="module")
def pocket(tmp_path_factory) -> tuple[bytes, list[str]]:
    members = [("checkpoint", b"note\n" * 40), (TILE, bytes(range(64))), ("tile/entries/000.p/2", b"entry" * 30)]
    path = put(tmp_path_factory.mktemp("zip") / "pocket.zip", members)
    return path.read_bytes(), [name for name, _ in members]


def read_all(path: Path, names: list[str]) -> list[bytes] | None:
    try:
        source = ZipSource(path)
        return [source.fetch(name) for name in names]
    except (Malformed, Unavailable):
        return None


def test_a_zip_that_is_cut_anywhere(tmp_path, pocket):
    raw, names = pocket
    path = tmp_path / "cut.zip"
    for length in range(len(raw)):
        path.write_bytes(raw[:length])
        assert read_all(path, names) is None, length


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_zip_is_malformed_or_reads_the_same(tmp_path, pocket, data):
    """No byte of a member can change unnoticed: the directory has its checksum."""
    raw, names = pocket
    damaged = bytearray(raw)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    path = tmp_path / "damaged.zip"
    path.write_bytes(bytes(damaged))
    whole = tmp_path / "whole.zip"
    whole.write_bytes(raw)
    found = read_all(path, names)
    assert found is None or found == read_all(whole, names)


# ── URL ──


class Site(BaseHTTPRequestHandler):
    """Says about each path what the test put into `answers`: status, headers, body, and how much of it to send."""

    answers: dict[str, tuple[int, dict[str, str], bytes]]
    asked: list[str]

    def do_GET(self):
        self.asked.append(self.path)
        status, headers, body = self.answers.get(self.path, (404, {}, b"no"))
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Quiet."""


@pytest.fixture
def site() -> Iterator[tuple[str, type[Site]]]:
    handler = type("Handler", (Site,), {"answers": {}, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", handler
    server.shutdown()
    thread.join()
    server.server_close()


def test_url(site):
    url, handler = site
    handler.answers = {"/log/checkpoint": (200, {}, b"note")}
    assert open_source(f"{url}/log/").fetch("checkpoint") == b"note"
    assert handler.asked == ["/log/checkpoint"]


def test_gzip_that_nobody_asked_for(site):
    url, handler = site
    handler.answers = {"/tile/0/000": (200, {"Content-Encoding": "gzip"}, gzip.compress(b"h" * 8192))}
    assert UrlSource(url).fetch("tile/0/000") == b"h" * 8192


PACKED = gzip.compress(b"h" * 8192)


@pytest.mark.parametrize("body", [b"h" * 100, PACKED[:-9], PACKED[:-1], PACKED + b"x", zlib.compress(b"h"), b""])
def test_gzip_that_is_none(site, body):
    url, handler = site
    handler.answers = {"/checkpoint": (200, {"Content-Encoding": "gzip"}, body)}
    with pytest.raises(Malformed, match="gzip"):
        UrlSource(url).fetch("checkpoint")


def test_a_gzip_bomb_is_not_unpacked(site):
    url, handler = site
    bomb = gzip.compress(bytes(MAX_FILE + 10_000_000))
    handler.answers = {"/checkpoint": (200, {"Content-Encoding": "gzip"}, bomb)}
    with pytest.raises(Malformed, match="at most"):
        UrlSource(url).fetch("checkpoint")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(site, status):
    url, handler = site
    handler.answers = {"/checkpoint": (status, {"Location": f"{url}/elsewhere"}, b""), "/elsewhere": (200, {}, b"note")}
    with pytest.raises(Unavailable, match=str(status)):
        UrlSource(url).fetch("checkpoint")
    assert handler.asked == ["/checkpoint"]


@pytest.mark.parametrize("status", [400, 403, 404, 410, 429, 500, 503])
def test_other_answers_are_no_evidence(site, status):
    url, handler = site
    handler.answers = {"/checkpoint": (status, {}, b"note")}
    with pytest.raises(Unavailable, match=str(status)):
        UrlSource(url).fetch("checkpoint")


def test_an_answer_larger_than_any_published_file(site):
    url, handler = site
    handler.answers = {"/checkpoint": (200, {}, bytes(MAX_FILE + 1))}
    with pytest.raises(Malformed, match="at most"):
        UrlSource(url).fetch("checkpoint")


def test_an_answer_that_is_cut_off(site):
    url, handler = site
    handler.answers = {"/checkpoint": (200, {"Content-Length": "500"}, b"half of it")}
    with pytest.raises(Unavailable, match="cut off"):
        UrlSource(url).fetch("checkpoint")


def test_an_answer_in_pieces_that_is_cut_off(site):
    url, handler = site
    handler.protocol_version = "HTTP/1.1"
    handler.answers = {
        "/checkpoint": (200, {"Transfer-Encoding": "chunked", "Connection": "close"}, b"5\r\nhello\r\n9\r\nha")
    }
    with pytest.raises(Unavailable):
        UrlSource(url).fetch("checkpoint")


def test_nobody_there(site):
    url, _ = site
    with pytest.raises(Unavailable, match="cannot be reached"):
        UrlSource(url.rsplit(":", 1)[0] + ":1").fetch("checkpoint")


# ── one ledger, read in three ways ──


def verdicts(source, agreement: Agreement) -> dict[str, object]:
    return dict(verify(source.fetch, agreement).verdicts)


def test_the_same_ledger_behind_every_door(tmp_path, site):
    world = World(windows=1).run()
    files = world.memory.files()
    for path, data in files.items():
        place = tmp_path / "log" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    url, handler = site
    handler.answers = {f"/{path}": (200, {}, data) for path, data in files.items()}
    zipped = put(tmp_path / "log.zip", list(files.items()))
    expected = dict(world.verify().verdicts)
    for place in (str(tmp_path / "log"), str(zipped), url):
        assert verdicts(open_source(place), world.agreement) == expected
