# SPDX-License-Identifier: Apache-2.0
"""in-toto Statement v1 in canonical JSON: the payload of every envelope.

    {"_type":"https://in-toto.io/Statement/v1","predicate":{…},"predicateType":"https://pausectl.dev/usage/v1",
     "subject":[{"digest":{"sha256":"9f86…"},"name":"north-1"}]}                              (one line, no spaces)

`subject` is what the claim is about, `predicate` the claim. Any in-toto tool reads it unchanged; pausectl in turn reads
only this form, and refuses unknown members, as the in-toto parsing rules allow a predicate to say.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pausectl.errors import Malformed
from pausectl.registry import enforces
from pausectl.wire.canonical import Json, dump, load

TYPE = "https://in-toto.io/Statement/v1"
MAX_SUBJECTS = 1024
_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Subject:
    """name: for people. sha256: lower-case hex digest of the thing spoken of."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Statement:
    """A claim with the bytes it was read from."""

    subjects: tuple[Subject, ...]
    predicate_type: str
    predicate: dict[str, Json]
    raw: bytes


def format(subjects: Sequence[Subject], predicate_type: str, predicate: dict[str, Json]) -> bytes:
    """Canonical statement bytes; what `parse` would refuse is refused here."""
    listed = [{"digest": {"sha256": subject.sha256}, "name": subject.name} for subject in subjects]
    raw = dump({"_type": TYPE, "predicate": predicate, "predicateType": predicate_type, "subject": listed})
    return parse(raw).raw


@enforces("STM-3", "STM-4")
def parse(raw: bytes) -> Statement:
    """The inverse of `format`.

    [STM-3] A statement MUST be an in-toto Statement v1 with exactly the members _type, predicate, predicateType and
    subject, and a predicate that is an object with at least one member.

    [STM-4] A statement MUST have between 1 and 1,024 subjects, each with a name and exactly one digest, sha256, in
    lower-case hexadecimal.
    """
    value = load(raw)
    if not isinstance(value, dict) or sorted(value) != ["_type", "predicate", "predicateType", "subject"]:
        raise Malformed("statement: expected exactly the members _type, predicate, predicateType, subject")
    if value["_type"] != TYPE:
        raise Malformed(f"_type: expected {TYPE}, found {str(value['_type'])[:60]!r}")
    if not isinstance(value["predicateType"], str) or not value["predicateType"]:
        raise Malformed("predicateType: expected a URI")
    if not isinstance(value["predicate"], dict) or not value["predicate"]:
        raise Malformed("predicate: expected an object with at least one member")
    listed = value["subject"]
    if not isinstance(listed, list) or not 1 <= len(listed) <= MAX_SUBJECTS:
        raise Malformed(f"subject: expected a list of 1 to {MAX_SUBJECTS}")
    subjects = tuple(_subject(item, f"subject[{i}]") for i, item in enumerate(listed))
    return Statement(subjects, value["predicateType"], value["predicate"], raw)


def _subject(item: object, where: str) -> Subject:
    if not isinstance(item, dict) or sorted(item) != ["digest", "name"]:
        raise Malformed("expected exactly the members digest, name", where=where)
    name, digest = item["name"], item["digest"]
    if not isinstance(name, str) or not name:
        raise Malformed("name: expected a text that is not empty", where=where)
    if not isinstance(digest, dict) or list(digest) != ["sha256"]:
        raise Malformed("digest: expected exactly the member sha256", where=where)
    if not isinstance(digest["sha256"], str) or not _HEX.fullmatch(digest["sha256"]):
        raise Malformed("sha256: expected 64 lower-case hexadecimal digits", where=where)
    return Subject(name, digest["sha256"])
