"""The store's health in words for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

STATES = {
    "following": ("good", "Healthy", "Every change reaches this server as it is made."),
    "away": ("fair", "Redis is away", "Reads go on from memory; changes, kills too, wait until it is back."),
    "loading": (
        "bad",
        "Nothing loaded yet",
        "Redis has not answered since this server started, and it has no checkpoint.",
    ),
    "diverged": (
        "bad",
        "An operator must decide",
        "Redis does not hold the history that this server has served: run downhaul-server check, then recover.",
    ),
}
MINUTE_S = 60.0
HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Health:
    """What the page shows; `tone` is good, fair or bad."""

    tone: str
    title: str
    meaning: str
    facts: tuple[tuple[str, str], ...]
    """(name, value)"""
    warnings: tuple[str, ...]


def describe(health: Mapping[str, Any]) -> Health:
    """From what `Services.health` gives."""
    tone, title, meaning = STATES[health["state"]]
    warnings = tuple(health["warnings"])
    if tone == "good" and warnings:
        tone, title = "fair", "Healthy, with warnings"
    facts = [
        ("Revision", _text(health["revision"])),
        ("Confirmed", _age(health["age_s"])),
        ("A crash of Redis keeps", str(health["durability"].get("survives_crash", "not known yet"))),
        ("A failover keeps", str(health["durability"].get("survives_failover", "not known yet"))),
        ("Replicas", _replicas(health["durability"])),
    ]
    return Health(tone, title, meaning, tuple(facts), warnings)


def _replicas(durability: Mapping[str, Any]) -> str:
    connected, wanted = durability.get("replicas"), durability.get("replicas_wanted", 0)
    if connected is None:
        return "not known"
    if not wanted:
        return f"{connected} connected; no change waits for one"
    confirmed = durability.get("replicas_confirmed")
    last = "" if confirmed is None else f"; {confirmed} confirmed the last one"
    return f"{connected} connected; each change waits for {wanted}{last}"


def _text(revision: int | None) -> str:
    return "none yet" if revision is None else str(revision)


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "not yet"
    if seconds < MINUTE_S:
        return "just now" if seconds < 5 else f"{seconds:.0f} s ago"
    return f"{seconds / MINUTE_S:.0f} min ago" if seconds < HOUR_S else f"{seconds / HOUR_S:.0f} h ago"
