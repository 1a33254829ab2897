"""All services of one process, on one store."""

from __future__ import annotations

from typing import Any

from downhaul_server import limits
from downhaul_server.services.acknowledgement import Acknowledgements
from downhaul_server.services.actors import Actor, SdkKey
from downhaul_server.services.audience import Audience
from downhaul_server.services.catalog import Catalog
from downhaul_server.services.commit import Committer
from downhaul_server.services.evaluate import Evaluate
from downhaul_server.services.evaluations import Evaluations
from downhaul_server.services.flags import Flags
from downhaul_server.services.fleet import Fleet
from downhaul_server.services.history import History
from downhaul_server.services.keys import Keys
from downhaul_server.services.kill import Kill
from downhaul_server.services.segments import Segments
from downhaul_server.services.snapshots import Snapshots
from downhaul_server.services.streams import Streams
from downhaul_server.services.survey import Survey
from downhaul_server.settings import Settings
from downhaul_server.store import Store


class Services:
    """What api and admin_ui hold. Safe to share between threads; make it after forking, with the process's Store."""

    def __init__(self, store: Store, settings: Settings) -> None:
        committer = Committer(store)
        self._store = store
        self.catalog = Catalog(committer, settings.default_environment)
        self.flags = Flags(committer, settings.default_environment)
        self.kill = Kill(committer, settings.default_environment)
        self.segments = Segments(committer)
        self.keys = Keys(committer, settings.admin_token)
        self.history = History(store)
        self.snapshots = Snapshots(store)
        self.evaluate = Evaluate(self.snapshots, settings.default_environment)
        self.fleet = Fleet(store)
        self.streams = Streams(
            store,
            self.snapshots,
            self.keys,
            self.fleet,
            age_s=settings.stream_age,
            most=min(settings.max_streams, limits.streams_for(limits.descriptor_limit())),
            most_per_key=settings.max_streams_per_key,
        )
        audience = Audience(self.snapshots)
        self.acknowledgements = Acknowledgements(store, self.fleet, audience)
        self.survey = Survey(store, self.fleet, audience, settings.default_environment)
        self.evaluations = Evaluations(store, settings.default_environment)
        self.fleet.follow()

    def authenticate(self, token: str) -> Actor | SdkKey:
        """Who holds this token. Asks nobody. Raises Unauthenticated, and Unavailable while nothing is loaded."""
        return self.keys.authenticate(token)

    def stop(self) -> None:
        """The process is about to end: whoever waits is answered now. Does not block; idempotent."""
        self.streams.stop()
        self.acknowledgements.stop()

    def health(self) -> dict[str, Any]:
        """How the store is (see `Store.health`); never raises."""
        return self._store.health()
