# SPDX-License-Identifier: Apache-2.0
"""What somebody writes into a ledger to play with the reader's terminal, shown as what it is."""

from __future__ import annotations

import copy
import json
import unicodedata
from collections.abc import Iterator
from typing import Any

import pytest

from pausectl.agreement.terms import OVERSEERS
from pausectl.report import terminal
from pausectl.report.inert import safe
from pausectl.report.json import render
from pausectl.sim.world import World
from pausectl.wire import dsse, statement

HOSTILE = {
    "colour": "\x1b[31mred\x1b[0m",
    "title": "\x1b]0;owned\x07",
    "clear": "\x1b[2J\x1b[H",
    "c1": "\x9b31m",
    "override": "\u202eTNETSISNOC",
    "isolate": "\u2066x\u2069",
    "newline": "x\nVIOLATED  CAP-2  aurora",
    "return": "all is well\rCONSISTENT",
    "separator": "x\u2028CONSISTENT\u2029y",
    "backspace": "CONSISTENT\x08\x08\x08",
    "null": "a\x00b",
    "zero width": "auro\u200bra",
    "tag": "a\U000e0041b",
    "long": "A" * 20_000,
}


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every text in a JSON value, and of every member name as (…, ("name", member))."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield (*path, ("name", name))
            yield from leaves(item, (*path, name))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from leaves(item, (*path, place))
    elif isinstance(value, str):
        yield path


def changed(value: Any, path: tuple[Any, ...], text: str) -> Any:
    """A copy with one text, or one member name, replaced."""
    whole = copy.deepcopy(value)
    *way, last = path
    at = whole
    for step in way:
        at = at[step]
    if isinstance(last, tuple):
        at[text] = at.pop(last[1])
    else:
        at[last] = text
    return whole


def statements() -> Iterator[tuple[str, dict[str, Any]]]:
    """One statement of each type that the simulated world says, as (party, JSON)."""
    world = World(windows=1).run()
    world.order("pause")
    seen = set()
    for _, raw, claim in world.said:
        if claim is not None and claim.name not in seen:
            seen.add(claim.name)
            yield claim.header.party, json.loads(dsse.parse(raw).payload)


def written(value: Any) -> bytes:
    """As canonical as can be: a member name above U+FFFF has no canonical form."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def inert(text: str) -> None:
    """Nothing but printable characters and line feeds."""
    found = {c for c in text if c != "\n" and unicodedata.category(c).startswith(("C", "Zl", "Zp"))}
    assert not found, found


def said(world: World) -> tuple[str, str]:
    report = world.verify()
    return terminal.render(report, colour=False), json.dumps(render(report), indent=1)


@pytest.mark.parametrize("kind", list(HOSTILE))
def test_hostile_text_in_every_text_of_every_statement(kind):
    """An operator who lets everything in, so that every one of them is read, and some are quoted."""
    world = World(windows=1)
    count = 0
    for party, value in statements():
        keys = [world.keys[name] for name in ("avon", "brent", "cam")] if party == OVERSEERS else [world.keys[party]]
        for path in leaves(value):
            whole = changed(value, path, HOSTILE[kind])
            world.ledger.append(dsse.sign(written(whole), *keys).raw)
            count += 1
    world.run()
    text, data = said(world)
    assert count > 200
    inert(text)
    inert(data)
    assert all(len(line) < 2_000 for line in text.splitlines())
    wrong = {
        entry for finding in json.loads(data)["findings"] if finding["lab"] is None for entry in finding["entries"]
    }
    assert len(wrong) > 50  # most of them are no statements, and the operator who let them in answers for it


@pytest.mark.parametrize("kind", list(HOSTILE))
def test_an_unknown_type_and_bytes_that_are_none(kind):
    world = World(windows=1)
    raw = statement.format([statement.Subject("x", "0" * 64)], f"https://{HOSTILE[kind]}/v1", {"a": HOSTILE[kind]})
    world.ledger.append(dsse.sign(raw, world.keys["aurora"]).raw)
    world.ledger.append(HOSTILE[kind].encode())
    world.ledger.append(b'{"payload":"' + HOSTILE[kind].encode() + b'"}')
    world.run()
    text, data = said(world)
    inert(text)
    inert(data)
    assert world.verify().verdicts["aurora"] != "CONSISTENT"


@pytest.mark.parametrize("kind", [kind for kind in HOSTILE if kind not in ("newline", "long")])
def test_what_is_quoted_can_still_be_recognised(kind):
    shown = safe(HOSTILE[kind])
    inert(shown)
    for character in HOSTILE[kind]:
        assert character in shown or f"<U+{ord(character):04X}>" in shown


def test_what_is_harmless_stays_as_it_is():
    text = "aurora, 12 × 3 − 4 → “ok” £ é 漢字 ✓"
    assert safe(text) == text
