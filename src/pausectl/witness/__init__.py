# SPDX-License-Identifier: Apache-2.0
"""The witness's room, where one truth is made sure of: cosign only what extends what was cosigned before."""
