# SPDX-License-Identifier: Apache-2.0
"""The ML-DSA-44 keys that an agreement names by digest: whoever reads a log gets them there, under that digest.

HOME/agreement.keys                   all of them, 1,312 bytes each, beside the agreement that names them
HOME/log/key/<hex SHA-256>            the same, where readers fetch them
"""

from __future__ import annotations

from pathlib import Path

from pausectl.agreement.document import Agreement
from pausectl.durable import Disk
from pausectl.errors import Refused
from pausectl.history.reader import key_path, resolve
from pausectl.log.storage.seams import Objects
from pausectl.registry import enforces
from pausectl.wire.keys import MLDSA44, SUITES, Signer

_FILE = "agreement.keys"
_BYTES = SUITES[MLDSA44].public_bytes


def need_second(agreement: Agreement, second: Signer | None) -> None:
    """Refused unless a second signer is given where the agreement names its key, and only there."""
    wanted = agreement.log_pin
    found = second.public.digest if second else None
    if wanted != found:
        hint = "it is made by keygen --suite ml-dsa-44, and its digest stands in log.mldsa44 of the agreement"
        raise Refused(
            f"second signer: expected the key of digest {wanted or 'none'}, found {found or 'none'}", hint=hint
        )


def complete(agreement: Agreement, second: Signer | None) -> Agreement:
    """The agreement with every key that it names, the second signer's among them; Refused if one is missing."""
    whole = agreement.resolve([second.public.raw] if second else [])
    missing = [digest for digest in whole.pinned if digest not in whole.resolved]
    if missing:
        hint = "each log, witness and mirror that the agreement names so has to give its public key beforehand"
        raise Refused(f"the agreement names {len(missing)} keys that were not given: {', '.join(missing)}", hint=hint)
    return whole


def keep(home: Path, agreement: Agreement, disk: Disk) -> None:
    """Put the keys beside the agreement, before anything is signed."""
    if agreement.pinned:
        disk.put(home / _FILE, b"".join(agreement.resolved[digest].raw for digest in agreement.pinned), 0o644)


def kept(home: Path, agreement: Agreement) -> Agreement:
    """The agreement with the keys that lie beside it."""
    path = home / _FILE
    raw = path.read_bytes() if path.exists() else b""
    return agreement.resolve([raw[at : at + _BYTES] for at in range(0, len(raw), _BYTES)])


@enforces("LOG-31")
def publish(agreement: Agreement, objects: Objects) -> Agreement:
    """Put the keys where readers fetch them; the agreement with all of them.

    [LOG-31] A log MUST serve, before it publishes its first checkpoint, every ML-DSA-44 key that its agreement names,
    at `key/` and the SHA-256 of the key in hexadecimal.
    """
    for digest, key in agreement.resolved.items():
        objects.put(key_path(digest), key.raw)
    return complete(resolve(objects.get, agreement), None)
