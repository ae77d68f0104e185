# SPDX-License-Identifier: Apache-2.0
"""The pages of specs/ against the code: what is generated is fresh, what is written by hand lists what there is."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

import pausectl
from pausectl.agreement import document, lifecycle
from pausectl.agreement.types import Model
from pausectl.predicates import base, catalogue
from pausectl.sim import examples, pages
from pausectl.verify.rules.base import rules
from pausectl.wire import canonical, dsse

SPECS = Path(__file__).resolve().parent.parent / "specs"
FENCE = re.compile(r"<!-- generated: example -->\n```json\n(.*?)```", re.DOTALL)
AGAIN = "run python -m pausectl.sim.pages specs"


def text(page: str) -> str:
    return (SPECS / page).read_text(encoding="utf-8")


def headings(page: str) -> list[str]:
    return re.findall(r"^## (.+)$", text(page), re.MULTILINE)


# ── what is generated ──


def test_generated_parts_are_fresh():
    stale = [
        str(path.relative_to(SPECS))
        for path, expected in pages.render(SPECS).items()
        if not path.exists() or path.read_text(encoding="utf-8") != expected
    ]
    assert stale == [], AGAIN


def test_no_schema_is_left_over():
    assert {path.name for path in (SPECS / "schemas").iterdir()} == {
        f"{name}.json" for name in (*pages.PREDICATES, "agreement")
    }


def test_rendering_twice_changes_nothing_and_a_changed_part_is_noticed(tmp_path):
    """The generator on a small tree of its own: it fills its parts, leaves words and other people's parts alone."""
    (tmp_path / "predicates").mkdir()
    page = tmp_path / "predicates" / "order.md"
    page.write_text(
        "Words.\n<!-- generated: facts -->\nold\n<!-- end -->\n<!-- generated: others -->\nX-1\n<!-- end -->\n"
    )
    fresh = pages.render(tmp_path)[page]
    assert "old" not in fresh
    assert fresh.startswith("Words.\n<!-- generated: facts -->\n| | |\n")
    assert fresh.endswith("<!-- end -->\n<!-- generated: others -->\nX-1\n<!-- end -->\n")
    page.write_text(fresh)
    assert pages.render(tmp_path)[page] == fresh


@pytest.mark.parametrize("name", pages.PREDICATES)
def test_an_example_is_a_whole_statement(name):
    shown = FENCE.search(text(f"predicates/{name}.md"))
    assert shown is not None
    raw = canonical.dump(canonical.tidy(shown[1].encode()))
    assert base.read(raw) == examples.claims()[name]
    assert f"Statement id `{dsse.statement_id(raw)}`" in text(f"predicates/{name}.md")


def test_the_example_agreement_is_a_whole_one():
    shown = FENCE.search(text("agreement.md"))
    assert shown is not None
    read = document.read_document(canonical.tidy(shown[1].encode()))
    assert document.parse(examples.agreement().raw).document == read
    assert f"Agreement id `{dsse.statement_id(document.draft(read))}`" in text("agreement.md")


def test_the_diagram_has_an_arrow_for_each_row_of_the_table():
    drawn = set(re.findall(r"^ {4}(\w+) --> (\w+): (\w+)$", text("lifecycle.md"), re.MULTILINE))
    rows = {(state, target, event) for state, row in lifecycle.TABLE.items() for event, target in row.items()}
    assert drawn == rows


# ── what is written by hand ──


def test_every_predicate_has_its_page():
    found = {path.stem for path in (SPECS / "predicates").glob("*.md")}
    assert found == {cls.name for cls in catalogue.TYPES} | {"TEMPLATE"}


@pytest.mark.parametrize("name", pages.PREDICATES)
def test_a_page_has_the_parts_of_the_template(name):
    assert headings(f"predicates/{name}.md") == headings("predicates/TEMPLATE.md")[:-1]
    assert text(f"predicates/{name}.md").startswith(f"# {name}/v1\n\n")
    for part in ("facts", "example", "rules"):
        assert f"<!-- generated: {part} -->\n" in text(f"predicates/{name}.md")


def test_tables_list_the_members_of_the_models():
    assert pages.problems(SPECS) == [], AGAIN


def test_a_wrong_row_is_noticed(tmp_path):
    for page, *_ in pages.TABLES:
        copy = tmp_path / page
        copy.parent.mkdir(exist_ok=True)
        copy.write_text(text(page), encoding="utf-8")
    assert pages.problems(tmp_path) == []
    page = tmp_path / "predicates" / "order.md"
    row = next(line for line in text("predicates/order.md").splitlines() if line.startswith("| `reason` |"))
    for wrong in (
        "",
        row.replace("text", "name"),
        row.replace("reason", "motive"),
        f"{row}\n{row}",
        "| `reason` | text | | |",
    ):
        page.write_text(text("predicates/order.md").replace(row, wrong).replace("\n\n\n", "\n"), encoding="utf-8")
        assert pages.problems(tmp_path) != [], wrong


@pytest.mark.parametrize("path", sorted((SPECS / "schemas").glob("*.json")), ids=lambda path: path.stem)
def test_a_schema_is_closed_and_sorted(path):
    raw = path.read_text(encoding="utf-8")
    schema = json.loads(raw)
    assert raw == json.dumps(schema, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
    assert schema["$id"] == f"https://pausectl.dev/{path.stem}/v1"
    for found in (schema, *schema.get("$defs", {}).values()):
        assert found["additionalProperties"] is False
        assert found["required"] == sorted(found["properties"])


def test_links_between_pages_lead_somewhere():
    broken = [
        f"{page.relative_to(SPECS)}: {link}"
        for page in SPECS.rglob("*.md")
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if not (page.parent / link).exists()
    ]
    assert broken == []


def test_the_examples_agree_with_one_another():
    found = examples.claims()
    installed = found["inventory"].stock[0].ending.installed_count
    agreed = examples.agreement().document
    usage = found["usage"]
    assert sum(work.accelerator_seconds for work in usage.work) == installed * agreed.windows.length_seconds
    assert usage.bookings[0].run_id == found["run"].run_id
    watts = {chip.sku: chip.rated_watts for chip in agreed.hardware}
    joules = sum(w.accelerator_seconds * watts[w.sku] * agreed.power.fractions[w.category].value for w in usage.work)
    expected = joules / 3600 * agreed.power.it_factor.value * found["energy"].pue.value
    assert found["energy"].energy_wh == int(expected)
    assert found["correction"].supersedes == dsse.statement_id(base.write(usage))
    assert found["capability"].model == found["model"].weights_root


# ── the models ──


def models(cls: type[BaseModel] = Model) -> Iterator[type[BaseModel]]:
    for below in cls.__subclasses__():
        yield below
        yield from models(below)


def test_members_stand_in_alphabetical_order():
    """Then pydantic writes canonical JSON by itself, which is what makes `base.read` fast; of nested models too."""
    for module in pkgutil.walk_packages(pausectl.__path__, "pausectl."):
        importlib.import_module(module.name)
    for name in pages.PREDICATES:
        base.read(base.write(examples.claims()[name]))  # builds the statement models
    found = [cls for cls in models() if cls.__module__.startswith("pausectl.")]
    assert len(found) > 50
    for cls in found:
        written = [field.alias or name for name, field in cls.model_fields.items()]
        assert written == sorted(written), cls


def test_models_are_closed_and_frozen():
    for cls in models():
        settings = cls.model_config
        assert (settings["extra"], settings["frozen"], settings["strict"]) == ("forbid", True, True), cls


def test_every_rule_is_on_the_page_of_a_statement_that_it_reads():
    """LED-6 alone is on none: it is about types that have no page."""
    named = {name for listed in (*pages.FEEDS.values(), pages.EVERY) for name in listed.split()}
    assert set(rules()) - named == {"LED-6"}
    assert set(pages.FEEDS) == set(pages.PREDICATES)
