"""Kills that have not arrived everywhere: what somebody should know who has long closed the page of the kill."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from downhaul_server.services.access import newest_view
from downhaul_server.services.audience import Audience, Group
from downhaul_server.services.flag_forms import kill_revision
from downhaul_server.services.fleet import Fleet
from downhaul_server.services.instances import State
from downhaul_server.store import Store, View


@dataclass(frozen=True, slots=True)
class _Standing:
    """A flag that is killed in an environment, and since which revision."""

    service: str
    environment: str
    revision: int


class UnconfirmedKills:
    """Looks through the killed flags once for each state of the store, and through the fleet at each question."""

    def __init__(self, store: Store, fleet: Fleet, audience: Audience) -> None:
        self._store = store
        self._fleet = fleet
        self._audience = audience
        self._known: tuple[str, int, tuple[_Standing, ...]] = ("", -1, ())

    def counts(self) -> dict[Group, int]:
        """For each group of the fleet, how many standing kills some live or silent instance of it has not applied.

        Whatever is unclear counts as not applied. Asks nobody. Raises Unavailable while nothing is loaded.
        """
        view, now = newest_view(self._store), self._fleet.now()
        standing = self._standing(view)
        found: Counter[Group] = Counter()
        for group in self._fleet.groups():
            found[group] = 0
            due = tuple(self._due(view, group, standing))
            if not due:
                continue
            present = [entry for entry in self._fleet.entries(group) if entry.state(now) is not State.GONE]
            for revision in due:
                found[group] += not all(entry.has_applied(view.epoch, revision) for entry in present)
        return dict(found)

    def _due(self, view: View, group: Group, standing: tuple[_Standing, ...]) -> Iterator[int]:
        """What the instances of a group must have, for each kill that is in their snapshot."""
        snapshot = self._audience.snapshot(view, group) if standing else None
        if snapshot is None:
            return
        for kill in standing:
            if kill.environment == group[1] and kill.service in snapshot.content.services:
                yield min(kill.revision, snapshot.revision)

    def _standing(self, view: View) -> tuple[_Standing, ...]:
        epoch, revision, known = self._known
        if (epoch, revision) != (view.epoch, view.revision):
            known = tuple(_killed(view))
            self._known = (view.epoch, view.revision, known)
        return known


def _killed(view: View) -> Iterator[_Standing]:
    for flag in view.of_kind("flag/"):
        for environment, state in flag.body["environments"].items():
            if state["killed"] is not None:
                yield _Standing(flag.body["service"], environment, kill_revision(flag, environment))
