# SPDX-License-Identifier: Apache-2.0
"""What Go accepts and what we accept: the same, except for the cases named here.

`GO_IS_LAX` are the cases on which the README of the vectors says that a strict parser must differ. `WE_ARE_STRICTER`
are two more, in which the specification leaves a choice and we refuse; specs/ledger.md says why. Receipts are in
test_proof.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pausectl.errors import Forged, Malformed
from pausectl.wire import checkpoint, keys, note, tile

Shared = Callable[[str], Path]

GO_IS_LAX = {
    "vkey_xmod": {"uppercase keyid", "trailing newline"},
    "vkey_formats": {"uppercase keyid", "trailing newline"},
    "note_open": {"good then duplicate key with bad sig", "sig base64 non-canonical trailing bits"},
    "checkpoint": {
        "leading zero size",
        "root 31 bytes",
        "root 33 bytes",
        "root empty",
        "empty ext line",
        "size 2^63",
        "size 2^64-1",
    },
    "tile_index": {"000.p/01", "x000/000", "x000/001"},
    "tile_level": {"00", "01"},
    "xmod_tile_path": {"tile/8/64/000"},
    "entry_bundle": {"empty", "257"},
    "hash_tile": {"0 bytes", "8224 bytes"},
}

WE_ARE_STRICTER = {
    "checkpoint": {"ext lines"},  # CKPT-4
    "note_open": {"good then duplicate identical line"},  # NOTE-6
}

#: x/mod knows type 0x01 only; a reader of cosignatures has keys of type 0x04.
GO_IS_NARROWER = {"vkey_xmod": {"cosig alg 0x04"}}

Check = Callable[[dict[str, Any], bytes], Any]


def vkey(_case: dict[str, Any], raw: bytes) -> Any:
    key = note.parse_vkey(raw.decode())
    return {"key_id": key.key_id.hex(), "name": key.name}


def note_open(case: dict[str, Any], raw: bytes) -> Any:
    known = [note.parse_vkey(text) for text in case["vkeys"]]
    opened = note.parse(raw)
    verified = note.open(opened, known)
    names = [f"{signature.name}+{signature.key_id.hex()}" for signature in opened.signatures]
    found = [f"{signature.name}+{signature.key_id.hex()}" for signature in verified]
    return {
        "sigs": found,
        "text_b64": keys.base64(opened.text.encode()),
        "unverified_sigs": [name for name in names if name not in found],
    }


def signed_checkpoint(case: dict[str, Any], raw: bytes) -> Any:
    claim, _ = checkpoint.open(raw, note.parse_vkey(case["vkeys"][0]), case["origin"])
    return {"origin": claim.origin, "rest_b64": "", "root_b64": keys.base64(claim.root), "size": claim.size}


def tile_index(_case: dict[str, Any], raw: bytes) -> Any:
    places = [tile.parse_path(f"tile/{kind}/{raw.decode()}") for kind in ("0", "entries")]
    assert places[0].index == places[1].index
    return {"index": places[0].index, "partial": places[0].width % 256}


def tile_level(_case: dict[str, Any], raw: bytes) -> Any:
    place = tile.parse_path(f"tile/{raw.decode()}/000")
    if isinstance(place, tile.Bundle):
        raise Malformed("not a level")
    return {"level": place.level}


def entry_bundle(case: dict[str, Any], raw: bytes) -> Any:
    widths = [case["out"]["n"]] if case["ok"] else range(1, 257)
    for width in widths:
        try:
            entries = tile.parse_bundle(raw, width)
        except Malformed:
            continue
        return {"entries_b64": [keys.base64(entry) for entry in entries], "n": len(entries)}
    raise Malformed("no width fits")


def hash_tile(_case: dict[str, Any], raw: bytes) -> Any:
    return {"n": len(tile.parse_hashes(raw, len(raw) // 32))}


def xmod_tile_path(_case: dict[str, Any], raw: bytes) -> Any:
    """x/mod writes the height, which tlog-tiles leaves out, and `data` for the entries."""
    start, height, rest = raw.decode().split("/", 2)
    if height != "8":
        raise Malformed("not our height")
    kind, rest = rest.split("/", 1)
    place = tile.parse_path(f"{start}/{'entries' if kind == 'data' else kind}/{rest}")
    return {"H": 8, "L": -1 if isinstance(place, tile.Bundle) else place.level, "N": place.index, "W": place.width}


CHECKS: dict[str, Check] = {
    "vkey_xmod": vkey,
    "vkey_formats": vkey,
    "note_open": note_open,
    "checkpoint": signed_checkpoint,
    "tile_index": tile_index,
    "tile_level": tile_level,
    "entry_bundle": entry_bundle,
    "hash_tile": hash_tile,
    "xmod_tile_path": xmod_tile_path,
}


def test_every_verdict_of_go_except_those_named(shared: Shared) -> None:
    cases = json.loads(shared("vectors/golden-go/oracle_cases.json").read_text())
    lax: dict[str, set[str]] = {}
    narrower: dict[str, set[str]] = {}
    checked = 0
    for case in cases:
        if case["kind"] not in CHECKS:
            continue
        checked += 1
        try:
            found = CHECKS[case["kind"]](case, keys.unbase64(case["input_b64"]))
        except (Malformed, Forged):
            if case["ok"]:
                lax.setdefault(case["kind"], set()).add(case["name"])
            continue
        if case["ok"]:
            assert found == case["out"], (case["kind"], case["name"])
        else:
            narrower.setdefault(case["kind"], set()).add(case["name"])
    assert checked == 189
    assert lax == {kind: names | WE_ARE_STRICTER.get(kind, set()) for kind, names in GO_IS_LAX.items()}
    assert narrower == GO_IS_NARROWER
