# SPDX-License-Identifier: Apache-2.0
"""The front door: one file per party, opened only when asked for."""
