"""The fleet's news: what one server process learns of instances, all others on the same Redis learn soon after.

Records are written to Redis in batches and published; every process follows, and loads everything anew whenever it may
have missed something. Nothing here knows what a record means. While Redis is away the newest record of each process
waits in memory, and nobody is held up.
"""

from __future__ import annotations

import json
import logging
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import redis
from redis.exceptions import RedisError

from downhaul_server.store.clock import Clock
from downhaul_server.store.connections import Connections
from downhaul_server.store.keys import FLEETS, NEWS, counts_key, fleet_key
from downhaul_server.store.news import Listener, Mark, Marks, NewsReader, Record, head

__all__ = ["FleetNews", "Listener", "Mark", "Record"]

log = logging.getLogger(__name__)

PAUSE_S = 0.02
"""Between two batches. The first after a quiet time leaves at once."""
PATIENT_S = 1.0
"""What is not urgent waits for so long: each batch costs Redis a write to its disk, and kills need that disk too."""
BATCH = 500
KEPT_S = 2 * 3600
AWAY_PAUSE_S = 0.5
MOST_COUNTERS = 200_000
"""That wait for Redis. What comes beyond is lost: counters are worth less than memory."""
MOST_NOTES = 100
CLOSE_S = 2.0


@dataclass(slots=True)
class _Batch:
    """What waits to be sent. Of what is said of the same twice, the later counts."""

    records: dict[tuple[str, str], Callable[[], str]] = field(default_factory=dict)
    """(group, process) -> what gives its JSON list."""
    counters: dict[tuple[str, str, int], int] = field(default_factory=dict)
    """(key, field, seconds to keep) -> how many more."""
    notes: list[str] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.records or self.counters or self.notes or self.marks)

    def add(self, counter: tuple[str, str, int], number: int) -> None:
        """As far as there is room."""
        if counter in self.counters or len(self.counters) < MOST_COUNTERS:
            self.counters[counter] = self.counters.get(counter, 0) + number

    def first_part(self) -> _Batch:
        """Take out as much as is sent at once."""
        part = _Batch(
            dict(islice(self.records.items(), BATCH)),
            dict(islice(self.counters.items(), 4 * BATCH)),
            self.notes,
            self.marks,
        )
        for key in part.records:
            del self.records[key]
        for counter in part.counters:
            del self.counters[counter]
        self.notes, self.marks = [], []
        return part

    def put_back(self, part: _Batch, *, counted: bool) -> None:
        """It was not sent. `counted`: perhaps it was, so the counters are given up rather than counted twice."""
        self.records = part.records | self.records
        self.notes = (part.notes + self.notes)[-MOST_NOTES:]
        self.marks = part.marks + self.marks
        for counter, number in {} if counted else part.counters.items():
            self.add(counter, number)


class FleetNews:
    """One process's part in it. Safe to share between threads."""

    def __init__(self, connections: Connections, clock: Clock) -> None:
        self._connections = connections
        self._own = secrets.token_hex(8)
        self._lock = threading.Lock()
        self._waiting = _Batch()
        self._marks = Marks()
        self._reader = NewsReader(connections, clock, self._marks, self._own)
        self._work = threading.Event()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def follow(self, listener: Listener, timeout: float) -> None:
        """Give a listener all that is there, then the news. Returns after the first load, or when the time is up."""
        self._reader.add(listener)
        if self._threads:
            self._reader.load()
            return
        for name, run in (("downhaul-news-writer", self._write), ("downhaul-news-reader", self._reader.run)):
            thread = threading.Thread(target=run, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        self._reader.loaded.wait(timeout)

    def put(self, group: str, process: str, record: Callable[[], str], *, urgent: bool = True) -> None:
        """Tell all of an instance. `record` gives its JSON list when it is sent; a later one takes its place."""
        with self._lock:
            self._waiting.records[group, process] = record
        if urgent:
            self._work.set()

    def count(self, group: str, name: str, number: int, periods: Mapping[str, int]) -> None:
        """Add to a counter in each of these periods (name -> seconds to keep). It is never urgent."""
        with self._lock:
            for period, kept_s in periods.items():
                self._waiting.add((counts_key(group, period), name, kept_s), number)

    def note(self, kind: str, data: Any) -> None:
        """Tell all something else; it is kept nowhere."""
        with self._lock:
            self._waiting.notes = [*self._waiting.notes[-MOST_NOTES:], json.dumps([kind, data])]
        self._work.set()

    def mark(self) -> Mark:
        """A mark behind all that was published until now."""
        number, mark = self._marks.make()
        with self._lock:
            self._waiting.marks.append(number)
        self._work.set()
        return mark

    def forget(self, group: str, processes: list[str]) -> None:
        """Remove instances from Redis. Raises RedisError."""
        if processes:
            self._connections.writes.hdel(fleet_key(group), *processes)

    def sweep(self, is_forgotten: Callable[[Record], bool]) -> None:
        """Remove such records, and groups without any. Raises RedisError."""
        for group, records in self._reader.pages():
            self.forget(group, [record[0] for record in records if is_forgotten(record)])
            if not self._connections.reads.exists(fleet_key(group)):
                self._connections.writes.srem(FLEETS, group)

    def stop(self) -> None:
        """Send what is left, if Redis answers, and follow no more. Idempotent; takes about a second."""
        self._stopping.set()
        self._reader.stop()
        self._work.set()
        for thread in self._threads:
            thread.join(CLOSE_S)

    # The rest runs in the thread of the writer.

    def _write(self) -> None:
        while not self._stopping.is_set():
            self._work.wait(PATIENT_S)
            self._work.clear()
            if self._send_all():
                self._stopping.wait(PAUSE_S)
            else:
                self._await_redis()
                self._work.set()
        self._send_all()

    def _send_all(self) -> bool:
        """False when Redis does not take it; what was not taken waits."""
        while True:
            with self._lock:
                part = self._waiting.first_part()
            if not part:
                return True
            sent = False
            try:
                self._connections.writes.ping()
                sent = True
                self._send(part)
            except (RedisError, OSError):
                with self._lock:
                    self._waiting.put_back(part, counted=sent)
                return False
            except Exception:  # one bad record must not end what all kills wait for
                log.exception("the fleet's news cannot be sent")

    def _send(self, part: _Batch) -> None:
        groups: dict[str, dict[Any, Any]] = {}
        for (group, process), record in part.records.items():
            groups.setdefault(group, {})[process] = record()
        with self._connections.writes.pipeline(transaction=True) as pipe:
            for group, members in groups.items():
                pipe.hset(fleet_key(group), mapping=members)
                pipe.expire(fleet_key(group), KEPT_S)
                pipe.sadd(FLEETS, group)
            self._add_counters(pipe, part.counters)
            pipe.publish(NEWS, self._text(groups, part))
            pipe.execute()

    def _add_counters(self, pipe: redis.client.Pipeline, counters: Mapping[tuple[str, str, int], int]) -> None:
        for (key, name, _), number in counters.items():
            pipe.hincrby(key, name, number)
        for key, kept_s in {(key, kept_s) for key, _, kept_s in counters}:
            pipe.expire(key, kept_s)

    def _text(self, groups: Mapping[str, Mapping[Any, str]], part: _Batch) -> str:
        # The records are JSON already.
        texts = ",".join(f"{json.dumps(group)}:[{','.join(members.values())}]" for group, members in groups.items())
        return f'{head(self._own)}{json.dumps(part.marks)},"notes":[{",".join(part.notes)}],"records":{{{texts}}}}}'

    def _await_redis(self) -> None:
        while not self._stopping.wait(AWAY_PAUSE_S):
            try:
                self._connections.writes.ping()
            except (RedisError, OSError):
                continue
            return
