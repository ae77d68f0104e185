# SPDX-License-Identifier: Apache-2.0
"""A receipt: that one entry stands in one log, in a file that needs no log to check; C2SP tlog-proof@v1.

    c2sp.org/tlog-proof@v1
    index 1
    mIKShrNvZs5ANan4LJWh1nTMHxEaqACYQazFhyP2YE0=

    pause.example/golden
    2
    Xw/N7w2B9+wuDYNN/mzd4KyDHMUip4lNApomNtnF/ww=

    — pause.example/golden OuuWUsmf+XkzKqjKzC0sm6Sr2jv8jqRZtLqYJLloTCy8F6zIpacX2LYsZTViH2D/YdDjCxOfGOkYDVf9Xux4Pbs1jwU=

is that of `golden-1`: its index, an inclusion proof, and the checkpoint that the proof leads to, as it was published.
The entry is not in it. Whether the checkpoint is worth something is for whoever checks to say: `check` is given the
function that takes one under an agreement (`history.reader.sight`) or a policy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from pausectl.errors import Malformed, PausectlError
from pausectl.registry import enforces
from pausectl.wire import checkpoint, merkle, note
from pausectl.wire.keys import base64, unbase64
from pausectl.wire.merkle import HASH_BYTES, Hash, Read, format_size, parse_size

HEADER = "c2sp.org/tlog-proof@v1"
SUFFIX = ".tlog-proof"

#: What the tree of 2^63 − 1 entries needs, and no proof needs more.
MAX_HASHES = 63
MAX_EXTRA = 65_535

#: Header, extra in base64, index, hashes of 44 characters, the empty line, and a note.
MAX_BYTES = 64 + (MAX_EXTRA + 2) // 3 * 4 + 32 + MAX_HASHES * 45 + 1 + note.MAX_BYTES

Opened = TypeVar("Opened")


@dataclass(frozen=True, slots=True)
class Proof:
    """Of one entry, as it is claimed: nothing in it is verified before `check`.

    index: of the entry. hashes: the inclusion proof, the leaf's sibling first. checkpoint_raw: the signed checkpoint,
    byte for byte. extra: what whoever wrote the file thought useful; nobody has signed it. signed, checkpoint: the
    note and its text, parsed.
    """

    index: int
    hashes: tuple[Hash, ...]
    checkpoint_raw: bytes
    extra: bytes = b""
    signed: note.Note = field(init=False, repr=False, compare=False)
    checkpoint: checkpoint.Checkpoint = field(init=False, repr=False, compare=False)

    @enforces("PROOF-2")
    def __post_init__(self) -> None:
        """Refuse what has no text, malformed checkpoints included.

        [PROOF-2] A parser MUST refuse a proof of more than 63 hashes, or with more than 65,535 bytes of extra data.
        """
        format_size(self.index, "index")
        if len(self.hashes) > MAX_HASHES or len(self.extra) > MAX_EXTRA:
            found = f"{len(self.hashes)} and {len(self.extra)}"
            raise Malformed(f"expected at most {MAX_HASHES} hashes and {MAX_EXTRA} bytes of extra data, found {found}")
        for value in self.hashes:
            if len(value) != HASH_BYTES:
                raise Malformed(f"hash: expected {HASH_BYTES} bytes, found {len(value)}")
        signed = note.parse(self.checkpoint_raw)
        object.__setattr__(self, "signed", signed)
        object.__setattr__(self, "checkpoint", checkpoint.parse(signed.text))


@enforces("PROOF-1")
def parse(raw: bytes) -> Proof:
    """Read a .tlog-proof file; nothing is verified.

    [PROOF-1] A parser MUST refuse a proof that is not the line `c2sp.org/tlog-proof@v1`, perhaps a line `extra` with
    canonical base64 of at least one byte, a line `index` with a decimal, lines of canonical base64 of 32 bytes, an
    empty line and a checkpoint.
    """
    if len(raw) > MAX_BYTES:
        raise Malformed(f"expected at most {MAX_BYTES} bytes, found {len(raw)}", where="proof")
    head, blank, rest = raw.partition(b"\n\n")
    if not blank:
        raise Malformed("expected an empty line before the checkpoint", where="proof")
    try:
        first, *lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise Malformed(f"expected ASCII before the checkpoint, byte {error.start} is not", where="proof") from error
    if first != HEADER:
        raise Malformed(f"expected {HEADER}, found {first[:60]!r}", where="proof")
    try:
        extra, index = _extra(lines), _index(lines)
        return Proof(index, tuple(unbase64(line) for line in lines), rest, extra)
    except Malformed as error:
        raise error.at("proof") from error


def _extra(lines: list[str]) -> bytes:
    """The extra data, whose line is taken away; none where there is no such line, the one way to write that."""
    if not lines or not lines[0].startswith("extra "):
        return b""
    extra = unbase64(lines.pop(0).removeprefix("extra "))
    if not extra:
        raise Malformed("extra: expected at least one byte, or no such line")
    return extra


def _index(lines: list[str]) -> int:
    if not lines or not lines[0].startswith("index "):
        raise Malformed(f"expected 'index <decimal>', found {lines[0][:60] if lines else ''!r}")
    return parse_size(lines.pop(0).removeprefix("index "), "index")


def format(proof: Proof) -> bytes:
    """The inverse of `parse`."""
    extra = f"extra {base64(proof.extra)}\n" if proof.extra else ""
    lines = "".join(f"{base64(value)}\n" for value in proof.hashes)
    return f"{HEADER}\n{extra}index {format_size(proof.index)}\n{lines}\n".encode() + proof.checkpoint_raw


def make(read: Read, index: int, checkpoint_raw: bytes, extra: bytes = b"") -> Proof:
    """The proof of entry `index` under a signed checkpoint.

    read: hashes of complete subtrees (`Tiles.read`), of the checkpoint's tree or a later one of the same log; that
    they are its hashes is not checked here, since whoever has tiles has them checked already.
    """
    size = checkpoint.parse(note.parse(checkpoint_raw).text).size
    return Proof(index, merkle.prove_inclusion(index, size, read), checkpoint_raw, extra)


@enforces("PROOF-3", "PROOF-4", "PROOF-5")
def check(proof: Proof, entry: bytes, take: Callable[[bytes], Opened]) -> Opened:
    """What `take` says about the proof's checkpoint, if the entry stands in its tree at the proof's index.

    entry: had from elsewhere. take: raises unless the reader would take this signed checkpoint from the log itself.
    Forged or Malformed if the entry is not proven; whatever `take` raises.

    [PROOF-3] A verifier MUST refuse a proof whose hashes do not lead from the leaf hash of the entry, at the index, to
    the root of the checkpoint.

    [PROOF-4] A verifier MUST refuse a proof whose checkpoint it would not take from the log itself, signed by the log
    that it expects and cosigned by a quorum of witnesses.

    [PROOF-5] What a verifier concludes from a proof MUST NOT depend on its extra data, which nobody has signed.
    """
    try:
        opened = take(proof.checkpoint_raw)
        claim = proof.checkpoint
        merkle.check_inclusion(proof.index, claim.size, merkle.leaf_hash(entry), claim.root, proof.hashes)
    except PausectlError as error:
        raise error.at("proof") from error
    return opened
