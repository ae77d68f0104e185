# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: those that Go and the specification wrote, and what only a lax reader takes for one."""

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
from pausectl.wire import checkpoint, keys, note
from pausectl.wire.checkpoint import Checkpoint

Shared = Callable[[str], Path]

SIGNER = keys.PrivateKey.from_seed(keys.ED25519, bytes(32))
ROOT = keys.base64(bytes(range(32)))
KEY = note.VerifierKey("log.example", note.TYPE_ED25519, SIGNER.public)


def test_the_example_of_the_module_opens(shared: Shared) -> None:
    blocks = [b for b in (inspect.getdoc(checkpoint) or "").split("\n\n") if b.startswith("    ")]
    raw = "\n\n".join(map(textwrap.dedent, blocks)).encode() + b"\n"
    key = note.parse_vkey(shared("vectors/golden-go/log.vkey").read_text().strip())
    claim, signed = checkpoint.open(raw, key)
    assert (claim.origin, claim.size, signed.raw) == ("pause.example/golden", 2, raw)


def test_the_example_of_the_specification(shared: Shared) -> None:
    example = json.loads(shared("vectors/c2sp-examples/examples.json").read_text())["tlog-checkpoint"]["example"]
    signed = note.parse(example.encode())
    claim = checkpoint.parse(signed.text)
    assert (claim.origin, claim.size) == ("example.com/behind-the-sofa", 20852163)
    assert checkpoint.format(claim) == signed.text


def test_a_log_signs_and_a_reader_opens() -> None:
    claim = Checkpoint("log.example", 7, bytes(32))
    signed = checkpoint.sign(claim, SIGNER)
    assert checkpoint.open(note.format(signed), KEY) == (claim, signed)


def test_another_log_s_key_or_origin_is_forged() -> None:
    # CKPT-5, CKPT-6
    other = keys.PrivateKey.from_seed(keys.ED25519, bytes([1] * 32))
    raw = note.format(checkpoint.sign(Checkpoint("log.example", 7, bytes(32)), other))
    with pytest.raises(Forged, match="known key"):
        checkpoint.open(raw, KEY)
    renamed = note.sign(checkpoint.format(Checkpoint("evil.example", 7, bytes(32))), [(KEY.name, SIGNER)])
    with pytest.raises(Forged, match="origin"):
        checkpoint.open(note.format(renamed), KEY)


def test_an_origin_may_differ_from_the_key_name_if_the_reader_says_so() -> None:
    claim = Checkpoint("go.sum database tree", 7, bytes(32))
    raw = note.format(note.sign(checkpoint.format(claim), [(KEY.name, SIGNER)]))
    assert checkpoint.open(raw, KEY, "go.sum database tree")[0] == claim
    with pytest.raises(Forged, match="origin"):
        checkpoint.open(raw, KEY)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n\n",
        f"log.example\n5\n{ROOT}",
        f"\n5\n{ROOT}\n",
        f"log.example\n\n{ROOT}\n",
        "log.example\n5\n\n",
        "log.example\n5\n",
        f"log.example\n05\n{ROOT}\n",
        f"log.example\n+5\n{ROOT}\n",
        f"log.example\n5 \n{ROOT}\n",
        f"log.example\n9223372036854775808\n{ROOT}\n",
        f"log.example\n5\n{ROOT[:-2]}9=\n",
        f"log.example\n5\n{ROOT[:-1]}\n",
        f"log.example\n5\n{keys.base64(bytes(31))}\n",
        f"log.example\n5\n{keys.base64(bytes(33))}\n",
        f"log.example\r\n5\r\n{ROOT}\r\n",
        f"log.example\n5\n{ROOT}\n\next\n",
        f"log.example\n5\n{ROOT}\next\n",
        f"{'x' * 256}\n5\n{ROOT}\n",
        f"\ud800\n5\n{ROOT}\n",
    ],
    ids=lambda text: repr(text[:30]),
)
def test_texts_that_are_no_checkpoint(text: str) -> None:
    # CKPT-1, CKPT-2, CKPT-3, CKPT-4
    with pytest.raises(Malformed):
        checkpoint.parse(text)


def test_extension_lines_are_refused_with_a_reason() -> None:
    with pytest.raises(Malformed, match="nobody can audit"):
        checkpoint.parse(f"log.example\n5\n{ROOT}\next\n")


def test_a_bad_root_says_where() -> None:
    with pytest.raises(Malformed, match="checkpoint: base64"):
        checkpoint.parse("log.example\n5\n!!!!\n")


def test_what_has_no_text_is_no_checkpoint() -> None:
    for origin, size, root in (
        ("", 1, 32),
        ("a\nb", 1, 32),
        ("a\tb", 1, 32),
        ("a", -1, 32),
        ("a", 2**63, 32),
        ("a", 1, 31),
    ):
        with pytest.raises(Malformed):
            Checkpoint(origin, size, bytes(root))


origins = st.text(st.characters(codec="utf-8", min_codepoint=0x20), min_size=1, max_size=60)


@given(origins, st.integers(0, 2**63 - 1), st.binary(min_size=32, max_size=32))
def test_checkpoints_round_trip(origin: str, size: int, root: bytes) -> None:
    claim = Checkpoint(origin, size, root)
    assert checkpoint.parse(checkpoint.format(claim)) == claim


@given(st.text(max_size=60), st.text("0123456789-+ \n", max_size=24))
def test_any_text_is_a_checkpoint_or_malformed(text: str, size: str) -> None:
    for candidate in (
        text,
        f"{text}\n{size}\n{ROOT}\n",
        f"log.example\n{size}\n{text}\n",
        f"log.example\n5\n{ROOT}{text}",
    ):
        with contextlib.suppress(Malformed):
            assert checkpoint.format(checkpoint.parse(candidate)) == candidate


@given(st.binary(max_size=200))
def test_any_bytes_open_or_are_malformed_or_forged(raw: bytes) -> None:
    for candidate in (raw, f"log.example\n5\n{ROOT}\n\n— log.example ".encode() + raw + b"\n"):
        with pytest.raises((Malformed, Forged)):
            checkpoint.open(candidate, KEY)
