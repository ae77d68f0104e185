# SPDX-License-Identifier: Apache-2.0
"""What the collectors of evaluation logs share: finding files, reading JSON that somebody else wrote, telling gaps.

Bytes that are not what they claim to be are `Malformed`, with the file and the member. A log that is sound and whose
run is no result is counted as unknown, with its reason; nothing in between.
"""

from __future__ import annotations

import json
import os
import stat
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from hashlib import file_digest
from math import isfinite
from pathlib import Path
from typing import IO, Any, BinaryIO, TypeVar

from pausectl.errors import Malformed, UsageFault

#: Of a log that is one JSON text. What Python makes of hostile JSON takes nearly thirty times its bytes.
MAX_JSON = 256 << 20
#: Of a member of an archive, which a few bytes may swell to, and of results without samples.
MAX_HEADER = 32 << 20
_NAMED = {str: "a text", int: "an integer", float: "a number", bool: "true or false", dict: "an object", list: "a list"}
_Found = TypeVar("_Found")


def files(inputs: Sequence[str], wanted: Callable[[str], bool]) -> tuple[list[tuple[Path, bool]], list[str]]:
    """(Each file and whether it was named itself, links to directories that were not followed), in a stable order."""
    found, links = dict[Path, bool](), list[str]()
    for place in map(Path, inputs):
        if not place.is_dir():
            found[place] = True
            continue
        for folder, inner, names in os.walk(place, onerror=_unreadable):
            links += [os.path.join(folder, name) for name in inner if os.path.islink(os.path.join(folder, name))]  # noqa: PTH118, PTH114  bytes of names as they are
            inner.sort()
            for name in sorted(names):
                if wanted(name):
                    found.setdefault(Path(folder, name), False)
    return list(found.items()), sorted(links)


def _unreadable(error: OSError) -> None:
    raise UsageFault(f"cannot be read: {error.strerror}", where=spelled(str(error.filename))) from error


def opened(path: Path, read: Callable[[BinaryIO, str], _Found]) -> _Found:
    """What `read(file, SHA-256 in hex)` makes of a regular file; its errors say which file it was."""
    try:
        with open(path, "rb", opener=_waitless) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UsageFault("expected a file or a directory", where=spelled(str(path)))
            digest = file_digest(file, "sha256").hexdigest()
            file.seek(0)
            return read(file, digest)
    except Malformed as error:
        raise error.at(spelled(str(path))) from error
    except OSError as error:
        raise UsageFault(f"cannot be read: {error.strerror}", where=spelled(str(path))) from error


def _waitless(name: str, flags: int) -> int:
    """A pipe that nobody writes to is refused, not waited for."""
    return os.open(name, flags | os.O_NONBLOCK)


def load(file: IO[bytes], limit: int) -> Any:  # noqa: ANN401
    """One JSON text of at most `limit` bytes, no member twice. NaN passes, as samples have it; see `decimal`."""
    raw = file.read(limit + 1)
    if len(raw) > limit:
        raise Malformed(f"expected at most {limit} bytes of JSON")
    try:
        return json.loads(raw.decode("utf-8"), object_pairs_hook=_members)
    except UnicodeDecodeError as error:
        raise Malformed(f"expected UTF-8, byte {error.start} is not") from error
    except json.JSONDecodeError as error:
        raise Malformed(f"expected JSON, whole: line {error.lineno}: {error.msg.lower()}") from error
    except (RecursionError, ValueError) as error:  # brackets without end, integers of thousands of digits
        raise Malformed("expected JSON of a sensible depth, and numbers of a sensible length") from error


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Malformed("expected no member of an object twice")
    return members


def member(value: Any, path: str, kind: type[_Found], where: str = "") -> _Found:  # noqa: ANN401
    """`value["a"]["b"]` for the path a.b, which is of that kind. Malformed if it is absent, null or of another one."""
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return checked(value, kind, f"{where}{path}")


def checked(value: Any, kind: type[_Found], place: str) -> _Found:  # noqa: ANN401
    """The value, if it is of that kind; a boolean is no integer."""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        found = "nothing" if value is None else repr(value)[:60]
        raise Malformed(f"{spelled(place)}: expected {_NAMED[kind]}, found {found}")
    return value


def count(value: Any, place: str) -> int:  # noqa: ANN401
    """An integer of at least zero."""
    if checked(value, int, place) < 0:
        raise Malformed(f"{spelled(place)}: expected an integer of at least 0, found {value}")
    return int(value)


def decimal(value: Any, place: str) -> str:  # noqa: ANN401
    """A finite number as the shortest decimal text that means it, without an exponent."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        found = "nothing" if value is None else repr(value)[:60]
        raise Malformed(f"{spelled(place)}: expected a number, found {found}")
    try:
        finite = isfinite(value)
    except OverflowError:
        finite = False
    if not finite:
        raise Malformed(f"{spelled(place)}: expected a finite number, found {str(value)[:60]}")
    return format(Decimal(repr(value)), "f")


def moment(value: Any, place: str) -> int:  # noqa: ANN401
    """POSIX seconds of an ISO 8601 time with its zone."""
    try:
        found = datetime.fromisoformat(checked(value, str, place))
        if found.tzinfo is not None:
            return int(found.timestamp() // 1)
    except (ValueError, OverflowError):
        pass
    raise Malformed(f"{spelled(place)}: expected a time with its zone, found {value[:40]!r}")


def spelled(text: str) -> str:
    """A name with what a terminal obeys, and what is no UTF-8, as JSON escapes."""
    return json.dumps(text)[1:-1]


def telling(reasons: Iterable[tuple[str, str]]) -> list[str]:
    """(reason, name) → a sentence for each reason: how many, why, and the first few by name."""
    names: Mapping[str, list[str]] = defaultdict(list)
    for reason, name in reasons:
        names[reason].append(spelled(name))
    return [
        f"{len(who)} not counted as results: {reason} ({', '.join(who[:5])}{', …' if len(who) > 5 else ''})"
        for reason, who in sorted(names.items())
    ]
