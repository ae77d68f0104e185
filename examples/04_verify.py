# SPDX-License-Identifier: Apache-2.0
"""Judge a ledger: one verdict for each lab and window, with the evidence, and what was not shown."""

from pausectl.sim.world import World
from pausectl.verify.audit import verify

world = World(windows=4, pause_at=2)
world.run()

report = verify(world.source().fetch, world.agreement)
for lab, verdict in report.verdicts.items():
    print(f"{lab}: {verdict}")
for finding in report.judgement.findings:
    if finding.lab == "aurora" and finding.rule == "ENG-2":
        print(f"{finding.rule} {finding.outcome}, entries {finding.entries}: {finding.message}")
        break
print("not shown:", report.not_shown[0])
