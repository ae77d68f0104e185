# SPDX-License-Identifier: Apache-2.0
"""What specs/ and the code both say, written once: schemas, examples, facts and diagrams; and tables, compared.

    python -m pausectl.sim.pages specs          writes every generated part anew, and says which tables are wrong

A generated part of a page stands between `<!-- generated: NAME -->` and `<!-- end -->` and holds no words of ours. The
tables of members are written by hand, because what a member means is in no model; their other columns are derived from
the models here and compared (`problems`). A test does both, so a page that no longer fits the code fails it.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from pausectl.agreement import lifecycle, types
from pausectl.agreement.document import TYPE
from pausectl.agreement.terms import Document
from pausectl.predicates import base, catalogue
from pausectl.predicates.base import Predicate
from pausectl.predicates.checkpoint import Mark, NoteText
from pausectl.sim import examples
from pausectl.verify.rules.base import rules
from pausectl.verify.rules.catalogue import CHAPTERS
from pausectl.wire import dsse

BLOCK = re.compile(r"(<!-- generated: ([a-z]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
PREDICATES = {cls.name: cls for cls in catalogue.TYPES}

#: Kinds of value by the name under which specs/header.md explains them.
KINDS: tuple[tuple[Any, str], ...] = (
    (types.Id, "id"), (types.StreamName, "stream"), (types.Digest, "digest"), (types.Text, "text"),
    (types.Name, "name"), (types.Instant, "instant"), (types.Decimal, "decimal"), (types.Count, "integer ≥ 0"),
    (types.Positive, "integer ≥ 1"), (types.Signed, "integer"), (types.BigCount, "big"), (types.Ratio, "ratio"),
    (types.Span, "span"), (base.Header, "header"), (NoteText, "note"),
)  # fmt: skip

#: Endings of names, longest first, and the unit that each stands for.
UNITS = {
    "accelerator_seconds": "accelerator × s", "gflop_per_second": "10^9 operations/s", "pflop": "10^15 operations",
    "seconds": "s", "windows": "windows", "watts": "W", "wh": "Wh", "mj": "mJ", "ms": "ms",
}  # fmt: skip

#: Page, heading above the table, model, and whether the table has a column of defaults.
TABLES: tuple[tuple[str, str, type[BaseModel], bool], ...] = (
    *((f"predicates/{name}.md", "Members", cls, False) for name, cls in PREDICATES.items()),
    ("agreement.md", "Members", Document, True),
    ("header.md", "Members", base.Header, False),
    ("header.md", "Heads", base.Head, False),
    ("header.md", "Spans", types.Span, False),
    ("header.md", "Ratios", types.Ratio, False),
)

#: The rules that read what a statement of each type says. Those of EVERY read all: who made it, that it stands once.
EVERY = "LED-1 LED-2 LED-3 LED-4 EQV-1"
FEEDS = {
    "accession": "COV-2 COV-4 COV-5",
    "capability": "CPB-1 CPB-2 COV-5 COV-6",
    "checkpoint": "LED-5 LED-7 TIM-1 WIN-2",
    "close": "COV-1 COV-3 COV-5 COV-6 REC-3 TIM-1 WIN-1 WIN-2",
    "correction": "COR-1 COR-2 COR-3 COV-2 COV-4 WIN-1 WIN-2",
    "declaration": "CAP-1 CAP-2 CAP-3 MOD-1 CPB-1 CPB-2 COV-2 COV-4",
    "energy": "ENG-1 ENG-2 INV-3 INV-4 COR-3 COV-3 COV-5 COV-6 WIN-1 WIN-2",
    "inventory": "INV-1 INV-2 INV-4 HRS-1 COR-1 COV-1 COV-2 TIM-1 WIN-1 WIN-2",
    "model": "MOD-1 CPB-1 CPB-2 CAP-3 COV-2 COV-4",
    "order": "CAP-1 CAP-2 CAP-3 MOD-1 CPB-1 CPB-2 COV-5 COV-6",
    "received": "COV-1 COV-3 COV-5 COV-6 TIM-1 REC-1 REC-2 REC-3 RUN-1 WIN-2",
    "run": "RUN-1 RUN-2 RUN-3 RUN-4 CAP-3 MOD-1 COV-2 COV-4",
    "succession": "SUC-3 SUC-4 TIM-1",
    "usage": "CAP-1 CAP-2 CAP-3 HRS-1 ENG-1 ENG-2 RUN-2 RUN-3 RUN-4 INV-4 COR-1 COR-2 COR-3 COV-1 COV-2 COV-4 TIM-1 "
    "WIN-1 WIN-2",
}  # fmt: skip


# ── what the models say ──


def schema(model: type[BaseModel], uri: str) -> str:
    """JSON Schema of a predicate."""
    found = {"$id": uri, "$schema": "https://json-schema.org/draft/2020-12/schema", **model.model_json_schema()}
    return json.dumps(found, ensure_ascii=False, indent=2, sort_keys=True) + "\n"


def kind(annotation: Any) -> str:  # noqa: ANN401
    """The second column of a table of members: what kind of value a member holds."""
    named = next((name for known, name in KINDS if known == annotation), None)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if named is not None:
        return named
    if origin in (Union, UnionType):
        return " or ".join([kind(argument) for argument in arguments if argument is not NoneType] + ["null"])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin is tuple:
        return f"list of {kind(arguments[0])}"
    if origin is dict:
        return f"map of {kind(arguments[0])} to {kind(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "object"
    raise TypeError(f"no kind for {annotation}")


def members(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Name, kind and unit of every member; those of nested objects follow, as in `stock[].beginning.spare_count`."""
    hints = get_type_hints(model, include_extras=True)
    for name in model.model_fields:
        here = kind(hints[name])
        inner = _nested(hints[name]) if "object" in here else None
        unit = "" if inner else next((UNITS[end] for end in UNITS if name == end or name.endswith(f"_{end}")), "")
        yield prefix + name, here, unit
        if inner is not None:
            yield from members(inner, f"{prefix}{name}{'[]' if here.startswith('list') else ''}.")


def _nested(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _nested(part)) is not None), None)


def default(path: str) -> str:
    """What the example agreement has there; nothing for what every agreement has to say itself."""
    value: Any = examples.agreement().document.model_dump(mode="json")
    for part in path.split("."):
        if not isinstance(value, dict) or part not in value:
            return ""
        value = value[part]
    if isinstance(value, dict) and set(value) == {"denominator", "numerator"}:
        return f"{value['numerator']}/{value['denominator']}"
    return f"{value:,}" if isinstance(value, int) else "null" if value is None else ""


# ── generated parts ──


def example(stem: str) -> str:
    """The example of a page, and the name it has in a ledger."""
    if stem == "agreement":
        agreed = examples.agreement()
        value, name = agreed.document.model_dump(mode="json"), f"\nAgreement id `{agreed.id}`\n"
    elif stem == "header":
        value, name = examples.claims()["usage"].header.model_dump(mode="json"), ""
    else:
        raw = base.write(examples.claims()[stem])
        value, name = json.loads(raw), f"\nStatement id `{dsse.statement_id(raw)}`\n"
    return f"```json\n{examples.pretty(value)}\n```\n{name}"


def _signer(cls: type[Predicate]) -> str:
    if cls is Mark:
        return "any principal"
    role = " or ".join(cls.role.split())
    return f"the body `{role}`, k of n" if role in examples.agreement().bodies else role


def _stream(cls: type[Predicate]) -> str:
    return f"`{cls.stream}/FACILITY`" if cls.per_facility else f"`{cls.stream}`"


def _window(cls: type[Predicate]) -> str:
    return "one" if cls.windowed else "null"


def facts(stem: str) -> str:
    """What the class of a predicate says about itself."""
    cls = PREDICATES[stem]
    rows = {
        "Type URI": f"`{cls.type_uri()}`",
        "Signed by": _signer(cls),
        "Stream": _stream(cls),
        "Window": _window(cls),
        "Schema": f"[{stem}.json](../schemas/{stem}.json)",
    }
    return "| | |\n|---|---|\n" + "".join(f"| {name} | {value} |\n" for name, value in rows.items())


def judged(stem: str) -> str:
    """The rules that read a statement of this type, each by its id and the name of the function that is the rule."""
    read = f"{EVERY} {FEEDS[stem]}".split()
    return "".join(
        f"- [{name}](../verification.md): {found.check.__name__.replace('_', ' ')}\n"
        for chapter in CHAPTERS
        for name, found in rules().items()
        if name in read and found.check.__module__ == chapter.__name__
    )


def catalogue_table(_stem: str) -> str:
    """All types at a glance."""
    rows = [
        f"| [{name}](predicates/{name}.md) | {_signer(cls)} | {_stream(cls)} | {_window(cls)} "
        f"| {examples.claims()[name].subject().name} |\n"
        for name, cls in PREDICATES.items()
    ]
    return "| type | signed by | stream | window | subject |\n|---|---|---|---|---|\n" + "".join(rows)


def transitions(_stem: str) -> str:
    """The table of the lifecycle."""
    rows = ["| state | " + " | ".join(lifecycle.Event) + " |", "|---" * (len(lifecycle.Event) + 1) + "|"]
    for state, row in lifecycle.TABLE.items():
        rows.append(f"| **{state}** | " + " | ".join(row.get(event, "–") for event in lifecycle.Event) + " |")
    return "\n".join(rows) + "\n"


def diagram(_stem: str) -> str:
    """The lifecycle as Mermaid draws it."""
    arrows = [
        f"    {state} --> {target}: {event}" for state, row in lifecycle.TABLE.items() for event, target in row.items()
    ]
    return "\n".join(["```mermaid", "stateDiagram-v2", f"    [*] --> {lifecycle.Track().state}", *arrows, "```"]) + "\n"


#: Generated parts by name. A name that is not here is somebody else's to fill.
PARTS: dict[str, Callable[[str], str]] = {
    "example": example, "facts": facts, "lifecycle": diagram, "transitions": transitions,
    "rules": judged, "types": catalogue_table,
}  # fmt: skip


def render(specs: Path) -> dict[Path, str]:
    """Path → what every page with a generated part, and every schema, should hold."""
    texts = {specs / "schemas" / f"{name}.json": schema(cls, cls.type_uri()) for name, cls in PREDICATES.items()}
    texts[specs / "schemas" / "agreement.json"] = schema(Document, TYPE)
    for page in sorted(specs.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        texts[page] = BLOCK.sub(partial(_fill, page.stem), text)
    return texts


def _fill(stem: str, found: re.Match[str]) -> str:
    part = PARTS.get(found[2])
    return found[1] + (part(stem) if part and stem != "TEMPLATE" else found[3]) + found[4]


# ── tables by hand ──


def table(text: str, heading: str) -> list[list[str]]:
    """Cells of the rows of the first table under a heading, without those above its rule."""
    _, _, below = text.partition(f"\n## {heading}\n")
    found = re.search(r"^\|(?:---\|)+\n((?:\|.*\n?)+)", below.partition("\n## ")[0], re.MULTILINE)
    return [[cell.strip() for cell in row.strip("|\n").split("|")] for row in found[1].splitlines()] if found else []


def problems(specs: Path) -> list[str]:
    """Rows of tables of members that do not say what the models say; the row that was expected is shown."""
    wrong = []
    for name, heading, model, defaults in TABLES:
        rows = table((specs / name).read_text(encoding="utf-8"), heading)
        expected = [[f"`{row[0]}`", *row[1:], *([default(row[0])] if defaults else [])] for row in members(model)]
        found = [row[:-1] for row in rows]
        here = [f"missing | {' | '.join(row)} |" for row in expected if row not in found]
        here += [f"not in the model | {' | '.join(row)} |" for row in found if row not in expected]
        here += [f"{row[0]} has no meaning" for row in rows if not row[-1]]
        if not here and found != expected:
            here.append("rows in another order than the model's, or twice")
        wrong += [f"{name}, {heading}: {line}" for line in here]
    return wrong


def main(arguments: list[str]) -> int:
    """Write what is generated, print what is wrong."""
    specs = Path(arguments[0] if arguments else "specs")
    for path, text in render(specs).items():
        path.parent.mkdir(exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    wrong = problems(specs)
    sys.stdout.write("".join(f"{line}\n" for line in wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
