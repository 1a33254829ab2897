"""What both microservices say about themselves and about a flag."""

from __future__ import annotations

import os
from typing import Any

from downhaul import flags

# Before the fork, so that no process answers its first customer with defaults.
flags.wait_ready(5.0)

CUSTOMERS: dict[str, dict[str, Any]] = {
    "ada": {"country": "DE", "plan": "pro", "email": "ada@example.org"},
    "kim": {"country": "FR", "plan": "free", "email": "kim@example.org"},
    "sam": {"country": "AT", "plan": "free", "email": "sam@example.com"},
}
"""Attributes of the customers that a visitor of the demo can be."""


def customer(name: str | None) -> str:
    """The customer of this name; the first one when there is none."""
    return name if name in CUSTOMERS else next(iter(CUSTOMERS))


def attributes(name: str) -> dict[str, Any]:
    """The context in which flags are evaluated for this customer."""
    return {"user": name, **CUSTOMERS[name]}


def process() -> dict[str, Any]:
    """Which process this is, and what it has: pid and revision."""
    return {"pid": os.getpid(), "revision": flags.status().revision}
