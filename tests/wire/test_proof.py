# SPDX-License-Identifier: Apache-2.0
"""Proofs: those that Go's log gave, what only a lax reader takes for one, and what one is worth."""

from __future__ import annotations

import inspect
import json
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pausectl.errors import Forged, Malformed
from pausectl.wire import checkpoint, cosignature, keys, merkle, note, proof
from pausectl.wire.checkpoint import Checkpoint
from pausectl.wire.proof import Proof

Shared = Callable[[str], Path]

PAGE = (Path(__file__).resolve().parents[2] / "specs" / "proof.md").read_text(encoding="utf-8")
EXAMPLE = re.findall(r"^```\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[0].encode()

SIGNER = keys.PrivateKey.from_seed(keys.ED25519, bytes(32))
KEY = note.VerifierKey("log.example", note.TYPE_ED25519, SIGNER.public)
ENTRIES = [b"entry %d" % n for n in range(7)]
LEAVES = [merkle.leaf_hash(entry) for entry in ENTRIES]


def read(level: int, index: int) -> bytes:
    return merkle.root(LEAVES[index << level : index + 1 << level])


def head(size: int = 7, signer: keys.PrivateKey = SIGNER) -> bytes:
    return checkpoint.sign(Checkpoint("log.example", size, merkle.root(LEAVES[:size])), signer).raw


def by_the_log(raw: bytes) -> Checkpoint:
    return checkpoint.open(raw, KEY)[0]


# ── examples ──


def test_the_example_of_the_module_is_that_of_the_vectors(shared: Shared) -> None:
    blocks = [b for b in (inspect.getdoc(proof) or "").split("\n\n") if b.startswith("    ")]
    raw = "\n\n".join(map(textwrap.dedent, blocks)).encode() + b"\n"
    assert raw == shared("vectors/golden-go/size2-index1.tlog-proof").read_bytes()


def test_the_example_of_the_page_is_checked() -> None:
    log, witness = (
        note.parse_vkey(text)
        for text in (
            "pause.example/golden+3aeb9652+AbtXmiwuttGHlGUCg3dQ149pqjG3Yll6bsUx+ureXHOg",
            "witness.example/ed+aa214948+BB4mBqBvheQ622y4p55xkoj1tkBTiqvwHvJpwuT7WbP9",
        )
    )

    def open(raw: bytes) -> dict[str, int]:
        return cosignature.cosignatures(checkpoint.open(raw, log)[1], [witness])

    found = proof.parse(EXAMPLE)
    assert proof.format(found) == EXAMPLE
    assert proof.check(found, b"golden-1", open) == {"witness.example/ed": 1795312863}
    with pytest.raises(Forged):
        proof.check(found, b"golden-0", open)


GOLDEN = [
    (1, 0), (2, 0), (2, 1), (600, 0), (600, 300), (600, 599), (70_000, 0), (70_000, 35_000), (70_000, 69_999),
]  # fmt: skip


@pytest.mark.parametrize(("size", "index"), GOLDEN)
def test_the_proofs_of_tessera(shared: Shared, size: int, index: int) -> None:
    stem = f"vectors/golden-go/size{size}-index{index}"
    raw, entry = shared(f"{stem}.tlog-proof").read_bytes(), shared(f"{stem}.leaf").read_bytes()
    log = note.parse_vkey(shared("vectors/golden-go/log.vkey").read_text().strip())
    found = proof.parse(raw)
    assert proof.format(found) == raw
    assert proof.check(found, entry, lambda note: checkpoint.open(note, log)[0]).size == size
    with pytest.raises(Forged):
        proof.check(found, entry + b"x", lambda note: checkpoint.open(note, log)[0])


def test_the_truncated_example_of_the_specification_is_refused(shared: Shared) -> None:
    examples = json.loads(shared("vectors/c2sp-examples/examples.json").read_text())
    with pytest.raises(Malformed):
        proof.parse(examples["tlog-proof"]["example_truncated"].encode())


GO_IS_LAX = {
    "index leading zero", "empty extra", "no checkpoint", "CRLF", "trailing garbage", "64 hashes",
    "missing final newline",
}  # fmt: skip


def test_every_verdict_of_go_except_those_named(shared: Shared) -> None:
    cases = json.loads(shared("vectors/golden-go/oracle_cases.json").read_text())
    cases = [case for case in cases if case["kind"] == "tlog_proof"]
    assert len(cases) == 22
    lax = set()
    for case in cases:
        raw = keys.unbase64(case["input_b64"])
        try:
            found = proof.parse(raw)
        except Malformed:
            lax |= {case["name"]} if case["ok"] else set()
            continue
        assert case["ok"], case["name"]
        assert proof.format(found) == raw
        assert case["out"] == {
            "checkpoint_b64": keys.base64(found.checkpoint_raw),
            "extra_b64": keys.base64(found.extra),
            "hashes": [keys.base64(value) for value in found.hashes],
            "index": found.index,
        }
    assert lax == GO_IS_LAX


# ── making and checking ──


@pytest.mark.parametrize("size", range(1, 8))
def test_what_is_made_is_checked_and_nothing_else(size: int) -> None:
    for index in range(size):
        made = proof.make(read, index, head(size))
        assert proof.check(made, ENTRIES[index], by_the_log).size == size
        for other in range(7):
            if other != index:
                with pytest.raises(Forged):
                    proof.check(made, ENTRIES[other], by_the_log)


def test_proof_3_any_hash_index_or_number_of_them_matters() -> None:
    made = proof.make(read, 2, head())
    flipped = bytes([made.hashes[0][0] ^ 1]) + made.hashes[0][1:]
    for index, hashes in (
        (3, made.hashes), (2, made.hashes[:-1]), (2, (*made.hashes, bytes(32))), (2, (flipped, *made.hashes[1:])),
        (2, ()),
    ):  # fmt: skip
        with pytest.raises(Forged):
            proof.check(Proof(index, hashes, made.checkpoint_raw), ENTRIES[2], by_the_log)
    with pytest.raises(Malformed):
        proof.check(Proof(7, made.hashes, made.checkpoint_raw), ENTRIES[2], by_the_log)


def test_proof_4_what_the_reader_would_not_open_proves_nothing() -> None:
    stranger = keys.PrivateKey.from_seed(keys.ED25519, bytes([1] * 32))
    made = proof.make(read, 2, head(signer=stranger))
    with pytest.raises(Forged, match="known key"):
        proof.check(made, ENTRIES[2], by_the_log)


@given(st.binary(max_size=100))
def test_proof_5_extra_data_changes_nothing(extra: bytes) -> None:
    made = proof.make(read, 2, head(), extra)
    assert proof.parse(proof.format(made)) == made
    assert proof.check(made, ENTRIES[2], by_the_log) == by_the_log(head())
    with pytest.raises(Forged):
        proof.check(made, ENTRIES[3], by_the_log)


# ── the file ──


def changed(old: bytes, new: bytes) -> bytes:
    raw = proof.format(proof.make(read, 2, head(), b"hi"))
    assert raw.count(old) >= 1
    return raw.replace(old, new, 1)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"tlog-proof@v1", b"tlog-proof@v2"), (b"extra aGk=\nindex 2\n", b"index 2\nextra aGk=\n"),
        (b"extra aGk=", b"extra "), (b"extra aGk=", b"extra"), (b"extra aGk=", b"extra aGl="),
        (b"extra aGk=\n", b"extra aGk=\nextra aGk=\n"), (b"extra aGk=", b"extra  aGk="), (b"index 2", b"index 02"),
        (b"index 2", b"index +2"), (b"index 2", b"index 2 "), (b"index 2\n", b""),
        (b"index 2", b"index 9223372036854775808"), (b"index 2\n", b"index 2\r\n"), (b"index 2\n", b"index 2\n\n"),
        (b"index 2\n", b"index 2\nAA==\n"), (b"\n\nlog", b"\nlog"), (b"index 2", "index \u0662".encode()),
    ],
)  # fmt: skip
def test_proof_1_nothing_but_the_one_form(old: bytes, new: bytes) -> None:
    with pytest.raises(Malformed, match=r"^proof: "):
        proof.parse(changed(old, new))


def test_proof_1_the_checkpoint_is_the_rest() -> None:
    raw = proof.format(proof.make(read, 2, head()))
    for wrong in (raw[:-1], raw + b"x\n", raw + b"\n", raw.partition(b"\n\n")[0] + b"\n\n", raw[: raw.index(b"\n\n")]):
        with pytest.raises(Malformed):
            proof.parse(wrong)


def test_proof_2_limits() -> None:
    assert proof.parse(proof.format(Proof(0, (bytes(32),) * 63, head(), bytes(65_535)))).extra == bytes(65_535)
    raw = proof.format(Proof(0, (bytes(32),) * 63, head()))
    with pytest.raises(Malformed, match="63 hashes"):
        proof.parse(raw.replace(b"index 0\n", b"index 0\n" + keys.base64(bytes(32)).encode() + b"\n"))
    with pytest.raises(Malformed, match="65535 bytes of extra"):
        proof.parse(raw.replace(b"index 0\n", b"extra " + keys.base64(bytes(65_536)).encode() + b"\nindex 0\n"))
    with pytest.raises(Malformed, match="at most"):
        proof.parse(bytes(proof.MAX_BYTES + 1))
    with pytest.raises(Malformed, match="32 bytes"):
        Proof(0, (b"x",), head())
    with pytest.raises(Malformed):
        Proof(-1, (), head())


@given(st.binary(max_size=300) | st.binary(max_size=80).map(lambda raw: proof.HEADER.encode() + b"\n" + raw))
def test_any_bytes_are_malformed_or_print_back(raw: bytes) -> None:
    try:
        found: Any = proof.parse(raw)
    except Malformed:
        return
    assert proof.format(found) == raw
