# SPDX-License-Identifier: Apache-2.0
"""Large ledgers of real-shaped statements for the benchmarks, made once and kept under build/bench."""

from __future__ import annotations

from pathlib import Path

from pausectl.sim import terms
from pausectl.sim.terms import Roll
from pausectl.sim.world import DAY, HOUR, World

LABS = 25
SITES = 4
#: Entries that one window adds: inventory, usage and energy of each site, closes, marks.
PER_WINDOW = LABS * SITES * 3 + 5 + 2


def world(windows: int) -> World:
    """Many labs with several sites each, daily windows, one pause early on."""
    labs = {f"lab{i:02d}": tuple(f"lab{i:02d}-{site}" for site in range(SITES)) for i in range(LABS)}
    deadlines = {
        "clock_skew_seconds": 60, "closing_seconds": DAY // 2, "correction_seconds": 2 * DAY,
        "filing_seconds": DAY // 2, "notice_seconds": HOUR, "registration_lead_seconds": HOUR, "staleness_seconds": DAY,
    }  # fmt: skip
    changes = {"windows": {"anchor_at": terms.ANCHOR, "length_seconds": DAY}, "deadlines": deadlines}
    return World(windows=windows, pause_at=3, pause_windows=7, roll=Roll(labs=labs), changes=changes)


def play(made: World, first: int, last: int) -> None:
    """Windows `first` to `last`, without the pauses for breath of `World.run`."""
    for window in range(first, last):
        made.until(made.start(window) + 2 * HOUR)
        if made.pause_at is not None and window == made.pause_at - 1:
            made.order("pause")
        made.until(made.start(window + 1) + 2 * HOUR)
        for lab in made.people.values():
            lab.file(made, window)
        made.read_meters(window)
        made.close_all(window)
        made.until(made.start(window + 1) + 4 * HOUR)
    made.until(made.start(last) + DAY)


def begin(made: World) -> None:
    """What happens before the first window."""
    for lab in made.people.values():
        lab.begin(made)
    made.evaluate_all()


def build(entries: int, place: Path) -> Path:
    """A log directory of about `entries` entries, and the same with one window more beside it."""
    if (place / "done").exists():
        return place
    windows = max(entries // PER_WINDOW, 4)
    made = world(windows + 1)
    begin(made)
    play(made, 0, windows)
    write(made, place / "log")
    play(made, windows, windows + 1)
    write(made, place / "later")
    (place / "agreement.json").write_bytes(made.agreement.raw + b"\n")
    (place / "done").touch()
    return place


def write(made: World, place: Path) -> None:
    """The public files of a world."""
    for name, data in made.memory.files().items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
