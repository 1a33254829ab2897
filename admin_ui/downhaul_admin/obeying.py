"""How far a kill or a restore has come, as a page tells it: in words, with a bar, and the stragglers by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from downhaul_server.services.acknowledgement import Acknowledgement
from downhaul_server.services.actors import Actor
from downhaul_server.services.container import Services

FAST, SLOW = "300ms", "2s"
FAST_FOR_S = 60.0
"""After the change; whoever has not obeyed by then is waited for at leisure."""
MOST_NAMED = 50


@dataclass(frozen=True, slots=True)
class Obeying:
    """See the module."""

    done: bool
    """Everybody has it, for certain."""
    headline: str
    detail: str
    instances: int
    applied: int
    stragglers: Sequence[dict[str, Any]]
    more: int
    """Stragglers that are not named."""
    every: str | None
    """How often to look again; None: there is nothing to wait for."""
    committed_at: str

    @property
    def missing(self) -> int:
        """Those that have not obeyed."""
        return self.instances - self.applied


def watch(services: Services, actor: Actor, revision: int, environment: str, touched: Sequence[str]) -> Obeying:
    """Of the instances of these services there; of none, of whoever the change concerns.

    Raises NotFound, Forbidden, Unavailable.
    """
    found = services.acknowledgements.of_revision(actor, revision, environment=environment, services=touched)
    return describe(found)


def describe(found: Acknowledgement, now: datetime | None = None) -> Obeying:
    """In words."""
    age = ((now or datetime.now(UTC)) - datetime.fromisoformat(found.committed_at)).total_seconds()
    headline, detail = _words(found)
    return Obeying(
        done=found.confirmed,
        headline=headline,
        detail=detail,
        instances=found.instances,
        applied=found.applied,
        stragglers=[_named(each.to_json()) for each in found.stragglers[:MOST_NAMED]],
        more=max(found.instances - found.applied - MOST_NAMED, 0),
        every=None if found.confirmed else FAST if age < FAST_FOR_S else SLOW,
        committed_at=found.committed_at,
    )


def _words(found: Acknowledgement) -> tuple[str, str]:
    if found.confirmed and not found.instances:
        return "Nobody is connected", "No live process uses this. Whoever starts from now on obeys from the beginning."
    if found.confirmed:
        return _all_obey(found.instances), _how_fast(found)
    if not found.instances or found.applied == found.instances:
        return "Making sure", "The change is made. Asking all servers whether everybody has it."
    missing = found.instances - found.applied
    says = "1 process has not obeyed yet" if missing == 1 else f"{missing} processes have not obeyed yet"
    return f"{found.applied} of {found.instances} obey", f"{says}, and may still serve what was there before."


def _all_obey(number: int) -> str:
    return "The only live process obeys" if number == 1 else f"All {number} obey"


def _how_fast(found: Acknowledgement) -> str:
    if found.latency_ms is None:
        return "Every live process has confirmed it."
    return f"Every live process has confirmed it; the last one after {length(found.latency_ms['max'])}."


def length(milliseconds: float) -> str:
    """`40 ms`, `1.2 s`."""
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


def _named(straggler: dict[str, Any]) -> dict[str, Any]:
    seconds = straggler["last_seen_s"]
    ago = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"
    silent = straggler["link"] == "silent"
    return straggler | {"heard": f"silent for {ago}" if silent else f"heard {ago} ago, not obeyed yet"}
