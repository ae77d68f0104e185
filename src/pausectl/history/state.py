# SPDX-License-Identifier: Apache-2.0
"""A history put down and taken up again, so that verifying twice costs what is new.

What is saved is the fold before the head's implicit mark: taken up again under a later head it gives what a replay
of the whole ledger gives, byte for byte. Statements are saved as their own bytes and read again by the same reader.
A saved state is the user's own file; it is used only on a tree that is consistent with the checkpoint it was made from.
"""

from __future__ import annotations

from array import array
from typing import Any

from pausectl.agreement.lifecycle import Event, Happening
from pausectl.errors import Malformed
from pausectl.history.decode import Decoded, rebuild
from pausectl.history.handed import Given, Handed, Receipts, Series
from pausectl.history.reader import sight
from pausectl.history.records import Filed, LabBook, LabRecord, Problem, RunRecord, Trouble, Twin, WindowBook
from pausectl.history.replay import History
from pausectl.history.streams import Stream
from pausectl.predicates import base
from pausectl.predicates.base import Header, Predicate
from pausectl.wire.keys import base64, unbase64

VERSION = 2
_BY_FACILITY = ("usage", "inventory", "energy")
_LISTS = ("capability", "corrections", "runs", "models")


def dump(history: History) -> dict[str, Any]:
    """JSON-able snapshot of a history to which `finish` was not applied yet."""
    return {
        "version": VERSION,
        "size": history.size,
        "founded": history.founded,
        "settled": history.settled,
        "available": history.available,
        "marked": history.marked.raw.decode() if history.marked else None,
        "covered": history.covered,
        "problems": [[p.trouble, p.index, p.message, p.party, p.proven, p.statement, p.due] for p in history.problems],
        "twins": [[t.party, t.stream, t.sequence, t.first, t.second] for t in history.twins],
        "streams": [[party, name, *_stream(stream)] for (party, name), stream in history.streams.known.items()],
        "accessions": {lab: _all(filed) for lab, filed in history.standing.accessions.items()},
        "happenings": {
            track: [[h.window, h.index, h.event, h.term_windows] for h in happened]
            for track, happened in history.standing.happenings.items()
        },
        "records": {lab: _record(record) for lab, record in history.records.items()},
        "windows": [[number, _window(book)] for number, book in history.windows.items()],
        "receipts": _receipts(history.receipts),
        "waiting": [[index, *_decoded(entry)] for index, entry in history.waiting],
        "bad_marks": list(history.bad_marks.items()),
    }


def load(saved: dict[str, Any], history: History) -> None:
    """Put a snapshot into a new history; Malformed if it is no snapshot."""
    try:
        if saved["version"] != VERSION:
            raise Malformed(f"state: expected version {VERSION}, found {saved['version']}")
        _load(saved, history)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise Malformed(f"state: not one that this release saved ({type(error).__name__})") from error


def _load(saved: dict[str, Any], history: History) -> None:
    history.size, history.books.settled, history.founded = saved["size"], saved["settled"], saved["founded"]
    history.marked = sight(saved["marked"].encode(), history.agreement) if saved["marked"] else None
    history.available = tuple(saved["available"]) if saved["available"] else None
    history.covered = saved["covered"]
    history.problems = [Problem(Trouble(trouble), *rest) for trouble, *rest in saved["problems"]]
    history.twins = [Twin(*twin) for twin in saved["twins"]]
    for party, name, *stream in saved["streams"]:
        history.streams.known[party, name] = _unstream(*stream)
        if history.streams.known[party, name].hole is not None:
            history.streams.torn.add((party, name))
    history.standing.accessions = {lab: _unall(filed) for lab, filed in saved["accessions"].items()}
    history.standing.happenings = {
        track: [Happening(window, index, Event(event), term) for window, index, event, term in happened]
        for track, happened in saved["happenings"].items()
    }
    history.records |= {lab: _unrecord(record) for lab, record in saved["records"].items()}
    history.windows |= {number: _unwindow(book) for number, book in saved["windows"]}
    _unreceipts(saved["receipts"], history.receipts)
    history.waiting = [(index, _undecoded(*entry)) for index, *entry in saved["waiting"]]
    history.bad_marks = dict(saved["bad_marks"])


def _stream(stream: Stream) -> tuple[Any, ...]:
    ahead = [[number, prefix.hex(), leaf] for number, (prefix, leaf) in stream.ahead.items()]
    return base64(bytes(stream.ids)), base64(stream.leaves.tobytes()), ahead, stream.beyond


def _unstream(ids: str, leaves: str, ahead: list[Any], beyond: int | None) -> Stream:
    known = array("Q")
    known.frombytes(unbase64(leaves))
    return Stream(bytearray(unbase64(ids)), known, {n: (bytes.fromhex(p), leaf) for n, p, leaf in ahead}, beyond)


def _filed(filed: Filed[Any]) -> list[Any]:
    return [filed.index, filed.id, base.write(filed.claim).decode(), filed.not_yet, filed.by]


def _unfiled(index: int, statement_id: str, payload: str, not_yet: int | None, by: int) -> Filed[Any]:
    claim = base.read(payload.encode())
    if not isinstance(claim, Predicate):
        raise Malformed("state: a statement of unknown type")
    return Filed(index, statement_id, claim, not_yet, by)


def _all(filings: list[Filed[Any]]) -> list[Any]:
    return [_filed(filed) for filed in filings]


def _unall(saved: list[Any]) -> list[Filed[Any]]:
    return [_unfiled(*filed) for filed in saved]


def _record(record: LabRecord) -> dict[str, Any]:
    return {
        "runs": {run: [_all(r.registered), _all(r.closed), r.booked_gflop] for run, r in record.runs.items()},
        "models": {root: _filed(filed) for root, filed in record.models.items()},
        "evaluated": record.evaluated,
        "last_inventory": {facility: _filed(filed) for facility, filed in record.last_inventory.items()},
    }


def _unrecord(saved: dict[str, Any]) -> LabRecord:
    return LabRecord(
        {
            run: RunRecord(_unall(registered), _unall(closed), booked)
            for run, (registered, closed, booked) in saved["runs"].items()
        },
        {root: _unfiled(*filed) for root, filed in saved["models"].items()},
        dict(saved["evaluated"]),
        {facility: _unfiled(*filed) for facility, filed in saved["last_inventory"].items()},
    )


def _window(book: WindowBook) -> dict[str, Any]:
    return {
        "labs": {
            lab: {name: {f: _all(filed) for f, filed in getattr(each, name).items()} for name in _BY_FACILITY}
            | {name: _all(getattr(each, name)) for name in _LISTS}
            for lab, each in book.labs.items()
        },
        "closes": {party: _all(filed) for party, filed in book.closes.items()},
    }


def _unwindow(saved: dict[str, Any]) -> WindowBook:
    labs = {}
    for lab, each in saved["labs"].items():
        books: dict[str, Any] = {name: {f: _unall(filed) for f, filed in each[name].items()} for name in _BY_FACILITY}
        books |= {name: _unall(each[name]) for name in _LISTS}
        labs[lab] = LabBook(**books)
    return WindowBook(labs, {party: _unall(filed) for party, filed in saved["closes"].items()})


def _receipts(receipts: Receipts) -> dict[str, Any]:
    return {
        "known": [
            [name, handed.of.model_dump(mode="json"), list(handed.receipts.items())]
            for name, handed in receipts.known.items()
        ],
        "until": receipts.until,
        "series": [[party, list(s.numbers), list(s.times), s.closed] for party, s in receipts.series.items()],
    }


def _unreceipts(saved: dict[str, Any], receipts: Receipts) -> None:
    for name, of, given in saved["known"]:
        receipts.known[name] = Handed(Header.model_validate(of), {party: Given(*each) for party, each in given})
    receipts.until.update(saved["until"])
    for party, numbers, times, closed in saved["series"]:
        pairs = [(count, end) for count, end in closed]
        receipts.series[party] = Series(array("q", numbers), array("q", times), pairs)


def _decoded(entry: Decoded) -> list[Any]:
    return [entry.id, entry.payload.decode(), entry.signers, entry.keyids, entry.unknown, entry.trouble, entry.message]


def _undecoded(
    statement_id: str,
    payload: str,
    signers: list[str],
    keyids: list[str],
    unknown: str | None,
    trouble: str | None,
    message: str,
) -> Decoded:
    kind = Trouble(trouble) if trouble is not None else None
    return rebuild(statement_id, payload.encode(), tuple(signers), tuple(keyids), unknown, kind, message)
