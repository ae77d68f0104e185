# SPDX-License-Identifier: Apache-2.0
"""Damage: of bytes, and of JSON as somebody would write it who knows the format. All of it from one `random.Random`."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from random import Random
from typing import Any

#: What parsers stumble over.
TOKENS: tuple[bytes, ...] = (
    b"", b"\x00", b"\n", b"\n\n", b"\r\n", b" ", b"\t", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xef\xbb\xbf",
    b"\\u0000",
    b"\\ud800", b'\\"', b'"', b"\\", b"{", b"}", b"[", b"]", b":", b",", b"0", b"-0", b"00", b"1e9", b"1.0", b"-1",
    b"9007199254740991", b"9007199254740992", b"-9007199254740992", b"18446744073709551616", b"9" * 40, b"9" * 5000,
    b"NaN",
    b"Infinity", b"null", b"true", b"[]", b"{}", b'""', b"=", b"==", b"+", b"/", b"-", b"_", b"\xe2\x80\x94 ",
    "\u2028".encode(), "\u202e".encode(), "é".encode(), "e\u0301".encode(), "\U0001f600".encode(), "\u0661".encode(),
    b"x001", b".p/", b".p/256", b"/../", b"%2e", b"old ", b"SHA256:", b"[" * 40, b'{"a":' * 40, b'"' + b"\\" * 63,
    b"A" * 70_000,
)  # fmt: skip

VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**53 - 1, 2**53, -(2**53), 2**63, 2**64, 10**30, 1.0, 0.5, -0.0, 1e300, "", "x",
    " ", "a b",
    "\x00", "\n", "\x1b[31m", "\u202e", "\ud800", "é", "e\u0301", "\U0001f600", "0" * 64, "f" * 64, "F" * 64,
    "A" * 70_000, [],
    {}, [[]], [None], {"a": 1}, {"": 0}, {"\U0001f600": 1}, "2026-02-30T00:00:00Z", "2026-07-06T00:00:00Z", "-1",
    "00", "0.1",
    "18446744073709551616", "AA==", "AB==", "AAA", "log.example/pause", "aurora", "pretrain", "https://pausectl.dev/usage/v1",
    "/etc/passwd", "../..", [0] * 2000, "9" * 5000,
)  # fmt: skip


def damage(rng: Random, seeds: Sequence[bytes]) -> bytes:
    """One seed with one to four small things wrong with it, most often one."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        rng.choice(_BYTES)(rng, data, seeds)
    return bytes(data)


def _flip(rng: Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _set(rng: Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data:
        data[rng.randrange(len(data))] = rng.randrange(256)


def _digit(rng: Random, data: bytearray, _: Sequence[bytes]) -> None:
    """Another digit or letter where there is one: still well-formed, and no longer true."""
    if data:
        start = rng.randrange(len(data))
        place = next((i for i in range(start, len(data)) if chr(data[i]).isalnum()), None)
        if place is not None:
            data[place] = rng.choice(b"0123456789abcdefXYZ+/")


def _insert(rng: Random, data: bytearray, _: Sequence[bytes]) -> None:
    place = rng.randrange(len(data) + 1)
    data[place:place] = rng.choice(TOKENS)


def _overwrite(rng: Random, data: bytearray, _: Sequence[bytes]) -> None:
    token = rng.choice(TOKENS)
    place = rng.randrange(len(data) + 1)
    data[place : place + len(token)] = token


def _delete(rng: Random, data: bytearray, _: Sequence[bytes]) -> None:
    place = rng.randrange(len(data) + 1)
    del data[place : place + rng.choice((1, 1, 2, 4, 16, 64))]


def _cut(rng: Random, data: bytearray, _: Sequence[bytes]) -> None:
    if rng.random() < 0.5:
        del data[rng.randrange(len(data) + 1) :]
    else:
        del data[: rng.randrange(len(data) + 1)]


def _repeat(rng: Random, data: bytearray, _: Sequence[bytes]) -> None:
    start = rng.randrange(len(data) + 1)
    part = data[start : start + rng.choice((1, 2, 8, 64, 1024))]
    data[start:start] = part * rng.choice((1, 1, 1, 2, 30, 300))


def _line(rng: Random, data: bytearray, _: Sequence[bytes]) -> None:
    """Lines lost, doubled, swapped."""
    lines = bytes(data).split(b"\n")
    first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
    what = rng.randrange(3)
    if what == 0:
        lines[first], lines[second] = lines[second], lines[first]
    elif what == 1:
        lines.insert(first, lines[second])
    else:
        del lines[first]
    data[:] = b"\n".join(lines)


def _splice(rng: Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    other = rng.choice(seeds)
    data[rng.randrange(len(data) + 1) :] = other[rng.randrange(len(other) + 1) :]


def _case(rng: Random, data: bytearray, _: Sequence[bytes]) -> None:
    place = rng.randrange(len(data) + 1)
    data[place : place + 8] = data[place : place + 8].swapcase()


_BYTES = (_flip, _flip, _set, _digit, _digit, _insert, _overwrite, _delete, _cut, _repeat, _line, _splice, _case)


def rework(rng: Random, value: Any) -> Any:
    """A copy of a JSON value with one to three of its places changed."""
    whole = [copy.deepcopy(value)]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        holder, key = rng.choice(list(_places(whole)))
        rng.choice(_TREES)(rng, holder, key, whole)
    return whole[0]


def _places(whole: list[Any]) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    waiting: list[Any] = [whole]
    while waiting and len(found) < 4000:
        holder = waiting.pop()
        pairs = list(holder.items()) if isinstance(holder, dict) else list(enumerate(holder))
        found += [(holder, key) for key, _ in pairs]
        waiting += [item for _, item in pairs if isinstance(item, dict | list)]
    return found


def _replace(rng: Random, holder: Any, key: Any, _: list[Any]) -> None:
    holder[key] = copy.deepcopy(rng.choice(VALUES))


def _nudge(rng: Random, holder: Any, key: Any, _: list[Any]) -> None:
    """The same kind of value, a little different."""
    item = holder[key]
    if isinstance(item, bool):
        holder[key] = not item
    elif isinstance(item, int):
        holder[key] = item + rng.choice((-1, 1, 2**32, -(2**53), 2**53))
    elif isinstance(item, str) and item:
        place = rng.randrange(len(item))
        holder[key] = (
            item[:place] + rng.choice(("", "0", "a", "Z", " ", "\u202e", "é")) + item[place + rng.randrange(2) :]
        )
    elif isinstance(item, list):
        rng.shuffle(item)


def _remove(rng: Random, holder: Any, key: Any, whole: list[Any]) -> None:
    if holder is not whole:
        holder.pop(key)


def _rename(rng: Random, holder: Any, key: Any, _: list[Any]) -> None:
    if isinstance(holder, dict):
        name = rng.choice((key.upper(), key + "s", "", "x", "\u202e", "__proto__", rng.choice(list(holder))))
        holder[name] = holder.pop(key)


def _double(rng: Random, holder: Any, key: Any, whole: list[Any]) -> None:
    if isinstance(holder, list) and holder is not whole:
        holder[key:key] = [copy.deepcopy(holder[key])] * rng.choice((1, 1, 2, 40))


def _graft(rng: Random, holder: Any, key: Any, whole: list[Any]) -> None:
    """Something from elsewhere in the same document."""
    other, place = rng.choice(_places(whole))
    holder[key] = copy.deepcopy(other[place])


_TREES = (_replace, _replace, _nudge, _nudge, _remove, _rename, _double, _graft)


def write(rng: Random, value: Any) -> bytes:
    """Most often as canonical as the value allows; sometimes as another writer would."""
    style = rng.randrange(12)
    if style == 0:
        raw = json.dumps(value, indent=1)
    elif style == 1:
        raw = json.dumps(value, separators=(",", ":"), sort_keys=True)  # \u escapes
    elif style == 2:
        raw = json.dumps(value, separators=(",", ":"), ensure_ascii=False)  # unsorted, if the value is
    else:
        raw = json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    return raw.encode("utf-8", "surrogatepass")
