# SPDX-License-Identifier: Apache-2.0
"""A log that goes on where another one ended: its entry 1, from that log as it stands.

entry = begin(old, older, agreement.of_log("archive.example/pause"), signer)
Log.create(home, agreement.of_log("archive.example/pause"), signer, now, succession=entry.raw)
"""

from __future__ import annotations

from collections.abc import Sequence

from pausectl.agreement.document import Agreement
from pausectl.errors import Refused
from pausectl.history.chain import link
from pausectl.history.reader import Ledger
from pausectl.log import marks
from pausectl.log.index import Book
from pausectl.predicates import base
from pausectl.predicates.base import Header
from pausectl.predicates.succession import Succession
from pausectl.registry import enforces
from pausectl.wire import dsse, note
from pausectl.wire.keys import Signer


def successor(agreement: Agreement, signer: Signer) -> Agreement:
    """The agreement as it is read under the successor whose key this is; Refused if it names none."""
    origin = next((name for name, key in agreement.log_keys.items() if key.public == signer.public), "")
    if origin in ("", agreement.origins[0]):
        raise Refused("signer: expected the key of a log that the agreement names as a successor")
    return agreement.of_log(origin)


@enforces("SUC-5")
def begin(old: Ledger, older: Sequence[Ledger], agreement: Agreement, signer: Signer) -> dsse.Envelope:
    """The succession statement of the log of `agreement`, after every entry of the old one was read.

    older: the logs before the old one. Refused if the agreement does not have this log after the old one.

    [SUC-5] A log that succeeds another MUST begin with the agreement and a succession statement with the other's newest
    checkpoint of which it has read every entry, the log's line and exactly a quorum of cosignature lines in it.
    """
    if old.agreement.log_number >= agreement.log_number:
        raise Refused(f"{agreement.origin} does not come after {old.agreement.origin} in the agreement")
    chain = link(old, older)
    if chain.missing is not None:
        raise Refused(f"the log before {chain.segments[0].ledger.agreement.origin}, {chain.missing}, is not at hand")
    for segment in chain.segments:
        for _ in segment.ledger.entries():
            pass  # each is compared with its leaf hash: what cannot be read any more cannot be succeeded
    chosen = marks.minimal(note.parse(old.head.raw), old.agreement, Book())
    if chosen is None:
        raise Refused("the cosignatures of the old log's checkpoint lie too far apart in time for a quorum")
    party, _ = agreement.keys[signer.public.keyid]
    header = Header(
        agreement=agreement.id, log=agreement.origin, party=party, sequence=0, stream=Succession.stream, window=None
    )
    count = chain.segments[-1].first + old.size
    return dsse.sign(base.write(Succession(before_count=count, checkpoint=chosen.raw.decode(), header=header)), signer)
