# SPDX-License-Identifier: Apache-2.0
"""Which statements a log holds: its index, kept up to the tree, looked up in it and not believed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from pausectl.agreement.document import TYPE, Agreement
from pausectl.errors import Broken, Malformed
from pausectl.history.authority import objection
from pausectl.history.decode import Decoded, decode
from pausectl.log import marks
from pausectl.log.index import Book, Index
from pausectl.log.sequencer import Sequencer
from pausectl.wire import dsse, tile
from pausectl.wire.tile import WIDTH, Bundle


class Held:
    """The statements of one log, by id."""

    def __init__(self, index: Index, sequencer: Sequencer, agreement: Agreement, party: str) -> None:
        self._index, self._sequencer = index, sequencer
        self._agreement, self._party = agreement, party

    @property
    def book(self) -> Book:
        """How far the marks go, as far as was read."""
        return self._index.book

    def leaf(self, statement_id: str) -> int | None:
        """The first leaf with this statement to effect; the index has no checksums, so what it says is looked up."""
        with suppress(Broken):
            leaf = self._index.find(statement_id)
            if leaf is None or self._holds(leaf, statement_id):
                return leaf
        self.remake()
        return self._index.find(statement_id)

    def _holds(self, leaf: int, statement_id: str) -> bool:
        if leaf >= self._sequencer.size:
            return False
        place = Bundle(leaf // WIDTH, min(WIDTH, self._sequencer.size - leaf // WIDTH * WIDTH))
        try:
            return dsse.parse(self._sequencer.tiles.bundle(place)[leaf % WIDTH]).statement_id == statement_id
        except Malformed:
            return False

    def follow(self) -> None:
        """Bring the index up to the tree; whatever is wrong with it, a new one has not got it."""
        try:
            self._catch_up()
        except Broken:
            self.remake()

    def _catch_up(self) -> None:
        """Bring the index up to the tree, from the beginning if it is one of another tree."""
        tiles = self._sequencer.tiles
        book = self._index.book
        if book.size > tiles.size or tiles.root(book.size) != book.root:
            self._index.reset()
        start = self._index.book.size
        for bundle in tile.bundles_for(tiles.size, start):
            entries = tiles.bundle(bundle)
            first = bundle.index * WIDTH
            skipped = max(start - first, 0)
            self.enter(first + skipped, [(entry, self._effective_id(entry)) for entry in entries[skipped:]])

    def remake(self) -> None:
        """Whatever is wrong with a file that is derived, a new one has not got it."""
        self._index.reset()
        self._catch_up()

    def _effective_id(self, entry: bytes) -> str:
        decoded: Decoded = decode(entry, self._agreement.keys)
        if decoded.unknown is not None:
            return decoded.id if decoded.unknown == TYPE and decoded.id == self._agreement.digest else ""
        return "" if objection(decoded, self._agreement) else decoded.id

    def enter(self, first: int, batch: Sequence[tuple[bytes, str]]) -> None:
        """Bring the index up to the entries that now stand from `first` on."""
        if not batch:
            return
        tiles, book = self._sequencer.tiles, self._index.book
        for leaf, (entry, _) in enumerate(batch, start=first):
            book = marks.follow(book, leaf, entry, self._agreement, tiles.root, self._party)
        size = first + len(batch)
        book = replace(book, size=size, root=tiles.root(size), recent=self._sequencer.recent)
        leaves = [(statement_id, leaf) for leaf, (_, statement_id) in enumerate(batch, start=first) if statement_id]
        self._index.record(leaves, book)
