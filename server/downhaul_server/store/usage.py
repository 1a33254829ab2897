"""When tokens and kill links were used last: one hash, id -> seconds since 1970. Coarse, and not in the log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from downhaul_server.store.connections import Connections
from downhaul_server.store.keys import USED

# Several processes see the same token, and one that was cut off from Redis comes with what it saw long ago.
LATEST = """
for i = 1, #ARGV, 2 do
  local known = redis.call('HGET', KEYS[1], ARGV[i])
  if not known or tonumber(known) < tonumber(ARGV[i + 1]) then redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
end
return 0
"""
AT_ONCE = 1000


class UsageLedger:
    """Asks Redis at each call. Every method raises RedisError: call them under `Store.asking`."""

    def __init__(self, connections: Connections) -> None:
        self._client = connections.writes
        self._latest = self._client.register_script(LATEST)

    def all(self) -> dict[str, int]:
        """Every one that is known, those that are gone too, by id."""
        found: Any = self._client.hgetall(USED)
        return {name.decode(): int(at) for name, at in found.items()}

    def keep(self, used: Mapping[str, int]) -> None:
        """The later of this and what is known, for each."""
        pairs = list(used.items())
        for start in range(0, len(pairs), AT_ONCE):
            self._latest(keys=[USED], args=[part for pair in pairs[start : start + AT_ONCE] for part in pair])

    def forget(self, names: Iterable[str]) -> None:
        """They are there no more."""
        if gone := list(names):
            self._client.hdel(USED, *gone)
