# SPDX-License-Identifier: Apache-2.0
"""May these signers say this under this agreement? Asked by the log before it admits and by every reader afterwards."""

from __future__ import annotations

from pausectl.agreement.document import Agreement
from pausectl.agreement.quorum import count
from pausectl.history.decode import Decoded
from pausectl.history.records import Trouble
from pausectl.predicates.base import Predicate
from pausectl.predicates.checkpoint import Mark
from pausectl.predicates.received import Received
from pausectl.registry import enforces


def objection(entry: Decoded, agreement: Agreement) -> tuple[Trouble, str] | None:
    """Why an entry has no effect, or None. A statement of unknown type is nobody's to object to here."""
    if entry.trouble is not None:
        return entry.trouble, entry.message
    if entry.claim is None:
        return None
    return _foreign(entry.claim, agreement) or _unauthorised(entry.claim, entry, agreement)


@enforces("HDR-4")
def _foreign(claim: Predicate, agreement: Agreement) -> tuple[Trouble, str] | None:
    """Refuse what was said elsewhere.

    [HDR-4] A statement whose header names another agreement, or a log that is neither the one that the statement stands
    in nor one that came before it, MUST have no effect.
    """
    header = claim.header
    if header.agreement != agreement.id:
        return Trouble.FOREIGN, f"said under agreement {header.agreement[:12]}…, not {agreement.id[:12]}…"
    if header.log not in agreement.origins:
        return Trouble.FOREIGN, f"said in log {header.log}, not {agreement.origin}"
    if isinstance(claim, Received) and claim.of.agreement != agreement.id:
        return Trouble.FOREIGN, f"a receipt for something said under agreement {claim.of.agreement[:12]}…"
    return None


@enforces("HDR-5", "HDR-6")
def _unauthorised(claim: Predicate, entry: Decoded, agreement: Agreement) -> tuple[Trouble, str] | None:
    """Refuse what the signers may not say.

    [HDR-5] A statement MUST be signed by the party of its header and by nobody else, with one key of each suite that
    the agreement lists for it, and the party must hold the role that the type's page names.

    [HDR-6] A statement of a body MUST be signed by at least its threshold of members and by nobody else.
    """
    party = claim.header.party
    if party in agreement.bodies:
        said = _of_body(claim, entry, agreement)
    elif party in agreement.principals:
        said = _of_principal(claim, entry, agreement)
    else:
        said = f"{party} is no party to this agreement"
    return (Trouble.UNAUTHORISED, f"{claim.name} by {party}: {said}") if said else None


def _of_body(claim: Predicate, entry: Decoded, agreement: Agreement) -> str:
    body = agreement.bodies[claim.header.party]
    quorum = count(body.members, body.threshold, entry.signers)
    wrong = claim.role != body.id or not quorum.reached or not set(entry.signers) <= set(body.members)
    return f"signed by {quorum}" if wrong else ""


def _of_principal(claim: Predicate, entry: Decoded, agreement: Agreement) -> str:
    principal = agreement.principals[claim.header.party]
    if not set(claim.role.split()) & set(principal.roles) and not isinstance(claim, Mark):
        return f"holds the role {', '.join(principal.roles)}, not {claim.role}"
    if entry.signers != (principal.id,):
        return f"signed by {', '.join(entry.signers)}"
    signed = {agreement.keys[keyid][1].suite for keyid in entry.keyids}
    if signed != {key.suite for key in principal.keys} or len(entry.keyids) != len(signed):
        return "expected one signature for each of its suites"
    return ""
