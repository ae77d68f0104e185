# SPDX-License-Identifier: Apache-2.0
"""What every claim has in common, and the one way to read a claim.

    {"header":{"agreement":"5b0c…","log":"log.example/pause","party":"aurora","sequence":3,"stream":"usage/north-1",
     "window":{"end_at":"2026-07-13T00:00:00Z","start_at":"2026-07-06T00:00:00Z"}},…}

A predicate is a frozen model whose fields stand in alphabetical order, so that its serialiser writes canonical JSON:
`read` parses and writes back, and takes the bytes only if they are the same (a few microseconds; the strict parsers of
`wire/` only explain what was wrong). A new type is one module with one class and one `@predicate` line; its spec page
is specs/predicates/<name>.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from pydantic import Field as Member
from pydantic import ValidationError, create_model

from pausectl.agreement.types import Count, Digest, Id, Model, Name, Span, StreamName, describe
from pausectl.errors import Malformed
from pausectl.registry import enforces, register
from pausectl.wire import canonical, statement
from pausectl.wire.statement import Subject

PREFIX = "https://pausectl.dev/"

#: F-14: the closed list of what an accelerator can be doing.
Category = Literal[
    "pretrain", "posttrain_sft", "rl_rollout", "rl_update", "eval", "datagen", "distill", "inference_external",
    "inference_internal", "research_small", "idle", "maintenance", "sealed", "leased_out",
]  # fmt: skip
TRAINING: frozenset[Category] = frozenset({"pretrain", "posttrain_sft", "rl_rollout", "rl_update", "distill"})
IDLE: frozenset[Category] = frozenset({"idle", "maintenance", "sealed", "leased_out"})
Precision = Literal["bf16", "fp8", "int8", "fp4"]


class Header(Model):
    """Which agreement and log, who speaks, in which stream, as which number, about which window (or none).

    agreement: id of the agreement. log: origin. sequence: 0, 1, 2 … for each party and stream.
    """

    agreement: Digest
    log: Name
    party: Id
    sequence: Count
    stream: StreamName
    window: Span | None


class Head(Model):
    """How many statements a stream holds, said by whoever must know: its hidden tail is a gap."""

    count: Count
    party: Id
    stream: StreamName


class Predicate(Model):
    """Base of all types.

    name: the last part but one of the type URI. role: who may say it; a body's id where several must sign. stream: the
    kind of stream it belongs in. per_facility: whether the stream's name carries the facility. windowed: whether it
    speaks about one window.
    """

    name: ClassVar[str]
    role: ClassVar[str]
    stream: ClassVar[str]
    per_facility: ClassVar[bool] = False
    windowed: ClassVar[bool] = False

    if TYPE_CHECKING:  # each type declares it in its alphabetical place; an inherited field would come first
        header: Header

    @classmethod
    def type_uri(cls) -> str:
        """The predicateType."""
        return f"{PREFIX}{cls.name}/v1"

    def subject(self) -> Subject:
        """What the claim is about; the agreement, unless the type has something of its own."""
        return Subject("agreement", self.header.agreement)

    def stream_name(self) -> str:
        """The stream this statement must stand in."""
        return f"{self.stream}/{self.facility}" if self.per_facility else self.stream  # type: ignore[attr-defined]


P = TypeVar("P", bound=type[Predicate])


def predicate(cls: P) -> P:
    """Enter a type into the registry, and build its statement model once."""
    register("predicate", cls.type_uri(), cls)
    _readers[cls.type_uri().encode()] = _Reader(cls)
    return cls


class _Digests(Model):
    sha256: Digest


class _Subject(Model):
    digest: _Digests
    name: Name


class _Reader:
    """Validator and serialiser of one statement type; pydantic builds both in Rust, when first used."""

    def __init__(self, cls: type[Predicate]) -> None:
        self.cls = cls
        self._model: Any = None

    def model(self) -> Any:  # noqa: ANN401
        """The statement model: _type, predicate, predicateType, subject, in that (alphabetical) order."""
        if self._model is None:
            members: dict[str, Any] = {
                "type_": (Literal["https://in-toto.io/Statement/v1"], Member(alias="_type")),
                "predicate": (self.cls, ...),
                "predicateType": (Literal[self.cls.type_uri()], ...),
                "subject": (tuple[_Subject], ...),
            }
            self._model = create_model(f"{self.cls.__name__}Statement", __base__=Model, **members)
        return self._model

    def fast(self, payload: bytes) -> Predicate | None:
        """The predicate of canonical bytes, or None."""
        model = self.model()
        if len(payload) > canonical.MAX_BYTES:
            return None
        try:
            value = model.__pydantic_validator__.validate_json(payload)
        except ValidationError:
            return None
        if model.__pydantic_serializer__.to_json(value, by_alias=True) != payload or not _coherent(value):
            return None
        predicate: Predicate = value.predicate
        return predicate


def _coherent(value: Any) -> bool:  # noqa: ANN401
    claim: Predicate = value.predicate
    expected, found = claim.subject(), value.subject[0]
    header = claim.header
    return (
        found.name == expected.name
        and found.digest.sha256 == expected.sha256
        and header.stream == claim.stream_name()
        and (header.window is not None) == claim.windowed
    )


@dataclass(frozen=True, slots=True)
class UnknownType:
    """A well-formed statement of a type this release does not know."""

    predicate_type: str


_MARK = b'"predicateType":"'
_readers: dict[bytes, _Reader] = {}


def read(payload: bytes) -> Predicate | UnknownType:
    """The claim in statement bytes; an unknown type is an answer too. Malformed says which member is wrong."""
    start = payload.rfind(_MARK) + len(_MARK)
    reader = _readers.get(payload[start : payload.find(b'"', start)])
    claim = reader.fast(payload) if reader else None
    return claim if claim is not None else explain(payload)


def again(payload: bytes) -> Predicate:
    """The claim in bytes that `read` took in another process of ours: parsed, and not compared a second time."""
    start = payload.rfind(_MARK) + len(_MARK)
    reader = _readers[payload[start : payload.find(b'"', start)]]
    claim: Predicate = reader.model().__pydantic_validator__.validate_json(payload).predicate
    return claim


@enforces("STM-5", "HDR-1", "HDR-2", "HDR-3")
def explain(payload: bytes) -> Predicate | UnknownType:
    """The slow way: the same answer as `read`, or why there is none.

    [STM-5] A verifier MUST refuse a predicate with a member its page does not list, a missing member, or a value of
    another type than listed.

    [HDR-1] A statement MUST stand in the stream that its type's page names, followed by `/` and its facility where the
    page says one stream for each facility.

    [HDR-2] The window of a header MUST be null exactly for the types whose page says that they speak about no window.

    [HDR-3] A statement MUST have exactly one subject, the one that its type's page names.
    """
    parsed = statement.parse(payload)
    reader = _readers.get(parsed.predicate_type.encode())
    if reader is None:
        return UnknownType(parsed.predicate_type)
    try:
        value = reader.model().__pydantic_validator__.validate_json(payload)
    except ValidationError as error:
        raise Malformed(describe(error), where="statement") from error
    claim: Predicate = value.predicate
    if claim.header.stream != claim.stream_name():
        raise Malformed(f"stream: expected {claim.stream_name()}, found {claim.header.stream}", where="header")
    if (claim.header.window is not None) != claim.windowed:
        raise Malformed(f"window: expected {'a window' if claim.windowed else 'null'}", where="header")
    if not _coherent(value):
        raise Malformed(f"subject: expected {claim.subject()}, found {value.subject[0]}", where="statement")
    return claim


def write(claim: Predicate) -> bytes:
    """Statement bytes of a claim; the inverse of `read`."""
    raw = statement.format([claim.subject()], claim.type_uri(), claim.model_dump(mode="json"))
    read(raw)
    return raw


def construct(cls: type[Predicate], body: dict[str, Any], header: Header) -> Predicate:
    """A claim from the members a person wrote and the header the program knows; Malformed names the member."""
    if "header" in body:
        raise Malformed("header: leave it out, it is filled in")
    try:
        return cls.model_validate_json(canonical.dump({**body, "header": header.model_dump(mode="json")}))
    except ValidationError as error:
        raise Malformed(describe(error), where=cls.name) from error
