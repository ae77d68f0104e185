# SPDX-License-Identifier: Apache-2.0
"""What is in force: who is bound in a window, and in which state (specs/agreement.md, specs/lifecycle.md)."""

from __future__ import annotations

from dataclasses import dataclass, field

from pausectl.agreement import lifecycle, pledges
from pausectl.agreement.document import Agreement
from pausectl.agreement.lifecycle import Event, Happening, State, Track
from pausectl.agreement.terms import OVERSEERS
from pausectl.agreement.types import seconds
from pausectl.history.records import Filed
from pausectl.predicates.accession import Accession
from pausectl.predicates.pause import Declaration, Order
from pausectl.registry import enforces

_EVENTS = {"pause": Event.PAUSE, "renew": Event.RENEW, "lift": Event.LIFT}


@dataclass(slots=True)
class Standing:
    """accessions: by lab. happenings: by track, which is `overseers` or a lab."""

    agreement: Agreement
    accessions: dict[str, list[Filed[Accession]]] = field(default_factory=dict)
    happenings: dict[str, list[Happening]] = field(default_factory=dict)
    _tracks: dict[tuple[str, int], tuple[Track, list[Happening]]] = field(default_factory=dict)
    _bound: dict[int, frozenset[str]] = field(default_factory=dict)

    def accede(self, filed: Filed[Accession]) -> None:
        """A lab pledges."""
        self.accessions.setdefault(filed.claim.header.party, []).append(filed)
        self._bound.clear()

    @enforces("LIFE-5", "LIFE-6")
    def happen(self, track: str, filed: Filed[Order] | Filed[Declaration]) -> None:
        """An order or declaration moves a track.

        [LIFE-5] A pause or a lift MUST take effect in the first window that begins at least notice_seconds after its
        `by`, and a renewal in the window that its `by` lies in.

        [LIFE-6] A term longer than the agreement's term_windows MUST count as term_windows.
        """
        event = _EVENTS[filed.claim.action]
        notice = self.agreement.document.deadlines.notice_seconds
        boundary = self.agreement.first_boundary(filed.by + notice)
        window = self.agreement.window_of(filed.by) if event is Event.RENEW else boundary
        term = min(filed.claim.term_windows, self.agreement.document.term.term_windows)
        self.happenings.setdefault(track, []).append(Happening(max(window, 0), filed.index, event, term))
        self._tracks.clear()

    def bound(self, window: int) -> frozenset[str]:
        """Labs bound in a window: acceded before it began, and in the greatest fixed point of their pledges."""
        if window not in self._bound:
            self._bound[window] = self._bind(window)
        return self._bound[window]

    @enforces("AGR-7")
    def _bind(self, window: int) -> frozenset[str]:
        """Resolve the pledges at the start of a window.

        [AGR-7] The first accession of a lab that names this version, with a `by` not after accede_by_at, MUST bind it
        from the first window that begins at or after that `by` until the agreement expires, whatever it accedes to
        later.
        """
        document, start = self.agreement.document, self.agreement.start(window)
        if start >= seconds(document.expires_at):
            return frozenset()
        limit = min(start, seconds(document.accede_by_at))
        pledged = {}
        for lab, filings in self.accessions.items():
            effective = [f for f in filings if f.by <= limit and f.claim.agreement_version == document.version]
            if effective:
                pledged[lab] = _pledge(self.agreement, effective[0].claim)  # a later one could unbind everybody
        return pledges.bound_by(pledged)

    def track(self, name: str, window: int) -> tuple[Track, list[Happening]]:
        """A track at the start of a window, and its events that had no effect."""
        key = (name, window)
        if key not in self._tracks:
            total = self.agreement.document.term.max_total_windows
            self._tracks[key] = lifecycle.at(self.happenings.get(name, ()), window, total)
        return self._tracks[key]

    def forget(self, window: int) -> None:
        """Let go of what was worked out about windows before this one; it is settled."""
        self._tracks = {place: known for place, known in self._tracks.items() if place[1] >= window}
        self._bound = {number: known for number, known in self._bound.items() if number >= window}

    @enforces("LIFE-7")
    def state(self, lab: str, window: int) -> tuple[State | None, int | None]:
        """A lab's state in a window and the first window of its pause; (None, None) where nothing is in force.

        [LIFE-7] A lab that is bound MUST be taken to be PAUSED in a window if the overseers' track or its own is, and
        ARMED otherwise.
        """
        if lab not in self.bound(window):
            return None, None
        tracks = [self.track(name, window)[0] for name in (OVERSEERS, lab)]
        since = [track.since for track in tracks if track.state is State.PAUSED]
        return lifecycle.strictest(track.state for track in tracks), min(since) if since else None


def _pledge(agreement: Agreement, claim: Accession) -> pledges.Pledge:
    conditions = claim.conditions
    return pledges.Pledge(
        agreement.principals[claim.header.party].jurisdiction,
        claim.frontier_h100e_count,
        conditions.min_parties_count,
        conditions.min_jurisdictions_count,
        conditions.min_share.value,
        frozenset(conditions.required_parties),
    )
