# SPDX-License-Identifier: Apache-2.0
r"""The staged bundle: everything that one commit will write, in one file, so that recovery needs nothing else.

    pausectl-stage/v1␊ 0014 tile/entries/000.p/2 00000014 0008golden-00008golden-1 000e tile/0/…

Its name is `<size>-<root>` of the tree that it completes, so the head register says which bundle, if any, is to be
replayed. It has no checksum: whoever reads it verifies it against a root, as a reader does with tiles.
"""

from __future__ import annotations

from collections.abc import Mapping

from pausectl.errors import Malformed
from pausectl.wire import tile
from pausectl.wire.checkpoint import Checkpoint

_MAGIC = b"pausectl-stage/v1\n"


def name(checkpoint: Checkpoint) -> str:
    """The name of the bundle that leads to this checkpoint."""
    return f"{checkpoint.size}-{checkpoint.root.hex()}"


def format(files: Mapping[str, bytes]) -> bytes:
    """Everything that one commit writes as one file: for each, u16 length ‖ path ‖ u32 length ‖ bytes."""
    parts = [_MAGIC]
    for path, data in files.items():
        name = path.encode("ascii")
        parts += [len(name).to_bytes(2, "big"), name, len(data).to_bytes(4, "big"), data]
    return b"".join(parts)


def parse(raw: bytes) -> dict[str, bytes]:
    """The inverse of `format`, in the same order; Malformed for anything else, however it came about."""
    if not raw.startswith(_MAGIC):
        raise Malformed("staged bundle: expected pausectl-stage/v1")
    files: dict[str, bytes] = {}
    at = len(_MAGIC)
    while at < len(raw):
        name, at = _field(raw, at, 2)
        data, at = _field(raw, at, 4)
        files[_path(name)] = data
    if format(files) != raw:
        raise Malformed("staged bundle: expected each path once")
    return files


def _field(raw: bytes, at: int, width: int) -> tuple[bytes, int]:
    start = at + width
    end = start + int.from_bytes(raw[at:start], "big")
    if end > len(raw):
        raise Malformed(f"staged bundle: expected {end} bytes or more, found {len(raw)}")
    return raw[start:end], end


def _path(name: bytes) -> str:
    try:
        path = name.decode("ascii")
    except UnicodeDecodeError as error:
        raise Malformed("staged bundle: expected paths in ASCII") from error
    tile.parse_path(path)
    return path
