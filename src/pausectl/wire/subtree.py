# SPDX-License-Identifier: Apache-2.0
"""What an ML-DSA-44 cosigner signs, C2SP tlog-cosignature v1.1.0-rc.1 (type 0x06): a subtree, of which a tree is one.

    737562747265652f76310a00 12 7769746e6573732e6578616d706c652f6d6c 000000006b024828
    14 70617573652e6578616d706c652f676f6c64656e 0000000000000000 0000000000000258
    3bfc43d281186068742e82967ea57e18e096d2f9135174c05d9c40a793d38b24

is `subtree/v1`, LF and a zero byte; the cosigner `witness.example/ml` and a time; the log `pause.example/golden`, the
entries [0, 600) and their hash. Unlike the message of Ed25519 cosigners it names who signs, and no line of a
checkpoint behind the third.
"""

from __future__ import annotations

from pausectl.errors import Malformed
from pausectl.registry import enforces
from pausectl.wire.keys import unbase64
from pausectl.wire.merkle import HASH_BYTES, MAX_SIZE, Hash, parse_size

LABEL = b"subtree/v1\n\x00"
MAX_NAME = 255


@enforces("COSIG-6")
def message(cosigner: str, timestamp: int, origin: str, start: int, end: int, hash: Hash) -> bytes:
    """The bytes that are signed. timestamp: POSIX seconds; 0 says nothing about time, nor that there is no larger tree.

    [COSIG-6] An ML-DSA-44 cosigner MUST sign `subtree/v1`, LF, a zero byte, its key name behind its length in a byte,
    the time, the origin behind its length in a byte, the start, the end, and the hash of the subtree, where time,
    start and end are u64, and the time is 0 unless the start is.
    """
    names = [name.encode() for name in (cosigner, origin)]
    if not all(1 <= len(name) <= MAX_NAME for name in names) or len(hash) != HASH_BYTES:
        raise Malformed(f"subtree: expected names of 1 to {MAX_NAME} bytes and a hash of {HASH_BYTES}")
    if not 0 <= start <= end <= MAX_SIZE or not 0 <= timestamp <= MAX_SIZE or (start and timestamp):
        raise Malformed(f"subtree: expected start <= end, and time 0 unless start is 0, found [{start}, {end})")
    (who, log), (at, first, last) = names, (number.to_bytes(8, "big") for number in (timestamp, start, end))
    return b"%b%c%b%b%c%b%b%b%b" % (LABEL, len(who), who, at, len(log), log, first, last, hash)


def of_checkpoint(text: str, cosigner: str, timestamp: int) -> bytes:
    """The message for the tree of a checkpoint; Malformed for a text that is none.

    With another line behind the third it is none either: that line would be signed by nobody.
    """
    lines = text.split("\n")
    if len(lines) != 4 or lines[3]:
        raise Malformed("checkpoint: expected origin, size and root, the three lines that ML-DSA-44 signs")
    return message(cosigner, timestamp, lines[0], 0, parse_size(lines[1]), unbase64(lines[2]))
