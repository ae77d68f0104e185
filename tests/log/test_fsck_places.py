# SPDX-License-Identifier: Apache-2.0
"""The same damage is found in a directory, over HTTP and in a bundle, on one core and on several, in little memory."""

from __future__ import annotations

import gzip
import shutil
import threading
import tracemalloc
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pausectl.errors import Unavailable
from pausectl.log import fsck as room
from pausectl.log import growth, rehash
from pausectl.log.fsck import fsck
from pausectl.wire import checkpoint, tile

ENTRIES = 70 * 256 + 17


def grown(agreement, keys, roll, entries: int) -> dict[str, bytes]:
    """The public files of a log, signed by the log alone, in one commit."""
    edge, files = growth.grow(growth.EMPTY_EDGE, [agreement.raw, *(b"entry %d" % n for n in range(1, entries))])
    head = checkpoint.Checkpoint(agreement.log_key.name, edge.size, edge.root)
    return files | {"checkpoint": checkpoint.sign(head, keys[roll.log]).raw}


@pytest.fixture(scope="module")
def files(parties):
    roll, keys, agreement = parties
    return grown(agreement, keys, roll, ENTRIES)


@pytest.fixture
def place(files, tmp_path) -> Path:
    for name, data in files.items():
        (tmp_path / "log" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "log" / name).write_bytes(data)
    return tmp_path / "log"


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 8
    path.write_bytes(data)


class Site:
    """A directory behind HTTP; `answer` may do something else first, and says so by True."""

    def __init__(self, root: Path, answer=lambda _: False) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one packet, for which nobody waits

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                if answer(self):
                    return
                path = root / self.path.lstrip("/")
                self.reply(path.read_bytes() if path.is_file() else None)

            def reply(self, body: bytes | None, **headers: str) -> None:
                self.send_response(404 if body is None else 200)
                self.send_header("Content-Length", str(len(body or b"")))
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(body or b"")

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def site():
    made = []

    def serve(*words) -> str:
        made.append(Site(*words))
        return made[-1].url

    yield serve
    for each in made:
        each.close()


def packed(place: Path, file: Path) -> Path:
    with zipfile.ZipFile(file, "w") as pocket:
        for path in place.rglob("*"):
            if path.is_file():
                pocket.write(path, path.relative_to(place).as_posix())
    return file


def test_a_whole_log_is_whole_wherever_it_lies(parties, place, site, tmp_path):
    for where in (place, site(place), packed(place, tmp_path / "log.zip")):
        for jobs in (1, 3):
            assert fsck(where, parties[2], jobs=jobs) == []
        assert fsck(where, parties[2].log_key) == []


def test_the_same_damage_is_found_wherever_it_lies(parties, place, site, tmp_path):
    flip(place / "tile/entries/003", 700)
    flip(place / "tile/0/041", 0)
    flip(place / "tile/0/070.p/17", 5)
    (place / "tile/0/069").unlink()
    (place / "tile/entries/068").write_bytes(b"")
    (place / "tile/entries/066").write_bytes(gzip.compress((place / "tile/entries/066").read_bytes()))
    flip(place / "tile/1/000.p/70", 32 * 9 + 1)
    found = fsck(place, parties[2], jobs=1)
    assert [(each.path, each.index) for each in found] == [
        ("tile/0/041", None),
        ("tile/0/069", None),
        ("tile/0/070.p/17", None),
        ("tile/1/000.p/70", None),
        ("tile/entries/003", 831),
        ("tile/entries/066", None),
        ("tile/entries/068", None),
    ]
    assert "compressed with gzip" in found[5].message
    for where in (place, site(place), packed(place, tmp_path / "log.zip")):
        for jobs in (1, 3):
            assert fsck(where, parties[2], jobs=jobs) == found


def test_entries_that_were_edited_are_found_although_every_proof_holds(parties, place):
    """A proof says nothing of the bundle that the entry came from (tessera#629)."""
    bundle = place / "tile/entries/010"
    entries = list(tile.parse_bundle(bundle.read_bytes(), 256))
    entries[5], entries[9] = b"another", entries[8]
    bundle.write_bytes(tile.format_bundle(entries))
    found = [(each.path, each.index) for each in fsck(place, parties[2])]
    assert found == [("tile/entries/010", 2565), ("tile/entries/010", 2569)]


def test_a_file_that_belongs_to_no_such_log_is_named_where_files_can_be_listed(parties, place, site, tmp_path):
    (place / "tile/0/notes").write_text("x")
    (place / "tile/0/071").write_bytes(bytes(8192))
    for where in (place, packed(place, tmp_path / "log.zip")):
        assert {each.path for each in fsck(where, parties[2])} == {"tile/0/notes", "tile/0/071"}
    assert fsck(site(place), parties[2]) == []


# ── servers ──


def test_what_a_server_compresses_unasked_is_read(parties, place, site):
    def answer(handler) -> bool:
        if "entries" not in handler.path:
            return False
        handler.reply(gzip.compress((place / handler.path.lstrip("/")).read_bytes()), Content_Encoding="gzip")
        return True

    assert fsck(site(place, answer), parties[2]) == []


def test_a_compressed_bundle_that_is_damaged_is_damage(parties, place, site):
    def answer(handler) -> bool:
        if handler.path != "/tile/entries/007":
            return False
        handler.reply(gzip.compress(bytes(9))[:-3], Content_Encoding="gzip")
        return True

    assert [each.path for each in fsck(site(place, answer), parties[2])] == ["tile/entries/007"]


@pytest.mark.parametrize("status", [500, 503, 302])
def test_a_server_that_cannot_say_is_no_damage_and_ends_the_check(parties, place, site, monkeypatch, status):
    monkeypatch.setattr("pausectl.log.behind._PAUSES", (0.01, 0.01))

    def answer(handler) -> bool:
        if handler.path != "/tile/entries/030":
            return False
        handler.send_error(status)
        return True

    for jobs in (1, 2):
        with pytest.raises(Unavailable, match=f"tile/entries/030: the server answered {status}"):
            fsck(site(place, answer), parties[2], jobs=jobs)


def test_a_server_that_fails_once_is_asked_again(parties, place, site, monkeypatch):
    monkeypatch.setattr("pausectl.log.behind._PAUSES", (0.01, 0.01))
    failed = set()

    def answer(handler) -> bool:
        if handler.path in failed or not handler.path.endswith("5"):
            return False
        failed.add(handler.path)
        handler.send_error(503)
        return True

    assert fsck(site(place, answer), parties[2], jobs=1) == []
    assert len(failed) > 10


def test_a_server_that_is_gone_ends_the_check_at_once(parties, place, site, monkeypatch):
    monkeypatch.setattr("pausectl.log.behind._PAUSES", (0.01, 0.01))
    with pytest.raises(Unavailable, match="cannot be reached"):
        fsck("http://127.0.0.1:9", parties[2])


# ── a log that grows ──


def test_a_log_that_is_being_written_to_is_checked_as_far_as_it_was_published(world, tmp_path):
    """The register is ahead of the files, and files of checkpoints that are not published yet are nobody's fault."""
    with world.create() as log:
        log.append([(b"entry %d" % n, "") for n in range(300)])
        log.cosign(world.witnesses(tmp_path), world.now)
        log.append([(b"more %d" % n, "") for n in range(300)])
        (world.home / "log/tile/0/003").write_bytes(bytes(8192))
        assert fsck(world.home, world.agreement) == []
        (world.home / "log/tile/0/000").chmod(0o644)
        flip(world.home / "log/tile/0/000", 3)
        assert [each.path for each in fsck(world.home, world.agreement)] == ["log/tile/0/000"]
    assert {each.path for each in fsck(world.home, world.agreement)} == {"log/tile/0/000", "log/tile/0/003"}


# ── elsewhere ──


def test_a_log_that_lies_in_a_store_is_checked_there(world, files, parties, tmp_path, monkeypatch):
    from pausectl.log.storage import config, memory

    store = memory.store()
    for path, data in files.items():
        if path != "checkpoint":
            store.objects.put(path, data)
    store.public.swap(b"", files["checkpoint"])
    store.head.swap(b"", files["checkpoint"])
    (world.home).mkdir()
    (world.home / "store.toml").write_text('objects = "s3://some/where"\nhead = "s3://some/where"\n')
    (world.home / "agreement.json").write_bytes(parties[2].raw + b"\n")
    (world.home / "log.vkey").write_text(parties[2].document.log.vkey + "\n")
    monkeypatch.setattr(config, "open", lambda *_: store)
    assert fsck(world.home, parties[2], jobs=1) == []
    store.objects.discard("tile/entries/009")
    store.objects.put("tile/entries/009", files["tile/entries/010"])
    store.objects.discard("tile/0/011")
    found = fsck(world.home, parties[2], jobs=1)
    assert {each.path for each in found} == {"log/tile/entries/009", "log/tile/0/011"}
    assert len(found) == 257
    store.head.swap(files["checkpoint"], b"x")
    assert {each.path for each in fsck(world.home, parties[2], jobs=1)} > {"state/head"}


def test_what_a_mirror_of_the_agreement_signed_is_no_damage_and_what_it_did_not_is(tmp_path):
    from pausectl.sim import terms
    from pausectl.wire import cosignature, note

    roll = terms.Roll(mirrors=("quarry",))
    keys = {name: terms.demo_key(name) for name in terms.names(roll)}
    agreement = terms.agree(roll, keys)
    files = grown(agreement, keys, roll, 300)
    signed, mirror = note.parse(files["checkpoint"]), agreement.mirror_keys["quarry"]
    for name, expected in (("quarry", []), ("wharf", ["checkpoint"])):
        line = cosignature.cosign(signed.text, mirror.name, keys[name], 9)
        if name != "quarry":  # its key's id, and another's signature
            genuine = cosignature.cosign(signed.text, mirror.name, keys["quarry"], 9)
            line = note.Signature(line.name, genuine.key_id, line.payload)
        for path, data in (files | {"checkpoint": note.add(signed, [line]).raw}).items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(data)
        assert [each.path for each in fsck(tmp_path, agreement)] == expected


# ── memory ──


class Endless:
    """A log of any size in which every bundle is the same, so that it need not lie anywhere."""

    name = "endless"

    def __init__(self, size: int) -> None:
        entries = [b"x" * 40] * 256
        leaves = [tile.merkle.leaf_hash(entries[0])] * 256
        self._bundle = tile.format_bundle(entries)
        self._tiles = [tile.format_hashes(leaves)]
        while len(self._tiles) < 4:
            below = tile.parse_hashes(self._tiles[-1], 256)
            self._tiles.append(tile.format_hashes([tile.merkle.root(below)] * 256))
        self.size = size

    def read(self, path: str) -> bytes | None:
        found = tile.parse_path(path) if path != "checkpoint" else None
        if found is None:
            return None
        if isinstance(found, tile.Bundle):
            return self._bundle
        return self._tiles[found.level][: found.width * 32]

    def register(self) -> bytes:
        return b""

    def partials(self, _whole: object) -> list[int]:
        return []

    def close(self) -> None:
        pass

    def walk(self):
        yield tile.bundle_path(self.size // 256 - 1)


def test_memory_does_not_grow_with_the_log(parties, monkeypatch):
    """The entries are not hashed here, which takes long and keeps nothing."""
    peaks = []
    root = tile.merkle.root([tile.merkle.leaf_hash(b"x" * 40)] * 256)
    monkeypatch.setattr(rehash, "leaf_reading", lambda *_: rehash.Reading(root=root))
    for size in (256 * 256, 40 * 256 * 256):
        for module in (room, rehash):
            monkeypatch.setattr(module, "open_place", lambda _word, size=size: Endless(size))
        tracemalloc.start()
        found = fsck("http://endless", parties[2].log_key, jobs=1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert [each.path for each in found] == ["checkpoint"]
    assert peaks[1] - peaks[0] < 20_000, peaks


def test_nobody_outlives_a_check_that_was_killed(place, tmp_path, parties):
    import os
    import signal
    import subprocess
    import sys
    import time

    shutil.copytree(place, tmp_path / "copy")
    (tmp_path / "agreement").write_bytes(parties[2].raw)
    code = (
        "import sys, time; from pausectl.agreement import document; from pausectl.log.fsck import fsck\n"
        "fsck(sys.argv[1], document.parse(open(sys.argv[2], 'rb').read()), lambda *_: time.sleep(1), jobs=2)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "copy"), str(tmp_path / "agreement")]
    with subprocess.Popen(command, start_new_session=True) as child:
        time.sleep(2.5)
        child.send_signal(signal.SIGKILL)
        child.wait()
        for _ in range(100):
            try:
                os.killpg(child.pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.1)
        os.killpg(child.pid, signal.SIGKILL)
        pytest.fail("its workers live on")
