# SPDX-License-Identifier: Apache-2.0
"""A log as its witness sees it, and requests of every kind about it."""

from __future__ import annotations

import pytest

from pausectl.sim import terms
from pausectl.wire import checkpoint, merkle, note, witness
from pausectl.wire.checkpoint import Checkpoint
from pausectl.wire.witness import Request

LOG = terms.demo_key("log")
ORIGIN = "log.example/test"


class Tree:
    """Leaves, roots, proofs, and what the log sends."""

    def __init__(self, leaves: list[bytes], origin: str = ORIGIN, signer=LOG) -> None:
        self.leaves = [merkle.leaf_hash(leaf) for leaf in leaves]
        self.origin, self.signer = origin, signer
        self.key = note.VerifierKey(origin, note.TYPE_ED25519, signer.public)

    def read(self, level: int, index: int) -> bytes:
        return merkle.root(self.leaves[index << level : index + 1 << level])

    def checkpoint(self, size: int, signer=None, origin=None, root=None) -> bytes:
        told = Checkpoint(origin or self.origin, size, root or merkle.root(self.leaves[:size]))
        return checkpoint.sign(told, signer or self.signer).raw

    def request(self, old: int, size: int, **options) -> bytes:
        proof = merkle.prove_consistency(old, size, self.read) if old else ()
        return witness.format_request(Request(old, proof, self.checkpoint(size, **options)))


@pytest.fixture(scope="session")
def tree_of():
    return Tree


@pytest.fixture(scope="session")
def tree():
    return Tree([b"leaf-%d" % index for index in range(40)])


@pytest.fixture(scope="session")
def fork():
    return Tree([b"fork-%d" % index for index in range(40)])
