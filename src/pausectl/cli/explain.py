# SPDX-License-Identifier: Apache-2.0
"""For whoever asks what a rule means."""

from __future__ import annotations

import json
from contextlib import suppress
from importlib import import_module

import click

from pausectl.errors import UsageFault
from pausectl.report import explanation


@click.command()
@click.argument("rule_id", metavar="RULE", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def explain(rule_id: str | None, as_json: bool) -> int:
    """Say what RULE asks, why, which cheats it catches and what it cannot see; without RULE, list all."""
    # The verifier does without the simulator; then it cannot say which cheats a rule catches.
    with suppress(ImportError):
        import_module("pausectl.sim.evasions")
    known = explanation.catalogue()
    if rule_id is None:
        click.echo(json.dumps(known, indent=1) if as_json else explanation.table(known))
    elif rule_id.upper() in known:
        entry = known[rule_id.upper()]
        click.echo(json.dumps(entry, indent=1) if as_json else explanation.page(rule_id.upper(), entry))
    else:
        raise UsageFault(f"no rule is called {rule_id}", hint="'pausectl explain' lists them")
    return 0
