# SPDX-License-Identifier: Apache-2.0
"""Logs written here, read by Go's own client of transparency logs (golang.org/x/mod/sumdb/tlog and note).

`tests/interop/xmod` proves the inclusion of every entry and the consistency of many sizes; .ci/setup builds it.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pausectl.sim.demo import stage
from pausectl.sim.world import World

READER = Path(__file__).parent / "bin" / "xmod"


def read(log: Path, vkey: str) -> subprocess.CompletedProcess[str]:
    if not READER.exists():
        pytest.skip("Go's reader is not built: .ci/setup builds it where Go is installed")
    return subprocess.run([str(READER), str(log), vkey], capture_output=True, text=True, check=False, timeout=120)


def write(files: dict[str, bytes], place: Path) -> Path:
    for name, data in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
    return place


def test_go_reads_the_demo(tmp_path: Path) -> None:
    stage(tmp_path / "demo")
    done = read(tmp_path / "demo" / "log", (tmp_path / "demo" / "log.vkey").read_text().strip())
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[:2] == ["ok", "log.example/pause"]


def test_go_reads_a_log_of_several_tiles_and_refuses_a_flipped_byte(tmp_path: Path) -> None:
    world = World(windows=20, pause_at=None).run()
    files = world.memory.files()
    assert len(world.memory.entries) > 256
    vkey = world.agreement.document.log.vkey
    assert read(write(files, tmp_path / "log"), vkey).returncode == 0
    bundle = tmp_path / "log" / "tile" / "entries" / "000"
    damaged = bytearray(bundle.read_bytes())
    damaged[1000] ^= 1
    bundle.write_bytes(damaged)
    assert read(tmp_path / "log", vkey).returncode != 0
