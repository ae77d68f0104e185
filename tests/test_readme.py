# SPDX-License-Identifier: Apache-2.0
"""The README is true: transcripts are what the program prints, quoted files are the files, examples run.

`python tests/test_readme.py` rewrites the generated parts.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pausectl.cli import main

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("0*.py"))
_PARTS = re.compile(r"(<!-- (transcript|file): (.+?) -->\n)```(\w*)\n.*?```\n(<!-- end -->)", re.DOTALL)


def fresh(text: str) -> str:
    """The README with every generated part made anew."""
    return _PARTS.sub(_part, text)


def _part(found: re.Match[str]) -> str:
    opening, kind, what, language, closing = found.groups()
    content = (ROOT / what).read_text() if kind == "file" else transcript(what.split())
    return f"{opening}```{language}\n{content.strip()}\n```\n{closing}"


def transcript(words: list[str]) -> str:
    """What a command prints on stdout, run in an empty directory."""
    printed = io.StringIO()
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place), contextlib.redirect_stdout(printed):
        main(words[1:])
    return printed.getvalue()


def test_transcripts_and_quotations_are_fresh() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(_PARTS.findall(text)) >= 2
    assert fresh(text) == text, "run: python tests/test_readme.py"


def test_there_are_five_examples() -> None:
    assert len(EXAMPLES) == 5


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs_and_is_short_and_mentioned(example: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(example)], capture_output=True, text=True, check=False, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert not done.stderr
    assert len(example.read_text().splitlines()) < 60
    assert example.name in (ROOT / "README.md").read_text()


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(fresh(readme.read_text()))
