# SPDX-License-Identifier: Apache-2.0
"""Logs written here, read by Go's own client of transparency logs and by Geomys's torchwood.

`tests/interop/peers/xmod` (golang.org/x/mod/sumdb) proves the inclusion of every entry and the consistency of many
sizes; `tests/interop/peers/wood` reads every entry under a checkpoint that a c2sp.org/tlog-policy is satisfied with.
"""

from __future__ import annotations

import pytest

from pausectl.sim.demo import stage


def test_xmod_reads_the_demo(call, tmp_path):
    stage(tmp_path / "demo")
    done = call("xmod", tmp_path / "demo" / "log", (tmp_path / "demo" / "log.vkey").read_text().strip())
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[:2] == ["ok", "log.example/pause"]


def test_xmod_reads_a_log_of_several_tiles_over_http(call, ours, publish):
    assert ours.size > 512
    done = call("xmod", publish(ours.public), ours.vkey)
    assert done.stdout.split() == ["ok", ours.agreement.document.log.origin, str(ours.size)], done.stderr


@pytest.mark.parametrize(("path", "at"), [("tile/entries/000", 1000), ("tile/0/001", 8000), ("tile/1/000.p/2", 63)])
def test_xmod_refuses_a_flipped_byte(call, ours, copy, path, at):
    damaged = bytearray((copy / path).read_bytes())
    damaged[at] ^= 1
    (copy / path).write_bytes(damaged)
    assert call("xmod", copy, ours.vkey).returncode != 0


def test_torchwood_reads_every_entry_under_the_witness_policy(call, ours, publish, tmp_path):
    (tmp_path / "policy").write_text(ours.policy())
    done = call("wood", "log", publish(ours.public), tmp_path / "policy")
    assert done.stdout.split() == ["ok", ours.agreement.document.log.origin, str(ours.size)], done.stderr


def test_torchwood_refuses_a_log_that_too_few_have_cosigned(call, ours, copy, publish, tmp_path):
    (tmp_path / "policy").write_text(ours.policy())
    lines = (copy / "checkpoint").read_bytes().split(b"\n")
    (copy / "checkpoint").write_bytes(b"\n".join([*lines[:6], b""]))  # the log's own line and one witness's
    done = call("wood", "log", publish(copy), tmp_path / "policy")
    assert done.returncode == 1
    assert "policy components satisfied" in done.stderr
