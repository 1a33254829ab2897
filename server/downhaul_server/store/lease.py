"""A lease: of all server processes on one Redis, one at most does a thing, and it knows when it may not any more."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

import redis

from downhaul_server.store.keys import lease_key

RENEW = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
"""
RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class Lease:
    """Owned by one thread, `held` may be asked by all."""

    def __init__(
        self,
        client: redis.Redis,
        name: str,
        *,
        lasts_s: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._key = lease_key(name)
        self._owner = secrets.token_hex(16)
        self._lasts_s = lasts_s
        self._monotonic = monotonic
        self._until = float("-inf")
        self._renew = client.register_script(RENEW)
        self._release = client.register_script(RELEASE)

    @property
    def key(self) -> str:
        """Where it lies in Redis."""
        return self._key

    @property
    def owner(self) -> str:
        """What is written there while it is ours: for scripts that do something only then."""
        return self._owner

    @property
    def held(self) -> bool:
        """Whether it is ours for certain. Ends by itself, a little before Redis gives it to others."""
        return self._monotonic() < self._until

    def keep(self) -> bool:
        """Take it, or keep it; False when another one has it. Raises RedisError: then it is held until it ends."""
        # The time before asking counts: Redis's begins later, and so ends later.
        asked = self._monotonic()
        lasts_ms = int(self._lasts_s * 1000)
        ours = self._renew(keys=[self._key], args=[self._owner, lasts_ms]) or self._client.set(
            self._key, self._owner, nx=True, px=lasts_ms
        )
        self._until = asked + self._lasts_s if ours else float("-inf")
        return bool(ours)

    def release(self) -> None:
        """Let others have it. Raises RedisError: then they have to wait until it ends."""
        self._until = float("-inf")
        self._release(keys=[self._key], args=[self._owner])
