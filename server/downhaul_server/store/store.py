"""The room's front door: one process's hold on the store."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from redis.exceptions import RedisError

from downhaul_server.settings import Settings
from downhaul_server.store import audit, queries
from downhaul_server.store.board import Board
from downhaul_server.store.checkpoint import Checkpoint, CheckpointCorruptError, Keeper
from downhaul_server.store.clock import Clock
from downhaul_server.store.commits import Commit, Committed, Entry
from downhaul_server.store.connections import Connections
from downhaul_server.store.durability import Durability
from downhaul_server.store.errors import Conflict, Stale, StoreDiverged, StoreUnavailable
from downhaul_server.store.fleet import FleetNews
from downhaul_server.store.follower import Follower, Listener
from downhaul_server.store.lease import Lease
from downhaul_server.store.ledger import Ledger
from downhaul_server.store.outbox import Outbox
from downhaul_server.store.reading import Reading, readable
from downhaul_server.store.refusals import RefusalLog
from downhaul_server.store.rewind import rewind
from downhaul_server.store.sessions import SessionLedger
from downhaul_server.store.usage import UsageLedger
from downhaul_server.store.view import Freshness, View
from downhaul_server.store.writer import Writer, fingerprint_of, prepare

log = logging.getLogger(__name__)

START_TIMEOUT_S = 5.0
OWN_VIEW_TIMEOUT_S = 1.0
OTHER_WORKERS_TIMEOUT_S = 0.25
CATCH_UP_TIMEOUT_S = 0.25
REWIND_PAGE = 50
"""Most clients that come back are a few revisions behind."""
FIRST_ENVIRONMENTS = ("production", "staging")


class Store:
    """A view in memory, a follower that keeps it fresh, and the way to write. Safe to share between threads."""

    def __init__(self, settings: Settings, connections: Connections, data_dir: Path, board: Board | None) -> None:
        """Use `Store.open`."""
        self._connections = connections
        self._board = board or Board(slots=1)
        self._durability = Durability(connections.reads, settings.redis_replicas, connections.kind)
        self._corrupt: str | None = None
        freshness = Freshness()
        checkpoint = Checkpoint(data_dir)
        self._writer = Writer(connections.writes, settings.redis_replicas)
        self._follower = Follower(
            connections,
            start=self._load(checkpoint, freshness),
            freshness=freshness,
            first_documents=first_documents(settings.default_environment),
            on_state=self._on_state,
        )
        self._follower.subscribe(lambda view, _: self._board.publish(view.revision))
        self._follower.subscribe(self._note_epoch)
        self._keeper = Keeper(checkpoint, lambda: self._follower.latest)
        self._at_close: list[Callable[[], None]] = []
        self.clock = Clock(connections.reads)
        """The clock of Redis."""
        self.news = FleetNews(connections, self.clock)
        """What processes tell each other of the fleet."""
        self.ledger = Ledger(connections)
        """What is kept beside the log. Its methods raise RedisError: call them under `asking`."""
        self.reading = Reading(
            connections.reads, self.asking, self._refuse_when_diverged, lambda: self._follower.view.revision
        )
        """The log, for more than its newest entries."""
        self.refusals = RefusalLog(connections)
        """Refused attempts. Its methods raise RedisError: call them under `asking`."""
        self._anchored: tuple[int, str] | None = None
        self._epoch: str | None = None
        self.outbox = Outbox(connections)
        """What webhooks need. Its methods raise RedisError: call them under `asking`."""
        self.usage = UsageLedger(connections)
        """When tokens were used last. Its methods raise RedisError: call them under `asking`."""
        self.sessions = SessionLedger(connections)
        """Who is logged in. Likewise."""

    @classmethod
    def open(
        cls,
        settings: Settings,
        *,
        redis_url: str | None = None,
        data_dir: Path | None = None,
        board: Board | None = None,
        connections: Connections | None = None,
    ) -> Store:
        """Connect, load and follow. Call it after forking: it starts threads. The data folder must exist.

        `redis_url` (default: settings.redis_url) is the embedded server's when there is one. `connections` replaces the
        real clients in tests. Returns when the first view is there or the first attempt to load has failed; it never
        raises because Redis is away. Raises ValueError when there is no URL at all, or a malformed one.
        """
        url = redis_url or settings.redis_url
        if connections is None and url is None:
            raise ValueError("expected a redis_url: settings name none, and no embedded Redis was given")
        store = cls(settings, connections or Connections.to(url or ""), data_dir or settings.data_dir, board)
        store._follower.start(START_TIMEOUT_S)
        store._keeper.start()
        return store

    @property
    def view(self) -> View:
        """The newest view. Raises StoreUnavailable while nothing has been loaded (never an empty view in its place)."""
        return self._follower.view

    def commit(self, commit: Commit) -> Committed:
        """Write all of it or nothing, then wait until this process, and the node's other workers, serve it.

        Raises Conflict, Stale, OperationReused, StoreDiverged, StoreUnavailable (within about a second), and ValueError
        for a commit that is malformed (no writes, an address or a document that is none).
        """
        self._refuse_when_diverged()
        if commit.expect:
            # A version may have been learned from another node that is ahead of us.
            self._follower.wait_for(max(commit.expect.values()), CATCH_UP_TIMEOUT_S)
        head = self.refusals.head
        try:
            anchored = commit if head == self._anchored else replace(commit, anchor=head)
            view = self.view
            committed = self._writer.commit(prepare(anchored, view))
            self._anchored = head
        except Conflict:
            # Seen before asking Redis, perhaps: but the retry of a committed operation must get its first answer.
            first = self.recall(commit.operation, fingerprint_of(commit)) if commit.operation else None
            if first is None:
                raise
            return first
        except Stale as error:
            self._follower.nudge()
            self._follower.wait_for(error.revision, CATCH_UP_TIMEOUT_S)
            raise
        settled = self._settle(committed)
        if committed.chain and not self._follower.has_served(committed.revision, committed.chain):
            self._follower.owe(view.epoch, committed.revision, committed.chain)
        return settled

    def recall(self, operation: str, fingerprint: str | None = None) -> Committed | None:
        """The first answer to an operation that was committed in the last 24 h, else None.

        Raises OperationReused when `fingerprint` is given and is not the recorded one; StoreUnavailable, StoreDiverged.
        """
        self._refuse_when_diverged()
        first = self._writer.recall(operation, fingerprint)
        return self._settle(first) if first else None

    def log(
        self, *, before: int | None = None, limit: int = 100, match: Callable[[Entry], bool] | None = None
    ) -> list[Entry]:
        """Entries newest first, those under revision `before` only, `limit` of those that `match`.

        Raises StoreUnavailable, StoreDiverged.
        """
        self._refuse_when_diverged()
        page = queries.PAGE if match else min(limit, queries.PAGE)
        found: list[Entry] = []
        try:
            for raw in queries.newest_first(self._connections.reads, before, page):
                entry = readable(raw)
                if match is None or match(entry):
                    found.append(entry)
                if len(found) == limit:
                    break
        except RedisError as error:
            raise _away(error) from error
        return found

    def entry(self, revision: int) -> Entry | None:
        """One entry of the log; None when there is none (yet, or any more). Raises StoreUnavailable, StoreDiverged."""
        entries = self.log(before=revision + 1, limit=1)
        return entries[0] if entries and entries[0].revision == revision else None

    def rewind(self, view: View, revision: int) -> View | None:
        """`view` (one of this store's) as it was at an earlier revision of its epoch; see `store/rewind.py`.

        None where the log does not tell, and while Redis is away: then nobody knows but the view itself.
        """
        if self._follower.state != "following":
            return None
        # A client waits for this, and everything can be told without it: so with a write's patience, not a read's.
        log_backwards = queries.newest_first(self._connections.writes, view.revision + 1, REWIND_PAGE)
        try:
            return rewind(view, revision, log_backwards)
        except (RedisError, StoreDiverged) as error:
            log.warning("store: cannot look back to revision %d: %s", revision, error)
            return None

    def verify_log(self) -> list[str]:
        """Walk the hash chain from the oldest entry to the newest, and that of the refused attempts.

        A sentence per fault; empty when all is whole.

        Raises StoreUnavailable; StoreDiverged when the store cannot even be read.
        """
        try:
            return audit.verify(self._connections.reads, self.view, self.refusals)
        except RedisError as error:
            raise _away(error) from error

    def health(self) -> dict[str, Any]:
        """How the store is; asks nobody, never raises.

        `{"state": "following"|"away"|"diverged"|"loading", "reason": str|None, "revision": int|None, "epoch": str|None,
        "age_s": float|None, "source": "redis"|"checkpoint"|None, "durability": {...}, "durable": bool|None,
        "warnings": [str]}`
        """
        view = self._follower.latest
        source = "redis" if self._follower.loaded else "checkpoint"
        return {
            "state": self._follower.state,
            "reason": self._follower.reason,
            "revision": view.revision if view else None,
            "epoch": view.epoch if view else None,
            "age_s": round(view.age_s, 3) if view else None,
            "source": source if view else None,
            "durability": self._durability.report,
            "durable": self._durability.durable,
            "warnings": self._warnings(),
        }

    def wait_for(self, revision: int, timeout: float) -> bool:
        """Wait (seconds) until the view is at `revision` or later; False when the time was up."""
        return self._follower.wait_for(revision, timeout)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener(view, entry)` after each change is applied, in order, from the follower's thread.

        `entry` is None when everything was loaded afresh. It must be quick. Returns the way to unsubscribe.
        """
        return self._follower.subscribe(listener)

    def lease(self, name: str, lasts_s: float) -> Lease:
        """A lease that is not held yet. Its methods raise RedisError: call them under `asking`."""
        return Lease(self._connections.writes, name, lasts_s=lasts_s)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Around calls of `ledger`, of a lease, of `news.forget`. Raises StoreUnavailable."""
        try:
            yield
        except RedisError as error:
            raise _away(error) from error

    def at_close(self, action: Callable[[], None]) -> None:
        """Do this first when the store is closed."""
        self._at_close.append(action)

    def close(self) -> None:
        """Stop following, write the last checkpoint, let go of every connection. Idempotent; takes about a second."""
        while self._at_close:
            self._at_close.pop()()
        self.news.stop()
        self._board.publish(0)
        self._follower.stop()
        self._keeper.stop()
        self._connections.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _settle(self, committed: Committed) -> Committed:
        """Wait until everybody on this node serves it, but not for ever: it is committed in any case."""
        self._durability.confirmed = committed.replicas
        self._follower.nudge()
        applied = self._follower.wait_for(committed.revision, OWN_VIEW_TIMEOUT_S)
        self._board.wait_others(committed.revision, OTHER_WORKERS_TIMEOUT_S)
        return replace(committed, applied=applied, survives=self._durability.of_write(committed.replicas))

    def _refuse_when_diverged(self) -> None:
        if self._follower.state == "diverged":
            raise StoreDiverged(f"{self._follower.reason}; it is left alone until an operator has decided")

    def _note_epoch(self, view: View, _: object) -> None:
        """What was refused in another life of the store may be lost with it: no log of changes vouches for that."""
        if view.epoch != self._epoch:
            self._epoch, self.refusals.head = view.epoch, None

    def _on_state(self, state: str) -> None:
        if state == "following":
            self._durability.refresh()
            self._board.publish(self._follower.view.revision)
        else:
            self._durability.expire()
            self._board.publish(0)

    def _load(self, checkpoint: Checkpoint, freshness: Freshness) -> View | None:
        try:
            return checkpoint.load(freshness)
        except CheckpointCorruptError as error:
            self._corrupt = str(error)
        except OSError as error:
            self._corrupt = f"the checkpoint cannot be read: {error}"
        log.error("store: %s", self._corrupt)
        return None

    def _warnings(self) -> list[str]:
        return [*self._durability.warnings, *filter(None, (self._corrupt, self._keeper.problem))]


def first_documents(default_environment: str) -> dict[str, dict[str, Any]]:
    """What a new store holds: the environments `production` and `staging`, and the default one if it is another."""
    keys = dict.fromkeys((*FIRST_ENVIRONMENTS, default_environment))
    return {f"environment/{key}": {"key": key, "name": key.capitalize()} for key in keys}


def _away(error: RedisError) -> StoreUnavailable:
    return StoreUnavailable(f"Redis does not answer: {error}")
