# SPDX-License-Identifier: Apache-2.0
"""What a log asks of the place where it lies: immutable objects, and registers of one value.

    store.staging.put("2-5f0f…", bundle)     what a commit will write, whole, before anything is decided
    store.head.swap(old, signed)             the decision
    store.objects.put("tile/0/000.p/2", …)   what readers fetch
    store.public.swap(shown, signed)         what readers begin with

The head register is trusted: whoever can set it back can make the log sign two histories. The rest is not: whoever
changes it can at most make the log stop (the division is Sunlight's). `pausectl.sim.check_store` asks any store whether
it keeps these promises.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pausectl.errors import Unavailable


class Absent(Unavailable):
    """The store answered, and there is nothing under this name; any other Unavailable says nothing about that."""


class Objects(Protocol):
    """Immutable blobs by path: tiles and bundles, and elsewhere the staged ones.

    Durability: when `put` returns, the blob and the path to it survive a power cut; an object of which `put` did not
    return may be there, whole, or not, and may still come. Concurrency: any number of writers and readers, who see an
    object whole or not at all; what was put or discarded is so for everybody. Retry: every call may be repeated after
    any error or crash. An error is an OSError or a PausectlError, and never means that a different object was written.
    """

    def put(self, path: str, data: bytes, *, afresh: bool = False) -> None:
        """Create an object. The same bytes again change nothing; Refused for others.

        afresh: write it even so, where that it can be read does not show that it is durable.
        """

    def get(self, path: str) -> bytes:
        """The whole object; Absent if there is none, Unavailable if nobody can say."""

    def discard(self, path: str) -> None:
        """Remove an object, which may be gone already. It may come back after a power cut."""


class Head(Protocol):
    """A register with one value; for the head the newest checkpoint that was signed, and b"" before there is one.

    Durability: when `swap` returns, the value survives a power cut; if it does not return, the value is the old or the
    new one, or may still become the new one. Concurrency: linearizable among any number of processes; of two that swap
    the same old value for different new ones, one fails. Retry: `swap(x, x)` is allowed, and makes a value durable that
    was read after a crash. A register is never made by reading or swapping: one that is missing was lost.
    """

    def read(self) -> bytes:
        """The value; Unavailable if there is no register."""

    def swap(self, old: bytes, new: bytes) -> None:
        """Make `new` the value if it is `old`; Refused, with nothing changed, if it is another."""


def _nothing() -> None:
    """There is nothing to do."""


@dataclass(frozen=True, slots=True)
class Store:
    """All that a log needs. public: the register of the published checkpoint, b"" before there is one.

    exclusive: a lock keeps everybody else from writing, so that whoever loses a swap was lied to and ends.
    clear: removes what was staged and never decided; only where the store is exclusive. close: lets connections go.
    """

    objects: Objects
    staging: Objects
    head: Head
    public: Head
    exclusive: bool = False
    clear: Callable[[], None] = _nothing
    close: Callable[[], None] = _nothing


class Backend(Protocol):
    """What a module makes of a URL: one log's part of a database, of a bucket, or of whatever else there is."""

    def objects(self, folder: str) -> Objects:
        """Objects of which all paths are below `folder`."""

    def register(self, name: str) -> Head:
        """A register; it need not be there."""

    def create(self, *registers: str) -> None:
        """Make what a log needs here, and these registers as the last of it; Refused if there is one of them."""

    def close(self) -> None:
        """Let connections go."""
