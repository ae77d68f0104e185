# SPDX-License-Identifier: Apache-2.0
"""The vault: what is in it makes its commitment or is refused, and what goes out of it opens one row."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from pausectl.errors import Malformed, PausectlError, UsageFault
from pausectl.lab import table
from pausectl.lab.vault import Vault, telemetry
from pausectl.wire import opening
from pausectl.wire.seal import Context

MASTER = bytes(range(32))
END = 3_600_000
CONTEXT = Context("a" * 64, "aurora", "aurora-1", "telemetry/aurora-1", 0, END)
READINGS = {f"node-{n}": [(t, 1_000_000 + n + t) for t in range(0, END + 1, 10_000)] for n in range(2)}


@pytest.fixture(scope="module")
def rows():
    return table.rows(READINGS, 0, END, max_gap_ms=10_000)


@pytest.fixture
def vault(tmp_path, rows) -> Vault:
    return Vault.create(tmp_path / "v", CONTEXT, rows, MASTER)


def test_what_was_put_in_comes_back(vault, rows):
    again = Vault.load(vault.place)
    assert list(again.rows) == list(rows)
    assert again.sealed.commitment == vault.sealed.commitment
    assert len(rows) > CONTEXT.block_rows
    for row in (0, 255, 256, len(rows) - 1):
        opened = opening.parse_row_opening(again.open_row(row))
        assert opening.open_row(vault.sealed.commitment, opened) == rows[row]


def test_gaps_and_unknown_powers_come_back_as_such(tmp_path):
    rows = table.rows({"a": [(1_000, 5)], "b": [(0, 7), (END, 9)]}, 0, END, max_gap_ms=2_000)
    assert any(row.energy_mj is None for row in rows)
    assert any(row.power_mw is None for row in rows)
    Vault.create(tmp_path / "v", CONTEXT, rows, MASTER)
    assert list(Vault.load(tmp_path / "v").rows) == rows


def test_only_the_owner_may_look(vault):
    before = os.umask(0)
    try:
        other = Vault.create(vault.place.with_name("w"), CONTEXT, vault.rows, MASTER).place
    finally:
        os.umask(before)
    for place in (vault.place, other):
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in place.iterdir()} == {0o600}


def test_the_commitment_does_not_have_the_secret(vault):
    kept = (vault.place / "commitment.json").read_text()
    for text in (
        kept,
        json.dumps(telemetry(vault.sealed.commitment)),
        json.dumps(vault.open_row(3)),
        repr(vault.sealed),
    ):
        assert MASTER.hex() not in text.lower()
        assert repr(MASTER)[2:-1] not in text


def test_an_opening_has_one_salt_and_no_other_row(vault, rows):
    opened = json.dumps(vault.open_row(3))
    from pausectl.wire.rows import format_row

    assert format_row(rows[3]).hex() in opened
    assert not any(format_row(row).hex() in opened for place, row in enumerate(rows) if place != 3)
    assert json.loads(opened)["salt"] != json.loads(json.dumps(vault.open_row(4)))["salt"]


# ── tampering ──


def edit(path: Path, change) -> None:
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("rows.csv", lambda raw: raw.replace(b",1000000,", b",1000001,", 1)),
        ("rows.csv", lambda raw: b"\n".join([*raw.splitlines()[:5], *raw.splitlines()[6:]])),
        ("rows.csv", lambda raw: b"\n".join([*raw.splitlines()[:1], *raw.splitlines()[:0:-1]])),
        ("rows.csv", lambda raw: raw + raw.splitlines()[1] + b"\n"),
        ("rows.csv", lambda raw: raw.splitlines()[0]),
        ("rows.csv", lambda _: b""),
        ("rows.csv", lambda raw: raw.replace(b"device", b"gadget")),
        ("rows.csv", lambda raw: raw.replace(b",0,", b",-1,", 1)),
        ("rows.csv", lambda raw: raw.replace(b",0,", b",x,", 1)),
        ("rows.csv", lambda raw: raw + b"\xff"),
        ("rows.csv", lambda raw: raw + b'"'),
        ("rows.csv", lambda raw: raw + b"a" * 200_000),
        ("master", lambda _: bytes(31).hex().encode()),
        ("master", lambda _: bytes(32).hex().encode()),
        ("master", lambda _: b"not hex"),
        ("commitment.json", lambda raw: raw.replace(b'"aurora-1"', b'"aurora-2"')),
        ("commitment.json", lambda raw: raw.replace(b'"gap_ms": "0"', b'"gap_ms": "1"')),
        ("commitment.json", lambda _: b"[]"),
        ("commitment.json", lambda _: b"null"),
        ("commitment.json", lambda _: b'{"context":{},"telemetry":{}}'),
        ("commitment.json", lambda _: b'{"context":[],"telemetry":{}}'),
        ("commitment.json", lambda _: b"[" * 100_000),
        ("commitment.json", lambda raw: raw.replace(b'"block_rows": 256', b'"block_rows": 0')),
        ("commitment.json", lambda raw: raw.replace(b'"window_end_ms": 3600000', b'"window_end_ms": "x"')),
    ],
)
def test_a_vault_that_was_changed_is_refused_by_name(vault, name, change):
    before = (vault.place / name).read_bytes()
    edit(vault.place / name, change)
    assert (vault.place / name).read_bytes() != before
    with pytest.raises(PausectlError) as caught:
        Vault.load(vault.place)
    assert caught.value.exit_code in (2, 4)
    assert str(vault.place) in str(caught.value)
    assert MASTER.hex() not in str(caught.value)


def test_every_byte_of_the_rows_matters(vault):
    """Change each digit of the first rows: the commitment notices, or the file no longer reads."""
    path = vault.place / "rows.csv"
    whole = path.read_bytes()
    start = whole.index(b"\n") + 1
    for place in range(start, start + 130):
        byte = whole[place : place + 1]
        if byte.isdigit():
            path.write_bytes(whole[:place] + bytes([(byte[0] - 48 + 1) % 10 + 48]) + whole[place + 1 :])
            with pytest.raises(Malformed):
                Vault.load(vault.place)


@pytest.mark.parametrize("name", ["master", "rows.csv", "commitment.json"])
def test_a_vault_with_something_missing(vault, name):
    (vault.place / name).unlink()
    with pytest.raises(UsageFault, match="no vault"):
        Vault.load(vault.place)


def test_a_vault_is_made_once_and_where_it_can_be(vault, tmp_path, rows):
    kept = {path.name: path.read_bytes() for path in vault.place.iterdir()}
    with pytest.raises(UsageFault, match="never made over another"):
        Vault.create(vault.place, CONTEXT, rows, bytes(32))
    assert {path.name: path.read_bytes() for path in vault.place.iterdir()} == kept
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UsageFault):
            Vault.create(place, CONTEXT, rows, MASTER)


def test_rows_that_make_no_seal_leave_no_vault(tmp_path, rows):
    for wrong in (list(reversed(rows)), [*rows, rows[0]], [rows[1], rows[0]]):
        with pytest.raises(Malformed):
            Vault.create(tmp_path / "v", CONTEXT, wrong, MASTER)
        assert not (tmp_path / "v").exists()


@pytest.mark.parametrize("row", [-1, 10**9])
def test_a_row_that_is_not_there(vault, row):
    with pytest.raises(UsageFault, match=f"row {row}"):
        vault.open_row(row)
