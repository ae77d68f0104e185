# SPDX-License-Identifier: Apache-2.0
"""Everybody's arithmetic: units, balances, energy, sampling and sequential tests; numbers in, numbers out."""
