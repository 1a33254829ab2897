"""Who delivers: of all server processes on one Redis, the one that holds the lease; another takes over when it ends."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from downhaul_server.services.actors import Actor
from downhaul_server.services.commit import Committer, Plan
from downhaul_server.services.documents import now, stamped
from downhaul_server.services.errors import ServiceError
from downhaul_server.services.hook_courier import Courier, Tools
from downhaul_server.services.hook_documents import KIND
from downhaul_server.services.hook_feed import Feed
from downhaul_server.services.hook_sender import Sender
from downhaul_server.services.names import address
from downhaul_server.store import Entry, Store, StoreError, View

log = logging.getLogger(__name__)

LEASE = "hooks"
LEASE_S = 6.0
BEAT_S = 1.5
SWEEP_S = 600.0
ORPHANED_S = 3600.0
STOP_S = 1.5
SYSTEM = Actor.single("downhaul-server", "system", "admin")


class HookDelivery:
    """Starts with `start`, ends with the store."""

    def __init__(self, store: Store, committer: Committer, sender: Sender, public_url: str | None) -> None:
        self._store = store
        self._committer = committer
        self._lease = store.lease(LEASE, LEASE_S)
        self._feed = Feed(store, self._changed)
        self._tools = Tools(store, self._lease, self._feed, sender, self.disable, public_url)
        self._couriers: dict[str, Courier] = {}
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._swept = float("-inf")
        self._unfollow: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._run, name="downhaul-hooks", daemon=True)

    def start(self) -> None:
        """Until the store is closed."""
        self._unfollow = self._feed.follow()
        self._store.at_close(self.stop)
        self._thread.start()

    def stop(self) -> None:
        """Let another process go on. What is under way has a moment to arrive. Idempotent."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(2 * STOP_S)

    def disable(self, hook_id: str, reason: str) -> None:
        """Switch a hook off; the log says why. Raises Unavailable."""

        def plan(view: View) -> Plan:
            before = view.get(address(KIND, hook_id))
            if before is None or not before.body["enabled"]:
                return Plan(action="hook.disable")
            after = {**before.body, "enabled": False, "disabled": {"at": now(), "reason": reason}}
            writes = {before.address: stamped(after, before)}
            return Plan(action="hook.disable", writes=writes, alone=False, reason=reason)

        self._committer.run(SYSTEM, plan, request=("hook.disable", hook_id))
        log.warning("webhook %s is switched off: %s", hook_id, reason)

    def _changed(self, view: View, entry: Entry | None) -> None:
        """From the follower's thread."""
        for courier in list(self._couriers.values()):
            courier.wake()
        if entry is None or any(change.address.startswith(f"{KIND}/") for change in entry.changes):
            self._wake.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with self._store.asking():
                    self._beat()
            except (StoreError, ServiceError) as error:
                log.debug("webhooks: %s", error)  # Redis is away: the store's follower says so
            except Exception:  # the next beat comes all the same
                log.exception("webhooks: the housekeeping failed")
            self._wake.wait(BEAT_S)
            self._wake.clear()
        self._end()

    def _beat(self) -> None:
        wanted = {each.key for each in self._store.view.of_kind(f"{KIND}/") if each.body["enabled"]}
        if not wanted and not self._couriers:
            self._sweep()
            return
        if not self._lease.held:
            # It may have been another's in between: whoever is still here does not know how far that one came.
            self._dismiss()
        if self._lease.keep():
            self._staff(wanted)
            self._sweep()
        else:
            self._dismiss()

    def _staff(self, wanted: set[str]) -> None:
        """A courier for each hook. One that was told to end has to be gone before another one comes."""
        for hook_id, courier in list(self._couriers.items()):
            if hook_id not in wanted:
                courier.stop()
            if not courier.alive:
                del self._couriers[hook_id]
        for hook_id in wanted - self._couriers.keys():
            self._couriers[hook_id] = Courier(self._tools, hook_id)
            self._couriers[hook_id].start()

    def _dismiss(self) -> None:
        for hook_id, courier in list(self._couriers.items()):
            courier.abandon()
            if not courier.alive:
                del self._couriers[hook_id]

    def _sweep(self) -> None:
        """What is left of hooks that are no more, or were never made after all."""
        at = self._store.clock.monotonic()
        if at - self._swept < SWEEP_S or not (self._lease.held or self._lease.keep()):
            return
        self._swept = at
        before = self._store.clock.to_redis(at - ORPHANED_S)
        view = self._store.view
        gone = [
            hook_id
            for hook_id, secrets in self._store.outbox.known().items()
            if secrets.get("made", 0) < before and view.get(address(KIND, hook_id)) is None
        ]
        if gone:
            self._store.outbox.forget(gone)

    def _end(self) -> None:
        self._unfollow()
        couriers = list(self._couriers.values())
        for courier in couriers:
            courier.stop()
        deadline = self._store.clock.monotonic() + STOP_S
        for courier in couriers:
            courier.join(max(0.0, deadline - self._store.clock.monotonic()))
            courier.abandon()
        try:
            with self._store.asking():
                self._lease.release()
        except StoreError as error:
            log.debug("webhooks: %s", error)
