# SPDX-License-Identifier: Apache-2.0
"""Seal power readings, publish one hash and the sums, and later open one row of them."""

import secrets

from pausectl.errors import Forged
from pausectl.wire import opening, seal
from pausectl.wire.rows import device_id, rows_from_readings
from pausectl.wire.seal import Context

start, end = 1_783_296_000_000, 1_783_296_600_000  # ten minutes
rows = []
for name in sorted(("node-01", "node-02"), key=device_id):
    readings = [(t, 6_850_000 + (t // 1000) % 97) for t in range(start, end + 1, 2000)]  # milliwatts, every two seconds
    rows += rows_from_readings(device_id(name), readings, start, end, max_gap_ms=10_000)

# The context binds the seal to one agreement, lab, site and window; the secret never leaves the lab.
context = Context("00" * 32, "aurora", "aurora-1", "telemetry/aurora-1", start, end)
master = secrets.token_bytes(32)
sealed = seal.seal(rows, context, master)
print(f"published: {sealed.commitment.rows_count} rows, {sealed.commitment.sums.energy_mj / 3.6e9:.3f} kWh, one hash")

# Somebody draws row 300. Its opening shows that row and nothing of its neighbours.
index = 300
block = index // context.block_rows
first = block * context.block_rows
shown = opening.prove_row(sealed, rows[first : first + context.block_rows], index, master)
row = opening.open_row(sealed.commitment, shown)
print(f"row {index}: {row.power_mw} mW until {row.end_ms}")

# An opening for any other commitment is refused.
other = seal.seal(rows[:-1], context, master).commitment
try:
    opening.open_row(other, shown)
except Forged as error:
    print(f"refused: {error}")
