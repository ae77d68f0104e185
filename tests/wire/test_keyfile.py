# SPDX-License-Identifier: Apache-2.0
"""Key files: the chapter's two examples, two other implementations of the sealing, and every way to be no key file."""

from __future__ import annotations

import hashlib
import json
import re
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.pwhash import argon2id
from nacl.secret import SecretBox

from pausectl.errors import Malformed, Refused, UsageFault
from pausectl.wire import keyfile
from pausectl.wire.canonical import dump
from pausectl.wire.keyfile import format_key, is_encrypted, open_key
from pausectl.wire.keys import ED25519, PrivateKey, base64, unbase64

CHAPTER = Path(__file__).resolve().parents[2] / "specs" / "statements.md"
PASSPHRASE = b"correct horse battery staple"
SALT, NONCE = bytes(range(16)), bytes(range(24))
KEY = PrivateKey.from_seed(ED25519, hashlib.sha256(b"pausectl-demo").digest())

SEALED = format_key("lab-a", KEY, passphrase=PASSPHRASE, salt=SALT, nonce=NONCE)
BARE = format_key("lab-a", KEY, passphrase=None, salt=b"", nonce=b"")


def changed(raw, **members):
    return dump(json.loads(raw) | members) + b"\n"


def kdf(**members):
    return changed(SEALED, kdf=json.loads(SEALED)["kdf"] | members)


# ── what is written ──


def test_the_examples_of_the_chapter():
    blocks = re.findall(r"```json\n(.*)\n```", CHAPTER.read_text())
    assert [block.encode() + b"\n" for block in blocks[-2:]] == [SEALED, BARE]


def test_the_example_of_the_module():
    found = re.search(r'^ +(\{"kdf":null.*)\n +(.*\})$', keyfile.__doc__, re.MULTILINE)
    assert f"{found[1]}{found[2]}\n".encode() == BARE


def test_round_trip_sealed_and_bare():
    assert open_key(SEALED, PASSPHRASE) == ("lab-a", KEY)
    assert open_key(BARE, None) == open_key(BARE, b"whatever") == ("lab-a", KEY)
    assert is_encrypted(SEALED) is True
    assert is_encrypted(BARE) is False
    for raw in (SEALED, BARE):
        assert keyfile.format(keyfile.parse(raw)) == raw


NAMES = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="+"), min_size=1, max_size=12)


@given(NAMES, st.binary(min_size=32, max_size=32))
def test_bare_round_trip(name, seed):
    key = PrivateKey.from_seed(ED25519, seed)
    raw = format_key(name, key, passphrase=None, salt=b"", nonce=b"")
    assert open_key(raw, None) == (name, key)
    assert keyfile.format(keyfile.parse(raw)) == raw


@settings(max_examples=3, deadline=None)
@given(
    NAMES, st.binary(min_size=1, max_size=30), st.binary(min_size=16, max_size=16), st.binary(min_size=24, max_size=24)
)
def test_sealed_round_trip(name, passphrase, salt, nonce):
    raw = format_key(name, KEY, passphrase=passphrase, salt=salt, nonce=nonce)
    assert open_key(raw, passphrase) == (name, KEY)
    with pytest.raises(Refused):
        open_key(raw, passphrase + b"x")


def test_two_other_implementations_open_it():
    """OpenSSL's Argon2id, and PyNaCl's high-level SecretBox."""
    value = json.loads(SEALED)
    assert (value["kdf"]["operations"], value["kdf"]["memory_bytes"]) == (2, 67_108_864)
    assert (argon2id.OPSLIMIT_INTERACTIVE, argon2id.MEMLIMIT_INTERACTIVE) == (2, 67_108_864)
    salt = unbase64(value["kdf"]["salt"])
    derived = Argon2id(salt=salt, length=32, iterations=2, lanes=1, memory_cost=65_536).derive(PASSPHRASE)
    assert SecretBox(derived).decrypt(unbase64(value["sealed"])) == KEY.seed


def test_sealing_hides_the_seed():
    for form in (KEY.seed.hex(), base64(KEY.seed), base64(KEY.seed)[:20]):
        assert form.encode() not in SEALED
    assert base64(KEY.seed).encode() in BARE
    assert "secret" not in repr(keyfile.parse(BARE))


# ── passphrases ──


def test_a_missing_passphrase_is_refused_with_a_hint():
    with pytest.raises(Refused, match="key file of lab-a is encrypted and no passphrase was given") as error:
        open_key(SEALED, None)
    assert "passphrase" in error.value.hint


@pytest.mark.parametrize("passphrase", [b"", b"wrong", PASSPHRASE + b" "])
def test_a_wrong_passphrase_is_refused_with_a_hint(passphrase):
    with pytest.raises(Refused, match="does not open the key file of lab-a") as error:
        open_key(SEALED, passphrase)
    assert "check the passphrase" in error.value.hint


def test_a_damaged_box_does_not_open():
    sealed = bytearray(unbase64(json.loads(SEALED)["sealed"]))
    for at in (0, 24, 40, 71):
        damaged = bytes(b ^ (i == at) for i, b in enumerate(sealed))
        with pytest.raises(Refused):
            open_key(changed(SEALED, sealed=base64(damaged)), PASSPHRASE)


def test_an_empty_passphrase_seals_nothing():
    with pytest.raises(UsageFault, match="at least one byte"):
        format_key("lab-a", KEY, passphrase=b"", salt=SALT, nonce=NONCE)


@pytest.mark.parametrize(("salt", "nonce"), [(b"", NONCE), (SALT + b"x", NONCE), (SALT, b""), (SALT, NONCE[1:])])
def test_salt_and_nonce_have_one_length(salt, nonce):
    with pytest.raises(UsageFault, match="expected 16 bytes of salt and 24 of nonce"):
        format_key("lab-a", KEY, passphrase=b"x", salt=salt, nonce=nonce)


def test_lack_of_memory_is_refused_with_a_hint(monkeypatch):
    def fail(*args):
        raise keyfile.OutOfMemory

    monkeypatch.setattr(keyfile, "crypto_pwhash_alg", fail)
    with pytest.raises(Refused, match="too little memory") as error:
        open_key(SEALED, PASSPHRASE)
    assert "64 MiB" in error.value.hint


# ── refusals ──

OTHER = base64(PrivateKey.from_seed(ED25519, bytes(32)).public.raw)
SEED = json.loads(BARE)["seed"]
BOX = json.loads(SEALED)["sealed"]
REFUSED = {
    "nothing": (b"", "expected one line that ends in a line feed"),
    "no line feed": (BARE[:-1], "expected one line that ends in a line feed"),
    "carriage return": (BARE[:-1] + b"\r\n", "not canonical JSON"),
    "two lines": (BARE + b"\n", "not canonical JSON"),
    "a space": (BARE.replace(b":", b": ", 1), "not canonical JSON"),
    "no object": (b"[]\n", "key file: expected an object"),
    "too long": (changed(BARE, name="x" * 17_000), "at most 16384 bytes"),
    "another member": (changed(BARE, comment="x"), "expected exactly the members kdf, name, public, seed, suite, type"),
    "both secrets": (changed(BARE, sealed=BOX), "expected exactly the members kdf, name, public, seed, suite, type"),
    "sealed without kdf": (
        dump({k: v for k, v in json.loads(SEALED).items() if k != "kdf"}) + b"\n",
        "expected exactly the members",
    ),
    "sealed with null": (changed(SEALED, kdf=None), "expected exactly the members kdf, name, public, seed"),
    "bare with a kdf": (
        changed(BARE, kdf=json.loads(SEALED)["kdf"]),
        "expected exactly the members kdf, name, public, sealed, suite, type",
    ),
    "another type": (changed(BARE, type="pausectl-key/v2"), "type: expected pausectl-key/v1, found 'pausectl-key/v2'"),
    "type of no text": (changed(BARE, type=1), "type: expected pausectl-key/v1, found '1'"),
    "unknown suite": (changed(BARE, suite="rsa"), "expected one of ed25519, ml-dsa-44, found 'rsa'"),
    "suite of no text": (changed(BARE, suite=["ed25519"]), "suite: expected a text"),
    "name of no text": (changed(BARE, name=None), "name: expected a text"),
    "empty name": (changed(BARE, name=""), "name: expected 1 to 255 printable characters"),
    "long name": (changed(BARE, name="x" * 256), "name: expected 1 to 255 printable characters"),
    "name with a space": (changed(BARE, name="lab a"), "no space and no plus sign"),
    "name with another space": (changed(BARE, name="lab\u2003a"), "name: expected 1 to 255 printable"),
    "name with a line feed": (changed(BARE, name="lab\n"), "name: expected 1 to 255 printable"),
    "name with a direction": (changed(BARE, name="lab\u202ea"), "name: expected 1 to 255 printable"),
    "name with a plus": (changed(BARE, name="lab+a"), "no space and no plus sign"),
    "public of no text": (changed(BARE, public=0), "public: expected a text"),
    "public without padding": (changed(BARE, public=OTHER[:-1]), "public: base64"),
    "short public": (changed(BARE, public=base64(bytes(31))), "public: expected 32 bytes, found 31"),
    "public of small order": (changed(BARE, public=base64(bytes(32))), "small order"),
    "seed of no text": (changed(BARE, seed={}), "seed: expected a text"),
    "short seed": (changed(BARE, seed=base64(bytes(31))), "seed: expected 32 bytes, found 31"),
    "long seed": (changed(BARE, seed=base64(bytes(64))), "seed: expected 32 bytes, found 64"),
    "seed with spare bits": (changed(BARE, seed=SEED[:-2] + "N="), "seed: base64: not canonical"),
    "short box": (changed(SEALED, sealed=base64(bytes(71))), "sealed: expected 72 bytes, found 71"),
    "long box": (changed(SEALED, sealed=base64(bytes(73))), "sealed: expected 72 bytes, found 73"),
    "kdf of no object": (
        changed(SEALED, kdf="argon2id"),
        "kdf: expected argon2id with salt, operations 2, memory_bytes",
    ),
    "empty kdf": (changed(SEALED, kdf={}), "kdf: expected argon2id"),
    "kdf false": (changed(SEALED, kdf=False), "kdf: expected argon2id"),
    "another member of kdf": (kdf(lanes=1), "kdf: expected argon2id"),
    "another kdf": (kdf(name="argon2i"), "kdf: expected argon2id"),
    "more memory": (kdf(memory_bytes=2**42), "kdf: expected argon2id"),
    "less memory": (kdf(memory_bytes=8192), "kdf: expected argon2id"),
    "more work": (kdf(operations=2**31), "kdf: expected argon2id"),
    "less work": (kdf(operations=1), "kdf: expected argon2id"),
    "work of no number": (kdf(operations="2"), "kdf: expected argon2id"),
    "short salt": (kdf(salt=base64(bytes(15))), "kdf.salt: expected 16 bytes, found 15"),
    "salt of no text": (kdf(salt=None), "kdf.salt: expected a text"),
}


@pytest.mark.parametrize(("raw", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(raw, message):
    """KEY-5 and KEY-6."""
    start = time.process_time()
    for read in (is_encrypted, lambda raw: open_key(raw, PASSPHRASE)):
        with pytest.raises(Malformed, match=message):
            read(raw)
    assert time.process_time() - start < 0.05  # not a single derivation


@pytest.mark.parametrize("raw", [changed(BARE, public=OTHER), changed(SEALED, public=OTHER)], ids=["bare", "sealed"])
def test_a_public_key_of_another_seed_is_refused(raw):
    """KEY-7."""
    assert keyfile.parse(raw).name == "lab-a"
    with pytest.raises(Malformed, match=re.escape(f"public: expected {KEY.public.keyid}, the key of this seed")):
        open_key(raw, PASSPHRASE)


def test_format_refuses_what_parse_refuses():
    for name in ("", "lab a", "\ud800"):
        with pytest.raises(Malformed):
            format_key(name, KEY, passphrase=None, salt=b"", nonce=b"")


@given(st.binary(max_size=60) | st.tuples(st.integers(0, len(BARE)), st.integers(0, 3), st.binary(max_size=3)))
def test_bytes_are_a_key_file_or_malformed(change):
    if isinstance(change, tuple):
        at, gone, new = change
        change = BARE[:at] + new + BARE[at + gone :]
    try:
        name, key = open_key(change, None)
    except Malformed:
        return
    assert format_key(name, key, passphrase=None, salt=b"", nonce=b"") == change
