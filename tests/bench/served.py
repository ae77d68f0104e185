# SPDX-License-Identifier: Apache-2.0
"""A log of ours behind HTTP with less at its door than ours has, for comparisons: `python tests/bench/served.py`.

    served.py signed FOLDER      every check of signatures and admission; one witness without a memory, in this process
    served.py hashed FOLDER      an entry is whatever came, known again by its SHA-256; the same witness

FOLDER is new or has a log of that kind. Everything behind the door is the real thing: one writer, group commit, fsync,
publication, receipts. It stands beside Tessera's conformance server, which checks no signature and asks no witness.
"""

from __future__ import annotations

import hashlib
import sys
import time
from functools import partial
from pathlib import Path

from pausectl.history.decode import Decoded
from pausectl.log.commit import Committer
from pausectl.log.log import Log
from pausectl.log.server import doors
from pausectl.net.door import Answer, Door
from pausectl.net.limits import Limits
from pausectl.net.serve import application, serve
from pausectl.sim import terms
from pausectl.wire import cosignature, note, witness

FREE = Limits(rate=1e9, burst=1_000_000_000)


def parties() -> tuple:
    """(agreement, keys, the witness's name): the demonstration's, with one witness."""
    roll = terms.Roll(witnesses=("wharf",))
    keys = {name: terms.demo_key(name) for name in terms.names(roll)}
    return terms.agree(roll, keys), keys, roll


def cosign(name: str, key, request: bytes) -> bytes:
    """The least that a witness does: sign."""
    asked = witness.parse_request(request)
    text = note.parse(asked.checkpoint_raw).text
    return witness.format_response([cosignature.cosign(text, name, key, int(time.time()))])


def opened(folder: Path) -> Log:
    agreement, keys, roll = parties()
    home = folder / "home"
    if home.exists():
        return Log.open(home, keys[roll.log])
    return Log.create(home, agreement, keys[roll.log], terms.seconds(terms.ANCHOR))


def hashed(writer: Committer, request):
    """Admission by hash alone."""
    answer = writer.submit(request.body, Decoded(hashlib.sha256(request.body).hexdigest(), unknown="nothing"))
    shown = type(answer)()
    answer.add_done_callback(lambda done: shown.set_result(Answer(200, done.result().proof)))
    return shown


def main() -> None:
    kind, folder = sys.argv[1], Path(sys.argv[2])
    agreement, keys, _ = parties()
    [(name, key)] = [(verifier.name, keys[one]) for one, verifier in agreement.witness_keys.items()]
    with opened(folder) as log, Committer(log, [partial(cosign, name, key)]) as writer:
        found = doors(log.store, writer, FREE)
        if kind == "hashed":
            add = Door("POST", "/add", partial(hashed, writer), max_body=65_535, inline=True)
            found = [add, *(door for door in found if door.path != "/add")]
        serve(application(found, limits=FREE, write=lambda _: None), "127.0.0.1", 0, announce=print, limits=FREE)


if __name__ == "__main__":
    main()
