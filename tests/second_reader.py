# SPDX-License-Identifier: Apache-2.0
"""`python tests/second_reader.py LOGDIR AGREEMENT.json`: reads a ledger a second time, written from specs/ alone.

It imports nothing of pausectl, so that no mistake of the package is here by inheritance. It prints origin, size and root,
`statements` (the id of each entry, null where an entry is no statement) and `marks` (the sizes of those whose quorum and
root hold). What a reader has to refuse is `Refused`. `Seal` is the same for sealed telemetry.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

P, ORDER = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
Y8 = int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little")
URI = "https://pausectl.dev/"


class Refused(ValueError):
    """What was read is not what the specification lets pass."""


def need(holds: object, what: str) -> None:
    if not holds:
        raise Refused(what)


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def unbase64(text: str) -> bytes:
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except ValueError as error:
        raise Refused(f"base64: {error}") from None
    need(base64.b64encode(raw).decode() == text, "base64: another encoding of the same bytes")
    return raw


def unhex(text: object, length: int) -> bytes:
    need(isinstance(text, str) and re.fullmatch(f"[0-9a-f]{{{2 * length}}}", text), f"hex of {length} bytes")
    return bytes.fromhex(str(text))


def verified(public: bytes, signature: bytes, message: bytes) -> bool:
    """KEY-1 to KEY-4: what comes before the equation, then the cofactorless equation of OpenSSL."""
    ys = [int.from_bytes(half, "little") % 2**255 for half in (public, signature[:32])]
    if len(signature) != 64 or int.from_bytes(signature[32:], "little") >= ORDER:
        return False
    if any(y >= P or y in (0, 1, P - 1, Y8, P - Y8) for y in ys):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def keyid(public: bytes) -> str:
    blob = b"".join(struct.pack(">I", len(part)) + part for part in (b"ssh-ed25519", public))
    return "SHA256:" + base64.b64encode(sha(blob)).decode().rstrip("=")


def canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def parse_json(raw: bytes, *members: str) -> Any:
    """STM-1, STM-2: read it with any parser, write it again, compare; an object with exactly these members."""

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        need(len(dict(pairs)) == len(pairs) and max("".join(dict(pairs)) or "a") <= "\uffff", "json: members")
        return dict(pairs)

    def check(value: Any, level: int) -> None:
        inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else None
        need(inner is None or level <= 32, "json: more than 32 levels")
        need(not isinstance(value, float) and not (isinstance(value, int) and abs(value) >= 2**53), "json: number")
        for item in inner or ():
            check(item, level + 1)

    try:
        value = json.loads(raw.decode(), object_pairs_hook=collect)
        check(value, 1)
        need(canonical(value) == raw, "json: not canonical")
    except (ValueError, RecursionError) as error:
        raise Refused(f"json: {error}") from None
    need(isinstance(value, dict) and sorted(value) == sorted(members), f"json: expected {members}")
    return value


class Entry:
    """ENV-1 to ENV-4, STM-3, STM-4."""

    def __init__(self, raw: bytes) -> None:
        need(len(raw) <= 65535, "entry: more than 65,535 bytes")
        try:
            self._read(parse_json(raw, "payload", "payloadType", "signatures"))
        except (AttributeError, KeyError, TypeError) as error:
            raise Refused(f"entry: a value of another kind: {error}") from None

    def _read(self, value: Any) -> None:
        body, kind = unbase64(value["payload"]), b"application/vnd.in-toto+json"
        need(value["payloadType"].encode() == kind, "envelope: payload type")
        self.signatures = {one["keyid"]: unbase64(one["sig"]) for one in value["signatures"] if len(one) == 2}
        need(list(self.signatures) == sorted(self.signatures), "signatures: order")
        need(1 <= len(self.signatures) == len(value["signatures"]) <= 32, "signatures: 1 to 32, of two members")
        self.pae = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(body), body)
        self.id = sha(self.pae).hex()
        said = parse_json(body, "_type", "predicate", "predicateType", "subject")
        need(said["_type"] == "https://in-toto.io/Statement/v1" and said["predicate"].keys(), "statement")
        for one in said["subject"]:
            need(one.keys() == {"digest", "name"} and one["digest"].keys() == {"sha256"}, "subject: members")
            need(unhex(one["digest"]["sha256"], 32) and isinstance(one["name"], str), "subject: kinds")
        self.type, self.said, self.subjects = said["predicateType"], said["predicate"], said["subject"]
        need(isinstance(self.type, str) and 1 <= len(self.subjects) <= 1024, "statement: type, or subjects")


def vkey(text: str) -> tuple[str, bytes, int, bytes]:
    """NOTE-8, NOTE-9: name, key id, type and public key."""
    name, printed, encoded = [*text.split("+", 2), "", ""][:3]
    material = unbase64(encoded)
    need(name and not re.search(r"\s", name) and len(material) == 33 and material[0] in (1, 4), "vkey: name or type")
    need(printed == sha(name.encode(), b"\n", material)[:4].hex(), "vkey: key id")
    return name, bytes.fromhex(printed), material[0], material[1:]


class Agreement:
    """A trusted agreement: AGR-2 to AGR-5, with the id that stands in every header."""

    def __init__(self, raw: bytes) -> None:
        entry = Entry(raw)
        terms, self.id = entry.said, entry.id
        need(entry.type == URI + "agreement/v1", "agreement: predicate type")
        need(entry.subjects == [{"digest": {"sha256": sha(canonical(terms)).hex()}, "name": terms["name"]}], "subject")
        need(terms["version"] == 1 and terms["previous"] is None, "agreement: version 1 only")
        public = {who["id"]: [unbase64(key["public"]) for key in who["keys"]] for who in terms["principals"]}
        self.keys = {who: {keyid(key): key for key in keys} for who, keys in public.items()}
        self.bodies = {one["id"]: (one["members"], one["threshold"]) for one in terms["bodies"]}
        self.log, policy = vkey(terms["log"]["vkey"]), terms["witnesses"]
        self.witnesses, self.quorum = [vkey(one["vkey"]) for one in policy["members"]], policy["quorum"]
        names, _, kinds, publics = zip(*self.witnesses, strict=True)
        distinct = {len(set(own)) for own in (names, publics, [one["principal"] for one in policy["members"]])}
        need(distinct == {len(names)} and set(kinds) == {4} and self.log[3] not in publics, "witnesses: own keys, type 4")
        need(policy["faulty"] < self.quorum and 2 * self.quorum > len(names) + policy["faulty"], "witnesses: quorum")
        need(self.log[::2] == (terms["log"]["origin"], 1), "log: name and type of its key")
        need(self.signed(entry, "signatories"), "agreement: not signed by enough signatories, or by others")

    def signed(self, entry: Entry, party: str) -> bool:
        """HDR-5, HDR-6, AGR-3, ENV-5: by all keys of each of so many principals, and by nobody else."""
        members, threshold = self.bodies.get(party, ([party], 1))
        known = {name: key for who in members for name, key in self.keys.get(who, {}).items()}
        good = [name in known and verified(known[name], sig, entry.pae) for name, sig in entry.signatures.items()]
        voices = [keys for who in members if (keys := self.keys.get(who, {}).keys()) & entry.signatures.keys()]
        return all(good) and len(voices) >= threshold and all(keys <= entry.signatures.keys() for keys in voices)

    def open(self, note: bytes) -> tuple[int, bytes]:
        """NOTE-1 to NOTE-7, CKPT-1 to CKPT-6, COSIG-1 to COSIG-4: size and root, by the log and a witness quorum."""
        whole, signers = note.decode(errors="replace"), set()
        head, gap, tail = whole.rpartition("\n\n")
        need(whole.encode() == note and gap and tail.endswith("\n") and len(note) <= 2**20, "note: form")
        text, lines = head + "\n", tail[:-1].split("\n")
        need(len(lines) <= 100 and not re.search(r"[\x00-\x09\x0b-\x1f]", whole), "note: lines, or characters")
        known = {key[:2]: key for key in (self.log, *self.witnesses)}
        for line in lines:
            match = re.fullmatch(r"— ([^\s+]+) ([^\s]+)", line)
            name, blob = (match[1], unbase64(match[2])) if match else ("", b"")
            need(len(blob) > 4, "note: signature line")
            if key := known.get((name, blob[:4])):
                time, message, signature = int.from_bytes(blob[4:12], "big"), text, blob[4:]
                if key[2] == 4:
                    message, signature = f"cosignature/v1\ntime {time}\n{text}", blob[12:]
                need(verified(key[3], signature, message.encode()), "note: a signature by a known key fails")
                need(lines.count(line) == 1 and (key[2] == 1 or 0 < time < 2**63), "note: repeated line, or time")
                signers.add(key)
        origin, size, encoded, rest = [*text.split("\n", 3), "", "", ""][:4]
        root = unbase64(encoded)
        need(re.fullmatch("0|[1-9][0-9]{0,18}", size) and int(size) < 2**63, "checkpoint: size")
        need(origin == self.log[0] and len(origin.encode()) <= 255 and len(root) == 32 and not rest, "checkpoint: form")
        need(self.log in signers and len(signers) > self.quorum, "checkpoint: too few signers")
        return int(size), root

    def mark(self, entry: Entry) -> tuple[int, bytes] | None:
        """The checkpoint of a mark, if it has a quorum and its header speaks of this agreement and log."""
        here = {"agreement": self.id, "log": self.log[0], "stream": "marks", "window": None}
        try:
            header, note = entry.said["header"], entry.said["checkpoint"].encode()
            subject = {"digest": {"sha256": sha(note).hex()}, "name": "checkpoint"}
            need(entry.type == URI + "checkpoint/v1" and entry.subjects == [subject], "mark: type, or subject")
            need(here.items() <= header.items() and header["party"] in self.keys, "mark: header")
            need(self.signed(entry, header["party"]), "mark: signatures")
            return self.open(note)
        except (AttributeError, KeyError, TypeError, Refused):
            return None


def tree(entries: list[bytes]) -> list[list[bytes]]:
    """TREE-1: at [l][i] the hash of the full subtree of 2^l entries from i * 2^l on."""
    levels = [[sha(b"\0", entry) for entry in entries]]
    while len(below := levels[-1]) > 1:
        levels.append([sha(b"\1", *below[i : i + 2]) for i in range(0, len(below) - 1, 2)])
    return levels


def root_at(levels: list[list[bytes]], size: int) -> bytes:
    whole = b""
    for row in (row[(size >> level) - 1 :][:1] for level, row in enumerate(levels) if size >> level & 1):
        whole = sha(b"\1", row[0], whole) if whole else row[0]
    return whole or sha()


def tiles(level: int | str, count: int) -> Iterator[tuple[str, int, int]]:
    """TILE-1, TILE-2: path, first and end of each tile or bundle that holds so many things."""
    for first in range(0, count, 256):
        end, digits = min(first + 256, count), str(first // 256)
        groups = re.findall("...", digits.zfill(-(-len(digits) // 3) * 3))
        path = "/".join([f"tile/{level}", *("x" + group for group in groups[:-1]), groups[-1]])
        yield path + (f".p/{end - first}" if end - first < 256 else ""), first, end


def read(folder: Path, agreement: Agreement) -> dict[str, Any]:
    """Everything from the entries up: bundles, root, tiles, ids, marks."""
    size, root = agreement.open((folder / "checkpoint").read_bytes())
    entries: list[bytes] = []
    for path, first, end in tiles("entries", size):
        raw, at = (folder / path).read_bytes(), 0
        for _ in range(first, end):
            length = int.from_bytes(raw[at : at + 2], "big")
            entries.append(raw[at + 2 : at + 2 + length])
            at += 2 + length
        need(at == len(raw), f"{path}: another length")
    levels = tree(entries)
    need(root_at(levels, size) == root, "checkpoint: these entries have another root")
    for level in range(-(-size.bit_length() // 8)):
        for path, first, end in tiles(level, size >> 8 * level):
            need((folder / path).read_bytes() == b"".join(levels[8 * level][first:end]), f"{path}: other hashes")
    statements: list[str | None] = []
    marks = []
    for index, raw in enumerate(entries):
        try:
            entry = Entry(raw)
        except Refused:  # entries never block: one that is no statement says nothing, in a ledger that is still one
            statements.append(None)
            continue
        statements.append(entry.id)
        if at_mark := agreement.mark(entry):
            mark, claimed = at_mark
            need(mark <= index and root_at(levels, mark) == claimed, f"entry {index}: the log signed another tree")
            marks.append(mark)
    return {"origin": agreement.log[0], "size": size, "root": root.hex(), "statements": statements, "marks": marks}


def fold(nodes: list[bytes], join: Callable[[bytes, bytes], bytes]) -> bytes:
    """From below: pair the nodes of a level from the left, and let a last one without a neighbour rise."""
    while len(nodes) > 1:
        nodes = [join(*pair) if len(pair := nodes[i : i + 2]) > 1 else pair[0] for i in range(0, len(nodes), 2)]
    return nodes[0]


class Seal:
    """sealing.md in one context, given by the names of its members. A node is its 64 bytes."""

    def __init__(self, context: dict[str, Any]) -> None:
        names = ("agreement", "lab", "facility", "stream", "window_start", "window_end", "schema", "block_rows")
        parts = [one.to_bytes(8, "big") if isinstance(one := context[name], int) else one.encode() for name in names]
        self.ctx = sha(*(struct.pack(">I", len(part)) + part for part in parts))
        self.start, self.end, self.per_block = context["window_start"], context["window_end"], context["block_rows"]
