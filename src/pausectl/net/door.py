# SPDX-License-Identifier: Apache-2.0
"""What a server answers, without a server: a request, an answer, and the doors that lead from one to the other.

    Door("GET", "/checkpoint", lambda request: Answer(200, log.checkpoint), inline=True)
    Door("POST", "/add", add, max_body=65_535, party=lambda request: request.client)

A room's `doors()` can be called by a test as it is. `net.serve` adds what the network needs: limits, times, a record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

from pausectl.errors import Forged, Malformed, PausectlError, Refused, Unavailable, UsageFault

TEXT = "text/plain; charset=utf-8"
OCTETS = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Request:
    """What came in. path: decoded, with its `/`. client: the address it came from. headers: names in lower case."""

    method: str
    path: str
    query: str = ""
    body: bytes = b""
    client: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes out, or what `net.client` was answered. type: of the body. headers: any others."""

    status: int
    body: bytes = b""
    type: str = TEXT
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Request], "Answer | Future[Answer]"]


class Busy(Unavailable):
    """Too much to do just now: 503, and after how many seconds to come again."""

    def __init__(self, message: str, *, after: int = 1) -> None:
        super().__init__(message)
        self.after = after


class Throttled(Refused):
    """One party asks for more than its share: 429, and after how many seconds to come again."""

    def __init__(self, message: str, *, after: int = 1) -> None:
        super().__init__(message)
        self.after = after


#: Subclasses before their bases; everything else is 500.
_STATUS: tuple[tuple[type[PausectlError], int], ...] = (
    (Throttled, 429), (Malformed, 400), (UsageFault, 400), (Forged, 403), (Refused, 403), (Unavailable, 503),
)  # fmt: skip


def status_of(error: PausectlError) -> int:
    """The status that answers an error, unless a door knows better."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def refusal(error: PausectlError, status: int) -> Answer:
    """An error as an answer: one line of ASCII, and nothing about this machine where the fault is ours."""
    text = str(error) if status < 500 else error.message  # `where` of our own faults is a path of ours
    if status == 500:
        text = "internal error"
    after = {"retry-after": str(error.after)} if isinstance(error, Busy | Throttled) else {}
    return Answer(status, line(text), headers=after)


def line(text: str) -> bytes:
    """One line of ASCII, whatever was quoted in it."""
    return text.encode("unicode_escape") + b"\n"


@dataclass(frozen=True, slots=True)
class Door:
    """One thing that a server answers.

    path: exact, or a prefix that ends in "/", and then the request has the whole. handle: a PausectlError that it
    raises becomes the status that `status` says; it is called in a thread, or on the event loop if it is `inline`, and
    must be quick then. max_body: bytes; more is 413. party: whom a rate limit counts against; None does not limit,
    and reads never are.
    """

    method: str
    path: str
    handle: Handler
    max_body: int = 0
    inline: bool = False
    party: Callable[[Request], str] | None = None
    status: Callable[[PausectlError], int] = status_of
