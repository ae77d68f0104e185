# SPDX-License-Identifier: Apache-2.0
"""The second reader is second: nothing of pausectl in it, small enough to be read, and it sees a flipped bit."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
VECTORS = HERE / "vectors"
SPECS = HERE.parent / "specs"
PROGRAM = HERE / "second_reader.py"

spec = importlib.util.spec_from_file_location("second_reader", PROGRAM)
second = importlib.util.module_from_spec(spec)
spec.loader.exec_module(second)


@pytest.fixture
def agreement():
    return second.Agreement((VECTORS / "agreement.json").read_bytes())


def test_it_imports_nothing_of_pausectl():
    asked = set()
    for node in ast.walk(ast.parse(PROGRAM.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            asked |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            asked.add(node.module.partition(".")[0])
    assert asked - sys.stdlib_module_names == {"cryptography"}


def test_it_is_small():
    assert len(PROGRAM.read_text(encoding="utf-8").splitlines()) < 380


def test_it_is_a_program():
    command = [sys.executable, str(PROGRAM), str(VECTORS / "honest"), str(VECTORS / "agreement.json")]
    found = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)
    assert set(found) == {"origin", "size", "root", "statements", "marks"}
    assert len(found["statements"]) == found["size"]
    assert found["marks"]
    assert found["marks"] == sorted(found["marks"])


def files():
    return sorted(p.relative_to(VECTORS / "honest") for p in (VECTORS / "honest").rglob("*") if p.name != "expect.json")


@pytest.mark.parametrize("name", [path.as_posix() for path in files() if (VECTORS / "honest" / path).is_file()])
def test_a_flipped_bit_anywhere_is_seen(name, agreement, tmp_path):
    shutil.copytree(VECTORS / "honest", tmp_path / "log")
    second.read(tmp_path / "log", agreement)
    path = tmp_path / "log" / name
    good = path.read_bytes()
    for place in range(0, len(good), max(1, len(good) // 40)):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        with pytest.raises(second.REFUSALS):
            second.read(tmp_path / "log", agreement)


def test_a_flipped_bit_in_the_agreement_is_seen():
    good = (VECTORS / "agreement.json").read_bytes()
    for place in range(0, len(good) - 1, 97):
        with pytest.raises(second.REFUSALS):
            second.Agreement(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])


def test_a_missing_tile_is_no_lie(agreement, tmp_path):
    shutil.copytree(VECTORS / "honest", tmp_path / "log")
    shutil.rmtree(tmp_path / "log" / "tile" / "0")
    with pytest.raises(OSError, match="tile/0"):
        second.read(tmp_path / "log", agreement)


# ── the examples of the pages it was written from ──


def test_it_reads_the_example_of_statements():
    page = (SPECS / "statements.md").read_text(encoding="utf-8")
    entry = re.search(r"```json\n(\{\"payload\".*)\n```", page)[1].encode()
    expected = re.search(r"statement id, SHA-256 of the PAE \| `([0-9a-f]{64})`", page)[1]
    assert second.Entry(entry).id == expected


def test_it_seals_and_opens_the_example_of_sealing():
    page = (SPECS / "sealing.md").read_text(encoding="utf-8")

    def line(name):
        return [found.replace(" ", "") for found in re.findall(rf"^{name} +([0-9a-f ]+)$", page, re.MULTILINE)]

    rows = [bytes.fromhex(row) for row in line(r"row \d")]
    sealed = second.Seal(
        {
            "agreement": "sha256:" + "1" * 64, "lab": "lab-a", "facility": "hall-1", "stream": "power",
            "window_start_ms": 1715960307000, "window_end_ms": 1715960367000, "schema": "pausectl-power/v1",
            "block_rows": 2,
        }
    )  # fmt: skip
    top, seal_id = sealed.seal(rows, bytes.fromhex(line("master")[0]))
    assert [sealed.ctx.hex(), top.hex(), seal_id] == [line("ctx")[0], line("top")[0], line("seal id")[0]]
    text = re.search(r"```json\n(\{\"block_path\".*?\})\n```", page, re.DOTALL)[1]
    shown = json.loads(re.sub(r"\n\s+(?=[0-9a-f])", "", text))
    assert sealed.open_row(top, shown) == rows[0]
    with pytest.raises(second.REFUSALS):
        sealed.open_row(top, {**shown, "index": 1})
