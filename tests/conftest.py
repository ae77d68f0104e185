# SPDX-License-Identifier: Apache-2.0
"""Fixtures every room uses."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def shared_root() -> Path:
    """Where other people's vectors and data lie: PAUSECTL_SHARED, or ../shared beside the clone."""
    return Path(os.environ.get("PAUSECTL_SHARED") or ROOT.parent / "shared")


@pytest.fixture
def shared() -> Callable[[str], Path]:
    """Path to something in the shared folder; the test is skipped, by name, where it is absent."""

    def find(name: str) -> Path:
        path = shared_root() / name
        if not path.exists():
            pytest.skip(f"shared data absent: {name} (set PAUSECTL_SHARED)")
        return path

    return find
