"""What is kept in Redis beside the log: counters, results of drills, and which instances were last logged as deaf."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from downhaul_server.store.connections import Connections
from downhaul_server.store.keys import DEAF, DRILLS, counts_key


class Ledger:
    """Asks Redis at each call. Every method raises RedisError; `Store` turns that into StoreUnavailable."""

    def __init__(self, connections: Connections) -> None:
        self._reads = connections.reads
        self._writes = connections.writes

    def counters(self, group: str, periods: Sequence[str], names: Sequence[str]) -> list[dict[str, int]]:
        """For each period the counters among `names` that were ever counted."""
        if not names:
            return [{} for _ in periods]
        with self._reads.pipeline(transaction=False) as pipe:
            for period in periods:
                pipe.hmget(counts_key(group, period), list(names))
            answers = pipe.execute()
        return [
            {name: int(value) for name, value in zip(names, values, strict=True) if value is not None}
            for values in answers
        ]

    def counted(self, group: str, periods: Sequence[str]) -> list[list[str]]:
        """For each period the names that were counted at all."""
        with self._reads.pipeline(transaction=False) as pipe:
            for period in periods:
                pipe.hkeys(counts_key(group, period))
            answers = pipe.execute()
        return [[name.decode() for name in names] for names in answers]

    def drills(self) -> dict[str, Any]:
        """All results, by the name under which they were kept."""
        found: Any = self._reads.hgetall(DRILLS)
        return {name.decode(): json.loads(text) for name, text in found.items()}

    def keep_drills(self, results: dict[str, Any]) -> None:
        """Each in the place of the one before."""
        texts: dict[Any, Any] = {name: json.dumps(result) for name, result in results.items()}
        self._writes.hset(DRILLS, mapping=texts)

    def deaf(self) -> set[str]:
        """Those that were logged as deaf, and not yet as well again."""
        found: Any = self._reads.smembers(DEAF)
        return {member.decode() for member in found}

    def mark_deaf(self, name: str) -> bool:
        """True when it was not marked before: of several processes one is told so."""
        return bool(self._writes.sadd(DEAF, name))

    def unmark_deaf(self, name: str) -> bool:
        """True when it was marked."""
        return bool(self._writes.srem(DEAF, name))
