# SPDX-License-Identifier: Apache-2.0
r"""The one JSON text of a value, and the parser that accepts no other.

    {"energy_wh":415255,"facility":"north-1","flags":[true,null]}

Members sorted, no white space, integers within ±(2^53 − 1), no floats: the subset of RFC 8785 (JCS) on which every
implementation agrees. `load` accepts a text only if `dump` gives it back, so duplicate members, spare white space,
`1.0`, `-0`, `\u0041` and unsorted members are all the same error; `_why` then says which one it was.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any, NoReturn

from pausectl.errors import Malformed
from pausectl.registry import enforces

#: A JSON value: what `json.loads` builds, without floats.
Json = Any

MAX_BYTES = 65_535
MAX_DEPTH = 32
MAX_INTEGER = 2**53 - 1

# Possessive, and the closing quote optional: otherwise 32,000 escaped quotes that never close cost twelve seconds.
_STRINGS = re.compile(r'"(?:[^"\\]+|\\.)*+"?')


def dump(value: Json) -> bytes:
    """Canonical bytes of `value` (dict, list, str, int, bool, None); Malformed for what `load` would not give back."""
    _check(value, 0)
    return _write(value)


def _write(value: Json) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        raise Malformed(f"a text has no UTF-8: lone surrogate {error.object[error.start]!r}") from error


def _check(value: Json, level: int) -> None:
    if isinstance(value, dict | list | tuple) and level >= MAX_DEPTH:
        raise Malformed(f"expected JSON at most {MAX_DEPTH} levels deep")
    if isinstance(value, dict):
        for name, item in value.items():
            _name(name)
            _check(item, level + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            _check(item, level + 1)
    elif isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            raise Malformed(f"expected an integer within ±(2^53 - 1), found one of {value.bit_length()} bits")
    elif value is not None and not isinstance(value, str):
        raise Malformed(f"expected a JSON value without floats, found {type(value).__name__}")


def _name(name: object) -> None:
    """Above U+FFFF the order of code points is no longer that of UTF-16, by which JCS sorts."""
    if not isinstance(name, str):
        raise Malformed(f"member name: expected a text, found {type(name).__name__}")
    if not name.isascii() and max(name) > "\uffff":
        raise Malformed(f"member name {name[:40]!r}: expected no character above U+FFFF")


@enforces("STM-1", "STM-2")
def load(raw: bytes, *, limit: int = MAX_BYTES) -> Json:
    """Parse canonical JSON.

    [STM-1] Signed JSON MUST be canonical: UTF-8, at most 32 levels deep, members sorted by the code points of their
    names and not repeated, no name with a character above U+FFFF, no white space between tokens, and no escape where
    the character itself, a shorter escape or one in lower case may stand.

    [STM-2] A number in signed JSON MUST be an integer within ±(2^53 − 1), written without sign `+`, exponent,
    fraction or leading zero, and zero without a sign.
    """
    if len(raw) > limit:
        raise Malformed(f"expected at most {limit} bytes of JSON, found {len(raw)}")
    value = _parse(raw)
    canonical = _write(value)
    if canonical != raw:
        raise Malformed(_why(raw, canonical))
    return value


def tidy(raw: bytes, *, limit: int = 16 * MAX_BYTES) -> Json:
    """Parse JSON as a person or another tool writes it: any white space and order, all other rules of `load`.

    For drafts and configuration, never for signed bytes.
    """
    if len(raw) > limit:
        raise Malformed(f"expected at most {limit} bytes of JSON, found {len(raw)}")
    value = _parse(raw)
    _write(value)  # a lone surrogate fails here
    return value


def _parse(raw: bytes) -> Json:
    try:
        text = raw.decode("utf-8")
        _shallow(text)
        return json.loads(
            text, object_pairs_hook=_members, parse_int=_integer, parse_float=_refuse, parse_constant=_refuse
        )
    except UnicodeDecodeError as error:
        raise Malformed(f"byte {error.start}: expected UTF-8, found 0x{raw[error.start]:02x}") from error
    except json.JSONDecodeError as error:
        place = len(error.doc[: error.pos].encode())
        raise Malformed(f"byte {place}: expected JSON: {error.msg.lower()}") from error


def _shallow(text: str) -> None:
    level = 0
    for bracket in re.findall(r"[][{}]", _STRINGS.sub("", text)):
        level += 1 if bracket in "[{" else -1
        if level > MAX_DEPTH:
            raise Malformed(f"expected JSON at most {MAX_DEPTH} levels deep")


def _members(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise Malformed(f"member {twice[:40]!r} is repeated")
    for name in members:
        _name(name)
    return members


def _integer(digits: str) -> int:
    if digits == "-0" or len(digits) > 17 or abs(int(digits)) > MAX_INTEGER:
        raise Malformed(f"expected an integer within ±(2^53 - 1), found {digits[:24]}")
    return int(digits)


def _refuse(token: str) -> NoReturn:
    raise Malformed(f"expected an integer, found {token[:24]}")


def _why(raw: bytes, canonical: bytes) -> str:
    """Say where a parseable text first differs from the canonical one."""
    shorter = min(len(raw), len(canonical))
    place = next((i for i in range(shorter) if raw[i] != canonical[i]), shorter)
    found = raw[place : place + 12].decode("utf-8", "replace")
    expected = canonical[place : place + 12].decode("utf-8", "replace")
    return f"byte {place}: not canonical JSON: expected {expected!r}, found {found!r}"
