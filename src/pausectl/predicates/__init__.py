# SPDX-License-Identifier: Apache-2.0
"""Everybody's vocabulary: one file is one type of claim and one page in specs/predicates/."""
