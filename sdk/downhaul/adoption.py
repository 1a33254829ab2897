"""From what the service sends to what is in force: checked, put in order, compiled, kept on disk.

Nothing but a newer valid snapshot, or a valid change of the one in force, ever takes the place of a snapshot.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from time import monotonic, time
from typing import TYPE_CHECKING, Any

from downhaul import backoff
from downhaul.cache import SnapshotCache
from downhaul.forks import guard
from downhaul.health import Once, log
from downhaul.report import Reporter
from downhaul.snapshot import Change, Snapshot, SnapshotError, change_snapshot, digest_of, read_snapshot

if TYPE_CHECKING:
    from downhaul.worker import Worker

_KEEP_AFTER_S = (2.0, 6.0)
_MOST_CHANGES = 64


class OlderError(SnapshotError):
    """A snapshot that is older than the one in force, within an epoch."""


class SucceededError(SnapshotError):
    """A snapshot of an epoch before the one in force: whoever sent it has not heard of what operators have decided."""


class Adoption:
    """What is in force in one process, and its copy on disk."""

    def __init__(self, worker: Worker, once: Once, reporter: Reporter) -> None:
        self._worker = worker
        self._once = once
        self._reporter = reporter
        self._cache: SnapshotCache | None = None
        self._unkept: list[Change] = []
        self._keep_at = inf
        self.lacks_whole = False
        """Whether the copy on disk cannot be brought up to date but by a whole snapshot."""

    @property
    def current(self) -> Snapshot | None:
        """The snapshot in force."""
        return self._worker.found.snapshot

    def use_cache(self, cache: SnapshotCache) -> None:
        """Keep snapshots there; where nothing is in force yet, begin with what is there."""
        self._cache = cache
        if self.current is None:
            self._recall(cache)

    def whole(self, body: bytes, place: str | None) -> None:
        """A whole snapshot. Raises SnapshotError, also for one that is older than the one in force.

        `place`: epoch and revision as what came with it names them, if it did. The checksum covers neither.
        """
        current = self.current
        if current is not None and not self.lacks_whole and digest_of(body) == current.digest:
            self.confirmed()
            return
        with guard():
            environment = current.environment if current else None
            snapshot = read_snapshot(body, self._worker.settings.service, environment, place)
        if current is not None:
            _check_order(snapshot, current)
        self._put(snapshot)
        self._keep_whole(snapshot, body)

    def changed(self, data: bytes, place: str | None) -> None:
        """A change; `place` as for a whole snapshot. Raises GapError and SnapshotError."""
        current = self.current
        if current is None:
            raise SnapshotError("a change came before any snapshot")
        with guard():
            snapshot, change = change_snapshot(data, current, place)
        if change is not None:
            self._put(snapshot)
            self._keep_later(change)

    def confirmed(self) -> None:
        """What is in force is what the service has."""
        found = self._worker.found
        if found.snapshot is not None:
            if found.source != "service":
                self._worker.found = found._replace(source="service")
            self._reporter.applied(found.snapshot)

    def apply(self, **changes: Any) -> None:
        """Put a change of what was found in force."""
        self._worker.apply(self._worker.found._replace(**changes))

    def keep_if_due(self) -> None:
        """Write the copy on disk, a little after a change: what follows it closely is written with it."""
        if monotonic() >= self._keep_at:
            self.keep()

    @property
    def keep_in(self) -> float:
        """Seconds until that is due."""
        return self._keep_at - monotonic()

    def keep(self) -> None:
        """Write the changes that are not in the copy on disk yet."""
        changes, self._unkept, self._keep_at = self._unkept, [], inf
        if self._cache is None or not changes:
            return
        with self._told_if_it_fails(self._cache), guard():
            self.lacks_whole = not self._cache.follow(changes)

    def _put(self, snapshot: Snapshot) -> None:
        self.apply(snapshot=snapshot, source="service")
        self._reporter.applied(snapshot)

    def _keep_later(self, change: Change) -> None:
        if self._cache is None or self.lacks_whole:
            return
        self._unkept.append(change)
        if len(self._unkept) == 1:
            self._keep_at = monotonic() + backoff.between(*_KEEP_AFTER_S)
        elif len(self._unkept) >= _MOST_CHANGES:
            self.keep()

    def _keep_whole(self, snapshot: Snapshot, body: bytes) -> None:
        self._unkept, self._keep_at, self.lacks_whole = [], inf, False
        if self._cache is not None:
            with self._told_if_it_fails(self._cache), guard():
                self._cache.save(snapshot, body)

    @contextmanager
    def _told_if_it_fails(self, cache: SnapshotCache) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._once.warn("cache save", "the snapshot cannot be kept in %s: %s", cache.path, error.strerror)

    def _recall(self, cache: SnapshotCache) -> None:
        try:
            with guard():
                recalled = cache.load()
        except (SnapshotError, OSError) as error:
            self._once.warn("cache load", "the cached snapshot %s is not used: %s", cache.path, error)
            return
        if recalled is not None:
            snapshot, written = recalled
            self._worker.health.recalled(max(0.0, time() - written))
            self.apply(snapshot=snapshot, source="cache")


def _check_order(snapshot: Snapshot, current: Snapshot) -> None:
    if snapshot.epoch in current.succeeds:
        raise SucceededError(
            f"the service offers epoch {snapshot.epoch}; {current.epoch}, which succeeds it, is in force"
        )
    if snapshot.epoch != current.epoch:  # a restore or a failover: the operators of the service have let it through
        log.warning("the service has a new epoch %s at revision %d", snapshot.epoch, snapshot.revision)
    elif snapshot.revision < current.revision:
        raise OlderError(f"the service offers revision {snapshot.revision}; {current.revision} is in force")
