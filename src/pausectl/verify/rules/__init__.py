# SPDX-License-Identifier: Apache-2.0
"""The verifier's rules: one file is one chapter of specs/, one function is one MUST."""
