# SPDX-License-Identifier: Apache-2.0
"""What a log says about itself: origin, size and root, signed; C2SP tlog-checkpoint v1.0.0.

    pause.example/golden
    2
    Xw/N7w2B9+wuDYNN/mzd4KyDHMUip4lNApomNtnF/ww=

    — pause.example/golden OuuWUsmf+XkzKqjKzC0sm6Sr2jv8jqRZtLqYJLloTCy8F6zIpacX2LYsZTViH2D/YdDjCxOfGOkYDVf9Xux4Pbs1jwU=

`parse` and `format` are about the text, the first three lines; `sign` and `open` about the signed note. That a root
belongs to its size is shown by entries or proofs, never by a checkpoint alone: one of size 0 with another root than
SHA-256("") parses and opens, so that a witness can answer it properly and keep it as evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pausectl.errors import Forged, Malformed
from pausectl.registry import enforces
from pausectl.wire import note
from pausectl.wire.keys import Signer, base64, unbase64
from pausectl.wire.merkle import HASH_BYTES, Hash, format_size, parse_size

#: What a subtree cosignature can name; the specification of checkpoints has no limit.
MAX_ORIGIN_BYTES = 255


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """origin: which log. size: entries, 0 to 2^63 − 1. root: 32 bytes."""

    origin: str
    size: int
    root: Hash

    def __post_init__(self) -> None:
        """Refuse what has no text."""
        _check_origin(self.origin)
        format_size(self.size, "checkpoint size")
        if len(self.root) != HASH_BYTES:
            raise Malformed(f"checkpoint root: expected {HASH_BYTES} bytes, found {len(self.root)}")


@enforces("CKPT-1", "CKPT-2", "CKPT-3", "CKPT-4")
def parse(text: str) -> Checkpoint:
    """Read the text of a checkpoint, as `note.Note.text` has it.

    [CKPT-1] A parser MUST refuse a checkpoint whose text is not an origin of 1 to 255 bytes, a size and a root, each on
    a line of its own that ends in LF.

    [CKPT-2] A parser MUST refuse a checkpoint whose size is not in decimal, without sign or leading zeros, from 0 to
    2^63 − 1.

    [CKPT-3] A parser MUST refuse a checkpoint whose root is not canonical base64 of 32 bytes.

    [CKPT-4] A parser MUST refuse a checkpoint with extension lines.
    """
    *lines, end = text.split("\n")
    if end or len(lines) < 3:
        raise Malformed(f"checkpoint: expected origin, size and root, each on a line of its own, found {text[:80]!r}")
    origin, size, root, *extensions = lines
    if extensions:
        # They are allowed by C2SP, and say something that no monitor can audit and no ML-DSA-44 cosignature signs:
        # two readers of one tree could be told two things. What a log has to say is an entry.
        raise Malformed(f"checkpoint: expected no extension line, which nobody can audit, found {extensions[0][:60]!r}")
    try:
        return Checkpoint(origin, parse_size(size), unbase64(root))
    except Malformed as error:
        raise error.at("checkpoint") from error


def format(checkpoint: Checkpoint) -> str:
    """The inverse of `parse`."""
    return f"{checkpoint.origin}\n{checkpoint.size}\n{base64(checkpoint.root)}\n"


def sign(checkpoint: Checkpoint, *signers: Signer) -> note.Note:
    """Sign as the log, with each of its keys; the key name is the origin.

    Whether it may be signed is the log's affair (one history only).
    """
    return note.sign(format(checkpoint), [(checkpoint.origin, signer) for signer in signers])


@enforces("CKPT-5", "CKPT-6", "CKPT-7")
def open(
    raw: bytes, log_key: note.VerifierKey, origin: str | None = None, *, also: Sequence[note.VerifierKey] = ()
) -> tuple[Checkpoint, note.Note]:
    """Verify a signed checkpoint: what it says, and the note with everybody's signatures.

    origin: the log expected, if it is not the name of its key (as for the Go checksum database). also: its keys besides
    this one. Other lines than the log's are not looked at: `cosignature.cosignatures` is for those.

    [CKPT-5] A reader MUST refuse a checkpoint that has no valid signature by the log's own key.

    [CKPT-6] A reader MUST refuse a checkpoint of another origin than the one it asked for, whoever signed it.

    [CKPT-7] A reader that knows several keys of a log, of different types, MUST refuse a checkpoint that lacks a valid
    signature by any of them.
    """
    signed = note.parse(raw)
    for key in (log_key, *also):
        note.open(signed, [key])
    checkpoint = parse(signed.text)
    expected = log_key.name if origin is None else origin
    if checkpoint.origin != expected:
        raise Forged(f"checkpoint: expected the origin {expected!r}, found {checkpoint.origin!r}")
    return checkpoint, signed


def _check_origin(origin: str) -> None:
    # As a text of one line, which also refuses control characters and what is no Unicode.
    note.check_text(f"{origin}\n")
    size = len(origin.encode())
    if "\n" in origin or not 1 <= size <= MAX_ORIGIN_BYTES:
        raise Malformed(f"checkpoint origin: expected a line of 1 to {MAX_ORIGIN_BYTES} bytes, found {origin[:60]!r}")
