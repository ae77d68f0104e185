# SPDX-License-Identifier: Apache-2.0
"""The log and the witnesses of an agreement as a tlog-policy, which programs that know no agreement can read.

What such a policy cannot say is left out: that a log signs with two keys (it has the ML-DSA-44 one, where there is
one), that a witness does so at one time, how many witnesses may lie, and mirrors.
"""

from __future__ import annotations

from collections.abc import Mapping

from pausectl.agreement.document import Agreement
from pausectl.errors import UsageFault
from pausectl.registry import enforces
from pausectl.wire.policy import Group, Log, Policy, Witness

WITNESSES = "witnesses"
_SUFFIXES = ("-ed25519", "-mldsa44")


@enforces("POL-9")
def of(agreement: Agreement, urls: Mapping[str, str] | None = None) -> Policy:
    """The policy of an agreement, whose keys by digest are known. urls: by origin, principal or key name, some or all.

    [POL-9] A policy that is written for an agreement MUST NOT take a checkpoint that lacks a quorum of the agreement's
    witnesses, each with every key that the agreement names.
    """
    urls = urls or {}
    doc = agreement.document
    strange = sorted(
        set(urls) - {doc.log.origin, *agreement.witness_keys, *(k.name for k in agreement.witness_keys.values())}
    )
    if strange:
        raise UsageFault(f"url: expected the origin of the log or a witness, found {strange[0]!r}")
    witnesses: list[Witness] = []
    groups: list[Group] = []
    for principal, key in agreement.witness_keys.items():
        url = urls.get(principal, urls.get(key.name, ""))
        pair = agreement.witness_pairs.get(principal, ())
        if not pair:
            raise UsageFault(f"the ML-DSA-44 key of {principal} is not at hand", hint="name a source of keys")
        if len(pair) == 1:
            witnesses.append(Witness(principal, key, url))
        else:
            names = tuple(principal + suffix for suffix in _SUFFIXES)
            witnesses += [Witness(name, each, url) for name, each in zip(names, pair, strict=True)]
            groups.append(Group(principal, 2, names))
    name = _free(WITNESSES, {*agreement.witness_keys, *(witness.name for witness in witnesses)})
    groups.append(Group(name, doc.witnesses.quorum, tuple(agreement.witness_keys)))
    log = Log(agreement.log_pair[-1], urls.get(doc.log.origin, ""))
    return Policy((log,), tuple(witnesses), tuple(groups), name)


def organisations(agreement: Agreement) -> dict[str, str]:
    """Name of each witness in `of` → the organisation behind it."""
    found: dict[str, str] = {}
    for principal in agreement.witness_keys:
        names = (principal, *(principal + suffix for suffix in _SUFFIXES))
        found |= dict.fromkeys(names, agreement.principals[principal].organisation)
    return found


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "-"
    return name
