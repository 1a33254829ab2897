"""Snapshots: all that one service needs in one environment, encoded once for each revision that affects it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property

from downhaul.engine.checksum import checksum

from downhaul_server.services.access import newest_view
from downhaul_server.services.actors import SdkKey
from downhaul_server.services.documents import existing
from downhaul_server.services.errors import Forbidden
from downhaul_server.services.events import Event
from downhaul_server.services.ruleset import Content, gather, revision_of
from downhaul_server.store import Store, View

SCHEMA = 1


@dataclass(frozen=True)
class Snapshot:
    """What an instance may hold. Bytes are made when somebody asks for them: most changes travel as events."""

    service: str
    environment: str
    epoch: str
    revision: int
    """Of the last commit that affects this service in this environment."""
    content: Content
    succeeds: tuple[str, ...] = ()
    """Epochs before this one: whoever has been in this one must not follow a server back that does not know it yet."""

    @cached_property
    def position(self) -> str:
        """`epoch:revision`, as the id of an event."""
        return f"{self.epoch}:{self.revision}"

    @cached_property
    def etag(self) -> str:
        """`"epoch:revision"`, with its quotes: a strong ETag."""
        return f'"{self.position}"'

    @cached_property
    def body(self) -> bytes:
        """The envelope as JSON, ASCII."""
        flags, segments = self.content.flags, self.content.segments
        envelope = {
            "schema": SCHEMA,
            "epoch": self.epoch,
            "revision": self.revision,
            "service": self.service,
            "environment": self.environment,
            "flag_count": len(flags),
            "checksum": checksum(flags, segments),
            "flags": flags,
            "segments": segments,
        }
        if self.succeeds:
            envelope["succeeds"] = self.succeeds
        return json.dumps(envelope, separators=(",", ":"), allow_nan=False).encode("ascii")

    @cached_property
    def event(self) -> Event:
        """`event: snapshot`, whose data is the body."""
        return Event("snapshot", self.body, at=self.position)


@dataclass(frozen=True, slots=True)
class _Kept:
    """A snapshot, and until when it is known to be the newest."""

    snapshot: Snapshot
    seen: tuple[str, int]
    """Epoch and revision of the view that it was last compared with."""


class Snapshots:
    """Cheap when nothing changed: a few look-ups in dicts."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: dict[tuple[str, str], _Kept] = {}

    @property
    def view(self) -> View:
        """What snapshots are made from. Raises Unavailable while nothing is loaded."""
        return newest_view(self._store)

    def get(self, key: SdkKey, service: str) -> Snapshot:
        """Raises Forbidden when the key is not for the service, NotFound when there is none, Unavailable."""
        if not key.reaches(service):
            raise Forbidden(f"the key {key.name} is not for the service {service}")
        return self.of(self.view, service, key.environment)

    def of(self, view: View, service: str, environment: str) -> Snapshot:
        """The snapshot at a view. Raises NotFound."""
        kept = self._kept.get((service, environment))
        if kept and kept.seen == (view.epoch, view.revision):
            return kept.snapshot
        existing(view, "service", service)
        existing(view, "environment", environment)
        kept = (_compared(kept, view) if kept else None) or _made(view, service, environment, kept)
        self._kept[service, environment] = kept
        return kept.snapshot


def _compared(kept: _Kept, view: View) -> _Kept | None:
    """The same again when nothing that it depends on was changed. Which services those are changes only with them."""
    snapshot = kept.snapshot
    revision = revision_of(view, snapshot.content.services, snapshot.environment)
    if (view.epoch, revision) != (snapshot.epoch, snapshot.revision):
        return None
    return replace(kept, seen=(view.epoch, view.revision))


def _made(view: View, service: str, environment: str, before: _Kept | None) -> _Kept:
    content = gather(view, service, environment, before=before.snapshot.content if before else None)
    revision = revision_of(view, content.services, environment)
    snapshot = Snapshot(service, environment, view.epoch, revision, content, view.succeeds)
    return _Kept(snapshot, (view.epoch, view.revision))
