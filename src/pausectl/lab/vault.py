# SPDX-License-Identifier: Apache-2.0
"""What never leaves the lab: the rows behind a seal and the master secret of their salts. Only openings go out.

A vault is a directory, mode 0700: `master` (32 bytes, hex), `rows.csv` and `commitment.json`. A new secret for every
seal, corrections included: two seals under one secret would let an opening of one unblind the other.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pausectl.durable import Disk
from pausectl.errors import Malformed, PausectlError, UsageFault
from pausectl.wire import opening, seal
from pausectl.wire.rows import Row
from pausectl.wire.seal import Commitment, Context, Seal

_COLUMNS = ("device", "start_ms", "end_ms", "power_mw", "energy_mj")


def telemetry(commitment: Commitment) -> dict[str, Any]:
    """A commitment as the member `telemetry` of a usage statement."""
    return {
        "block_rows": commitment.context.block_rows,
        "duration_ms": str(commitment.sums.duration_ms),
        "energy_mj": str(commitment.sums.energy_mj),
        "gap_ms": str(commitment.sums.gap_ms),
        "rows_count": commitment.rows_count,
        "seal_id": commitment.seal_id.hex(),
        "seal_root": commitment.root.hex(),
    }


class Vault:
    """One seal with its rows and secret."""

    def __init__(self, place: Path, context: Context, rows: Sequence[Row], master: bytes) -> None:
        self.place = place
        self.rows = rows
        self.sealed: Seal = seal.seal(rows, context, master)
        self._context = context
        self._master = master

    @classmethod
    def create(cls, place: Path, context: Context, rows: Sequence[Row], master: bytes) -> Vault:
        """Seal rows and make durable what opening them needs; refuses a directory that exists."""
        vault = cls(place, context, rows, master)
        kept = {"context": _plain(context), "telemetry": telemetry(vault.sealed.commitment)}
        files = {
            "master": master.hex().encode() + b"\n",
            "rows.csv": _table(rows),
            "commitment.json": json.dumps(kept, indent=1, sort_keys=True).encode() + b"\n",
        }
        path, disk = place.absolute(), Disk()
        try:
            there = next(parent for parent in path.parents if parent.is_dir())
            path.mkdir(mode=0o700, parents=True)
            disk.folder(path, within=there, afresh=True)
            for name, data in files.items():
                disk.put(path / name, data, 0o600)
        except FileExistsError as error:
            raise UsageFault("exists already; a seal is never made over another", where=str(place)) from error
        except OSError as error:
            raise UsageFault(f"cannot be written: {error.strerror}", where=str(place)) from error
        return vault

    @classmethod
    def load(cls, place: Path) -> Vault:
        """Take a vault up again; Malformed if its rows no longer make its commitment."""
        try:
            master = bytes.fromhex((place / "master").read_text())
            kept = json.loads((place / "commitment.json").read_text())
            with (place / "rows.csv").open(newline="") as file:
                rows = list(_rows(csv.DictReader(file)))
            vault = cls(place, Context(**kept["context"]), rows, master)
        except OSError as error:
            raise UsageFault(f"no vault: {error.strerror}", where=str(place)) from error
        except PausectlError as error:
            raise error.at(str(place)) from error
        except (ValueError, KeyError, TypeError, csv.Error, RecursionError) as error:
            raise Malformed(f"not a vault as this release writes it: {error}", where=str(place)) from error
        if telemetry(vault.sealed.commitment) != kept["telemetry"]:
            raise Malformed("the rows do not make the commitment that was kept with them", where=str(place))
        return vault

    def open_row(self, index: int) -> dict[str, Any]:
        """The opening of one row, JSON-able: it shows that row and nothing of its neighbours."""
        if not 0 <= index < len(self.rows):
            raise UsageFault(f"row {index}: there are {len(self.rows)}", where=str(self.place))
        block = index // self._context.block_rows
        first = block * self._context.block_rows
        rows = self.rows[first : first + self._context.block_rows]
        return opening.format_row_opening(opening.prove_row(self.sealed, rows, index, self._master))


def _plain(context: Context) -> dict[str, Any]:
    names = ("agreement", "lab", "facility", "stream", "window_start_ms", "window_end_ms", "block_rows", "schema")
    return {name: getattr(context, name) for name in names}


def _table(rows: Sequence[Row]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    for row in rows:
        values = (row.device.hex(), row.start_ms, row.end_ms, row.power_mw, row.energy_mj)
        writer.writerow(["" if value is None else value for value in values])
    return text.getvalue().encode()


def _rows(table: Iterator[dict[str, str]]) -> Iterator[Row]:
    for line in table:
        power, energy = (None if line[name] == "" else int(line[name]) for name in ("power_mw", "energy_mj"))
        yield Row(bytes.fromhex(line["device"]), int(line["start_ms"]), int(line["end_ms"]), power, energy)
