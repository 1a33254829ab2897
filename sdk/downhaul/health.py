"""How the client is doing: what `status()` tells, and a log that says each thing once."""

from __future__ import annotations

import logging
from collections.abc import Hashable
from time import monotonic
from typing import NamedTuple

log = logging.getLogger("downhaul")

_MAX_CAUSES = 1000


class Health:
    """The last contact and the last trouble. Written by the sync thread, read by any."""

    def __init__(self) -> None:
        self.last_error: str | None = None
        self.overrides_error: str | None = None
        self.contact: float | None = None
        self.attempted = False
        self.failures = 0
        self._logged: set[str] = set()

    def well(self) -> None:
        """The service has just confirmed what this process has."""
        if self._logged:
            log.info("the service answers again, after %d failures", self.failures)
            self._logged.clear()
        self.contact, self.attempted, self.failures, self.last_error = monotonic(), True, 0, None

    def ill(self, message: str, cause: str) -> None:
        """The service could not be asked. Logged once for each cause until it answers again."""
        self.attempted, self.last_error = True, message
        self.failures += 1
        if cause not in self._logged:
            self._logged.add(cause)
            log.warning("%s; flags stay as they are, and the service is asked again", message)

    def age(self) -> float | None:
        """Seconds since the service last confirmed what this process has, or None if it never did."""
        contact = self.contact
        return None if contact is None else max(0.0, monotonic() - contact)


class Once:
    """Logs each cause a single time for the life of the client."""

    def __init__(self) -> None:
        self._said: set[Hashable] = set()

    def warn(self, cause: Hashable, message: str, *args: object, trace: BaseException | None = None) -> None:
        if cause not in self._said and len(self._said) < _MAX_CAUSES:
            self._said.add(cause)
            log.warning(message, *args, exc_info=trace)

    def forget(self, cause: Hashable) -> None:
        """The cause is gone: should it come back, that is news."""
        self._said.discard(cause)


class Status(NamedTuple):
    """What a client is doing, at one moment.

    `state`: `starting` (no snapshot, the first attempt is under way), `ready` (the service confirmed the snapshot at
    the last attempt), `stale` (there is a snapshot, and the service did not confirm it at the last attempt), `offline`
    (there is no snapshot: callers get their defaults), `closed`.
    `age_s`: seconds since the service last confirmed the snapshot; of one from the cache, since it was written.
    `link`: how changes come, `poll` or `none`. `source` of the snapshot: `service`, `cache` or `none`.
    """

    state: str
    service: str
    environment: str | None
    instance: str
    epoch: str | None
    revision: int | None
    age_s: float | None
    link: str
    source: str
    flags: int
    overrides: int
    last_error: str | None
