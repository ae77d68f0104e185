# SPDX-License-Identifier: Apache-2.0
"""The lab's room, where a claim is born: collect, seal, attest, answer challenges."""
