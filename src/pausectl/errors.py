# SPDX-License-Identifier: Apache-2.0
"""Whose fault, and what it costs: one tree of errors, one exit code each.

    PausectlError                 anything pausectl raises on purpose
    ├── UsageFault       exit 2   the caller's: wrong option, unreadable path, no trusted agreement given
    ├── Refused          exit 2   a door said no: admission to a log, a cosignature, a passphrase
    ├── Unavailable      exit 3   evidence is missing or unreachable: nothing can be concluded from that
    ├── Malformed        exit 4   bytes that are not what they claim to be
    ├── Forged           exit 4   well-formed bytes whose signature, proof or quorum fails
    │   └── SplitView    exit 4   two histories signed by one log; carries both checkpoints
    └── Broken           exit 5   an invariant of this program failed: a bug, never a verdict

Bytes raise, judgements return: non-conformance of a lab is never one of these, it is a `Finding`.
"""

from __future__ import annotations


class PausectlError(Exception):
    """Base of everything raised on purpose.

    message: lower case, no full stop, names what was expected and what was found.
    where: the file, path or place in the bytes, outermost first; `at()` adds to it on the way up.
    hint: one sentence a person can act on.
    """

    exit_code = 5

    def __init__(self, message: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def at(self, place: str) -> PausectlError:
        """Put `place` in front of where it happened, and return self for `raise error.at(path)`."""
        self.where = f"{place}: {self.where}" if self.where else place
        return self

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class UsageFault(PausectlError):
    """The caller asked for something that cannot be done."""

    exit_code = 2


class Refused(PausectlError):
    """A log, witness or key file declined; nothing was changed."""

    exit_code = 2


class Unavailable(PausectlError):
    """Evidence that should exist could not be read. Never a reason to conclude anything."""

    exit_code = 3


class Malformed(PausectlError):
    """Bytes that no conforming writer produces."""

    exit_code = 4


class Forged(PausectlError):
    """Well-formed bytes that fail a signature, proof or quorum check."""

    exit_code = 4


class SplitView(Forged):
    """One log signed two histories. Both signed notes are kept: together they are the proof.

    evidence: an evidence file (`wire.evidence`), where whoever met them could make one; of two sizes it takes the tree.
    """

    def __init__(self, message: str, first: bytes, second: bytes, *, where: str = "") -> None:
        hint = "keep both checkpoints, and the tiles: they convict the log before anyone"
        super().__init__(message, where=where, hint=hint)
        self.first = first
        self.second = second
        self.evidence = b""


class Broken(PausectlError):
    """A failed invariant of pausectl itself."""

    exit_code = 5
