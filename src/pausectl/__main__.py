# SPDX-License-Identifier: Apache-2.0
"""`python -m pausectl` is `pausectl`."""

from __future__ import annotations

import sys

from pausectl.cli import main

if __name__ == "__main__":
    sys.exit(main())
