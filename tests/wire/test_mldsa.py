# SPDX-License-Identifier: Apache-2.0
"""ML-DSA-44: what FIPS 204 says of others' signatures, the bytes that a Go witness signed, and pairs of keys."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pausectl.errors import Forged, Malformed, UsageFault
from pausectl.wire import checkpoint, cosignature, keyfile, keys, note, subtree
from pausectl.wire.checkpoint import Checkpoint
from pausectl.wire.keys import ED25519, MLDSA44, PrivateKey, PublicKey
from pausectl.wire.note import TYPE_COSIGNATURE, TYPE_ED25519, TYPE_MLDSA44, Note, Signature, VerifierKey

Shared = Callable[[str], Path]

OLD, NEW = (PrivateKey.from_seed(suite, bytes(32)) for suite in (ED25519, MLDSA44))
LOG = VerifierKey("log.example", TYPE_ED25519, OLD.public)
LOG_NEW = VerifierKey("log.example", TYPE_MLDSA44, NEW.public)
HEAD = Checkpoint("log.example", 5, bytes(range(32)))
TEXT = checkpoint.format(HEAD)


def pair(name: str, seed: int) -> tuple[tuple[PrivateKey, PrivateKey], tuple[VerifierKey, VerifierKey]]:
    ed, ml = (PrivateKey.from_seed(suite, bytes([seed] * 32)) for suite in (ED25519, MLDSA44))
    return (ed, ml), (VerifierKey(name, TYPE_COSIGNATURE, ed.public), VerifierKey(name, TYPE_MLDSA44, ml.public))


(ONE_ED, ONE_ML), ONE = pair("one.example", 1)
(TWO_ED, TWO_ML), TWO = pair("two.example", 2)


def cosigned(*lines: Signature) -> Note:
    return note.add(checkpoint.sign(HEAD, OLD), lines)


# ── the algorithm ──


def cases(shared: Shared, name: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    found = json.loads(shared(f"vectors/wycheproof/mldsa_44_{name}_test.json").read_text())
    return [(group, test) for group in found["testGroups"] for test in group["tests"]]


def test_key_8_every_verdict_of_wycheproof(shared: Shared) -> None:
    checked = 0
    for group, test in cases(shared, "verify"):
        if test.get("ctx"):
            continue  # another context than ours; what they sign must not verify without it, below
        try:
            key = PublicKey(MLDSA44, bytes.fromhex(group["publicKey"]))
            found = key.verify(bytes.fromhex(test["msg"]), bytes.fromhex(test["sig"]))
        except Malformed:
            found = False
        assert found == (test["result"] == "valid"), test["comment"]
        checked += 1
    assert checked > 150


def test_key_8_a_signature_in_another_context_does_not_verify(shared: Shared) -> None:
    others = [(g, t) for g, t in cases(shared, "verify") if t.get("ctx") and t["result"] == "valid"]
    assert others
    for group, test in others:
        key = PublicKey(MLDSA44, bytes.fromhex(group["publicKey"]))
        assert not key.verify(bytes.fromhex(test["msg"]), bytes.fromhex(test["sig"]))


def test_a_seed_determines_the_key(shared: Shared) -> None:
    seen = 0
    for group, test in cases(shared, "sign_seed"):
        if test["result"] == "valid":
            key = PrivateKey.from_seed(MLDSA44, bytes.fromhex(group["privateSeed"]))
            assert key.public.raw.hex() == group["publicKey"]
            seen += 1
    assert seen > 70


def test_two_signatures_of_one_message_differ_and_both_verify() -> None:
    first, second = NEW.sign(b"message"), NEW.sign(b"message")
    assert first != second
    assert NEW.public.verify(b"message", first)
    assert NEW.public.verify(b"message", second)
    assert not NEW.public.verify(b"massage", first)
    assert [NEW.public.verify(b"message", wrong) for wrong in (b"", first[:-1], first + b"\0")] == [False] * 3


@given(st.integers(0, 2_419 * 8))
def test_a_bit_changed_anywhere_is_found(place: int) -> None:
    changed = bytearray(SIGNED)
    changed[place // 8] ^= 1 << place % 8
    assert not NEW.public.verify(b"m", bytes(changed))


SIGNED = NEW.sign(b"m")


def test_a_key_file_holds_one_too() -> None:
    for words in (None, b"words"):
        raw = keyfile.format_key("log.example", NEW, passphrase=words, salt=bytes(16), nonce=bytes(24))
        assert keyfile.format(keyfile.parse(raw)) == raw
        assert keyfile.open_key(raw, words) == ("log.example", NEW)


# ── what is signed ──


def test_cosig_6_the_bytes_that_a_go_witness_signed(shared: Shared) -> None:
    case = json.loads(shared("vectors/golden-go/cosignatures.json").read_text())
    text = note.parse(case["checkpoint"].encode()).text
    given = next(c for c in case["cosignatures"] if c["type"] == 6)
    key, line = note.parse_vkey(given["vkey"]), note.parse_signature(given["line"])
    assert note.format_vkey(key) == given["vkey"]
    assert key.key_id.hex() == given["key_id"] == line.key_id.hex()
    assert key.message(text, given["timestamp"]).hex() == given["signed_message_hex"]
    assert cosignature.open_cosignature(text, line, key) == given["timestamp"]
    assert note.format_signature(line) == given["line"]


def test_a_checkpoint_with_both_lines_of_a_go_witness(shared: Shared) -> None:
    folder = shared("vectors/golden-go")
    log, ed, ml = (
        note.parse_vkey((folder / f"{name}.vkey").read_text().strip())
        for name in ("log", "witness-ed25519", "witness-mldsa44")
    )
    _, signed = checkpoint.open((folder / "size600.checkpoint.cosigned").read_bytes(), log)
    assert cosignature.cosignatures(signed, [ml, ed]) == {
        "witness.example/ml": 1795311656, "witness.example/ed": 1795311656,
    }  # fmt: skip


def test_our_signature_is_of_the_bytes_of_the_go_witness(shared: Shared) -> None:
    """Its secret key, and the message that its vectors pin: hedged, so the signature is another each time."""
    folder = shared("vectors/golden-go")
    secret = keys.unbase64((folder / "witness-mldsa44.skey.TEST-ONLY").read_text().strip().split("+", 4)[4])
    signer = PrivateKey.from_seed(MLDSA44, secret[1:])
    vkey = note.parse_vkey((folder / "witness-mldsa44.vkey").read_text().strip())
    assert vkey.public == signer.public
    case = json.loads((folder / "cosignatures.json").read_text())
    given = next(c for c in case["cosignatures"] if c["type"] == 6)
    ours = cosignature.cosign(note.parse(case["checkpoint"].encode()).text, vkey.name, signer, given["timestamp"])
    assert signer.public.verify(bytes.fromhex(given["signed_message_hex"]), ours.payload[8:])


def test_the_example_of_the_module_and_the_page() -> None:
    shown = "".join((inspect.getdoc(subtree) or "").split("\n\n")[1].split())
    root = "3bfc43d281186068742e82967ea57e18e096d2f9135174c05d9c40a793d38b24"
    text = f"pause.example/golden\n600\n{keys.base64(bytes.fromhex(root))}\n"
    assert subtree.of_checkpoint(text, "witness.example/ml", 1795311656).hex() == shown
    page = (Path(__file__).resolve().parents[2] / "specs" / "ledger.md").read_text(encoding="utf-8")
    assert shown in "".join(page.split())


@pytest.mark.parametrize(
    ("cosigner", "time", "origin", "start", "end", "hash"),
    [
        ("", 0, "o", 0, 1, bytes(32)), ("w" * 256, 0, "o", 0, 1, bytes(32)), ("w", 0, "", 0, 1, bytes(32)),
        ("w", 0, "o" * 256, 0, 1, bytes(32)), ("w", 1, "o", 2, 4, bytes(32)), ("w", 0, "o", 2, 1, bytes(32)),
        ("w", 2**63, "o", 0, 1, bytes(32)), ("w", -1, "o", 0, 1, bytes(32)), ("w", 0, "o", 0, 2**63, bytes(32)),
        ("w", 0, "o", 0, 1, bytes(31)),
    ],
)  # fmt: skip
def test_cosig_6_what_has_no_message(cosigner: str, time: int, origin: str, start: int, end: int, hash: bytes) -> None:
    with pytest.raises(Malformed, match="subtree"):
        subtree.message(cosigner, time, origin, start, end, hash)


def test_a_text_of_other_than_three_lines_is_signed_by_nobody() -> None:
    for text in (TEXT + "extension\n", TEXT.rpartition("\n")[0], "one line\n", TEXT.replace("\n5\n", "\n05\n")):
        with pytest.raises(Malformed):
            subtree.of_checkpoint(text, "one.example", 1)
        assert not LOG_NEW.verify(text, bytes(8) + SIGNED)
    with pytest.raises(Malformed):
        note.sign("one line\n", [("log.example", NEW)])


# ── the log signs with both ──


def test_ckpt_7_both_signatures_of_the_log_are_needed_when_both_keys_are_known() -> None:
    both = checkpoint.sign(HEAD, OLD, NEW)
    assert [line.payload[:8] == bytes(8) for line in both.signatures] == [False, True]
    assert checkpoint.open(both.raw, LOG, also=[LOG_NEW]) == (HEAD, both)
    assert checkpoint.open(both.raw, LOG) == (HEAD, both)
    for only in (checkpoint.sign(HEAD, OLD), checkpoint.sign(HEAD, NEW)):
        with pytest.raises(Forged, match="known key"):
            checkpoint.open(only.raw, LOG, also=[LOG_NEW])
    assert checkpoint.open(checkpoint.sign(HEAD, OLD).raw, LOG)[0] == HEAD  # of a log that is known by one key


def test_ckpt_7_a_line_of_another_text_does_not_help() -> None:
    other = checkpoint.sign(Checkpoint("log.example", 6, bytes(32)), NEW).signatures
    with pytest.raises(Forged, match="does not verify"):
        checkpoint.open(note.add(checkpoint.sign(HEAD, OLD), other).raw, LOG, also=[LOG_NEW])


# ── witnesses with two keys ──


def lines(time: int, name: str, *signers: PrivateKey) -> list[Signature]:
    return [cosignature.cosign(TEXT, name, signer, time) for signer in signers]


def test_cosig_8_a_witness_counts_with_both_lines_or_not_at_all() -> None:
    both = cosigned(*lines(7, "one.example", ONE_ED, ONE_ML), *lines(8, "two.example", TWO_ED))
    assert cosignature.together(both, [ONE, TWO]) == {"one.example": 7}
    assert cosignature.together(both, [ONE, TWO[:1]]) == {"one.example": 7, "two.example": 8}
    assert cosignature.together(cosigned(*lines(8, "two.example", TWO_ML)), [ONE, TWO]) == {}


def test_cosig_8_two_lines_of_two_times_are_no_pair() -> None:
    early, late = lines(7, "one.example", ONE_ED, ONE_ML), lines(9, "one.example", ONE_ED, ONE_ML)
    assert cosignature.together(cosigned(early[0], late[1]), [ONE]) == {}
    assert cosignature.together(cosigned(early[0], *late), [ONE]) == {"one.example": 9}
    assert cosignature.together(cosigned(*early, *late), [ONE]) == {"one.example": 7}


def test_cosig_2_time_0_is_no_time_of_a_witness() -> None:
    line = Signature("one.example", ONE[1].key_id, bytes(8) + ONE_ML.sign(ONE[1].message(TEXT, 0)))
    assert ONE[1].verify(TEXT, line.payload)
    with pytest.raises(Forged):
        cosignature.open_cosignature(TEXT, line, ONE[1])
    with pytest.raises(Forged, match="found 0"):
        cosignature.cosignatures(cosigned(line), [ONE[1]])


def test_cosig_7_the_log_s_ed25519_key_is_no_witness_s() -> None:
    with pytest.raises(UsageFault):
        cosignature.together(cosigned(), [(LOG,)])


def test_cosig_4_one_key_under_two_names_counts_once() -> None:
    again = VerifierKey("again.example", TYPE_MLDSA44, ONE_ML.public)
    signed = cosigned(*lines(7, "one.example", ONE_ML), *lines(7, "again.example", ONE_ML))
    assert cosignature.cosignatures(signed, [ONE[1], again]) == {"one.example": 7}


def test_the_name_is_signed_too() -> None:
    """Unlike with Ed25519, a line cannot be passed off under another name."""
    again = VerifierKey("again.example", TYPE_MLDSA44, ONE_ML.public)
    moved = Signature("again.example", again.key_id, lines(7, "one.example", ONE_ML)[0].payload)
    with pytest.raises(Forged):
        cosignature.cosignatures(cosigned(moved), [again])
