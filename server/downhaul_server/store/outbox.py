"""What webhooks need of Redis: the log from a revision on; each hook's place in it, secrets and last deliveries.

Secrets are kept here and not in documents, so that they are in no log, export or checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from downhaul_server.store.commits import Entry
from downhaul_server.store.connections import Connections
from downhaul_server.store.entries import RawEntry
from downhaul_server.store.errors import StoreDiverged
from downhaul_server.store.keys import HOOK_SECRETS, HOOK_STATES, LOG, hook_deliveries_key, log_id
from downhaul_server.store.lease import Lease

DELIVERIES = 50
KEPT_S = 30 * 24 * 3600

STATE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
if ARGV[4] ~= '' then
  redis.call('LPUSH', KEYS[3], ARGV[4])
  redis.call('LTRIM', KEYS[3], 0, ARGV[5] - 1)
  redis.call('EXPIRE', KEYS[3], ARGV[6])
end
return 1
"""

Body = dict[str, Any]


class Outbox:
    """Asks Redis at each call. Every method raises RedisError; `Store.asking` turns that into StoreUnavailable."""

    def __init__(self, connections: Connections) -> None:
        self._reads = connections.reads
        self._writes = connections.writes
        self._keep = connections.writes.register_script(STATE)

    def after(self, revision: int, limit: int) -> list[Entry]:
        """The log from the revision after this one, oldest first. Raises StoreDiverged for what cannot be read."""
        try:
            found: Any = self._reads.xrange(LOG, log_id(revision + 1), "+", count=limit)
            return [RawEntry(entry_id, fields).decode() for entry_id, fields in found]
        except ValueError as error:
            raise StoreDiverged(f"the log of Redis is damaged: {error}") from error

    def state(self, hook: str) -> Body | None:
        """How far a hook has come, as it was kept."""
        return _decoded(self._reads.hget(HOOK_STATES, hook))

    def states(self) -> dict[str, Body]:
        """All of them, by the hook's id."""
        found: Any = self._reads.hgetall(HOOK_STATES)
        return {hook.decode(): json.loads(text) for hook, text in found.items()}

    def keep(self, lease: Lease, hook: str, state: Mapping[str, Any], delivery: Mapping[str, Any] | None) -> bool:
        """Keep a hook's state and, if there is one, a delivery; False, and nothing is kept, unless the lease is held.

        Redis decides: a process that was stopped for a while does not know yet that another one has taken over.
        """
        keys = [lease.key, HOOK_STATES, hook_deliveries_key(hook)]
        told = "" if delivery is None else json.dumps(delivery)
        return bool(self._keep(keys=keys, args=[lease.owner, hook, json.dumps(state), told, DELIVERIES, KEPT_S]))

    def tell(self, hook: str, delivery: Mapping[str, Any]) -> None:
        """Keep a delivery that is not one of the queue's."""
        key = hook_deliveries_key(hook)
        with self._writes.pipeline(transaction=True) as pipe:
            pipe.lpush(key, json.dumps(delivery))
            pipe.ltrim(key, 0, DELIVERIES - 1)
            pipe.expire(key, KEPT_S)
            pipe.execute()

    def deliveries(self, hook: str) -> list[Body]:
        """The last ones, newest first."""
        found: Any = self._reads.lrange(hook_deliveries_key(hook), 0, -1)
        return [json.loads(text) for text in found]

    def secrets(self, hook: str) -> Body | None:
        """As they were kept; None when there are none (any more)."""
        return _decoded(self._reads.hget(HOOK_SECRETS, hook))

    def keep_secrets(self, hook: str, secrets: Mapping[str, Any]) -> None:
        """In the place of those before."""
        self._writes.hset(HOOK_SECRETS, hook, json.dumps(secrets))

    def known(self) -> dict[str, Body]:
        """The secrets of all hooks of which there is anything."""
        found: Any = self._reads.hgetall(HOOK_SECRETS)
        others: Any = self._reads.hkeys(HOOK_STATES)
        empty: dict[str, Body] = {hook.decode(): {} for hook in others}
        return empty | {hook.decode(): json.loads(text) for hook, text in found.items()}

    def forget(self, hooks: Iterable[str]) -> None:
        """All of these hooks."""
        with self._writes.pipeline(transaction=True) as pipe:
            for hook in hooks:
                pipe.hdel(HOOK_SECRETS, hook)
                pipe.hdel(HOOK_STATES, hook)
                pipe.delete(hook_deliveries_key(hook))
            pipe.execute()


def _decoded(text: Any) -> Body | None:
    found: Body | None = None if text is None else json.loads(text)
    return found
