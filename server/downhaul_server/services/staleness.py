"""Flags that may be tidied away: unused for long, serving one variant for long, or past their expiry date.

What was served is read from the counters of each day (`evaluations.py`), which Redis keeps for longer than it takes to
call a flag stale. Each process remembers on which day each variant was last served; only the last two days are read
again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from downhaul_server.services.access import newest_view, store_errors
from downhaul_server.services.actors import Action, Actor, authorize, home
from downhaul_server.services.audience import Group
from downhaul_server.services.commit import Committer, Plan
from downhaul_server.services.documents import check_fields, copied, existing, now
from downhaul_server.services.errors import Invalid, NotFound
from downhaul_server.services.evaluations import DAY_S, OTHER, SEPARATOR
from downhaul_server.services.flag_forms import state_of
from downhaul_server.services.names import address, flag_name
from downhaul_server.services.pages import LIMIT, Page, page_by_key
from downhaul_server.store import Document, Store, View

STALE_DAYS = 30
EXEMPT = frozenset({"permission", "ops"})
"""Purposes of flags that are meant to stay, whatever they serve. An expiry date counts all the same."""
LONGEST_SNOOZE = timedelta(days=366)
LOAD_S = 600.0
"""How often each process reads what was served since."""
EPOCH = date(1970, 1, 1)

Served = dict[str, dict[str, int]]
"""Flag -> variant -> the last day (since 1970) on which it was served."""


@dataclass(slots=True)
class _Memory:
    """What was served in one service and environment."""

    until: int
    """All days before this one were read, and this one so far."""
    served: Served = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a flag may go."""

    reason: str
    """`expired`, `unused` or `one-sided`."""
    variant: str | None = None
    """The only one that was served."""
    last_served: str | None = None
    """A day; None: none in the last 30."""

    @property
    def sentence(self) -> str:
        """In plain words."""
        if self.reason == "expired":
            return "Its expiry date has passed."
        if self.reason == "unused":
            return f"No process has asked for it in the last {STALE_DAYS} days."
        return f"Everybody got {self.variant} in the last {STALE_DAYS} days."


class Staleness:
    """Safe to share between threads."""

    def __init__(self, store: Store, committer: Committer, default_environment: str) -> None:
        self._store = store
        self._committer = committer
        self._default_environment = default_environment
        self._lock = threading.Lock()
        self._memory: dict[Group, _Memory] = {}
        self._loaded = False

    def load(self) -> None:
        """Read what was served since it was last read. Raises RedisError."""
        view, today = newest_view(self._store), self._today()
        groups = [
            (service.key, environment.key)
            for service in view.of_kind("service/")
            for environment in view.of_kind("environment/")
        ]
        with self._lock:
            self._memory = {group: self._read(group, today) for group in groups}
            self._loaded = True

    def list(
        self,
        actor: Actor,
        *,
        environment: str | None = None,
        service: str | None = None,
        snoozed: bool | None = None,
        limit: int = LIMIT,
        cursor: str | None = None,
    ) -> Page:
        """Stale flags by name: `{service, flag, environment, reason, sentence, variant, last_served, owner, purpose,
        created_at, expires, snoozed}`.

        `snoozed`: only those that are (True) or are not (False) left alone for now. Raises NotFound, Forbidden,
        Unavailable.
        """
        place = environment or home(actor, self._default_environment)
        authorize(actor, Action.READ, service, place)
        view = newest_view(self._store)
        existing(view, "environment", place)
        if service is not None:
            existing(view, "service", service)
        if not self._loaded:
            with store_errors(), self._store.asking():
                self.load()
        found = (
            (flag_name(document.body["service"], document.key), (document, verdict, snooze))
            for document, verdict, snooze in self._stale(actor, view, place, service)
            if snoozed is None or (snooze is not None) is snoozed
        )
        return page_by_key(found, limit, cursor, lambda each: _present(*each, place))

    def names(self, actor: Actor, environment: str) -> frozenset[tuple[str, str]]:
        """Service and key of those that are stale there and not snoozed. Asks nobody: nothing until that was read."""
        if not self._loaded:
            return frozenset()
        view = newest_view(self._store)
        return frozenset(
            (document.body["service"], document.key)
            for document, _, snooze in self._stale(actor, view, environment, None)
            if snooze is None
        )

    def snooze(
        self, actor: Actor, service: str, flag: str, document: Mapping[str, Any], *, operation: str | None = None
    ) -> dict[str, Any]:
        """Leave a flag alone until a day: `{until, reason}`; gives `{service, flag, until, reason, by, at}`.

        Raises NotFound, Invalid, Forbidden, Unavailable.
        """
        authorize(actor, Action.EDIT, service)
        check_fields(document, {"until", "reason", "service", "flag", "by", "at"})
        until, reason = self._until(document.get("until")), (document.get("reason") or "").strip()
        if not reason:
            raise Invalid.at("reason", message="say why it stays: the next one who wants to tidy up will ask")
        where = address("snooze", service, flag)
        body = {"service": service, "flag": flag, "until": until, "reason": reason, "by": actor.name, "at": now()}

        def plan(view: View) -> Plan:
            existing(view, "service", service)
            existing(view, "flag", service, flag)
            return Plan(action="flag.snooze", writes={where: body}, alone=False, reason=reason)

        request = ("flag.snooze", service, flag, until, reason)
        outcome = self._committer.run(actor, plan, request=request, operation=operation)
        return dict(copied(self._committer.written(outcome, where).body))

    def wake(self, actor: Actor, service: str, flag: str, *, operation: str | None = None) -> None:
        """End a snooze. Raises NotFound where there is none, Forbidden, Unavailable."""
        authorize(actor, Action.EDIT, service)

        def plan(view: View) -> Plan:
            before = view.get(address("snooze", service, flag))
            if before is None:
                raise NotFound("snooze of the flag", service, flag)
            return Plan(action="flag.wake", writes={before.address: None}, alone=False)

        self._committer.run(actor, plan, request=("flag.wake", service, flag), operation=operation)

    def _stale(
        self, actor: Actor, view: View, environment: str, service: str | None
    ) -> Iterator[tuple[Document, Verdict, Mapping[str, Any] | None]]:
        today = self._today()
        may: dict[str, bool] = {}
        for document in view.of_kind("flag/" if service is None else f"flag/{service}/"):
            owner = document.body["service"]
            if owner not in may:
                may[owner] = actor.reaches(owner, environment)
            memory = self._memory.get((owner, environment))
            if not may[owner] or (memory is None and service is None and not self._loaded):
                continue
            served = memory.served.get(document.key, {}) if memory else {}
            verdict = judge(document.body, environment, served, today)
            if verdict is not None:
                yield document, verdict, _snooze(view, document, today)

    def _read(self, group: Group, today: int) -> _Memory:
        """What is known, with what was counted since. Counters of a day may come in shortly after its end."""
        known = self._memory.get(group) or _Memory(today - STALE_DAYS)
        days = range(max(known.until - 1, today - STALE_DAYS), today + 1)
        served = {flag: dict(variants) for flag, variants in known.served.items()}
        counted = self._store.ledger.counted("@".join(group), [f"d{day}" for day in days])
        for day, names in zip(days, counted, strict=True):
            for flag, variant in map(_taken_apart, names):
                served.setdefault(flag, {})[variant] = day
        return _Memory(today, served)

    def _until(self, text: Any) -> str:
        try:
            day = date.fromisoformat(text)
        except (TypeError, ValueError):
            raise Invalid.at("until", message="expected a day, such as 2027-01-31") from None
        if not 0 < (day - _day(self._today())).days <= LONGEST_SNOOZE.days:
            raise Invalid.at("until", message=f"expected a day to come, within {LONGEST_SNOOZE.days} days")
        return day.isoformat()

    def _today(self) -> int:
        clock = self._store.clock
        return clock.to_redis(clock.monotonic()) // 1000 // DAY_S


def judge(flag: Mapping[str, Any], environment: str, served: Mapping[str, int], today: int) -> Verdict | None:
    """Whether a stored flag is stale in an environment; `served`: variant -> last day. None: it is not."""
    recent = {variant: day for variant, day in served.items() if day > today - STALE_DAYS}
    last = _day(max(recent.values())).isoformat() if recent else None
    if flag["expires"] is not None and flag["expires"] < _day(today).isoformat():
        return Verdict("expired", last_served=last)
    if flag["purpose"] in EXEMPT or _created(flag) > today - STALE_DAYS:
        return None
    if not recent:
        return Verdict("unused")
    if len(recent) > 1 or OTHER in recent or state_of(flag, environment)["killed"]:
        return None  # a kill serves one variant too, and is no reason to tidy up
    return Verdict("one-sided", next(iter(recent)), last)


def _created(flag: Mapping[str, Any]) -> int:
    return (datetime.fromisoformat(flag["created_at"]).astimezone(UTC).date() - EPOCH).days


def _day(number: int) -> date:
    return EPOCH + timedelta(days=number)


def _taken_apart(name: str) -> tuple[str, str]:
    flag, _, variant = name.partition(SEPARATOR)
    return flag, variant


def _snooze(view: View, flag: Document, today: int) -> Mapping[str, Any] | None:
    """The one that holds; one of a flag of the same name that was deleted does not."""
    found = view.get(address("snooze", flag.body["service"], flag.key))
    if found is None or found.body["until"] < _day(today).isoformat() or found.body["at"] < flag.body["created_at"]:
        return None
    return found.body


def _present(
    document: Document, verdict: Verdict, snooze: Mapping[str, Any] | None, environment: str
) -> dict[str, Any]:
    body = document.body
    return {
        "service": body["service"],
        "flag": document.key,
        "environment": environment,
        "reason": verdict.reason,
        "sentence": verdict.sentence,
        "variant": verdict.variant,
        "last_served": verdict.last_served,
        **{name: body[name] for name in ("owner", "purpose", "created_at", "expires")},
        "snoozed": {name: snooze[name] for name in ("until", "reason", "by", "at")} if snooze else None,
    }
