# SPDX-License-Identifier: Apache-2.0
"""What a log sends to a witness and what comes back, C2SP tlog-witness v1.0.0; text only, no HTTP, no decision.

    old 1
    VW9Ji6WrKax29g4LWVc8WYTwJILvo+vBMf0QavdCO3o=

    pause.example/golden
    2
    Xw/N7w2B9+wuDYNN/mzd4KyDHMUip4lNApomNtnF/ww=

    — pause.example/golden OuuWUsmf+XkzKqjKzC0sm6Sr2jv8jqRZtLqYJLloTCy8F6zIpacX2LYsZTViH2D/YdDjCxOfGOkYDVf9Xux4Pbs1jwU=

is the body of add-checkpoint: the size that the witness last cosigned, a consistency proof from there, and the
checkpoint. The answer is signature lines (200), or the size that the witness does know (409), `1` and a newline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pausectl.errors import Malformed
from pausectl.registry import enforces
from pausectl.wire import checkpoint, note
from pausectl.wire.keys import base64, unbase64
from pausectl.wire.merkle import HASH_BYTES, Hash, format_size, parse_size

ADD_CHECKPOINT_PATH = "add-checkpoint"

#: Content-Type of the answer 409 that has the size in its body.
SIZE_TYPE = "text/x.tlog.size"

MAX_PROOF = 63

#: The line `old`, 63 hashes of 44 characters, the empty line, and a note.
MAX_BYTES = 24 + MAX_PROOF * 45 + 1 + note.MAX_BYTES


@dataclass(frozen=True, slots=True)
class Request:
    """An add-checkpoint request.

    old_size: what the log believes the witness cosigned last, 0 for nothing. proof: at most 63 hashes. checkpoint_raw:
    the signed checkpoint byte for byte. signed, checkpoint: the same, parsed; no signature and no proof is verified.
    """

    old_size: int
    proof: tuple[Hash, ...]
    checkpoint_raw: bytes
    signed: note.Note = field(init=False, repr=False, compare=False)
    checkpoint: checkpoint.Checkpoint = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what has no text, malformed checkpoints included."""
        format_size(self.old_size, "old size")
        if len(self.proof) > MAX_PROOF:
            raise Malformed(f"consistency proof: expected at most {MAX_PROOF} hashes, found {len(self.proof)}")
        for value in self.proof:
            if len(value) != HASH_BYTES:
                raise Malformed(f"consistency proof: expected hashes of {HASH_BYTES} bytes, found {len(value)}")
        signed = note.parse(self.checkpoint_raw)
        object.__setattr__(self, "signed", signed)
        object.__setattr__(self, "checkpoint", checkpoint.parse(signed.text))


@enforces("WIT-1")
def parse_request(raw: bytes) -> Request:
    """Read the body of add-checkpoint. Malformed is the answer 400.

    [WIT-1] A witness MUST refuse a body that is not a line `old <size>`, at most 63 lines of canonical base64 of 32
    bytes, an empty line and a checkpoint.
    """
    if len(raw) > MAX_BYTES:
        raise Malformed(f"add-checkpoint: expected at most {MAX_BYTES} bytes, found {len(raw)}")
    head, blank, rest = raw.partition(b"\n\n")
    if not blank:
        raise Malformed("add-checkpoint: expected an empty line before the checkpoint")
    try:
        first, *lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise Malformed(f"add-checkpoint: expected ASCII before the checkpoint, byte {error.start} is not") from error
    if not first.startswith("old "):
        raise Malformed(f"add-checkpoint: expected 'old <size>', found {first[:60]!r}")
    try:
        return Request(parse_size(first.removeprefix("old ")), tuple(unbase64(line) for line in lines), rest)
    except Malformed as error:
        raise error.at("add-checkpoint") from error


def format_request(request: Request) -> bytes:
    """The inverse of `parse_request`."""
    lines = "".join(f"{base64(value)}\n" for value in request.proof)
    return f"old {request.old_size}\n{lines}\n".encode() + request.checkpoint_raw


@enforces("WIT-2")
def parse_response(raw: bytes) -> tuple[note.Signature, ...]:
    """Read the answer 200. Nothing is verified: `note.add` the lines and open the note with the witness's keys.

    [WIT-2] A client MUST refuse an answer that is not 1 to 100 signature lines, each ending in LF.
    """
    try:
        text = raw[: note.MAX_BYTES + 1].decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed("add-checkpoint response: expected UTF-8") from error
    count = text.count("\n")
    if len(raw) > note.MAX_BYTES or not text.endswith("\n") or count > note.MAX_SIGNATURES:
        raise Malformed(f"add-checkpoint response: expected 1 to {note.MAX_SIGNATURES} signature lines")
    return tuple(note.parse_signature(line) for line in text[:-1].split("\n"))


def format_response(signatures: Sequence[note.Signature]) -> bytes:
    """The inverse of `parse_response`."""
    if not 1 <= len(signatures) <= note.MAX_SIGNATURES:
        raise Malformed(f"add-checkpoint response: expected 1 to {note.MAX_SIGNATURES} lines, found {len(signatures)}")
    return "".join(f"{note.format_signature(signature)}\n" for signature in signatures).encode()


@enforces("WIT-3")
def parse_conflict(raw: bytes) -> int:
    """Read the answer 409: the size that the witness last cosigned, from which to build the next proof.

    [WIT-3] A client MUST NOT retry after an answer 409 whose body is not a size in decimal and LF.
    """
    if len(raw) > 20 or not raw.endswith(b"\n") or not raw.isascii():
        raise Malformed(f"size conflict: expected a size and a newline, found {raw[:40]!r}")
    return parse_size(raw[:-1].decode("ascii"), "size conflict")


def format_conflict(size: int) -> bytes:
    """The inverse of `parse_conflict`."""
    return f"{format_size(size)}\n".encode()
