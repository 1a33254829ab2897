"""The last drill of each service and environment: kept in Redis, remembered by each process for its metrics."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from downhaul_server.services.access import store_errors
from downhaul_server.services.actors import Action, Actor, authorize
from downhaul_server.services.pages import LIMIT, Page, page_by_key
from downhaul_server.store import Store, StoreError

NOTE = "drills"

Result = dict[str, Any]


class DrillResults:
    """A result is the document that the API answers, with `at_ms`, the time of Redis at which it was found."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._last: dict[str, Result] = {}

    def page(self, actor: Actor, *, limit: int = LIMIT, cursor: str | None = None) -> Page:
        """In the actor's scope, by service and environment. Raises Forbidden, Unavailable."""
        authorize(actor, Action.READ)
        with store_errors(), self._store.asking():
            self.load()
        at = self._at_ms()
        found = [
            (name, result)
            for name, result in sorted(self._last.items())
            if "service" in result and actor.reaches(result["service"], result["environment"])
        ]
        return page_by_key(found, limit, cursor, lambda result: _present(result, at))

    def with_ages(self) -> list[tuple[Result, float]]:
        """What this process knows, each with its age in seconds."""
        at = self._at_ms()
        return [(last, (at - last["at_ms"]) / 1000) for last in self._last.values() if "service" in last]

    def last_at_ms(self, environment: str) -> int | None:
        """When the last drill in an environment ended, by the clock of Redis."""
        at: int | None = self._last.get(f"@{environment}", {}).get("at_ms")
        return at

    def keep(self, environment: str, results: list[Result]) -> None:
        """For all processes. While Redis is away, this one alone knows."""
        at = self._at_ms()
        kept: dict[str, Any] = {f"{result['service']}@{environment}": result | {"at_ms": at} for result in results}
        kept[f"@{environment}"] = {"at_ms": at}
        self.learn(kept)
        self._store.news.note(NOTE, kept)
        with suppress(StoreError), self._store.asking():
            self._store.ledger.keep_drills(kept)

    def learn(self, results: dict[str, Result]) -> None:
        """Another process tells what it has found."""
        self._last = self._last | results

    def load(self) -> None:
        """What Redis holds. Raises RedisError."""
        self._last = self._store.ledger.drills()

    def _at_ms(self) -> int:
        return self._store.clock.to_redis(self._store.clock.monotonic())


def _present(result: Result, at_ms: int) -> Result:
    shown = {name: value for name, value in result.items() if name != "at_ms"}
    return shown | {"age_s": round((at_ms - result["at_ms"]) / 1000, 1)}
