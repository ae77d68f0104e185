# SPDX-License-Identifier: Apache-2.0
"""What a rule asks, in the words of the spec: the text behind `pausectl explain`."""

from __future__ import annotations

import inspect
import pkgutil
import re
import textwrap
from importlib import import_module
from typing import Any

import pausectl.history
import pausectl.wire
from pausectl.registry import enforcers, registered
from pausectl.verify.rules.base import rules
from pausectl.verify.rules.catalogue import CHAPTERS

assert CHAPTERS  # noqa: S101 - importing it is what makes the rules known


def catalogue() -> dict[str, dict[str, Any]]:
    """Every id → sentence, kind, why, cannot_see, catches, function."""
    for room in (pausectl.wire, pausectl.history):
        for module in pkgutil.iter_modules(room.__path__, f"{room.__name__}."):
            import_module(module.name)
    known: dict[str, dict[str, Any]] = {}
    for rule_id, rule in rules().items():
        known[rule_id] = {
            "sentence": rule.sentence, "kind": "judgement", "why": rule.why, "cannot_see": rule.cannot_see,
            "catches": [], "function": _name(rule.check),
        }  # fmt: skip
    for clause, functions in sorted(enforcers().items()):
        known[clause] = {
            "sentence": _sentence(functions[0].__doc__ or "", clause), "kind": "bytes", "why": "", "cannot_see": "",
            "catches": [], "function": ", ".join(_name(function) for function in functions),
        }  # fmt: skip
    for name, evasion in registered("evasion").items():
        if evasion.caught_by in known:
            known[evasion.caught_by]["catches"].append({"name": name, "cheat": evasion.cheat})
    return known


def _name(function: Any) -> str:  # noqa: ANN401
    return f"{function.__module__}.{function.__qualname__}"


def _sentence(doc: str, clause: str) -> str:
    paragraphs = (" ".join(p.split()) for p in re.split(r"\n\s*\n", inspect.cleandoc(doc)))
    return next((p.removeprefix(f"[{clause}] ") for p in paragraphs if p.startswith(f"[{clause}]")), "")


def page(rule_id: str, entry: dict[str, Any]) -> str:
    """One rule for people."""
    wrap = textwrap.TextWrapper(width=88, initial_indent="  ", subsequent_indent="  ")
    parts = [f"{rule_id}  ({'judged' if entry['kind'] == 'judgement' else 'enforced on bytes'} by {entry['function']})"]
    parts += [wrap.fill(entry["sentence"])]
    if entry["why"]:
        parts += ["Why", wrap.fill(entry["why"])]
    if entry["catches"]:
        parts += ["Catches", "\n".join(wrap.fill(f"{e['name']}: {e['cheat']}") for e in entry["catches"])]
    if entry["cannot_see"]:
        parts += ["Cannot see", wrap.fill(entry["cannot_see"])]
    return "\n\n".join(parts)


def table(known: dict[str, dict[str, Any]]) -> str:
    """All rules, a line each."""
    return "\n".join(
        f"{rule_id:8} {textwrap.shorten(entry['sentence'], 100, placeholder='…')}" for rule_id, entry in known.items()
    )
