# SPDX-License-Identifier: Apache-2.0
"""The test vectors: `python -m pausectl.sim.vectors tests/vectors` writes them, and writes the same bytes every time.

    agreement.json                                  the agreement of all that have none of their own
    CAP-2-violated-train-through-the-pause/         a log with one thing wrong: checkpoint, tile/, expect.json
    honest/, blind-hide-a-site-from-everybody/      logs in which nothing is found
    statements/usage.json, seal/, bytes/NOTE-1.json one statement, one seal, inputs that have to be refused

Everything comes from somewhere else: ledgers from `evasions`, statements from `examples`, seals from `seals`, and what
has to be refused from `refused`. specs/vectors.md says how to read them.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pausectl.agreement.types import instant
from pausectl.errors import Broken, PausectlError, UsageFault
from pausectl.predicates import base
from pausectl.sim import (
    contradictions,
    examples,
    exchange,
    refused,
    refused_pins,
    refused_policies,
    refused_proofs,
    seals,
)
from pausectl.sim.evasions import Evasion, evasions
from pausectl.sim.play import catch
from pausectl.sim.terms import Roll
from pausectl.sim.world import World
from pausectl.verify.audit import Report
from pausectl.verify.rules.base import Outcome
from pausectl.wire import dsse, merkle

#: A lab that cheats and one that does not, and otherwise as few as the rules can do with: a ledger has fifty kilobytes.
ROLL = Roll(
    labs={"aurora": ("aurora-1",), "borealis": ("borealis-1",)},
    overseers=("avon", "brent"),
    witnesses=("wharf", "xylem"),
)
PAUSE_AT = 1
MOST_WINDOWS = 8

Files = Iterator[tuple[str, bytes]]


def render() -> dict[str, bytes]:
    """Path → bytes of every file."""
    honest = World(windows=PAUSE_AT + 1, pause_at=PAUSE_AT, roll=ROLL).run()
    found = [("agreement.json", honest.agreement.raw + b"\n")]
    found += _ledger("honest", honest, _expect(None, honest, honest.verify()))
    for evasion in evasions().values():
        found += _evasion(evasion, honest.agreement.raw)
    found += [*_statements(), *_seals(), *_exchange(), *_refused(honest)]
    files = dict(found)
    if len(files) != len(found):
        raise Broken("two vectors have one path")
    return files


def write(directory: Path) -> int:
    """Write all files, and remove vectors that there are no more; how many there are."""
    if directory.exists() and any(directory.iterdir()) and not (directory / "agreement.json").exists():
        raise UsageFault("expected a folder of vectors, or an empty one", where=str(directory))
    files = render()
    for path in [path for path in directory.rglob("*") if path.is_file()]:
        if path.relative_to(directory).as_posix() not in files:
            path.unlink()
    for name, data in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return len(files)


def main(arguments: Sequence[str]) -> int:
    """`python -m pausectl.sim.vectors tests/vectors`."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m pausectl.sim.vectors DIRECTORY\n")
        return 2
    sys.stdout.write(f"{write(Path(arguments[0]))} files in {arguments[0]}\n")
    return 0


# ── ledgers ──


def _evasion(evasion: Evasion, agreement: bytes) -> Files:
    """The cheat in the shortest world in which it is caught; with one window of the pause, if it never is."""
    name, fewest = f"blind-{evasion.name}", PAUSE_AT + 1
    if evasion.caught_by is not None:
        name, fewest = f"{evasion.caught_by}-{evasion.outcome.lower()}-{evasion.name}", 1
    for windows in range(fewest, MOST_WINDOWS + 1):
        world = evasion.build(windows=windows, pause_at=PAUSE_AT, roll=ROLL)
        expect = _judged(evasion, world)
        if expect is not None:
            beside = [(f"{name}/seen", raw) for _, raw in evasion.seen(world)]
            if world.agreement.raw != agreement:
                beside.append((f"{name}/agreement.json", world.agreement.raw + b"\n"))
            for number, old in enumerate(world.before if not evasion.look.get("alone") else ()):
                beside += [(f"{name}/before/{number}/{path}", data) for path, data in old.files().items()]
            return iter([*_ledger(name, world, expect), *beside])
    raise Broken(f"not caught by {evasion.caught_by} in {MOST_WINDOWS} windows", where=evasion.name)


def _judged(evasion: Evasion, world: World) -> dict[str, Any] | None:
    """What a verifier has to say, or None if that is not what the evasion names."""
    try:
        report = catch(evasion, world)
    except PausectlError:
        return _expect(evasion, world, None) if evasion.outcome == "ERROR" else None
    expect = _expect(evasion, world, report)
    if evasion.caught_by is None:
        return expect if not expect["findings"] else None
    return expect if (evasion.caught_by, evasion.outcome) in [found[:2] for found in expect["findings"]] else None


def _expect(evasion: Evasion | None, world: World, report: Report | None) -> dict[str, Any]:
    bad = (Outcome.VIOLATED, Outcome.UNPROVEN)
    findings = [f for f in report.judgement.findings if f.outcome in bad] if report else []
    rule = evasion.caught_by if evasion else None
    return {
        "as_of": instant(report.as_of if report else world.now),
        "cheat": evasion.cheat if evasion else None,
        "evasion": evasion.name if evasion else None,
        "findings": sorted({(f.rule, f.outcome.value, f.lab) for f in findings}, key=str),
        "outcome": evasion.outcome if evasion and rule else None,
        "rule": rule,
        "verdicts": dict(report.verdicts) if report else {},
    }


def _ledger(name: str, world: World, expect: dict[str, Any]) -> Files:
    for path, data in world.memory.files().items():
        yield f"{name}/{path}", data
    yield f"{name}/expect.json", _json(expect)


# ── single things ──


def _statements() -> Files:
    """One entry of each type, under the agreement that is one of them (the one of the examples in specs/)."""
    agreement = examples.agreement()
    entries = {"agreement": agreement.raw}
    for name, claim in examples.claims().items():
        keys = (examples.KEYS[signer] for signer in examples.signers(claim))
        entries[name] = dsse.sign(base.write(claim), *keys).raw
    for name, raw in entries.items():
        ids = {"leaf_hash": merkle.leaf_hash(raw).hex(), "statement_id": dsse.parse(raw).statement_id}
        yield f"statements/{name}.json", _json({**ids, "entry": raw.decode(), "type": name})


def _seals() -> Files:
    yield "seal/seal.json", _json(seals.honest())
    for cheat in seals.cheats():
        yield f"seal/{cheat.id}-{re.sub('[^a-z0-9]+', '-', cheat.cheat)}.json", _json(cheat.json())


def _exchange() -> Files:
    yield "witness/exchange.json", _json(exchange.exchange())


def _refused(world: World) -> Files:
    found: dict[str, list[dict[str, Any]]] = {}
    for case in (
        *refused.cases(world),
        *refused_proofs.cases(world),
        *refused_pins.cases(world),
        *refused_policies.cases(world),
        *contradictions.cases(world),
    ):
        found.setdefault(case.id, []).append(case.json())
    for clause, cases in found.items():
        yield f"bytes/{clause}.json", _json(cases)


def _json(value: Any) -> bytes:  # noqa: ANN401
    return json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True).encode() + b"\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
