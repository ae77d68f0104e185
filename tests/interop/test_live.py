# SPDX-License-Identifier: Apache-2.0
"""Every peer reads a log of ours while it is being served, with witnesses beside it, all in processes of their own.

What came in by POST /add is looked for by everybody: its receipts are checked by torchwood and Sigstore.
"""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pausectl.history import receipt
from pausectl.log.fsck import fsck
from pausectl.net import client
from pausectl.wire import proof, tile
from pausectl.wire.keys import base64


def test_everything_handed_in_is_acknowledged_with_its_proof(live):
    indices = set()
    for entry, raw in live.receipts:
        made = proof.parse(raw)
        receipt.check(made, entry, live.agreement)
        indices.add(made.index)
    assert len(indices) == len(live.receipts)
    assert max(indices) < live.size


def test_xmod_reads_it(call, live):
    done = call("xmod", live.url, live.vkey)
    assert done.stdout.split() == ["ok", live.agreement.document.log.origin, str(live.size)], done.stderr


def test_torchwood_reads_it_under_the_witness_policy(call, live, tmp_path):
    (tmp_path / "policy").write_text(live.policy())
    done = call("wood", "log", live.url, tmp_path / "policy")
    assert done.stdout.split() == ["ok", live.agreement.document.log.origin, str(live.size)], done.stderr


def test_our_fsck_finds_no_damage_while_it_grows(live, world):
    """Files of commits under way, and partial tiles that are removed, are nobody's fault."""
    more = [raw for _, raw, _ in world.said[540:]]
    assert len(more) > 20
    before, rounds = live.size, 0
    with ThreadPoolExecutor(2) as pool:
        adding = [pool.submit(submit, live.url, raw) for raw in more]
        while not all(each.done() for each in adding) or rounds < 5:
            assert fsck(live.home, live.agreement, jobs=1) == []
            assert fsck(live.url, live.agreement, jobs=1) == []
            rounds += 1
        for each in adding:
            each.result()
    assert live.size >= before + len(more)
    assert fsck(live.home, live.agreement) == []


@pytest.mark.parametrize("workers", [1, 4])
def test_tesseras_fsck_and_ours_find_no_damage_in_it(call, live, tmp_path, workers):
    (tmp_path / "log.pub").write_text(live.vkey)
    options = (f"--storage_url={live.url}/", f"--public_key={tmp_path / 'log.pub'}", "--ui=false", "-N", workers)
    done = call("fsck", *options, timeout=60)
    assert "Successfully fsck'd" in done.stderr, done.stderr
    assert fsck(live.url, live.agreement) == fsck(live.home, live.agreement) == []


def test_tessera_clones_it(call, live, tmp_path):
    done = call("tessera-migrate", f"--source_url={live.url}/", f"--storage_dir={tmp_path / 'clone'}")
    assert done.returncode == 0, done.stderr
    for place in (*tile.tiles_for(live.size), *tile.bundles_for(live.size)):
        assert (tmp_path / "clone" / place.path).read_bytes() == (live.public / place.path).read_bytes(), place.path


def submit(url: str, entry: bytes) -> None:
    assert client.post(f"{url}/add", entry, timeout=30, max_bytes=1 << 16).status == 200


# ── receipts ──


def test_torchwood_verifies_our_receipts_under_the_witness_policy(call, live, tmp_path):
    (tmp_path / "policy").write_text(live.policy())
    (tmp_path / "all").write_text(live.policy(3))
    for number, (entry, raw) in enumerate(live.receipts[::20]):
        (tmp_path / "entry").write_bytes(entry)
        (tmp_path / "proof").write_bytes(raw)
        assert call("wood", "proof", tmp_path / "policy", tmp_path / "proof", tmp_path / "entry").returncode == 0, (
            number
        )
        (tmp_path / "entry").write_bytes(entry + b" ")
        assert call("wood", "proof", tmp_path / "policy", tmp_path / "proof", tmp_path / "entry").returncode == 1
    entry, raw = live.receipts[0]
    (tmp_path / "entry").write_bytes(entry)
    few = proof.parse(raw)
    lines = few.checkpoint_raw.split(b"\n")
    (tmp_path / "proof").write_bytes(raw.replace(few.checkpoint_raw, b"\n".join([*lines[:6], b""])))
    done = call("wood", "proof", tmp_path / "all", tmp_path / "proof", tmp_path / "entry")
    assert done.returncode == 1
    assert "policy components satisfied" in done.stderr


def test_sigstore_verifies_our_receipts(peer, live):
    peer("node_modules")
    cases = []
    for entry, raw in live.receipts:
        made = proof.parse(raw)
        cases.append(
            {
                "checkpoint": made.checkpoint_raw.decode(), "entry": base64(entry), "index": made.index,
                "hashes": list(map(base64, made.hashes)), "key": base64(live.agreement.log_key.public.raw),
                "origin": live.agreement.document.log.origin,
            }
        )  # fmt: skip
    other = [cases[0] | {"entry": cases[1]["entry"]}, cases[0] | {"index": cases[1]["index"]}]
    script = Path(__file__).parent / "node" / "inclusion.js"
    done = subprocess.run(
        ["node", script], input=json.dumps(cases + other), capture_output=True, text=True, check=True, timeout=60
    )
    verdicts = json.loads(done.stdout)
    assert verdicts[: len(cases)] == ["ok"] * len(cases)
    assert "ok" not in verdicts[len(cases) :]
