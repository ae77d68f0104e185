# SPDX-License-Identifier: Apache-2.0
"""The access log: one line of JSON for each request, with no body, no query and no header in it.

{"time":"2026-07-06T00:00:00Z","client":"192.0.2.7","method":"POST","path":"/add","status":200,"bytes":913,"ms":12.4}
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

#: Takes whole lines, several at a time.
Write = Callable[[str], object]

_SHOWN = 256


@dataclass(slots=True)
class Line:
    """Of one request: whose it was, what was asked, and what became of it."""

    client: str
    method: str
    path: str
    status: int = 0
    bytes: int = 0
    seconds: float = 0.0
    error: str = ""

    def text(self, now: float) -> str:
        """As it is written: JSON escapes whatever a stranger put into the path, and too long a one is cut."""
        entry = {
            "time": _time(int(now)),
            "client": self.client[:_SHOWN],
            "method": self.method[:_SHOWN],
            "path": self.path[:_SHOWN],
            "status": self.status,
            "bytes": self.bytes,
            "ms": round(self.seconds * 1000, 1),
        }
        if self.error:
            entry["error"] = self.error
        return json.dumps(entry, separators=(",", ":")) + "\n"


def remark(text: str) -> str:
    """A line of the log that is about no request."""
    return json.dumps({"time": _time(int(time.time())), "message": text}, separators=(",", ":")) + "\n"


def to_stderr(lines: str) -> None:
    """Write where a supervisor keeps it; one that has gone must not end the server."""
    try:
        sys.stderr.write(lines)
        sys.stderr.flush()
    except (OSError, ValueError):
        pass


@lru_cache(maxsize=2)
def _time(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))
