"""How the client is doing: what `status()` tells, and a log that says each thing once."""

from __future__ import annotations

import logging
from collections.abc import Hashable
from time import monotonic
from typing import NamedTuple

log = logging.getLogger("downhaul")

DEAF_S = 15.0
"""A service that has heard nothing from its own store for so long may not know of a kill."""
_MAX_CAUSES = 1000


class Health:
    """How the service is heard. Written by the sync thread, read by any.

    What is known grows old by itself: a process that was stopped, or whose network is silent, is not well.
    """

    def __init__(self) -> None:
        self.last_error: str | None = None
        self.stream_error: str | None = None
        self.overrides_error: str | None = None
        self.contact: float | None = None
        self.attempted = False
        self.failures = 0
        self.link = "none"
        self._well_until = 0.0
        self._logged: set[str] = set()
        self._logged_of_stream: set[str] = set()

    def with_stream(self) -> None:
        """The service is heard by a stream now."""
        self.stream_error = None
        self._logged_of_stream.clear()

    def without_stream(self, message: str, cause: str) -> None:
        """There is no stream; the service is polled meanwhile. Logged once for each cause until there is one."""
        self.stream_error = message
        if cause not in self._logged_of_stream:
            self._logged_of_stream.add(cause)
            log.info("no stream: %s; the service is polled meanwhile", message)

    def well(self, good_for: float, age_s: float = 0.0) -> None:
        """The service has just confirmed what this process has, and will be heard again within `good_for` seconds.

        `age_s`: for how long the service itself has heard nothing from its store.
        """
        if self.failures:
            log.info("the service answers again, after %d failures", self.failures)
        self._logged.clear()
        now = monotonic()
        self.contact, self.attempted, self.failures, self._well_until = now - age_s, True, 0, now + good_for
        self.last_error = None if age_s < DEAF_S else f"the service has heard nothing from its store for {age_s:.0f} s"

    def ill(self, message: str, cause: str) -> None:
        """The service could not be asked. Logged once for each cause until it answers again."""
        self.attempted, self.last_error = True, message
        self.failures += 1
        if cause not in self._logged:
            self._logged.add(cause)
            log.warning("%s; flags stay as they are, and the service is asked again", message)

    def with_file(self, good_for: float) -> None:
        """The local file says what this process has, and will be looked at again within `good_for` seconds."""
        now = monotonic()
        self.link, self.contact, self.attempted, self.last_error, self._well_until = (
            "file",
            now,
            True,
            None,
            now + good_for,
        )

    def without_file(self, message: str) -> None:
        """The local file is of no use."""
        self.attempted, self.last_error = True, message

    def in_child(self) -> Health:
        """What a forked child begins with: it has heard nothing itself yet."""
        child = Health()
        child.contact = self.contact
        return child

    def recalled(self, age_s: float) -> None:
        """What this process has is `age_s` seconds old, and nobody has confirmed it yet."""
        self.contact = monotonic() - age_s

    @property
    def ready(self) -> bool:
        """Whether the service is heard now, and knows what it says."""
        return self.attempted and self.last_error is None and monotonic() < self._well_until

    @property
    def error(self) -> str | None:
        """What is wrong, in a sentence; None when nothing is."""
        if self.last_error is None and self.attempted and not self.ready:
            source = "the local file" if self.link == "file" else "the service"
            return f"nothing was heard from {source} for {self.age() or 0.0:.0f} s"
        return self.last_error or self.stream_error or self.overrides_error

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

    `state`: `starting` (no snapshot, the first attempt is under way), `ready` (the service is heard, and confirms the
    snapshot), `stale` (there is a snapshot, but the service is not heard, or has itself not heard from its store),
    `offline` (there is no snapshot: callers get their defaults), `closed`.
    `age_s`: seconds since the service last confirmed the snapshot; of one from the cache, since it was written.
    `link`: how changes come: `stream`, `poll` (within seconds, while there is no stream), `file`, or `none`.
    `source` of the snapshot: `service`, `cache`, `file` (of development) or `none`.
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
