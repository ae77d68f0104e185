# SPDX-License-Identifier: Apache-2.0
r"""May I cosign this? A decision without a clock or a disk, and around it the memory that makes it worth something.

    witness = Witness("wharf.example", signer, log_key, Path("state"))
    witness.cosign(request, now)        the body of add-checkpoint in, signature lines out; or b"5\n", the size I know

    state/<hex SHA-256 of the origin>/checkpoint    what was cosigned last, with our line: all there is to remember
                                      split-5.first, split-5.second    two trees of one size, both signed by the log
                                      refused, refused.known           the last request whose proof did not hold

The checkpoint is C2SP's monitoring resource too: a web server may serve it at `<origin hash>/checkpoint` as it is.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from pausectl import durable
from pausectl.durable import Disk
from pausectl.errors import Forged, Malformed, PausectlError, Refused, SplitView, Unavailable, UsageFault
from pausectl.registry import enforces
from pausectl.wire import checkpoint, cosignature, merkle, note, witness
from pausectl.wire.checkpoint import Checkpoint
from pausectl.wire.keys import Signer
from pausectl.wire.note import Note, Signature, VerifierKey
from pausectl.wire.witness import Request


class Inconsistent(Forged):
    """A checkpoint that the log signed, and a proof that does not show that it extends what was cosigned before.

    Not a `SplitView`: anybody can send a good checkpoint with a bad proof, and must not make a witness accuse a log.
    """


@dataclass(frozen=True, slots=True)
class Known:
    """What a witness cosigned last: the checkpoint, when (POSIX seconds), and the note as the log signed it."""

    checkpoint: Checkpoint
    time: int
    raw: bytes


#: Subclasses before their bases.
_STATUS: tuple[tuple[type[PausectlError], int], ...] = (
    (Malformed, 400), (SplitView, 422), (Inconsistent, 422), (Forged, 403), (Refused, 404), (Unavailable, 503),
)  # fmt: skip


# ── the decision ───────────────────────────────────────────────────────────────────────────────────────────────────


@enforces("WTN-1", "WTN-2")
def authenticate(request: Request, log_key: VerifierKey) -> Signature:
    """The log's signature line of the checkpoint that is to be cosigned.

    [WTN-1] A witness MUST refuse a checkpoint of an origin that it was not told to witness.

    [WTN-2] A witness MUST refuse a checkpoint without a valid signature by the log's key, or with one that fails.
    """
    if request.checkpoint.origin != log_key.name:
        raise Refused(f"origin: expected {log_key.name!r}, found {request.checkpoint.origin!r}")
    return note.open(request.signed, [log_key])[0]


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


# ── the memory ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Witness:
    """One witness of one log. Any number of threads and processes may share its state."""

    def __init__(
        self, name: str, signer: Signer, log_key: VerifierKey, state: Path, *, disk: Disk | None = None
    ) -> None:
        """name: of our cosignature key, as in its vkey. state: a directory, of which we use the one for this log."""
        self.key = VerifierKey(name, note.TYPE_COSIGNATURE, signer.public)
        self._signer = signer
        self._log_key = log_key
        self._disk = disk or Disk()
        self._home = state / hashlib.sha256(log_key.name.encode()).hexdigest()
        there = next(parent for parent in (state, *state.resolve().parents) if parent.is_dir())
        self._disk.folder(self._home if there == state else self._home.resolve(), within=there)

    @enforces("WTN-6", "WTN-7")
    def cosign(self, request: bytes, now: int) -> bytes:
        """Answer the body of add-checkpoint at `now` (POSIX seconds): signature lines, or the size we cosigned last.

        Malformed, Refused (origin), Forged (signature), Inconsistent or SplitView (tree), Unavailable (our own memory
        or clock); `http_status` tells them apart.

        [WTN-6] A witness MUST make a checkpoint durable, in one step with the comparison of its size with the one it
        cosigned before, before the cosignature leaves it.

        [WTN-7] A witness MUST NOT cosign at a time before that of its last cosignature.
        """
        if now < 1:
            raise UsageFault(f"time: expected POSIX seconds, found {now}")
        asked = witness.parse_request(request)
        log_line = authenticate(asked, self._log_key)
        held = durable.lock(self._home / "lock", wait=True)
        try:
            known = self._load()
            conflict = self._decided(asked, known, request)
            if conflict is not None:
                return witness.format_conflict(conflict)
            if known and now < known.time:
                raise Unavailable(f"clock: expected {known.time} or later, when we cosigned last, found {now}")
            line = cosignature.cosign(asked.signed.text, self.key.name, self._signer, now)
            self._disk.put(self._home / "checkpoint", Note(asked.signed.text, (log_line, line)).raw)
        finally:
            os.close(held)
        return witness.format_response([line])

    @property
    def checkpoint(self) -> bytes | None:
        """What we cosigned last, with the log's line and ours, as `GET <origin hash>/checkpoint` has it, or None."""
        path = self._home / "checkpoint"
        return path.read_bytes() if path.exists() else None

    def _load(self) -> Known | None:
        raw = self.checkpoint
        if raw is None:
            return None
        try:
            opened, signed = checkpoint.open(raw, self._log_key)
            time = cosignature.cosignatures(signed, [self.key])[self.key.name]
        except (PausectlError, KeyError) as error:
            hint = "nothing is cosigned before it is restored; a witness that starts anew can be shown another history"
            where = str(self._home / "checkpoint")
            raise Unavailable(f"what we cosigned last is damaged: {error}", where=where, hint=hint) from error
        return Known(opened, time, raw)

    @enforces("WTN-8")
    def _decided(self, asked: Request, known: Known | None, request: bytes) -> int | None:
        """The decision; what speaks against the log is kept.

        [WTN-8] A witness MUST keep both checkpoints when a log signs two trees of one size, and the last request that
        it refused for its tree although the log signed it.
        """
        try:
            return decide(asked, known)
        except SplitView as split:
            first = self._home / f"split-{asked.checkpoint.size}.first"
            if not first.exists():
                self._disk.put(first.with_suffix(".second"), split.second)
                self._disk.put(first, split.first)
            raise split.at(str(first)) from None
        except Inconsistent:
            # Only the last one: strangers can send any number of bad proofs.
            self._disk.put(self._home / "refused", request)
            if known:
                self._disk.put(self._home / "refused.known", known.raw)
            raise
