# SPDX-License-Identifier: Apache-2.0
"""Exact bytes: one file, one published format. Pure: no I/O, no clock, no chance; strict in, canonical out."""
