# SPDX-License-Identifier: Apache-2.0
"""What crosses between log and witness: exchanges of a Go witness, of litewitness and of the specification."""

from __future__ import annotations

import contextlib
import inspect
import json
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pausectl.errors import Forged, Malformed
from pausectl.wire import checkpoint, cosignature, keys, merkle, note, witness
from pausectl.wire.witness import Request

Shared = Callable[[str], Path]

CHECKPOINT = note.format(
    checkpoint.sign(
        checkpoint.Checkpoint("log.example", 5, bytes(32)), keys.PrivateKey.from_seed(keys.ED25519, bytes(32))
    )
)
HASH = keys.base64(bytes(32)).encode()
LINE = note.format_signature(note.parse(CHECKPOINT).signatures[0]).encode() + b"\n"


def test_the_example_of_the_module(shared: Shared) -> None:
    blocks = (inspect.getdoc(witness) or "").split("\n\n")[1:4]
    raw = "\n\n".join(map(textwrap.dedent, blocks)).encode() + b"\n"
    request = witness.parse_request(raw)
    folder = shared("vectors/golden-go")
    claim, _ = checkpoint.open(request.checkpoint_raw, note.parse_vkey((folder / "log.vkey").read_text().strip()))
    first = merkle.leaf_hash(b"golden-0")
    merkle.check_consistency(request.old_size, first, claim.size, claim.root, request.proof)
    assert witness.format_request(request) == raw
    assert witness.parse_conflict(b"1\n") == request.old_size


def test_the_exchange_with_a_go_witness(shared: Shared) -> None:
    folder = shared("vectors/golden-go")
    raw = (folder / "add-checkpoint.request.txt").read_bytes()
    request = witness.parse_request(raw)
    assert (request.old_size, request.proof, request.checkpoint.size) == (0, (), 600)
    assert witness.format_request(request) == raw
    answer = (folder / "add-checkpoint.response.txt").read_bytes()
    lines = witness.parse_response(answer)
    assert witness.format_response(lines) == answer
    whole = note.add(request.signed, lines)
    assert note.format(whole) == (folder / "size600.checkpoint.cosigned").read_bytes()
    key = note.parse_vkey((folder / "witness-ed25519.vkey").read_text().strip())
    assert list(cosignature.cosignatures(whole, [key])) == ["witness.example/ed"]


def status(request: Request, key: note.VerifierKey, roots: dict[int, bytes]) -> int:
    """As much of a witness as tells the nine steps apart; `roots` are those it cosigned."""
    try:
        claim, _ = checkpoint.open(request.checkpoint_raw, key)
        if request.old_size != max(roots, default=0):
            return 409
        if request.old_size:
            old = roots[request.old_size]
            merkle.check_consistency(request.old_size, old, claim.size, claim.root, request.proof)
    except Forged as error:
        known = request.checkpoint.origin == key.name
        return 422 if "proof" in error.message else 403 if known else 404
    roots[claim.size] = claim.root
    return 200


def test_the_nine_requests_to_litewitness(shared: Shared) -> None:
    sequence = json.loads(shared("vectors/torchwood-witness/add_checkpoint_sequence.json").read_text())
    key = note.parse_vkey(sequence["log_vkey"])
    bodies = [step["request_body"].encode() for step in sequence["steps"]]
    # The bad signature of step 2 is no canonical base64 either, so that a strict witness answers 400 and not 403.
    with pytest.raises(Malformed, match="canonical"):
        witness.parse_request(bodies[1])
    bodies[1] = bodies[1].replace(b"6gx=\n", b"6gw=\n")
    requests = [witness.parse_request(body) for body in bodies]
    assert [witness.format_request(request) for request in requests] == bodies
    roots: dict[int, bytes] = {}
    assert [status(request, key, roots) for request in requests] == [
        step["status_spec_v1"] for step in sequence["steps"]
    ]
    assert sorted(roots) == [1, 3, 5]


def test_the_examples_of_the_specification(shared: Shared) -> None:
    examples = json.loads(shared("vectors/c2sp-examples/examples.json").read_text())["tlog-witness"]
    raw = examples["add_checkpoint_request"].encode()
    request = witness.parse_request(raw)
    assert (request.old_size, len(request.proof), len(request.signed.signatures)) == (20852014, 4, 2)
    assert witness.format_request(request) == raw
    answer = examples["add_checkpoint_response"].encode()
    assert witness.format_response(witness.parse_response(answer)) == answer
    with pytest.raises(Malformed):
        witness.parse_request(examples["sign_subtree_request_truncated"].encode())


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"old 0\n",
        b"old 0\n" + CHECKPOINT,
        b"\n\n" + CHECKPOINT,
        b"old 00\n\n" + CHECKPOINT,
        b"old -1\n\n" + CHECKPOINT,
        b"old  1\n\n" + CHECKPOINT,
        b"old 1 \n\n" + CHECKPOINT,
        b"Old 1\n\n" + CHECKPOINT,
        b"old 9223372036854775808\n\n" + CHECKPOINT,
        b"old 1\r\n\r\n" + CHECKPOINT,
        b"old 1\n" + HASH[:-1] + b"\n\n" + CHECKPOINT,
        b"old 1\n" + HASH[:-2] + b"B=\n\n" + CHECKPOINT,
        b"old 1\n" + keys.base64(bytes(31)).encode() + b"\n\n" + CHECKPOINT,
        b"old 1\n" + 64 * (HASH + b"\n") + b"\n" + CHECKPOINT,
        b"old 1\n\n\n" + CHECKPOINT,
        b"old 1\n\n" + CHECKPOINT[:-1],
        b"old 1\n\n" + CHECKPOINT + b"\n",
        b"old 1\n\n",
        b"old \xff\n\n" + CHECKPOINT,
        b"old 1\n" + b"A" * 5000 + b"\n\n" + CHECKPOINT,
        b"old 1\n\nnot a checkpoint\n\n" + LINE,
        b"old 1\n\n" + b"A" * 2**21,
    ],
    ids=lambda raw: repr(raw[:24]),
)
def test_bodies_that_are_no_request(raw: bytes) -> None:
    # WIT-1
    with pytest.raises(Malformed):
        witness.parse_request(raw)


def test_a_body_has_a_limit() -> None:
    with pytest.raises(Malformed, match="at most 1051436 bytes"):
        witness.parse_request(b"old 1\n\n".ljust(1_051_437, b"A"))


def test_sixty_three_hashes_are_allowed() -> None:
    request = Request(2**63 - 1, (bytes(32),) * 63, CHECKPOINT)
    assert witness.parse_request(witness.format_request(request)) == request
    for old, proof in ((-1, ()), (2**63, ()), (1, (bytes(32),) * 64), (1, (b"",))):
        with pytest.raises(Malformed):
            Request(old, proof, CHECKPOINT)


@given(st.integers(0, 2**63 - 1), st.lists(st.binary(min_size=32, max_size=32), max_size=63))
def test_requests_round_trip(old: int, proof: list[bytes]) -> None:
    request = Request(old, tuple(proof), CHECKPOINT)
    assert witness.parse_request(witness.format_request(request)) == request


@given(st.binary(max_size=60), st.text("old 0123456789\n=A/", max_size=60))
def test_any_bytes_are_a_message_or_malformed(raw: bytes, text: str) -> None:
    for candidate in (raw, text.encode(), text.encode() + b"\n\n" + CHECKPOINT, b"old 1\n" + raw + b"\n" + CHECKPOINT):
        for parse, format in (
            (witness.parse_request, witness.format_request),
            (witness.parse_response, witness.format_response),
            (witness.parse_conflict, witness.format_conflict),
        ):
            with contextlib.suppress(Malformed):
                assert format(parse(candidate)) == candidate


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n",
        LINE[:-1],
        LINE + b"\n",
        b"\n" + LINE,
        LINE + b"x\n",
        LINE * 101,
        b"\xff\n",
        LINE.replace(b"\n", b"\r\n"),
    ],
)
def test_answers_that_are_no_signature_lines(raw: bytes) -> None:
    # WIT-2
    with pytest.raises(Malformed):
        witness.parse_response(raw)
    for lines in ((), note.parse(CHECKPOINT).signatures * 101):
        with pytest.raises(Malformed):
            witness.format_response(lines)


@pytest.mark.parametrize(
    "raw", [b"", b"\n", b"5", b"5\n\n", b"05\n", b" 5\n", b"5\r\n", b"-5\n", b"\xd9\xa5\n", b"9" * 400 + b"\n"]
)
def test_a_conflict_without_a_size_is_no_reason_to_retry(raw: bytes) -> None:
    # WIT-3
    with pytest.raises(Malformed):
        witness.parse_conflict(raw)


@given(st.integers(0, 2**63 - 1))
def test_conflicts_round_trip(size: int) -> None:
    assert witness.parse_conflict(witness.format_conflict(size)) == size
