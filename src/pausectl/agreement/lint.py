# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a policy, or is right and surprises: counted over keys, not over names.

    for found in lint(policy): print(found.level, found.code, found.message)

An error is what a parser refuses or what lets two histories pass without a witness that lies; a warning is for people.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from pausectl.wire import policy as policies
from pausectl.wire.policy import Group, Policy

#: What every reader has to support, of logs, witnesses and groups each.
SUPPORTED = 32


@dataclass(frozen=True, slots=True)
class Found:
    """level: an error or a warning. code: its name, the same in every release. line: of the file, 0 for the whole."""

    level: Literal["error", "warning"]
    code: str
    message: str
    line: int = 0


def lint_file(raw: bytes) -> list[Found]:
    """Everything that a parser refuses in a file, or what there is to say about it."""
    policy, wrong = policies.read(raw)
    if policy is None:
        return [Found("error", "refused", what, line) for line, what in wrong]
    return lint(policy)


def lint(policy: Policy, organisations: Mapping[str, str] | None = None, faulty: int | None = None) -> list[Found]:
    """What there is to say about a policy, errors first.

    organisations: witness name → who is behind it, as far as known. faulty: how many witnesses are reckoned to lie.
    """
    found = [*_quorum(policy, faulty), *_alone(policy, organisations or {}), *_unused(policy), *_keys(policy)]
    found += _limits(policy)
    return sorted(found, key=lambda each: each.level)


def _quorum(policy: Policy, faulty: int | None) -> Iterator[Found]:
    if not policy.logs:
        yield Found("error", "no-log", "no log is named, so that no checkpoint is ever taken")
    if policy.quorum is None:
        yield Found(
            "error", "quorum-none", "no witness is asked for: whoever has a log's key shows each reader another history"
        )
        return
    pairs = {group.name for group in policy.groups if _is_pair(policy, group)}
    least, common = (count(policy, policy.quorum, pairs) for count in (policies.least, policies.overlap))
    if common == 0:
        text = "two quorums need have no witness in common: a log shows two histories and no witness has to lie"
        yield Found("error", "disjoint-quorums", text)
    elif faulty is not None and common <= faulty:
        text = f"two quorums need have only {common} witnesses in common, and {faulty} are reckoned to lie"
        yield Found("error", "faulty-bound", text)
    if least == 1:
        yield Found("warning", "one-witness", "one witness is enough to make the quorum hold")
    for group in policy.groups:
        if group.threshold == len(group.members) > 1 and not _is_pair(policy, group):
            text = f"group {group.name}: all of {len(group.members)} are needed, so that any one that is away stops it"
            yield Found("warning", "all-needed", text)


def _alone(policy: Policy, organisations: Mapping[str, str]) -> Iterator[Found]:
    if policy.quorum is None:
        return
    for who in sorted(set(organisations.values())):
        own = [witness.name for witness in policy.witnesses if organisations.get(witness.name) == who]
        if own and policies.holds(policy, own):
            yield Found("error", "one-organisation", f"the witnesses of {who} are enough to make the quorum hold")


def _unused(policy: Policy) -> Iterator[Found]:
    used = set(policies.below(policy, policy.quorum)) if policy.quorum else set()
    for part in policy.parts.values():
        if part.name not in used:
            kind = "group" if isinstance(part, Group) else "witness"
            yield Found("warning", "unused", f"{kind} {part.name}: is no part of the quorum and counts for nothing")


def _keys(policy: Policy) -> Iterator[Found]:
    logs = {log.key.public: log.key.name for log in policy.logs}
    names: dict[str, list[str]] = {}
    for witness in policy.witnesses:
        if witness.key.public in logs:
            text = f"witness {witness.name}: has the key of the log {logs[witness.key.public]}"
            yield Found("warning", "log-is-witness", text)
        names.setdefault(witness.key.name, []).append(witness.name)
    pairs = [set(group.members) for group in policy.groups if _is_pair(policy, group)]
    for name, own in names.items():
        if len(own) > 1 and set(own) not in pairs:
            text = f"{', '.join(own)}: are keys of one name, {name}, and count separately"
            yield Found("warning", "one-name", text)
    origins = [log.key.name for log in policy.logs]
    for origin in sorted({origin for origin in origins if origins.count(origin) > 1}):
        yield Found("warning", "either-key", f"log {origin}: has several keys, each of which is enough by itself")


def _is_pair(policy: Policy, group: Group) -> bool:
    """Whether a group is the keys of one witness, all of which are needed."""
    keys = {part.key.name for name in group.members if not isinstance(part := policy.parts[name], Group)}
    inner = any(isinstance(policy.parts[name], Group) for name in group.members)
    return not inner and len(keys) == 1 and group.threshold == len(group.members)


def _limits(policy: Policy) -> Iterator[Found]:
    for what, count in (
        ("logs", len(policy.logs)),
        ("witnesses", len(policy.witnesses)),
        ("groups", len(policy.groups)),
    ):
        if count > SUPPORTED:
            text = f"{count} {what}: other readers need not support more than {SUPPORTED}"
            yield Found("warning", "many", text)
    urls = [(log.key.name, log.url) for log in policy.logs] + [(each.name, each.url) for each in policy.witnesses]
    for name, url in urls:
        if url and not url.startswith(("https://", "http://")):
            yield Found("warning", "url", f"{name}: expected an http or https URL, found {url[:60]!r}")
