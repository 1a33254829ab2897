"""What streams are about: snapshots for instances; for OpenFeature's clients, that there is something to fetch anew."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from downhaul_server.services.actors import SdkKey
from downhaul_server.services.changes import change_event
from downhaul_server.services.events import Event
from downhaul_server.services.observers import Fleet
from downhaul_server.services.resumption import Resumptions
from downhaul_server.services.snapshots import Snapshot, Snapshots
from downhaul_server.store import Store, View

S = TypeVar("S")
"""The state of a topic: whatever its streams hold, or are about to get."""


class Topic(Protocol, Generic[S]):
    """Equal ones share one channel: one look at the store, and one event for everybody. Must not wait, where it says
    nothing else."""

    def newest(self, view: View) -> S:
        """The state at a view. Raises NotFound: there is no such thing any more."""

    def first(self, state: S, last: Any) -> Event:
        """What brings a client that holds `last` to the state. May ask Redis, within its time limits."""

    def change(self, before: S, after: S) -> Event | None:
        """From one state to a later one; None: nothing has changed, and the one before stays."""

    def heartbeat(self, state: S) -> Event:
        """A sign of life."""

    def end(self, reason: str, retry_ms: int) -> Event:
        """The last word."""

    def opened(self, process: str | None) -> None:
        """A stream of this process begins."""

    def closed(self, process: str | None, by_client: bool) -> None:
        """A stream of this process has ended; `by_client`: its side has closed it."""


@dataclass(frozen=True)
class SnapshotTopic(Topic[Snapshot]):
    """One service in one environment. A client holds a position: (epoch, revision)."""

    service: str
    environment: str
    key: SdkKey = field(compare=False)
    store: Store = field(compare=False, repr=False)
    snapshots: Snapshots = field(compare=False, repr=False)
    resumptions: Resumptions = field(compare=False, repr=False)
    fleet: Fleet = field(compare=False, repr=False)

    def newest(self, view: View) -> Snapshot:
        return self.snapshots.of(view, self.service, self.environment)

    def first(self, state: Snapshot, last: tuple[str, int] | None) -> Event:
        if last is None or last[0] != state.epoch:
            return state.event
        # Who is ahead of us was served by a server that is; nothing older than it has is ever sent.
        if last[1] >= state.revision:
            return self.heartbeat(state)
        view = self.snapshots.view
        event = self.resumptions.event(view, state, last[1]) if view.epoch == state.epoch else None
        return event or state.event

    def change(self, before: Snapshot, after: Snapshot) -> Event | None:
        if before.epoch != after.epoch:
            return after.event
        return change_event(before.content, before.revision, after) if after.revision > before.revision else None

    def heartbeat(self, state: Snapshot) -> Event:
        age_s = round(self.store.view.age_s, 1)
        data = {"epoch": state.epoch, "revision": state.revision, "age_s": age_s}
        return Event.of("heartbeat", data, at=state.position)

    def end(self, reason: str, retry_ms: int) -> Event:
        return Event.of("end", {"reason": reason}, retry_ms=retry_ms)

    def opened(self, process: str | None) -> None:
        if process is not None:
            self.fleet.stream_opened(self.key, self.service, process)

    def closed(self, process: str | None, by_client: bool) -> None:
        if process is not None:
            self.fleet.stream_closed(self.key, self.service, process, by_client)
