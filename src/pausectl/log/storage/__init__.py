# SPDX-License-Identifier: Apache-2.0
"""Where a log lies: two thin seams, and what stands behind them: `posix`, `memory`, `postgres`, `s3`, or a mixture."""
