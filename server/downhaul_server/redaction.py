"""What no line of any log may hold: tokens, secrets of webhooks, and the paths that are secrets themselves."""

from __future__ import annotations

import re

HIDDEN = "[hidden]"
TOKEN = re.compile(r"\b(dh_[a-z]{2,12}_|whsec_)[A-Za-z0-9_+/=-]+")
LINK = re.compile(r"(?<![\w.-])/k/[^\s\"'?#<>\\]+")
"""The path of a kill link: who has it, may kill."""


def hide(text: str) -> str:
    """The text with whatever looks like a secret of ours taken out, and what kind it was left in."""
    return LINK.sub(f"/k/{HIDDEN}", TOKEN.sub(rf"\1{HIDDEN}", text))
