"""When each token and each kill link was used last: noted in memory at each request, told to Redis once a minute.

So a request costs nothing but an entry in a dictionary, a fleet's polls cost Redis one write a minute, and while Redis
is away nothing is lost but what a process takes with it when it ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime

from downhaul_server.services.access import store_errors
from downhaul_server.services.documents import timestamp
from downhaul_server.services.errors import Unavailable
from downhaul_server.store import Store

FLUSH_S = 60.0
"""What is written at most so often, for each token and process."""


class Usage:
    """Of one process. Safe to share between threads."""

    def __init__(self, store: Store, *, wall: Callable[[], float] = time.time) -> None:
        self._store = store
        self._wall = wall
        self._fresh: dict[str, float] = {}
        """Seen since it was told to Redis."""
        self._known: dict[str, float] = {}

    def note(self, key_id: str) -> None:
        """It is used now. Asks nobody."""
        self._fresh[key_id] = self._wall()

    def times(self) -> dict[str, str]:
        """Id -> RFC 3339, to the second. While Redis is away: as far as this process knows. Never raises."""
        with suppress(Unavailable), store_errors(), self._store.asking():
            self._learn(self._store.usage.all())
        latest = dict(self._known)
        for key_id, at in self._fresh.copy().items():
            latest[key_id] = max(at, latest.get(key_id, 0.0))
        return {key_id: timestamp(datetime.fromtimestamp(int(at), UTC)) for key_id, at in latest.items()}

    def flush(self) -> None:
        """Tell Redis. Raises RedisError: then it is tried again with the next one. Call it under `Store.asking`."""
        fresh, self._fresh = self._fresh, {}
        if not fresh:
            return
        try:
            self._store.usage.keep({key_id: int(at) for key_id, at in fresh.items()})
        except BaseException:
            self._fresh = fresh | self._fresh
            raise
        self._learn(fresh)

    def sweep(self, standing: Iterable[str]) -> None:
        """Forget all but these. Raises RedisError: call it under `Store.asking`."""
        gone = self._store.usage.all().keys() - set(standing)
        self._store.usage.forget(gone)
        self._known = {key_id: at for key_id, at in self._known.items() if key_id not in gone}

    def _learn(self, used: dict[str, int] | dict[str, float]) -> None:
        self._known |= {key_id: max(at, self._known.get(key_id, 0.0)) for key_id, at in used.items()}
