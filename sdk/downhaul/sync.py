"""What the one thread does: ask the service, look at the overrides file, keep the cache. It loads the HTTP library.

Nothing but a newer valid snapshot ever takes the place of a snapshot. Whatever goes wrong ends as one sentence in
`Health`, and the thread goes on.
"""

from __future__ import annotations

from time import monotonic, time
from typing import TYPE_CHECKING, Any

from downhaul import backoff
from downhaul.forks import guard
from downhaul.health import Once, log
from downhaul.overrides import LOOK_EVERY_S, OverridesError, OverridesFile
from downhaul.settings import SettingsError, read_key
from downhaul.snapshot import MAX_BYTES, Snapshot, SnapshotCache, SnapshotError, read_snapshot
from downhaul.sockets import Limits
from downhaul.transport import LinkError, Transport

if TYPE_CHECKING:
    from downhaul.worker import Worker

_SILENCE_S = 5.0


class _StoppedError(Exception):
    """The thread was asked to end."""


class Sync:
    """The loop of one client in one process."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._settings = worker.settings
        self._health = worker.health
        self._once = Once()
        self._file = OverridesFile(self._settings.overrides, worker.found.overrides)
        self._next_look = 0.0
        self._key = ""
        self._link: Transport | None = None
        self._cache: SnapshotCache | None = None

    def run(self) -> None:
        """Until the worker is told to stop."""
        try:
            self._begin()
            while True:
                self._turn()
        except _StoppedError:
            return
        finally:
            if self._link is not None:
                self._link.close()

    def _begin(self) -> None:
        found = self._worker.found
        if found.snapshot is not None or found.overrides:  # a forked child: compiled for an identity of its own
            self._worker.apply(found)

    def _turn(self) -> None:
        try:
            self._idle()
            self._rest(self._round() if self._settings.complete else backoff.CAP_S)
        except _StoppedError:
            raise
        except Exception as error:  # noqa: BLE001 -- a fault of ours must not end the thread that hears of a kill
            self._health.ill(f"a fault in the sync thread: {error!r}", "fault")
            self._once.warn(f"fault {type(error).__name__}", "a fault in the sync thread", trace=error)
            self._worker.wake.wait(backoff.after_failure(self._health.failures, self._settings.poll_interval))

    def _round(self) -> float:
        """Ask the service once. Seconds until it is to be asked again."""
        try:
            self._poll()
        except LinkError as error:
            return self._refused(error) if error.refused else self._failed(error, error.cause, error.retry_after)
        except (SnapshotError, SettingsError) as error:
            return self._failed(error, type(error).__name__)
        else:
            self._health.well()
            return backoff.regular(self._settings.poll_interval)
        finally:
            if self._worker.found.snapshot is not None:
                self._worker.ready.set()

    def _failed(self, error: Exception, cause: str, retry_after: float | None = None) -> float:
        self._health.ill(str(error), cause)
        return backoff.after_failure(self._health.failures, self._settings.poll_interval, retry_after)

    def _refused(self, error: LinkError) -> float:
        if self._key_has_changed():
            self._link = None
            return 0.0
        self._health.ill(str(error), error.cause)
        return backoff.after_refusal(self._settings.poll_interval)

    def _key_has_changed(self) -> bool:
        try:
            return read_key(self._settings) != self._key
        except SettingsError:
            return False

    def _poll(self) -> None:
        link = self._link or self._connect()
        current = self._worker.found.snapshot
        body = link.snapshot(self._settings.service, current.etag if current else None)
        if body is not None and (current is None or body != current.body):
            self._adopt(body, current)
        elif self._worker.found.source != "service":
            self._worker.found = self._worker.found._replace(source="service")

    def _connect(self) -> Transport:
        """A link with the key of this moment, and where nothing is in force yet, the last known good of that key."""
        settings = self._settings
        self._key = read_key(settings)
        limits = Limits(silence=min(_SILENCE_S, settings.timeout), total=settings.timeout, body=MAX_BYTES)
        self._link = Transport(settings.url, self._key, limits, self._idle)
        if settings.cache_dir:
            self._cache = SnapshotCache(settings.cache_dir, settings.url, settings.service, self._key)
            if self._worker.found.snapshot is None:
                self._recall(self._cache)
        return self._link

    def _recall(self, cache: SnapshotCache) -> None:
        try:
            with guard():
                recalled = cache.load()
        except (SnapshotError, OSError) as error:
            self._once.warn("cache load", "the cached snapshot %s is not used: %s", cache.path, error)
            return
        if recalled is not None:
            snapshot, written = recalled
            self._health.contact = monotonic() - max(0.0, time() - written)
            self._apply(snapshot=snapshot, source="cache")

    def _adopt(self, body: bytes, current: Snapshot | None) -> None:
        with guard():
            snapshot = read_snapshot(body, self._settings.service, current.environment if current else None)
        if current is not None:
            _check_order(snapshot, current)
        self._apply(snapshot=snapshot, source="service")
        if self._cache is not None:
            self._keep(snapshot, self._cache)

    def _keep(self, snapshot: Snapshot, cache: SnapshotCache) -> None:
        try:
            with guard():
                cache.save(snapshot)
        except OSError as error:
            self._once.warn("cache save", "the snapshot cannot be kept in %s: %s", cache.path, error.strerror)

    def _apply(self, **changes: Any) -> None:
        self._worker.apply(self._worker.found._replace(**changes))

    def _rest(self, seconds: float) -> None:
        end = monotonic() + seconds
        while (left := end - monotonic()) > 0:
            self._worker.wake.wait(min(left, LOOK_EVERY_S) if self._settings.overrides else left)
            self._idle()

    def _idle(self) -> None:
        """What the thread does between two waits of any kind. Raises to end it."""
        if self._worker.stopping:
            raise _StoppedError
        if self._settings.overrides and monotonic() >= self._next_look:
            self._next_look = monotonic() + LOOK_EVERY_S
            self._look()

    def _look(self) -> None:
        try:
            with guard():
                changed = self._file.look()
        except OverridesError as error:
            sentence = f"the overrides file {self._file.path} {error}"
            self._health.overrides_error = sentence
            self._once.warn(sentence, "%s; what it said before stays in force", sentence)
            return
        if self._health.overrides_error and not self._file.in_doubt:
            self._once.forget(self._health.overrides_error)
            self._health.overrides_error = None
        if changed:
            self._apply(overrides=self._file.values)


def _check_order(snapshot: Snapshot, current: Snapshot) -> None:
    if snapshot.epoch != current.epoch:  # a restore or a failover: the operators of the service have let it through
        log.warning("the service has a new epoch %s at revision %d", snapshot.epoch, snapshot.revision)
    elif snapshot.revision < current.revision:
        raise SnapshotError(f"the service offers revision {snapshot.revision}; {current.revision} is in force")
