# SPDX-License-Identifier: Apache-2.0
"""What Prometheus says: its HTTP API page by page, an answer of it in a file, exposition text. No opinion.

GET /api/v1/query?query=DCGM_FI_DEV_POWER_USAGE[3600s]&time=1773114089     the samples as they were scraped
GET /api/v1/query_range?query=…&start=…&end=…&step=15                      what the server says at each step
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from pausectl.errors import Malformed, Refused, Unavailable, UsageFault
from pausectl.net.client import Client, Oversized
from pausectl.net.door import Answer

#: (labels, [(milliseconds or None where the text has no time, value)])
Found = tuple[dict[str, str], list[tuple[int | None, float]]]

#: Of one answer; where a page is more than that it is halved.
MAX_ANSWER = 8 << 20
MAX_FILE = 256 << 20
#: Points of one series that a server gives at most: 11,000.
_POINTS = 10_000
_PAGE = 3_600
_RETRIES = 4
_LONGEST_WAIT = 60.0
_NEXT = re.compile(r"[\s,]*")
_RESULT = re.compile(r'"result"\s*:\s*\[')
_LINE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?:\{(.*)\})?\s+(\S+)(?:\s+(-?[0-9.eE+]+))?(?:\s+#.*)?\s*")
_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\\n]|\\["\\n])*)"\s*(?:,|$)')


@dataclass(slots=True)
class Api:
    """One server. warnings: that it gave with its answers, which are then partial."""

    client: Client
    warnings: set[str]
    page: int = _PAGE

    def raw(self, selector: str, start: int, end: int) -> Iterator[Found]:
        """Samples as they were scraped, in (start - 1, end]: POSIX seconds."""
        now = start - 1
        while now < end:
            stop = min(now + self.page, end)
            query = {"query": f"{selector}[{stop - now}s]", "time": stop}
            if (answer := self._page(f"/api/v1/query?{urlencode(query)}")) is not None:
                yield from series(answer, self.warnings)
                now = stop

    def stepped(self, selector: str, start: int, end: int, step: float) -> Iterator[Found]:
        """What the server says at every step from start to end."""
        now = float(start)
        while now <= end:
            width = min(self.page, _POINTS * step)
            steps = int(min(width, end - now) / step)
            query = {"query": selector, "start": now, "end": now + steps * step, "step": step}
            if (answer := self._page(f"/api/v1/query_range?{urlencode(query)}")) is not None:
                yield from series(answer, self.warnings)
                now += (steps + 1) * step

    def _page(self, path: str) -> str | None:
        """The body of an answer; None if it would be too large, and pages are halved from now on."""
        where = self.client.base + path
        try:
            answer = self._patient(path)
        except Oversized:
            answer = None
        if answer is None or (answer.status == 422 and b"too many samples" in answer.body):
            if self.page == 1:
                raise Unavailable(f"expected a second of it in {MAX_ANSWER} bytes", where=where)
            self.page //= 2
            return None
        _checked(answer, where)
        try:
            return answer.body.decode()
        except UnicodeDecodeError as error:
            raise Malformed(f"expected UTF-8, byte {error.start} is not", where=where) from error

    def _patient(self, path: str) -> Answer:
        """One answer, asked for again where the server says that it is busy (429, 503), as late as it says."""
        for attempt in range(_RETRIES + 1):
            answer = self.client.get(path, max_bytes=MAX_ANSWER)
            if answer.status not in {429, 503} or attempt == _RETRIES:
                break
            wait = _after(answer.headers.get("retry-after", ""), attempt)
            if wait > _LONGEST_WAIT:
                raise Unavailable(f"busy (status {answer.status}) for {wait:.0f} s more", where=self.client.base)
            time.sleep(wait)
        return answer


def _after(text: str, attempt: int) -> float:
    """Seconds to wait: as Retry-After has it (seconds, or a date), else twice as long each time."""
    if re.fullmatch(r"[0-9]{1,9}", text.strip()):
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):  # none, or neither
        return float(1 << attempt) / 2


def _checked(answer: Answer, where: str) -> None:
    if answer.status == 200:
        return
    if 300 <= answer.status < 400:
        raise Unavailable("redirected elsewhere, and nobody goes there: give the URL that answers", where=where)
    if answer.status in {401, 403}:
        hint = "-O auth_env=NAME: the header is in that variable of the environment"
        raise Refused(f"the server wants to know who asks (status {answer.status})", where=where, hint=hint)
    try:
        told = str(json.loads(answer.body)["error"])[:200]
    except (ValueError, KeyError, TypeError):
        told = "no reason given"
    if answer.status in {400, 422}:
        raise UsageFault(f"the server refuses the question: {told}", where=where)
    raise Unavailable(f"expected status 200, found {answer.status}: {told}", where=where)


def series(text: str, warnings: set[str]) -> Iterator[Found]:
    """Every series of an answer, one at a time: what is parsed and not yet handed on is never more than one of them."""
    decoder, begun = json.JSONDecoder(), _RESULT.search(text)
    if begun is None:
        _envelope(text, warnings)
        raise Malformed("expected an answer with a result that is a list")
    place = begun.end()
    try:
        while text[place := _NEXT.match(text, place).end()] != "]":  # type: ignore[union-attr] # it matches anything
            one, place = decoder.raw_decode(text, place)
            yield _one(one)
    except (IndexError, ValueError, RecursionError) as error:  # ValueError: a number of too many digits, too
        raise Malformed(f"expected a whole answer in JSON, which breaks off or is none at character {place}") from error
    _envelope(text[: begun.end()] + text[place:], warnings)


def _envelope(text: str, warnings: set[str]) -> None:
    try:
        answer = json.loads(text)
        status, told, data = answer["status"], answer.get("warnings", []), answer.get("data", {})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Malformed("expected an answer of the Prometheus API in JSON, whole") from error
    if status != "success":
        raise Unavailable(f"the server failed: {str(answer.get('error', status))[:200]}")
    if not isinstance(told, list) or not isinstance(data, dict) or data.get("resultType") not in {"matrix", "vector"}:
        raise Malformed("expected a matrix or a vector")
    warnings.update(str(line)[:200] for line in told)
    if answer.get("isPartial"):
        warnings.add("the server calls its answer partial")


def _one(one: Any) -> Found:  # noqa: ANN401 - as JSON has it
    try:
        labels = {str(key): str(value) for key, value in one["metric"].items()}
        samples = one["values"] if "values" in one else [one["value"]] if "value" in one else []
        return labels, [(moment(when), float(value)) for when, value in samples]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise Malformed("expected a series as metric and values, each a time and a number as text") from error


def moment(seconds: float) -> int:
    """Milliseconds. ValueError if that is before 1970 or after 2200: then it is in another unit."""
    if not 0 <= seconds < 7_258_118_400:
        raise ValueError(f"expected a time in seconds since 1970, found {seconds:g}")
    return round(seconds * 1000)


def exposition(text: str, place: str) -> Iterator[Found]:
    """Every sample of exposition text, Prometheus' or OpenMetrics' (which ends in # EOF and counts in seconds)."""
    unit = 1000 if text.rstrip().endswith("# EOF") else 1
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            found = _LINE.fullmatch(line.strip())
            if found is None:
                raise ValueError('expected NAME{LABEL="…"} VALUE')  # noqa: TRY301
            name, labels, value, when = found.groups()
            named = {"__name__": name, **_labels(labels or "")}
            yield named, [(None if when is None else moment(float(when) * unit / 1000), float(value))]
        except (ValueError, OverflowError) as error:
            raise Malformed(f"expected a sample: {error}", where=f"{place}: line {number}") from error


def _labels(text: str) -> dict[str, str]:
    found, place = {}, 0
    while place < len(text.rstrip()):
        label = _LABEL.match(text, place)
        if label is None or label[1] in found:
            raise ValueError(f"labels are not what they should be at {text[place : place + 20]!r}")
        found[label[1]] = re.sub(r"\\(.)", lambda escape: "\n" if escape[1] == "n" else escape[1], label[2])
        place = label.end()
    return found


def load(path: Path) -> bytes:
    """A whole file. UsageFault if it cannot be read."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE + 1)
    except OSError as error:
        raise UsageFault(f"cannot be read: {error.strerror}", where=str(path)) from error
    if len(raw) > MAX_FILE:
        raise Malformed(f"expected at most {MAX_FILE} bytes", where=str(path))
    return raw
