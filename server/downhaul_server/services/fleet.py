"""The fleet: every instance of every service and environment, as this process knows it. Safe to share between threads.

Reports change the memory of the process that gets them at once. The other processes learn through the store, in
batches; what they tell comes in the same way.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from downhaul_server.services.access import newest_view
from downhaul_server.services.actors import SdkKey
from downhaul_server.services.audience import Group, services_in_snapshot
from downhaul_server.services.documents import existing
from downhaul_server.services.errors import Forbidden, Overloaded
from downhaul_server.services.instances import FIRST_INTERVAL_S, Entry, Identity, State, merged
from downhaul_server.services.ruleset import revision_of
from downhaul_server.store import Store, View

MOST_INSTANCES = 50_000
"""Of one service in one environment: a client that makes up processes must not fill Redis."""
LONGEST_INTERVAL_S = 60
INSTANCES_PER_SECOND = 100
"""So many regular reports a second are asked of one service and environment, before the interval is at its longest."""
UNSPREAD = 250
SPREAD_PER_SECOND = 2500
"""So many reports a second are asked of a large fleet that has just got a change."""
VOUCH_S = 0.25
"""How long a report of a revision that this process has not seen yet may wait for it."""
UNSURE_S = 3
"""After a report that could not be believed, the next one is asked for this soon."""


@dataclass(frozen=True, slots=True)
class Pace:
    """When an instance is to report again."""

    next_report_s: int
    spread_ms: int
    """Over how many milliseconds reports that follow a change are to be spread."""


class Watch:
    """Somebody waits until a revision has been applied by all. Each report costs it a look-up, however many there are.

    Belongs to a `Fleet`, under whose lock it is changed.
    """

    def __init__(self, epoch: str) -> None:
        self.epoch = epoch
        self.targets: dict[Group, int] = {}
        self.pending: set[tuple[Group, str]] = set()
        """Those that have not applied it."""
        self.moved = threading.Event()
        """Nobody is pending any more, or there is a group that was not asked for; or it is time to stop."""

    def see(self, group: Group, entry: Entry, now: float) -> None:
        """An instance was heard of."""
        if entry.has_applied(self.epoch, self.targets[group]) or entry.state(now) is State.GONE:
            if (group, entry.process) in self.pending:
                self.pending.remove((group, entry.process))
                if not self.pending:
                    self.moved.set()
        else:
            self.pending.add((group, entry.process))


@dataclass(slots=True)
class _Members:
    """The instances of one service in one environment."""

    entries: dict[str, Entry] = field(default_factory=dict)
    watches: list[Watch] = field(default_factory=list)
    pace: Pace = Pace(int(FIRST_INTERVAL_S), 0)
    opened: dict[str, list[float]] = field(default_factory=dict)
    """Streams that this process holds open: process -> when each was opened."""


class Fleet:
    """See the module. Times are seconds of `clock`, which is monotonic."""

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._lock = threading.RLock()
        self._groups: dict[Group, _Members] = {}
        self._watches: list[Watch] = []

    def now(self) -> float:
        """Seconds of the clock that the entries' times are of."""
        return self._clock()

    def report(self, key: SdkKey, report: Mapping[str, Any]) -> Pace:
        """An instance says how it is; `report` has the shape that the API promises.

        Raises Forbidden (the key is not for the service), NotFound, Overloaded (too many instances), Unavailable while
        nothing is loaded.
        """
        group = self._group(key, report["service"])
        now = self._clock()
        epoch, revision = report.get("epoch"), report.get("revision")
        sure = epoch is not None and revision is not None and self._vouches(epoch, revision)
        told = self._pace_of(group) if sure or revision is None else Pace(UNSURE_S, 0)
        entry = Entry(
            process=report["process"],
            identity=Identity(**{name: report[name] for name in Identity._fields if report.get(name) is not None}),
            link=report["link"],
            heard=now,
            first=now,
            interval=told.next_report_s,
            epoch=epoch,
            revision=revision,
            sure=sure,
            applied_at=now - (report.get("applied_ms") or 0) / 1000,
            left=now if report.get("leaving") else None,
        )
        with self._lock:
            self._take(group, entry, now)
        return told

    def stream_opened(self, key: SdkKey, service: str, process: str) -> None:
        """A stream of this process begins. Never raises."""
        group, now = (service, key.environment), self._clock()
        with self._lock:
            known = self._members(group).entries.get(process) or Entry(process, Identity(), "stream", now, now)
            self._members(group).opened.setdefault(process, []).append(now)
            if len(self._members(group).entries) < MOST_INSTANCES or process in self._members(group).entries:
                self._take(group, known._replace(link="stream", heard=now, opened=now), now)

    def stream_closed(self, key: SdkKey, service: str, process: str, by_client: bool) -> None:
        """A stream of this process has ended. Never raises."""
        group, now = (service, key.environment), self._clock()
        with self._lock:
            members = self._members(group)
            began = members.opened.get(process, [now]).pop(0)
            if not members.opened.get(process):
                members.opened.pop(process, None)
            entry = members.entries.get(process)
            if not by_client or entry is None or process in members.opened:
                return
            if entry.opened is not None and entry.opened > began:
                return  # it has a later stream, at another server
            self._take(group, entry._replace(closed=now), now)

    def groups(self) -> list[Group]:
        """Every service and environment that has, or lately had, instances."""
        with self._lock:
            return [group for group, members in self._groups.items() if members.entries]

    def entries(self, group: Group) -> list[Entry]:
        """All that are known there, gone ones too."""
        with self._lock:
            members = self._groups.get(group)
            return list(members.entries.values()) if members else []

    @contextmanager
    def watching(self, epoch: str) -> Iterator[Watch]:
        """A watch without targets yet."""
        watch = Watch(epoch)
        with self._lock:
            self._watches.append(watch)
        try:
            yield watch
        finally:
            with self._lock:
                self._watches.remove(watch)
                for group in watch.targets:
                    self._groups[group].watches.remove(watch)

    def aim(self, watch: Watch, targets: Mapping[Group, int]) -> None:
        """Let a watch wait for these groups too."""
        now = self._clock()
        with self._lock:
            for group, revision in targets.items():
                if group not in watch.targets:
                    watch.targets[group] = revision
                    members = self._members(group)
                    members.watches.append(watch)
                    for entry in members.entries.values():
                        watch.see(group, entry, now)

    def is_met(self, watch: Watch) -> bool:
        """Whether nobody is pending; leaves out those who are gone by now."""
        now = self._clock()
        with self._lock:
            for group, process in list(watch.pending):
                watch.see(group, self._groups[group].entries[process], now)
            return not watch.pending

    def wake(self) -> None:
        """Let everybody who waits look again."""
        with self._lock:
            for watch in self._watches:
                watch.moved.set()

    def _group(self, key: SdkKey, service: str) -> Group:
        if not key.reaches(service):
            raise Forbidden(f"the key {key.name} is not for the service {service}")
        view = newest_view(self._store)
        existing(view, "service", service)
        existing(view, "environment", key.environment)
        return service, key.environment

    def _members(self, group: Group) -> _Members:
        if group not in self._groups:
            self._groups[group] = _Members()
        return self._groups[group]

    def _take(self, group: Group, entry: Entry, now: float) -> None:
        members = self._members(group)
        known = members.entries.get(entry.process)
        if known is None:
            if len(members.entries) >= MOST_INSTANCES:
                raise Overloaded(f"there are {MOST_INSTANCES} instances of {group[0]} in {group[1]} already")
            if not members.entries:
                for watch in self._watches:
                    watch.moved.set()
            members.entries[entry.process] = entry
            members.pace = pace(len(members.entries))
        else:
            entry = members.entries[entry.process] = merged(known, entry)
        for watch in members.watches:
            watch.see(group, entry, now)

    def _pace_of(self, group: Group) -> Pace:
        with self._lock:
            return self._members(group).pace

    def _vouches(self, epoch: str, revision: int) -> bool:
        """Whether this process has itself seen this revision in this epoch; waits a little where it lags behind."""
        view = newest_view(self._store)
        if view.epoch == epoch and revision > view.revision:
            self._store.wait_for(revision, VOUCH_S)
            view = newest_view(self._store)
        return view.epoch == epoch and revision <= view.revision


def pace(instances: int) -> Pace:
    """How a fleet of this size is to report."""
    interval = min(max(int(FIRST_INTERVAL_S), instances // INSTANCES_PER_SECOND), LONGEST_INTERVAL_S)
    return Pace(interval, 0 if instances <= UNSPREAD else instances * 1000 // SPREAD_PER_SECOND)


def snapshot_revision(view: View, group: Group) -> int:
    """Revision of the snapshot that the group's instances should have."""
    return revision_of(view, services_in_snapshot(view, group[0]), group[1])
