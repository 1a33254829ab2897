"""The instances of one service in one environment. Not safe to share between threads: `Fleet` has the lock."""

from __future__ import annotations

from dataclasses import dataclass

from downhaul_server.services.audience import Group
from downhaul_server.services.errors import Overloaded
from downhaul_server.services.instances import FIRST_INTERVAL_S, Entry, State, merged
from downhaul_server.services.watches import Watch

MOST_INSTANCES = 50_000
"""A client that makes up processes must not fill Redis."""
MAKE_ROOM_S = 10.0
LONGEST_INTERVAL_S = 60
INSTANCES_PER_SECOND = 100
"""So many regular reports a second are asked for, until the interval is at its longest."""
UNSPREAD = 250
SPREAD_PER_SECOND = 2500
"""So many reports a second are asked of a large fleet that has just got a change."""


@dataclass(frozen=True, slots=True)
class Pace:
    """When an instance is to report again."""

    next_report_s: int
    spread_ms: int
    """Over how many milliseconds reports that follow a change are to be spread."""


def pace(instances: int) -> Pace:
    """How a fleet of this size is to report."""
    interval = min(max(int(FIRST_INTERVAL_S), instances // INSTANCES_PER_SECOND), LONGEST_INTERVAL_S)
    return Pace(interval, 0 if instances <= UNSPREAD else instances * 1000 // SPREAD_PER_SECOND)


class Members:
    """See the module."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.entries: dict[str, Entry] = {}
        self.watches: list[Watch] = []
        self.pace = pace(0)
        self.streams: dict[str, list[float]] = {}
        """Those that this process holds open: process -> when each was opened."""
        self._full_until = float("-inf")
        self._evicted: set[str] = set()

    def merge(self, entry: Entry, now: float) -> Entry:
        """Take in what is told of an instance; gives all that is known of it now. Raises Overloaded."""
        known = self.entries.get(entry.process)
        if known is None:
            self._make_room(now)
            self._evicted.discard(entry.process)
        else:
            entry = merged(known, entry)
        self.entries[entry.process] = entry
        if known is None:
            self.pace = pace(len(self.entries))
        for watch in self.watches:
            watch.see(self.group, entry, now)
        return entry

    def drop(self, processes: list[str]) -> None:
        """They are not known any more."""
        for process in processes:
            del self.entries[process]
            for watch in self.watches:
                watch.drop(self.group, process)
        self.pace = pace(len(self.entries))

    def forgotten(self, now: float) -> list[str]:
        """Those of whom nobody needs to know any more."""
        return [entry.process for entry in self.entries.values() if entry.is_forgotten(now)]

    def take_evicted(self) -> list[str]:
        """Those that made place for others, still to be removed from Redis."""
        evicted, self._evicted = self._evicted, set()
        return list(evicted)

    def _make_room(self, now: float) -> None:
        """Who is gone makes place for who comes. Raises Overloaded."""
        if len(self.entries) < MOST_INSTANCES:
            return
        if now >= self._full_until:
            gone = [entry.process for entry in self.entries.values() if entry.state(now) is State.GONE]
            self.drop(gone)
            self._evicted.update(gone)
            self._full_until = now + MAKE_ROOM_S
        if len(self.entries) >= MOST_INSTANCES:
            service, environment = self.group
            raise Overloaded(f"there are {MOST_INSTANCES} instances of {service} in {environment} already")
