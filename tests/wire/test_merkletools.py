# SPDX-License-Identifier: Apache-2.0
"""The tree against merkletools 1.0.3, an implementation that shares nothing with ours.

Its requirement `pysha3` no longer compiles, and it imports `sha3` without using it, so it is installed without what it
requires (`pip install --no-deps merkletools==1.0.3`) and imported with an empty `sha3`. It hashes nodes without
a prefix, so its hash function is replaced by one that has it; leaves go in as RFC 9162 leaf hashes.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pausectl.wire import merkle


def install() -> Any:
    """The class MerkleTools, imported with an empty `sha3` in place of the real one, or None."""
    absent = "sha3" not in sys.modules
    sys.modules.setdefault("sha3", ModuleType("sha3"))
    try:
        return importlib.import_module("merkletools").MerkleTools
    except ModuleNotFoundError:
        return None
    finally:
        if absent:
            del sys.modules["sha3"]


MerkleTools = install()

pytestmark = pytest.mark.skipif(
    MerkleTools is None, reason="merkletools absent: pip install --no-deps merkletools==1.0.3"
)


def tree(leaves: list[bytes]) -> Any:
    oracle = MerkleTools()
    oracle.hash_function = lambda data: hashlib.sha256(b"\x01" + data)
    oracle.add_leaf([leaf.hex() for leaf in leaves])
    oracle.make_tree()
    return oracle


def leaves_of(size: int) -> list[bytes]:
    return [merkle.leaf_hash(b"entry %d" % i) for i in range(size)]


def prover(leaves: list[bytes]) -> merkle.Read:
    return lambda level, index: merkle.root(leaves[index << level : index + 1 << level])


@pytest.mark.parametrize("size", range(1, 66))
def test_same_root_and_same_audit_paths(size: int) -> None:
    leaves = leaves_of(size)
    oracle, root = tree(leaves), merkle.root(leaves)
    assert oracle.get_merkle_root() == root.hex()
    for index, leaf in enumerate(leaves):
        proof = merkle.prove_inclusion(index, size, prover(leaves))
        theirs = oracle.get_proof(index)
        assert [value for step in theirs for value in step.values()] == [value.hex() for value in proof]
        assert oracle.validate_proof(theirs, leaf.hex(), root.hex())
        merkle.check_inclusion(index, size, leaf, root, proof)


@given(st.integers(1, 400), st.data())
def test_same_verdict_on_a_changed_proof(size: int, data: st.DataObject) -> None:
    leaves = leaves_of(size)
    oracle, root = tree(leaves), merkle.root(leaves)
    index = data.draw(st.integers(0, size - 1))
    wrong = data.draw(st.integers(0, size - 1))
    proof = merkle.prove_inclusion(index, size, prover(leaves))
    try:
        merkle.check_inclusion(index, size, leaves[wrong], root, proof)
    except merkle.Forged:
        accepted = False
    else:
        accepted = True
    assert (
        accepted == (index == wrong) == oracle.validate_proof(oracle.get_proof(index), leaves[wrong].hex(), root.hex())
    )


def test_unprefixed_it_is_another_tree() -> None:
    """Guards the oracle itself: with its own hash function it must not agree."""
    oracle = MerkleTools()
    oracle.add_leaf([leaf.hex() for leaf in leaves_of(5)])
    oracle.make_tree()
    assert oracle.get_merkle_root() != merkle.root(leaves_of(5)).hex()
