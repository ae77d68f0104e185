# SPDX-License-Identifier: Apache-2.0
"""Facts that stand in two places, compared: imports and pyproject, sentences and functions, versions, the wheel."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from importlinter.cli import lint_imports

import pausectl
from pausectl.registry import enforcers, registered

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src" / "pausectl"


# ── imports ──


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Dotted name and syntax tree of every module in src."""
    for path in sorted(SRC.rglob("*.py")):
        parts = path.relative_to(SRC.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        yield name, ast.parse(path.read_text(encoding="utf-8"), path.name)


def imports_of(name: str, tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Each dotted name that the tree asks for (`from a import b` asks for `a.b`), and its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}:{node.lineno}: imports are absolute"
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def test_imports_keep_the_contracts_of_pyproject(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert lint_imports(no_cache=True, no_logo=True) == 0


def test_no_module_imports_the_front_door():
    """`import pausectl`, or a name from it that is no room."""
    rooms = {path.stem for path in SRC.iterdir()}
    found = [
        f"{name}:{line} {asked}"
        for name, tree in modules()
        for asked, line in imports_of(name, tree)
        if asked == "pausectl" or (asked.count(".") == 1 and asked.startswith("pausectl.") and asked[9:] not in rooms)
    ]
    assert found == []


def test_no_import_hides_in_a_function():
    found = [
        f"{name}:{line} {function.name}"
        for name, tree in modules()
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for _, line in imports_of(name, function)
    ]
    assert found == []


IMPURE = re.compile(
    r"(.*\b)?(datetime\.(now|utcnow|today)|date\.today|os\.urandom|uuid[14]|(read|write)_(text|bytes))|(io\.|os\.)?open"
)


def test_the_floor_has_no_clock_no_chance_and_no_disk():
    """What import-linter cannot see: a call through a module that is allowed."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    floor = next(tuple(found["source_modules"]) for found in settings["contracts"] if found["type"] == "forbidden")
    impure = []
    for name, tree in modules():
        if name.startswith(floor):
            own = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}  # sign/open, seal/open
            calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
            named = ((ast.unparse(call.func), call.lineno) for call in calls)
            impure += [f"{name}:{line} {call}" for call, line in named if IMPURE.fullmatch(call) and call not in own]
    assert impure == []


def test_help_is_light():
    """Nobody waits for cryptography to load in order to read which commands there are."""
    command = [sys.executable, "-X", "importtime", "-m", "pausectl", "--help"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    timings = [line for line in run.stderr.splitlines() if line.startswith("import time:")]
    assert run.returncode == 0, run.stderr[run.stderr.rfind(timings[-1]) :]
    loaded = {line.rpartition("|")[2].strip() for line in timings}
    assert {"click", "pausectl.cli"} <= loaded
    heavy = {"cryptography", "nacl", "pydantic", "asyncio", "sqlite3", "http"}
    assert {name for name in loaded if name.partition(".")[0] in heavy} == set()
    parties = ("pausectl.lab", "pausectl.log", "pausectl.witness", "pausectl.verify", "pausectl.sim", "pausectl.report")
    assert {name for name in loaded if name.startswith(parties)} == set()


# ── sentences ──

ID = r"[A-Z][A-Z0-9]*(?:-[A-Z][A-Z0-9]*)*-\d+"
ITEM = re.compile(r"[-*+] |\d+\. ")
CLAUSE = re.compile(rf"(?:{ITEM.pattern})?\*\*\[({ID})\]\*\* (.+)")
MUST = re.compile(r"\bMUST\b")
QUOTED = re.compile(r"`[^`]*`|\"[^\"]*\"|\*\*[^*]*\*\*")


def read(page: str) -> tuple[list[tuple[str, str]], list[str]]:
    """Clauses (id, sentence) of a Markdown page, and its other lines; fenced blocks are neither."""
    clauses: list[tuple[str, str]] = []
    rest: list[str] = []
    fenced = inside = False
    for line in map(str.strip, page.splitlines()):
        if line.startswith("```"):
            fenced, inside = not fenced, False
        elif fenced:
            continue
        elif match := CLAUSE.fullmatch(line):
            clauses.append((match[1], match[2]))
            inside = True
        elif inside and line and not ITEM.match(line) and line[0] not in "#|>":
            name, sentence = clauses[-1]
            clauses[-1] = (name, f"{sentence} {line}")
        else:
            rest.append(line)
            inside = False
    return [(name, plain(sentence)) for name, sentence in clauses], rest


def plain(text: str) -> str:
    return " ".join(text.split())


def paragraphs(function: Callable[..., Any]) -> list[str]:
    return [plain(part) for part in re.split(r"\n\s*\n", inspect.getdoc(function) or "")]


PAGE = """
Text. A key word in quotation marks, "MUST", is no sentence.

**[A-1]** A reader MUST read
on to the blank line.

- **[A-B-2]** A list MUST NOT swallow
  its neighbour.
- A neighbour MUST be caught.

```
**[C-3]** An example MUST be left alone.
```
"""


def test_the_reader_of_specs_reads_what_it_should():
    clauses, rest = read(PAGE)
    assert clauses == [
        ("A-1", "A reader MUST read on to the blank line."),
        ("A-B-2", "A list MUST NOT swallow its neighbour."),
    ]
    assert [line for line in rest if MUST.search(QUOTED.sub("", line))] == ["- A neighbour MUST be caught."]


@pytest.fixture(scope="module")
def pages() -> dict[str, tuple[list[tuple[str, str]], list[str]]]:
    found = sorted((ROOT / "specs").rglob("*.md"))
    assert found, "no specs"
    return {str(path.relative_to(ROOT)): read(path.read_text(encoding="utf-8")) for path in found}


@pytest.fixture(scope="module")
def sentences(pages) -> dict[str, str]:
    return dict(clause for clauses, _ in pages.values() for clause in clauses)


@pytest.fixture(scope="module")
def keepers() -> dict[str, list[Callable[..., Any]]]:
    """Spec id → the functions of the package that keep it, whether they refuse bytes or judge."""
    for module in pkgutil.walk_packages(pausectl.__path__, "pausectl."):
        importlib.import_module(module.name)
    kept = {name: list(functions) for name, functions in enforcers().items()}
    for rule in registered("rule").values():
        kept.setdefault(rule.id, []).append(rule.check)
    ours = {name: [function for function in functions if is_ours(function)] for name, functions in kept.items()}
    return {name: functions for name, functions in ours.items() if functions}


def is_ours(function: Callable[..., Any]) -> bool:
    """Other tests register rules of their own."""
    return function.__module__.startswith("pausectl.")


def test_specs_and_code_have_the_same_ids(sentences, keepers):
    assert sentences, "no sentence has an id"
    assert sorted(sentences.keys() - keepers.keys()) == [], "in specs/, kept by nobody"
    assert sorted(keepers.keys() - sentences.keys()) == [], "kept, but not in specs/"


def test_an_id_stands_once_with_one_must(pages):
    clauses = [clause for found, _ in pages.values() for clause in found]
    names = [name for name, _ in clauses]
    assert sorted({name for name in names if names.count(name) > 1}) == []
    assert [name for name, sentence in clauses if len(MUST.findall(sentence)) != 1] == []


def test_every_must_has_an_id(pages):
    lines = [(page, line) for page, (_, rest) in pages.items() for line in rest]
    assert [f"{page}: {line}" for page, line in lines if MUST.search(QUOTED.sub("", line))] == []


def test_docstrings_quote_their_sentences(sentences, keepers):
    wrong = [
        f"{function.__module__}.{function.__qualname__} does not say: [{name}] {sentences[name]}"
        for name, functions in keepers.items()
        for function in functions
        if name in sentences and f"[{name}] {sentences[name]}" not in paragraphs(function)
    ]
    assert wrong == []


def test_a_rule_is_one_function_with_its_sentence(sentences, keepers):
    rules = [rule for rule in registered("rule").values() if is_ours(rule.check)]
    assert rules, "no rules"
    assert [rule.id for rule in rules if len(keepers[rule.id]) != 1] == []
    assert [rule.id for rule in rules if plain(rule.sentence) != sentences.get(rule.id)] == []


def test_every_id_is_in_a_test_or_a_vector(sentences):
    used: set[str] = set()
    for path in (ROOT / "tests").rglob("*"):
        parts = path.relative_to(ROOT).parts
        if path.is_file() and path != Path(__file__) and not {"__pycache__", "bin"} & set(parts):
            text = "/".join(parts) + "\n" + path.read_text(encoding="utf-8", errors="replace")
            used.update(re.findall(rf"(?<![A-Z0-9-]){ID}(?!\d)", text))
            # `def test_mark_4_…` names MARK-4 as well as a comment does.
            used.update(f"{letters.upper()}-{digits}" for letters, digits in re.findall(r"test_([a-z]+)_(\d+)", text))
    assert sorted(sentences.keys() - used) == []


# ── what is shipped ──


def test_the_version_is_the_same_everywhere():
    assert f"\nversion: {pausectl.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\n## [{pausectl.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


OFFLINE = re.compile(r"NewConnectionError|NameResolutionError|Connect(ion)?Timeout|ReadTimeout|ProxyError")


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `pausectl ARGS` from an empty venv that has the base lock and the wheel of this tree, and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    environ = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}

    def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)

    def done(*command: str | Path) -> None:
        result = run(*command)
        if "--require-hashes" in command and result.returncode and OFFLINE.search(result.stderr):
            pytest.skip("package index unreachable")
        assert result.returncode == 0, result.stdout + result.stderr

    done(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
    done(sys.executable, "-m", "venv", folder / "venv")
    pip = (folder / "venv" / "bin" / "python", "-m", "pip", "install")
    done(*pip, "--require-hashes", "-r", ROOT / "requirements.txt")
    done(*pip, "--no-deps", "--no-index", *folder.glob("*.whl"))
    return lambda *arguments: run(folder / "venv" / "bin" / "pausectl", *arguments)


@pytest.mark.slow
def test_the_wheel_runs_in_an_empty_venv(elsewhere):
    result = elsewhere("--help")
    assert result.returncode == 0, result.stderr
    assert "demo" in result.stdout


@pytest.mark.slow
def test_the_demo_runs_from_the_wheel(elsewhere, tmp_path):
    result = elsewhere("demo", "--dir", tmp_path / "demo")
    assert result.returncode == 0, result.stdout + result.stderr
