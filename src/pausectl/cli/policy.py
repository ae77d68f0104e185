# SPDX-License-Identifier: Apache-2.0
"""For whoever tells other programs which logs and witnesses to trust: policy export, show, lint."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from pausectl.agreement import lint as linter
from pausectl.agreement import policy as exports
from pausectl.agreement.lint import Found
from pausectl.cli.files import agreement_option, load_agreement, naming, read, write
from pausectl.cli.pairs import keys_option, with_source
from pausectl.errors import UsageFault
from pausectl.report.inert import safe
from pausectl.wire import policy as policies
from pausectl.wire.policy import Group, Policy


@click.group()
def policy() -> None:
    """Export, show or check a policy: logs and witnesses as a file for other programs (C2SP tlog-policy)."""


@policy.command()
@agreement_option
@keys_option
@click.option("--url", "urls", multiple=True, metavar="NAME=URL", help="Where that log or witness is.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Where the policy goes, instead of stdout.")
def export(agreement_file: Path, keys_place: str | None, urls: tuple[str, ...], output: Path | None) -> int:
    """Write the log and the witnesses of an agreement as a policy."""
    agreement = with_source(load_agreement(agreement_file), keys_place, offline=False)
    raw = policies.format(exports.of(agreement, dict(_url(each) for each in urls)))
    if output is None:
        click.echo(raw.decode(), nl=False)
    else:
        write(output, raw)
    return 0


def _url(text: str) -> tuple[str, str]:
    name, equals, url = text.partition("=")
    if not equals or not url.startswith(("https://", "http://")):
        raise UsageFault(f"--url: expected NAME=https://…, found {text!r}")
    return name, url


@policy.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def show(file: Path, as_json: bool) -> int:
    """Say what a policy takes."""
    found = _load(file)
    numbers = _numbers(found)
    if as_json:
        told = {
            "logs": [{"origin": log.key.name, "type": log.key.type, "url": log.url or None} for log in found.logs],
            "witnesses": [
                {"name": w.name, "key_name": w.key.name, "type": w.key.type, "url": w.url or None}
                for w in found.witnesses
            ],
            "groups": [{"name": g.name, "threshold": g.threshold, "members": list(g.members)} for g in found.groups],
            "quorum": found.quorum,
            **numbers,
        }
        click.echo(json.dumps(told, indent=1))
        return 0
    lines = [
        f"log      {safe(log.key.name)} (type 0x{log.key.type:02x}) {safe(log.url)}".rstrip() for log in found.logs
    ]
    lines += ["quorum   none: no witness is needed"] if found.quorum is None else _tree(found, found.quorum)
    if found.quorum is not None:
        lines.append(
            f"at least {numbers['least']} keys cosign; two quorums have {numbers['overlap']} or more in common"
        )
    click.echo("\n".join(lines))
    return 0


def _tree(found: Policy, name: str, depth: int = 0) -> list[str]:
    part = found.parts[name]
    indent = "quorum   " if depth == 0 else " " * (9 + 2 * depth)
    if not isinstance(part, Group):
        return [f"{indent}{safe(name)}: {safe(part.key.name)} (type 0x{part.key.type:02x}) {safe(part.url)}".rstrip()]
    inner = [line for member in part.members for line in _tree(found, member, depth + 1)]
    return [f"{indent}{safe(name)}: {part.threshold} of {len(part.members)}", *inner]


def _numbers(found: Policy) -> dict[str, int]:
    if found.quorum is None:
        return {"least": 0, "overlap": 0}
    return {"least": policies.least(found, found.quorum), "overlap": policies.overlap(found, found.quorum)}


def _load(file: Path) -> Policy:
    raw = read(file)
    with naming(file):
        return policies.parse(raw)


@policy.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--agreement", "agreement_file", type=click.Path(path_type=Path), help="The witnesses of this agreement.")
@keys_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def lint(file: Path | None, agreement_file: Path | None, keys_place: str | None, as_json: bool) -> int:
    """Say what is wrong with a policy, or with the witnesses of an agreement; exit code 4 if that is an error."""
    if (file is None) == (agreement_file is None):
        raise UsageFault("expected either FILE or --agreement")
    found = linter.lint_file(read(file)) if file is not None else _of_agreement(agreement_file, keys_place)
    if as_json:
        told = [{"level": f.level, "code": f.code, "line": f.line or None, "message": f.message} for f in found]
        click.echo(json.dumps({"found": told}, indent=1))
    else:
        _print(found)
    return 4 if any(each.level == "error" for each in found) else 0


def _of_agreement(file: Path | None, keys_place: str | None) -> Sequence[Found]:
    agreement = with_source(load_agreement(file or Path()), keys_place, offline=False)
    made = exports.of(agreement)
    return linter.lint(made, exports.organisations(agreement), agreement.document.witnesses.faulty)


def _print(found: Sequence[Found]) -> None:
    for each in found:
        place = f"line {each.line}: " if each.line else ""
        click.echo(f"{each.level}: {place}{safe(each.message)} ({each.code})")
    errors = sum(each.level == "error" for each in found)
    click.echo(f"{errors} errors, {len(found) - errors} warnings" if found else "nothing to say", err=True)
