"""One stream: what is on its way to one client, bounded, and how it ended."""

from __future__ import annotations

import errno
import threading
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from itertools import islice
from typing import Any

from downhaul_server.services.actors import EnvironmentKey
from downhaul_server.services.events import Event

MOST_WAITING = 64
"""Events that may wait for one client, beyond what its connection holds already: some hundred kilobytes and more."""
MOST_WAITING_BYTES = 4 * 1024 * 1024
"""The same, for large ones: those that wait for somebody are kept."""

SendNow = Callable[[Event], memoryview | None]
"""Sends what the connection takes without waiting; gives what is left of the event. Raises OSError: it is broken."""


class Reason(StrEnum):
    """Why a stream ended. The first three are told to the client."""

    AGE = "age"
    SHUTDOWN = "shutdown"
    REVOKED = "revoked"
    """The key is revoked, or what it was for has been deleted."""
    CLIENT = "client"
    """It hung up, or its system did when it died."""
    LOST = "lost"
    """Nothing was heard of it any more, or it took nothing: it may have been stopped or cut off, and live on."""
    SLOW = "slow"
    """It did not keep up, and was dropped."""
    FAILED = "failed"
    """A bug of ours: what is not the newest any more must not look like it."""


_BROKEN = frozenset({Reason.CLIENT, Reason.LOST, Reason.SLOW, Reason.FAILED})


def why(error: OSError | None) -> Reason:
    """Why a stream ended whose connection is broken; None: the client has closed it.

    That it closed, or was reset, tells of the client; that time ran out, or that there is no way to it, does not.
    """
    return Reason.CLIENT if error is None or error.errno in (errno.EPIPE, errno.ECONNRESET) else Reason.LOST


class Stream:
    """Filled by `Streams`, emptied by whoever holds the connection. Neither ever waits for the other but in `take`."""

    __slots__ = (
        *("_cut", "_idle", "_send_now", "_waiting", "_wake"),
        *("ends_at", "key", "process", "reason", "slot", "topic"),
    )

    def __init__(self, key: EnvironmentKey, topic: Any, process: str | None, ends_at: float, slot: int) -> None:
        self.key = key
        self.topic = topic
        self.process = process
        self.ends_at = ends_at
        """When it has lived long enough, by the monotonic clock."""
        self.slot = slot
        """When it gets its heartbeat: its place on the wheel."""
        self.reason: Reason | None = None
        """None while it lives."""
        self._waiting: deque[Event | memoryview] = deque()
        self._wake = threading.Event()
        self._idle = False
        self._send_now: SendNow | None = None
        self._cut: Callable[[], None] = lambda: None

    @property
    def idle(self) -> bool:
        """Everything has been taken, and the taker waits for more."""
        return self._idle

    def send_through(self, send_now: SendNow, cut: Callable[[], None]) -> None:
        """From now on, what finds the stream idle goes to the connection at once, and wakes nobody.

        `cut` ends the connection when the stream is broken, also under whoever is sending. Only where nothing runs at
        the same time (under gevent): `idle` is looked at and acted upon.
        """
        self._send_now = send_now
        self._cut = cut

    def begin(self, first: Event) -> None:
        """Its first event, before all that was pushed since it was opened."""
        self._waiting.appendleft(first)
        self._wake.set()

    def push(self, event: Event) -> None:
        """Hand it an event. Never waits: a client that does not keep up is dropped."""
        if self.reason is not None:
            return
        left: Event | memoryview | None = event
        if self._idle and self._send_now is not None:
            try:
                left = self._send_now(event)
            except OSError as error:
                self.finish(why(error))
        if left is None or self.reason is not None:
            return
        if self._far_behind():
            self.finish(Reason.SLOW)
            return
        self._idle = False
        self._waiting.append(left)
        self._wake.set()

    def end(self, event: Event, reason: Reason) -> None:
        """Its last event."""
        self.push(event)
        self.finish(reason)

    def finish(self, reason: Reason) -> Reason:
        """Nothing comes any more, for the first reason that was ever given; gives that.

        What waits is still sent after AGE, SHUTDOWN and REVOKED.
        """
        self.reason = self.reason or reason
        if self.broken:
            self._waiting.clear()
            self._cut()
        self._wake.set()
        return self.reason

    @property
    def broken(self) -> bool:
        """Whether it ended in the middle of anything: the connection is of no use any more."""
        return self.reason in _BROKEN

    def take(self) -> Event | memoryview | None:
        """What is to be sent next; waits for it. None when there will be nothing more."""
        while True:
            if self._waiting:
                return self._waiting.popleft()
            if self.reason is not None:
                return None
            self._idle = True
            self._wake.wait()
            self._wake.clear()
            self._idle = False

    def _far_behind(self) -> bool:
        # The next one does not count: a snapshot may be large, and is no sign of a slow client.
        later = islice(self._waiting, 1, None)
        return len(self._waiting) >= MOST_WAITING or sum(map(_size, later)) >= MOST_WAITING_BYTES


def _size(item: Event | memoryview) -> int:
    return len(item.text if isinstance(item, Event) else item)
