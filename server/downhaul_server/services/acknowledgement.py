"""Who has obeyed: how far a change has come in the fleet, now or as soon as it is everywhere.

Never claims an instance that has not applied it. Whatever is unclear counts as not applied.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from downhaul_server.services.access import newest_view
from downhaul_server.services.audience import Group, concerned, services_in_snapshot
from downhaul_server.services.fleet import Fleet, snapshot_revision
from downhaul_server.services.instances import Entry, State
from downhaul_server.store import Store, View

LONGEST_WAIT_S = 60.0
MOST_STRAGGLERS = 1000
MOST_WAITING = 200
"""Of one process; whoever comes beyond is answered at once, with what is known."""
TICK_S = 0.5
"""Some things become true by time alone: an instance is gone, the fleet's news are up to date again."""


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

    def __init__(self, store: Store, fleet: Fleet) -> None:
        self._store = store
        self._fleet = fleet
        self._stopping = threading.Event()
        self._places = threading.BoundedSemaphore(MOST_WAITING)

    def of(
        self, revision: int, committed_at: str, touches: Iterable[Group], *, wait: float | None = None
    ) -> Acknowledgement:
        """How far the change of these (service, environment) pairs (`*`: all) has come.

        With `wait` (seconds), as soon as it is confirmed, or when the time is up. Raises Unavailable.
        """
        question = _Question(revision, committed_at, tuple(touches))
        if not wait or not self._places.acquire(blocking=False):
            return self._answer(question, newest_view(self._store))
        try:
            return self._wait(question, time.monotonic() + min(wait, LONGEST_WAIT_S))
        finally:
            self._places.release()

    def stop(self) -> None:
        """Answer all who wait with what is known, and let nobody wait from now on. Does not block."""
        self._stopping.set()
        threading.Thread(target=self._fleet.wake, name="downhaul-stop", daemon=True).start()

    def _wait(self, question: _Question, deadline: float) -> Acknowledgement:
        self._store.wait_for(question.revision, deadline - time.monotonic())
        with self._fleet.watching(newest_view(self._store).epoch) as watch:
            while True:
                watch.moved.clear()
                view = newest_view(self._store)
                self._fleet.aim(watch, self._targets(question, view))
                if self._fleet.is_met(watch):
                    answer = self._answer(question, view, watch.targets)
                    if answer.confirmed:
                        return answer
                left = deadline - time.monotonic()
                if left <= 0 or self._stopping.is_set():
                    return self._answer(question, view, watch.targets)
                watch.moved.wait(min(left, TICK_S))

    def _targets(self, question: _Question, view: View) -> dict[Group, int]:
        """The groups that are concerned, each with the revision that its instances must have."""
        return {
            group: min(question.revision, snapshot_revision(view, group))
            for group in self._fleet.groups()
            if view.get(f"service/{group[0]}")
            and concerned(group, services_in_snapshot(view, group[0]), question.touches)
        }

    def _answer(self, question: _Question, view: View, targets: dict[Group, int] | None = None) -> Acknowledgement:
        now = self._fleet.now()
        wanted = self._targets(question, view) if targets is None else targets
        if view.revision < question.revision:
            wanted = dict.fromkeys(wanted, question.revision)
        applied: list[Entry] = []
        missing: list[tuple[Group, Entry]] = []
        for group, revision in wanted.items():
            for entry in self._fleet.entries(group):
                if entry.state(now) is State.GONE:
                    continue
                if entry.has_applied(view.epoch, revision):
                    applied.append(entry)
                else:
                    missing.append((group, entry))
        missing.sort(key=lambda found: found[1].heard, reverse=True)
        return Acknowledgement(
            revision=question.revision,
            committed_at=question.committed_at,
            instances=len(applied) + len(missing),
            applied=len(applied),
            confirmed=not missing and view.revision >= question.revision,
            stragglers=tuple(_straggler(group, entry, now) for group, entry in missing[:MOST_STRAGGLERS]),
            latency_ms=None,
        )


@dataclass(frozen=True, slots=True)
class _Question:
    revision: int
    committed_at: str
    touches: tuple[Group, ...]


def _straggler(group: Group, entry: Entry, now: float) -> Straggler:
    return Straggler(
        service=group[0],
        environment=group[1],
        instance=entry.identity.instance or entry.process,
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


def seconds(timestamp: str) -> float:
    """Seconds since 1970 of an RFC 3339 time."""
    return datetime.fromisoformat(timestamp).timestamp()
