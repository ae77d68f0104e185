# SPDX-License-Identifier: Apache-2.0
"""May I cosign this? The answer, without a clock, a disk or a key.

authenticate(request, log_keys)    is it the log that asks for this?
decide(request, known)             does it extend what was cosigned last? None, or the size to answer with
http_status(error)                 what tlog-witness answers to everything that was refused
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pausectl.errors import Forged, Malformed, PausectlError, Refused, SplitView, Unavailable
from pausectl.registry import enforces
from pausectl.wire import merkle, note, witness
from pausectl.wire.checkpoint import Checkpoint
from pausectl.wire.note import Signature, VerifierKey
from pausectl.wire.witness import Request
from pausectl.witness.memory import Kept


class Inconsistent(Forged):
    """A checkpoint that the log signed, and a proof that does not show that it extends what was cosigned before.

    Not a `SplitView`: anybody can send a good checkpoint with a bad proof, and must not make a witness accuse a log.
    """


@dataclass(frozen=True, slots=True)
class Known:
    """What a witness cosigned last: the checkpoint, when (POSIX seconds), and the note with all lines and ours."""

    checkpoint: Checkpoint
    time: int
    raw: bytes

    def covers(self, other: Known) -> bool:
        """Whether `other` may have been what was cosigned last before this was."""
        mine, theirs = self.checkpoint, other.checkpoint
        apart = mine.size == theirs.size and mine.root != theirs.root
        return mine.size >= theirs.size and self.time >= other.time and not apart


#: Subclasses before their bases.
_STATUS: tuple[tuple[type[PausectlError], int], ...] = (
    (Malformed, 400), (SplitView, 422), (Inconsistent, 422), (Forged, 403), (Refused, 404), (Unavailable, 503),
)  # fmt: skip


@enforces("WTN-1", "WTN-2", "WTN-9")
def authenticate(request: Request, log_keys: Sequence[VerifierKey]) -> tuple[Signature, ...]:
    """The log's signature lines of the checkpoint that is to be cosigned. log_keys: of its origin, none if unknown.

    [WTN-1] A witness MUST refuse a checkpoint of an origin that it was not told to witness.

    [WTN-2] A witness MUST refuse a checkpoint without a valid signature by the log's key, or with one that fails.

    [WTN-9] A witness that was told two keys of a log MUST refuse a checkpoint that is not signed by each of them.
    """
    if not log_keys:
        raise Refused(f"origin: expected a log that is witnessed here, found {request.checkpoint.origin!r}")
    lines = note.open(request.signed, log_keys)
    signed = {(line.name, line.key_id) for line in lines}
    missing = [note.format_vkey(key)[:40] for key in log_keys if (key.name, key.key_id) not in signed]
    if missing:
        raise Forged(f"checkpoint: expected a signature by each key of the log, found none by {', '.join(missing)}")
    return lines


@enforces("WTN-3", "WTN-4", "WTN-5")
def decide(request: Request, known: Known | None) -> int | None:
    """None to cosign, or the size to answer with, after which the log may try again.

    [WTN-3] A witness MUST refuse a request whose old size is larger than its checkpoint.

    [WTN-4] A witness MUST answer a request whose old size is not the size it cosigned last with that size, 0 if it
    never cosigned, and with no cosignature.

    [WTN-5] A witness MUST NOT cosign a tree of size 0 with another root than SHA-256(""), a proof from size 0 that is
    not empty, another root for the size it cosigned last, or a larger tree whose proof does not hold.
    """
    new, old = request.checkpoint, known.checkpoint if known else None
    if request.old_size > new.size:
        raise Malformed(f"old size: expected at most {new.size}, found {request.old_size}", where="add-checkpoint")
    if request.old_size != (old.size if old else 0):
        return old.size if old else 0
    if new.size == 0 and new.root != merkle.EMPTY:
        raise Inconsistent('tree of size 0: expected the root SHA-256("")')
    if old is None or old.size == 0:
        if request.proof:
            raise Inconsistent("proof from size 0: expected an empty one, from which nothing has to follow")
        return None
    if known and old.size == new.size and old.root != new.root:
        raise SplitView(f"the log signed two trees of {new.size} entries", known.raw, request.checkpoint_raw)
    try:
        merkle.check_consistency(old.size, old.root, new.size, new.root, request.proof)
    except Forged as error:
        what = f"size {new.size} is not shown to extend size {old.size}, which was cosigned: {error}"
        raise Inconsistent(what) from error
    return None


def http_status(error: PausectlError) -> int:
    """The status of tlog-witness that answers this error."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


@enforces("WTN-8")
def evidence_of(error: PausectlError, asked: Request, known: Known | None, time: int) -> Kept:
    """What is kept of a request that was refused for its tree.

    [WTN-8] A witness MUST keep both checkpoints when a log signs two trees of one size, and the last request that it
    refused for its tree although the log signed it.
    """
    origin, size = asked.checkpoint.origin, asked.checkpoint.size
    if isinstance(error, SplitView):
        return Kept(origin, "split", size, time, error.first, error.second)
    # Only the last one: strangers can send any number of bad proofs.
    return Kept(origin, "refused", size, time, known.raw if known else b"", witness.format_request(asked))
