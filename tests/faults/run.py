# SPDX-License-Identifier: Apache-2.0
"""Break a log in every way that we can, and count: `python tests/faults/run.py [--quick | --few] [--only NAME]`.

After each fault every acknowledged entry must be where it was said to be, fsck must find nothing, the log must be
consistent with every checkpoint that anybody could have read, and it must run on, or refuse with the reason. Ends with
1 if anything else happened once, or if a sabotaged program was not caught. `--seed` repeats a run.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # these tests are no package

import calls
import clock
import full
import kill
import partition
import power
import racing
import rot
import sabotage
import served
import simulation
import stores
import witnessing
import writers
from tally import CAUGHT, HEADER, Caught, Skipped, Tally, table


@dataclass(frozen=True)
class Fault:
    """name: for --only. trials: with no option, with --quick, with --few; of a sweep, 0 is every point."""

    name: str
    run: Callable[..., Tally]
    trials: tuple[int, int, int]


FAULTS = (
    Fault("kill", kill.kill, (3000, 160, 12)),
    Fault("power-ext4", partial(power.cut, kind="ext4", after_ack=True), (1000, 60, 4)),
    Fault("power-xfs", partial(power.cut, kind="xfs", after_ack=True), (500, 30, 3)),
    Fault("power-random-ext4", partial(power.cut, kind="ext4", after_ack=False), (300, 20, 3)),
    Fault("power-random-xfs", partial(power.cut, kind="xfs", after_ack=False), (200, 10, 3)),
    Fault("power-files-ext4", partial(power.files, kind="ext4"), (200, 20, 3)),
    Fault("power-files-xfs", partial(power.files, kind="xfs"), (200, 10, 2)),
    Fault("simulation", simulation.simulate, (10_000, 250, 20)),
    Fault("calls", calls.sweep, (0, 300, 20)),
    Fault("lost-sync-ext4", partial(calls.lost_sync, kind="ext4"), (150, 26, 3)),
    Fault("lost-sync-xfs", partial(calls.lost_sync, kind="xfs"), (100, 13, 2)),
    Fault("full-tmpfs", partial(full.full, kind="tmpfs", what="bytes"), (200, 20, 4)),
    Fault("full-ext4", partial(full.full, kind="ext4", what="bytes"), (100, 10, 2)),
    Fault("inodes-tmpfs", partial(full.full, kind="tmpfs", what="inodes"), (100, 4, 2)),
    Fault("inodes-ext4", partial(full.full, kind="ext4", what="inodes"), (50, 2, 1)),
    Fault("rot", rot.rot, (0, 1200, 80)),
    Fault("torn", rot.torn, (1000, 100, 12)),
    Fault("writers", writers.two, (500, 25, 3)),
    Fault("writers-unlocked", partial(writers.two, locked=False), (500, 25, 3)),
    Fault("stores", stores.two, (100, 5, 1)),
    Fault("late", writers.late, (200, 20, 2)),
    Fault("witness-kill", witnessing.die, (1000, 100, 8)),
    Fault("witness-power-ext4", partial(witnessing.die, kind="ext4"), (300, 20, 3)),
    Fault("witness-power-xfs", partial(witnessing.die, kind="xfs"), (200, 10, 2)),
    Fault("witnesses", witnessing.misbehave, (300, 30, 4)),
    Fault("witness-races", racing.race, (5000, 300, 30)),
    Fault("witness-restored", racing.restore, (1000, 60, 6)),
    Fault("serve", served.serve, (200, 20, 2)),
    Fault("serve-fsync", served.sync_fails, (60, 8, 1)),
    Fault("serve-full", full.serve, (60, 8, 1)),
    Fault("partition", partition.partition, (60, 12, 1)),
    Fault("clock", clock.clock, (300, 30, 3)),
    Fault("faketime", clock.faketime, (60, 8, 2)),
)


@dataclass(frozen=True)
class Sabotage:
    """What was broken, which fault has to find it, and in how many trials at most."""

    what: str
    fault: str
    run: Callable[..., Tally]
    within: int


_CUT = partial(power.cut, after_ack=True)
SABOTAGES = (
    Sabotage("fsync removed", "power cut, ext4", partial(_CUT, kind="ext4", disk=sabotage.NoFsync), 20),
    Sabotage("fsync removed", "power cut, xfs", partial(_CUT, kind="xfs", disk=sabotage.NoFsync), 20),
    Sabotage("fsync removed", "simulated disk", partial(simulation.simulate, disk=sabotage.NoFsync), 200),
    Sabotage(
        "directory fsync removed", "simulated disk",
        partial(simulation.simulate, disk=sabotage.NoFolderFsync), 200,
    ),
    Sabotage(
        "directory fsync removed, one file", "power cut, ext4",
        partial(power.files, kind="ext4", disk=sabotage.NoFolderFsync), 20,
    ),
    Sabotage(
        "directory fsync removed, one file", "power cut, xfs",
        partial(power.files, kind="xfs", disk=sabotage.NoFolderFsync), 20,
    ),
    Sabotage("answers before the tiles", "kill -9", partial(kill.kill, make_log=sabotage.EarlyAnswer.open), 100),
    Sabotage("swaps after publishing", "kill -9", partial(kill.kill, change=sabotage.swap_last), 400),
    Sabotage(
        "fsync tried again", "a system call fails",
        partial(calls.sweep, only=("fsync",), change=sabotage.forgive_fsync), 200,
    ),
    Sabotage(
        "a start trusts the page cache", "simulated disk",
        partial(simulation.simulate, change=sabotage.trust_cache), 2000,
    ),
    Sabotage(
        "lock and register removed", "several writers",
        partial(writers.two, locked=False, change=writers.no_register), 100,
    ),
    Sabotage("replaces what is there", "late writes", partial(writers.late, change=sabotage.clobber), 20),
    Sabotage(
        "the index is believed", "one bit flips",
        partial(rot.rot, change=sabotage.believe_index, only="index"), 1000,
    ),
    Sabotage(
        "a witness answers, then persists", "kill -9",
        partial(witnessing.die, witness_kind=sabotage.HastyWitness), 100,
    ),
    Sabotage(
        "a witness compares, and then writes", "twelve at once",
        partial(racing.race, change=racing.no_step), 100,
    ),
    Sabotage(
        "a witness's memory without fsync", "power cut, ext4",
        partial(witnessing.die, kind="ext4", change=power.unsynced_index), 20,
    ),
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; print a line for each fault when it is done, and the tables at the end."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="about ten minutes on two cores, as CI does")
    parser.add_argument("--few", action="store_true", help="a few trials of each")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="these faults, or sabotage")
    parser.add_argument("--trials", type=int, help="so many, instead")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--list", action="store_true", help="the names of the faults")
    parser.add_argument("--need-all", action="store_true", help="a fault that is skipped is a failure")
    options = parser.parse_args(arguments)
    if options.list:
        print("\n".join(fault.name for fault in FAULTS))
        return 0
    unknown = set(options.only) - {fault.name for fault in FAULTS} - {"sabotage"}
    if unknown:
        parser.error(f"no such fault: {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # nothing stays mounted
    column = 2 if options.few else 1 if options.quick else 0
    started = time.monotonic()
    tallies, skipped = [], []
    for fault in FAULTS:
        if options.only and fault.name not in options.only:
            continue
        trials = fault.trials[column] if options.trials is None else options.trials
        with _Scratch() as scratch:
            try:
                tally = fault.run(scratch, trials, options.seed)
            except Skipped as reason:
                skipped.append((fault.name, str(reason)))
                print(f"{fault.name}: SKIPPED: {reason}", flush=True)
                continue
        tallies.append(tally)
        print(f"{fault.name}: {tally.trials:,} trials, {tally.failed} failed, {tally.seconds:.0f} s", flush=True)
    caught, missed = [], []
    if not options.only or "sabotage" in options.only:
        caught, missed = _sabotages(options.seed, skipped, most=500 if options.few else 1 << 30)
    return _report(tallies, caught, missed, skipped, time.monotonic() - started, need_all=options.need_all)


def _sabotages(seed: int, skipped: list[tuple[str, str]], most: int) -> tuple[list[tuple[str, ...]], list[str]]:
    """most: leave out those that may take more trials."""
    rows, missed = [], []
    for each in (each for each in SABOTAGES if each.within <= most):
        with _Scratch() as scratch:
            try:
                tally = each.run(scratch, each.within, seed, stop=True)
            except Caught as found:
                rows.append((each.what, each.fault, f"{found.trial:,}", found.said.replace(str(scratch), "")[:90]))
            except Skipped as reason:
                skipped.append((f"sabotage: {each.what}", str(reason)))
            else:
                rows.append((each.what, each.fault, "", f"NOT CAUGHT in {tally.trials:,}"))
                missed.append(each.what)
    return rows, missed


def _report(
    tallies: Sequence[Tally],
    caught: Sequence[tuple[str, ...]],
    missed: Sequence[str],
    skipped: Sequence[tuple[str, str]],
    seconds: float,
    *,
    need_all: bool,
) -> int:
    if tallies:
        print(f"\n{table(HEADER, [tally.row() for tally in tallies])}")
    if caught:
        print(f"\n{table(CAUGHT, caught)}")
    for name, reason in skipped:
        print(f"skipped {name}: {reason}")
    trials, failed = sum(tally.trials for tally in tallies), sum(tally.failed for tally in tallies)
    lost, forks = sum(tally.lost for tally in tallies), sum(tally.forks for tally in tallies)
    print(
        f"\n{trials:,} trials, {sum(tally.acks for tally in tallies):,} acknowledged entries, {lost} lost, "
        f"{forks} forked, {failed} failed; {len(caught) - len(missed)} of {len(caught)} sabotages caught; "
        f"{len(skipped)} skipped; {seconds:.0f} s"
    )
    return 1 if failed or lost or forks or missed or (need_all and skipped) else 0


class _Scratch:
    """A folder in memory, where there is one, so that trials wait for nothing but what they are about."""

    def __enter__(self) -> Path:
        memory = Path("/dev/shm")  # noqa: S108 - a private folder in it
        self._path = Path(tempfile.mkdtemp(prefix="pausectl-faults-", dir=memory if memory.is_dir() else None))
        return self._path

    def __exit__(self, *_: object) -> None:
        for mounted in sorted(self._mounts(), reverse=True):
            power.force_unmount(mounted)
        shutil.rmtree(self._path, ignore_errors=True)

    def _mounts(self) -> list[str]:
        try:
            lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
        except OSError:
            return []
        return [line.split()[1] for line in lines if line.split()[1].startswith(str(self._path))]


if __name__ == "__main__":
    sys.exit(main())
