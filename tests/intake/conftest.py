# SPDX-License-Identifier: Apache-2.0
"""An intake party and its agreement, and a real log over HTTP that can be told what to do."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from pausectl.agreement.types import Span, instant, seconds
from pausectl.history.decode import decode
from pausectl.history.reader import open_ledger
from pausectl.history.source import DirectorySource
from pausectl.intake.intake import Intake
from pausectl.log.commit import Committer
from pausectl.log.log import Log
from pausectl.log.server import doors as log_doors
from pausectl.net.door import Answer, Door, Request
from pausectl.net.limits import Limits
from pausectl.predicates import base
from pausectl.predicates.base import Header
from pausectl.predicates.pause import Declaration
from pausectl.sim import terms
from pausectl.wire import dsse
from pausectl.witness.witness import Witness

START = seconds(terms.ANCHOR)
SPAN = Span(end_at=instant(START + terms.WEEK), start_at=instant(START))


@dataclass
class Scene:
    """Parties, their agreement, and a place for everybody's state. now: everybody's clock."""

    place: Path
    keys: dict
    agreement: object
    now: int = START + 3600

    def envelope(self, number: int = 0, reason: str = "x", party: str = "aurora", signer: str | None = None) -> bytes:
        """Something that a lab says."""
        header = Header(
            agreement=self.agreement.id, log=terms.ORIGIN, party=party, sequence=number, stream="declarations",
            window=None,
        )  # fmt: skip
        claim = Declaration(action="pause", header=header, reason=reason, term_windows=1)
        return dsse.sign(base.write(claim), self.keys[signer or party]).raw

    @property
    def state(self) -> Path:
        return self.place / "state"

    def create(self, **options) -> Intake:
        Intake.create(self.state, self.agreement, [self.keys["quay"]], **options)
        return self.open()

    def open(self) -> Intake:
        return Intake.open(self.state, self.agreement, [self.keys["quay"]])

    def said(self, receipt: bytes):
        """The claim in a receipt."""
        return decode(receipt, self.agreement.keys).claim


@dataclass
class Served:
    """A log over HTTP. refuse: envelopes that its operator does not want. down: it answers 503. lies: and says 200.

    instead: what it takes in instead of what it is given.
    """

    url: str
    log: Log
    home: Path
    agreement: object
    refuse: Callable[[bytes], bool] = lambda _raw: False
    down: bool = False
    lies: bool = False
    instead: bytes = b""
    asked: list[bytes] = field(default_factory=list)

    def held(self) -> list[tuple[str, str, int]]:
        """(party, stream, number) of everything but marks and the agreement, in ledger order."""
        ledger = open_ledger(DirectorySource(self.home / "log").fetch, self.agreement)
        claims = [decode(raw, self.agreement.keys).claim for _, raw in ledger.entries()]
        return [
            (c.header.party, c.header.stream, c.header.sequence) for c in claims if c and c.header.stream != "marks"
        ]


@pytest.fixture
def scene(tmp_path) -> Scene:
    roll = terms.Roll(intake=("quay", "pier"))
    keys = {name: terms.demo_key(name) for name in terms.names(roll)}
    return Scene(tmp_path, keys, terms.agree(roll, keys))


@pytest.fixture
def served(scene, hall):
    """A log that is really there, behind an operator who can be told to be difficult."""
    with ExitStack() as stack:
        home = scene.place / "log"
        log = stack.enter_context(Log.create(home, scene.agreement, scene.keys["ledgerco"], scene.now))
        made = [
            Witness.beside(key.name, scene.keys[name], scene.agreement.log_key, scene.place / "witness" / name)
            for name, key in scene.agreement.witness_keys.items()
        ]
        witnesses = [lambda request, w=w: w.cosign(request, scene.now) for w in made]
        log.cosign(witnesses, scene.now)
        writer = stack.enter_context(Committer(log, witnesses, clock=lambda: scene.now))
        doors = {door.path: door for door in log_doors(log.store, writer, Limits())}
        add = doors.pop("/add")
        found = Served("", log, home, scene.agreement)

        def difficult(request: Request):
            found.asked.append(request.body)
            if found.down:
                return Answer(503, b"closed for the day\n")
            if found.refuse(request.body):
                return Answer(200, b"c2sp.org/tlog-proof@v1\n") if found.lies else Answer(403, b"not today\n")
            return add.handle(replace(request, body=found.instead or request.body))

        opened = hall([*doors.values(), Door("POST", "/add", difficult, max_body=add.max_body, status=add.status)])
        found.url = opened.url
        yield found
        opened.close()
