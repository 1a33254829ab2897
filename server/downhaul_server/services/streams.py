"""All streams of one process: one look at the store after each commit, one event for everybody whom it concerns.

One thread sends what is sent to more than one client: changes, heartbeats, ends. It never waits for a client.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from itertools import count
from typing import Any

from downhaul_server.services.actors import ClientKey, EnvironmentKey, SdkKey
from downhaul_server.services.errors import NotFound, Overloaded, Unauthenticated, Unavailable
from downhaul_server.services.keys import Keys
from downhaul_server.services.observers import Fleet, Observer, Unobserved
from downhaul_server.services.resumption import Resumptions
from downhaul_server.services.snapshots import Snapshots
from downhaul_server.services.stream import Reason, Stream
from downhaul_server.services.topics import SnapshotTopic, Topic
from downhaul_server.store import Document, Store

log = logging.getLogger(__name__)

HEARTBEAT_S = 5.0
SPOKES = 50
"""Heartbeats are spread: each stream gets its own on one of so many moments."""
TICK_S = HEARTBEAT_S / SPOKES
BREATH = 128
"""After so many sends the rest of the process gets its turn: a few milliseconds."""
AGES = (0.75, 1.25)
"""Streams that began together do not end together."""
SOONEST_RETRY_MS = 100
RETRY_MS = 1000
"""Who lost a stream for its age comes back within this time."""
RETRY_MS_PER_STREAM = 2
"""After a shutdown all of them have to be taken up by others, at about five hundred a second."""

CLIENTS_SHARE = 0.5
"""Whoever has a client key may open streams, and everybody has it: they never take more of a process than this."""


class _Channel:
    """Everybody who streams one topic: all of them hold, or are about to get, one state of it."""

    def __init__(self, state: Any) -> None:
        self.state = state
        self.streams: set[Stream] = set()


class Streams:
    """Safe to share between threads."""

    def __init__(
        self,
        store: Store,
        snapshots: Snapshots,
        keys: Keys,
        fleet: Fleet,
        *,
        age_s: float,
        most: int,
        most_per_key: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`age_s`: how long a stream lives, on average. `most`, `most_per_key`: how many this process holds at once."""
        self._store = store
        self._snapshots = snapshots
        self._keys = keys
        self._fleet = fleet
        self._age_s, self._most, self._most_per_key = age_s, most, most_per_key
        self._clock = clock
        self._resumptions = Resumptions(store)
        self._observer: Observer = Unobserved()
        self._lock = threading.Lock()
        self._channels: dict[Topic[Any], _Channel] = {}
        self._wheel: tuple[set[Stream], ...] = tuple(set() for _ in range(SPOKES))
        self._turns = count()
        self._held: Counter[str] = Counter()
        """Streams by the id of their key."""
        self._live = 0
        self._live_clients = 0
        self._known_keys: tuple[Document, ...] = ()
        self._news = threading.Event()
        self._thread: threading.Thread | None = None
        self._unsubscribe: Callable[[], None] = lambda: None
        self._stopping = False

    def observe(self, observer: Observer) -> None:
        """Count what happens from now on."""
        self._observer = observer

    def open(self, key: SdkKey, service: str, process: str | None, last: tuple[str, int] | None) -> Stream:
        """A stream of a service's snapshots, as `start` has it. Raises Forbidden, NotFound, Overloaded, Unavailable.

        `last` is the position (epoch, revision) that the client holds.
        """
        snapshot = self._snapshots.get(key, service)
        topic = SnapshotTopic(
            service, key.environment, key, self._store, self._snapshots, self._resumptions, self._fleet
        )
        return self.start(key, topic, snapshot, process, last)

    def start(
        self, key: EnvironmentKey, topic: Topic[Any], newest: Any, process: str | None = None, last: Any = None
    ) -> Stream:
        """A stream that begins with what its client lacks. Whoever gets it must `close` it, whatever happens.

        `newest`: the topic's state. Raises Overloaded (too many), Unauthenticated, Unavailable.
        """
        ends_at = self._clock() + self._age_s * random.uniform(*AGES)  # noqa: S311 - spread, no secret
        stream = Stream(key, topic, process, ends_at, next(self._turns) % SPOKES)
        with self._lock:
            self._check_room(key)
            # The channel's state, not the newest: the events that follow build on it.
            state = self._join(stream, newest)
        self._observer.opened()
        try:
            topic.opened(process)
            if not self._keys.holds(key):  # revoked since it was looked at: whoever ends streams may not have seen us
                stream.finish(Reason.REVOKED)
                raise Unauthenticated("the token is not known here")
            first = topic.first(state, last)
            stream.begin(first)
        except BaseException:
            stream.finish(Reason.FAILED)
            self.close(stream)
            raise
        self._observer.sent(first.name, 1)
        return stream

    def close(self, stream: Stream) -> None:
        """Its connection is gone, or free for another request. Idempotent."""
        with self._lock:
            if stream not in self._wheel[stream.slot]:
                return
            self._wheel[stream.slot].discard(stream)
            channel = self._channels.get(stream.topic)
            if channel is not None:
                channel.streams.discard(stream)
                if not channel.streams:
                    del self._channels[stream.topic]
            self._live -= 1
            self._live_clients -= isinstance(stream.key, ClientKey)
            self._held[stream.key.id] -= 1
            if not self._held[stream.key.id]:
                del self._held[stream.key.id]
        # Whoever closes it while it lives has lost its client, or its process.
        reason = stream.finish(Reason.SHUTDOWN if self._stopping else Reason.CLIENT)
        self._observer.ended(reason)
        stream.topic.closed(stream.process, reason is Reason.CLIENT)

    def stop(self) -> None:
        """End all of them, with a word to each, and take no more. Does not block; idempotent."""
        self._stopping = True
        self._news.set()

    def _check_room(self, key: EnvironmentKey) -> None:
        if self._stopping:
            raise Unavailable("this server process is about to end")
        if self._live >= self._most:
            raise Overloaded(f"this server process holds {self._most} streams, and takes no more")
        if isinstance(key, ClientKey) and self._live_clients >= self._most * CLIENTS_SHARE:
            raise Overloaded("this server process holds as many streams of browsers as it takes")
        if self._held[key.id] >= self._most_per_key:
            raise Overloaded(f"there are {self._most_per_key} streams with the key {key.name} already")

    def _join(self, stream: Stream, newest: Any) -> Any:
        channel = self._channels.get(stream.topic)
        if channel is None:
            channel = self._channels[stream.topic] = _Channel(newest)
            # The thread may just have looked, without this channel; and it sleeps while there is none.
            self._news.set()
        channel.streams.add(stream)
        self._wheel[stream.slot].add(stream)
        self._held[stream.key.id] += 1
        self._live += 1
        self._live_clients += isinstance(stream.key, ClientKey)
        if self._thread is None:
            self._unsubscribe = self._store.subscribe(lambda view, entry: self._news.set())
            self._thread = threading.Thread(target=self._run, name="downhaul-streams", daemon=True)
            self._thread.start()
        return channel.state

    # The rest runs in the thread.

    def _run(self) -> None:
        spoke, due = 0, self._clock() + TICK_S
        while not self._stopping:
            self._news.wait(max(0.0, due - self._clock()) if self._channels else None)
            if self._news.is_set():
                self._news.clear()
                self._guarded(self._look)
            now = self._clock()
            if now - due > HEARTBEAT_S:
                due = now  # Nobody needs the heartbeats that were missed while there were no streams, or no processor.
            while due <= now and not self._stopping:
                beats, spoke = self._wheel[spoke], (spoke + 1) % SPOKES
                self._guarded(partial(self._beat, beats))
                due += TICK_S
        self._unsubscribe()
        self._end_all()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception:  # this thread is what every stream depends on
            log.exception("streams: sending failed")

    def _look(self) -> None:
        """Bring every channel to the newest revision."""
        channels = list(self._channels.items())
        view = self._store.view  # after the channels: it is not older than any of them
        keys = view.of_kind("key/")
        if keys is not self._known_keys:
            self._known_keys = keys
            self._end_revoked()
        # Instances first: what is committed may be a kill.
        channels.sort(key=lambda pair: not isinstance(pair[0], SnapshotTopic))
        for topic, channel in channels:
            try:
                self._advance(topic, channel, topic.newest(view))
            except NotFound:
                self._end(self._closed(topic), Reason.REVOKED)
            except Exception:  # one service's streams must not fail with another's
                log.exception("streams: no event could be made for %s", topic)
                for stream in self._closed(topic):
                    stream.finish(Reason.FAILED)

    def _closed(self, topic: Topic[Any]) -> list[Stream]:
        """Close a channel, so that whoever comes now gets a new one; gives its streams."""
        with self._lock:
            channel = self._channels.pop(topic, None)
            return list(channel.streams) if channel else []

    def _advance(self, topic: Topic[Any], channel: _Channel, after: Any) -> None:
        event = topic.change(channel.state, after)
        if event is None:
            return
        with self._lock:
            channel.state = after
            streams = list(channel.streams)
        for stream in _unhurried(streams):
            stream.push(event)
        self._observer.sent(event.name, len(streams))

    def _beat(self, spoke: set[Stream]) -> None:
        """One spoke's turn: heartbeats, and the end of those that are old."""
        with self._lock:
            streams = [stream for stream in spoke if stream.reason is None]
            states = {stream.topic: self._channels[stream.topic].state for stream in streams}
        beats = {topic: topic.heartbeat(state) for topic, state in states.items()}
        idle = [stream for stream in streams if stream.idle]  # the others have events on their way
        for stream in idle:
            stream.push(beats[stream.topic])
        if idle:
            self._observer.sent("heartbeat", len(idle))
        now = self._clock()
        self._end([stream for stream in streams if stream.ends_at <= now], Reason.AGE)
        self._end_unheld(streams)  # the older of two tokens ends by the clock, and nothing is written then

    def _end_revoked(self) -> None:
        with self._lock:
            streams = [stream for spoke in self._wheel for stream in spoke]
        self._end_unheld(streams)

    def _end_unheld(self, streams: list[Stream]) -> None:
        held = {key: self._keys.holds(key) for key in {stream.key for stream in streams}}
        self._end([stream for stream in streams if not held[stream.key]], Reason.REVOKED)

    def _end_all(self) -> None:
        with self._lock:
            streams = [stream for spoke in self._wheel for stream in spoke]
        self._end(streams, Reason.SHUTDOWN)

    def _end(self, streams: list[Stream], reason: Reason) -> None:
        ending = [stream for stream in streams if stream.reason is None]
        within_ms = RETRY_MS + RETRY_MS_PER_STREAM * len(ending)
        # At the end of the process all are told before the first of them is taken leave of.
        for stream in ending if self._stopping else _unhurried(ending):
            retry_ms = random.randint(SOONEST_RETRY_MS, within_ms)  # noqa: S311 - spread, no secret
            stream.end(stream.topic.end(reason.value, retry_ms), reason)
        if ending:
            self._observer.sent("end", len(ending))


def _unhurried(streams: list[Stream]) -> Iterable[Stream]:
    """All of them; now and then others get their turn, the streams that are done already among them."""
    for number, stream in enumerate(streams, 1):
        yield stream
        if number % BREATH == 0:
            time.sleep(0)
