"""Snapshots: all that one service needs in one environment, encoded once for each revision that affects it."""

from __future__ import annotations

from dataclasses import dataclass

from downhaul_server.services.actors import SdkKey
from downhaul_server.store import Store


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Ready to be sent."""

    service: str
    environment: str
    epoch: str
    revision: int
    """Of the last commit that affects this service in this environment."""
    etag: str
    """`"epoch:revision"`, with its quotes: a strong ETag."""
    body: bytes
    """The envelope as JSON, UTF-8."""


class Snapshots:
    """Cheap when nothing changed: a few look-ups in dicts."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, key: SdkKey, service: str) -> Snapshot:
        """Raises Forbidden when the key is not for the service, NotFound when there is none, Unavailable."""
        raise NotImplementedError
