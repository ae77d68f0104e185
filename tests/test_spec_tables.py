# SPDX-License-Identifier: Apache-2.0
"""Tables and examples of specs/ that come from running the program, and the pages about rules, against the code."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pausectl
from pausectl.history import reader
from pausectl.registry import enforcers
from pausectl.report.json import render
from pausectl.sim import examples, lateweek, refused, tables
from pausectl.sim.evasions import evasions
from pausectl.sim.pages import BLOCK, table
from pausectl.sim.world import BUSY, QUIET, World
from pausectl.verify.rules.base import rules
from pausectl.wire import note

SPECS = Path(__file__).resolve().parent.parent / "specs"
AGAIN = "run python -m pausectl.sim.tables specs"


def plain(text: str) -> str:
    return " ".join(text.split())


def page(name: str) -> str:
    return (SPECS / name).read_text(encoding="utf-8")


# ── what is generated ──


def test_tables_are_fresh():
    stale = [path.name for path, text in tables.render(SPECS).items() if path.read_text(encoding="utf-8") != text]
    assert stale == [], AGAIN


def test_every_table_is_on_some_page():
    found = {block[2] for path in SPECS.rglob("*.md") for block in BLOCK.finditer(path.read_text(encoding="utf-8"))}
    assert set(tables.PARTS) - found == set()


def test_a_changed_table_is_noticed_and_words_are_left_alone(tmp_path):
    (tmp_path / "threat-model.md").write_text(
        "Words.\n<!-- generated: blindspots -->\nold\n<!-- end -->\n<!-- generated: others -->\nX-1\n<!-- end -->\n"
    )
    assert tables.main([str(tmp_path)]) == 0
    text = (tmp_path / "threat-model.md").read_text()
    assert "old" not in text
    assert "hide-a-site-from-everybody" in text
    assert text.startswith("Words.\n")
    assert text.endswith("<!-- generated: others -->\nX-1\n<!-- end -->\n")


# ── the index ──


def test_the_index_reads_pages_sources_and_tests(tmp_path):
    for folder in ("specs", "src/pausectl/room", "tests/room", "tests/vectors/A-1-violated-some-cheat"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "specs" / "page.md").write_text(
        "- **[A-1]** A reader MUST\n  read on.\n- **[A-22]** And\n  stop.\n\n"
        "```\n**[B-3]** Not\nthis.\n```\n\n**[C-4]** Last one."
    )
    (tmp_path / "src/pausectl/room/file.py").write_text(
        "class K:\n    @enforces('A-1', 'A-22')\n    def f(self): ...\n\n@base.rule('C-4')\ndef g(): ...\n"
    )
    (tmp_path / "tests/room/test_file.py").write_text("# A-22 and A-2\n")
    (tmp_path / "tests/vectors/bytes").mkdir()
    (tmp_path / "tests/vectors/bytes/A-22.json").touch()
    rows = tables.index(tmp_path / "specs").splitlines()[2:]
    k = "[`K.f`](../src/pausectl/room/file.py)"
    vector = "[A-1-violated-some-cheat](../tests/vectors/A-1-violated-some-cheat)"
    refused = "[A-22](../tests/vectors/bytes/A-22.json)"
    assert rows == [
        f"| A-1 | A reader **MUST** read on. | [page](page.md) | {k} | {vector} |",
        f"| A-22 | And stop. | [page](page.md) | {k} | [test_file](../tests/room/test_file.py), {refused} |",
        "| C-4 | Last one. | [page](page.md) | [`g`](../src/pausectl/room/file.py) | – |",
    ]


def test_the_index_knows_every_function_that_the_program_knows():
    """It reads source text; this asks the registry."""
    for module in pkgutil.walk_packages(pausectl.__path__, "pausectl."):
        importlib.import_module(module.name)
    known = {
        name: {f.__qualname__ for f in functions if f.__module__.startswith("pausectl.")}
        for name, functions in enforcers().items()
    }
    known |= {
        each.id: {each.check.__qualname__} for each in rules().values() if each.check.__module__.startswith("pausectl.")
    }
    read = tables.keepers(SPECS.parent / "src" / "pausectl")
    assert {name: {function for _, function in places} for name, places in read.items()} == {
        k: v for k, v in known.items() if v
    }


def test_every_prefix_is_in_the_table_with_its_page():
    rows = {prefix: row[1] for row in table(page("README.md"), "A rule in a minute") for prefix in row[0].split(", ")}
    wrong = {
        f"{name.rpartition('-')[0]} on {where}"
        for name, _, where in tables.clauses(SPECS)
        if f"({where.removesuffix('.md')})" not in rows.get(name.rpartition("-")[0], "").replace(".md)", ")")
    }
    assert wrong == set()


def test_the_reading_order_names_every_page():
    listed = set(
        re.findall(r"\]\(([a-z-]+\.md)\)", page("README.md").partition("## Reading order")[2].partition("\n## ")[0])
    )
    assert listed == {path.name for path in SPECS.glob("*.md")} - {"README.md"}


def test_no_link_is_broken():
    broken = [
        f"{path.relative_to(SPECS)}: {target}"
        for path in SPECS.rglob("*.md")
        if path.name != "TEMPLATE.md"
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8"))
        if not (path.parent / target).exists()
    ]
    assert broken == []


# ── the page about rules ──


def test_the_page_says_of_each_rule_what_its_docstring_says():
    text = plain(page("verification.md"))
    ours = [each for each in rules().values() if each.check.__module__.startswith("pausectl.")]
    missing = [
        f"{each.id}: expected {part}"
        for each in ours
        for part in (
            f"**[{each.id}]** {each.sentence} - *Why:* {each.why} - *Cannot see:* {each.cannot_see} - *How:* ",
        )
        if plain(part) not in text
    ]
    assert missing == []
    assert all(each.why and each.cannot_see for each in ours)


def test_rules_stand_in_the_order_of_their_chapters():
    on_page = [
        name for name, _, where in tables.clauses(SPECS) if where == "verification.md" and not name.startswith("VER-")
    ]
    assert on_page == re.findall(r"^\| ([A-Z]+-\d+) \|", tables.glance(SPECS), re.MULTILINE)


def example() -> dict[str, Any]:
    """As on the page: the report of a cheat, each list cut to one item."""
    found = json.loads(json.dumps(render(evasions()["train-through-the-pause"].build().verify())))
    found["windows"] = [next(w for w in found["windows"] if w["verdict"] == "INCONSISTENT")]
    found["findings"] = [next(f for f in found["findings"] if f["outcome"] == "VIOLATED")]
    return found | {"held": found["held"][:1], "not_shown": found["not_shown"][:1]}


def with_example(text: str) -> str:
    """verification.md with the example as it is now; `sim` cannot write it, because it may not know of `report`."""
    before, fence, rest = text.partition("```json\n")
    return before + fence + examples.pretty(example()) + "\n```" + rest.partition("\n```")[2]


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return example()


def test_the_example_of_a_report_is_one():
    text = page("verification.md")
    assert with_example(text) == text, "run python tests/test_spec_tables.py"


def members(value: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            nested = isinstance(inner, dict) or (isinstance(inner, list) and inner and isinstance(inner[0], dict))
            if not nested or name == "window":
                yield prefix + name
            yield from members(inner, f"{prefix}{name}{'[]' if isinstance(inner, list) else ''}.")
    elif isinstance(value, list) and value:
        yield from members(value[0], prefix)


def test_every_member_of_a_report_is_explained(report):
    report["errors"] = [{"lab": None, "message": ""}]
    report["verdicts"] = {"LAB": None}
    report["log"]["before"] = [{"at_hand": True, "origin": "", "root": "", "size": 0}]
    rows = table(page("verification.md"), "Result")
    assert {row[0].strip("`") for row in rows} == set(members(report))
    assert all(row[1] for row in rows)


def test_the_numbers_in_prose_about_detection_are_right():
    world = World(windows=0, pause_at=None)
    capacity = (
        7 * 86_400 * world.agreement.hardware["h100-sxm"].peak_gflop_per_second["fp8"] * 0.5 / 1e6
    )  # pflop a week
    goal = world.agreement.document.statistics.goal_pflop
    text = plain(page("verification.md"))
    busy, quiet = (tables._missed(1, shares) for shares in (BUSY, QUIET))
    assert f"{busy / capacity:.0%}".replace("%", " %") + " of a busy site's accelerators" in text
    assert f"({quiet / capacity:.0%}".replace("%", " %") + " of a quiet one's)" in text
    assert f"some {goal / busy:,.0f}"[:-2] in text
    assert f"or {goal / quiet:,.0f}"[:-2] in text


def test_the_detection_table_says_what_the_rule_says():
    """Computed apart from the rule, for the size that the world has."""
    world = World().run()
    said = next(
        f.message for f in world.verify().judgement.findings if f.rule == "ENG-2" and f.window and f.window[0] == 3
    )
    missed = int(re.search(r"hidden run of ([\d,]+) pflop", said)[1].replace(",", ""))
    assert tables._missed(512, QUIET) == pytest.approx(missed, rel=0.01)  # the meter has a spread of half a percent


# ── the page about reading ──


def test_the_checkpoint_of_the_page_is_a_checkpoint():
    shown = page("reading.md").partition("```\n")[2].partition("```")[0].encode()
    seen = reader.sight(shown, lateweek.world().agreement)
    stamps = sorted(int.from_bytes(line.payload[:8], "big") for line in note.parse(shown).signatures[1:])
    assert (seen.first, seen.by) == (stamps[0], stamps[2])
    assert seen.checkpoint.size == 20


def test_the_week_has_one_statement_of_each_kind():
    findings = [f for f in lateweek.world().verify().judgement.findings if f.rule == "TIM-1" and "usage" in f.message]
    assert [str(f.outcome) for f in findings] == ["HOLDS", "UNPROVEN", "VIOLATED"]
    rows = [row.strip("| ").split(" | ") for row in lateweek.intervals().splitlines()[2:]]
    for finding, (_, lab, not_yet, by, outcome) in zip(findings, rows, strict=True):
        assert (lab, outcome) == (finding.lab, finding.outcome)
        said = {"HOLDS": {by}, "UNPROVEN": {not_yet, by}, "VIOLATED": {not_yet}}[outcome]
        assert said <= set(re.findall(r"[-0-9T:]+Z", finding.message))


# ── the page about cheats ──


def test_blind_spots_are_listed_apart():
    blind = {each.name for each in evasions().values() if each.caught_by is None}
    assert blind, "if there are none, the page should say so"
    assert set(re.findall(r"\*\*([a-z-]+)\.\*\*", tables.blindspots(SPECS))) == blind
    assert not blind & set(re.findall(r"^\| ([a-z-]+) \|", tables.caught(SPECS), re.MULTILINE))


# ── the page about vectors ──


def test_every_member_of_a_vector_is_explained():
    explained = set(re.findall(r"^\| `(\w+)` \|", page("vectors.md"), re.MULTILINE))
    given = page("vectors.md").partition("and what the layer needs to know:")[2].partition("**Verification.**")[0]
    explained |= set(re.findall(r"`(\w+)`", given))
    vectors = SPECS.parent / "tests" / "vectors"
    files = [*vectors.glob("*/expect.json"), *vectors.glob("statements/*.json"), *vectors.glob("bytes/*.json")]
    assert len(files) > 50
    for file in files:
        value = json.loads(file.read_text(encoding="utf-8"))
        for case in value if isinstance(value, list) else [value]:
            assert set(case) <= explained, file


def test_every_step_of_reading_is_in_the_table():
    steps = table(page("vectors.md"), "Bytes")
    assert len(steps) == 4, "the first table under the heading is that of members"
    rows = re.findall(
        r"^\| [a-z ,]+ \| (`json`|`note`|`pinned-note`|`proof`|`key-file`|`evidence`|`vkey`)(.*) \|$",
        page("vectors.md"),
        re.MULTILINE,
    )
    named = [re.findall(r"`([a-z0-9-]+)`", "".join(row)) for row in rows]
    single = [layers[0] for layers in refused.LAYERS.values() if len(layers) == 1]
    assert named == [*(list(layers) for layers in refused.LAYERS.values() if len(layers) > 1), single]


if __name__ == "__main__":
    (SPECS / "verification.md").write_text(with_example(page("verification.md")), encoding="utf-8")
