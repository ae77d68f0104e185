# SPDX-License-Identifier: Apache-2.0
"""Who a commit says it was written by: exact names and addresses of agents, never a part of one.

"anthropic", "devin" and "amp" as substrings also hit employees, adevinta.com and a user called pcamp. A name alone
convicts nobody either (people are called Claude): either the address is an agent's, or the name can be nobody else's.
"""

from __future__ import annotations

import re
from functools import lru_cache

#: Addresses under which agents commit or are named in a trailer.
ADDRESSES = frozenset(
    {
        "agent@warp.dev", "aider@aider.chat", "amp@ampcode.com", "codex@openai.com", "crush@charm.land",
        "cursoragent@cursor.com", "noreply@aider.chat", "noreply@anthropic.com", "noreply@openai.com",
        "noreply@opencode.ai", "openhands@all-hands.dev", "oz-agent@warp.dev",
    }
)  # fmt: skip
#: GitHub accounts of agents: the login in [ID+]LOGIN@users.noreply.github.com, and the names that GitHub gives them.
LOGINS = frozenset(
    {
        "amp-code[bot]", "chatgpt-codex-connector[bot]", "claude[bot]", "codegen-sh[bot]", "copilot",
        "copilot-swe-agent[bot]", "cursor[bot]", "devin-ai-integration[bot]", "factory-droid[bot]",
        "gemini-code-assist[bot]", "google-labs-jules[bot]", "sweep-ai[bot]",
    }
)  # fmt: skip
#: Names that nobody bears.
NAMES = frozenset({"claude code", "copilot autofix powered by ai", "github copilot", "openai codex"})
_MODEL = re.compile(r"claude (?:fable|haiku|mythos|opus|sonnet) \d+(?:\.\d+)?(?: \(1m context\))?|aider \([^()]+\)")
_BOTS = frozenset({"action@github.com", "actions@github.com", "bot@renovateapp.com", "support@dependabot.com"})

_NOREPLY = "@users.noreply.github.com"
_TRAILER = re.compile(rb"^co-authored-by:[ \t]*([^<>\r\n]*)<([^<>\r\n]*)>[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_GENERATED = re.compile(
    rb"^(?:\xf0\x9f[\x80-\xbf]{2} ?)?Generated with "
    rb"\[?(?:Amp|Claude Code|Codex|Crush|Cursor|Gemini CLI|GitHub Copilot|opencode)\]?(?:\([^()\s]*\))?\.?[ \t]*\r?$",
    re.MULTILINE,
)

#: Markers that say an agent wrote it, and those that only say one was near: aider marks the committer also when it
#: commits what a person had changed, and can be told to begin every subject with its name.
STRONG = ("coauthor", "generated_with", "author", "note")
WEAK = ("committer", "subject")


def login(address: str) -> str:
    """Of one of GitHub's own addresses, else empty: `123+octo[bot]@users.noreply.github.com` → `octo[bot]`."""
    low = address.lower()
    return low.removesuffix(_NOREPLY).rpartition("+")[2] if low.endswith(_NOREPLY) else ""


@lru_cache(maxsize=65_536)
def agent(name: str, address: str) -> bool:
    """Whether this name and address together are an agent's."""
    low = " ".join(name.lower().split())
    return (
        address.strip().lower() in ADDRESSES
        or login(address.strip()) in LOGINS
        or low in NAMES
        or (low in LOGINS and low.endswith("[bot]"))
        or name.rstrip().endswith(" (aider)")
        or _MODEL.fullmatch(low) is not None
    )


@lru_cache(maxsize=65_536)
def bot(name: str, address: str) -> bool:
    """Whether they are those of a program that is no agent, like one that raises dependencies."""
    return name.endswith("[bot]") or login(address).endswith("[bot]") or address.lower() in _BOTS


@lru_cache(maxsize=65_536)
def identity(name: str, address: str) -> str:
    """One engineer under one name: the address as .mailmap has it, GitHub's without the account's number."""
    octo = login(address)
    return octo + _NOREPLY if octo else address.strip().lower() or name.removesuffix(" (aider)").strip().lower()


def markers(author: tuple[str, str], committer: tuple[str, str], message: bytes) -> set[str]:
    """Which markers a commit carries, of STRONG (but for notes, which lie elsewhere) and WEAK."""
    found = set()
    if agent(*author):
        found.add("author")
    elif agent(*committer):
        found.add("committer")
    if any(agent(_text(name), _text(mail)) for name, mail in _TRAILER.findall(message)):
        found.add("coauthor")
    if b"Generated with " in message and _GENERATED.search(message):
        found.add("generated_with")
    if message.startswith(b"aider:"):
        found.add("subject")
    return found


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape").strip()
