"""The clock of Redis, read through this process's monotonic one: steps of the local wall clock do not matter."""

from __future__ import annotations

import time
from collections.abc import Callable

import redis

DRIFT = 100e-6
"""Two clocks go apart by less than this, in seconds a second."""


class Clock:
    """Redis's time is in milliseconds since 1970, ours in seconds of the monotonic clock.

    Until Redis was asked for the first time, the local wall clock stands in.
    """

    def __init__(self, client: redis.Redis, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self.monotonic = monotonic
        self._offset = time.time() - monotonic()
        self._doubt = float("inf")
        self._asked = monotonic()

    def refresh(self) -> None:
        """Ask Redis. A slow answer tells little, and moves nothing. Raises RedisError."""
        before = self.monotonic()
        answer = self._client.time()
        after = self.monotonic()
        seconds, microseconds = answer
        self._learn(seconds + microseconds / 1e6 - (before + after) / 2, (after - before) / 2, after)

    def to_redis(self, local: float) -> int:
        """Milliseconds of Redis's clock at a local time."""
        return round((local + self._offset) * 1000)

    def to_local(self, milliseconds: float) -> float:
        """Local time at a time of Redis."""
        return milliseconds / 1000 - self._offset

    def _learn(self, offset: float, doubt: float, now: float) -> None:
        known = self._doubt + DRIFT * (now - self._asked)
        stepped = abs(offset - self._offset) > known + doubt
        if doubt <= known or stepped:
            self._offset, self._doubt, self._asked = offset, doubt, now
