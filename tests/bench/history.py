# SPDX-License-Identifier: Apache-2.0
"""A made-up git history, always the same."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

TRAILER = "\nCo-authored-by: Claude Opus 4.6 <noreply@anthropic.com>\n"


def build(commits: int, place: Path) -> Path:
    """A bare repository with so many commits by fifty people, each of three of 1,600 files; made if it is not there."""
    if (place / "HEAD").exists():
        return place
    place.mkdir(parents=True)
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", place], check=True)
    with subprocess.Popen(["git", "-C", place, "fast-import", "--quiet"], stdin=subprocess.PIPE) as git:
        dice, files = random.Random(commits), {}  # noqa: S311  repeatable on purpose
        for n in range(commits):
            git.stdin.write(_commit(n, dice, files))
    if git.returncode:
        raise RuntimeError("git fast-import failed")
    return place


def _commit(n: int, dice: random.Random, files: dict[str, list[str]]) -> bytes:
    who, when = f"E{n % 50} <e{n % 50}@lab.example>", 1_700_000_000 + 60 * n
    message = f"Change {n}\n" + (TRAILER if n % 3 == 0 else "")
    said = [f"commit refs/heads/main\nauthor {who} {when} +0000\ncommitter {who} {when} +0000\n{_data(message)}"]
    for _ in range(3):
        path = f"d{dice.randrange(40)}/f{dice.randrange(40)}.py"
        lines = files.setdefault(path, [f"{i}\n" for i in range(60)])
        at = dice.randrange(len(lines))
        lines[at : at + dice.randrange(3)] = [f"{n} {i}\n" for i in range(1, 1 + dice.randrange(1, 5))]
        del lines[200:]
        said.append(f"M 100644 inline {path}\n{_data(''.join(lines))}")
    return "".join(said).encode()


def _data(text: str) -> str:
    return f"data {len(text.encode())}\n{text}\n"
