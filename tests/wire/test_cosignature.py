# SPDX-License-Identifier: Apache-2.0
"""Cosignatures: the bytes a Go witness signed, and how witnesses are counted."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pausectl.errors import Forged, Malformed, UsageFault
from pausectl.wire import checkpoint, cosignature, keys, note
from pausectl.wire.note import Note, Signature, VerifierKey

Shared = Callable[[str], Path]

TEXT = checkpoint.format(checkpoint.Checkpoint("log.example", 5, bytes(32)))
LOG, ONE, TWO = (keys.PrivateKey.from_seed(keys.ED25519, bytes([i] * 32)) for i in range(3))


def witness(signer: keys.PrivateKey, name: str) -> VerifierKey:
    return VerifierKey(name, note.TYPE_COSIGNATURE, signer.public)


def cosigned(*lines: Signature) -> Note:
    return note.add(note.sign(TEXT, [("log.example", LOG)]), lines)


def test_the_bytes_that_a_go_witness_signed(shared: Shared) -> None:
    # COSIG-1
    case = json.loads(shared("vectors/golden-go/cosignatures.json").read_text())
    checkpoint_text = note.parse(case["checkpoint"].encode()).text
    given = next(c for c in case["cosignatures"] if c["type"] == 4)
    signature = note.parse_signature(given["line"])
    key = note.parse_vkey(given["vkey"])
    assert cosignature.message(checkpoint_text, given["timestamp"]).hex() == given["signed_message_hex"]
    assert signature.payload[8:] == keys.unbase64(given["signature_b64"])
    assert (signature.name, signature.key_id.hex()) == (given["name"], given["key_id"])
    assert cosignature.open_cosignature(checkpoint_text, signature, key) == given["timestamp"]
    assert note.format_signature(signature) == given["line"]


def test_we_sign_as_a_go_witness_does(shared: Shared) -> None:
    """Ed25519 is deterministic. The secret key's file has the id of type 0x01, its vkey that of 0x04."""
    folder = shared("vectors/golden-go")
    seed = (folder / "witness-ed25519.skey.TEST-ONLY").read_text().strip().split("+", 4)[4]
    signer = keys.PrivateKey.from_seed(keys.ED25519, keys.unbase64(seed)[1:])
    case = json.loads((folder / "cosignatures.json").read_text())
    given = next(c for c in case["cosignatures"] if c["type"] == 4)
    text = note.parse(case["checkpoint"].encode()).text
    ours = cosignature.cosign(text, given["name"], signer, given["timestamp"])
    assert note.format_signature(ours) == given["line"]
    assert note.format_vkey(witness(signer, given["name"])) == (folder / "witness-ed25519.vkey").read_text().strip()


def test_a_checkpoint_that_go_witnesses_cosigned(shared: Shared) -> None:
    folder = shared("vectors/golden-go")
    raw = (folder / "size600.checkpoint.cosigned").read_bytes()
    log = note.parse_vkey((folder / "log.vkey").read_text().strip())
    key = note.parse_vkey((folder / "witness-ed25519.vkey").read_text().strip())
    claim, signed = checkpoint.open(raw, log)
    assert claim.size == 600
    assert cosignature.cosignatures(signed, [key]) == {"witness.example/ed": 1795311656}


def test_the_example_of_the_module(shared: Shared) -> None:
    text = inspect.getdoc(cosignature) or ""
    line = re.search("— .*", text)
    vkey = re.search(r"\S+\+[0-9a-f]{8}\+\S+", text)
    example = inspect.getdoc(checkpoint) or ""
    body = "".join(f"{part.strip()}\n" for part in example.splitlines()[2:5])
    assert line is not None
    assert vkey is not None
    found = cosignature.open_cosignature(body, note.parse_signature(line[0]), note.parse_vkey(vkey[0]))
    assert found == 1795312863


def test_a_cosignature_is_of_one_text_by_one_key_at_one_time() -> None:
    line = cosignature.cosign(TEXT, "w.example", ONE, 1_700_000_000)
    assert cosignature.open_cosignature(TEXT, line, witness(ONE, "w.example")) == 1_700_000_000
    later = Signature(line.name, line.key_id, (1_700_000_001).to_bytes(8, "big") + line.payload[8:])
    other = TEXT.replace("\n5\n", "\n6\n")
    for text, signature, key in (
        (other, line, witness(ONE, "w.example")),
        (TEXT, later, witness(ONE, "w.example")),
        (TEXT, line, witness(TWO, "w.example")),
        (TEXT, line, witness(ONE, "v.example")),
    ):
        with pytest.raises(Forged):
            cosignature.open_cosignature(text, signature, key)


@pytest.mark.parametrize("timestamp", [0, 2**63, 2**64 - 1])
def test_times_that_say_nothing_are_refused(timestamp: int) -> None:
    """COSIG-2. Properly signed: what is refused is the time, not the signature."""
    with pytest.raises(Malformed):
        cosignature.cosign(TEXT, "w.example", ONE, timestamp)
    key = witness(ONE, "w.example")
    payload = timestamp.to_bytes(8, "big") + ONE.sign(cosignature.message(TEXT, timestamp))
    line = Signature(key.name, key.key_id, payload)
    with pytest.raises(Forged):
        cosignature.open_cosignature(TEXT, line, key)
    with pytest.raises(Forged):
        cosignature.cosignatures(cosigned(line), [key])


class Confused:
    """A signer whose answers are of no use."""

    public = ONE.public

    def __init__(self) -> None:
        self.asked = 0

    def sign(self, message: bytes) -> bytes:
        self.asked += 1
        return TWO.sign(message)


@pytest.mark.parametrize("text", ["anything\n", f"{TEXT}extension\n"])
def test_only_checkpoints_are_cosigned(text: str) -> None:
    signer, key = Confused(), witness(ONE, "w.example")
    with pytest.raises(Malformed):
        cosignature.cosign(text, "w.example", signer, 1)
    assert signer.asked == 0
    payload = (1).to_bytes(8, "big") + ONE.sign(cosignature.message(text, 1))
    line = Signature(key.name, key.key_id, payload)
    with pytest.raises(Malformed):
        cosignature.open_cosignature(text, line, key)
    with pytest.raises(Malformed):
        cosignature.cosignatures(Note(text, (line,)), [key])


def test_a_signer_that_signs_something_else_is_found_out() -> None:
    with pytest.raises(Forged):
        cosignature.cosign(TEXT, "w.example", Confused(), 1)


def test_a_plain_signature_is_no_cosignature() -> None:
    # COSIG-7
    plain = VerifierKey("w.example", note.TYPE_ED25519, ONE.public)
    signed = note.sign(TEXT, [("w.example", ONE)])
    with pytest.raises(UsageFault):
        cosignature.cosignatures(signed, [plain])
    with pytest.raises(UsageFault):
        cosignature.open_cosignature(TEXT, signed.signatures[0], plain)
    assert cosignature.cosignatures(signed, [witness(ONE, "w.example")]) == {}
    with pytest.raises(Forged):
        cosignature.open_cosignature(TEXT, signed.signatures[0], witness(ONE, "w.example"))


def test_witnesses_are_counted_in_the_order_asked_for_and_strangers_not_at_all() -> None:
    signed = cosigned(
        cosignature.cosign(TEXT, "one.example", ONE, 10),
        cosignature.cosign(TEXT, "two.example", TWO, 20),
        Signature("stranger.example", bytes(4), bytes(72)),
    )
    asked = [witness(TWO, "two.example"), witness(ONE, "one.example"), witness(LOG, "silent.example")]
    assert list(cosignature.cosignatures(signed, asked).items()) == [("two.example", 20), ("one.example", 10)]
    assert cosignature.cosignatures(signed, []) == {}


def test_one_key_under_two_names_is_one_witness() -> None:
    """COSIG-4. The message does not name the witness: anybody can copy the signature below another name."""
    line = cosignature.cosign(TEXT, "a.example", ONE, 10)
    copy = Signature("b.example", witness(ONE, "b.example").key_id, line.payload)
    asked = [witness(ONE, "a.example"), witness(ONE, "b.example")]
    assert cosignature.cosignatures(cosigned(line, copy), asked) == {"a.example": 10}
    assert cosignature.cosignatures(cosigned(copy), asked) == {"b.example": 10}


def test_two_keys_under_one_name_are_one_witness() -> None:
    lines = [cosignature.cosign(TEXT, "a.example", ONE, 10), cosignature.cosign(TEXT, "a.example", TWO, 5)]
    asked = [witness(ONE, "a.example"), witness(TWO, "a.example")]
    assert cosignature.cosignatures(cosigned(*lines), asked) == {"a.example": 10}


def test_the_first_time_counts_of_a_witness_that_signed_twice() -> None:
    # COSIG-5
    lines = [cosignature.cosign(TEXT, "a.example", ONE, time) for time in (30, 10, 20)]
    assert cosignature.cosignatures(cosigned(*lines), [witness(ONE, "a.example")]) == {"a.example": 10}


def test_one_failing_cosignature_spoils_the_note() -> None:
    # NOTE-3
    good = cosignature.cosign(TEXT, "a.example", ONE, 10)
    bad = Signature("b.example", witness(TWO, "b.example").key_id, good.payload)
    with pytest.raises(Forged):
        cosignature.cosignatures(cosigned(good, bad), [witness(ONE, "a.example"), witness(TWO, "b.example")])
    assert cosignature.cosignatures(cosigned(good, bad), [witness(ONE, "a.example")]) == {"a.example": 10}


def test_a_bit_changed_in_a_cosignature_is_found() -> None:
    line = cosignature.cosign(TEXT, "a.example", ONE, 1_700_000_000)
    key = witness(ONE, "a.example")
    for at in range(len(line.payload)):
        for bit in range(8):
            changed = bytearray(line.payload)
            changed[at] ^= 1 << bit
            with pytest.raises(Forged):
                cosignature.open_cosignature(TEXT, Signature(line.name, line.key_id, bytes(changed)), key)
