# SPDX-License-Identifier: Apache-2.0
"""Which logs and how many of which witnesses: a file that other programs read too, C2SP tlog-policy.

    # one log, one witness
    log pause.example/golden+3aeb9652+AbtXmiwuttGHlGUCg3dQ149pqjG3Yll6bsUx+ureXHOg https://pause.example/golden/
    witness ed witness.example/ed+aa214948+BB4mBqBvheQ622y4p55xkoj1tkBTiqvwHvJpwuT7WbP9 https://witness.example/ed
    group operators any ed
    quorum operators

`parse` reads what people write, comments and tabs included; `format` writes the one form that says the same, so that
`format(parse(b))` is `b` for what was written by it. Groups form a tree, because each name is a member once at most:
that is what makes counting them a matter of sums (`least`, `overlap`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from pausectl.errors import Forged, Malformed
from pausectl.registry import enforces
from pausectl.wire import checkpoint, cosignature, note
from pausectl.wire.checkpoint import Checkpoint
from pausectl.wire.note import TYPE_COSIGNATURE, TYPE_ED25519, TYPE_MLDSA44, VerifierKey

MAX_BYTES = 1 << 20
MAX_PARTS = 256
NONE = "none"

_OCTETS = re.compile(rb"[^\t\n\x20-\x7e\x80-\xff]")
_NUMBER = re.compile("[1-9][0-9]{0,5}")


@dataclass(frozen=True, slots=True)
class Log:
    """A log whose checkpoints are taken; its key's name is the origin. url: where it is read, or ""."""

    key: VerifierKey
    url: str = ""


@dataclass(frozen=True, slots=True)
class Witness:
    """A witness by its name in this file. url: the prefix for add-checkpoint, or ""."""

    name: str
    key: VerifierKey
    url: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """threshold of the members, which are witnesses or groups."""

    name: str
    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """quorum: the witness or group that has to hold, or None for no witness at all."""

    logs: tuple[Log, ...]
    witnesses: tuple[Witness, ...]
    groups: tuple[Group, ...]
    quorum: str | None
    parts: Mapping[str, Witness | Group] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index the parts by name; `parse` has refused what is in it twice."""
        named: list[Witness | Group] = [*self.witnesses, *self.groups]
        object.__setattr__(self, "parts", {part.name: part for part in named})


@dataclass(frozen=True, slots=True)
class Taken:
    """A checkpoint that a policy takes. signed: names of the witnesses whose cosignatures it has, with their times."""

    checkpoint: Checkpoint
    signed: dict[str, int]


# ── the file ──


def parse(raw: bytes) -> Policy:
    """Read a policy; Malformed with the first thing that is wrong, and its line."""
    policy, wrong = read(raw)
    if policy is None:
        line, what = wrong[0]
        raise Malformed(what, where=f"policy: line {line}" if line else "policy")
    return policy


def read(raw: bytes) -> tuple[Policy | None, list[tuple[int, str]]]:
    """The policy, or None and everything that is wrong: (line from 1, or 0 for the whole; what)."""
    reader = _Reader()
    reader.read(raw)
    if reader.wrong:
        return None, reader.wrong
    return Policy(tuple(reader.logs), tuple(reader.witnesses), tuple(reader.groups), reader.quorum), []


class _Reader:
    """One reading. wrong: what was, so far; what depends on it may follow."""

    def __init__(self) -> None:
        self.logs: list[Log] = []
        self.witnesses: list[Witness] = []
        self.groups: list[Group] = []
        self.quorum: str | None = None
        self.wrong: list[tuple[int, str]] = []
        self._line = 0
        self._names: set[str] = set()
        self._members: set[str] = set()
        self._quorums = 0

    @enforces("POL-1", "POL-5")
    def read(self, raw: bytes) -> None:
        """Read all lines.

        [POL-1] A parser MUST refuse a policy with an octet other than TAB, LF, 0x20 to 0x7E and 0x80 to 0xFF, without
        an LF at its end, of more than 1 MiB, or with more than 256 logs, 256 witnesses or 256 groups.

        [POL-5] A parser MUST refuse a policy without exactly one line `quorum`, which names what is defined on a line
        above it, or `none`.
        """
        if len(raw) > MAX_BYTES:
            self._say(f"expected at most {MAX_BYTES} bytes, found {len(raw)}")
            return
        if not raw.endswith(b"\n"):
            self._say("expected a line feed at the end")
        for line in raw.removesuffix(b"\n").split(b"\n"):
            self._line += 1
            if strange := _OCTETS.search(line):
                self._say(f"expected no octet 0x{strange[0][0]:02x}")
            else:
                self._read(line.decode("utf-8", "surrogateescape").replace("\t", " ").strip(" "))
        self._line = 0
        if not self._quorums:
            self._say("expected a line quorum")
        if max(len(self.logs), len(self.witnesses), len(self.groups)) > MAX_PARTS:
            self._say(f"expected at most {MAX_PARTS} logs, witnesses, and groups each")

    def _say(self, what: str) -> None:
        self.wrong.append((self._line, what))

    @enforces("POL-2")
    def _read(self, line: str) -> None:
        """Read one line without the spaces around it.

        [POL-2] A parser MUST refuse a line that is not empty, a comment whose first character is `#`, or one of `log`
        with a key and perhaps a URL, `witness` with a name, a key and perhaps a URL, `group` with a name, a threshold
        and members, and `quorum` with a name, between runs of spaces and tabs.
        """
        if not line or line.startswith("#"):
            return
        word, *rest = [part for part in line.split(" ") if part]  # and at no other white space: names are octets
        if word == "log" and 1 <= len(rest) <= 2:
            self._log(*rest)
        elif word == "witness" and 2 <= len(rest) <= 3:
            self._witness(*rest)
        elif word == "group" and len(rest) >= 3:
            self._group(*rest)
        elif word == "quorum" and len(rest) == 1:
            self._set_quorum(rest[0])
        else:
            self._say(
                f"expected a line log, witness, group or quorum, each with what belongs to it, found {line[:60]!r}"
            )

    @enforces("POL-6")
    def _key(self, text: str, types: tuple[int, ...], others: list[VerifierKey]) -> VerifierKey | None:
        """A verifier key of one of these types that none of the others has.

        [POL-6] A parser MUST refuse a log's key of another type than 0x01 and 0x06, a witness's key of another type
        than 0x04 and 0x06, and two logs, or two witnesses, of one public key.
        """
        try:
            key = note.parse_vkey(text)
        except Malformed as error:
            self._say(str(error))
            return None
        if key.type not in types:
            wanted = " or ".join(f"0x{each:02x}" for each in types)
            self._say(f"expected a key of type {wanted}, found 0x{key.type:02x}")
        elif any(other.public == key.public for other in others):
            self._say(f"expected a key of its own, found that of another line: {key.name}")
        return key

    def _log(self, vkey: str, url: str = "") -> None:
        key = self._key(vkey, (TYPE_ED25519, TYPE_MLDSA44), [log.key for log in self.logs])
        if key is not None:
            self.logs.append(Log(key, url))

    def _witness(self, name: str, vkey: str, url: str = "") -> None:
        key = self._key(vkey, (TYPE_COSIGNATURE, TYPE_MLDSA44), [witness.key for witness in self.witnesses])
        self._name(name)
        if key is not None:
            self.witnesses.append(Witness(name, key, url))

    @enforces("POL-3")
    def _name(self, name: str) -> None:
        """Define a name.

        [POL-3] A parser MUST refuse a witness or group that is called `none` or like another witness or group, a member
        that no line above defines, and a name that is a member twice, of one group or of two.
        """
        if name == NONE or name in self._names:
            self._say(f"expected a name of its own, found {name[:60]!r}")
        self._names.add(name)

    @enforces("POL-4")
    def _group(self, name: str, threshold: str, *members: str) -> None:
        """Define a group.

        [POL-4] A parser MUST refuse a threshold that is not `all`, `any`, or a decimal number without leading zeros
        from 1 to the number of members.
        """
        for member in members:
            if member not in self._names:
                self._say(f"group {name[:60]}: expected members that lines above define, found {member[:60]!r}")
            elif member in self._members:
                self._say(
                    f"group {name[:60]}: expected each name as a member once in the file, found {member[:60]!r} again"
                )
            self._members.add(member)
        self._name(name)
        words = {"all": len(members), "any": 1}
        count = words.get(threshold) or (int(threshold) if _NUMBER.fullmatch(threshold) else 0)
        if not 1 <= count <= len(members):
            self._say(f"group {name[:60]}: expected all, any, or 1 to {len(members)}, found {threshold[:20]!r}")
        self.groups.append(Group(name, count, members))

    def _set_quorum(self, name: str) -> None:
        self._quorums += 1
        if self._quorums > 1:
            self._say("expected one line quorum, found another")
        if name != NONE and name not in self._names:
            self._say(f"quorum: expected a witness or group that a line above defines, or none, found {name[:60]!r}")
        self.quorum = None if name == NONE else name


def format(policy: Policy) -> bytes:
    """A file that says so: logs, witnesses, groups, quorum, with single spaces."""
    lines = [["log", note.format_vkey(log.key), log.url] for log in policy.logs]
    lines += [["witness", each.name, note.format_vkey(each.key), each.url] for each in policy.witnesses]
    lines += [["group", each.name, _threshold(each), *each.members] for each in policy.groups]
    lines += [["quorum", policy.quorum or NONE]]
    raw = "".join(" ".join(word for word in line if word) + "\n" for line in lines).encode("utf-8", "surrogateescape")
    if parse(raw) != policy:
        raise Malformed("policy: expected names and URLs without spaces, and nothing twice")
    return raw


def _threshold(group: Group) -> str:
    return {1: "any", len(group.members): "all"}.get(group.threshold, str(group.threshold))


# ── the decision ──


@enforces("POL-7", "POL-8")
def take(policy: Policy, raw: bytes) -> Taken:
    """Open a signed checkpoint under a policy; Forged if no log of it signed, or its quorum does not hold.

    [POL-7] A verifier MUST refuse a checkpoint that has no valid signature by a log of the policy whose key name is the
    checkpoint's origin.

    [POL-8] A verifier MUST refuse a checkpoint under a policy whose quorum does not hold, where a witness holds if its
    key cosigned, and a group if as many of its members hold as its threshold says.
    """
    signed = note.parse(raw)
    claim = checkpoint.parse(signed.text)
    logs = [log.key for log in policy.logs if log.key.name == claim.origin]
    if not logs:
        raise Forged(f"checkpoint: expected the origin of a log of the policy, found {claim.origin!r}")
    note.open(signed, logs)
    times = cosignature.times(signed, [witness.key for witness in policy.witnesses])
    found = {each.name: min(times[each.key]) for each in policy.witnesses if each.key in times}
    if not holds(policy, found):
        raise Forged(
            f"checkpoint of size {claim.size}: quorum {policy.quorum} not reached by {', '.join(found) or 'none'}"
        )
    return Taken(claim, found)


def _holds(policy: Policy, name: str, signed: Collection[str]) -> bool:
    part = policy.parts[name]
    if isinstance(part, Witness):
        return name in signed
    return sum(_holds(policy, member, signed) for member in part.members) >= part.threshold


# ── what it takes ──


def holds(policy: Policy, signed: Collection[str]) -> bool:
    """Whether the quorum holds if these witnesses, by name, cosigned."""
    return policy.quorum is None or _holds(policy, policy.quorum, signed)


def least(policy: Policy, name: str, single: Collection[str] = ()) -> int:
    """The fewest witnesses that make it hold. single: groups that are the keys of one witness, and count once."""
    part = policy.parts[name]
    if isinstance(part, Witness) or name in single:
        return 1
    return sum(sorted(least(policy, member, single) for member in part.members)[: part.threshold])


def overlap(policy: Policy, name: str, single: Collection[str] = ()) -> int:
    """The fewest witnesses that two choices which make it hold have in common: so many lie where two trees pass."""
    part = policy.parts[name]
    if isinstance(part, Witness) or name in single:
        return 1
    common = max(2 * part.threshold - len(part.members), 0)
    return sum(sorted(overlap(policy, member, single) for member in part.members)[:common])


def below(policy: Policy, name: str) -> list[str]:
    """The witnesses and groups that it is made of, itself included."""
    part = policy.parts[name]
    inner = part.members if isinstance(part, Group) else ()
    return [name, *(each for member in inner for each in below(policy, member))]
