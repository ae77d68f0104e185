# SPDX-License-Identifier: Apache-2.0
"""The log operator's room, where claims are kept: admit, sequence, publish."""
