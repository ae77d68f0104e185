# SPDX-License-Identifier: Apache-2.0
"""The few kinds of value that signed documents are made of.

    "2026-07-06T00:00:00Z"   "north-1"   {"denominator":100,"numerator":40}   "0.7784"   "9f86d081…"   4725000

Fields of a model stand in alphabetical order, because then pydantic's serialiser writes canonical JSON by itself and a
round trip costs microseconds (`predicates.base.read`); a test of the house keeps them so.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from fractions import Fraction
from functools import lru_cache
from typing import Annotated
from unicodedata import ucd_3_2_0 as unicode

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from pausectl.wire.canonical import MAX_INTEGER


class Model(BaseModel):
    """Frozen, strict, closed: no coercion, no unknown member, no float (specs/header.md, STM-5)."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False, defer_build=True)


_UNFIT = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"})


def _text(value: str) -> str:
    """Unicode 3.2 (as RFC 3454 has it) and not this Python's own, so that no reader knows characters others do not."""
    if value.isascii():
        if not value.isprintable():
            raise ValueError("text has a control character")
        return value
    if unicode.normalize("NFC", value) != value:
        raise ValueError("text is not in Unicode normal form C")
    if any(unicode.category(c) in _UNFIT and c != " " for c in value):
        raise ValueError("text has a control, format, bidirectional or unassigned character, or a space but U+0020")
    return value


_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?!24)[0-9]{2}:[0-9]{2}:[0-9]{2}Z")  # Python 3.14 reads an hour 24


def _instant(value: str) -> str:
    seconds(value)
    return value


def _u64(value: str) -> str:
    if int(value) >= 1 << 64:
        raise ValueError("expected at most 2^64 - 1")
    return value


@lru_cache(maxsize=65_536)
def seconds(instant: str) -> int:
    """POSIX seconds of an RFC 3339 UTC instant with whole seconds and a Z; ValueError for any other text."""
    if not _INSTANT.fullmatch(instant):
        raise ValueError("expected an instant like 2026-07-06T00:00:00Z")
    return int(datetime.fromisoformat(instant).timestamp())


@lru_cache(maxsize=65_536)
def instant(posix_seconds: int) -> str:
    """The inverse of `seconds`."""
    return datetime.fromtimestamp(posix_seconds, UTC).replace(tzinfo=None).isoformat() + "Z"


#: An identifier from a registry: lower-case ASCII, so that no two look alike.
Id = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$")]
#: A stream: a kind, and the facility where there is one per facility.
StreamName = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,32}(?:/[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?)?$")]
#: Lower-case hex of 32 bytes.
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
#: Words for people; never parsed.
Text = Annotated[str, StringConstraints(min_length=1, max_length=2000), AfterValidator(_text)]
#: A name: short, printable, for people.
Name = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_text)]
#: RFC 3339, UTC, whole seconds.
Instant = Annotated[str, StringConstraints(min_length=20, max_length=20), AfterValidator(_instant)]
#: A decimal number as text, for scores and bounds.
Decimal = Annotated[str, StringConstraints(pattern=r"^-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,18})?$")]
#: An unsigned 64-bit sum as text: 2^53 mJ is only 2.5 GWh.
BigCount = Annotated[str, StringConstraints(pattern=r"^(?:0|[1-9][0-9]{0,19})$"), AfterValidator(_u64)]
#: A count or quantity; the unit is in the name of the field.
Count = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
Positive = Annotated[int, Field(ge=1, le=MAX_INTEGER)]
Signed = Annotated[int, Field(ge=-MAX_INTEGER, le=MAX_INTEGER)]


class Ratio(Model):
    """A measured or agreed real number."""

    denominator: Positive
    numerator: Count

    @property
    def value(self) -> Fraction:
        """Exactly what it says."""
        return _fraction(self.numerator, self.denominator)


@lru_cache(maxsize=4096)
def _fraction(numerator: int, denominator: int) -> Fraction:
    return Fraction(numerator, denominator)


class Span(Model):
    """A reporting window as statements name it: half-open, `[start_at, end_at)`."""

    end_at: Instant
    start_at: Instant


def describe(error: ValidationError) -> str:
    """The first complaint of pydantic in our words: place, and what was expected."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    complaint = str(first["msg"]).removeprefix("Value error, ").replace("Input should be", "expected")
    return f"{place}: {complaint[:1].lower()}{complaint[1:]}" if place else complaint
