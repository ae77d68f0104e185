# SPDX-License-Identifier: Apache-2.0
"""Handing a statement to a log over HTTP until it gives a receipt, or a reason.

    submit("https://log.example", entry, wait=60)      the bytes of a .tlog-proof

Nothing that the log answers is believed here: `history.receipt.check` says what the receipt is worth.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from pausectl.errors import Refused, Unavailable
from pausectl.net.client import Client
from pausectl.net.door import Answer, line
from pausectl.wire import proof

#: Status codes after which the same request may well be answered otherwise.
_LATER = frozenset({429, 502, 503, 504})
_TIMEOUT_SECONDS = 30.0
_LONGEST_PAUSE = 30
_PAUSE = 2

#: Told how many seconds it waits before it tries again, and why.
Tell = Callable[[int, str], object]


def submit(
    url: str, entry: bytes, *, wait: float, tell: Tell = lambda _pause, _why: None, path: str = "/add",
    who: str = "the log",
) -> bytes:  # fmt: skip
    """POST an entry to the log at `url`, again when it says later or nothing; its answer, which nobody has checked.

    wait: seconds after which no new attempt begins. Handing in again is safe: a log holds each statement once. who: an
    intake party answers in the same way. Refused with what is said against it; Unavailable if it was still "later" in
    the end.
    """
    client = Client(url.rstrip("/"), timeout=_TIMEOUT_SECONDS)
    last = time.monotonic() + wait
    try:
        while True:
            try:
                answer = client.post(path, entry, type="application/json", max_bytes=proof.MAX_BYTES)
                trouble, pause = _trouble(answer), _pause(answer)
            except Unavailable as error:
                answer, trouble, pause = None, str(error), _PAUSE
            if answer is not None and answer.status == 200:
                return answer.body
            if answer is not None and answer.status not in _LATER:
                raise Refused(f"{who} answered {trouble}", where=url)
            if time.monotonic() + pause > last:
                raise Unavailable(
                    f"gave up after {wait:g} seconds: {trouble}", where=url, hint="hand it in again later"
                )
            tell(pause, trouble)
            time.sleep(pause)
    finally:
        client.close()


def _trouble(answer: Answer) -> str:
    said = answer.body[:500].decode("utf-8", "replace").partition("\n")[0]
    return f"{answer.status}: {line(said).decode().strip()}"


def _pause(answer: Answer) -> int:
    said = answer.headers.get("retry-after", "")
    return max(1, min(int(said), _LONGEST_PAUSE)) if said.isascii() and said.isdigit() and len(said) < 6 else _PAUSE
