# SPDX-License-Identifier: Apache-2.0
r"""A witness: the decision (`decision`) and around it the memory that makes it worth something.

Witness.init(Path("state"), [("wharf.example", signer)])
witness = Witness.open(Path("state"), [("wharf.example", signer)])
witness.add_log([log_key])
witness.cosign(request, now)        the body of add-checkpoint in, signature lines out; or b"5\n", the size I know

state/witness.db                                    the memory (`memory`)
state/<hex SHA-256 of the origin>/checkpoint        the second memory (`second`), here or in another place
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from pausectl import durable
from pausectl.durable import Disk
from pausectl.errors import PausectlError, Refused, SplitView, Unavailable, UsageFault
from pausectl.registry import enforces
from pausectl.wire import checkpoint, cosignature, merkle, note, witness
from pausectl.wire.checkpoint import Checkpoint
from pausectl.wire.keys import SUITES, Signer
from pausectl.wire.note import Note, Signature, VerifierKey
from pausectl.wire.witness import Request
from pausectl.witness.decision import Inconsistent, Known, authenticate, decide, evidence_of
from pausectl.witness.memory import Kept, Memory, Step
from pausectl.witness.second import Second

#: A key name and what signs under it.
Cosigner = tuple[str, Signer]

#: POSIX seconds, or who tells them: a server asks the clock when its turn has come, not when it began to wait.
Time = int | Callable[[], int]

_RECOVER = "'pausectl witness recover' takes over what the second memory has; nothing is cosigned before"


def origin_hash(origin: str) -> str:
    """SHA-256 in hexadecimal, by which a log is called in paths."""
    return hashlib.sha256(origin.encode()).hexdigest()


def cosigner_key(name: str, signer: Signer) -> VerifierKey:
    """What verifies this cosigner's lines."""
    return VerifierKey(name, SUITES[signer.public.suite].cosignature_type, signer.public)


class Witness:
    """One witness, of any number of logs. Any number of threads and processes may share its state."""

    def __init__(
        self, keys: Sequence[VerifierKey], cosigners: Sequence[Cosigner], memory: Memory, second: Second
    ) -> None:
        """For `open`."""
        self.keys = tuple(keys)
        self._cosigners = tuple(cosigners)
        self._memory = memory
        self._second = second

    # ── making and opening ──

    @classmethod
    def init(
        cls, state: Path, cosigners: Sequence[Cosigner], *, second: Path | None = None, disk: Disk | None = None
    ) -> tuple[bool, list[str]]:
        """Make the memories of a witness in the directory `state`, the second one in `second` if that is given.

        Where they are, nothing changes but keys that were added. Refused for those of another witness. If the first
        memory is missing, what the second one has is taken over: (whether one was made, the origins taken over).
        """
        disk = disk or Disk()
        disk.home(state)
        vkeys, path = _vkeys(_keys(cosigners)), state / "witness.db"
        held = durable.lock(state / "lock", wait=True)
        try:
            new = not path.exists()
            if new:
                Second(second or state, disk).create(vkeys)
                Memory.create(path, vkeys, str(second.absolute()) if second else "", disk)
            memory = Memory.open(path)
            ours, place = memory.identity
            if not vkeys.startswith(ours) or (second and place != str(second.absolute())):
                raise Refused("a witness with another key or another second memory is here", where=str(state))
            behind = Second(Path(place or state), disk)
            if vkeys != ours:
                behind.create(vkeys)
                with memory.step() as step:
                    step.become(vkeys, place)
            taken = cls(_keys(cosigners), cosigners, memory, behind).take_over() if new else []
            memory.close()
            return new, taken
        finally:
            os.close(held)

    @classmethod
    def open(cls, state: Path, cosigners: Sequence[Cosigner] = (), *, disk: Disk | None = None) -> Witness:
        """A witness that was made by `init`. Unavailable, with the reason, if its memory cannot be relied on.

        Without cosigners it signs nothing, and can be looked at and told of logs.
        """
        opened = cls._of(state, cosigners, disk)
        opened.check()
        return opened

    @classmethod
    def recover(cls, state: Path, *, disk: Disk | None = None) -> list[str]:
        """Take over what the second memory has and the first has not; the origins of what was taken."""
        with cls._of(state, (), disk) as opened:
            return opened.take_over()

    @classmethod
    def _of(cls, state: Path, cosigners: Sequence[Cosigner], disk: Disk | None) -> Witness:
        memory = Memory.open(state / "witness.db")
        vkeys, place = memory.identity
        if cosigners and vkeys != _vkeys(_keys(cosigners)):
            names = ", ".join(key[:40] for key in vkeys.splitlines())
            raise Refused(f"key: expected {names}, whose memory this is", where=str(state))
        second = Second(Path(place) if place else state, disk or Disk())
        second.check(vkeys)
        return cls(_parsed(vkeys), cosigners, memory, second)

    @classmethod
    def beside(
        cls, name: str, signer: Signer, log_key: VerifierKey, state: Path, *, disk: Disk | None = None
    ) -> Witness:
        """A witness in the process of its log, for simulations and trials: its memory is made if there is none."""
        if not (state / "witness.db").exists():
            cls.init(state, [(name, signer)], disk=disk)
        opened = cls.open(state, [(name, signer)], disk=disk)
        if log_key.name not in opened.logs:
            opened.add_log([log_key])
        return opened

    # ── logs ──

    @property
    def logs(self) -> dict[str, tuple[VerifierKey, ...]]:
        """Origin → keys of each log that is witnessed."""
        return {origin: _parsed(vkeys) for origin, vkeys in self._memory.logs().items()}

    def add_log(self, log_keys: Sequence[VerifierKey], origin: str = "") -> None:
        """Witness a log from now on. origin: if it is not the name of its first key.

        Refused if the origin is witnessed with other keys: a change of keys is a removal and an addition.
        """
        found = [key.type for key in log_keys]
        if found not in ([note.TYPE_ED25519], [note.TYPE_ED25519, note.TYPE_MLDSA44]):
            told = ", ".join(f"0x{type:02x}" for type in found)
            raise UsageFault(f"keys of a log: expected one of type 0x01, and perhaps one of 0x06, found {told}")
        origin = origin or log_keys[0].name
        Checkpoint(origin, 0, merkle.EMPTY)  # an origin that no checkpoint can have is refused here
        told = _vkeys(log_keys)
        with self._memory.step() as step:
            known = step.log(origin)
            if known not in (None, told):
                raise Refused(f"origin {origin!r} is witnessed with other keys", hint="remove it first")
            step.watch(origin, told)

    @enforces("WTN-14")
    def remove_log(self, origin: str) -> None:
        """Witness a log no more; UsageFault if it was not.

        [WTN-14] A witness MUST remember what it cosigned last of a log that it was told to witness no more.
        """
        with self._memory.step() as step:
            if not step.unwatch(origin):
                raise UsageFault(f"origin {origin!r} is not witnessed here")

    # ── cosigning ──

    def cosign(self, request: bytes, now: Time) -> bytes:
        """Answer the body of add-checkpoint at `now`: signature lines, or the size we cosigned last."""
        answer = self.answer(witness.parse_request(request), now)
        return witness.format_conflict(answer) if isinstance(answer, int) else witness.format_response(answer)

    @enforces("WTN-6", "WTN-7", "WTN-12")
    def answer(self, asked: Request, now: Time) -> int | tuple[Signature, ...]:
        """The same for a request that was parsed.

        Malformed, Refused (origin), Forged (signature), Inconsistent or SplitView (tree), Unavailable (our own memory
        or clock); `http_status` tells them apart.

        [WTN-6] A witness MUST make a checkpoint durable, in one step with the comparison of its size with the one it
        cosigned before, before the cosignature leaves it.

        [WTN-7] A witness MUST NOT cosign at a time before that of its last cosignature.

        [WTN-12] A witness with several keys MUST answer with one line by each, all of one time.
        """
        if not self._cosigners:
            raise UsageFault("expected a key to cosign with")
        origin = asked.checkpoint.origin
        log_lines = authenticate(asked, _parsed(self._memory.log(origin) or ""))
        hash = origin_hash(origin)
        with self._second.held(hash):
            fault: PausectlError | None = None
            with self._memory.step() as step:
                known = self._known(step, origin, hash)
                time = now if isinstance(now, int) else now()
                if time < 1:
                    raise UsageFault(f"time: expected POSIX seconds, found {time}")
                try:
                    conflict = decide(asked, known)
                except (SplitView, Inconsistent) as error:
                    fault = error
                    step.keep(evidence_of(error, asked, known, time))
                else:
                    if conflict is not None:
                        return conflict
                    if known and time < known.time:
                        raise Unavailable(f"clock: expected {known.time} or later, when we cosigned last, found {time}")
                    lines = self._sign(asked.signed.text, time)
                    kept = Note(asked.signed.text, (*log_lines, *lines)).raw
                    step.remember(origin, hash, asked.checkpoint.size, time, kept)
            if fault is not None:
                raise fault  # what speaks for it is kept by now
            self._second.write(hash, kept)
        return lines

    def checkpoint(self, origin: str) -> bytes | None:
        """What we cosigned last of a log, with its lines and ours, or None."""
        return self.published(origin_hash(origin))

    def last(self, origin: str) -> Known | None:
        """The same, with what it says and when it was cosigned."""
        raw = self.checkpoint(origin)
        return self._read(raw, str(self._memory.path)) if raw else None

    def published(self, hash: str) -> bytes | None:
        """What we cosigned last, by the SHA-256 of the origin in hexadecimal."""
        return self._memory.published(hash)

    @property
    def evidence(self) -> list[Kept]:
        """What was kept of logs that cannot be right."""
        return self._memory.evidence()

    def take_over(self) -> list[str]:
        """What `recover` does."""
        taken = []
        for hash in self._second.hashes():
            with self._second.held(hash), self._memory.step() as step:
                found = self._read(self._second.read(hash) or b"", str(self._second.place / hash))
                origin = found.checkpoint.origin
                last = step.last(origin)
                known = self._read(last, str(self._memory.path)) if last else None
                if known is None or not known.covers(found):
                    step.remember(origin, hash, found.checkpoint.size, found.time, found.raw)
                    taken.append(origin)
        return taken

    # ── remembering ──

    def _sign(self, text: str, time: int) -> tuple[Signature, ...]:
        return tuple(cosignature.cosign(text, name, signer, time) for name, signer in self._cosigners)

    def _known(self, step: Step, origin: str, hash: str) -> Known | None:
        last = step.last(origin)
        known = self._read(last, str(self._memory.path)) if last else None
        second = self._second.read(hash)
        if second is not None and second != last:
            self._compare(known, self._read(second, str(self._second.place / hash)))
        return known

    @enforces("WTN-11")
    def _compare(self, known: Known | None, second: Known) -> None:
        """Refuse a memory that is behind what left us.

        [WTN-11] A witness MUST refuse to start, and to cosign, when its second memory holds a cosignature that is
        larger or later than what its first memory holds of that log.
        """
        if known is None or not known.covers(second):
            has = f"size {known.checkpoint.size} at {known.time}" if known else "nothing"
            found = f"size {second.checkpoint.size} at {second.time}"
            what = f"the memory was set back: of {second.checkpoint.origin} it has {has}, and {found} left us"
            raise Unavailable(what, where=str(self._memory.path), hint=_RECOVER)

    def check(self) -> None:
        """Unavailable, with the reason, if a memory is damaged or was set back, of whatever log."""
        notes = {origin_hash(origin): raw for origin, raw in self._memory.notes().items()}
        known = {hash: self._read(raw, str(self._memory.path)) for hash, raw in notes.items()}
        for hash in self._second.hashes():
            raw = self._second.read(hash)
            if raw is not None and raw != notes.get(hash):
                second = self._read(raw, str(self._second.place / hash))
                # Another process may have cosigned between the two readings, and then only the newest reading counts.
                fresh = self._memory.published(hash)
                self._compare(self._read(fresh, str(self._memory.path)) if fresh else known.get(hash), second)

    def _read(self, raw: bytes, where: str) -> Known:
        """What was cosigned, if our own line is on it and holds."""
        try:
            signed = note.parse(raw)
            opened = checkpoint.parse(signed.text)
            time = min(cosignature.cosignatures(signed, self.keys).values())
        except (PausectlError, ValueError) as error:
            hint = "nothing is cosigned before it is restored; a witness that starts anew can be shown another history"
            raise Unavailable(f"what we cosigned last is damaged: {error}", where=where, hint=hint) from error
        return Known(opened, time, raw)

    # ── ending ──

    def close(self) -> None:
        """Let the memory go."""
        self._memory.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _keys(cosigners: Sequence[Cosigner]) -> tuple[VerifierKey, ...]:
    keys = tuple(cosigner_key(name, signer) for name, signer in cosigners)
    if len({key.name for key in keys}) != 1 or len({key.type for key in keys}) != len(keys):
        raise UsageFault("keys of a witness: expected one name, and one key of each type at most")
    return keys


def _vkeys(keys: Sequence[VerifierKey]) -> str:
    return "".join(f"{note.format_vkey(key)}\n" for key in keys)


def _parsed(vkeys: str) -> tuple[VerifierKey, ...]:
    return tuple(note.parse_vkey(line) for line in vkeys.splitlines())
