"""Who is concerned by a change: the instances whose snapshot holds flags of the services that were touched."""

from __future__ import annotations

from collections.abc import Iterable

from downhaul_server.services.actors import ALL
from downhaul_server.services.errors import NotFound
from downhaul_server.services.snapshots import Snapshot, Snapshots
from downhaul_server.store import View

Group = tuple[str, str]
"""A service and an environment: the instances there share a snapshot."""


class Audience:
    """Asks the snapshots."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots

    def targets(self, view: View, groups: Iterable[Group], revision: int, touches: Iterable[Group]) -> dict[Group, int]:
        """Those of `groups` that a change of these (service, environment) pairs (`*`: all) concerns.

        Each with the revision that its instances must have: where the change left their snapshot as it was, theirs.
        """
        touched = tuple(touches)
        found = {}
        for group in groups:
            snapshot = self.snapshot(view, group)
            if snapshot and any(_concerns(touch, group, snapshot.content.services) for touch in touched):
                found[group] = min(revision, snapshot.revision)
        return found

    def snapshot(self, view: View, group: Group) -> Snapshot | None:
        """What the instances of a group should have; None when the service or the environment is not there any more."""
        try:
            return self._snapshots.of(view, *group)
        except NotFound:
            return None


def _concerns(touch: Group, group: Group, services: frozenset[str]) -> bool:
    service, environment = touch
    return environment in (ALL, group[1]) and (service == ALL or service in services)
