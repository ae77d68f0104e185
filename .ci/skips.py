# SPDX-License-Identifier: Apache-2.0
"""Say which tests were skipped and why: `skipped 3: go peer absent: fsck x2; package index unreachable x1`.

A test may be skipped for want of something that this machine cannot have, and of nothing that it has: with --shared,
"shared data absent" is a failure, and a peer is one where its toolchain is installed. Standard library only.
"""

from __future__ import annotations

import shutil
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

#: Beginning of a reason → the program that is enough for .ci/setup to build what was missed.
BUILT_WITH = {
    "go peer absent": "go",
    "npm peer absent": "npm",
    "MinIO is absent": "go",
    "PostgreSQL is absent": "apt-get",
    "prometheus is absent": "apt-get",
}


def reasons(junit: str) -> Counter[str]:
    """Reason → number of tests skipped for it; expected failures are none of them."""
    found = ET.fromstring(junit).iter("skipped")  # noqa: S314  written by our own pytest a moment ago
    return Counter(skip.get("message", "") for skip in found if skip.get("type") == "pytest.skip")


def excuse(reason: str, *, shared: bool) -> str:
    """Why a test may not be skipped for this reason here; empty if it may."""
    if reason.startswith("shared data absent") and shared:
        return "the shared data is here, and this part of it was not found"
    for beginning, program in BUILT_WITH.items():
        if reason.startswith(beginning) and shutil.which(program):
            return f"{program} is installed: see what .ci/setup says"
    return ""


def main(path: str, *options: str) -> int:
    """Print the line; 1 if a test was skipped that could have run."""
    skipped = reasons(Path(path).read_text(encoding="utf-8"))
    told = "; ".join(f"{reason} x{count}" for reason, count in skipped.most_common())
    print(f"skipped {skipped.total()}: {told or 'nothing'}")
    refused = {reason: why for reason in skipped if (why := excuse(reason, shared="--shared" in options))}
    for reason, why in refused.items():
        print(f"ci: skipped without need: {reason} ({why})", file=sys.stderr)
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
