# SPDX-License-Identifier: Apache-2.0
"""A witness behind a URL, as `panel` asks for one: C2SP tlog-witness add-checkpoint, over HTTP."""

from __future__ import annotations

import weakref

from pausectl.errors import Malformed, Refused, Unavailable
from pausectl.log.publish import Contradicted, Named
from pausectl.net.client import Client
from pausectl.net.door import Answer, line
from pausectl.registry import enforces
from pausectl.wire import witness

#: Of an answer: a hundred lines of ML-DSA-44 are more, but who would send them has another idea of us.
MAX_ANSWER = 65_536


def http_witness(url: str, *, timeout: float = 10.0) -> Named:
    """The witness whose submission prefix is `url`. timeout: seconds for one request, all in all.

    Its connections are closed when nobody has it any more.
    """
    client = Client(url.rstrip("/"), timeout=timeout)

    def ask(request: bytes) -> bytes:
        return judge(client.post(f"/{witness.ADD_CHECKPOINT_PATH}", request, max_bytes=MAX_ANSWER))

    weakref.finalize(ask, client.close)
    return Named(url, ask, far=True)


@enforces("WIT-7")
def judge(answer: Answer) -> bytes:
    """The body of an answer 200 or 409; Contradicted, Refused or Unavailable for any other.

    [WIT-7] A log MUST take an answer 409 without a size, and an answer 422, as a sign that its witness knows another
    history of it.
    """
    if answer.status == 200:
        return answer.body
    if answer.status == 409:
        if answer.type.partition(";")[0].strip() == witness.SIZE_TYPE:
            try:
                witness.parse_conflict(answer.body)
            except Malformed as error:
                raise Contradicted(f"answered 409 and no size, as to a second tree of one size: {error}") from error
            return answer.body
        raise Contradicted("answered 409 and no size, as to a second tree of one size")
    said = line(answer.body[:200].decode(errors="replace").strip()).decode().strip()
    if answer.status == 422:
        raise Contradicted(f"answered 422, does not find that this tree extends what it cosigned: {said}")
    raise (Unavailable if answer.status >= 500 or answer.status == 429 else Refused)(
        f"answered {answer.status}: {said}"
    )
