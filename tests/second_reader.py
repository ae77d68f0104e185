# SPDX-License-Identifier: Apache-2.0
"""`python tests/second_reader.py LOGDIR AGREEMENT.json`: reads a ledger a second time, written from specs/ alone.

It prints origin, size, root, the id of each entry (null where it is no statement), and the size of each mark that has a
quorum. `Seal` reads sealed telemetry. A refusal is any of REFUSALS; a file that is not there is an OSError.
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
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

REFUSALS = (AttributeError, LookupError, RecursionError, TypeError, ValueError, struct.error)
P, ORDER, TYPE = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493, "https://pausectl.dev/"
Y8 = int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little")
write_json = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode


def need(holds: object, what: str) -> None:
    if not holds:
        raise ValueError(what)


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def unbase64(text: str) -> bytes:
    raw = base64.b64decode(text)
    need(base64.b64encode(raw).decode() == text, "base64: not the one encoding of these bytes")
    return raw


def unhex(text: object, length: int) -> bytes:
    need(isinstance(text, str) and re.fullmatch(f"[0-9a-f]{{{2 * length}}}", text), f"hex of {length} bytes")
    return bytes.fromhex(str(text))


def verified(public: bytes, signature: bytes, message: bytes) -> bool:
    """KEY-1 to KEY-4: the cofactorless equation of OpenSSL, and what it leaves open."""
    ys = [int.from_bytes(half, "little") % 2**255 for half in (public, signature[:32])]
    below = len(signature) == 64 and int.from_bytes(signature[32:], "little") < ORDER
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return below and all(y < P and y not in (0, 1, P - 1, Y8, P - Y8) for y in ys)


def post_verified(public: bytes, signature: bytes, message: bytes) -> bool:
    """KEY-8, by OpenSSL."""
    try:
        MLDSA44PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def keyid(public: bytes) -> str:
    blob = b"".join(struct.pack(">I", len(part)) + part for part in (b"ssh-ed25519", public))
    return "SHA256:" + base64.b64encode(sha(blob)).decode().rstrip("=")


def parse_json(raw: bytes, *members: str) -> Any:
    """STM-1, STM-2: read it with any parser, write it again, compare; an object with exactly these members."""

    def check(value: Any, level: int) -> None:
        need(not isinstance(value, float) and not (isinstance(value, int) and abs(value) >= 2**53), "json: number")
        if isinstance(value, dict | list):
            names, inner = ("".join(value), value.values()) if isinstance(value, dict) else ("", value)
            need(level <= 32 and max(names or "a") <= "\uffff", "json: more than 32 levels, or a name above U+FFFF")
            for item in inner:
                check(item, level + 1)

    value = json.loads(raw.decode())
    check(value, 1)
    need(write_json(value).encode() == raw, "json: not canonical")  # nor would it be with a member twice
    need(isinstance(value, dict) and sorted(value) == sorted(members), f"json: expected {members}")
    return value


class Entry:
    """ENV-1 to ENV-4, STM-3, STM-4."""

    def __init__(self, raw: bytes) -> None:
        value = parse_json(raw, "payload", "payloadType", "signatures")
        body, kind = unbase64(value["payload"]), b"application/vnd.in-toto+json"
        need(value["payloadType"].encode() == kind and len(raw) <= 65535, "envelope: payload type, or length")
        self.signatures = {one["keyid"]: unbase64(one["sig"]) for one in value["signatures"] if len(one) == 2}
        need([one["keyid"] for one in value["signatures"]] == sorted(self.signatures), "signatures: order, or members")
        need(re.fullmatch("(SHA256:[A-Za-z0-9+/]{43} ){1,100}", " ".join([*self.signatures, ""])), "signatures: keyids")
        self.pae = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(body), body)
        self.id = sha(self.pae).hex()
        said = parse_json(body, "_type", "predicate", "predicateType", "subject")
        need(said["_type"] == "https://in-toto.io/Statement/v1" and said["predicate"].keys(), "statement")
        for one in said["subject"]:
            need(one.keys() == {"digest", "name"} and one["digest"].keys() == {"sha256"}, "subject: members")
            need(unhex(one["digest"]["sha256"], 32) and one["name"].encode(), "subject: digest, or name")
        self.type, self.said, self.subjects = said["predicateType"], said["predicate"], said["subject"]
        need(self.type.encode() and 1 <= len(self.subjects) <= 1024, "statement: type, or subjects")


def vkey(text: str) -> tuple[str, bytes, int, bytes]:
    """NOTE-8, NOTE-9: name, key id, type and public key."""
    name, printed, encoded = [*text.split("+", 2), "", ""][:3]
    material = unbase64(encoded)
    need(name and not re.search(r"\s", name) and len(material) == 33 and material[0] in (1, 4), "vkey: name or type")
    need(printed == sha(name.encode(), b"\n", material)[:4].hex(), "vkey: key id")
    return name, bytes.fromhex(printed), material[0], material[1:]


class Agreement:
    """A trusted agreement: AGR-2 to AGR-5, with the id that stands in every header."""

    def __init__(self, raw: bytes, log: int = 0) -> None:
        entry = Entry(raw.removesuffix(b"\n"))
        terms, self.id, said = entry.said, entry.id, write_json(entry.said).encode()
        need(entry.subjects == [{"digest": {"sha256": sha(said).hex()}, "name": terms["name"]}], "subject")
        need(entry.type == TYPE + "agreement/v1" and terms["version"] == 1, "agreement: type, or version")
        public = {who["id"]: [unbase64(key["public"]) for key in who["keys"]] for who in terms["principals"]}
        self.keys = {who: {keyid(key): key for key in keys} for who, keys in public.items()}
        self.bodies = {one["id"]: (one["members"], one["threshold"]) for one in terms["bodies"]}
        policy, logs = terms["witnesses"], [terms["log"], *terms["log"]["successors"]]
        self.log = vkey(logs[log]["vkey"])
        self.witnesses, self.quorum = [vkey(one["vkey"]) for one in policy["members"]], policy["quorum"]
        names, _, kinds, publics = zip(*self.witnesses, strict=True)
        distinct = {len(set(own)) for own in (names, publics, [one["principal"] for one in policy["members"]])}
        need(distinct == {len(names)} and set(kinds) == {4}, "witnesses: names, keys and principals, of type 4")
        need(policy["faulty"] < self.quorum and 2 * self.quorum > len(names) + policy["faulty"], "witnesses: quorum")
        mirrors = terms["mirrors"]
        keys, cosigners = [vkey(one["vkey"]) for one in logs], [vkey(one["vkey"]) for one in mirrors["members"]]
        need([key[::2] for key in keys] == [(one["origin"], 1) for one in logs], "log: its key")
        need(all(key[2] == 4 for key in cosigners) and mirrors["quorum"] <= len(cosigners), "mirrors: quorum, or keys")
        everybody = [*(key[3] for key in (*keys, *self.witnesses, *cosigners))]
        need(len({key[0] for key in keys}) == len(keys) and len(set(everybody)) == len(everybody), "a key twice")
        need(len({*names, *(key[0] for key in cosigners)}) == len(names) + len(cosigners), "a key name twice")
        intake = [who["organisation"] for who in terms["principals"] if "intake" in who["roles"]]
        others = {who["organisation"] for who in terms["principals"] if {"lab", "log"} & set(who["roles"])}
        closes = {"per": "party", "role": "intake", "stream": "close"} in terms["due"] or not intake
        need(min(len(intake), 1) <= terms["intake"]["quorum"] <= len(intake) and closes, "intake: quorum, or closes")
        need(len(set(intake) - others) == len(intake), "intake: organisations")
        pairs = [(name, one["mldsa44"]) for name, one in zip(names, policy["members"], strict=True)]
        self.pins = {name: one for name, one in ((self.log[0], logs[log]["mldsa44"]), *pairs) if one}
        self.post: dict[tuple[str, bytes], bytes] = {}
        own = (
            [*zip(names, policy["members"], strict=True)],
            [*zip((k[0] for k in cosigners), mirrors["members"], strict=True)],
        )
        quorums = zip(own, (self.quorum, mirrors["quorum"]), strict=True)
        room = max(self.mark_lines(one["origin"], one, 64) + len(one["origin"].encode()) for one in logs)
        for members, quorum in quorums:
            room += sum(sorted((self.mark_lines(*one, 72) for one in members), reverse=True)[:quorum])
        need(room + len(f"\n{2**63 - 1}\n\n\n") + 44 <= 47_104, "witnesses, mirrors: no mark has room for so many")
        need(self.signed(entry, "signatories"), "agreement: not signed by enough signatories, or by others")

    @staticmethod
    def mark_lines(name: str, one: dict[str, Any], size: int) -> int:
        """AGR-12: bytes of the lines that somebody with this name and, perhaps, a second key has to have."""
        sizes = (size, 8 + 2420) if one["mldsa44"] else (size,)
        return sum(len(f"— {name} \n".encode()) + -(-(4 + each) // 3) * 4 for each in sizes)

    def signed(self, entry: Entry, party: str) -> bool:
        """HDR-5, HDR-6, AGR-3, ENV-5: by all keys of each of so many principals, and by nobody else."""
        members, threshold = self.bodies.get(party, ([party], 1))
        known = {name: key for who in members for name, key in self.keys.get(who, {}).items()}
        good = [name in known and verified(known[name], sig, entry.pae) for name, sig in entry.signatures.items()]
        voices = [keys for who in set(members) if (keys := self.keys.get(who, {}).keys()) & entry.signatures.keys()]
        return all(good) and len(voices) >= threshold and all(keys <= entry.signatures.keys() for keys in voices)

    def resolve(self, keys: dict[str, bytes]) -> None:
        """READ-12: the keys that are named by digest, as far as the log has them."""
        for name, digest in self.pins.items():
            if digest in keys:
                raw = keys[digest]
                need(sha(raw).hex() == digest and len(raw) == 1312, "key: not of this digest")
                self.post[name, sha(name.encode(), b"\n\6", raw)[:4]] = raw

    def open(self, note: bytes) -> tuple[int, bytes]:
        """NOTE-1 to NOTE-7, CKPT-1 to CKPT-7, COSIG-1 to COSIG-8, READ-11: size and root, by log and witness quorum."""
        whole = note.decode()
        head, gap, tail = whole.rpartition("\n\n")
        need(gap and tail.endswith("\n") and not re.search(r"[\x00-\x09\x0b-\x1f]", whole), "note: form")
        text, lines = head + "\n", tail[:-1].split("\n")
        need(len(lines) <= 100 and len(note) <= 2**20, "note: more than 100 lines or 1 MiB")
        origin, size, encoded, rest = [*text.split("\n", 3), "", "", ""][:4]
        said = self.said(text, lines, origin, size, encoded)
        root = unbase64(encoded)
        need(re.fullmatch("0|[1-9][0-9]{0,18}", size) and int(size) < 2**63, "checkpoint: size")
        need(origin == self.log[0] and len(origin.encode()) <= 255 and len(root) == 32 and not rest, "checkpoint: form")
        need({(origin, 1, 0)} | ({(origin, 6, 0)} if origin in self.pins else set()) <= said, "checkpoint: no log")
        times = {(name, time) for name, kind, time in said if kind == 4}
        counted = {name for name, time in times if name not in self.pins or (name, 6, time) in said}
        need(len(counted) >= self.quorum, "checkpoint: too few witnesses")
        return int(size), root

    def said(self, text: str, lines: list[str], origin: str, size: str, root: str) -> set[tuple[str, int, int]]:
        """Key name, type and time of every line by a known key."""
        found = set()
        known = {key[:2]: (key[2], key[3]) for key in (self.log, *self.witnesses)}
        known |= {place: (6, raw) for place, raw in self.post.items()}
        for line in lines:
            match = re.fullmatch(r"— ([^\s+]+) ([^\s]+)", line)
            name, blob = (match[1], unbase64(match[2])) if match else ("", b"")
            need(len(blob) > 4, "note: signature line")
            if place := known.get((name, blob[:4])):
                kind, key = place
                time, signature, message = int.from_bytes(blob[4:12], "big"), blob[12:], text.encode()
                if kind == 1:
                    time, signature = 0, blob[4:]
                if kind == 4:
                    message = f"cosignature/v1\ntime {time}\n{text}".encode()
                if kind == 6:
                    names = [bytes([len(one)]) + one for one in (name.encode(), origin.encode())]
                    last = int(size).to_bytes(8, "big") + unbase64(root)
                    message = b"subtree/v1\n\0" + names[0] + blob[4:12] + names[1] + bytes(8) + last
                good = post_verified(key, signature, message) if kind == 6 else verified(key, signature, message)
                need(good, "note: a signature by a known key fails")
                need(lines.count(line) == 1 and (name != origin) <= time < 2**63, "note: repeated line, or time")
                found.add((name, kind, 0 if name == origin else time))
        return found

    def mark(self, entry: Entry) -> tuple[int, bytes]:
        """The checkpoint of a mark that has a quorum, and whose header speaks of this agreement and log."""
        header, note = entry.said["header"], entry.said["checkpoint"].encode()
        subject = {"digest": {"sha256": sha(note).hex()}, "name": "checkpoint"}
        here = {"agreement": self.id, "log": self.log[0], "stream": "marks", "window": None}
        need(entry.type == TYPE + "checkpoint/v1" and entry.subjects == [subject], "mark: type, or subject")
        need(here.items() <= header.items() and header["party"] in self.keys, "mark: header")
        need(self.signed(entry, header["party"]), "mark: signatures")
        return self.open(note)


def fold(nodes: list[bytes], join: Callable[[bytes, bytes], bytes] = lambda *pair: sha(b"\1", *pair)) -> bytes:
    """TREE-1, SEAL-15, SEAL-18 from below: pair a level from the left, and let a last one without a neighbour rise."""
    while len(nodes) > 1:
        nodes = [join(*pair) if len(pair := nodes[i : i + 2]) > 1 else pair[0] for i in range(0, len(nodes), 2)]
    return nodes[0] if nodes else sha()


def tiles(level: int | str, count: int) -> Iterator[tuple[str, int, int]]:
    """TILE-1, TILE-2: path, first and end of each tile or bundle that holds so many things."""
    for first in range(0, count, 256):
        end, digits = min(first + 256, count), str(first // 256)
        groups = re.findall("...", digits.zfill(-(-len(digits) // 3) * 3))
        path = "/".join([f"tile/{level}", *("x" + group for group in groups[:-1]), groups[-1]])
        yield path + (f".p/{end - first}" if end - first < 256 else ""), first, end


def read(folder: Path, agreement: Agreement) -> dict[str, Any]:
    """Everything from the entries up: bundles, root, tiles, ids, marks."""
    agreement.resolve({path.name: path.read_bytes() for path in (folder / "key").glob("*")})
    (size, root), entries = agreement.open((folder / "checkpoint").read_bytes()), []
    for path, first, end in tiles("entries", size):
        raw, at = (folder / path).read_bytes(), 0
        for _ in range(first, end):
            length = int.from_bytes(raw[at : at + 2], "big")
            entries.append(raw[at + 2 : at + 2 + length])
            at += 2 + length
        need(at == len(raw), f"{path}: another length")
    leaves = [sha(b"\0", entry) for entry in entries]
    need(fold(leaves) == root, "checkpoint: these entries have another root")
    for level in range(-(-size.bit_length() // 8)):
        for path, first, end in tiles(level, size >> 8 * level):
            tile = b"".join(fold(leaves[i << 8 * level : (i + 1) << 8 * level]) for i in range(first, end))
            need((folder / path).read_bytes() == tile, f"{path}: other hashes")
    found: dict[str, Any] = {"statements": [None] * size, "marks": []}
    for index, raw in enumerate(entries):
        try:
            found["statements"][index] = (entry := Entry(raw)).id
            mark, claimed = agreement.mark(entry)
            need(mark <= index, "mark: beyond its place")
        except REFUSALS:  # entries never block: what is no statement, or no mark, says nothing
            continue
        need(fold(leaves[:mark]) == claimed, f"entry {index}: the log signed another tree")
        found["marks"].append(mark)
    return {"origin": agreement.log[0], "size": size, "root": root.hex(), **found}


def beside(place: int, count: int, level: int = 0) -> Iterator[tuple[int, int]]:
    """Level and position of each neighbour on the way up, in a tree of so many leaves."""
    while count > 1:
        if place ^ 1 < count:
            yield level, place ^ 1
        level, place, count = level + 1, place // 2, -(-count // 2)


class Seal:
    """sealing.md, in one context, given by the names of its members. A node of the sum tree is its 64 bytes."""

    def __init__(self, context: dict[str, Any]) -> None:
        self.start, self.end, self.per_block = (context[n] for n in ("window_start_ms", "window_end_ms", "block_rows"))
        start, end, size = (number.to_bytes(8, "big") for number in (self.start, self.end, self.per_block))
        texts = [context[name].encode() for name in ("agreement", "lab", "facility", "stream", "schema")]
        parts = [*texts[:4], start, end, texts[4], size]
        self.ctx = sha(*(struct.pack(">I", len(part)) + part for part in parts))

    def adds(self, rows: list[bytes]) -> list[int]:
        """SEAL-2, SEAL-3, SEAL-9, SEAL-10: what rows in order add to energy, duration and gap."""
        sums, last = [0, 0, 0], (b"", 0)
        for row in rows:
            device, nulls, start, end, power, energy = struct.unpack(">16sBQQQQ", row)
            need(nulls < 4 and not (nulls & 1 and power) and not (nulls & 2 and energy), "row: nulls")
            need(self.start <= start < end <= self.end and (device, start) >= last, "row: window, or order")
            sums, last = [sums[0] + energy, *sums[1:]], (device, end)
            sums[2 if nulls & 2 else 1] += end - start
        return sums

    def leaf(self, block: int, place: int, row: bytes, salt: bytes) -> bytes:
        return sha(b"\x10", self.ctx, struct.pack(">QI", block, place), row, salt)

    def block(self, counts: list[int], rows_root: bytes) -> bytes:
        head = struct.pack(">4Q", *counts)
        return head + sha(b"\x12", self.ctx, head, rows_root)

    def join(self, left: bytes, right: bytes) -> bytes:
        """SEAL-18, SEAL-19: what does not fit into 64 bits, `struct` refuses."""
        counts = zip(struct.unpack(">4Q", left[:32]), struct.unpack(">4Q", right[:32]), strict=True)
        return struct.pack(">4Q", *map(sum, counts)) + sha(b"\x11", self.ctx, left, right)

    def seal(self, rows: list[bytes], master: bytes) -> tuple[bytes, str]:
        """The top node, and the id."""
        self.adds(rows)
        blocks = []
        for index in range(max(1, -(-len(rows) // self.per_block))):
            secret = hmac.digest(master, b"pausectl block" + self.ctx + struct.pack(">Q", index), "sha256")
            mine = rows[index * self.per_block :][: self.per_block]
            salts = [hmac.digest(secret, struct.pack(">I", place), "sha256")[:16] for place in range(len(mine))]
            leaves = [self.leaf(index, place, row, salts[place]) for place, row in enumerate(mine)]
            blocks.append(self.block([len(mine), *self.adds(mine)], fold(leaves)))
        top = fold(blocks, self.join)
        return top, sha(b"\x13", self.ctx, top).hex()

    def open_row(self, top: bytes, opening: dict[str, Any]) -> bytes:
        """SEAL-22, SEAL-23, SEAL-25, SEAL-26: the row, of this top node and no other."""
        need(sorted(opening) == ["block_path", "block_sums", "index", "row", "row_path", "salt"], "opening: members")
        total, (block, place) = int.from_bytes(top[:8], "big"), divmod(opening["index"], self.per_block)
        row, sums = unhex(opening["row"], 49), list(struct.unpack(">3Q", unhex(opening["block_sums"], 24)))
        count, least = min(self.per_block, total - block * self.per_block), self.adds([row])
        need(0 <= opening["index"] < total and all(map(int.__le__, least, sums)), "opening: index, or sums")
        need(count > 1 or least == sums, "opening: sums of a block of one row")
        value = self.leaf(block, place, row, unhex(opening["salt"], 16))
        for (_, position), text in zip(beside(place, count), opening["row_path"], strict=True):
            value = fold([value, unhex(text, 32)] if position & 1 else [unhex(text, 32), value])
        value, upwards = self.block([count, *sums], value), beside(block, -(-total // self.per_block))
        for (level, position), text in zip(upwards, opening["block_path"], strict=True):
            first, end = (min(at * self.per_block << level, total) for at in (position, position + 1))
            need(int(text[:16], 16) == end - first, "opening: a row count that is not that of its place")
            value = self.join(value, unhex(text, 64)) if position & 1 else self.join(unhex(text, 64), value)
        need(value == top, "opening: not of this seal")
        return row


if __name__ == "__main__":
    print(json.dumps(read(Path(sys.argv[1]), Agreement(Path(sys.argv[2]).read_bytes()))))
