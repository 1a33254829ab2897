"""How long a change takes from its commit until an instance has applied it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from downhaul_server.services.audience import Group
from downhaul_server.services.fleet import Fleet
from downhaul_server.services.instances import Entry
from downhaul_server.store import Entry as LogEntry
from downhaul_server.store import Store, View

MOST = 1000
"""Commits whose time is remembered."""

Measured = Callable[[str, float], None]


class Latency:
    """Measures the reports that come to this process."""

    def __init__(self, store: Store, fleet: Fleet) -> None:
        self._clock = store.clock
        self._committed: dict[int, float] = {}
        self._listeners: list[Measured] = []
        store.subscribe(self._remember)
        fleet.on_applied(self._measure)

    def on_measured(self, listener: Measured) -> None:
        """Call this with the service and the seconds."""
        self._listeners.append(listener)

    def _remember(self, view: View, entry: LogEntry | None) -> None:
        if entry is None:
            self._committed = {}
            return
        self._committed[entry.revision] = datetime.fromisoformat(entry.at).timestamp()
        if len(self._committed) > MOST:
            del self._committed[next(iter(self._committed))]

    def _measure(self, group: Group, entry: Entry) -> None:
        """Who was there before the commit; who has just started, loads what it finds."""
        at = self._committed.get(entry.revision or 0)
        if at is None or entry.applied_at is None:
            return
        committed = self._clock.to_local(at * 1000)
        if entry.first < committed:
            for listener in self._listeners:
                listener(group[0], max(entry.applied_at - committed, 0.0))
