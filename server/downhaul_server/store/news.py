"""Following the fleet's news: everything at first and after each interruption, and then what is published."""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any, Protocol

from redis.client import PubSub
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from downhaul_server.store.clock import Clock
from downhaul_server.store.connections import Connections
from downhaul_server.store.keys import FLEETS, NEWS, fleet_key

log = logging.getLogger(__name__)

Record = list[Any]

PAGE = 500
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0
POLL_S = 0.25
PING_S = 1.0
DEAD_S = 3.0
"""Without a word from Redis for so long, the subscription is lost, whatever the socket says."""


class Listener(Protocol):
    """Who wants the news. Must be quick; called from one thread at a time."""

    def heard(self, group: str, records: list[Record]) -> None:
        """What others know of instances; some of it may be known here already."""

    def noted(self, kind: str, data: Any) -> None:
        """Something else that another process tells all."""


class Mark:
    """A place in the news. Once it is back, everything that was published before it was made is known here."""

    def __init__(self) -> None:
        self._back = threading.Event()

    @property
    def is_back(self) -> bool:
        """Whether it is."""
        return self._back.is_set()

    def wait(self, timeout: float) -> bool:
        """Wait (seconds); False when the time was up."""
        return self._back.wait(timeout)

    def come_back(self) -> None:
        """For who follows the news."""
        self._back.set()


class Marks:
    """Those that are on their way, by number."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._away: dict[int, Mark] = {}

    def make(self) -> tuple[int, Mark]:
        """A new one."""
        mark = Mark()
        with self._lock:
            number = next(self._numbers)
            self._away[number] = mark
        return number, mark

    def all(self) -> list[int]:
        """Every one that is not back."""
        with self._lock:
            return list(self._away)

    def back(self, numbers: Iterable[int]) -> None:
        """These are."""
        with self._lock:
            marks = [self._away.pop(number, None) for number in numbers]
        for mark in marks:
            if mark is not None:
                mark.come_back()


def head(own: str) -> str:
    """How a message of this process begins; its marks follow."""
    return f'{{"from":"{own}","marks":'


class NewsReader:
    """Runs in a thread of its own."""

    def __init__(self, connections: Connections, clock: Clock, marks: Marks, own: str) -> None:
        """`own` is how this process signs its news: it knows them already."""
        self._connections = connections
        self._clock = clock
        self._marks = marks
        self._own_head = head(own).encode("ascii")
        self._listeners: tuple[Listener, ...] = ()
        self._stopping = threading.Event()
        self.loaded = threading.Event()
        """Set once everything has been loaded for the first time."""

    def add(self, listener: Listener) -> None:
        """From now on."""
        self._listeners = (*self._listeners, listener)

    def stop(self) -> None:
        """Ends `run` within about a second."""
        self._stopping.set()

    def run(self) -> None:
        """Until `stop`."""
        pause = FIRST_PAUSE_S
        while not self._stopping.is_set():
            try:
                with self._connections.follower.pubsub() as pubsub:  # type: ignore[no-untyped-call]
                    self._join(pubsub)
                    pause = FIRST_PAUSE_S
                    self._listen(pubsub)
            except (RedisError, OSError) as error:
                log.debug("the fleet's news are interrupted: %s", error)  # the store's follower says it aloud
            except Exception:  # whatever is wrong with one message, the next ones are needed
                log.exception("the fleet's news cannot be followed")
            self._stopping.wait(pause * random.uniform(0.75, 1.0))  # noqa: S311
            pause = min(pause * 2, LONGEST_PAUSE_S)

    def load(self) -> None:
        """Tell the listeners everything that Redis holds. Raises RedisError."""
        for group, records in self.pages():
            self._tell(group, records)

    def pages(self) -> Iterator[tuple[str, list[Record]]]:
        """All records, some of a group at a time; at least once for each group. Raises RedisError."""
        reads = self._connections.reads
        groups: Any = reads.smembers(FLEETS)
        for member in sorted(groups):
            group = member.decode()
            page: list[Record] = []
            for _, text in reads.hscan_iter(fleet_key(group), count=PAGE):
                page.append(json.loads(text))
                if len(page) == PAGE:
                    yield group, page
                    page = []
            yield group, page

    def _join(self, pubsub: PubSub) -> None:
        """Subscribe first, load then: what is published meanwhile waits, so that nothing falls between."""
        pubsub.subscribe(NEWS)
        deadline = time.monotonic() + DEAD_S
        while pubsub.get_message(timeout=0.05) is None:
            if time.monotonic() > deadline or self._stopping.is_set():
                raise RedisConnectionError("the subscription was not confirmed")
        made = self._marks.all()
        self._clock.refresh()
        self.load()
        self._marks.back(made)
        self.loaded.set()

    def _listen(self, pubsub: PubSub) -> None:
        pinged = heard = time.monotonic()
        while not self._stopping.is_set():
            message = pubsub.get_message(timeout=min(POLL_S, self._connections.block_s))
            now = time.monotonic()
            if message is not None:
                heard = now
                if message["type"] == "message":
                    self._understand(message["data"])
            elif now - heard > DEAD_S:
                raise RedisConnectionError("there are no news any more")
            if now - pinged > PING_S:
                pubsub.ping()
                pinged = now

    def _understand(self, text: bytes) -> None:
        if text.startswith(self._own_head):
            # Nothing new in it but the marks, which come first: the rest need not be read.
            self._marks.back(json.loads(text[len(self._own_head) : text.index(b"]") + 1]))
            return
        news = json.loads(text)
        for group, records in news["records"].items():
            self._tell(group, records)
        for kind, data in news["notes"]:
            for listener in self._listeners:
                listener.noted(kind, data)

    def _tell(self, group: str, records: list[Record]) -> None:
        for listener in self._listeners:
            if records:
                listener.heard(group, records)
        time.sleep(0)  # under gevent, others have their turn between two large batches
