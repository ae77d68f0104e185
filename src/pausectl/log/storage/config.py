# SPDX-License-Identifier: Apache-2.0
"""Where a log of this HOME lies, if not in it: `HOME/store.toml`, and the store that it names.

    objects = "s3://ledger/pause"
    head = "postgresql://db.example/ledger"
    memory = "/media/second/pause.checkpoint"

What is not named lies in HOME. A scheme of a stranger's store is found by the entry point of its name in the group
`pausectl.stores`: something that is called with the URL and makes a `Backend`.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, fields
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from pausectl.durable import Disk
from pausectl.errors import Malformed, Refused, Unavailable, UsageFault
from pausectl.log.storage import posix
from pausectl.log.storage.seams import Absent, Backend, Store
from pausectl.registry import enforces
from pausectl.wire.tile import CHECKPOINT_PATH, Tile

#: Below which everything that is public lies, objects and the register with the checkpoint.
PUBLIC = "log"

_FILE = "store.toml"
_HEAD = "head"
_SHOWN = f"{PUBLIC}/{CHECKPOINT_PATH}"
_OURS = {"postgresql": "pausectl.log.storage.postgres", "postgres": "pausectl.log.storage.postgres",
         "s3": "pausectl.log.storage.s3"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Places:
    """URLs of the objects and of the head register, the file of the second memory; "" for what HOME has or lacks."""

    objects: str = ""
    head: str = ""
    memory: str = ""

    @property
    def shared(self) -> bool:
        """Whether a process with another HOME can write the same log."""
        return bool(self.objects and self.head)


def read(home: Path) -> Places:
    """What store.toml says; nothing if there is none."""
    path = home / _FILE
    try:
        found = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return Places()
    except OSError as error:
        raise Unavailable(f"cannot be read: {error.strerror}", where=str(path)) from error
    except ValueError as error:
        raise Malformed(f"expected TOML: {error}", where=str(path)) from error
    known = {field.name for field in fields(Places)}
    if not found.keys() <= known or not all(isinstance(value, str) and value for value in found.values()):
        raise Malformed(f"expected only {', '.join(sorted(known))}, each with a text", where=str(path))
    return checked(Places(**found))


def write(home: Path, places: Places, disk: Disk) -> None:
    """Write store.toml, or none if there is nothing to say."""
    named = [(field.name, getattr(places, field.name)) for field in fields(places) if getattr(places, field.name)]
    if named:
        # A JSON string is a TOML string.
        text = "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in named)
        disk.put(home / _FILE, text.encode(), 0o644)
    elif (home / _FILE).exists():
        disk.discard(home / _FILE)  # of a creation that went no further


@enforces("STORE-10")
def checked(places: Places) -> Places:
    """The same, if it may be written down.

    [STORE-10] A log MUST NOT take a store's URL with a password in it.

    A configuration is copied, shown and kept in version control.
    """
    for url in filter(None, (places.objects, places.head)):
        if urlsplit(url).password is not None or "password" in urlsplit(url).query:
            hint = "give it by the environment (PGPASSWORD, AWS_SECRET_ACCESS_KEY) or by ~/.pgpass"
            raise UsageFault("a store's URL with a password in it", hint=hint)
    return places


def backend(url: str) -> Backend:
    """The store that a URL names; UsageFault for a scheme that nobody here knows."""
    scheme = urlsplit(url).scheme
    if scheme in _OURS:
        try:
            return cast("Backend", import_module(_OURS[scheme]).Backend(url))
        except ModuleNotFoundError as error:
            raise UsageFault(f"{scheme}: {error}", hint="pip install 'pausectl[log]'") from error
    for found in entry_points(group="pausectl.stores", name=scheme):
        return cast("Backend", found.load()(url))
    raise UsageFault(f"expected s3://… or postgresql://…, found {scheme or url!r}")


def open(home: Path, places: Places, disk: Disk) -> Store:
    """The store of a log; nothing is asked of a server yet."""
    local = posix.open(home, disk)
    if not places.objects and not places.head:
        return local
    objects, head = _backends(places)
    return Store(
        objects=objects.objects(PUBLIC) if objects else local.objects,
        staging=objects.objects("stage") if objects else local.staging,
        public=objects.register(_SHOWN) if objects else local.public,
        head=head.register(_HEAD) if head else local.head,
        # Whoever needs a part that lies in HOME needs its lock.
        exclusive=not places.shared,
        clear=_nothing if objects else local.clear,
        close=lambda: _close(objects, head),
    )


def create(home: Path, places: Places, disk: Disk) -> Store:
    """The same for a new log, whose head register is made last; Refused where there is one, or what remains of one."""
    if not places.objects and not places.head:
        return posix.create(home, disk)
    objects, head = _backends(places)
    try:
        if not objects:
            for name in ("log", "state/stage"):
                disk.folder(home / name, within=home, afresh=True)
        else:
            _make_shown(objects)
            _need_no_tiles(objects)
        if head:
            head.create(_HEAD)
        else:
            posix.PosixHead.create(home / "state" / "head", disk)
    finally:
        _close(objects, head)
    return open(home, places, disk)


def _backends(places: Places) -> tuple[Backend | None, Backend | None]:
    objects = backend(places.objects) if places.objects else None
    if places.head and places.head == places.objects:
        return objects, objects
    return objects, backend(places.head) if places.head else None


def _make_shown(objects: Backend) -> None:
    """The public register; one that was made by a creation that went no further serves as well."""
    try:
        objects.create(_SHOWN)
    except Refused:
        if objects.register(_SHOWN).read():
            raise


def _need_no_tiles(objects: Backend) -> None:
    for path in (Tile(0, 0, 1).path, Tile(0, 0, 256).path):
        try:
            objects.objects(PUBLIC).get(path)
        except Absent:
            continue
        raise Refused(f"there is a log here already, or what remains of one: {path}")


def _close(*backends: Backend | None) -> None:
    for each in filter(None, backends):
        each.close()


def _nothing() -> None:
    """What was staged by others is not known, and not ours."""
