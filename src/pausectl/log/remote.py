# SPDX-License-Identifier: Apache-2.0
"""A witness behind a URL, as `publish` asks for one: C2SP tlog-witness add-checkpoint, over HTTP."""

from __future__ import annotations

from pausectl.errors import Refused, Unavailable
from pausectl.log.publish import Witness
from pausectl.net.client import Client
from pausectl.net.door import line

_MOST = 65_536


def witness(url: str, *, timeout: float = 10.0) -> Witness:
    """The witness whose submission prefix is `url`. timeout: seconds for one request, all in all."""
    client = Client(url.rstrip("/"), timeout=timeout)

    def ask(request: bytes) -> bytes:
        answer = client.post("/add-checkpoint", request, max_bytes=_MOST)
        if answer.status in (200, 409):
            return answer.body
        kind = Unavailable if answer.status >= 500 else Refused
        said = line(answer.body[:200].decode(errors="replace").strip()).decode().strip()
        raise kind(f"answered {answer.status}: {said}", where=url)

    return ask
