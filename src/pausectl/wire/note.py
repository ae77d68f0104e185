# SPDX-License-Identifier: Apache-2.0
"""Text with signature lines, C2SP signed-note v1.0.0: what checkpoints and cosignatures are made of.

    This is an example message.

    — example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=

verifies with

    example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k

A line names its key by key name and key id, a hash of 4 bytes over name, type and key; it does not say which type. So
a line by an unknown key is opaque, whatever made it, and a known key says how its lines are to be verified. Types are
0x01, Ed25519 over the text, 0x04, timestamped Ed25519 (`cosignature`), and 0x06, timestamped ML-DSA-44 over what a
checkpoint says (`subtree`). The text means nothing before `open`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pausectl.errors import Forged, Malformed, UsageFault
from pausectl.registry import enforces
from pausectl.wire import subtree
from pausectl.wire.keys import ED25519, MLDSA44, SUITES, PublicKey, Signer, base64, unbase64
from pausectl.wire.merkle import MAX_SIZE

#: Go reads as many. An ML-DSA-44 line has 3.3 KB, so a note that is full of them has a third of the bytes allowed.
MAX_SIGNATURES = 100
MAX_BYTES = 1 << 20

#: Type bytes of a verifier key.
TYPE_ED25519 = SUITES[ED25519].note_type
TYPE_COSIGNATURE = SUITES[ED25519].cosignature_type
TYPE_MLDSA44 = SUITES[MLDSA44].cosignature_type

_SUITES = {TYPE_ED25519: ED25519, TYPE_COSIGNATURE: ED25519, TYPE_MLDSA44: MLDSA44}

_CONTROL = re.compile("[\x00-\x09\x0b-\x1f]")
_DASH = "\u2014 "
_KEY_ID_BYTES = 4
_TIME_BYTES = 8


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line. key_id: 4 bytes. payload: the signature, for a cosignature after 8 bytes of time."""

    name: str
    key_id: bytes
    payload: bytes

    def __post_init__(self) -> None:
        """Refuse what no line can hold."""
        check_name(self.name)
        if len(self.key_id) != _KEY_ID_BYTES or not self.payload:
            raise Malformed("signature line: expected a key id of 4 bytes and a signature")


@dataclass(frozen=True, slots=True)
class Note:
    """text ends in a newline. raw: the note's bytes."""

    text: str
    signatures: tuple[Signature, ...]
    raw: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse a text or a number of signatures that no note can have."""
        check_text(self.text)
        lines = "".join(f"{format_signature(signature)}\n" for signature in self.signatures)
        raw = f"{self.text}\n{lines}".encode()
        _check_limits(len(raw), len(self.signatures))
        object.__setattr__(self, "raw", raw)


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A key that a reader knows: name, type byte and public key. Another type is another key with another id."""

    name: str
    type: int
    public: PublicKey
    key_id: bytes = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse a type that we cannot verify, or that is of another suite than the key."""
        if self.public.suite != _suite(self.type):
            raise Malformed(
                f"verifier key: expected type 0x{self.type:02x} of {_suite(self.type)}, found {self.public.suite}"
            )
        object.__setattr__(self, "key_id", key_id(self.name, self.type, self.public.raw))

    def verify(self, text: str, payload: bytes) -> bool:
        """Whether `payload` is this key's signature of `text`, according to its type; never raises for any payload.

        Time 0 is none at which anything was seen: an ML-DSA-44 cosigner may say so, an Ed25519 one has no such form.
        """
        if self.type == TYPE_ED25519:
            return self.public.verify(text.encode(), payload)
        timestamp = int.from_bytes(payload[:_TIME_BYTES], "big")
        if not (self.type == TYPE_COSIGNATURE) <= timestamp <= MAX_SIZE:
            return False
        try:
            return self.public.verify(self.message(text, timestamp), payload[_TIME_BYTES:])
        except Malformed:
            return False  # no checkpoint, and so nothing that such a key could have signed

    def message(self, text: str, timestamp: int) -> bytes:
        """What this key signs, for a text and a time, POSIX seconds; Malformed for a text that it cannot sign."""
        if self.type == TYPE_MLDSA44:
            return subtree.of_checkpoint(text, self.name, timestamp)
        return text.encode() if self.type == TYPE_ED25519 else cosignature_message(text, timestamp)


@enforces("NOTE-1", "NOTE-7")
def parse(raw: bytes) -> Note:
    """Read a note; its signatures are not verified.

    [NOTE-1] A parser MUST refuse a note that is not text in valid UTF-8 without characters below U+0020 other than LF,
    ending in LF, then an empty line, the last of the note, then one or more signature lines, each ending in LF.

    [NOTE-7] A parser MUST refuse a note of more than 100 signature lines or more than 1 MiB.
    """
    _check_limits(len(raw))
    try:
        whole = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed(f"note: expected UTF-8, found byte 0x{raw[error.start]:02x} at {error.start}") from error
    split = whole.rfind("\n\n")
    text, lines = whole[: split + 1], whole[split + 2 :]
    if split < 0 or not lines.endswith("\n"):
        raise Malformed("note: expected a text, an empty line, and signature lines that end in a newline")
    _check_limits(len(raw), lines.count("\n"))
    return Note(text, tuple(parse_signature(line) for line in lines[:-1].split("\n")))


def format(note: Note) -> bytes:
    """The inverse of `parse`."""
    return note.raw


@enforces("NOTE-2")
def parse_signature(line: str) -> Signature:
    """Read a signature line, without its newline.

    [NOTE-2] A parser MUST refuse a signature line that is not an em dash (U+2014), a space, a key name, a space, and
    canonical base64 of a key id of 4 bytes and a signature of at least one byte.
    """
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space:
        raise Malformed(f"signature line: expected '— <key name> <base64>', found {line[:60]!r}")
    try:
        data = unbase64(encoded)
    except Malformed as error:
        raise error.at("signature line") from error
    return Signature(name, data[:_KEY_ID_BYTES], data[_KEY_ID_BYTES:])


def format_signature(signature: Signature) -> str:
    """The inverse of `parse_signature`."""
    return f"{_DASH}{signature.name} {base64(signature.key_id + signature.payload)}"


@enforces("NOTE-8")
def check_name(name: str) -> None:
    """Refuse a key name that no line or verifier key can carry.

    [NOTE-8] A parser MUST refuse a key name that is empty or has a Unicode space or a plus sign.
    """
    _check_characters(name, "key name")
    if not name or "+" in name or any(character.isspace() for character in name):
        raise Malformed(f"key name: expected one without spaces or plus signs, found {name[:60]!r}")


def key_id(name: str, type: int, public: bytes) -> bytes:
    """SHA-256(name ‖ LF ‖ type ‖ public key)[:4]: tells keys apart, does not identify them."""
    check_name(name)
    return hashlib.sha256(b"%b\n%c%b" % (name.encode(), type, public)).digest()[:_KEY_ID_BYTES]


@enforces("NOTE-9")
def parse_vkey(text: str) -> VerifierKey:
    """Read a verifier key, `<name>+<key id>+<base64 of type and key>`; base64 has plus signs too.

    [NOTE-9] A parser MUST refuse a verifier key whose key id is not, in lower-case hex, the one computed from its name,
    type and public key, or whose type it cannot verify.
    """
    name, _, rest = text.partition("+")
    encoded = rest.partition("+")[2]
    check_name(name)
    try:
        data = unbase64(encoded)
        type = int.from_bytes(data[:1], "big")
        key = VerifierKey(name, type, PublicKey(_suite(type), data[1:]))
    except Malformed as error:
        raise error.at("verifier key") from error
    if format_vkey(key) != text:
        raise Malformed(f"verifier key: expected {format_vkey(key)}, found {text[:120]!r}")
    return key


def format_vkey(key: VerifierKey) -> str:
    """The inverse of `parse_vkey`."""
    return f"{key.name}+{key.key_id.hex()}+{base64(bytes([key.type]) + key.public.raw)}"


def sign(text: str, signers: Iterable[tuple[str, Signer]]) -> Note:
    """Sign `text` with each (key name, signer); the note that results opens with every one of the keys.

    Ed25519 by type 0x01; ML-DSA-44 by type 0x06 at time 0, which says of a checkpoint what its log always says.
    """
    keys, signatures = [], []
    for name, signer in signers:
        key = VerifierKey(name, SUITES[signer.public.suite].note_type, signer.public)
        keys.append(key)
        time = b"" if key.type == TYPE_ED25519 else bytes(_TIME_BYTES)
        signatures.append(Signature(name, key.key_id, time + signer.sign(key.message(text, 0))))
    note = Note(text, tuple(signatures))
    verified(note, keys)  # a signer may be a service: never pass on what nobody could open
    return note


@enforces("NOTE-4")
def open(note: Note, known_keys: Sequence[VerifierKey]) -> tuple[Signature, ...]:
    """Verify a note with the keys that the reader knows: its verified signatures, at least one, in the note's order.

    Unknown keys are ignored, Forged if a known key's signature fails or there is none.

    [NOTE-4] A verifier MUST refuse a note without a valid signature by a known key.
    """
    signatures = verified(note, known_keys)
    if not signatures:
        names = ", ".join(sorted({key.name for key in known_keys}))
        raise Forged(f"note: expected a signature by a known key ({names}), found none")
    return signatures


@enforces("NOTE-3", "NOTE-5", "NOTE-6")
def verified(note: Note, known_keys: Sequence[VerifierKey]) -> tuple[Signature, ...]:
    """The signatures of `note` by known keys, all of them valid; there may be none, unlike with `open`.

    [NOTE-3] A verifier MUST refuse a note of which any signature by a known key fails.

    [NOTE-5] A verifier MUST ignore a signature line of which key name and key id together are those of no known key.

    [NOTE-6] A verifier MUST refuse a note that repeats a signature line of a known key.
    """
    known = _by_id(known_keys)
    found: list[Signature] = []
    for signature in note.signatures:
        key = known.get((signature.name, signature.key_id))
        if key is None:
            continue
        if signature in found:
            raise Malformed(f"note: expected every signature line once, found one by {signature.name} again")
        if not key.verify(note.text, signature.payload):
            raise Forged(f"note: signature by {signature.name} ({signature.key_id.hex()}) does not verify")
        found.append(signature)
    return tuple(found)


def add(note: Note, signatures: Iterable[Signature]) -> Note:
    """The same text with more signature lines, behind those it has; lines it has already stay once."""
    return Note(note.text, tuple(dict.fromkeys((*note.signatures, *signatures))))


@enforces("COSIG-1")
def cosignature_message(text: str, timestamp: int) -> bytes:
    """What a signature of type 0x04 signs. Here and not in `cosignature`, because opening a note needs it.

    [COSIG-1] An Ed25519 cosigner MUST sign the line `cosignature/v1`, the line `time <timestamp>` in decimal and the
    whole text of the checkpoint, every line with its newline.
    """
    return f"cosignature/v1\ntime {timestamp}\n{text}".encode()


def _by_id(keys: Iterable[VerifierKey]) -> dict[tuple[str, bytes], VerifierKey]:
    known: dict[tuple[str, bytes], VerifierKey] = {}
    for key in keys:
        if known.setdefault((key.name, key.key_id), key) != key:
            raise UsageFault(f"known keys: two different ones are both {key.name}+{key.key_id.hex()}")
    return known


def _suite(type: int) -> str:
    """The suite of a type that we can verify: a known key of which nothing can be checked would be a trap."""
    if type not in _SUITES:
        raise Malformed(f"verifier key: expected type 0x01, 0x04 or 0x06, found 0x{type:02x}")
    return _SUITES[type]


def check_text(text: str) -> None:
    """Refuse what cannot be the text of a note."""
    _check_characters(text, "note")
    if not text.endswith("\n"):
        raise Malformed("note: expected a text that ends in a newline")


def _check_characters(text: str, what: str) -> None:
    if control := _CONTROL.search(text):
        raise Malformed(f"{what}: expected no control characters, found U+{ord(control[0]):04X}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Malformed(f"{what}: expected Unicode text, found a lone surrogate") from error


def _check_limits(size: int, signatures: int = 1) -> None:
    if size > MAX_BYTES:
        raise Malformed(f"note: expected at most {MAX_BYTES} bytes, found {size}")
    if not 1 <= signatures <= MAX_SIGNATURES:
        raise Malformed(f"note: expected 1 to {MAX_SIGNATURES} signature lines, found {signatures}")
