# SPDX-License-Identifier: Apache-2.0
"""LOG-1, LOG-2: what a write does, in which order, and that a failed fsync ends the process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pausectl import durable
from pausectl.durable import Disk
from pausectl.errors import Refused


def calls_of(path: Path) -> list[tuple[str, str]]:
    calls = []
    Disk(lambda call, where: calls.append((call, where.name))).put(path, b"data")
    return calls


def test_a_file_is_written_beside_synchronised_renamed_and_its_directory_synchronised(tmp_path):
    assert calls_of(tmp_path / "000") == [
        ("create", ".000.tmp"),
        ("write", ".000.tmp"),
        ("fsync", ".000.tmp"),
        ("rename", "000"),
        ("fsync", tmp_path.name),
    ]
    assert (tmp_path / "000").read_bytes() == b"data"
    assert (tmp_path / "000").stat().st_mode & 0o777 == 0o444
    assert [path.name for path in tmp_path.iterdir()] == ["000"]


def test_a_directory_that_somebody_else_makes_at_that_moment_is_as_good(tmp_path):
    def rival(call: str, where: Path) -> None:
        if call == "mkdir":
            where.mkdir()

    Disk(rival).folder(tmp_path / "tile" / "0", within=tmp_path)
    assert (tmp_path / "tile" / "0").is_dir()
    with pytest.raises(FileExistsError):
        Disk(lambda call, where: where.touch() if call == "mkdir" else None).folder(tmp_path / "x", within=tmp_path)


def test_every_new_directory_is_synchronised_into_its_parent(tmp_path):
    calls = []
    disk = Disk(lambda call, where: calls.append((call, where.relative_to(tmp_path).as_posix())))
    disk.folder(tmp_path / "tile" / "0", within=tmp_path)
    assert calls == [("mkdir", "tile"), ("fsync", "."), ("mkdir", "tile/0"), ("fsync", "tile")]
    calls.clear()
    disk.folder(tmp_path / "tile" / "0", within=tmp_path)
    assert calls == []
    disk.folder(tmp_path / "tile" / "0", within=tmp_path, afresh=True)
    assert calls == [("fsync", "."), ("fsync", "tile")]


def test_what_a_crash_left_of_a_file_is_in_nobodys_way(tmp_path):
    (tmp_path / ".000.tmp").write_bytes(b"half of it")
    calls_of(tmp_path / "000")
    assert [path.name for path in tmp_path.iterdir()] == ["000"]
    assert (tmp_path / "000").read_bytes() == b"data"


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    disk = Disk()
    disk.put(tmp_path / "000", b"old")
    limited = (
        "import resource, signal, sys; from pathlib import Path; from pausectl.durable import Disk\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: Disk().put(Path(sys.argv[1]), bytes(10000))\n"
        "except OSError as error: print(error.errno)\n"
    )
    run = subprocess.run([sys.executable, "-c", limited, tmp_path / "000"], capture_output=True, text=True, check=True)
    assert run.stdout == "27\n"  # EFBIG, after a short write
    assert [path.name for path in tmp_path.iterdir()] == ["000"]
    assert (tmp_path / "000").read_bytes() == b"old"


def test_a_failed_fsync_ends_the_process_with_status_5_and_nothing_after_it():
    """A pipe can be written, and not synchronised."""
    script = (
        "import os\nfrom pathlib import Path\nfrom pausectl import durable\n"
        "try: durable.sync(os.pipe()[1], Path('tile/0/000'))\n"
        "finally: print('unwound')\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (durable.FATAL, "")
    assert "tile/0/000: fsync failed" in run.stderr


def test_a_lock_is_held_once(tmp_path):
    held = durable.lock(tmp_path / "lock")
    with pytest.raises(Refused, match="another process"):
        durable.lock(tmp_path / "lock")
    os.close(held)
    os.close(durable.lock(tmp_path / "lock"))


def test_a_vault_that_does_not_fit_has_no_half_file_and_no_commitment(tmp_path):
    """Its secrets are readable by their owner alone; what opens a seal is durable before anybody hears of the seal."""
    script = (
        "import resource, signal, sys; from pathlib import Path; from pausectl.errors import UsageFault\n"
        "from pausectl.lab import table, vault; from pausectl.wire.seal import Context\n"
        "readings = {'n': [(t, 1 + t) for t in range(0, 3_600_001, 10_000)]}\n"
        "rows = table.rows(readings, 0, 3_600_000, max_gap_ms=10_000)\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "context = Context('a' * 64, 'aurora', 'aurora-1', 'telemetry/aurora-1', 0, 3_600_000)\n"
        "try: vault.Vault.create(Path(sys.argv[1]), context, rows, bytes(32))\n"
        "except UsageFault as error: print(error)\n"
    )
    place = tmp_path / "deep" / "vault"
    run = subprocess.run([sys.executable, "-c", script, place], capture_output=True, text=True, check=True)
    assert "cannot be written: File too large" in run.stdout
    assert [path.name for path in place.iterdir()] == ["master"]
    assert (place / "master").stat().st_mode & 0o777 == 0o600
