# SPDX-License-Identifier: Apache-2.0
"""A log, its witnesses and a mirror in network namespaces that are cut off from one another, and meet again."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from laboratory import AGREEMENT, Shelf, Verdict, dice, judge
from power import need, sh
from served import Crowd, Town, need_servers
from tally import Skipped, Tally
from witnessing import consistent

from pausectl.history.reader import sight

_NET = "10.231.77"
_HOSTS = {"log": 2, "witness": 3, "mirror": 4}

#: How long after the net is whole everything has to run again, in seconds; the log waits for a silent witness for 10.
_HEALED = 30.0


class Nets:
    """One namespace for each party, on one bridge; the submitters are outside."""

    def __init__(self) -> None:
        self._tag = f"pf{os.getpid() % 100_000}"

    def __enter__(self) -> Self:
        try:
            sh("ip", "link", "add", self._tag, "type", "bridge")
        except subprocess.CalledProcessError as error:
            raise Skipped(f"no network namespaces here: {error.stderr.decode().strip()}") from error
        sh("ip", "addr", "add", f"{_NET}.1/24", "dev", self._tag)
        sh("ip", "link", "set", self._tag, "up")
        for host, number in _HOSTS.items():
            outside = f"{self._tag}v{number}"
            sh("ip", "netns", "add", self.name(host))
            sh("ip", "link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", self.name(host))
            sh("ip", "link", "set", outside, "master", self._tag, "up")
            self.run(host, "ip", "addr", "add", f"{_NET}.{number}/24", "dev", "eth0")
            for device in ("eth0", "lo"):
                self.run(host, "ip", "link", "set", device, "up")
        return self

    def __exit__(self, *_: object) -> None:
        for host in _HOSTS:
            subprocess.run(["ip", "netns", "del", self.name(host)], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", self._tag], capture_output=True, check=False)

    def name(self, host: str) -> str:
        return f"{self._tag}-{host}"

    def place(self, host: str) -> tuple[str, Sequence[str]]:
        """Its address, and what a command runs under to be there."""
        # Not `ip netns exec` or `ip -n`: their namespace of mounts keeps discs alive that another run unmounts.
        return f"{_NET}.{_HOSTS[host]}", ("nsenter", f"--net=/var/run/netns/{self.name(host)}")

    def run(self, host: str, *words: str) -> None:
        sh(*self.place(host)[1], *words)

    def rule(self, host: str, *words: str) -> None:
        self.run(host, "iptables", "-A", "OUTPUT", *words)

    def heal(self) -> None:
        for host in _HOSTS:
            self.run(host, "iptables", "-F")
            self.run(host, "ip", "link", "set", "eth0", "up")


def _silent(nets: Nets, town: Town, _: Any) -> None:
    nets.rule("log", "-d", f"{_NET}.{_HOSTS['witness']}", "-j", "DROP")


def _deaf(nets: Nets, town: Town, _: Any) -> None:
    """Requests arrive, answers do not: the witness has cosigned what the log has not got."""
    nets.rule("witness", "-d", f"{_NET}.{_HOSTS['log']}", "-p", "tcp", "-m", "length", "--length", "100:", "-j", "DROP")


def _reset(nets: Nets, town: Town, _: Any) -> None:
    nets.rule("log", "-p", "tcp", "-d", f"{_NET}.{_HOSTS['witness']}", "-j", "REJECT", "--reject-with", "tcp-reset")


def _unplugged(nets: Nets, town: Town, _: Any) -> None:
    nets.run("witness", "ip", "link", "set", "eth0", "down")


def _one_away(nets: Nets, town: Town, chance: Any) -> None:
    port = chance.choice(town.witnesses).url.rsplit(":", 1)[1]
    nets.rule(
        "log", "-p", "tcp", "-d", f"{_NET}.{_HOSTS['witness']}", "--dport", port,
        "-j", "REJECT", "--reject-with", "tcp-reset",
    )  # fmt: skip


def _no_mirror(nets: Nets, town: Town, _: Any) -> None:
    nets.rule("mirror", "-j", "DROP")


def _lossy(nets: Nets, town: Town, _: Any) -> None:
    nets.rule("log", "-m", "statistic", "--mode", "random", "--probability", "0.3", "-j", "DROP")


#: What is cut, and whether anything may be acknowledged meanwhile: no, yes, or who knows.
CUTS = {
    "silent": (_silent, False),
    "deaf": (_deaf, False),
    "reset": (_reset, False),
    "unplugged": (_unplugged, False),
    "one witness away": (_one_away, True),
    "no mirror": (_no_mirror, True),
    "30 % lost": (_lossy, None),
}


def partition(scratch: Path, trials: int, seed: int, *, stop: bool = False, **_: Any) -> Tally:
    """Cut, submit, heal: without a quorum nothing is acknowledged, afterwards everything goes on, and no fork."""
    need("ip", "iptables", "nsenter")
    need_servers()
    tally = Tally("partitions between namespaces", stop)
    home = Shelf(scratch).home(scratch / "home", 3)
    acks, seen, worst = [], [], 0.0
    with Nets() as nets, _town(scratch, home, nets) as town:
        crowd = Crowd(town.log.url, itertools.count(), timeout=30)
        try:
            for trial in range(trials):
                name = sorted(CUTS)[(seed + trial) % len(CUTS)]
                verdict = Verdict()
                healed = _cut(nets, town, crowd, verdict, name, dice(f"{seed}/{trial}"))
                worst = max(worst, healed)
                verdict.wrong += crowd.wrong[:2]
                tally.count(name)
                tally.trial(verdict, about=f"seed {seed}, trial {trial}: {name}")
        finally:
            crowd.end()
        behind = town.follows(_HEALED) or town.copied()
        tally.check(not behind, behind, about="the end")
        acks, seen = crowd.acks, crowd.seen
    tally.acks, tally.seen = len(acks), len(seen)
    verdict = judge(home, acks, seen, more=900_000)
    consistent(verdict, home, town.memory)
    tally.trial(verdict, about="the end")
    tally.note = f"acknowledging again at most {worst:.1f} s after the healing"
    tally.seconds = time.monotonic() - tally.started
    return tally


def _cut(nets: Nets, town: Town, crowd: Crowd, verdict: Verdict, name: str, chance: Any) -> float:
    """One cut; how long after the healing the first receipt came."""
    cut, acknowledges = CUTS[name]
    if not crowd.wait(2, _HEALED):
        verdict.wrong.append(f"nothing is acknowledged on a whole net: {town.log.told[-300:]}")
    cut(nets, town, chance)
    done, before = time.time(), len(crowd.seen)
    crowd.wait(1 << 30, 2.5 + chance.random())
    # What was cosigned before may still be answered; witnesses' clocks count whole seconds.
    times = [sight(raw, AGREEMENT).by for raw in crowd.seen[before:]]
    if acknowledges is False and any(by > done + 1 for by in times):
        verdict.wrong.append("acknowledged with cosignatures that cannot have come through")
    if acknowledges is True and not crowd.wait(1, _HEALED):
        verdict.wrong.append("with three of four witnesses nothing is acknowledged")
    nets.heal()
    begun = time.monotonic()
    if not crowd.wait(1, _HEALED):
        verdict.wrong.append(f"{_HEALED:.0f} s after the healing nothing is acknowledged")
    healed = time.monotonic() - begun
    if behind := town.follows(_HEALED):
        verdict.wrong.append(behind)
    return healed


@contextlib.contextmanager
def _town(scratch: Path, home: Path, nets: Nets) -> Iterator[Town]:
    town = Town(scratch, home, nets.place)
    try:
        town.start()
        yield town
    finally:
        town.stop()
