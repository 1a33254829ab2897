"""One hook's messenger: the next event that concerns it, sent until it has arrived; then the one after that.

Its place in the log lies in Redis and moves on only after a delivery, and only while this process holds the lease: so
each event arrives at least once, and in order.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from downhaul_server.services.errors import ServiceError
from downhaul_server.services.hook_documents import KIND
from downhaul_server.services.hook_events import Event, event_of, undescribed
from downhaul_server.services.hook_feed import Feed
from downhaul_server.services.hook_messages import body_of
from downhaul_server.services.hook_sender import Answer, NotSent, Sender
from downhaul_server.services.hook_signing import alive
from downhaul_server.services.hook_status import State, moment, new_state
from downhaul_server.services.hooks import posted
from downhaul_server.services.names import address
from downhaul_server.store import RECOVER, Document, Entry, Lease, Store, StoreError, View

log = logging.getLogger(__name__)

BASE_S = 2.0
LONGEST_PAUSE_S = 3600.0
GIVE_UP_S = 3 * 24 * 3600.0
"""A hook whose receiver has failed for so long is switched off."""
SKIP_AFTER_S = 3600.0
"""An event that the receiver has refused for so long is skipped: what is wrong is the event, and others wait."""
REFUSALS = frozenset({400, 413, 415, 422})
GONE = 410
IDLE_S = 60.0
AWAY_S = 1.0
FAULT_S = 30.0
LOST_S = 2.0
KEEP_EVERY = 1000
"""Revisions that do not concern the hook, after which its place is kept all the same."""

Disable = Callable[[str, str], None]
"""Switches a hook off, and says why."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What all couriers of a process share."""

    store: Store
    lease: Lease
    feed: Feed
    sender: Sender
    disable: Disable
    public_url: str | None


class Courier:
    """Has a thread of its own, from `start` until `stop` or `abandon`."""

    def __init__(self, tools: Tools, hook_id: str) -> None:
        self._tools = tools
        self._store = tools.store
        self._id = hook_id
        self._state: State | None = None
        self._kept_at = 0
        self._kept_when = float("-inf")
        self._tried_version = 0
        self._lost = False
        """Whether there was no secret to sign with: a new one ends the pause."""
        self._wake = threading.Event()
        self._ending = False
        self._abandoned = False
        self._thread = threading.Thread(target=self._run, name=f"downhaul-hook-{hook_id}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Something was committed."""
        self._wake.set()

    def stop(self) -> None:
        """No further event; one that is under way may still arrive, and is then noted. Does not wait."""
        self._ending = True
        self._wake.set()

    def abandon(self) -> None:
        """Another process may be at work already: nothing is noted any more. Does not wait."""
        self._abandoned = True
        self.stop()

    def join(self, timeout: float) -> None:
        """Wait (seconds) for its end."""
        self._thread.join(timeout)

    @property
    def alive(self) -> bool:
        """Whether its thread still runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while not self._ending:
            self._wake.clear()
            pause = self._step_safely()
            if pause and not self._ending:
                self._wake.wait(pause)

    def _step_safely(self) -> float:
        try:
            return self.step()
        except (StoreError, ServiceError) as error:
            log.debug("webhook %s: %s", self._id, error)
            return AWAY_S
        except Exception:  # a fault of ours with one hook must not be the end of it
            log.exception("webhook %s: the delivery failed", self._id)
            self._state = None
            return FAULT_S

    def step(self) -> float:
        """Do what is to be done now; gives the seconds until there may be more (0: at once)."""
        view = self._store.view
        document = view.get(address(KIND, self._id))
        if not self._tools.lease.held:
            return AWAY_S
        if document is None or not document.body["enabled"]:
            return IDLE_S
        state = self._placed(view, document)
        if state["next"] is not None and document.version == self._tried_version:
            left = (state["next"] - self._now_ms()) / 1000
            if left > 0 and not (self._lost and self._secrets()):
                return float(min(left, LOST_S if self._lost else IDLE_S))
        event = self._next(document, state)
        if event is None:
            return IDLE_S if state["revision"] >= view.revision else 0
        self._tried_version = document.version
        return self._attempt(document, state, event)

    def _placed(self, view: View, document: Document) -> State:
        """Where the hook is in this history of the store."""
        since = document.body["since"]
        if self._state is None:
            with self._store.asking():
                self._state = self._store.outbox.state(self._id)
            self._kept_at = self._state["revision"] if self._state else since
            self._tried_version = document.version  # a pause that another process has begun holds for this one
        state = self._state
        if state is None or state["since"] != since:
            delivered = state and state["delivered"]
            state = self._state = new_state(view.epoch, since, min(since, view.revision)) | {"delivered": delivered}
        if state["epoch"] != view.epoch:
            state |= {"epoch": view.epoch, "revision": min(state["revision"], self._fork(view))}
        return state

    def _fork(self, view: View) -> int:
        """The last revision that this epoch has in common with the one before, and with what is kept of the hook."""
        with self._store.asking():
            kept = self._store.outbox.state(self._id)
        found = self._store.log(before=view.revision + 1, limit=1, match=lambda entry: entry.action == RECOVER)
        fork = found[0].revision - 1 if found else view.revision
        return min(fork, kept["revision"]) if kept else fork

    def _next(self, document: Document, state: State) -> Event | None:
        """The next event of the next page of the log; the place moves on over all that does not concern the hook."""
        for entry in self._tools.feed.after(state["revision"]):
            state["missed"] += entry.revision - state["revision"] - 1
            event = self._event(document, entry)
            if event is not None:
                state["revision"] = entry.revision - 1
                return event
            state["revision"] = entry.revision
        moved = state["revision"] - self._kept_at
        if moved >= KEEP_EVERY or (moved > 0 and self._store.clock.monotonic() - self._kept_when >= IDLE_S):
            self._keep(state, None)
        return None

    def _event(self, document: Document, entry: Entry) -> Event | None:
        try:
            return event_of(document.body, entry, self._tools.public_url)
        except Exception:  # an entry that we cannot describe must not hold up all that come after it
            log.exception("webhook %s: revision %d cannot be described", self._id, entry.revision)
            return undescribed(document.body, entry)

    def _attempt(self, document: Document, state: State, event: Event) -> float:
        started = time.monotonic()
        answer, error = self._sent(document, event)
        took = round((time.monotonic() - started) * 1000)
        status = answer.status if answer else None
        at_ms = self._now_ms()
        attempt = state["attempts"] + 1
        at = moment(at_ms)
        delivery: dict[str, Any] = {
            "at": at,
            "id": event.id,
            "type": event.type,
            "revision": event.revision,
            "attempt": attempt,
            "status": status,
            "error": error,
            "duration_ms": took,
        }
        if answer and answer.delivered:
            last = {"at": at, "revision": event.revision, "status": status}
            self._pass(state, event, delivered=last)
            return self._noted(state, delivery, "delivered")
        state |= {
            "attempts": attempt,
            "failing_since": state["failing_since"] or at_ms,
            "error": {"at": at, "status": status, "error": error},
        }
        return self._failed(state, event, delivery, answer, at_ms)

    def _failed(self, state: State, event: Event, delivery: dict[str, Any], answer: Answer | None, at_ms: int) -> float:
        """Try again, go on without it, or give up."""
        status, failing_ms = delivery["status"], at_ms - state["failing_since"]
        if status == GONE or failing_ms >= GIVE_UP_S * 1000:
            state["next"] = None
            self._noted(state, delivery, "given-up")
            self._tools.disable(self._id, _farewell(status, delivery["error"]))
            return IDLE_S
        if status in REFUSALS and failing_ms >= SKIP_AFTER_S * 1000:
            self._pass(state, event, skipped=state["skipped"] + 1)
            return self._noted(state, delivery, "skipped")
        state["next"] = at_ms + round(_pause(state["attempts"], answer.retry_after_s if answer else None) * 1000)
        return self._noted(state, delivery, "failed")

    def _sent(self, document: Document, event: Event) -> tuple[Answer | None, str | None]:
        """What came back, and what is wrong with it (None: nothing)."""
        standing = self._secrets()
        self._lost = not standing
        if not standing:
            return None, "the secret of this webhook is lost: rotate it"
        body = body_of(event, document.body["format"])
        try:
            answer = self._tools.sender.post(
                document.body["url"], body, posted(document.body, standing, event.id, body)
            )
        except NotSent as error:
            return None, str(error)
        return answer, None if answer.delivered else _refusal(answer)

    def _secrets(self) -> list[str]:
        with self._store.asking():
            return alive(self._store.outbox.secrets(self._id), self._now_ms())

    def _pass(self, state: State, event: Event, **news: Any) -> None:
        state |= {"revision": event.revision, "attempts": 0, "failing_since": None, "next": None, **news}

    def _noted(self, state: State, delivery: dict[str, Any], outcome: str) -> float:
        if outcome != "delivered":
            log.warning("webhook %s: revision %s %s: %s", self._id, delivery["revision"], outcome, delivery["error"])
        self._keep(state, delivery | {"outcome": outcome})
        return 0  # look at once what is next: the next event, or a pause

    def _keep(self, state: State, delivery: dict[str, Any] | None) -> None:
        if self._abandoned:
            return
        with self._store.asking():
            kept = self._store.outbox.keep(self._tools.lease, self._id, state, delivery)
        if kept:
            self._kept_at, self._kept_when = state["revision"], self._store.clock.monotonic()
        else:
            self.abandon()

    def _now_ms(self) -> int:
        return self._store.clock.to_redis(self._store.clock.monotonic())


def _pause(attempt: int, retry_after_s: float | None) -> float:
    """Seconds: full jitter, so that those who failed together do not come back together; or longer, as was asked."""
    longest = min(LONGEST_PAUSE_S, BASE_S * 2 ** min(attempt - 1, 20))
    return max(random.uniform(0, longest), retry_after_s or 0)  # noqa: S311


def _refusal(answer: Answer) -> str:
    if 300 <= answer.status < 400:
        return f"the answer was {answer.status}, and redirects are not followed"
    return f"the answer was {answer.status}{': ' if answer.excerpt else ''}{answer.excerpt}"


def _farewell(status: int | None, error: str | None) -> str:
    if status == GONE:
        return "the receiver says that it is gone for good (410)"
    return f"no event has arrived for {GIVE_UP_S / 86400:g} days: {error}"
