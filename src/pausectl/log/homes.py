# SPDX-License-Identifier: Apache-2.0
"""What lies in a log's home directory besides the log: its agreement, its key, where it lies, and the lock.

HOME/agreement.json, log.vkey     public
HOME/succession.envelope          public: entry 1, if it succeeds another log
HOME/store.toml                   if it does not lie here (`storage.config`)
HOME/state/lock                   held by the one process that has the log open by this home
HOME/state/memory                 the second memory of a log that lies elsewhere
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from pausectl import durable
from pausectl.agreement import document
from pausectl.agreement.document import Agreement
from pausectl.durable import Disk
from pausectl.errors import Refused, Unavailable, UsageFault
from pausectl.log import pins
from pausectl.log.second import SecondMemory
from pausectl.log.storage import config
from pausectl.log.storage.config import Places
from pausectl.wire import note

#: What a successor begins with, after the agreement.
SUCCESSION = "succession.envelope"


@contextmanager
def locked(home: Path) -> Iterator[int]:
    """The log's lock, which the block hands on if it succeeds. What the system refuses it is told as a reason."""
    try:
        if not (home / "state").is_dir():
            raise UsageFault("there is no log here", where=str(home))
        lock = durable.lock(home / "state" / "lock")
        try:
            yield lock
        except BaseException:
            with suppress(OSError):
                os.close(lock)
            raise
    except OSError as error:
        hint = "nothing that was acknowledged is lost; open it again when that is mended"
        where = str(error.filename or home)
        raise Unavailable(f"the log cannot be opened: {error.strerror}", where=where, hint=hint) from error


def settle(
    home: Path, agreement: Agreement, places: Places, disk: Disk, succession: bytes = b""
) -> SecondMemory | None:
    """Write down what a home has to know of its log, and make the second memory. succession: entry 1 of a successor."""
    disk.put(home / "agreement.json", agreement.raw + b"\n", 0o644)
    pins.keep(home, agreement, disk)
    disk.put(home / "log.vkey", _vkey_text(agreement), 0o644)
    if succession:
        disk.put(home / SUCCESSION, succession, 0o644)
    config.write(home, places, disk)
    if not places.memory:
        return None
    memory = SecondMemory(Path(places.memory), disk)
    memory.create()
    return memory


def placed(home: Path, places: Places) -> Places:
    """The same, fit to be written down.

    A log that lies elsewhere is remembered here; one that lies here is not, unless told where.
    """
    config.checked(places)
    if not places.memory:
        return replace(places, memory=str((home / "state" / "memory").absolute())) if places.shared else places
    memory = Path(places.memory).absolute()
    if not places.shared and home.resolve() in memory.resolve().parents:
        hint = "another disk is best: whoever restores HOME must not restore this file with it"
        raise UsageFault(
            "the second memory of a log that lies in HOME must lie elsewhere", where=str(memory), hint=hint
        )
    return replace(places, memory=str(memory))


def remember(home: Path, memory: Path, disk: Disk | None = None) -> None:
    """Give a log that has none a file for its second memory, from its next start on; UsageFault if it has another."""
    disk = disk or Disk()
    with locked(home) as lock:
        places = config.read(home)
        wanted = placed(home, replace(places, memory=str(memory)))
        if places.memory and places.memory != wanted.memory:
            hint = "move the file, and edit store.toml"
            raise UsageFault(f"this log has its second memory at {places.memory}", hint=hint)
        if not places.memory:
            SecondMemory(Path(wanted.memory), disk).create()
            config.write(home, wanted, disk)
        os.close(lock)


def founding(home: Path, agreement: Agreement) -> list[bytes]:
    """The entries that the log begins with, as far as its home has them: a home that joined has the agreement only."""
    path = home / SUCCESSION
    return [agreement.raw, _read(path)] if agreement.log_number and path.exists() else [agreement.raw]


def agreement_of(home: Path) -> Agreement:
    """The agreement that the log keeps, as it is read under it; Refused if the key beside it is not the log's."""
    agreement, vkey = pins.kept(home, document.parse(_read(home / "agreement.json"))), _read(home / "log.vkey")
    agreement = agreement.of_log(vkey.partition(b"+")[0].decode("utf-8", "replace"))
    if vkey != _vkey_text(agreement):
        raise Refused("log.vkey: expected the log's key as the agreement has it", where=str(home))
    return agreement


def _vkey_text(agreement: Agreement) -> bytes:
    return f"{note.format_vkey(agreement.log_key)}\n".encode()


def make(home: Path, disk: Disk) -> None:
    """The directories that the lock needs; `config.create` makes sure of them once more."""
    disk.home(home)
    disk.folder(home / "state", within=home)


def need_nothing(home: Path, agreement: Agreement) -> None:
    """Refuse a home with a log in it, or what remains of one, or with another agreement."""
    for name in ("state/head", "log/checkpoint", "log/tile"):
        if (home / name).exists():
            raise Refused(f"there is a log here already, or what remains of one: {name}", where=str(home))
    written = home / "agreement.json"
    if written.exists() and written.read_bytes() != agreement.raw + b"\n":
        raise Refused("another agreement lies here", where=str(written))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Unavailable(f"cannot be read: {error.strerror}", where=str(path)) from error
