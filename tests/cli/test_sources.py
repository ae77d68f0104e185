# SPDX-License-Identifier: Apache-2.0
"""Servers and zips that do not mean well: nothing is followed or unpacked beyond its cap, no part is taken for all."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from pausectl.errors import Malformed, PausectlError, Unavailable
from pausectl.history.source import MAX_FILE, ZipSource, open_source
from pausectl.history.web import UrlSource

Answer = Callable[[BaseHTTPRequestHandler], None]


def say(body: bytes, length: int | None = None, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        with suppress(OSError):  # the other side has heard enough
            handler.wfile.write(body)

    return answer


def raw(data: bytes) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(data)
        handler.close_connection = True

    return answer


# ── URLs ──


def test_bytes_come_as_they_are_or_gunzipped(server):
    body = bytes(range(256)) * 9
    server.answer = say(body)
    assert UrlSource(server.url).fetch("checkpoint") == body
    server.answer = say(gzip.compress(body), Content_Encoding="gzip")
    assert UrlSource(f"{server.url}/").fetch("tile/0/000") == body
    server.answer = raw(b"HTTP/1.0 200 OK\r\n\r\n" + body)  # no length: until the connection ends
    assert UrlSource(server.url).fetch("checkpoint") == body
    server.answer = raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")
    assert UrlSource(server.url).fetch("checkpoint") == b"abc"
    assert server.asked == ["/checkpoint", "/tile/0/000", "/checkpoint", "/checkpoint"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(server, status):
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Location", f"{server.url}/elsewhere")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    server.answer = answer
    with pytest.raises(Unavailable, match=f"answered {status}"):
        UrlSource(server.url).fetch("checkpoint")
    assert server.asked == ["/checkpoint"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
def test_a_refusal_is_missing_evidence(server, status):
    server.answer = lambda handler: handler.send_error(status)
    with pytest.raises(Unavailable, match=f"answered {status}"):
        UrlSource(server.url).fetch("checkpoint")


@pytest.mark.parametrize(
    "answer",
    [
        say(b"half", length=8),
        raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nhalf"),
        raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        raw(b""),
        raw(b"\xff\xfe nonsense\r\n"),
        raw(b"HTTP/1.1 abc OK\r\n\r\n"),
        raw(b"HTTP/1.1 200 " + b"x" * 70_000),
        raw(b"HTTP/1.1 200 OK\r\n" + b"".join(b"A%d: b\r\n" % i for i in range(200)) + b"\r\n"),
    ],
)
def test_an_answer_that_is_cut_off_or_none_is_never_taken_for_the_whole(server, answer):
    server.answer = answer
    with pytest.raises(Unavailable):
        UrlSource(server.url).fetch("checkpoint")


@pytest.mark.parametrize(
    "body",
    [
        b"plain", gzip.compress(b"whole" * 99)[:-9], gzip.compress(b"whole")[:-1], b"", gzip.compress(b"a") + b"more",
        gzip.compress(b"a") + gzip.compress(b"b"), zlib.compress(b"zlib"),
    ],
)  # fmt: skip
def test_gzip_that_is_cut_off_or_none(server, body):
    server.answer = say(body, Content_Encoding="gzip")
    with pytest.raises(Malformed, match="gzip"):
        UrlSource(server.url).fetch("checkpoint")


def test_an_answer_without_end_is_cut_at_the_cap(server):
    server.answer = say(gzip.compress(bytes(MAX_FILE + 2), 9), Content_Encoding="gzip")
    with pytest.raises(Malformed, match="at most"):
        UrlSource(server.url).fetch("checkpoint")
    server.answer = say(bytes(MAX_FILE + 2))
    with pytest.raises(Malformed, match="at most"):
        UrlSource(server.url).fetch("checkpoint")
    server.answer = say(bytes(MAX_FILE))
    assert len(UrlSource(server.url).fetch("checkpoint")) == MAX_FILE


def test_through_the_door_a_hostile_server_is_one_line(run, demo, server):
    server.answer = raw(b"HTTP/1.1 200 \x1b[31m\r\n\r\nlog.example/pause\n\x1b]0;x\x07\n")
    done = run("verify", server.url, "--agreement", demo / "agreement.json")
    assert done.code == 4
    assert "\x1b" not in done.err
    assert done.error.startswith(server.url)


# ── zips ──


def make(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as packed:
        for name, data in members.items():
            packed.writestr(name, data)
    return path


def test_a_zip_holds_what_was_put_in(tmp_path):
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        source = ZipSource(make(tmp_path / "z", {"checkpoint": b"abc", "tile/0/000": b""}, method))
        assert (source.fetch("checkpoint"), source.fetch("tile/0/000")) == (b"abc", b"")
        with pytest.raises(Unavailable, match="no such file"):
            source.fetch("tile/0/001")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_fill_memory_are_refused(tmp_path, method):
    source = ZipSource(make(tmp_path / "z", {"checkpoint": b"abc"}, method))
    with pytest.raises(Malformed, match="stored or deflated"):
        source.fetch("checkpoint")


def test_a_zip_bomb_is_cut_at_the_cap(tmp_path):
    place = make(tmp_path / "z", {"checkpoint": bytes(MAX_FILE + 1), "tile/0/000": bytes(MAX_FILE)})
    assert place.stat().st_size < 200_000
    with pytest.raises(Malformed, match="at most"):
        ZipSource(place).fetch("checkpoint")
    assert len(ZipSource(place).fetch("tile/0/000")) == MAX_FILE


def test_a_size_that_lies_is_found(tmp_path):
    """The header says 3 bytes; there are more."""
    place = make(tmp_path / "z", {"checkpoint": b"abcdef"}, zipfile.ZIP_STORED)
    data = place.read_bytes().replace((6).to_bytes(4, "little"), (3).to_bytes(4, "little"))
    place.write_bytes(data)
    with pytest.raises(Malformed):
        ZipSource(place).fetch("checkpoint")


def test_a_path_that_occurs_twice_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "z", "w") as packed:
        packed.writestr("checkpoint", b"one")
        with pytest.warns(UserWarning, match="Duplicate name"):
            packed.writestr("checkpoint", b"two")
    with pytest.raises(Malformed, match="once"):
        ZipSource(tmp_path / "z")


def test_names_in_a_zip_are_never_paths(tmp_path):
    """Only names that the tile format makes are ever asked for, so a traversal is just a file nobody reads."""
    source = ZipSource(make(tmp_path / "z", {"../checkpoint": b"x", "/checkpoint": b"y", "tile/../checkpoint": b"z"}))
    with pytest.raises(Unavailable):
        source.fetch("checkpoint")


def test_every_byte_of_a_zip_may_be_damaged(tmp_path):
    """Flip each byte: the same bytes come out, or it is malformed or missing; nothing else is raised."""
    members = {"checkpoint": b"0123456789" * 3, "tile/0/000.p/1": bytes(32)}
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        whole = make(tmp_path / "z", members, method).read_bytes()
        for place in range(len(whole)):
            for flip in (0x01, 0x80, 0xFF):
                damaged = bytearray(whole)
                damaged[place] ^= flip
                (tmp_path / "d").write_bytes(damaged)
                try:
                    source = ZipSource(tmp_path / "d")
                    for name, expected in members.items():
                        assert source.fetch(name) == expected
                except (Malformed, Unavailable):
                    continue


def test_a_zip_cut_anywhere_is_malformed(tmp_path):
    whole = make(tmp_path / "z", {"checkpoint": b"0123456789" * 3}).read_bytes()
    for end in range(len(whole)):
        (tmp_path / "d").write_bytes(whole[:end])
        with pytest.raises((Malformed, Unavailable)):
            ZipSource(tmp_path / "d").fetch("checkpoint")


# ── directories ──


@pytest.mark.parametrize("place", ["", "nosuch", "ftp://x/y", "file:///", "://", "a\x00b"])
def test_a_word_that_names_no_source(place):
    with pytest.raises(PausectlError) as caught:
        open_source(place)
    assert caught.value.exit_code == 2
