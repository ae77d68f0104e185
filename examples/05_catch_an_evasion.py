# SPDX-License-Identifier: Apache-2.0
"""Write a cheat of your own and see what catches it."""

from pausectl.sim.world import BUSY, QUIET, Lab, Shares, World


class NightShift(Lab):
    """Trains in the second paused window only, and files that window like the first."""

    def work(self, world: World, window: int) -> Shares:
        """What its accelerators do."""
        return BUSY if window == 3 else super().work(world, window)

    def files_work(self, world: World, window: int) -> Shares:
        """What it says they did."""
        return QUIET if world.paused(window) else BUSY


world = World(labs={"borealis": NightShift("borealis")})
world.run()
report = world.verify()
print(", ".join(f"{lab} {verdict}" for lab, verdict in report.verdicts.items()))
for finding in report.judgement.findings:
    if finding.outcome == "VIOLATED":
        print(f"{finding.rule}: {finding.message}")
