# SPDX-License-Identifier: Apache-2.0
"""Sign a claim, put it into a log, have witnesses cosign it, and read it back."""

import tempfile
from functools import partial
from pathlib import Path

from pausectl.history.decode import decode
from pausectl.history.reader import open_ledger
from pausectl.history.source import open_source
from pausectl.lab.attest import Desk, kind_of
from pausectl.log.log import Log
from pausectl.sim import terms
from pausectl.witness.witness import Witness

home = Path(tempfile.mkdtemp()) / "ledger"
roll = terms.Roll()
keys = {name: terms.demo_key(name) for name in terms.names(roll)}  # anybody can compute these: never use them
agreement = terms.agree(roll, keys)
now = agreement.start(0) - 86_400

# A lab accedes: it is bound if at least one other lab is.
desk = Desk(agreement, "aurora", (keys["aurora"],), counts={})
conditions = {
    "min_jurisdictions_count": 1,
    "min_parties_count": 2,
    "min_share": {"denominator": 1, "numerator": 0},
    "required_parties": [],
}
claim = {"agreement_version": 1, "conditions": conditions, "frontier_h100e_count": 512}
envelope = desk.attest(kind_of("accession"), claim)

# The log admits it only if its signer may say it, and acknowledges it only when it is on disk.
with Log.create(home, agreement, keys[roll.log], now) as log:
    admission = log.add([envelope.raw])[0]
    state = home / "state" / "witness"
    state.mkdir()
    witnesses = [
        Witness.beside(key.name, keys[name], agreement.log_key, state / key.name)
        for name, key in agreement.witness_keys.items()
    ]
    log.cosign([partial(witness.cosign, now=now) for witness in witnesses], now)

# Anybody reads it back: signature, witness quorum and every tile are checked on the way.
ledger = open_ledger(open_source(str(home / "log")).fetch, agreement)
entries = dict(ledger.entries())
entry = decode(entries[admission.index], agreement.keys)
print(f"statement {entry.id[:16]}… by {', '.join(entry.signers)} is entry {admission.index} of {ledger.size}")
