"""Sessions of people in Redis: one hash, digest of the session's id -> what is known of it. Not in the log."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from downhaul_server.store.connections import Connections
from downhaul_server.store.keys import SESSIONS, sign_in_key

Record = dict[str, Any]

REPLACE = """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) return 1 end
return 0
"""


class SessionLedger:
    """Asks Redis at each call. Every method raises RedisError: call them under `Store.asking`."""

    def __init__(self, connections: Connections) -> None:
        self._client = connections.writes
        self._replace = self._client.register_script(REPLACE)

    def all(self) -> dict[str, Record]:
        """Every record, those that have expired too, by digest."""
        found: Any = self._client.hgetall(SESSIONS)
        return {digest.decode(): json.loads(text) for digest, text in found.items()}

    def get(self, digest: str) -> Record | None:
        """One of them."""
        text: Any = self._client.hget(SESSIONS, digest)
        return None if text is None else dict(json.loads(text))

    def put(self, digest: str, record: Record) -> None:
        """A new one."""
        self._client.hset(SESSIONS, digest, json.dumps(record))

    def replace(self, digest: str, record: Record) -> bool:
        """Write it anew, unless it was removed: a session that was ended does not come back."""
        return bool(self._replace(keys=[SESSIONS], args=[digest, json.dumps(record)]))

    def remove(self, digests: Iterable[str]) -> None:
        """They are there no more."""
        if gone := list(digests):
            self._client.hdel(SESSIONS, *gone)

    def begin_sign_in(self, digest: str, record: Record, lasts_s: int) -> None:
        """Somebody was sent to the provider of identities; what has to be known when they come back."""
        self._client.set(sign_in_key(digest), json.dumps(record), ex=lasts_s)

    def take_sign_in(self, digest: str) -> Record | None:
        """They are back. Given once."""
        with self._client.pipeline(transaction=True) as pipe:
            pipe.get(sign_in_key(digest))
            pipe.delete(sign_in_key(digest))
            text = pipe.execute()[0]
        return None if text is None else dict(json.loads(text))
