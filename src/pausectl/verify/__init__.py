# SPDX-License-Identifier: Apache-2.0
"""The verifier's room, where a history is judged: rules, challenges, verdicts."""
