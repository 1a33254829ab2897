"""Who has obeyed: how far a change has come in the fleet, now or as soon as it is everywhere.

Never claims an instance that has not applied it. Whatever is unclear counts as not applied.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from downhaul_server.services.access import newest_view, store_errors
from downhaul_server.services.actors import ALL, Action, Actor, authorize
from downhaul_server.services.audience import Audience, Group
from downhaul_server.services.commit import Committer
from downhaul_server.services.documents import existing
from downhaul_server.services.errors import NotFound
from downhaul_server.services.fleet import Fleet
from downhaul_server.services.instances import Entry, State
from downhaul_server.store import Mark, Store

LONGEST_WAIT_S = 60.0
MOST_STRAGGLERS = 1000
MOST_WAITING = 200
"""Of one process; whoever comes beyond is answered at once, with what is known."""
TICK_S = 0.5
"""Some things become true by time alone: an instance is gone, the fleet's news are up to date again."""
NEWS_S = 0.25
"""How long an answer at once is held up to learn what others know."""
FRESH_S = 120.0
"""Of older changes no latency is told: who applies them now has only just started."""


@dataclass(frozen=True, slots=True)
class Straggler:
    """An instance that has not applied the change, as far as is known."""

    service: str
    environment: str
    instance: str
    host: str | None
    build: str | None
    revision: int | None
    link: str
    last_seen_s: float

    def to_json(self) -> dict[str, Any]:
        """As the API answers it."""
        return {
            "service": self.service,
            "environment": self.environment,
            "instance": self.instance,
            "host": self.host,
            "build": self.build,
            "revision": self.revision,
            "link": self.link,
            "last_seen_s": self.last_seen_s,
        }


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """How far a revision has come."""

    revision: int
    committed_at: str
    instances: int
    """Live and silent ones that are concerned."""
    applied: int
    confirmed: bool
    """All of them have applied it, for certain."""
    stragglers: tuple[Straggler, ...]
    latency_ms: dict[str, float] | None
    """Commit to applied: `p50`, `p99`, `max`. None where it was not measured."""

    def to_json(self) -> dict[str, Any]:
        """As the API answers it."""
        return {
            "revision": self.revision,
            "committed_at": self.committed_at,
            "instances": self.instances,
            "applied": self.applied,
            "confirmed": self.confirmed,
            "stragglers": [straggler.to_json() for straggler in self.stragglers],
            "latency_ms": self.latency_ms,
        }


class Acknowledgements:
    """Answers, and holds those who wait."""

    def __init__(self, store: Store, committer: Committer, fleet: Fleet, audience: Audience) -> None:
        self._store = store
        self._committer = committer
        self._fleet = fleet
        self._audience = audience
        self._stopping = threading.Event()
        self._places = threading.BoundedSemaphore(MOST_WAITING)

    def of(
        self, revision: int, committed_at: str, touches: Iterable[Group], *, wait: float | None = None
    ) -> Acknowledgement:
        """How far the change of these (service, environment) pairs (`*`: all) has come.

        With `wait` (seconds), as soon as it is confirmed, or when the time is up. Raises Unavailable.
        """
        question = Question(revision, committed_at, tuple(touches), self._store.news.mark())
        return self._answer(question, self._settled(question, wait))

    def of_each(
        self, revision: int, committed_at: str, groups: Iterable[Group], *, wait: float | None = None
    ) -> dict[Group, Acknowledgement]:
        """The same for each of these groups, and nobody else; waits until all have confirmed. Raises Unavailable."""
        only = tuple(groups)
        question = Question(revision, committed_at, only, self._store.news.mark(), only=frozenset(only))
        targets = self._settled(question, wait)
        return {group: self._answer(question, {group: targets[group]} if group in targets else {}) for group in only}

    def of_document(
        self, version: int, changed_at: str, touches: Iterable[Group], *, wait: float | None = None
    ) -> Acknowledgement:
        """Of a document's last change; `changed_at`: by the clock of the server that made it. Raises Unavailable."""
        return self.of(version, self._committer.committed_at(version, changed_at), touches, wait=wait)

    def of_revision(
        self,
        actor: Actor,
        revision: int,
        *,
        environment: str = ALL,
        services: Sequence[str] = (),
        wait: float | None = None,
    ) -> Acknowledgement:
        """Of any change in the log; with `services`, in their instances there, whether it has changed them or not.

        Raises NotFound, Forbidden where it concerns more than the actor may read, Unavailable.
        """
        with store_errors():
            entry = self._store.entry(revision)
        if entry is None:
            raise NotFound(f"there is no revision {revision} in the log")
        touches = tuple((service, environment) for service in services) or entry.touches
        for service, place in touches:
            authorize(actor, Action.READ, service, place)
        for service in services:
            existing(newest_view(self._store), "service", service)
        return self.of(revision, entry.at, touches, wait=wait)

    def stop(self) -> None:
        """Answer all who wait with what is known, and let nobody wait from now on. Does not block."""
        self._stopping.set()
        threading.Thread(target=self._fleet.wake, name="downhaul-stop", daemon=True).start()

    def _settled(self, question: Question, wait: float | None) -> dict[Group, int]:
        """Who was asked for what, once all have obeyed or the time is up."""
        if not wait or not self._places.acquire(blocking=False):
            question.news.wait(NEWS_S)
            return self._targets(question)
        try:
            return self._wait(question, time.monotonic() + min(wait, LONGEST_WAIT_S))
        finally:
            self._places.release()

    def _wait(self, question: Question, deadline: float) -> dict[Group, int]:
        left = deadline - time.monotonic()
        while not self._is_served(question) and left > 0 and not self._stopping.is_set():
            self._store.wait_for(question.revision, min(left, TICK_S))
            left = deadline - time.monotonic()
        with self._fleet.watching(newest_view(self._store).epoch) as watch:
            while left > 0 and not self._stopping.is_set():
                watch.moved.clear()
                self._fleet.aim(watch, self._targets(question))
                if self._fleet.is_met(watch):
                    # Whoever is known to others only, is known here once the news are back.
                    question.news.wait(min(left, TICK_S))
                    if self._answer(question, watch.targets).confirmed:
                        break
                watch.moved.wait(min(left, TICK_S))
                left = deadline - time.monotonic()
            return self._targets(question) | watch.targets

    def _is_served(self, question: Question) -> bool:
        return newest_view(self._store).revision >= question.revision

    def _targets(self, question: Question) -> dict[Group, int]:
        """Who is concerned, and the revision that they must have."""
        view = newest_view(self._store)
        groups = [group for group in self._fleet.groups() if question.only is None or group in question.only]
        return self._audience.targets(view, groups, question.revision, question.touches)

    def _answer(self, question: Question, targets: Mapping[Group, int]) -> Acknowledgement:
        now = self._fleet.now()
        epoch, served = newest_view(self._store).epoch, self._is_served(question)
        applied: list[Entry] = []
        missing: list[tuple[Group, Entry]] = []
        for group, revision in targets.items():
            for entry in self._fleet.entries(group):
                if entry.state(now) is State.GONE:
                    continue
                if served and entry.has_applied(epoch, revision):
                    applied.append(entry)
                else:
                    missing.append((group, entry))
        missing.sort(key=lambda found: found[1].heard, reverse=True)
        return Acknowledgement(
            revision=question.revision,
            committed_at=question.committed_at,
            instances=len(applied) + len(missing),
            applied=len(applied),
            confirmed=served and not missing and question.news.is_back,
            stragglers=tuple(_straggler(group, entry, now) for group, entry in missing[:MOST_STRAGGLERS]),
            latency_ms=percentiles(self._latencies(question, applied, now)),
        )

    def _latencies(self, question: Question, applied: Iterable[Entry], now: float) -> list[float]:
        """Commit to applied, in ms, of those who were there before; nothing of a change of long ago."""
        committed = self._store.clock.to_local(datetime.fromisoformat(question.committed_at).timestamp() * 1000)
        if now - committed > FRESH_S:
            return []
        return [
            max(entry.applied_at - committed, 0.0) * 1000
            for entry in applied
            if entry.applied_at is not None and entry.first < committed
        ]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked."""

    revision: int
    committed_at: str
    touches: tuple[Group, ...]
    news: Mark
    """Once it is back, all that other processes had told before the question is known."""
    only: frozenset[Group] | None = None
    """Nobody else is asked, whoever may be concerned."""


def _straggler(group: Group, entry: Entry, now: float) -> Straggler:
    return Straggler(
        service=group[0],
        environment=group[1],
        instance=entry.name,
        host=entry.identity.host,
        build=entry.identity.build,
        revision=entry.revision,
        link="silent" if entry.state(now) is State.SILENT else entry.link,
        last_seen_s=round(max(now - entry.heard, 0.0), 1),
    )


def percentiles(values: Sequence[float]) -> dict[str, float] | None:
    """Nearest-rank `p50` and `p99`, and `max`, of milliseconds; None of none."""
    if not values:
        return None
    ordered = sorted(values)
    ranked = {f"p{share}": ordered[math.ceil(share / 100 * len(ordered)) - 1] for share in (50, 99)}
    return {name: round(value, 1) for name, value in (ranked | {"max": ordered[-1]}).items()}
