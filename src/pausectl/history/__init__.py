# SPDX-License-Identifier: Apache-2.0
"""Every reader's room, since reading is a right and not a role: fetch, authenticate, replay, carry away."""
