# SPDX-License-Identifier: Apache-2.0
"""A witness's word that it knows one history of a log and when, C2SP tlog-cosignature, Ed25519 (0x04), ML-DSA-44 (0x06).

    — witness.example/ed qiFJSAAAAABrAkzf3htoz6rCr+FjdZ6eLpCmSqoPkEQ5VuIU0cDh5aItKg983eA38L8KYrYP7sxJRnsikEPpDLh4F7su9ULabUMyDw==

is a line below the checkpoint of size 2 (`checkpoint`): key id aa214948, then u64 1795312863, then the signature by

    witness.example/ed+aa214948+BB4mBqBvheQ622y4p55xkoj1tkBTiqvwHvJpwuT7WbP9

of the lines `cosignature/v1`, `time 1795312863`, and the checkpoint's text. It says: at that time, of all consistent
trees that I have seen of this log, this is the largest. The message does not name the witness, so whoever has two
witnesses needs two keys, and whoever counts witnesses counts keys. ML-DSA-44 signs another message, `subtree`, of one
payload with this one: u64 time ‖ signature.
"""  # noqa: E501 - a line of the format

from __future__ import annotations

from collections.abc import Sequence

from pausectl.errors import Forged, Malformed, UsageFault
from pausectl.registry import enforces
from pausectl.wire import checkpoint, note
from pausectl.wire.keys import SUITES, PublicKey, Signer
from pausectl.wire.merkle import MAX_SIZE

#: message(text, timestamp) -> the bytes that are signed.
message = note.cosignature_message


def cosign(text: str, name: str, signer: Signer, timestamp: int) -> note.Signature:
    """Sign the text of a checkpoint as the witness `name` at `timestamp`, POSIX seconds; `note.format_signature` it.

    Whether it may be signed is for the witness to know (one history only).
    """
    checkpoint.parse(text)
    if not 0 < timestamp <= MAX_SIZE:
        raise Malformed(f"cosignature time: expected 1 to 2^63 - 1 seconds, found {timestamp}")
    key = note.VerifierKey(name, SUITES[signer.public.suite].cosignature_type, signer.public)
    payload = timestamp.to_bytes(8, "big") + signer.sign(key.message(text, timestamp))
    signature = note.Signature(name, key.key_id, payload)
    open_cosignature(text, signature, key)  # a signer may be a service: never pass on what nobody could open
    return signature


@enforces("COSIG-2", "COSIG-7")
def open_cosignature(text: str, signature: note.Signature, key: note.VerifierKey) -> int:
    """Verify one cosignature of the text of a checkpoint: its time, POSIX seconds.

    Forged if it is not this key's, or fails. How late is too late is for the agreement to say.

    [COSIG-2] A verifier MUST refuse a cosignature whose time is 0 or above 2^63 − 1.

    [COSIG-7] A verifier MUST NOT take a key of another type than 0x04 or 0x06 for that of a witness.
    """
    checkpoint.parse(text)
    _need_cosigner(key)
    if (signature.name, signature.key_id) != (key.name, key.key_id):
        found = f"{signature.name} ({signature.key_id.hex()})"
        raise Forged(f"cosignature: expected one by {key.name} ({key.key_id.hex()}), found one by {found}")
    if not time_of(signature) or not key.verify(text, signature.payload):
        raise Forged(f"cosignature by {signature.name} ({signature.key_id.hex()}): does not verify")
    return time_of(signature)


def cosignatures(signed: note.Note, witness_keys: Sequence[note.VerifierKey]) -> dict[str, int]:
    """Key name → time (POSIX seconds) of the witnesses that cosigned this checkpoint, in the order of `witness_keys`.

    Empty if there are none, Forged if a line by one of these keys fails.
    """
    return together(signed, [(key,) for key in witness_keys])


@enforces("COSIG-4", "COSIG-5", "COSIG-8")
def together(signed: note.Note, witnesses: Sequence[Sequence[note.VerifierKey]]) -> dict[str, int]:
    """The same for witnesses that sign with several keys of one name, each of which is needed.

    [COSIG-4] A verifier MUST count each public key and each key name once at most, however many lines, names or keys
    a witness has.

    [COSIG-5] A verifier MUST take the smallest time of a witness that cosigned one checkpoint several times.

    [COSIG-8] A verifier MUST NOT count a witness of which it knows several keys, of different types, at a time at which
    it did not sign with each of them.
    """
    checkpoint.parse(signed.text)
    keys = [key for own in witnesses for key in own]
    found = times(signed, keys)
    counted: dict[str, int] = {}
    publics: set[PublicKey] = set()
    for own in witnesses:
        common = set.intersection(*(found.get(key, set()) for key in own))
        if common and own[0].name not in counted and publics.isdisjoint(key.public for key in own):
            counted[own[0].name] = min(common)
            publics.update(key.public for key in own)
    return counted


def times(signed: note.Note, keys: Sequence[note.VerifierKey]) -> dict[note.VerifierKey, set[int]]:
    """At which times each of these keys cosigned, those that did; one who counts them has `together`."""
    for key in keys:
        _need_cosigner(key)
    by_id = {(key.name, key.key_id): key for key in keys}
    found: dict[note.VerifierKey, set[int]] = {}
    for signature in note.verified(signed, keys):
        if not time_of(signature):
            raise Forged(f"cosignature by {signature.name}: expected a time, found 0")
        found.setdefault(by_id[signature.name, signature.key_id], set()).add(time_of(signature))
    return found


def time_of(signature: note.Signature) -> int:
    """What a cosignature line says of when, POSIX seconds; verified or not."""
    return int.from_bytes(signature.payload[:8], "big")


def _need_cosigner(key: note.VerifierKey) -> None:
    if key.type not in (note.TYPE_COSIGNATURE, note.TYPE_MLDSA44):
        raise UsageFault(f"witness key: expected type 0x04 or 0x06, found 0x{key.type:02x} ({key.name})")
