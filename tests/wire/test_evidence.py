# SPDX-License-Identifier: Apache-2.0
"""Evidence convicts a log that signed two histories, and no other; a file is one text or none."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pausectl.errors import Forged, Malformed
from pausectl.sim import contradictions
from pausectl.sim.terms import demo_key
from pausectl.wire import checkpoint, evidence, merkle, note
from pausectl.wire.checkpoint import Checkpoint
from pausectl.wire.evidence import Evidence

LOG, ORIGIN = demo_key("a log"), "log.example/two-faced"
KEY = note.VerifierKey(ORIGIN, note.TYPE_ED25519, LOG.public)


def reader(leaves):
    return lambda level, index: merkle.root(leaves[index << level : index + 1 << level])


def signed(leaves):
    return checkpoint.sign(Checkpoint(ORIGIN, len(leaves), merkle.root(leaves)), LOG).raw


def made(mine, theirs):
    large = max(mine, theirs, key=len)
    return evidence.prove(("mine", signed(mine)), ("theirs", signed(theirs)), reader(large))


@given(st.integers(1, 40), st.integers(0, 40), st.integers(0, 39), st.booleans())
def test_any_two_trees_that_differ_convict_and_those_that_only_grow_do_not(small, more, where, swapped):
    honest = [merkle.leaf_hash(b"%d" % n) for n in range(small + more)]
    rewritten = [merkle.leaf_hash(b"other") if n == where % small else leaf for n, leaf in enumerate(honest)]
    pair = (rewritten, honest[:small]) if swapped else (honest[:small], rewritten)
    told = made(*pair)
    assert {name for name, _ in zip(told.got, (0, 1), strict=True)} == {"mine", "theirs"}
    first, second = evidence.check(told, KEY)
    assert (first.size, second.size) == (small, small + more)
    raw = evidence.format(told)
    assert evidence.format(evidence.parse(raw)) == raw
    with pytest.raises(Forged, match="do not contradict"):
        evidence.check(made(honest[:small], honest), KEY)


@given(st.integers(1, 12), st.integers(1, 12), st.data())
def test_no_other_proof_convicts_an_honest_log(small, more, data):
    """Whatever root and hashes somebody writes down."""
    leaves = [merkle.leaf_hash(b"%d" % n) for n in range(small + more)]
    told = made(leaves[:small], leaves)
    hashes = st.sampled_from([*leaves, merkle.EMPTY, *told.proof, told.root])
    frame = replace(told, root=data.draw(hashes), proof=tuple(data.draw(st.lists(hashes, max_size=6))))
    with pytest.raises(Forged):
        evidence.check(frame, KEY)


@given(st.binary(max_size=400) | st.text(max_size=200).map(str.encode))
def test_nothing_but_malformed_comes_of_any_bytes(raw):
    with pytest.raises(Malformed):
        evidence.parse(raw)


@given(st.data())
def test_a_changed_byte_is_refused_or_changes_nothing_that_counts(data):
    """The lines `first` and `second`, and signature lines of strangers, are the only bytes that may differ."""
    raw = evidence.format(contradictions.rewritten(ORIGIN, LOG))
    at = data.draw(st.integers(0, len(raw) - 1))
    changed = raw[:at] + bytes([data.draw(st.integers(0, 255).filter(lambda b: b != raw[at]))]) + raw[at + 1 :]
    try:
        told = evidence.parse(changed)
        evidence.check(told, KEY)
    except (Malformed, Forged):
        return
    assert evidence.format(told) == changed
    assert raw.index(b"first ") + 6 <= at < raw.index(b"root ")


def test_sources_are_made_inert_and_short():
    one, two = (signed([merkle.leaf_hash(name)]) for name in (b"a", b"b"))
    told = evidence.prove(("a\nb\x1b[31m\ud800", one), ("é" * 400, two))
    assert sorted(told.got) == sorted(("a?b?[31m?", "é" * 150))
    assert evidence.parse(evidence.format(told)) == told


def test_two_sizes_need_hashes_of_the_larger_tree_and_the_smaller_is_not_empty():
    leaves = [merkle.leaf_hash(b"%d" % n) for n in range(3)]
    with pytest.raises(Malformed, match="proof from the tree of the larger"):
        evidence.prove(("a", signed(leaves[:2])), ("b", signed(leaves)))
    with pytest.raises(Malformed, match="proof from the tree of the larger"):
        evidence.prove(("a", signed([])), ("b", signed(leaves)), reader(leaves))
    empty = Evidence(signed([]), signed(leaves), ("a", "b"), root=merkle.EMPTY)
    with pytest.raises(Malformed, match="old size above 0"):
        evidence.check(empty, KEY)


def test_another_log_is_not_convicted():
    other = note.VerifierKey(ORIGIN, note.TYPE_ED25519, demo_key("another log").public)
    for told in (contradictions.split(ORIGIN, LOG), contradictions.rewritten(ORIGIN, LOG)):
        evidence.check(told, KEY)
        with pytest.raises(Forged, match="evidence: first checkpoint"):
            evidence.check(told, other)
    crossed = replace(contradictions.split(ORIGIN, LOG), second=contradictions.split("log.example/other", LOG).second)
    with pytest.raises(Forged, match="evidence: second checkpoint"):
        evidence.check(crossed, KEY)


def test_both_lines_of_witnesses_are_kept():
    told = contradictions.split(ORIGIN, LOG)
    line = note.Signature("witness.example", b"abcd", b"whatever it says")
    more = replace(told, first=note.add(note.parse(told.first), [line]).raw)
    assert evidence.parse(evidence.format(more)).first == more.first
    evidence.check(more, KEY)
