"""Who is concerned by a change: the services whose snapshots hold flags of the services that were touched."""

from __future__ import annotations

from collections.abc import Iterable

from downhaul_server.services.actors import ALL
from downhaul_server.services.names import address, resolve
from downhaul_server.store import View

Group = tuple[str, str]
"""A service and an environment: the instances there share a snapshot."""


def services_in_snapshot(view: View, service: str) -> frozenset[str]:
    """Whose flags a snapshot of the service holds: its own, and those of its prerequisites, wherever they lead."""
    waiting = [
        resolve(need["flag"], service)
        for document in view.of_kind(f"flag/{service}/")
        for need in document.body["requires"]
    ]
    found = {service}
    seen: set[tuple[str, str]] = set()
    while waiting:
        owner, key = waiting.pop()
        document = view.get(address("flag", owner, key))
        if (owner, key) in seen or document is None:
            continue
        seen.add((owner, key))
        found.add(owner)
        waiting += [resolve(need["flag"], owner) for need in document.body["requires"]]
    return frozenset(found)


def concerned(group: Group, services: frozenset[str], touches: Iterable[Group]) -> bool:
    """Whether a change of these (service, environment) pairs (`*`: all) may change the group's snapshot."""
    return any(
        environment in (ALL, group[1]) and (service == ALL or service in services) for service, environment in touches
    )
