"""How often each variant of a flag was served: counted by the instances, added up by the hour and by the day."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from downhaul_server.services.access import newest_view, store_errors
from downhaul_server.services.actors import Action, Actor, EnvironmentKey, authorize, home
from downhaul_server.services.documents import existing, timestamp
from downhaul_server.services.names import address, resolve
from downhaul_server.store import Document, Store

HOUR_S, DAY_S = 3600, 24 * 3600
HOURS_KEPT, DAYS_KEPT = 8 * 24, 40
OTHER = "(other)"
"""For what was served under a name that the flag does not know: the caller's default, a variant that was removed."""
SEPARATOR = " "
"""Between flag and variant; no flag's key holds one."""


class Evaluations:
    """Counters are worth less than reports: they may be lost, but are never counted twice on purpose."""

    def __init__(self, store: Store, default_environment: str) -> None:
        self._store = store
        self._default_environment = default_environment

    def add(self, key: EnvironmentKey, service: str, counts: Mapping[str, Mapping[str, int]]) -> None:
        """What an instance of the service has counted. Flags that are not there are left out: nothing is endless."""
        self.count(service, key.environment, counts)

    def count(self, service: str, environment: str, counts: Mapping[str, Mapping[str, int]]) -> None:
        """Evaluations of a service's flags (flag -> variant -> number) in an environment, wherever they were made."""
        view = newest_view(self._store)
        periods = self._periods()
        for name, variants in counts.items():
            owner, flag = resolve(name, service)
            document = view.get(address("flag", owner, flag))
            if document is None:
                continue
            for variant, number in variants.items():
                if number:
                    known = variant if variant in document.body["variants"] else OTHER
                    self._store.news.count(f"{owner}@{environment}", _field(flag, known), number, periods)

    def served(self, service: str, environment: str, flag: str, variant: str) -> None:
        """One evaluation that was made here. Nobody is asked whether the flag and the variant are there."""
        self._store.news.count(f"{service}@{environment}", _field(flag, variant), 1, self._periods())

    def of(
        self, actor: Actor, service: str, flag: str, *, environment: str | None = None, hours: int = 24
    ) -> list[dict[str, Any]]:
        """`{at, counts: {variant: n}}` for each of the last hours, oldest first; for more than 8 days, for each day.

        Raises NotFound, Forbidden, Unavailable.
        """
        place = environment or home(actor, self._default_environment)
        authorize(actor, Action.READ, service, place)
        view = newest_view(self._store)
        existing(view, "environment", place)
        existing(view, "service", service)
        document = existing(view, "flag", service, flag)
        daily = hours > HOURS_KEPT
        last = self._hour() // 24 if daily else self._hour()
        number = -(-hours // 24) if daily else hours
        periods = range(last - number + 1, last + 1)
        names = [_field(flag, variant) for variant in (*_variants(document), OTHER)]
        with store_errors(), self._store.asking():
            found = self._store.ledger.counters(
                f"{service}@{place}", [f"{'d' if daily else 'h'}{period}" for period in periods], names
            )
        step = DAY_S if daily else HOUR_S
        return [
            {"at": _at(period * step), "counts": {name.partition(SEPARATOR)[2]: n for name, n in counts.items()}}
            for period, counts in zip(periods, found, strict=True)
        ]

    def _periods(self) -> dict[str, int]:
        """Those that now belongs to: name -> seconds that its counters are kept."""
        hour = self._hour()
        return {f"h{hour}": HOURS_KEPT * HOUR_S, f"d{hour // 24}": DAYS_KEPT * DAY_S}

    def _hour(self) -> int:
        clock = self._store.clock
        return clock.to_redis(clock.monotonic()) // 1000 // HOUR_S


def _variants(document: Document) -> list[str]:
    return list(document.body["order"])


def _field(flag: str, variant: str) -> str:
    return f"{flag}{SEPARATOR}{variant}"


def _at(seconds: int) -> str:
    return timestamp(datetime.fromtimestamp(seconds, UTC))
