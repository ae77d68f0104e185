# SPDX-License-Identifier: Apache-2.0
"""keygen: a key that its owner alone can use, made once."""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
from base64 import b64decode

import pytest

from pausectl.wire import keyfile, note
from pausectl.wire.keys import ED25519, PublicKey

PASSPHRASE = "correct horse battery staple"


def test_an_encrypted_key_comes_back_with_its_passphrase(run, tmp_path, monkeypatch):
    words = tmp_path / "words"
    words.write_text(f"{PASSPHRASE}\r\n")
    monkeypatch.setenv("PAUSECTL_PASSPHRASE_FILE", str(words))
    done = run("keygen", "aurora", "-o", tmp_path / "key")
    assert done.code == 0
    assert done.err == ""
    raw = (tmp_path / "key").read_bytes()
    assert keyfile.is_encrypted(raw)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    name, key = keyfile.open_key(raw, PASSPHRASE.encode())
    assert name == done.json["name"] == "aurora"
    assert PublicKey(ED25519, b64decode(done.json["public"])) == key.public
    assert done.json["keyid"] == key.public.keyid
    for vkey, kind in (("log_vkey", note.TYPE_ED25519), ("witness_vkey", note.TYPE_COSIGNATURE)):
        parsed = note.parse_vkey(done.json[vkey])
        assert (parsed.name, parsed.type, parsed.public) == ("aurora", kind, key.public)
    assert key.seed.hex() not in done.out
    assert PASSPHRASE not in done.out


def test_a_post_quantum_key_has_a_digest_for_the_agreement(run, tmp_path):
    done = run("keygen", "log.example", "-o", tmp_path / "key", "--suite", "ml-dsa-44", "--unencrypted")
    assert done.code == 0
    name, key = keyfile.open_key((tmp_path / "key").read_bytes(), None)
    parsed = note.parse_vkey(done.json["vkey"])
    assert (parsed.name, parsed.type, parsed.public) == (name, note.TYPE_MLDSA44, key.public)
    assert done.json["mldsa44"] == hashlib.sha256(key.public.raw).hexdigest()
    assert len(key.public.raw) == 1312
    assert key.seed.hex() not in done.out


def test_a_suite_that_there_is_not_is_refused(run, tmp_path):
    assert run("keygen", "x", "-o", tmp_path / "key", "--suite", "rsa", "--unencrypted").code == 2
    assert not (tmp_path / "key").exists()


def test_two_keys_are_two_keys(run, tmp_path):
    keys = [run("keygen", "x", "-o", tmp_path / name, "--unencrypted").json["keyid"] for name in "ab"]
    assert keys[0] != keys[1]


def test_an_unencrypted_key_is_said_to_be_one(run, tmp_path):
    done = run("keygen", "x", "-o", tmp_path / "key", "--unencrypted")
    assert done.code == 0
    assert "not encrypted" in done.err
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert not keyfile.is_encrypted((tmp_path / "key").read_bytes())


def test_no_mask_opens_a_key_to_others(run, tmp_path):
    before = os.umask(0)
    try:
        run("keygen", "x", "-o", tmp_path / "key", "--unencrypted")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


@pytest.mark.parametrize("what", ["file", "directory", "link", "dangling link", "nowhere"])
def test_nothing_is_written_over(run, tmp_path, tree, what):
    place = tmp_path / "key"
    if what == "file":
        place.write_text("mine")
    elif what == "directory":
        place.mkdir()
    elif what == "link":
        (tmp_path / "mine").write_text("mine")
        place.symlink_to(tmp_path / "mine")
    elif what == "dangling link":
        place.symlink_to(tmp_path / "elsewhere")
    else:
        place = tmp_path / "no" / "such" / "key"
    before = tree(tmp_path) if what != "dangling link" else {}
    done = run("keygen", "x", "-o", place, "--unencrypted")
    assert done.code == 2
    assert str(place) in done.error
    assert done.out == ""
    if what == "dangling link":
        assert not (tmp_path / "elsewhere").exists()
    else:
        assert tree(tmp_path) == before


@pytest.mark.parametrize("name", ["", " ", "a b", "a+b", "a\nb", "a\x1b[31m", "x" * 256, "\u2028"])
def test_a_name_that_no_note_can_carry_is_refused(run, tmp_path, name):
    done = run("keygen", "-o", tmp_path / "key", "--unencrypted", "--", name)
    assert done.code == 2
    assert done.error
    assert done.out == ""
    assert not (tmp_path / "key").exists()


def test_without_a_passphrase_no_key_is_made_on_a_pipe(spawn, tmp_path):
    environment = {key: value for key, value in os.environ.items() if key != "PAUSECTL_PASSPHRASE_FILE"}
    done = spawn("keygen", "x", "-o", tmp_path / "key", env=environment)
    assert done.code == 2
    assert "PAUSECTL_PASSPHRASE_FILE" in done.err
    assert not (tmp_path / "key").exists()


@pytest.mark.parametrize("words", [b"", b"\n", None])
def test_an_empty_or_missing_passphrase_makes_no_key(run, tmp_path, monkeypatch, words):
    if words is not None:
        (tmp_path / "words").write_bytes(words)
    monkeypatch.setenv("PAUSECTL_PASSPHRASE_FILE", str(tmp_path / "words"))
    done = run("keygen", "x", "-o", tmp_path / "key")
    assert done.code == 2
    assert done.error
    assert not (tmp_path / "key").exists()


def test_an_encrypted_key_signs_where_a_bare_one_does(run, home, tmp_path, monkeypatch, bodies):
    """The demonstration's key, locked with a passphrase, and used."""
    name, key = keyfile.open_key((home / "keys" / "aurora.key").read_bytes(), None)
    locked = keyfile.format_key(name, key, passphrase=PASSPHRASE.encode(), salt=bytes(16), nonce=bytes(24))
    (tmp_path / "locked").write_bytes(locked)
    (tmp_path / "words").write_text(PASSPHRASE)
    (tmp_path / "wrong").write_text(PASSPHRASE + "!")
    (tmp_path / "body").write_text(json.dumps(bodies(home, "aurora", "model")))
    command = (
        "lab", "attest", "model", tmp_path / "body", "--agreement", home / "agreement.json", "--ledger", home / "log",
        "--key", tmp_path / "locked", "-o", tmp_path / "envelope",
    )  # fmt: skip
    monkeypatch.setattr("sys.stdin", io.StringIO())
    done = run(*command)
    assert done.code == 2
    assert f"{tmp_path / 'locked'}: the key is encrypted" in done.error
    monkeypatch.setenv("PAUSECTL_PASSPHRASE_FILE", str(tmp_path / "wrong"))
    done = run(*command)
    assert done.code == 2
    assert "passphrase does not open" in done.error
    assert not (tmp_path / "envelope").exists()
    monkeypatch.setenv("PAUSECTL_PASSPHRASE_FILE", str(tmp_path / "words"))
    assert run(*command).code == 0
    monkeypatch.setenv("PAUSECTL_KEY", str(tmp_path / "locked"))
    assert run(*command[:-4], "-o", tmp_path / "again").code == 0
    assert (tmp_path / "again").read_bytes() == (tmp_path / "envelope").read_bytes()
