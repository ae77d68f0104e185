# SPDX-License-Identifier: Apache-2.0
"""The researcher's room: a fake world, the evasions tried in it, and the test vectors it yields.

`check_store` is for whoever writes a store for logs: it says which of its promises the store does not keep.
"""

from pausectl.sim.stores import check_store

__all__ = ["check_store"]
