# SPDX-License-Identifier: Apache-2.0
"""Tables of specs/ that say where things are, what is caught, and how far one can see.

    python -m pausectl.sim.tables specs         writes every such table anew

As in `pages`, a table stands between `<!-- generated: NAME -->` and `<!-- end -->`. The index reads src/ and tests/
as text, so it needs no party's extras; everything else is asked of the program itself.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from textwrap import shorten

from pausectl.accounting import compute
from pausectl.accounting import energy as physics
from pausectl.sim import contradictions, lateweek
from pausectl.sim.evasions import Evasion, evasions
from pausectl.sim.pages import BLOCK
from pausectl.sim.world import BUSY, FLEET, PUE, QUIET, SKU, Shares, World
from pausectl.verify.quantities import peak
from pausectl.verify.rules.base import rules
from pausectl.verify.rules.catalogue import CHAPTERS

#: Pages in reading order; those that are not here come last.
ORDER = (
    "statements", "ledger", "proof", "policy", "log", "mirror", "evidence", "intake", "succession", "agreement",
    "header",
    "lifecycle", "sealing", "reading", "verification",
)  # fmt: skip
ID = r"[A-Z][A-Z0-9]*(?:-[A-Z][A-Z0-9]*)*-\d+"
CLAUSE = re.compile(rf"^(?:[-*+] |\d+\. )?\*\*\[({ID})\]\*\* ((?:.+\n)+?)(?=\n|[-*+] |\d+\. |[#|>]|\Z)", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
DECORATORS = {"enforces", "rule", "ledger_rule"}


# ── the index ──


def clauses(specs: Path) -> Iterator[tuple[str, str, str]]:
    """Id, sentence and page of every normative sentence, in reading order."""
    place = {name: number for number, name in enumerate(ORDER)}
    for page in sorted(specs.rglob("*.md"), key=lambda page: (place.get(page.stem, len(ORDER)), page)):
        for found in CLAUSE.finditer(FENCE.sub("", page.read_text(encoding="utf-8") + "\n")):
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
                yield from ((prefix + node.name, str(a.value)) for a in call.args if isinstance(a, ast.Constant))
        yield from _marked(node, f"{prefix}{node.name}.")


def trials(tests: Path) -> dict[str, list[str]]:
    """Id → paths below tests/ of the test files that name it, and of the vectors that are named after it."""
    found: dict[str, list[str]] = {}
    for path in sorted(tests.rglob("test_*.py")):
        if path.name not in {"test_house.py", "test_spec_tables.py"}:
            for clause in set(re.findall(rf"(?<![A-Z0-9-]){ID}(?!\d)", path.read_text(encoding="utf-8"))):
                found.setdefault(clause, []).append(path.relative_to(tests).as_posix())
    for path in sorted((tests / "vectors").rglob("*-*")):
        if named := re.match(rf"{ID}(?=[-.])", path.name):
            found.setdefault(named[0], []).append(path.relative_to(tests).as_posix())
    return found


def index(specs: Path) -> str:
    """For every sentence: the page, the function that keeps it, and the tests that name it."""
    kept, tried = keepers(specs.parent / "src" / "pausectl"), trials(specs.parent / "tests")
    rows = ["| id | begins | page | function | tests |", "|---|---|---|---|---|"]
    for clause, sentence, page in clauses(specs):
        where = ", ".join(f"[`{name}`](../src/pausectl/{path})" for path, name in kept.get(clause, []))
        tests = ", ".join(f"[{Path(path).stem}](../tests/{path})" for path in tried.get(clause, []))
        begins = shorten(sentence.replace("|", r"\|"), 72, placeholder=" …", break_on_hyphens=False)
        begins = re.sub(r"MUST(?: NOT)?", r"**\g<0>**", begins)  # bold is no rule: a sentence stands on one page only
        rows.append(f"| {clause} | {begins} | [{page.removesuffix('.md')}]({page}) | {where} | {tests or '–'} |")
    return "\n".join(rows) + "\n"


# ── cheats and rules ──


def _known() -> list[Evasion]:
    return list(evasions().values())


def caught(_specs: Path) -> str:
    """The cheats that a rule or a reader catches."""
    rows = "".join(f"| {e.name} | {e.cheat} | {e.caught_by} | {e.outcome} |\n" for e in _known() if e.caught_by)
    return "| evasion | the cheat | caught by | outcome |\n|---|---|---|---|\n" + rows


def blindspots(_specs: Path) -> str:
    """The cheats that nothing here catches."""
    return "".join(f"- **{e.name}.** {e.cheat}\n" for e in _known() if not e.caught_by)


def glance(_specs: Path) -> str:
    """What each rule is asked about, and the cheats that it has to catch, in the order of the chapters."""
    rows = ["| rule | asked about | evasions that it catches |", "|---|---|---|"]
    for chapter in CHAPTERS:
        for each in (each for each in rules().values() if each.check.__module__ == chapter.__name__):
            about = "each lab and window" if each.of_case else "the ledger"
            rows.append(f"| {each.id} | {about} | {', '.join(e.name for e in _known() if e.caught_by == each.id)} |")
    return "\n".join(rows) + "\n"


# ── numbers of the world ──


def worked(_specs: Path) -> str:
    """What the rules with numbers say about an honest lab in the second window of a pause."""
    world = World().run()
    wanted = ("CAP-1", "CAP-2", "HRS-1", "ENG-1", "ENG-2")
    found = {
        f.rule: f for f in world.verify().judgement.findings if f.lab == "aurora" and f.window and f.window[0] == 3
    }
    texts = [f"{rule} {found[rule].outcome}\n{found[rule].message}\n" for rule in wanted]
    return "```\n" + "".join(texts).replace("; ", ";\n") + "```\n"


def detection(_specs: Path) -> str:
    """The detection limit of ENG-2 for sites of several sizes, one window, with the example agreement's numbers."""
    rows = [
        f"| {fleet:,} | {_missed(fleet, BUSY):.1e} | {_missed(fleet, QUIET):.1e} |\n"
        for fleet in (FLEET, 4_096, 16_384, 65_536)
    ]
    return "| accelerators | busy, in pflop | quiet, in pflop |\n|---|---|---|\n" + "".join(rows)


def _missed(fleet: int, shares: Shares) -> float:
    world = World(windows=0, pause_at=None)
    document, hardware = world.agreement.document, world.agreement.hardware[SKU]
    power, hours = document.power, world.hours(shares, fleet)
    chain = physics.Chain(Fraction(*PUE), power.it_factor.value)
    load = [(s, hardware.rated_watts, power.fractions[c].value) for c, s in hours.items()]
    expected = float(physics.expected_wh(load, chain))
    sigmas = (power.sigma_meter, power.sigma_model, power.sigma_pue, power.sigma_hours)
    sigma = physics.residual_sigma_wh(expected, expected, physics.Sigmas(*(float(each.value) for each in sigmas)))
    hidden = physics.detectable_wh(sigma, float(power.false_alarm.value), float(power.detection.value))
    seconds = physics.hidden_accelerator_seconds(hidden, chain, hardware.rated_watts, power.fractions["pretrain"].value)
    return seconds * float(compute.pflop(peak(world.agreement, SKU, None), document.mfu.caps.value))


def _week(part: Callable[[], str]) -> Callable[[Path], str]:
    return lambda _specs: part()


def _evidence() -> str:
    return f"```\n{contradictions.example().decode()}```\n"


PARTS: dict[str, Callable[[Path], str]] = {
    "index": index, "caught": caught, "blindspots": blindspots, "glance": glance, "worked": worked,
    "detection": detection, "head": _week(lateweek.head), "times": _week(lateweek.times),
    "ticks": _week(lateweek.ticks), "intervals": _week(lateweek.intervals), "evidence": _week(_evidence),
}  # fmt: skip


def render(specs: Path) -> dict[Path, str]:
    """Path → what every page with one of these tables should hold."""
    pages = {page: page.read_text(encoding="utf-8") for page in sorted(specs.rglob("*.md"))}
    ours = {page: text for page, text in pages.items() if any(found[2] in PARTS for found in BLOCK.finditer(text))}
    return {page: BLOCK.sub(partial(_fill, specs), text) for page, text in ours.items()}


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
