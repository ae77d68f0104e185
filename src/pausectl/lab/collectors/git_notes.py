# SPDX-License-Identifier: Apache-2.0
"""Notes of git-ai (refs/notes/ai, schema authorship/3.0.0): which lines of a commit an agent wrote, which a person.

src/a.rs
  s_48e9fed71298c0::t_9514e3978c87e3 20,165-171
  human 3
---
{"schema_version": "authorship/3.0.0", …}
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable

from pausectl.errors import Malformed

SCHEMA = "authorship/3.0.0"
#: Of one note: some carry the whole conversation.
MAX_NOTE = 16 << 20
_KINDS = (
    ("session", re.compile(rb"s_[0-9a-f]{14}::t_[0-9a-f]{14}")),
    ("human", re.compile(rb"h_[0-9a-f]+|human")),
    ("ai_agent", re.compile(rb"ai_agent")),
    ("prompt", re.compile(rb"[0-9a-f]{16}|[0-9a-f]{7}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")),
)
_RANGE = re.compile(rb"([1-9]\d{0,8})(?:-([1-9]\d{0,8}))?")


def parse(raw: bytes, counted: Callable[[bytes], bool] = lambda _: True) -> Counter[str]:
    """Lines by kind of key, those of files that count: human, and of agents session, prompt, ai_agent.

    Malformed if it is no such note, or has a key of a kind that is not known.
    """
    body, rule, tail = (b"\n" + raw).partition(b"\n---\n")
    try:
        schema = json.loads(tail)["schema_version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Malformed("note: expected attestations, a line ---, and JSON with schema_version") from error
    if not rule or schema != SCHEMA:
        raise Malformed(f"note: expected schema {SCHEMA}, found {str(schema)[:40]!r}")
    lines, inside = Counter[str](), None
    for line in body.split(b"\n"):
        if line and not line.startswith(b"  "):
            inside = counted(line.strip(b'"'))
        elif line and inside is None:
            raise Malformed(f"note: expected a path before {line[:40]!r}")
        elif line and inside:
            key, _, ranges = line[2:].partition(b" ")
            lines[_kind(key)] += sum(map(_length, ranges.split(b",")))
    return lines


def _kind(key: bytes) -> str:
    for kind, form in _KINDS:
        if form.fullmatch(key):
            return kind
    raise Malformed(f"note: expected a key of a known form, found {key[:40]!r}")


def _length(text: bytes) -> int:
    found = _RANGE.fullmatch(text.strip())
    first, last = (0, -1) if found is None else (int(found[1]), int(found[2] or found[1]))
    if last < first:
        raise Malformed(f"note: expected lines like 1-10,12, found {text[:40]!r}")
    return last - first + 1
