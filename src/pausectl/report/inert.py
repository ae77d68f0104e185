# SPDX-License-Identifier: Apache-2.0
"""Text that others wrote, made safe to show. Apart from `terminal`: an error line must not load the verifier."""

from __future__ import annotations

import unicodedata

_OBEYED = ("C", "Zl", "Zp")  # controls, format and bidirectional characters, unassigned ones; the two line separators


def safe(text: str) -> str:
    """The same text with nothing in it that a terminal obeys, that turns a line around, or that begins another."""
    return "".join(f"<U+{ord(c):04X}>" if unicodedata.category(c).startswith(_OBEYED) else c for c in text)
