"""All services of one process, on one store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from downhaul_server import limits
from downhaul_server.services.acknowledgement import Acknowledgements
from downhaul_server.services.actors import Actor, EnvironmentKey
from downhaul_server.services.audience import Audience
from downhaul_server.services.audit import Audit
from downhaul_server.services.bulletin import Bulletin
from downhaul_server.services.catalog import Catalog
from downhaul_server.services.change_words import ChangeWords
from downhaul_server.services.commit import Committer
from downhaul_server.services.decisions import Decisions
from downhaul_server.services.drill import Drills
from downhaul_server.services.drill_results import NOTE, DrillResults
from downhaul_server.services.drill_schedule import DrillSchedule
from downhaul_server.services.evaluate import Evaluate
from downhaul_server.services.evaluation import Evaluation
from downhaul_server.services.evaluations import Evaluations
from downhaul_server.services.flag_sets import FlagSets
from downhaul_server.services.flags import Flags
from downhaul_server.services.fleet import Fleet
from downhaul_server.services.history import History
from downhaul_server.services.hook_delivery import HookDelivery
from downhaul_server.services.hook_sender import Sender
from downhaul_server.services.hooks import Hooks
from downhaul_server.services.keeper import Keeper
from downhaul_server.services.keys import Keys
from downhaul_server.services.kill import Kill
from downhaul_server.services.latency import Latency
from downhaul_server.services.links import Links
from downhaul_server.services.logins import Logins
from downhaul_server.services.notices import Notices
from downhaul_server.services.overview import Overview
from downhaul_server.services.passwords import Passwords
from downhaul_server.services.people import People
from downhaul_server.services.review_subjects import Subjects
from downhaul_server.services.reviews import Reviews
from downhaul_server.services.segments import Segments
from downhaul_server.services.sessions import NOTE as SESSIONS_NOTE
from downhaul_server.services.sessions import Sessions
from downhaul_server.services.snapshots import Snapshots
from downhaul_server.services.staleness import Staleness
from downhaul_server.services.streams import Streams
from downhaul_server.services.survey import Survey
from downhaul_server.services.unconfirmed import UnconfirmedKills
from downhaul_server.services.usage import Usage
from downhaul_server.settings import Settings
from downhaul_server.store import Store

if TYPE_CHECKING:
    from downhaul_server.services.oidc import OpenId
    from downhaul_server.signing_in import Provider


class Services:
    """What api and admin_ui hold. Safe to share between threads; make it after forking, with the process's Store."""

    def __init__(self, store: Store, settings: Settings) -> None:
        committer = Committer(store)
        self._store = store
        self.catalog = Catalog(committer, settings.default_environment)
        self.flags = Flags(committer, settings.default_environment)
        self.kill = Kill(committer, settings.default_environment)
        self.segments = Segments(committer)
        subjects = Subjects(self.flags, self.segments, self.kill, self.catalog)
        self.reviews = Reviews(committer, subjects, settings.default_environment)
        usage = Usage(store)
        self.keys = Keys(committer, settings.admin_token, usage)
        self.links = Links(committer, self.kill, usage)
        self.history = History(store)
        self.change_words = ChangeWords(store)
        self.audit = Audit(store)
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
        self.acknowledgements = Acknowledgements(store, committer, self.fleet, audience)
        self.survey = Survey(store, self.fleet, audience, settings.default_environment)
        self.overview = Overview(store, self.survey)
        self.unconfirmed_kills = UnconfirmedKills(store, self.fleet, audience)
        self.bulletin = Bulletin(store)
        self.evaluations = Evaluations(store, settings.default_environment)
        sets = FlagSets(self.snapshots)
        self.evaluation = Evaluation(store, sets, self.evaluations)
        self.notices = Notices(self.keys, self.evaluation, self.streams)
        self.decisions = Decisions(self.snapshots, sets, self.evaluations, settings.default_environment)
        self.staleness = Staleness(store, committer, settings.default_environment)
        self.latency = Latency(store, self.fleet)
        self.drill_results = DrillResults(store)
        self.drills = Drills(store, committer, self.acknowledgements, self.drill_results, settings.default_environment)
        schedule = DrillSchedule(
            store,
            self.drills,
            self.drill_results,
            every_s=settings.drill_every,
            environments=settings.drill_environments or (settings.default_environment,),
        )
        self.sessions = Sessions(store, settings.signing_in, settings.admin_token)
        self.fleet.on_note(NOTE, self.drill_results.learn)
        hashes = Passwords()
        self.people = People(committer, self.sessions, hashes)
        self.logins = Logins(committer, self.sessions, hashes)
        provider = settings.signing_in.provider
        self.openid = _openid(store, provider, self.logins) if provider else None
        self.fleet.on_note(SESSIONS_NOTE, self.sessions.learn)
        self.fleet.follow()
        self.sessions.load()
        sender = Sender(settings.webhook_allow)
        self.hooks = Hooks(store, committer, sender, settings.public_url)
        HookDelivery(store, committer, sender, settings.public_url).start()
        Keeper(
            store, self.fleet, self.survey, self.drill_results, schedule, usage, self.staleness, self.evaluation
        ).start()

    def authenticate(self, token: str) -> Actor | EnvironmentKey:
        """Who holds this token. Asks nobody. Raises Unauthenticated, and Unavailable while nothing is loaded."""
        return self.keys.authenticate(token)

    def stop(self) -> None:
        """The process is about to end: whoever waits is answered now. Does not block; idempotent."""
        self.streams.stop()
        self.bulletin.stop()
        self.acknowledgements.stop()

    def health(self) -> dict[str, Any]:
        """How the store is (see `Store.health`); never raises."""
        return self._store.health()


def _openid(store: Store, provider: Provider, logins: Logins) -> OpenId:
    # What it is made of would be a sixth of all that each process imports, and most have no provider.
    from downhaul_server.services.oidc import OpenId

    return OpenId(store, provider, logins)
