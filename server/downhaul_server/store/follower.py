"""The thread that keeps this process's view the newest: load once, then follow the log, whatever happens to Redis."""

from __future__ import annotations

import logging
import random
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from redis.exceptions import RedisError

from downhaul_server.store import queries, scripts
from downhaul_server.store.commits import RECOVER, Entry
from downhaul_server.store.connections import Connections
from downhaul_server.store.entries import RawEntry
from downhaul_server.store.errors import StoreDiverged, StoreUnavailable
from downhaul_server.store.keys import SCHEMA
from downhaul_server.store.place import Verdict, judge
from downhaul_server.store.view import Freshness, View

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0
"""Redis is asked again at least this often, so that writes work again within about a second of its return."""
REMEMBERED = 1000
"""Of so many entries the chain is known without asking Redis."""
DIVERGED_PAUSE_S = 0.5

Listener = Callable[[View, Entry | None], None]


class Follower:
    """Owns the view. Everything else in the process only reads what it publishes.

    States: `loading` (nothing to serve yet), `following`, `away` (Redis does not answer; the view stands), `diverged`
    (Redis holds another history; the view stands, and nothing is written until an operator has decided).
    """

    def __init__(
        self,
        connections: Connections,
        *,
        start: View | None,
        freshness: Freshness,
        first_documents: Mapping[str, Mapping[str, Any]],
        on_state: Callable[[str], None],
    ) -> None:
        """`start` is the checkpoint's view, `first_documents` are for an empty Redis.

        `on_state` gets the state whenever it is entered, and again with each change and each second: it must be quick.
        """
        self._connections = connections
        self._freshness = freshness
        self._first_documents = first_documents
        self._on_state = on_state
        self._view = start
        self._listeners: tuple[Listener, ...] = ()
        self._chains: dict[int, str] = {}
        """Of the last entries that came by."""
        self._owed: deque[tuple[str, int, str]] = deque()
        self._moved = threading.Condition()
        self._tried = threading.Event()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="downhaul-follower", daemon=True)
        self.loaded = False
        """True once the view comes from Redis, False while it is the checkpoint's."""
        self.condition = "loading"
        self.reason: str | None = None
        """Why it is not following; None when it is."""

    @property
    def state(self) -> str:
        """`loading`, `following`, `away` or `diverged`."""
        return "loading" if self.condition == "away" and self._view is None else self.condition

    @property
    def view(self) -> View:
        """The newest view. Raises StoreUnavailable while there is none."""
        if self._view is None:
            raise StoreUnavailable(f"nothing has been loaded from Redis yet: {self.reason or 'still trying'}")
        return self._view

    @property
    def latest(self) -> View | None:
        """The newest view, or None."""
        return self._view

    def start(self, timeout: float) -> None:
        """Start following; returns after the first attempt, failed or not, or when the time (seconds) is up."""
        self._thread.start()
        self._tried.wait(timeout)

    def stop(self) -> None:
        """Stop, within about a second. Idempotent."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def nudge(self) -> None:
        """Redis seems to be there: do not sit out the pause."""
        self._wake.set()

    def has_served(self, revision: int, chain: str) -> bool:
        """Whether this entry, and not another at its revision, has come by lately."""
        return self._chains.get(revision) == chain

    def owe(self, epoch: str, revision: int, chain: str) -> None:
        """This was acknowledged, and has not come by. It may have gone to a primary that is none any more."""
        self._owed.append((epoch, revision, chain))

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """See `Store.subscribe`."""
        with self._moved:
            self._listeners = (*self._listeners, listener)

        def unsubscribe() -> None:
            with self._moved:
                self._listeners = tuple(other for other in self._listeners if other is not listener)

        return unsubscribe

    def wait_for(self, revision: int, timeout: float) -> bool:
        """See `Store.wait_for`."""
        with self._moved:
            return self._moved.wait_for(lambda: self._view is not None and self._view.revision >= revision, timeout)

    # The rest runs in the thread.

    def _run(self) -> None:
        pause = FIRST_PAUSE_S
        while not self._stopping.is_set():
            try:
                self._join()
                pause = FIRST_PAUSE_S
                self._follow()
            except StoreDiverged as error:
                self._enter("diverged", str(error))
                pause = DIVERGED_PAUSE_S
            except (RedisError, OSError) as error:
                self._enter("away", f"Redis does not answer: {error}")
            except Exception as error:  # a fault of our own must not end what every read depends on
                log.exception("store: the follower failed")
                self._enter("away", f"the follower failed: {error!r}")
            self._tried.set()
            self._wake.wait(0 if self._stopping.is_set() else pause * random.uniform(0.75, 1.0))  # noqa: S311
            self._wake.clear()
            pause = min(pause * 2, LONGEST_PAUSE_S)

    def _join(self) -> None:
        """Find our place in what Redis holds. Raises StoreDiverged when there is none."""
        verdict = self._verdict()
        if verdict is Verdict.CREATE:
            scripts.create_fresh(self._connections.reads, self._first_documents)
        if verdict is not Verdict.FOLLOW or not self.loaded:
            self._load()
        self._freshness.confirm()
        self._enter("following", None)
        self._tried.set()

    def _follow(self) -> None:
        while not self._stopping.is_set():
            entries = queries.follow(self._connections.follower, self.view.revision, self._connections.block_s)
            if not entries and self._verdict() is not Verdict.FOLLOW:
                # Silence may also mean that the log was emptied or trimmed under us.
                self._load()
            for raw in entries:
                if not self._take(raw):
                    break
            for owed in tuple(self._owed):
                self._look_for(*owed)
                self._owed.remove(owed)
            self._freshness.confirm()
            # In each round: where changes never stop, nobody must wait for a silence to hear how things are.
            self._on_state("following")

    def _verdict(self) -> Verdict:
        ours = self._view.revision if self._view else 0
        place = queries.read_place(self._connections.follower, ours)
        try:
            return judge(self._view, place)
        except StoreDiverged:
            if self._view and place and place.schema == SCHEMA and place.lost is None:
                self._say_what_is_lost(self._view.epoch, self._view.revision, self._view.chain)
            raise

    def _look_for(self, epoch: str, revision: int, chain: str) -> None:
        """Raises StoreDiverged when Redis, in the same epoch, lacks what was acknowledged."""
        place = queries.read_place(self._connections.follower, revision)
        if place is None or place.epoch != epoch:
            return  # which is for the verdict, or an operator's decision
        if place.revision < revision or place.chain_of(revision) not in (None, chain):
            self._say_what_is_lost(epoch, revision, chain)
            raise StoreDiverged(f"Redis lacks revision {revision} of epoch {epoch}, which this server has acknowledged")

    def _say_what_is_lost(self, epoch: str, revision: int, chain: str) -> None:
        """To servers that have not served it, and would go on without it: what they acknowledge might not be so."""
        try:
            scripts.run(self._connections.reads, "lost", (epoch, str(revision), chain))
        except RedisError as error:
            log.warning("store: Redis cannot be told what it lacks (%s); it is told again", error)

    def _take(self, raw: RawEntry) -> bool:
        """Apply one entry; False when everything was loaded instead, because of a gap before it or a new epoch."""
        if raw.revision != self.view.revision + 1:
            self._verdict()
            self._load()
            return False
        fault = raw.fault(self.view.chain)
        if fault:
            raise StoreDiverged(f"the log of Redis is damaged: {fault}")
        try:
            entry = raw.decode()
        except ValueError as error:
            raise StoreDiverged(f"the log of Redis is damaged: {error}") from error
        if entry.action == RECOVER:
            # An operator began a new epoch, and an entry says nothing of that.
            self._load()
            return False
        self._publish(self.view.apply(entry), entry)
        return True

    def _load(self) -> None:
        view = queries.read_view(self._connections.reads, self._freshness)
        self.loaded = True
        self._publish(view, None)

    def _publish(self, view: View, entry: Entry | None) -> None:
        if entry is None:
            self._chains.clear()
        self._chains[view.revision] = view.chain
        if len(self._chains) > REMEMBERED:
            del self._chains[next(iter(self._chains))]
        with self._moved:
            self._view = view
            listeners = self._listeners
            self._moved.notify_all()
        for listener in listeners:
            try:
                listener(view, entry)
            except Exception:  # whatever a listener does wrong, this process must go on following
                log.exception("a listener of the store failed at revision %d", view.revision)

    def _enter(self, condition: str, reason: str | None) -> None:
        if condition != self.condition or reason != self.reason:
            level = {"following": logging.INFO, "away": logging.WARNING, "diverged": logging.ERROR}[condition]
            log.log(level, "store: %s%s", condition, f" ({reason})" if reason else "")
        self._on_state(condition)
        with self._moved:
            self.condition, self.reason = condition, reason
