# SPDX-License-Identifier: Apache-2.0
"""Prove that an entry is in the log, and that the log of today contains the log of yesterday."""

from pausectl.errors import Forged
from pausectl.sim.world import World
from pausectl.wire import checkpoint, merkle, tile

world = World(windows=1)
world.run()
ledger, key = world.memory, world.agreement.log_key
head, _ = checkpoint.open(ledger.head, key)

# What a log serves are tiles; proofs are made from them by whoever needs one.
files = ledger.files()
read = tile.hash_reader(head.size, lambda wanted: files[wanted.path])
leaf = merkle.leaf_hash(ledger.entries[3])
proof = merkle.prove_inclusion(3, head.size, read)
merkle.check_inclusion(3, head.size, leaf, head.root, proof)
print(f"entry 3 of {head.size}: {len(proof)} hashes lead to the signed root")

old_size = 5
old_root = merkle.root([merkle.leaf_hash(entry) for entry in ledger.entries[:old_size]])
proof = merkle.prove_consistency(old_size, head.size, read)
merkle.check_consistency(old_size, old_root, head.size, head.root, proof)
print(f"the log of {old_size} entries is the beginning of that of {head.size}")

try:
    merkle.check_inclusion(3, head.size, merkle.leaf_hash(b"something else"), head.root, proof)
except Forged as error:
    print(f"anything else is refused: {error}")
