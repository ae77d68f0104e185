# SPDX-License-Identifier: Apache-2.0
"""The reader's room: a verdict told in text, HTML, JSON or SARIF."""
