# SPDX-License-Identifier: Apache-2.0
"""Judge a cheat's world as its evasion says a verifier would look at it, and leave worlds on disk."""

from __future__ import annotations

from pathlib import Path

from pausectl.errors import UsageFault
from pausectl.sim.evasions import Evasion
from pausectl.sim.world import DAY, World
from pausectl.verify.audit import Report


def catch(evasion: Evasion, world: World) -> Report:
    """The verifier's report; raises what the evasion makes it raise."""
    late = world.now + 30 * DAY if evasion.look.get("stale") else None
    return world.verify(as_of=late, seen=evasion.seen(world), alone=bool(evasion.look.get("alone")))


def export(world: World, directory: Path) -> None:
    """`agreement.json` and `log/`, as a demo leaves them."""
    if directory.exists() and any(directory.iterdir()):
        raise UsageFault("exists already and is not empty", where=str(directory))
    for name, data in world.memory.files().items():
        path = directory / "log" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (directory / "agreement.json").write_bytes(world.agreement.raw + b"\n")
