# SPDX-License-Identifier: Apache-2.0
"""The demonstration: a world whose ledger is a real log on disk, cosigned by real witnesses, at simulated times."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from pausectl.agreement.document import Agreement
from pausectl.errors import UsageFault
from pausectl.log.log import Log
from pausectl.sim.cheats import PausedTrainer, SilentLab
from pausectl.sim.world import World
from pausectl.wire import keyfile
from pausectl.wire.keys import PrivateKey
from pausectl.witness.witness import Witness


class DurableLedger:
    """What `sim.world.World` writes to, kept by `pausectl.log` and cosigned by `pausectl.witness`."""

    def __init__(self, home: Path, agreement: Agreement, keys: Mapping[str, PrivateKey], now: int) -> None:
        self._log = Log.create(home, agreement, keys[agreement.holders("log")[0]], now)
        self._waiting: list[bytes] = []
        state = home / "state" / "witness"
        state.mkdir()
        self._witnesses = [
            Witness.beside(key.name, keys[principal], agreement.log_key, state / key.name)
            for principal, key in agreement.witness_keys.items()
        ]

    def append(self, raw: bytes) -> int:
        """Keep for the next commit; the agreement is there already."""
        if raw != self._log.agreement.raw:
            self._waiting.append(raw)
        return self._log.size + len(self._waiting) - 1

    def publish(self, now: int) -> None:
        """One commit for everything that waits, and a quorum for it."""
        self._log.add(self._waiting)
        self._waiting = []
        self._log.cosign([partial(witness.cosign, now=now) for witness in self._witnesses], now)

    def close(self) -> None:
        """Let go of the log and of what its witnesses remember, which SQLite then has in one file each."""
        self._log.close()
        for witness in self._witnesses:
            witness.close()


def stage(home: Path) -> World:
    """Play the demonstration into `home`: agreement.json, log/, log.vkey, state/ and keys/."""
    if home.exists() and any(home.iterdir()):
        raise UsageFault("exists already and is not empty", where=str(home), hint="name another --dir, or remove it")
    world = World(
        labs={"borealis": PausedTrainer("borealis"), "cirrus": SilentLab("cirrus")},
        open_ledger=partial(DurableLedger, home),
    )
    world.run()
    if isinstance(world.ledger, DurableLedger):
        world.ledger.close()
    write_keys(home / "keys", world.agreement, world.keys)
    return world


def write_keys(place: Path, agreement: Agreement, keys: Mapping[str, PrivateKey]) -> None:
    """A key file for everybody, under the name in their signatures; not encrypted, for they protect nothing."""
    place.mkdir()
    names = {who: key.name for who, key in (*agreement.witness_keys.items(), *agreement.mirror_keys.items())}
    names[agreement.holders("log")[0]] = agreement.document.log.origin
    for principal, key in keys.items():
        name = names.get(principal, principal)
        raw = keyfile.format_key(name, key, passphrase=None, salt=b"", nonce=b"")
        (place / f"{principal}.key").write_bytes(raw)
