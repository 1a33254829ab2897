"""The fleet: every instance of every service and environment, as this process knows it. Safe to share between threads.

A report changes the memory of the process that gets it at once. The others learn of it through the store, in batches;
what they tell comes in the same way.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from downhaul_server.services.access import newest_view
from downhaul_server.services.actors import SdkKey
from downhaul_server.services.audience import Group
from downhaul_server.services.documents import existing
from downhaul_server.services.errors import Forbidden, Overloaded
from downhaul_server.services.instances import Entry, Identity, State, decode, encode, knows_more
from downhaul_server.services.members import Members, Pace, pace
from downhaul_server.services.watches import Watch
from downhaul_server.store import Record, Store, View

log = logging.getLogger(__name__)

VOUCH_S = 0.25
"""How long a report of a revision that this process has not seen yet may wait for it."""
UNSURE_S = 3
"""After a report that could not be believed, the next one is wanted this soon."""
LOAD_S = 2.0

Applied = Callable[[Group, Entry], None]


class Fleet:
    """See the module. Times are seconds of this process's monotonic clock."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.RLock()
        self._groups: dict[Group, Members] = {}
        self._watches: list[Watch] = []
        self._on_applied: list[Applied] = []
        self._on_note: dict[str, Callable[[Any], None]] = {}
        self._epoch: str | None = None

    def follow(self) -> None:
        """Load what Redis holds, and hear what other processes tell, from now on."""
        self._store.subscribe(self._look_at_epoch)
        self._store.news.follow(self, LOAD_S if self._store.health()["source"] == "redis" else 0)

    def now(self) -> float:
        """What the entries' times are to be compared with."""
        return self._store.clock.monotonic()

    def on_applied(self, listener: Applied) -> None:
        """Call this whenever a report to this process says that an instance has come to a newer revision."""
        self._on_applied.append(listener)

    def on_note(self, kind: str, listener: Callable[[Any], None]) -> None:
        """Call this with what other processes tell of this kind."""
        self._on_note[kind] = listener

    # What instances say.

    def report(self, key: SdkKey, report: Mapping[str, Any]) -> Pace:
        """An instance says how it is; `report` has the shape that the API promises.

        Raises Forbidden (the key is not for the service), NotFound, Overloaded (too many instances), Unavailable while
        nothing is loaded.
        """
        view = newest_view(self._store)
        group = _group(view, key, report["service"])
        epoch, revision = report["epoch"], report["revision"]
        now = self.now()
        sure = epoch is not None and revision is not None and self._vouches(view, epoch, revision)
        with self._lock:
            members = self._members(group)
            told = Pace(UNSURE_S, members.pace.spread_ms) if revision is not None and not sure else members.pace
            known = members.entries.get(report["process"])
            entry = self._take(
                group,
                Entry(
                    process=report["process"],
                    identity=Identity(**{name: report.get(name) for name in Identity._fields}),  # type: ignore[arg-type]
                    link=report["link"],
                    heard=now,
                    first=now,
                    interval=told.next_report_s,
                    epoch=epoch,
                    revision=revision,
                    sure=sure,
                    applied_at=now - (report.get("applied_ms") or 0) / 1000,
                    left=now if report.get("leaving") else None,
                ),
                urgent=known is None or not _only_still_there(known, report, sure, now),
            )
        if known and sure and (known.epoch, known.revision) != (entry.epoch, entry.revision):
            for listener in self._on_applied:
                listener(group, entry)
        return told

    def is_new_sequence(self, key: SdkKey, service: str, process: str, sequence: int) -> bool:
        """Whether this batch of an instance's counters has not been taken yet. From now on it has."""
        group = (service, key.environment)
        with self._lock:
            known = self._members(group).entries.get(process)
            if known is None or known.sequence >= sequence:
                return False
            self._take(group, known._replace(sequence=sequence), urgent=False)
            return True

    def stream_opened(self, key: SdkKey, service: str, process: str) -> None:
        """A stream of this process begins. Never raises."""
        group, now = (service, key.environment), self.now()
        with self._lock:
            members = self._members(group)
            members.streams.setdefault(process, []).append(now)
            known = members.entries.get(process) or Entry(process, Identity(), "stream", now, now)
            try:
                self._take(group, known._replace(link="stream", heard=now, opened=now))
            except Overloaded as error:
                log.debug("%s", error)

    def stream_closed(self, key: SdkKey, service: str, process: str, by_client: bool) -> None:
        """A stream of this process has ended; `by_client`: its side has closed it. Never raises."""
        group = (service, key.environment)
        with self._lock:
            members = self._members(group)
            streams = members.streams.pop(process, [])
            began = streams.pop(0) if streams else float("-inf")
            if streams:
                members.streams[process] = streams
            known = members.entries.get(process)
            if by_client and not streams and known is not None and (known.opened or began) <= began:
                self._take(group, known._replace(closed=self.now()))

    # What other processes say.

    def heard(self, group: str, records: list[Record]) -> None:
        """News of the store; or all that it holds."""
        service, _, environment = group.partition("@")
        now, to_local = self.now(), self._store.clock.to_local
        with self._lock:
            for record in records:
                try:
                    told = decode(record, to_local, now)
                    if not told.is_forgotten(now):
                        known = self._merge((service, environment), told, now)
                        if knows_more(known, told):  # and so, before us, it may have been overwritten in Redis
                            self._put((service, environment), known, urgent=False)
                except (ValueError, TypeError, Overloaded) as error:
                    log.debug("%s", error)

    def noted(self, kind: str, data: Any) -> None:
        """Another process tells something else."""
        if kind in self._on_note:
            self._on_note[kind](data)

    # What is known.

    def groups(self) -> list[Group]:
        """Every service and environment that has, or lately had, instances."""
        with self._lock:
            return [group for group, members in self._groups.items() if members.entries]

    def entries(self, group: Group) -> list[Entry]:
        """All that are known there, gone ones too."""
        with self._lock:
            members = self._groups.get(group)
            return list(members.entries.values()) if members else []

    def pace_of(self, group: Group) -> Pace:
        """How the instances of a group are to report."""
        with self._lock:
            members = self._groups.get(group)
            return members.pace if members else pace(0)

    def forget(self) -> dict[Group, list[str]]:
        """Drop what nobody needs to know any more. Gives what was evicted early, to be removed from Redis."""
        evicted = {}
        with self._lock:
            now = self.now()
            for group, members in self._groups.items():
                members.drop(members.forgotten(now))
                evicted[group] = members.take_evicted()
        return evicted

    def is_forgotten(self, record: Record) -> bool:
        """Whether nobody needs a record of the store any more; nor one that cannot be read."""
        now = self.now()
        try:
            return decode(record, self._store.clock.to_local, now).is_forgotten(now)
        except (ValueError, TypeError):
            return True

    # Who waits.

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
        now = self.now()
        with self._lock:
            for group, revision in targets.items():
                if group not in watch.targets:
                    watch.targets[group] = revision
                    members = self._members(group)
                    members.watches.append(watch)
                    for entry in members.entries.values():
                        watch.see(group, entry, now)

    def is_met(self, watch: Watch) -> bool:
        """Whether nobody is pending; leaves out who is gone by now."""
        now = self.now()
        with self._lock:
            while watch.pending:
                group, process = first = next(iter(watch.pending))
                watch.see(group, self._groups[group].entries[process], now)
                if first in watch.pending:
                    return False
            return True

    def wake(self) -> None:
        """Let everybody who waits look again."""
        with self._lock:
            for watch in self._watches:
                watch.moved.set()

    def _members(self, group: Group) -> Members:
        members = self._groups.get(group)
        if members is None:
            members = self._groups[group] = Members(group)
        return members

    def _take(self, group: Group, entry: Entry, *, urgent: bool = True) -> Entry:
        """What an instance has told this process itself; `urgent`: others may wait for it. Raises Overloaded."""
        entry = self._merge(group, entry, self.now())
        self._put(group, entry, urgent=urgent)
        return entry

    def _put(self, group: Group, entry: Entry, *, urgent: bool = True) -> None:
        """Tell all others what is known of an instance."""
        record = partial(encode, entry, self._store.clock.to_redis)
        self._store.news.put("@".join(group), entry.process, record, urgent=urgent)

    def _look_at_epoch(self, view: View, _: object) -> None:
        """A store that was lost has lost the fleet too. What this process knows is told again, for those to come."""
        before, self._epoch = self._epoch, view.epoch
        if before in (None, view.epoch):
            return
        now = self.now()
        with self._lock:
            for group, members in self._groups.items():
                for entry in members.entries.values():
                    if entry.state(now) is not State.GONE:
                        self._put(group, entry)

    def _merge(self, group: Group, entry: Entry, now: float) -> Entry:
        members = self._members(group)
        if not members.entries:
            self.wake()  # whoever waits has not asked this group yet
        return members.merge(entry, now)

    def _vouches(self, view: View, epoch: str, revision: int) -> bool:
        """Whether this process has itself seen this revision in this epoch; waits a little where it lags behind."""
        if view.epoch == epoch and revision > view.revision:
            self._store.wait_for(revision, VOUCH_S)
            view = newest_view(self._store)
        return view.epoch == epoch and revision <= view.revision


def _only_still_there(known: Entry, report: Mapping[str, Any], sure: bool, now: float) -> bool:
    """Whether a report is no news for anybody who waits."""
    return (
        not report.get("leaving")
        and (known.epoch, known.revision, known.sure) == (report["epoch"], report["revision"], sure)
        and known.state(now) is State.LIVE
    )


def _group(view: View, key: SdkKey, service: str) -> Group:
    if not key.reaches(service):
        raise Forbidden(f"the key {key.name} is not for the service {service}")
    existing(view, "service", service)
    existing(view, "environment", key.environment)
    return service, key.environment
