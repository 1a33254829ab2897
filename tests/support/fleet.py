"""Simulated instances: what a process that runs the SDK tells the service, without the SDK."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from downhaul_server.services.actors import SdkKey
from downhaul_server.services.container import Services
from downhaul_server.services.members import Pace
from support.services import CHECKOUT, sdk_key

SDK = "python/0.1.0"


@dataclass
class Instance:
    """One process, which says what a test tells it to say."""

    name: str = "checkout-1"
    service: str = CHECKOUT
    environment: str = "production"
    process: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def key(self) -> SdkKey:
        return sdk_key(self.environment)

    def body(self, epoch: str | None, revision: int | None, **more: Any) -> dict[str, Any]:
        """A report, as it goes over the wire."""
        return {
            "service": self.service,
            "process": self.process,
            "instance": self.name,
            "host": "node-7",
            "pid": 123,
            "build": "2.1.0",
            "sdk": SDK,
            "link": "stream",
            "epoch": epoch,
            "revision": revision,
            "applied_ms": 0,
            **more,
        }

    def report(self, services: Services, revision: int | None = None, **more: Any) -> Pace:
        """Say that this revision was applied; when none is given, that of the newest snapshot."""
        snapshot = services.snapshots.get(self.key, self.service)
        found = snapshot.revision if revision is None else revision
        epoch = more.pop("epoch", snapshot.epoch)
        return services.fleet.report(self.key, self.body(epoch, found, **more))

    def open_stream(self, services: Services) -> None:
        services.fleet.stream_opened(self.key, self.service, self.process)

    def close_stream(self, services: Services, *, by_client: bool = True) -> None:
        services.fleet.stream_closed(self.key, self.service, self.process, by_client)


def everybody_reports(services: Services, instances: Iterable[Instance]) -> None:
    for instance in instances:
        instance.report(services)


def pass_time(services: Services, seconds: float) -> None:
    """Let the clock of one process go on; nothing else happens meanwhile."""
    clock = services._store.clock
    before = clock.monotonic
    clock.monotonic = lambda: before() + seconds


def states(services: Services, service: str = CHECKOUT, environment: str = "production") -> dict[str, str]:
    """Each instance's state by its name."""
    return {seen.entry.name: seen.state.value for seen in services.survey.instances((service, environment))}
