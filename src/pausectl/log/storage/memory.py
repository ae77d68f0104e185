# SPDX-License-Identifier: Apache-2.0
"""A store in memory, for trials and simulations: it keeps every promise but the one about power."""

from __future__ import annotations

from threading import Lock

from pausectl.errors import Refused, Unavailable
from pausectl.log.storage.seams import Absent, Store


class MemoryObjects:
    """Objects in a dictionary; of several threads, since several logs may be given one store."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}

    def put(self, path: str, data: bytes, *, afresh: bool = False) -> None:  # noqa: ARG002 - a dictionary is never stale
        """Create an object."""
        if self._blobs.setdefault(path, bytes(data)) != data:
            raise Refused("expected the bytes that are to be written, or no object", where=path)

    def get(self, path: str) -> bytes:
        """The whole object."""
        try:
            return self._blobs[path]
        except KeyError as error:
            raise Absent("no such object in this log", where=path) from error

    def discard(self, path: str) -> None:
        """Forget it."""
        self._blobs.pop(path, None)


class MemoryHead:
    """A register in a variable. value: None for one that is missing."""

    def __init__(self, value: bytes | None = b"") -> None:
        self._value = value
        self._lock = Lock()

    def read(self) -> bytes:
        """The value."""
        if self._value is None:
            raise Unavailable("the register is missing")
        return self._value

    def swap(self, old: bytes, new: bytes) -> None:
        """Compare and set, under a lock."""
        with self._lock:
            if self.read() != old:
                raise Refused("the register has another value than the one to be replaced")
            self._value = bytes(new)


def store(*, registers: bool = True) -> Store:
    """A new, empty store; without its registers it is one that lost them."""
    value = b"" if registers else None
    return Store(MemoryObjects(), MemoryObjects(), MemoryHead(value), MemoryHead(value))
