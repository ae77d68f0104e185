# SPDX-License-Identifier: Apache-2.0
"""A log and its witnesses in memory, with an operator who admits anything: what a simulated world writes into.

It signs the same bytes as a real log and keeps no promise that a real one makes. `files()` is what its web server would
serve, so everything that reads a ledger reads this one.
"""

from __future__ import annotations

from collections.abc import Mapping

from pausectl.agreement.document import Agreement
from pausectl.errors import Unavailable
from pausectl.history.reader import key_path
from pausectl.predicates import base
from pausectl.predicates.base import Header
from pausectl.predicates.checkpoint import Mark
from pausectl.predicates.succession import Succession
from pausectl.sim.terms import demo_key
from pausectl.wire import checkpoint, cosignature, dsse, merkle, note, tile
from pausectl.wire.keys import ED25519, MLDSA44, PrivateKey


class MemoryLedger:
    """entries: leaves so far. head: the newest cosigned checkpoint. first: the index of entry 0 among all logs.

    signatures: how many each signer makes, at most.
    """

    signatures = 2

    def __init__(self, agreement: Agreement, keys: Mapping[str, PrivateKey]) -> None:
        self.agreement = agreement
        self.entries: list[bytes] = []
        self.head = b""
        self._keys = keys
        self._range = merkle.Range()
        self._leaves: list[bytes] = []
        self._operator = agreement.keys[agreement.log_key.public.keyid][0]
        self.first = 0
        self._marks = 0
        self._marked_at = 0
        self._unmarked = False

    def append(self, raw: bytes) -> int:
        """Put anything in; the index."""
        self.entries.append(raw)
        leaf = merkle.leaf_hash(raw)
        self._leaves.append(leaf)
        self._range.append(leaf)
        self._unmarked = True
        return len(self.entries) - 1

    def publish(self, now: int) -> None:
        """Sign and cosign what is there; then a mark, if one is due, and the head once more."""
        self.head = self.cosigned(now)
        interval = self.agreement.document.log.mark_interval_seconds
        if self._unmarked and now >= self._marked_at + interval:
            self.append(self.mark(self.head))
            self._marked_at, self._unmarked = now, False
            self.head = self.cosigned(now)

    def mark(self, cosigned: bytes) -> bytes:
        """The mark that carries a cosigned checkpoint, signed by the operator."""
        header = Header(
            agreement=self.agreement.id,
            log=self.agreement.origin,
            party=self._operator,
            sequence=self._marks,
            stream="marks",
            window=None,
        )
        self._marks += 1
        claim = Mark(checkpoint=minimal(cosigned, self.agreement).decode(), header=header)
        return dsse.sign(base.write(claim), self._keys[self._operator]).raw

    def succession(self, cut: bytes, before: int) -> bytes:
        """The entry with which a successor begins. cut: the last checkpoint before it, of `before` entries in all."""
        header = Header(
            agreement=self.agreement.id, log=self.agreement.origin, party=self._operator, sequence=0,
            stream=Succession.stream, window=None,
        )  # fmt: skip
        self.first = before
        claim = Succession(before_count=before, checkpoint=cut.decode(), header=header)
        return dsse.sign(base.write(claim), self._keys[self._operator]).raw

    def cosigned(self, now: int, *, size: int | None = None, root: bytes | None = None) -> bytes:
        """A checkpoint with every witness's line; of another tree, if an operator wants to lie."""
        said = checkpoint.Checkpoint(
            self.agreement.origin, len(self.entries) if size is None else size, root or self._range.root()
        )
        signed = checkpoint.sign(said, *self._signers(self._operator, self.agreement.log_pair[: self.signatures]))
        lines = [
            cosignature.cosign(signed.text, keys[0].name, signer, now)
            for principal, keys in self.agreement.witness_pairs.items()
            for signer in self._signers(principal, keys[: self.signatures])
        ]
        return note.add(signed, lines).raw

    def _signers(self, party: str, keys: tuple[note.VerifierKey, ...]) -> list[PrivateKey]:
        """What makes the signatures for which these are the keys: the party's own, and its demonstration key."""
        return [self._keys[party] if key.public.suite == ED25519 else demo_key(party, MLDSA44) for key in keys]

    def files(self) -> dict[str, bytes]:
        """Path → bytes of everything that is public."""
        size = len(self.entries)
        found = {"checkpoint": self.head}
        found |= {key_path(digest): key.raw for digest, key in self.agreement.resolved.items()}
        for bundle in tile.bundles_for(size):
            first = bundle.index * tile.WIDTH
            found[bundle.path] = tile.format_bundle(self.entries[first : first + bundle.width])
        hashes = self._leaves
        for level, _ in enumerate(tile.widths(size)):
            for each in (t for t in tile.tiles_for(size) if t.level == level):
                first = each.index * tile.WIDTH
                found[each.path] = tile.format_hashes(hashes[first : first + each.width])
            hashes = [merkle.root(hashes[i : i + 256]) for i in range(0, len(hashes) // 256 * 256, 256)]
        return found


def minimal(cosigned: bytes, agreement: Agreement) -> bytes:
    """The note with the log's line and the earliest quorum of cosignatures, as a mark carries it."""
    signed = note.parse(cosigned)
    own = note.open(signed, agreement.log_pair)
    times = cosignature.together(signed, list(agreement.witness_pairs.values()))
    names = sorted(times, key=lambda name: (times[name], name))[: agreement.document.witnesses.quorum]
    lines = [line for name in names for line in signed.signatures if line.name == name]
    return note.add(note.Note(signed.text, own), lines).raw


class MemorySource:
    """Files in memory as a source."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.name = "memory"
        self._files = files

    def fetch(self, path: str) -> bytes:
        """The bytes of a path."""
        if path not in self._files:
            raise Unavailable("no such file", where=path)
        return self._files[path]
