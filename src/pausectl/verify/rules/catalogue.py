# SPDX-License-Identifier: Apache-2.0
"""All chapters of rules: importing this module is what makes them known to `base.rules`."""

from __future__ import annotations

from pausectl.verify.rules import (
    compute,
    corrections,
    coverage,
    energy,
    hours,
    intake,
    ledger,
    models,
    runs,
    succession,
)

#: In the order of specs/verification.md.
CHAPTERS = (ledger, succession, coverage, intake, compute, corrections, hours, energy, runs, models)
