# SPDX-License-Identifier: Apache-2.0
"""Bad files at every door: exit 2, 3 or 4, one line that names the file, no traceback, nothing stored is changed."""

from __future__ import annotations

import io
import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from pausectl import cli
from pausectl.sim.terms import demo_key
from pausectl.wire import canonical, dsse, statement

WINDOW = "2026-08-03T00:00:00Z/2026-08-10T00:00:00Z"
CSV = b"device,time_ms,watts\nnode-0,1785715200000,6000.5\nnode-0,1785715201000,6000.5\n"

Command = Callable[[Path, Path], tuple[object, ...]]


@dataclass(frozen=True)
class Door:
    """One kind of file, and a command that reads it. `where` it lies in a demonstration, if it does."""

    name: str
    command: Command
    where: str = ""


def _attest(home: Path, body: Path, key: Path) -> tuple[object, ...]:
    return (
        "lab", "attest", "inventory", body, "--agreement", home / "agreement.json", "--key", key, "--ledger",
        home / "log",
        "--window", WINDOW, "-o", home / "made",
    )  # fmt: skip


def _add(home: Path, envelope: Path, key: Path | None = None) -> tuple[object, ...]:
    return ("log", "add", envelope, "--log", home, "--key", key or home / "keys" / "ledgerco.key")


DOORS = {
    door.name: door
    for door in (
        Door("agreement", lambda home, bad: ("verify", home / "log", "--agreement", bad), "agreement.json"),
        Door("agreement, shown", lambda _, bad: ("agreement", "show", bad), "agreement.json"),
        Door("agreement, fsck", lambda home, bad: ("log", "fsck", home, "--agreement", bad), "agreement.json"),
        Door(
            "agreement, signed",
            lambda home, bad: ("agreement", "sign", bad, "--key", home / "keys" / "aurora.key", "-o", home / "made"),
        ),
        Door("key", lambda home, bad: _attest(home, home / "body", bad), "keys/aurora.key"),
        Door("key of the log", lambda home, bad: _add(home, home / "envelope", bad), "keys/ledgerco.key"),
        Door("key of a witness", lambda home, bad: (*_add(home, home / "envelope"), "--witness", bad),
        "keys/wharf.key"),
        Door("envelope", _add),
        Door("body", lambda home, bad: _attest(home, bad, home / "keys" / "aurora.key")),
        Door(
            "table",
            lambda home, bad: (
                "lab", "seal", bad, "--agreement", home / "agreement.json", "--facility", "aurora-1", "--window",
                WINDOW,
                "--vault", home / "made",
            ),
        ),
        Door(
            "state",
            lambda home, bad: ("verify", home / "log", "--agreement", home / "agreement.json", "--state", bad),
        ),
        Door("seen", lambda home, bad: ("verify", home / "log", "--agreement", home / "agreement.json", "--seen", bad),
             "log/checkpoint"),
        Door("bundle", lambda home, bad: ("verify", bad, "--agreement", home / "agreement.json")),
        Door("ledger of attest", lambda home, bad: (
            "lab", "attest", "inventory", home / "body", "--agreement", home / "agreement.json", "--key",
            home / "keys" / "aurora.key", "--ledger", bad, "--window", WINDOW, "-o", home / "made",
        )),
        Door("envelope of submit", lambda home, bad: (
            "lab", "submit", bad, "--log", home, "--key", home / "keys" / "ledgerco.key",
        )),
    )
}  # fmt: skip


@pytest.fixture(scope="module")
def prepared(demo, bodies, tmp_path_factory) -> Path:
    """A demonstration with a good body, envelope, table, state and bundle beside it, which nobody may change."""
    home = Path(shutil.copytree(demo, tmp_path_factory.mktemp("prepared") / "d"))
    (home / "body").write_text(json.dumps(bodies(home, "aurora", "inventory")))
    (home / "table.csv").write_bytes(CSV)
    trusted = ("--agreement", home / "agreement.json")
    commands = (
        _attest(home, home / "body", home / "keys" / "aurora.key"),
        ("verify", home / "log", *trusted, "--state", home / "state.json"),
        ("bundle", home / "log", *trusted, "-o", home / "bundle.zip"),
    )
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        assert [cli.main([str(each) for each in command]) for command in commands] == [0, 1, 0]
    (home / "made").rename(home / "envelope")
    return home


@pytest.fixture
def place(prepared, tmp_path) -> Path:
    """One of one's own."""
    return Path(shutil.copytree(prepared, tmp_path / "d"))


GOOD = {
    "envelope": "envelope", "envelope of submit": "envelope", "body": "body", "table": "table.csv",
    "state": "state.json",
    "bundle": "bundle.zip", "ledger of attest": "bundle.zip", "agreement, signed": "agreement.json",
}  # fmt: skip


def good(door: Door, home: Path) -> bytes:
    return (home / (door.where or GOOD[door.name])).read_bytes()


def knock(run, tree, home: Path, door: Door, bad: Path, codes: tuple[int, ...] = (2, 4)):
    """Come with a bad file: the result, after everything that holds for all of them was checked."""
    before = tree(home)
    done = run(*door.command(home, bad))
    assert done.code in codes, (done.code, done.err, done.out[:200])
    assert str(bad) in done.error or "<U+" in done.error
    assert "internal error" not in done.err
    assert done.out == ""
    assert tree(home) == before
    assert not (home / "made").exists()
    return done


def test_the_good_files_are_good(run, place):
    """Or the others would fail for another reason. Those that add to the log come last: a quorum is missing then."""
    adding = ("key of the log", "key of a witness", "envelope", "envelope of submit")
    for name in sorted(DOORS, key=lambda name: (name in adding, name == "key of a witness")):
        done = run(*DOORS[name].command(place, place / (DOORS[name].where or GOOD[name])))
        assert done.code in ((3,) if name == "key of a witness" else (0, 1)), (name, done.err)
        made = place / "made"
        if made.exists():
            shutil.rmtree(made) if made.is_dir() else made.unlink()


@pytest.mark.parametrize("name", [name for name in DOORS if name != "state"])
def test_a_file_that_is_not_there(run, tree, place, name):
    assert knock(run, tree, place, DOORS[name], place / "nosuch", (2,)).code == 2


@pytest.mark.parametrize("name", [name for name in DOORS if name not in ("bundle", "ledger of attest")])
def test_a_directory(run, tree, place, name):
    (place / "folder").mkdir()
    assert knock(run, tree, place, DOORS[name], place / "folder", (2,)).code == 2


@pytest.mark.parametrize("name", ["bundle", "ledger of attest"])
def test_a_directory_that_is_no_log(run, tree, place, name):
    (place / "folder").mkdir()
    assert knock(run, tree, place, DOORS[name], place / "folder", (3,)).code == 3


GARBAGE = {
    "empty": b"",
    "newline": b"\n",
    "zeros": bytes(4096),
    "random": bytes(range(256)) * 16,
    "not UTF-8": b'{"a":"\xff\xfe"}',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "NaN": b'{"a":NaN}',
    "infinity": b"-Infinity",
    "float": b'{"a":1.0}',
    "huge integer": b'{"a":' + b"9" * 10_000 + b"}",
    "deep": b"[" * 60_000,
    "deep objects": b'{"a":' * 9_000 + b"1" + b"}" * 9_000,
    "twice": b'{"a":1,"a":2}',
    "surrogate": b'{"a":"\\ud800"}',
    "list": b"[]",
    "null": b"null",
    "text": b'"x"',
    "object": b"{}",
    "quotes that never close": b'"' + b'\\"' * 30_000,
    "a zip": b"PK\x03\x04" + bytes(60) + b"PK\x05\x06" + bytes(18),
    "escape": b"\x1b[31mred\x1b[0m\n",
}


@pytest.mark.parametrize("kind", list(GARBAGE))
def test_garbage(run, tree, place, kind):
    for door in DOORS.values():
        bad = place / "bad"
        bad.write_bytes(GARBAGE[kind])
        done = knock(run, tree, place, door, bad, (2, 3, 4) if kind == "a zip" else (2, 4))
        assert "\x1b" not in done.err


@pytest.mark.parametrize("name", [name for name in DOORS if name != "table"])
def test_a_file_cut_anywhere(run, tree, place, name):
    door = DOORS[name]
    whole = good(door, place)
    bad = place / "bad"
    cuts = {0, 1, 2, len(whole) // 3, len(whole) // 2, len(whole) - 3, len(whole) - 2}
    for end in sorted(cuts | {len(whole) * part // 12 for part in range(12)}):
        bad.write_bytes(whole[:end])
        knock(run, tree, place, door, bad)


@pytest.mark.parametrize("name", [name for name in DOORS if name not in ("table", "body")])
def test_a_file_with_one_bit_wrong(run, tree, place, name):
    """Somewhere in the middle, where signatures, digests and checksums look."""
    door = DOORS[name]
    whole = good(door, place)
    bad = place / "bad"
    codes = (2, 4)
    for part in range(1, 10):
        damaged = bytearray(whole)
        damaged[len(whole) * part // 10] ^= 0x01
        bad.write_bytes(damaged)
        if name in ("bundle", "ledger of attest"):
            codes = (2, 3, 4)
        if name == "agreement, signed":
            continue  # it does not look at signatures that others made
        before = tree(place)
        done = run(*door.command(place, bad))
        if name == "seen" and done.code == 1:
            continue  # a cosignature's line: another's signature does not matter there
        assert done.code in codes, (part, done.err)
        assert str(bad) in done.error
        assert tree(place) == before


@pytest.mark.parametrize(
    "name", [name for name in DOORS if name not in ("table", "state", "bundle", "ledger of attest")]
)
def test_a_file_too_large(run, tree, place, name):
    bad = place / "bad"
    bad.write_bytes(good(DOORS[name], place) + b" " * (1 << 20))
    assert "at most" in knock(run, tree, place, DOORS[name], bad).error


@pytest.mark.parametrize("tail", [b" ", b"\n\n", b"{}", b"\x00"])
@pytest.mark.parametrize("name", ["agreement", "key", "envelope", "state", "seen"])
def test_something_behind_the_end(run, tree, place, name, tail):
    bad = place / "bad"
    bad.write_bytes(good(DOORS[name], place) + tail)
    knock(run, tree, place, DOORS[name], bad)


@pytest.mark.parametrize("name", ["agreement", "key", "envelope", "body"])
def test_members_that_are_missing_twice_or_of_another_type(run, tree, place, name):
    door = DOORS[name]
    whole = good(door, place).removesuffix(b"\n")
    value = json.loads(whole)
    bad = place / "bad"

    def dump(changed: object) -> bytes:
        return json.dumps(changed, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()

    end = b"\n" if name == "key" else b""
    cases = [whole[:-1] + b"," + dump({member: value[member]})[1:] + end for member in value]
    for member in value:
        cases.append(dump({each: value[each] for each in value if each != member}) + end)
        wrong = [None, 0, -1, 1.5, "", {}, True, 2**60, *([] if name == "body" else ["x", []])]
        cases += [dump(value | {member: each}) + end for each in wrong if each != value[member]]
    cases.append(dump(value | {"surprise": 1}) + end)
    for case in cases:
        if name == "key" and b'"name":"x"' in case and case.count(b'"name"') == 1:
            continue  # the same key under another name
        bad.write_bytes(case)
        knock(run, tree, place, door, bad)


# ── wrongly signed ──


def test_an_agreement_signed_by_others(run, tree, place):
    payload = dsse.parse((place / "agreement.json").read_bytes().removesuffix(b"\n")).payload
    signers = {
        "strangers": [demo_key(f"stranger {n}") for n in range(6)],
        "too few": [demo_key(name) for name in ("aurora", "avon", "brent", "cam")],
        "one too many": [demo_key(name) for name in ("aurora", "borealis", "cirrus", "avon", "brent", "cam", "wharf")],
        "witnesses": [demo_key(name) for name in ("wharf", "xylem", "yarrow", "zephyr")],
    }
    for keys in signers.values():
        (place / "bad").write_bytes(dsse.sign(payload, *keys).raw)
        assert knock(run, tree, place, DOORS["agreement"], place / "bad", (4,)).code == 4


def test_a_good_envelope_that_is_no_agreement(run, tree, place):
    assert knock(run, tree, place, DOORS["agreement"], place / "envelope", (4,)).code == 4


def test_envelopes_that_may_not_enter(run, tree, place):
    good_one = dsse.parse((place / "envelope").read_bytes())
    parsed = statement.parse(good_one.payload)

    def say(change: dict[str, object], key: str = "aurora") -> bytes:
        header = parsed.predicate["header"] | change
        raw = statement.format(parsed.subjects, parsed.predicate_type, parsed.predicate | {"header": header})
        return dsse.sign(raw, demo_key(key)).raw

    cases = {
        "signed by another party": dsse.sign(good_one.payload, demo_key("borealis")).raw,
        "signed by nobody known": dsse.sign(good_one.payload, demo_key("stranger")).raw,
        "signed by two": dsse.sign(good_one.payload, demo_key("aurora"), demo_key("borealis")).raw,
        "a signature of something else": dsse.join(
            good_one.payload,
            [dsse.Signature(demo_key("aurora").public.keyid, demo_key("aurora").sign(b"something else"))],
        ).raw,
        "another agreement": say({"agreement": "0" * 64}),
        "another log": say({"log": "other.example"}),
        "a party that is none": say({"party": "nobody"}),
        "a stream that is not its own": say({"stream": "usage/aurora-1"}),
        "no window": say({"window": None}),
        "an unknown type": dsse.sign(
            statement.format(parsed.subjects, "https://example.com/other/v1", {"a": 1}), demo_key("aurora")
        ).raw,
        "another agreement as an entry": (place / "agreement.json").read_bytes().replace(b"a", b"b"),
        "not JSON": dsse.sign(b"hello", demo_key("aurora")).raw,
        "an empty payload": dsse.sign(b"", demo_key("aurora")).raw,
    }
    for case in cases.values():
        (place / "bad").write_bytes(case)
        for name in ("envelope", "envelope of submit"):
            knock(run, tree, place, DOORS[name], place / "bad")


def test_a_key_file_whose_public_half_is_another(run, tree, place):
    value = json.loads((place / "keys" / "aurora.key").read_bytes())
    other = json.loads((place / "keys" / "borealis.key").read_bytes())
    (place / "bad").write_bytes(canonical.dump(value | {"public": other["public"]}) + b"\n")
    assert knock(run, tree, place, DOORS["key"], place / "bad", (4,)).code == 4
    assert value["seed"] not in run(*DOORS["key"].command(place, place / "bad")).err


# ── the table ──


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        (b"", "columns"),
        (b"device,time_ms\na,1\n", "columns"),
        (b"time_ms,device,watts\n", "columns"),
        (b"device,time_ms,watts\n", "no reading"),
        (b"device,time_ms,watts\na,1,2\nb,x,2\n", "line 3"),
        (b"device,time_ms,watts\na,1,2\n\n\nb,1,nan\n", "line 5"),
        (b"device,time_ms,watts\na,1,inf\n", "line 2"),
        (b"device,time_ms,watts\na,1,-2\n", "line 2"),
        (b"device,time_ms,watts\na,1,0\n", "line 2"),
        (b"device,time_ms,watts\na,-1,2\n", "line 2"),
        (b"device,time_ms,watts\na,1.5,2\n", "line 2"),
        (b"device,time_ms,watts\na,1_0,2\n", "line 2"),
        (b"device,time_ms,watts\na, 1,2\n", "line 2"),
        ("device,time_ms,watts\na,١,2\n".encode(), "line 2"),
        (b"device,time_ms,watts\n,1,2\n", "line 2"),
        (b"device,time_ms,watts\na,1,2,3\n", "line 2"),
        (b"device,time_ms,watts\na,1\n", "line 2"),
        (b"device,time_ms,watts\na," + b"9" * 5000 + b",2\n", "line 2"),
        (b"device,time_ms,watts\na,1," + b"9" * 400 + b"\n", "line 2"),
        (b'device,time_ms,watts\n"a\nb",1,2\nc,x,2\n', "line 4"),
        (b'device,time_ms,watts\n"a,1,2\n', "CSV"),
        (b"device,time_ms,watts\n" + b"a" * 200_000 + b",1,2\n", "CSV"),
        (b"device,time_ms,watts\na,1,2\na,1,3\n", "device a"),
        (b"device,time_ms,watts\n\xff,1,2\n", "UTF-8"),
        (b"device,time_ms,watts\n\x1b[31m,x,2\n", "line 2"),
    ],
)
def test_tables_with_the_line_that_is_wrong(run, tree, place, raw, complaint):
    (place / "bad.csv").write_bytes(raw)
    done = knock(run, tree, place, DOORS["table"], place / "bad.csv", (4,))
    assert complaint in done.error
    assert "\x1b" not in done.err


@pytest.mark.parametrize("raw", [b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1", CSV, bytes(range(256)) * 8])
def test_parquet_that_is_none(run, tree, place, raw):
    pytest.importorskip("pyarrow")
    (place / "bad.parquet").write_bytes(raw)
    knock(run, tree, place, DOORS["table"], place / "bad.parquet", (4,))


# ── the log's own files ──

FILES = ("checkpoint", "tile/0/000.p/72", "tile/entries/000.p/72")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", [*GARBAGE, "missing", "directory", "short", "long", "flipped", "another's"])
def test_every_public_file_damaged(run, tree, place, name, kind):
    path = place / "log" / name
    whole = path.read_bytes()
    path.chmod(0o644)
    path.unlink()
    if kind == "directory":
        path.mkdir()
    elif kind != "missing":
        damaged = {
            "short": whole[:-1],
            "long": whole + b"\x00",
            "flipped": bytes([*whole[:40], whole[40] ^ 1, *whole[41:]]),
            "another's": (place / "log" / FILES[FILES.index(name) - 1]).read_bytes(),
        }
        path.write_bytes(damaged.get(kind) if kind in damaged else GARBAGE[kind])
    before = tree(place)
    missing = kind in ("missing", "directory")
    for command in (
        ("verify", place / "log", "--agreement", place / "agreement.json"),
        ("bundle", place / "log", "--agreement", place / "agreement.json", "-o", place / "made"),
        DOORS["body"].command(place, place / "body"),
    ):
        done = run(*command)
        assert done.code == (3 if missing else 4), done.err
        assert str(place / "log") in done.error
        assert name.split("/")[-1] in done.error or name.split("/")[0] in done.error
        assert done.out == ""
    checked = run("log", "fsck", place, "--agreement", place / "agreement.json")
    assert checked.code == 4
    assert name in checked.out
    assert "Traceback" not in checked.err
    assert tree(place) == before


@pytest.mark.parametrize("name", ["agreement.json", "log.vkey", "state/head", "state/index.db", "log/checkpoint"])
@pytest.mark.parametrize("kind", ["missing", "empty", "random", "short", "directory"])
def test_an_operator_with_a_damaged_home(run, place, operator, name, kind):
    """Refused with one line, or put right: never a traceback, never 1, and never a second history."""
    path = place / name
    whole = path.read_bytes()
    path.chmod(0o644)
    path.unlink()
    if kind == "directory":
        path.mkdir()
    elif kind != "missing":
        path.write_bytes({"empty": b"", "random": GARBAGE["random"], "short": whole[: len(whole) // 2]}[kind])
    done = run("log", "add", place / "envelope", "--log", place, *operator(place), "--now", "2026-08-10T06:00:00Z")
    assert done.code in (0, 2, 3, 4, 5 if kind == "directory" else 4), done.err  # 5: it could not be written
    if done.code:
        assert done.error
    else:
        judged = run("verify", place / "log", "--agreement", place.parent / "d" / "agreement.json", "--json")
        assert judged.json["verdicts"]["aurora"] == "CONSISTENT"


def test_an_index_of_another_kind(run, place, operator):
    (place / "state" / "index.db").unlink()
    with sqlite3.connect(place / "state" / "index.db") as other:
        other.execute("create table something (x)")
    other.close()
    done = run("log", "add", place / "envelope", "--log", place, *operator(place), "--now", "2026-08-10T06:00:00Z")
    assert done.code in (0, 2, 3, 4), done.err


# ── vaults ──


@pytest.fixture
def vault(run, place) -> Path:
    done = run(*DOORS["table"].command(place, place / "table.csv"))
    assert done.code == 0, done.err
    (place / "made").rename(place / "vault")
    return place / "vault"


@pytest.mark.parametrize("name", ["master", "rows.csv", "commitment.json"])
@pytest.mark.parametrize("kind", [*GARBAGE, "missing", "directory", "short", "flipped"])
def test_every_file_of_a_vault_damaged(run, tree, vault, name, kind):
    path = vault / name
    whole = path.read_bytes()
    path.unlink()
    if kind == "directory":
        path.mkdir()
    elif kind != "missing":
        flipped = bytes([*whole[:12], whole[12] ^ 1, *whole[13:]])
        path.write_bytes({"short": whole[:-3], "flipped": flipped}.get(kind) or GARBAGE.get(kind, b""))
    before = tree(vault)
    done = run("lab", "open", vault, "--row", 0)
    assert done.code in (2, 4), done.err
    assert str(vault) in done.error
    assert done.out == ""
    assert "internal error" not in done.err
    assert tree(vault) == before


# ── passphrases ──


def test_passphrase_files(run, tree, place, monkeypatch):
    """Missing, a directory, too large, empty, wrong."""
    (place / "words").write_text("right")
    monkeypatch.setenv("PAUSECTL_PASSPHRASE_FILE", str(place / "words"))
    assert run("keygen", "aurora", "-o", place / "locked").code == 0
    (place / "folder").mkdir()
    (place / "large").write_bytes(b"x" * (1 << 21))
    (place / "empty").write_bytes(b"")
    (place / "wrong").write_bytes(b"wrong")
    for name in ("nosuch", "folder", "large", "empty", "wrong"):
        monkeypatch.setenv("PAUSECTL_PASSPHRASE_FILE", str(place / name))
        before = tree(place)
        done = run(*DOORS["key"].command(place, place / "locked"))
        assert done.code == 2, (name, done.err)
        assert done.error
        assert tree(place) == before


# ── in a process of its own ──


@pytest.mark.parametrize("name", ["agreement", "key", "envelope", "bundle", "seen"])
def test_the_same_in_a_process_of_its_own(spawn, place, name):
    (place / "bad").write_bytes(GARBAGE["random"])
    done = spawn(*DOORS[name].command(place, place / "bad"))
    assert done.code in (2, 4)
    assert str(place / "bad") in done.error
    assert done.out == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(run, tree, place):
    (place / "bad").write_bytes(b"x")
    (place / "bad").chmod(0)
    for door in DOORS.values():
        knock(run, tree, place, door, place / "bad", (2, 3, 4))
