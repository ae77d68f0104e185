# SPDX-License-Identifier: Apache-2.0
"""Inclusion proofs and checkpoints written here, judged by Sigstore's client for JavaScript (npm @sigstore/verify)."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from pausectl.history.source import open_source
from pausectl.history.tiles import Tiles
from pausectl.wire import checkpoint, merkle
from pausectl.wire.keys import base64
from pausectl.wire.tile import Bundle

SCRIPT = Path(__file__).parent / "node" / "inclusion.js"


def judged(peer, cases) -> list[str]:
    peer("node_modules")
    done = subprocess.run(
        ["node", SCRIPT], input=json.dumps(cases), capture_output=True, text=True, check=True, timeout=60
    )
    return json.loads(done.stdout)


def case(ours, index: int) -> dict:
    """The receipt of one entry in the parts that Sigstore knows."""
    source = open_source(str(ours.public))
    raw = source.fetch("checkpoint")
    head, _ = checkpoint.open(raw, ours.agreement.log_key)
    tiles = Tiles(source.fetch, head.size, head.root)
    proof = merkle.prove_inclusion(index, head.size, tiles.read)
    bundle = tiles.bundle(Bundle(index // 256, min(256, head.size - index // 256 * 256)))
    return {
        "checkpoint": raw.decode(), "entry": base64(bundle[index % 256]), "hashes": list(map(base64, proof)),
        "index": index, "key": base64(ours.agreement.log_key.public.raw), "origin": head.origin,
    }  # fmt: skip


def test_sigstore_verifies_what_our_log_includes(peer, ours):
    places = [0, 1, 255, 256, 511, 512, ours.size - 1]
    assert judged(peer, [case(ours, index) for index in places]) == ["ok"] * len(places)


def test_sigstore_refuses_what_it_does_not_include(peer, ours):
    good = case(ours, 300)
    others = case(ours, 301)
    lines = good["checkpoint"].split("\n")
    bad = [
        good | {"entry": others["entry"]},
        good | {"index": 301},
        good | {"hashes": good["hashes"][:-1]},
        good | {"hashes": [good["hashes"][1], good["hashes"][0], *good["hashes"][2:]]},
        good | {"checkpoint": "\n".join([lines[0], "5", *lines[2:]])},
        good | {"key": base64(bytes(32))},
    ]
    assert "ok" not in judged(peer, bad)
