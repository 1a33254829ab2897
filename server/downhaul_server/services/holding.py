"""How safe the last change of this request is, for whoever answers it."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from downhaul_server.store import Committed


@dataclass(frozen=True, slots=True)
class Held:
    """What a change survives, and who holds it."""

    survives: str
    """`failover`: the loss of the primary. `crash`: a crash of Redis. `uncertain`: neither for certain."""
    replicas: int | None
    """How many replicas have confirmed it; None when none were asked."""
    replicas_wanted: int

    def to_json(self) -> dict[str, Any]:
        """As the API answers it."""
        return {"survives": self.survives, "replicas": self.replicas, "replicas_wanted": self.replicas_wanted}


_last: ContextVar[Held | None] = ContextVar("held", default=None)


def held_by(committed: Committed) -> Held:
    """Of a commit."""
    return Held(committed.survives, committed.replicas, committed.replicas_wanted)


def forget() -> None:
    """A request begins."""
    _last.set(None)


def note(committed: Committed) -> None:
    """A change was made. Of several, the one that is least safe counts: it is what the answer may promise."""
    held, before = held_by(committed), _last.get()
    if before is None or _safety(held) <= _safety(before):
        _last.set(held)


def of_this_request() -> Held | None:
    """None when it has changed nothing."""
    return _last.get()


def _safety(held: Held) -> int:
    return ("uncertain", "crash", "failover").index(held.survives)
