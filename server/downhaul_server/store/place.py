"""Is what Redis holds the history that this process serves? The decision, apart from all I/O."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from downhaul_server.store.errors import StoreDiverged
from downhaul_server.store.keys import SCHEMA
from downhaul_server.store.view import View


@dataclass(frozen=True, slots=True)
class Place:
    """Where Redis says that the store is."""

    schema: int
    epoch: str
    revision: int
    chain: str
    succeeds: tuple[str, ...]
    """Epochs that this one follows by an operator's decision."""
    chain_at_ours: str | None
    """Chain of the log entry at the revision that was asked about; None when the log has no such entry."""
    lost: str | None = None
    """A revision of this epoch that some server has served, and that Redis lacks."""

    def chain_of(self, revision: int) -> str | None:
        """Of the entry at the revision that was asked about; None when the log has no such entry."""
        return self.chain if self.revision == revision else self.chain_at_ours


class Verdict(Enum):
    """What the follower does next."""

    CREATE = auto()
    """Neither Redis nor we have anything: a new store."""
    LOAD = auto()
    """Redis has what we do not have: load all of it."""
    FOLLOW = auto()
    """Our revision is in its log: follow from there."""


def judge(view: View | None, place: Place | None) -> Verdict:
    """`view` is what this process serves, `place` what Redis holds; None is nothing at all.

    Raises StoreDiverged, with the reason, when serving what Redis holds would silently undo what was served.
    """
    if place is not None and place.schema != SCHEMA:
        raise StoreDiverged(f"Redis holds a store of schema {place.schema}; this release knows {SCHEMA}")
    if view is None:
        return Verdict.CREATE if place is None else Verdict.LOAD
    served = f"this server has served revision {view.revision} of epoch {view.epoch}"
    if place is None:
        raise StoreDiverged(f"Redis is empty, while {served}")
    if place.epoch != view.epoch:
        if view.epoch in place.succeeds:
            return Verdict.LOAD
        raise StoreDiverged(f"Redis holds epoch {place.epoch}, while {served}")
    if place.revision < view.revision:
        raise StoreDiverged(f"Redis is back at revision {place.revision}, while {served}")
    there = place.chain_of(view.revision)
    if there not in (None, view.chain):
        raise StoreDiverged(f"Redis holds another history up to revision {view.revision}, while {served}")
    if place.lost is not None:
        raise StoreDiverged(
            f"Redis is at revision {place.revision} of epoch {place.epoch}, and lacks revision {place.lost}, "
            "which another server has served"
        )
    return Verdict.LOAD if there is None else Verdict.FOLLOW
