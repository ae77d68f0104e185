# SPDX-License-Identifier: Apache-2.0
"""The researcher's room: a fake world, the evasions tried in it, and the test vectors it yields."""
