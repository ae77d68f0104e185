# SPDX-License-Identifier: Apache-2.0
"""Notes: the example of the specification, the rules where Go is lax, and every byte of a note."""

from __future__ import annotations

import contextlib
import inspect
import json
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pausectl.errors import Forged, Malformed, UsageFault
from pausectl.wire import cosignature, keys, note
from pausectl.wire.note import Note, Signature, VerifierKey

Shared = Callable[[str], Path]

ONE = keys.PrivateKey.from_seed(keys.ED25519, bytes(32))
TWO = keys.PrivateKey.from_seed(keys.ED25519, bytes(range(32)))
TEXT = "one\n\ntwo\n"


def vkey(signer: keys.PrivateKey, name: str = "one.example", type: int = note.TYPE_ED25519) -> VerifierKey:
    return VerifierKey(name, type, signer.public)


def signed(*names: str) -> Note:
    return note.sign(TEXT, [(name, ONE if name.startswith("one") else TWO) for name in names])


def test_the_example_of_the_module_opens() -> None:
    text = inspect.getdoc(note) or ""
    blocks = [textwrap.dedent(block) for block in text.split("\n\n") if block.startswith("    ")]
    raw = f"{blocks[0]}\n\n{blocks[1]}\n".encode()
    assert len(note.open(note.parse(raw), [note.parse_vkey(blocks[2])])) == 1


def test_the_examples_of_the_specification(shared: Shared) -> None:
    examples = json.loads(shared("vectors/c2sp-examples/examples.json").read_text())
    key = note.parse_vkey(examples["signed-note"]["vkey"])
    assert note.format_vkey(key) == examples["signed-note"]["vkey"]
    found = note.parse(examples["signed-note"]["note"].encode())
    assert found.text == "This is an example message.\n"
    assert note.open(found, [key]) == found.signatures
    poem = examples["signed-note"]["unkeyed_example"].encode()
    assert note.format(note.parse(poem)) == poem
    assert note.parse(poem).text.endswith("\n\ned è subito sera.\n")
    for group, name in (("tlog-witness", "sign_subtree_request_truncated"), ("tlog-proof", "example_truncated")):
        with pytest.raises(Malformed):
            note.parse(examples[group][name].encode())


def test_a_signed_note_opens_with_each_of_its_keys() -> None:
    both = signed("one.example", "two.example")
    assert note.parse(note.format(both)) == both
    assert note.open(both, [vkey(ONE)]) == both.signatures[:1]
    assert note.open(both, [vkey(TWO, "two.example"), vkey(ONE)]) == both.signatures


def test_only_unknown_keys_are_not_enough() -> None:
    # NOTE-4, NOTE-5
    for unknown in (vkey(TWO), vkey(ONE, "other.example"), vkey(ONE, type=note.TYPE_COSIGNATURE)):
        with pytest.raises(Forged, match="found none"):
            note.open(signed("one.example"), [unknown])
        assert note.verified(signed("one.example"), [unknown]) == ()
    with pytest.raises(Forged):
        note.open(signed("one.example"), [])


def test_a_second_line_of_a_known_key_must_verify_too() -> None:
    # NOTE-3
    good = signed("one.example", "two.example")
    bad = Signature("one.example", vkey(ONE).key_id, bytes(64))
    for signatures in ((*good.signatures, bad), (bad, *good.signatures)):
        with pytest.raises(Forged, match=r"one\.example"):
            note.open(Note(TEXT, signatures), [vkey(ONE)])
        assert len(note.open(Note(TEXT, signatures), [vkey(TWO, "two.example")])) == 1


@pytest.mark.parametrize("payload", [b"\0", bytes(63), bytes(64), bytes(65), bytes(72)])
def test_a_signature_of_a_wrong_length_fails(payload: bytes) -> None:
    for type in (note.TYPE_ED25519, note.TYPE_COSIGNATURE):
        key = vkey(ONE, type=type)
        with pytest.raises(Forged):
            note.open(Note(TEXT, (Signature(key.name, key.key_id, payload),)), [key])


def test_a_line_of_a_known_key_stands_once() -> None:
    # NOTE-6
    once = signed("one.example", "two.example")
    twice = Note(TEXT, (*once.signatures, once.signatures[0]))
    with pytest.raises(Malformed, match="again"):
        note.open(twice, [vkey(ONE)])
    assert note.open(twice, [vkey(TWO, "two.example")]) == once.signatures[1:]
    assert note.parse(note.format(twice)) == twice


def test_known_keys_that_cannot_be_told_apart() -> None:
    other = vkey(TWO)
    object.__setattr__(other, "key_id", vkey(ONE).key_id)
    with pytest.raises(UsageFault):
        note.open(signed("one.example"), [vkey(ONE), other])
    assert len(note.open(signed("one.example"), [vkey(ONE), vkey(ONE)])) == 1


def test_a_signer_that_signs_something_else_is_found_out() -> None:
    class Confused:
        public = ONE.public

        def sign(self, message: bytes) -> bytes:
            return TWO.sign(message)

    with pytest.raises(Forged):
        note.sign(TEXT, [("one.example", Confused())])
    with pytest.raises(Malformed):
        note.sign(TEXT, [])
    with pytest.raises(Malformed):
        note.sign("no newline", [("one.example", ONE)])


def test_adding_keeps_lines_and_order() -> None:
    first, both = signed("one.example"), signed("one.example", "two.example")
    assert note.add(first, both.signatures) == both
    assert note.add(both, first.signatures) == both


def test_limits() -> None:
    # NOTE-7
    many = [Signature(f"w{i}.example", bytes(4), b"x") for i in range(101)]
    full = Note(TEXT, tuple(many[:100]))
    assert note.parse(note.format(full)) == full
    with pytest.raises(Malformed, match="found 101"):
        Note(TEXT, tuple(many))
    raw = note.format(full) + note.format_signature(many[100]).encode() + b"\n"
    with pytest.raises(Malformed, match="found 101"):
        note.parse(raw)
    overhead = len(note.format(Note("\n", (many[0],)))) - 1
    longest = Note("a" * (2**20 - overhead - 1) + "\n", (many[0],))
    assert note.parse(note.format(longest)) == longest
    with pytest.raises(Malformed, match="1048576"):
        Note("a" + longest.text, (many[0],))
    with pytest.raises(Malformed, match="1048576"):
        note.parse(b"a" + note.format(longest))


@pytest.mark.parametrize("text", ["", "no newline", "a\tb\n", "a\r\n", "a\0b\n", "\x1f\n", "\ud800\n"])
def test_texts_that_no_note_has(text: str) -> None:
    # NOTE-1
    with pytest.raises(Malformed):
        Note(text, signed("one.example").signatures)


@pytest.mark.parametrize(
    "text", ["\n", "\n\n\n", "a\x7fb\u0085\u2028c\n", "— one.example AAAA\n", "a\n\n— b AAAAAAA=\n"]
)
def test_texts_that_a_note_may_have(text: str) -> None:
    found = note.sign(text, [("one.example", ONE)])
    assert note.parse(note.format(found)) == found
    assert note.open(note.parse(note.format(found)), [vkey(ONE)])


@pytest.mark.parametrize(
    "name", ["", "a b", "a+b", "a\u00a0b", "a\u2003", "a\u0085", "a\u2028", "a\u3000", "a\n", "\ud800", "\t"]
)
def test_names_that_no_key_has(name: str) -> None:
    # NOTE-8
    for make in (
        lambda: Signature(name, bytes(4), b"x"),
        lambda: VerifierKey(name, note.TYPE_ED25519, ONE.public),
        lambda: note.parse_vkey(note.format_vkey(vkey(ONE)).replace("one.example", name)),
    ):
        with pytest.raises(Malformed):
            make()


def test_vkeys_have_one_text() -> None:
    # NOTE-9
    text = note.format_vkey(vkey(ONE))
    assert note.parse_vkey(text) == vkey(ONE)
    name, key_id, key = text.split("+", 2)
    other = keys.base64(b"\x04" + ONE.public.raw)
    for wrong in (
        f"{name}+{key_id.upper()}+{key}",
        f"{name}+00000000+{key}",
        f"{name}+{key_id}+{other}",
        f"{name}+{key_id}+{key}\n",
        f"{name}+{key_id}",
        f"{name}+{key_id}+",
        f"{name}+{key_id}+{key.rstrip('=')}!",
        f"x{text}",
        "",
    ):
        with pytest.raises(Malformed):
            note.parse_vkey(wrong)


def test_types_that_cannot_be_verified_are_no_known_keys() -> None:
    with pytest.raises(Malformed, match="0x05"):
        note.parse_vkey("one.example+00000000+" + keys.base64(bytes([5]) + bytes(32)))
    with pytest.raises(Malformed, match="0x7f"):
        VerifierKey("one.example", 0x7F, ONE.public)


def test_a_type_is_of_one_suite() -> None:
    post = keys.PrivateKey.from_seed(keys.MLDSA44, bytes(32)).public
    for kind, public in ((note.TYPE_MLDSA44, ONE.public), (note.TYPE_ED25519, post), (note.TYPE_COSIGNATURE, post)):
        with pytest.raises(Malformed, match="expected type"):
            VerifierKey("one.example", kind, public)


def test_a_key_of_small_order_is_no_known_key() -> None:
    raw = bytes([1]) + bytes(31)
    key_id = note.key_id("one.example", 1, raw)
    with pytest.raises(Malformed):
        note.parse_vkey(f"one.example+{key_id.hex()}+{keys.base64(bytes([1]) + raw)}")


def test_a_bit_changed_anywhere_is_found() -> None:
    key, witness = vkey(ONE), vkey(TWO, "w.example", note.TYPE_COSIGNATURE)
    text = "origin.example\n5\nSBNJTRN+FjG7owHVrKtue7eqdM4RhdRWVl71HXN2d7I=\n"
    whole = note.add(note.sign(text, [(key.name, ONE)]), [cosignature.cosign(text, witness.name, TWO, 1_700_000_000)])
    raw = note.format(whole)
    assert len(note.open(note.parse(raw), [key, witness])) == 2
    strangers = set()
    for at in range(len(raw)):
        for bit in range(8):
            changed = bytearray(raw)
            changed[at] ^= 1 << bit
            try:
                opened = note.open(note.parse(bytes(changed)), [key, witness])
            except (Malformed, Forged):
                continue
            # Only a name or key id can be changed so: then the line is a stranger's, and counts for nothing.
            assert len(opened) == 1
            strangers.add(at)
    lines = [raw.index(note.format_signature(signature).encode()) for signature in whole.signatures]
    named = [
        range(start + 4, start + 4 + len(name) + 7) for start, name in zip(lines, (key.name, witness.name), strict=True)
    ]
    assert all(any(at in place for place in named) for at in strangers)


names = st.text(
    st.characters(codec="utf-8", exclude_categories=("Z", "C"), exclude_characters="+"), min_size=1, max_size=20
)
signatures = st.builds(Signature, names, st.binary(min_size=4, max_size=4), st.binary(min_size=1, max_size=80))
texts = st.text(st.characters(codec="utf-8", min_codepoint=0x20) | st.just("\n"), max_size=80).map(
    lambda text: f"{text}\n"
)


@given(texts, st.lists(signatures, min_size=1, max_size=5))
def test_notes_round_trip(text: str, found: list[Signature]) -> None:
    whole = Note(text, tuple(found))
    assert note.parse(note.format(whole)) == whole


@given(st.binary(max_size=120) | st.text("— ab+/=\nA", max_size=60).map(str.encode))
def test_any_bytes_are_a_note_or_malformed(raw: bytes) -> None:
    # NOTE-1, NOTE-2
    for candidate in (raw, raw + b"\n\n\xe2\x80\x94 a AAAAAAA=\n", b"a\n\n\xe2\x80\x94 " + raw + b"\n"):
        with contextlib.suppress(Malformed):
            assert note.format(note.parse(candidate)) == candidate


@given(st.text(max_size=60), st.text("+/=AEQ", max_size=60))
def test_any_text_is_a_vkey_or_malformed(text: str, tail: str) -> None:
    for candidate in (text, f"{text}+{tail}", f"one.example+{tail}"):
        with contextlib.suppress(Malformed):
            assert note.format_vkey(note.parse_vkey(candidate)) == candidate


@pytest.mark.parametrize("data", [b"", b"123", b"1234"])
def test_a_line_without_a_signature(data: bytes) -> None:
    with pytest.raises(Malformed, match="key id of 4 bytes"):
        note.parse_signature(f"— one.example {keys.base64(data)}")


@given(signatures)
def test_signature_lines_round_trip(signature: Signature) -> None:
    assert note.parse_signature(note.format_signature(signature)) == signature


def test_lines_by_types_that_we_do_not_verify_are_opaque(shared: Shared) -> None:
    raw = shared("vectors/golden-go/size600.checkpoint.cosigned").read_bytes()
    whole = note.parse(raw)
    assert [len(signature.payload) for signature in whole.signatures] == [64, 72, 8 + 2420]
    assert note.format(whole) == raw
