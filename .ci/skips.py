# SPDX-License-Identifier: Apache-2.0
"""Say which tests were skipped and why: `skipped 3: go is absent x2; package index unreachable x1`.

With --shared, a test skipped because "shared data absent" is a failure. Standard library only.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path


def reasons(junit: str) -> Counter[str]:
    """Reason → number of tests skipped for it; expected failures are none of them."""
    found = ET.fromstring(junit).iter("skipped")  # noqa: S314  written by our own pytest a moment ago
    return Counter(skip.get("message", "") for skip in found if skip.get("type") == "pytest.skip")


def main(path: str, *options: str) -> int:
    """Print the line; 1 if shared data was there and yet a test did not find its part of it."""
    skipped = reasons(Path(path).read_text(encoding="utf-8"))
    told = "; ".join(f"{reason} x{count}" for reason, count in skipped.most_common())
    print(f"skipped {skipped.total()}: {told or 'nothing'}")
    lost = [reason for reason in skipped if reason.startswith("shared data absent")]
    if "--shared" in options and lost:
        print(f"ci: {len(lost)} parts of the shared data were not found", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
