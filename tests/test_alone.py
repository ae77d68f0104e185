# SPDX-License-Identifier: Apache-2.0
"""The verifier stands alone: with lab/, log/, witness/ and sim/ deleted it gives the same answer.

So a verifier cannot be influenced by the code of those it judges; it is not even there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from pausectl.sim.evasions import evasions
from pausectl.sim.play import export

SOURCE = Path(__file__).resolve().parent.parent / "src" / "pausectl"


def run(package_root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(package_root)}
    return subprocess.run(
        [sys.executable, "-P", "-m", "pausectl", *words], capture_output=True, text=True, check=False, env=environment
    )


def test_the_verifier_works_without_the_parties(tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    shutil.copytree(SOURCE, alone / "pausectl", ignore=shutil.ignore_patterns("__pycache__"))
    for room in ("lab", "log", "witness", "sim"):
        shutil.rmtree(alone / "pausectl" / room)
    export(evasions()["train-through-the-pause"].build(), tmp_path / "world")
    words = (
        "verify",
        str(tmp_path / "world" / "log"),
        "--agreement",
        str(tmp_path / "world" / "agreement.json"),
        "--json",
    )
    whole, bare = run(SOURCE.parent, *words), run(alone, *words)
    assert whole.returncode == bare.returncode == 1, bare.stderr
    assert bare.stdout == whole.stdout
    assert json.loads(bare.stdout)["verdicts"]["borealis"] == "INCONSISTENT"
    explained = run(alone, "explain", "CAP-2")
    assert explained.returncode == 0, explained.stderr
    assert "training_pflop" in explained.stdout
