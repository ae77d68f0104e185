# SPDX-License-Identifier: Apache-2.0
"""LOG-3, LOG-4: the duties of the two seams, asked of the POSIX store."""

from __future__ import annotations

import os

import pytest

from pausectl.durable import Disk
from pausectl.errors import Refused, Unavailable
from pausectl.log.storage import posix
from pausectl.log.storage.posix import PosixHead, PosixObjects


@pytest.fixture(params=[False, True], ids=["cached", "cold"])
def objects(tmp_path, request):
    return PosixObjects(tmp_path, Disk(), cold=request.param)


def test_an_object_is_created_and_read(objects):
    objects.put("tile/0/x001/000", b"hashes")
    assert objects.get("tile/0/x001/000") == b"hashes"


def test_a_missing_object_is_unavailable(objects):
    objects.put("a", b"")
    for path in ("b", "a/b", "tile/0/000"):
        with pytest.raises(Unavailable):
            objects.get(path)


def test_the_same_bytes_again_change_nothing_and_others_are_refused(tmp_path):
    calls = []
    objects = PosixObjects(tmp_path, Disk(lambda call, _: calls.append(call)))
    objects.put("tile/0/000", b"hashes")
    before = (tmp_path / "tile/0/000").stat()
    calls.clear()
    objects.put("tile/0/000", b"hashes")
    assert calls == []
    with pytest.raises(Refused, match="tile/0/000"):
        objects.put("tile/0/000", b"HASHES")
    with pytest.raises(Refused):
        objects.put("tile/0/000", b"HASHES", afresh=True)
    after = (tmp_path / "tile/0/000").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_afresh_writes_what_is_there_once_more(tmp_path):
    objects = PosixObjects(tmp_path, Disk())
    objects.put("tile/0/000", b"hashes")
    before = (tmp_path / "tile/0/000").stat().st_ino
    with (tmp_path / "tile/0/000").open("rb"):  # or its number may be given to the new file
        objects.put("tile/0/000", b"hashes", afresh=True)
        assert (tmp_path / "tile/0/000").stat().st_ino != before


def test_discard_removes_and_may_be_repeated(tmp_path):
    objects = PosixObjects(tmp_path, Disk())
    objects.put("tile/0/000.p/3", b"x")
    objects.put("tile/0/000.p/4", b"y")
    objects.discard("tile/0/000.p/3")
    objects.discard("tile/0/000.p/3")
    assert objects.get("tile/0/000.p/4") == b"y"
    objects.discard("tile/0/000.p/4")
    assert not (tmp_path / "tile/0/000.p").exists()
    assert (tmp_path / "tile/0").exists()


def test_a_register_is_never_made_by_reading_or_swapping(tmp_path):
    head = PosixHead(tmp_path / "head", Disk())
    with pytest.raises(Unavailable, match="missing"):
        head.read()
    with pytest.raises(Unavailable, match="missing"):
        head.swap(b"", b"new")
    PosixHead.create(tmp_path / "head", Disk())
    assert head.read() == b""
    with pytest.raises(Refused):
        PosixHead.create(tmp_path / "head", Disk())


def test_a_swap_needs_the_old_value(tmp_path):
    head = PosixHead.create(tmp_path / "head", Disk())
    head.swap(b"", b"one")
    with pytest.raises(Refused, match="not where this process left it"):
        head.swap(b"", b"two")
    assert head.read() == b"one"


def test_a_swap_for_the_same_value_writes_it_again(tmp_path):
    calls = []
    head = PosixHead.create(tmp_path / "head", Disk(lambda call, _: calls.append(call)))
    calls.clear()
    head.swap(b"", b"")
    assert calls == ["create", "write", "fsync", "rename", "fsync"]


def test_of_many_processes_that_swap_one_wins(tmp_path):
    head = PosixHead.create(tmp_path / "head", Disk())
    start, go = os.pipe()
    children = []
    for number in range(8):
        child = os.fork()
        if child == 0:
            os.close(go)
            os.read(start, 1)  # all at once, when the parent closes its end
            try:
                head.swap(b"", b"%d" % number)
            except Refused:
                os._exit(1)
            os._exit(0)
        children.append(child)
    os.close(go)
    won = [number for number, child in enumerate(children) if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0]
    os.close(start)
    assert [head.read()] == [b"%d" % number for number in won]


def test_a_store_is_created_once(tmp_path):
    store = posix.create(tmp_path, Disk())
    assert store.head.read() == b""
    with pytest.raises(Refused):
        posix.create(tmp_path, Disk())
    posix.open(tmp_path, Disk()).public.swap(b"", b"shown")
    assert store.objects.get("checkpoint") == b"shown"
