# SPDX-License-Identifier: Apache-2.0
"""For whoever keeps a receipt, or is shown one: proof make and proof check."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click

from pausectl.agreement.document import Agreement
from pausectl.agreement.types import instant
from pausectl.cli.files import agreement_option, load_agreement, naming, read, write
from pausectl.cli.pairs import keys_option, with_source
from pausectl.errors import Forged, Malformed, PausectlError, UsageFault
from pausectl.history import receipt
from pausectl.history.reader import LAST_INSTANT, Ledger, open_ledger, sight
from pausectl.history.source import open_source
from pausectl.report.inert import safe
from pausectl.wire import dsse
from pausectl.wire import policy as policies
from pausectl.wire import proof as receipts
from pausectl.wire.policy import Policy
from pausectl.wire.proof import Proof

#: The largest entry of a log, and a newline that an editor may have put behind it.
_MAX_ENTRY = 65_536

NOT_SHOWN = (
    "that what the entry says is true, or that its signers may say it: the proof is about bytes",
    "that nothing later in the ledger corrects or contradicts it: read the ledger for that",
    "that the log still serves it; but a log that denies it has signed two histories, of which this file is one half",
)


@click.group()
def proof() -> None:
    """Make or check a receipt (.tlog-proof): that an entry stands in a ledger."""


@proof.command()
@click.argument("source")
@agreement_option
@click.option("--index", type=click.IntRange(0), help="The entry at this index.")
@click.option("--id", "statement_id", help="The statement of this id.")
@click.option("--entry", "entry_file", type=click.Path(path_type=Path), help="The entry with the bytes of this file.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Where the proof goes.")
@click.option("--offline", is_flag=True, help="Refuse to open a socket.")
def make(source: str, agreement_file: Path, output: Path, offline: bool, **wanted: Any) -> int:  # noqa: ANN401
    """Write the proof of one entry of the ledger at SOURCE: a log directory, a bundle, or a URL."""
    if sum(value is not None for value in wanted.values()) != 1:
        raise UsageFault("expected one of --index, --id and --entry")
    agreement, place = load_agreement(agreement_file), open_source(source, offline=offline)
    with naming(place.name):
        ledger = open_ledger(place.fetch, agreement)
        made = receipt.prove(ledger, _place(ledger, **wanted))
    write(output, receipts.format(made))
    click.echo(f"{output}: entry {made.index} of {ledger.size} in {safe(ledger.head.checkpoint.origin)}", err=True)
    return 0


def _place(ledger: Ledger, *, index: int | None, statement_id: str | None, entry_file: Path | None) -> int:
    if entry_file is not None:
        return receipt.find(ledger, read_entry(entry_file))
    return receipt.find_statement(ledger, statement_id) if statement_id is not None else index or 0


def read_entry(path: Path) -> bytes:
    """The bytes of an entry from a file; the newline that our own commands write behind an envelope is none of them."""
    raw = read(path, _MAX_ENTRY)
    return raw[:-1] if raw.startswith(b"{") and raw.endswith(b"}\n") else raw


@proof.command()
@click.argument("proof_file", type=click.Path(path_type=Path))
@click.argument("entry_file", type=click.Path(path_type=Path))
@click.option("--agreement", "agreement_file", type=click.Path(path_type=Path), help="The signed agreement you trust.")
@click.option("--policy", "policy_file", type=click.Path(path_type=Path), help="Or a policy that you trust.")
@keys_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def check(
    proof_file: Path,
    entry_file: Path,
    agreement_file: Path | None,
    policy_file: Path | None,
    keys_place: str | None,
    as_json: bool,
) -> int:
    """Check, offline, that ENTRY_FILE stands in a log of the agreement or policy; exit code 4 if that is not shown."""
    try:
        entry, take = read_entry(entry_file), _taker(agreement_file, policy_file, keys_place)
        raw = read(proof_file, receipts.MAX_BYTES)
        with naming(proof_file):
            made = receipts.parse(raw)
            found = _found(made, entry, take)
    except PausectlError as error:
        if as_json:
            click.echo(json.dumps({"error": {"code": error.exit_code, "message": str(error), "hint": error.hint}}))
        raise
    click.echo(json.dumps(found, indent=1) if as_json else _words(found))
    return 0


@dataclass(frozen=True)
class _Cosigned:
    """by: whose cosignatures there are. quorum: how many are needed at least. at: by when, or None if none are."""

    by: list[str]
    quorum: int
    at: int | None


def _taker(agreement_file: Path | None, policy_file: Path | None, keys: str | None) -> Callable[[bytes], _Cosigned]:
    """What takes a checkpoint, or raises."""
    if (agreement_file is None) == (policy_file is None):
        raise UsageFault("expected one of --agreement and --policy")
    if policy_file is not None:
        raw = read(policy_file)
        with naming(policy_file):
            return partial(_by_policy, policies.parse(raw))
    return partial(_by_agreement, with_source(load_agreement(agreement_file or Path()), keys))


def _by_agreement(agreement: Agreement, raw: bytes) -> _Cosigned:
    seen = sight(raw, agreement)
    return _Cosigned(list(seen.quorum.signed), seen.quorum.threshold, seen.by)


def _by_policy(policy: Policy, raw: bytes) -> _Cosigned:
    """The latest time that is needed: at it, the quorum held."""
    taken = policies.take(policy, raw)
    rising = sorted(taken.signed.items(), key=lambda each: each[1])
    enough = next((n for n in range(len(rising) + 1) if policies.holds(policy, dict(rising[:n]))), 0)
    if enough and rising[enough - 1][1] > LAST_INSTANT:
        raise Forged("checkpoint: cosigned after the year 9999")
    least = policies.least(policy, policy.quorum) if policy.quorum else 0
    return _Cosigned(sorted(taken.signed), least, rising[enough - 1][1] if enough else None)


def _found(made: Proof, entry: bytes, take: Callable[[bytes], _Cosigned]) -> dict[str, Any]:
    cosigned, claim = receipts.check(made, entry, take), made.checkpoint
    return {
        "index": made.index,
        "statement_id": _statement_id(entry),
        "log": {"origin": claim.origin, "size": claim.size, "root": claim.root.hex()},
        "cosigned": {"by": cosigned.by, "quorum": cosigned.quorum, "at": instant(cosigned.at) if cosigned.at else None},
        "extra_bytes": len(made.extra),
        "not_shown": list(NOT_SHOWN),
    }


def _statement_id(entry: bytes) -> str | None:
    try:
        return dsse.parse(entry).statement_id
    except Malformed:
        return None


def _words(found: dict[str, Any]) -> str:
    log, cosigned = found["log"], found["cosigned"]
    lines = [
        f"proven: the entry stands at index {found['index']} of the log {safe(log['origin'])}",
        f"  in its tree of {log['size']} entries, root {log['root']},",
        *_seen(cosigned),
        *([f"  statement {found['statement_id']}"] if found["statement_id"] else []),
        "Not shown:",
        *(f"  - {line}" for line in found["not_shown"]),
    ]
    if cosigned["at"] is None:
        lines.append("  - that anybody but the log has seen this tree: the policy asks for no witness")
    if found["extra_bytes"]:
        lines.append(f"  - anything in the {found['extra_bytes']} bytes of extra data, which nobody has signed")
    return "\n".join(lines)


def _seen(cosigned: dict[str, Any]) -> list[str]:
    if cosigned["at"] is None:
        return ["  which the log signed, and no witness had to see"]
    who = safe(", ".join(cosigned["by"]))
    return [f"  which {who} cosigned ({cosigned['quorum']} are needed),", f"  so that it was there by {cosigned['at']}"]
