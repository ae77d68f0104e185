# SPDX-License-Identifier: Apache-2.0
r"""Two checkpoints that one log signed and that cannot both be true, in one file that convicts it by itself.

    pausectl-evidence/v1
    first http://log.example
    second http://witness.example
    root mIKShrNvZs5ANan4LJWh1nTMHxEaqACYQazFhyP2YE0=
    VW9Ji6WrKax29g4LWVc8WYTwJILvo+vBMf0QavdCO3o=

    pause.example/golden                               ┐
    1                                                  │ a checkpoint with its signature lines,
    …                                                  │ the smaller one first
                                                       │
    — pause.example/golden OuuWUt…                     ┘

    pause.example/golden
    2
    …

    — pause.example/golden OuuWUs…

Of two roots for one size nothing else is needed. Two sizes are compared by a consistency proof that *holds*, from the
root that the larger tree begins with (`root`), and that is another than was signed. A proof that merely fails shows
nothing, since anybody can make one; this one hashes to what the log signed, so it does not matter who served it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pausectl.errors import Forged, Malformed
from pausectl.registry import enforces
from pausectl.wire import checkpoint, merkle, note
from pausectl.wire.checkpoint import Checkpoint
from pausectl.wire.keys import MLDSA44, SUITES, base64, unbase64
from pausectl.wire.merkle import HASH_BYTES, Hash
from pausectl.wire.note import VerifierKey

HEADER = "pausectl-evidence/v1"
KEY_BYTES = SUITES[MLDSA44].public_bytes
MAX_PROOF = 64
MAX_WHERE = 300
MAX_BYTES = 2 * note.MAX_BYTES + 8192


@dataclass(frozen=True, slots=True)
class Evidence:
    """first, second: signed checkpoints byte for byte, the smaller one first; of one size, the smaller root first.

    got: where each of them came from, for people, and vouched for by nobody. key: the log's ML-DSA-44 key, 1,312 bytes,
    if whoever checks knows it by its digest only. root: that of the first checkpoint's size
    within the second's tree, as `proof` shows; both are empty for two checkpoints of one size.
    """

    first: bytes
    second: bytes
    got: tuple[str, str] = ("", "")
    key: bytes = b""
    root: Hash = b""
    proof: tuple[Hash, ...] = ()
    checkpoints: tuple[Checkpoint, Checkpoint] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what has no text."""
        for where in self.got:
            note.check_text(f"{where}\n")
            if "\n" in where or len(where.encode()) > MAX_WHERE:
                raise Malformed(f"evidence: expected a source of one line of at most {MAX_WHERE} bytes")
        if self.key and len(self.key) != KEY_BYTES:
            raise Malformed(f"evidence: expected an ML-DSA-44 key of {KEY_BYTES} bytes, found {len(self.key)}")
        one, two = (checkpoint.parse(note.parse(raw).text) for raw in (self.first, self.second))
        if (one.size, one.root) > (two.size, two.root):
            raise Malformed("evidence: expected the smaller checkpoint first")
        if bool(self.root) != (one.size < two.size) or (self.proof and not self.root):
            raise Malformed("evidence: expected a root and its proof between two sizes, and none for one size")
        hashes = (self.root or merkle.EMPTY, *self.proof)
        if len(self.proof) > MAX_PROOF or any(len(each) != HASH_BYTES for each in hashes):
            raise Malformed(f"evidence: expected a root and at most {MAX_PROOF} hashes, each of {HASH_BYTES} bytes")
        object.__setattr__(self, "checkpoints", (one, two))


@enforces("EVD-1")
def parse(raw: bytes) -> Evidence:
    """Read an evidence file; no signature and no proof is verified.

    [EVD-1] A parser MUST refuse evidence that is not the line `pausectl-evidence/v1`, the lines `first` and `second`
    with a text of at most 300 bytes, perhaps a line `key` with 1,312 bytes, for two sizes a line `root` and at most 64
    lines of hashes, all in canonical base64, and two checkpoints, the smaller first and of one size the one with the
    smaller root, each behind an empty line.
    """
    if len(raw) > MAX_BYTES:
        raise Malformed(f"evidence: expected at most {MAX_BYTES} bytes, found {len(raw)}")
    parts = raw.split(b"\n\n")
    if len(parts) != 5:
        raise Malformed(f"evidence: expected a head and two checkpoints, found {len(parts)} parts between empty lines")
    try:
        lines = parts[0].decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise Malformed("evidence: expected UTF-8") from error
    names = ("first ", "second ")
    if len(lines) < 3 or lines[0] != HEADER or not all(map(str.startswith, lines[1:3], names)):
        raise Malformed(f"evidence: expected the lines {HEADER}, first and second, found {lines[0][:60]!r}")
    try:
        key, hashes = _key(lines[3:])
        root, proof = _hashes(hashes)
        got = lines[1].removeprefix(names[0]), lines[2].removeprefix(names[1])
        first, second = parts[1] + b"\n\n" + parts[2] + b"\n", parts[3] + b"\n\n" + parts[4]
        return Evidence(first, second, got, key, root, proof)
    except Malformed as error:
        raise error.at("evidence") from error


def _key(lines: list[str]) -> tuple[bytes, list[str]]:
    if not lines or not lines[0].startswith("key "):
        return b"", lines
    key = unbase64(lines[0].removeprefix("key "))
    if not key:
        raise Malformed("expected a line 'key <base64>', found an empty key")
    return key, lines[1:]


def _hashes(lines: list[str]) -> tuple[Hash, tuple[Hash, ...]]:
    if not lines:
        return b"", ()
    if not lines[0].startswith("root "):
        raise Malformed(f"expected a line 'root <hash>', found {lines[0][:60]!r}")
    root = unbase64(lines[0].removeprefix("root "))
    if not root:
        raise Malformed("expected a line 'root <hash>', found an empty hash")
    return root, tuple(unbase64(line) for line in lines[1:])


def format(evidence: Evidence) -> bytes:
    """The inverse of `parse`."""
    lines = [HEADER, f"first {evidence.got[0]}", f"second {evidence.got[1]}"]
    if evidence.key:
        lines.append(f"key {base64(evidence.key)}")
    if evidence.root:
        lines += [f"root {base64(evidence.root)}", *map(base64, evidence.proof)]
    head = "".join(f"{line}\n" for line in lines).encode()
    return b"\n".join((head, evidence.first, evidence.second))


def prove(
    one: tuple[str, bytes], two: tuple[str, bytes], read: merkle.Read | None = None, keys: Sequence[VerifierKey] = ()
) -> Evidence:
    """Evidence from two signed checkpoints, each with where it came from, in any order.

    read: hashes of the tree of the larger one, already checked against its root; not needed for one size. keys: of the
    log, of which an ML-DSA-44 one goes into the file. Malformed if there is nothing to prove it with. `check` says
    whether it shows anything.
    """
    parsed = [(checkpoint.parse(note.parse(raw).text), _label(where), raw) for where, raw in (one, two)]
    (small, where, first), (large, elsewhere, second) = sorted(parsed, key=lambda each: (each[0].size, each[0].root))
    root, proof = b"", tuple[Hash, ...]()
    if small.size < large.size:
        if read is None or not small.size:
            raise Malformed("evidence: two sizes are compared by a proof from the tree of the larger")
        root = merkle.subtree_root(0, small.size, read)
        proof = merkle.prove_consistency(small.size, large.size, read)
    key = next((key.public.raw for key in keys if key.type == note.TYPE_MLDSA44), b"")
    return Evidence(first, second, (where, elsewhere), key, root, proof)


def _label(where: str) -> str:
    """On one line and short, whatever a path or an address has in it."""
    inert = "".join(character if character.isprintable() else "?" for character in where)
    return inert.encode()[:MAX_WHERE].decode(errors="ignore")


@enforces("EVD-2", "EVD-3", "EVD-4")
def check(evidence: Evidence, log_key: VerifierKey, *more: VerifierKey) -> tuple[Checkpoint, Checkpoint]:
    """The two checkpoints, if the log signed both and they contradict each other; Forged or Malformed if not.

    more: keys of the log besides log_key. The file's own `key` is for the caller to compare with a digest.

    [EVD-2] A verifier MUST refuse evidence of which either checkpoint is not signed by every key of the log that it was
    told to trust.

    [EVD-3] A verifier MUST refuse evidence of two checkpoints of one size with the same root.

    [EVD-4] A verifier MUST refuse evidence of two checkpoints of different sizes unless its proof shows that the
    larger tree begins with the tree of its root line, and that root is not the one in the smaller checkpoint.
    """
    for name, raw in (("first", evidence.first), ("second", evidence.second)):
        try:
            checkpoint.open(raw, log_key, also=more)
        except (Malformed, Forged) as error:
            raise error.at(f"evidence: {name} checkpoint") from error
    small, large = evidence.checkpoints
    shown = evidence.root or large.root
    if small.size < large.size:
        merkle.check_consistency(small.size, shown, large.size, large.root, evidence.proof)
    if shown == small.root:
        raise Forged(f"evidence: the checkpoints of sizes {small.size} and {large.size} do not contradict each other")
    return small, large
