# SPDX-License-Identifier: Apache-2.0
"""Receipts (`wire.proof`) from a ledger that was opened, and under an agreement: where an entry stands, and for whom.

made = prove(ledger, find(ledger, entry))
seen = check(made, entry, agreement)        as for a checkpoint: its log, its quorum, its times
"""

from __future__ import annotations

from pausectl.agreement.document import Agreement
from pausectl.errors import Malformed, Unavailable, UsageFault
from pausectl.history.reader import Ledger, Sighting, origin_of, sight
from pausectl.wire import dsse, merkle, proof
from pausectl.wire.merkle import HASH_BYTES
from pausectl.wire.proof import Proof
from pausectl.wire.tile import WIDTH


def find(ledger: Ledger, entry: bytes) -> int:
    """Index of the first entry of these bytes; the bundles are not read."""
    leaf = merkle.leaf_hash(entry)
    for bundle in ledger.bundles():
        hashes = ledger.tiles.leaves(bundle)
        at = next((at for at in range(0, len(hashes), HASH_BYTES) if hashes[at : at + HASH_BYTES] == leaf), None)
        if at is not None:
            return bundle.index * WIDTH + at // HASH_BYTES
    raise Unavailable("the ledger has no such entry", hint="it may have another signature; try its statement id")


def find_statement(ledger: Ledger, statement_id: str) -> int:
    """Index of the first entry that is this statement, whoever signed it; all entries before it are read."""
    for index, raw in ledger.entries():
        try:
            if dsse.parse(raw).statement_id == statement_id:
                return index
        except Malformed:
            continue  # no statement, and no affair of ours
    raise Unavailable(f"the ledger has no statement {statement_id[:80]}")


def prove(ledger: Ledger, index: int) -> Proof:
    """The receipt of one entry, under the newest checkpoint."""
    if not 0 <= index < ledger.size:
        raise UsageFault(f"index: expected 0 to {ledger.size - 1}, found {index}")
    return proof.make(ledger.tiles.read, index, ledger.head.raw)


def check(made: Proof, entry: bytes, agreement: Agreement) -> Sighting:
    """The proof's checkpoint, if the entry stands in its tree; Forged or Malformed otherwise."""

    def sighted(raw: bytes) -> Sighting:
        return sight(raw, agreement.of_log(origin_of(raw)))

    return proof.check(made, entry, sighted)
