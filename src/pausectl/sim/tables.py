# SPDX-License-Identifier: Apache-2.0
"""Tables of specs/ that say where things are and what is caught: the index, the evasions, a ledger read step by step.

    python -m pausectl.sim.tables specs         writes every such table anew

As in `pages`, a table stands between `<!-- generated: NAME -->` and `<!-- end -->`. The index reads src/ and tests/ beside
specs/ as text, so it needs no party's code to be installed; everything else is asked of the program itself.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from textwrap import shorten

from pausectl.agreement.types import instant
from pausectl.history import reader
from pausectl.history.reader import Sighting
from pausectl.predicates import base
from pausectl.predicates.checkpoint import Mark
from pausectl.sim.evasions import Evasion, evasions
from pausectl.sim.ledger import MemoryLedger
from pausectl.sim.pages import BLOCK
from pausectl.sim.world import DAY, HOUR, World
from pausectl.verify.rules.base import rules
from pausectl.wire import checkpoint, cosignature, dsse, note

#: Pages in reading order; those that are not here come last.
ORDER = ("statements", "ledger", "agreement", "header", "lifecycle", "sealing", "reading", "verification")
CLAUSE = re.compile(r"^(?:[-*+] |\d+\. )?\*\*\[([A-Z][A-Z0-9]*(?:-[A-Z][A-Z0-9]*)*-\d+)\]\*\* ((?:.+\n)+?)(?=\n|[-*+] |\d+\. |\Z)", re.M)
FENCE = re.compile(r"^```.*?^```$", re.M | re.S)
DECORATORS = {"enforces", "rule", "ledger_rule"}
LAG = (0, 4, 9, 31)  # seconds until each witness of the example has cosigned


# ── the index ──


def clauses(specs: Path) -> Iterator[tuple[str, str, str]]:
    """Id, sentence and page of every normative sentence, in reading order."""
    place = {name: number for number, name in enumerate(ORDER)}
    for page in sorted(specs.rglob("*.md"), key=lambda page: (place.get(page.stem, len(ORDER)), page)):
        for found in CLAUSE.finditer(FENCE.sub("", page.read_text(encoding="utf-8"))):
            yield found[1], " ".join(found[2].split()), page.relative_to(specs).as_posix()


def keepers(src: Path) -> dict[str, list[tuple[str, str]]]:
    """Id → (path below src, qualified name) of the functions that are marked as keeping it."""
    kept: dict[str, list[tuple[str, str]]] = {}
    for path in sorted(src.rglob("*.py")):
        for name, clause in _marked(ast.parse(path.read_text(encoding="utf-8")), ""):
            kept.setdefault(clause, []).append((path.relative_to(src).as_posix(), name))
    return kept


def _marked(scope: ast.AST, prefix: str) -> Iterator[tuple[str, str]]:
    for node in ast.iter_child_nodes(scope):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        for call in node.decorator_list:
            if isinstance(call, ast.Call) and ast.unparse(call.func).rpartition(".")[2] in DECORATORS:
                yield from ((prefix + node.name, a.value) for a in call.args if isinstance(a, ast.Constant))
        yield from _marked(node, f"{prefix}{node.name}.")


def trials(tests: Path) -> dict[str, list[str]]:
    """Id → paths below tests/ of the test files that name it, and of the vectors that are named after it."""
    found: dict[str, list[str]] = {}
    for path in sorted(tests.rglob("test_*.py")):
        if path.name not in {"test_house.py", "test_spec_tables.py"}:
            text = path.read_text(encoding="utf-8")
            for clause in sorted(set(re.findall(r"(?<![A-Z0-9-])[A-Z][A-Z0-9]*(?:-[A-Z]+)*-\d+(?!\d)", text))):
                found.setdefault(clause, []).append(path.relative_to(tests).as_posix())
    for path in sorted((tests / "vectors").glob("*-*")):
        if clause_named := re.match(r"[A-Z][A-Z0-9]*-\d+(?=-)", path.name):
            found.setdefault(clause_named[0], []).append(path.relative_to(tests).as_posix())
    return found


def index(specs: Path) -> str:
    """For every sentence: the page, the function that keeps it, and the tests that name it."""
    kept, tried = keepers(specs.parent / "src" / "pausectl"), trials(specs.parent / "tests")
    rows = ["| id | begins | page | function | tests |", "|---|---|---|---|---|"]
    for clause, sentence, page in clauses(specs):
        where = [f"[`{name}`](../src/pausectl/{path})" for path, name in kept.get(clause, [])]
        tests = [f"[{Path(path).name}](../tests/{path})" for path in tried.get(clause, [])]
        begins = shorten(sentence.replace("|", "\\|"), 72, placeholder=" …")
        page_name = page.removesuffix(".md")
        rows.append(f"| {clause} | {begins} | [{page_name}]({page}) | {', '.join(where)} | {', '.join(tests) or '–'} |")
    return "\n".join(rows) + "\n"


# ── cheats and rules ──


def caught(_specs: Path) -> str:
    """The cheats that a rule or a reader catches."""
    rows = "".join(f"| {e.name} | {e.cheat} | {e.caught_by} | {e.outcome} |\n" for e in _known() if e.caught_by)
    return "| evasion | the cheat | caught by | outcome |\n|---|---|---|---|\n" + rows


def blindspots(_specs: Path) -> str:
    """The cheats that nothing here catches."""
    return "".join(f"- **{e.name}.** {e.cheat}\n" for e in _known() if not e.caught_by)


def glance(_specs: Path) -> str:
    """What each rule is asked about, and the cheats that it has to catch."""
    rows = ["| rule | asked about | evasions that it catches |", "|---|---|---|"]
    for each in rules().values():
        about = "each lab and window" if each.of_case else "the ledger"
        rows.append(f"| {each.id} | {about} | {', '.join(e.name for e in _known() if e.caught_by == each.id)} |")
    return "\n".join(rows) + "\n"


def _known() -> list[Evasion]:
    return list(evasions().values())


# ── a ledger, read step by step ──


class SlowWitnesses(MemoryLedger):
    """As witnesses are: each cosigns in its own time."""

    def cosigned(self, now: int, *, size: int | None = None, root: bytes | None = None) -> bytes:
        """The same checkpoint, with times that differ."""
        signed = note.parse(super().cosigned(now, size=size, root=root))
        own = note.Note(signed.text, signed.signatures[:1])
        keys = self.agreement.witness_keys
        lines = [
            cosignature.cosign(own.text, keys[name].name, self._keys[name], now + lag)
            for name, lag in zip(keys, LAG, strict=True)
        ]
        return note.add(own, lines).raw


@lru_cache(maxsize=1)
def late_week() -> World:
    """One window, and three labs that file: in time, around the deadline while the log is slow, and after it."""
    world = World(windows=1, pause_at=None)
    world.ledger = SlowWitnesses(world.agreement, world.keys)
    world.ledger.append(world.agreement.raw)
    for lab in world.people.values():
        lab.begin(world)
    world.until(world.start(0) - 10 * DAY)
    due = world.start(1) + world.agreement.document.deadlines.filing_seconds
    filings = (("aurora", due - 42 * HOUR, due - 36 * HOUR), ("borealis", due - HOUR, due + HOUR), ("cirrus", due + 2 * HOUR, due + 3 * HOUR))
    for lab, said, published in filings:
        world.now = said
        world.people[lab].file(world, 0)
        world.until(published)
    world.until(world.start(1) + 4 * DAY)
    return world


def head(_specs: Path) -> str:
    """The newest checkpoint of that ledger."""
    return f"```\n{late_week().ledger.head.decode()}```\n"


def times(_specs: Path) -> str:
    """Its cosignatures, in order of time, and what is taken from them."""
    world = late_week()
    cosigned, keys = note.parse(world.ledger.head), list(world.agreement.witness_keys.values())
    seen = sorted((time, name) for name, time in cosignature.cosignatures(cosigned, keys).items())
    taken = {1: "`first`: the smallest", world.agreement.document.witnesses.quorum: "`by`: the k-th smallest, k = 3"}
    rows = [f"| {place} | {name} | {instant(time)} | {taken.get(place, '')} |\n" for place, (time, name) in enumerate(seen, 1)]
    return "| | witness | time | |\n|---|---|---|---|\n" + "".join(rows)


def marks() -> list[tuple[int | None, Sighting]]:
    """(index, sighting) of the marks of that ledger; the head is the last, and stands nowhere."""
    world = late_week()
    claims = ((place, base.read(dsse.parse(raw).payload)) for place, raw in enumerate(world.ledger.entries) if place)
    found = [(place, claim.checkpoint.encode()) for place, claim in claims if isinstance(claim, Mark)]
    return [(place, reader.sight(raw, world.agreement)) for place, raw in [*found, (None, world.ledger.head)]]


def ticks(_specs: Path) -> str:
    """The marks as a table."""
    rows = [
        f"| {'the head' if place is None else f'entry {place}'} | 0 to {seen.checkpoint.size - 1} | {instant(seen.first)} | {instant(seen.by)} |\n"
        for place, seen in marks()
    ]
    return "| mark | covers entries | `first` | `by` |\n|---|---|---|---|\n" + "".join(rows)


def intervals(_specs: Path) -> str:
    """The usage statements of the week, their intervals, and what TIM-1 says."""
    rows = ["| entry | usage of | `not_yet` | `by` | TIM-1 |", "|---|---|---|---|---|"]
    for finding in late_week().verify().judgement.findings:
        if finding.rule == "TIM-1" and finding.message.startswith("usage"):
            (entry,) = finding.entries
            before = [seen for _, seen in marks() if seen.checkpoint.size <= entry]
            after = next(seen for _, seen in marks() if seen.checkpoint.size > entry)
            rows.append(f"| {entry} | {finding.lab} | {instant(before[-1].first)} | {instant(after.by)} | {finding.outcome} |")
    return "\n".join(rows) + "\n"


PARTS: dict[str, Callable[[Path], str]] = {
    "index": index, "caught": caught, "blindspots": blindspots, "glance": glance, "head": head, "times": times,
    "ticks": ticks, "intervals": intervals,
}  # fmt: skip


def render(specs: Path) -> dict[Path, str]:
    """Path → what every page with one of these tables should hold."""
    pages = {page: page.read_text(encoding="utf-8") for page in sorted(specs.rglob("*.md"))}
    return {page: BLOCK.sub(partial(_fill, specs), text) for page, text in pages.items() if set(PARTS) & _names(text)}


def _names(text: str) -> set[str]:
    return {found[2] for found in BLOCK.finditer(text)}


def _fill(specs: Path, found: re.Match[str]) -> str:
    part = PARTS.get(found[2])
    return found[1] + (part(specs) if part else found[3]) + found[4]


def main(arguments: list[str]) -> int:
    """Write every table anew."""
    for path, text in render(Path(arguments[0] if arguments else "specs")).items():
        if path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
