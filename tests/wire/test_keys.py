# SPDX-License-Identifier: Apache-2.0
"""Ed25519 under the pinned rule: 163 published edge cases, two libraries, and OpenSSH's own fingerprints."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hypothesis import given
from hypothesis import strategies as st

from pausectl.errors import Malformed
from pausectl.wire import keys
from pausectl.wire.keys import ED25519, LOW_ORDER, SUITES, PrivateKey, PublicKey, base64, fingerprint, unbase64

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
Y = 2**255 - 1

FINGERPRINTS = {
    "pub": "SHA256:HTkJsdh2Vtg4gZSi12ifzNvsZt3A0rRmb0wVkT6F18U",
    "p0": "SHA256:joZEwGXRDzYUvxTQ9gutluLOuAngUN9RCW19fD7Hg7w",
    "p1": "SHA256:c8Z/gLrICdgSPpB6B+lMAAdDC3UI7PtaCFWqv9CfiY0",
    "p2": "SHA256:CXiUPyOsufdCUSSIwI4WlI341+8wBuRu1BZZc5HVKUU",
}
SEEDS = {"pub": b"pausectl-demo", "p0": b"k0", "p1": b"k1", "p2": b"k2"}


def demo(name="pub"):
    return PrivateKey.from_seed(ED25519, hashlib.sha256(SEEDS[name]).digest())


# ── the acceptance rule ──


@pytest.fixture
def cases(shared):
    """(source, id) → key, message, signature of all published cases."""
    speccheck = json.loads(shared("vectors/ed25519/speccheck_cases.json").read_text())
    wycheproof = json.loads(shared("vectors/ed25519/wycheproof_ed25519_test.json").read_text())
    found = {}
    for number, case in enumerate(speccheck):
        found["speccheck", number] = tuple(bytes.fromhex(case[name]) for name in ("pub_key", "message", "signature"))
    for group in wycheproof["testGroups"]:
        key = bytes.fromhex(group["publicKey"]["pk"])
        for test in group["tests"]:
            found["wycheproof", test["tcId"]] = (key, bytes.fromhex(test["msg"]), bytes.fromhex(test["sig"]))
    return found


@pytest.fixture
def pinned(shared):
    """(source, id) → whether the pinned rule accepts."""
    rows = json.loads(shared("vectors/ed25519/verifier_results.json").read_text())
    return {(row["src"], row["id"]): row["pinned"] for row in rows}


def ours(key, message, signature):
    try:
        return PublicKey(ED25519, key).verify(message, signature)
    except Malformed:
        return False


def bare_openssl(key, message, signature):
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def openssl(key, message, signature):
    """The rule written a second time, over another library."""

    def number(part):
        return int.from_bytes(part, "little")

    admissible = len(key) == 32 and len(signature) == 64 and number(signature[32:]) < L
    admissible = admissible and all(number(p) & Y < P and p not in LOW_ORDER for p in (key, signature[:32]))
    return admissible and bare_openssl(key, message, signature)


def test_every_published_case_has_the_pinned_answer(cases, pinned):
    """KEY-1 to KEY-4."""
    assert len(cases) == len(pinned) == 163
    assert {case: ours(*data) for case, data in cases.items()} == pinned


def test_the_rule_over_openssl_gives_the_same_answers(cases, pinned):
    """KEY-4."""
    assert {case: openssl(*data) for case, data in cases.items()} == pinned


def test_the_checks_in_front_stand_alone(cases, shared, monkeypatch):
    """KEY-1 to KEY-3: libsodium makes most of these checks again, so here it accepts everything."""
    rows = json.loads(shared("vectors/ed25519/verifier_results.json").read_text())
    monkeypatch.setattr(keys, "crypto_sign_open", lambda *_: b"")
    admissible = {(row["src"], row["id"]): row["admissible"] for row in rows}
    assert {case: ours(*data) for case, data in cases.items()} == admissible


def test_without_the_rule_openssl_answers_otherwise(cases, pinned):
    """Else the checks in front would be shown by nothing here."""
    assert sorted(case for case, data in cases.items() if bare_openssl(*data) != pinned[case]) == [
        ("speccheck", 0),
        ("speccheck", 1),
        ("speccheck", 2),
        ("speccheck", 11),
    ]


def test_wycheproof_agrees_on_all_151(cases, shared):
    groups = json.loads(shared("vectors/ed25519/wycheproof_ed25519_test.json").read_text())["testGroups"]
    valid = {test["tcId"]: test["result"] == "valid" for group in groups for test in group["tests"]}
    assert len(valid) == 151
    assert {number: ours(*cases["wycheproof", number]) for number in valid} == valid


def test_speccheck_accepts_case_3_alone(cases):
    assert [number for number in range(12) if ours(*cases["speccheck", number])] == [3]


@pytest.mark.parametrize("point", sorted(LOW_ORDER), ids=bytes.hex)
def test_a_point_of_small_order_is_no_key_and_no_nonce(point):
    """KEY-3."""
    with pytest.raises(Malformed, match="small order"):
        PublicKey(ED25519, point)
    assert demo().public.verify(b"", point + bytes(32)) is False
    assert SUITES[ED25519].verify(point, b"m", demo().sign(b"m")) is False


def test_the_list_of_small_orders_is_what_the_curve_says():
    """Every y whose point doubles to the identity three times, from the curve equation alone."""
    d = -121665 * pow(121666, -1, P) % P
    root = pow(2, (P - 1) // 4, P)

    def add(a, b):
        (x1, y1), (x2, y2) = a, b
        t = d * x1 * x2 * y1 * y2
        x = (x1 * y2 + x2 * y1) * pow(1 + t, -1, P) % P
        return x, (y1 * y2 + x1 * x2) * pow(1 - t, -1, P) % P

    def xs(y):
        square = (y * y - 1) * pow(d * y * y + 1, -1, P) % P
        x = pow(square, (P + 3) // 8, P)
        x = x if x * x % P == square else x * root % P
        return {x, -x % P} if x * x % P == square else set()

    for encoding in LOW_ORDER:
        y = (int.from_bytes(encoding, "little") & Y) % P
        assert xs(y), encoding.hex()
        for x in xs(y):
            point = (x, y)
            for _ in range(3):
                point = add(point, point)
            assert point == (0, 1)
    ys = {int.from_bytes(encoding, "little") & Y for encoding in LOW_ORDER}
    small = {0, 1, P - 1} | {y for y in ys if y % P not in {0, 1, P - 1}}
    assert len({(x, y) for y in small for x in xs(y)}) == 8
    assert ys == small | {y + P for y in small if y + P < 2**255}
    assert len(LOW_ORDER) == 2 * len(ys)


@given(st.binary(max_size=64), st.binary(max_size=70), st.binary(min_size=32, max_size=32))
def test_both_libraries_agree_on_arbitrary_bytes(message, signature, key):
    assert ours(key, message, signature) == openssl(key, message, signature)


@given(st.binary(max_size=64), st.integers(0, 511), st.integers(0, 2**256 - 1))
def test_both_libraries_agree_near_a_good_signature(message, bit, shift):
    key = demo()
    good = key.sign(message)
    flipped = (int.from_bytes(good, "little") ^ (1 << bit)).to_bytes(64, "little")
    moved = good[:32] + ((int.from_bytes(good[32:], "little") + shift) % 2**256).to_bytes(32, "little")
    for signature in (good, flipped, moved):
        expected = signature == good
        assert key.public.verify(message, signature) is expected
        assert openssl(key.public.raw, message, signature) is expected


def test_adding_the_group_order_to_s_is_refused():
    """KEY-1."""
    key = demo()
    good = key.sign(b"m")
    for times in range(1, 16):
        s = int.from_bytes(good[32:], "little") + times * L
        if s < 2**256:
            assert key.public.verify(b"m", good[:32] + s.to_bytes(32, "little")) is False


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200))
def test_signatures_and_public_keys_are_those_of_openssl(seed, message):
    key = PrivateKey.from_seed(ED25519, seed)
    other = Ed25519PrivateKey.from_private_bytes(seed)
    assert key.public.raw == other.public_key().public_bytes_raw()
    assert key.sign(message) == other.sign(message)


@given(st.binary(max_size=80))
def test_a_public_key_is_32_bytes_or_malformed(raw):
    try:
        key = PublicKey(ED25519, raw)
    except Malformed:
        assert len(raw) != 32 or int.from_bytes(raw, "little") & Y >= P or raw in LOW_ORDER
    else:
        assert len(raw) == 32
        assert key.verify(b"", raw) is False


def test_a_key_above_the_prime_is_refused():
    """KEY-2."""
    for y in range(P, 2**255):
        with pytest.raises(Malformed):
            PublicKey(ED25519, y.to_bytes(32, "little"))


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_seed_of_another_length_is_refused(length):
    with pytest.raises(Malformed, match=f"expected 32 bytes, found {length}"):
        PrivateKey.from_seed(ED25519, bytes(length))


def test_an_unknown_suite_is_named():
    for make in (lambda: keys.suite("rsa"), lambda: PublicKey("rsa", bytes(32)), lambda: PrivateKey("rsa", bytes(32))):
        with pytest.raises(Malformed, match="expected one of ed25519, ml-dsa-44, found 'rsa'"):
            make()


def test_repr_does_not_show_the_seed():
    key = demo()
    assert key.seed.hex() not in repr(key)
    assert repr(key.seed) not in repr(key)


# ── fingerprints ──


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_fingerprints_of_the_published_keys(name, shared):
    raw = load_pem_public_key(shared(f"vectors/dsse/{name}.pem").read_bytes()).public_bytes_raw()
    assert fingerprint(ED25519, raw) == FINGERPRINTS[name]
    assert PublicKey(ED25519, raw).keyid == FINGERPRINTS[name]
    assert demo(name).public == PublicKey(ED25519, raw)


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no ssh-keygen")
def test_fingerprints_are_what_ssh_keygen_prints(tmp_path):
    for number in range(3):
        public = PrivateKey.from_seed(ED25519, bytes([number]) * 32).public
        blob = b"".join(len(part).to_bytes(4, "big") + part for part in (b"ssh-ed25519", public.raw))
        path = tmp_path / f"{number}.pub"
        path.write_text(f"ssh-ed25519 {base64(blob)} test\n")
        command = [shutil.which("ssh-keygen"), "-l", "-E", "sha256", "-f", str(path)]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert printed.split()[1] == public.keyid


# ── base64 ──


@given(st.binary(max_size=100))
def test_base64_round_trip(raw):
    assert unbase64(base64(raw)) == raw
    assert unbase64(base64(raw).encode()) == raw


@given(st.text(alphabet="AQgz09+/=-_ \n", max_size=12) | st.text(max_size=8) | st.binary(max_size=12))
def test_base64_has_one_text_for_one_value(text):
    try:
        raw = unbase64(text)
    except Malformed:
        return
    assert base64(raw) == (text if isinstance(text, str) else text.decode())


@pytest.mark.parametrize(
    "text", ["QQ", "QQ=", "QQ===", "QR==", "QUI", "QUJ=", "-_==", "Q Q==", "QQ==\n", "é", "=", "Q"]
)
def test_lenient_base64_is_refused(text):
    with pytest.raises(Malformed, match="base64"):
        unbase64(text)
    with pytest.raises(Malformed, match="base64"):
        unbase64(text.encode())


def test_a_base64_error_names_its_place():
    with pytest.raises(Malformed) as error:
        unbase64("QR==", where="seed")
    assert str(error.value).startswith("seed: base64")
