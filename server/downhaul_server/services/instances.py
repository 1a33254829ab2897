"""One process that runs the SDK, as the fleet knows it: what it said, when, and what follows from that. Pure.

Times are seconds of this process's monotonic clock; `None` in a time says that it never happened.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

HEARD_FACTOR = 2.5
"""An instance is live for this many of the intervals that it was told to report in."""
CLOSED_S = 15.0
LATE_S = 2.0
"""A report that was told to come in 15 s may take so much longer: jitter, and a slow network."""
OVERTAKEN_S = 5.0
"""What an instance said before its last word may be heard after it: another server has taken longer for it."""
SILENT_S = 600.0
FORGOTTEN_S = 3600.0
FIRST_INTERVAL_S = 15.0


class State(StrEnum):
    """What is to be expected of an instance."""

    LIVE = "live"
    SILENT = "silent"
    """Not heard of in time. It may still be serving, with whatever it had last."""
    GONE = "gone"


class Identity(NamedTuple):
    """Who an instance says it is."""

    instance: str = ""
    host: str | None = None
    pid: int | None = None
    build: str | None = None
    region: str | None = None
    color: str | None = None
    sdk: str | None = None


class Entry(NamedTuple):
    """All that is known of one process. A newer report makes a new one."""

    process: str
    identity: Identity
    link: str
    """`stream` or `poll`: how it said last that it hears of changes."""
    heard: float
    """Its last report, or the opening of its last stream."""
    first: float
    interval: float = FIRST_INTERVAL_S
    """In how many seconds it was told to report again."""
    epoch: str | None = None
    revision: int | None = None
    """Of the snapshot that it has applied."""
    sure: bool = False
    """Whether the server that took the report had seen this revision itself. What it had not confirms nothing."""
    applied_at: float | None = None
    left: float | None = None
    """When it said that it is leaving."""
    opened: float | None = None
    closed: float | None = None
    """When its stream was closed by its side, with no later one open."""
    sequence: int = -1
    """Of the last counters that were taken."""

    @property
    def name(self) -> str:
        """What people call it."""
        return self.identity.instance or self.process

    def state(self, now: float) -> State:
        """Live, silent or gone."""
        if self.left is not None and self.heard - self.left <= OVERTAKEN_S:
            return State.GONE
        # One that closed its stream, and then missed the time of its next report too, is not there any more.
        closed_for = now - self.closed if self.closed is not None and self.closed >= self.heard else 0.0
        if closed_for > max(CLOSED_S, self.interval + LATE_S):
            return State.GONE
        quiet = now - self.heard - HEARD_FACTOR * self.interval
        if quiet <= 0:
            return State.LIVE
        return State.SILENT if quiet <= SILENT_S else State.GONE

    def has_applied(self, epoch: str, revision: int) -> bool:
        """Whether it certainly has this revision, or a later one of the same epoch."""
        return self.sure and self.epoch == epoch and self.revision is not None and self.revision >= revision

    def is_forgotten(self, now: float) -> bool:
        """Whether nobody needs to know of it any more."""
        return now - self.heard > FORGOTTEN_S


TIMES = tuple(Entry._fields.index(name) for name in ("heard", "first", "applied_at", "left", "opened", "closed"))


def encode(entry: Entry, to_redis: Callable[[float], int]) -> str:
    """As a JSON list, with times in milliseconds of the clock of Redis."""
    record: list[Any] = list(entry)
    for index in TIMES:
        if record[index] is not None:
            record[index] = to_redis(record[index])
    return json.dumps(record, separators=(",", ":"))


def decode(record: Sequence[Any], to_local: Callable[[float], float], now: float) -> Entry:
    """What `encode` gave to another process. Nothing is later than now: clocks differ a little.

    What a later release may have appended is ignored. Raises ValueError for what is no instance.
    """
    if len(record) < len(Entry._fields) or len(record[1]) < len(Identity._fields):
        raise ValueError(f"this is no instance: {record!r}")
    values = list(record[: len(Entry._fields)])
    values[1] = Identity(*record[1][: len(Identity._fields)])
    for index in TIMES:
        if values[index] is not None:
            values[index] = min(to_local(values[index]), now)
    return Entry(*values)


def merged(one: Entry, other: Entry) -> Entry:
    """What two servers know of the same process. The order does not matter, and neither does merging twice."""
    older, newer = (one, other) if one.heard <= other.heard else (other, one)
    revision = newer
    if _is_further(older, newer):
        revision = older  # its report was overtaken: within an epoch no instance goes back
    return newer._replace(
        identity=newer.identity if newer.identity.instance else older.identity,
        first=min(older.first, newer.first),
        epoch=revision.epoch,
        revision=revision.revision,
        sure=revision.sure,
        applied_at=_applied_at(older, newer, revision),
        left=_latest(older.left, newer.left),
        opened=_latest(older.opened, newer.opened),
        closed=_latest(older.closed, newer.closed),
        sequence=max(older.sequence, newer.sequence),
    )


def knows_more(known: Entry, told: Entry) -> bool:
    """Whether something is known that whoever has told it does not know. (Times may differ by a rounding.)"""
    return (
        any(getattr(known, name) is not None and getattr(told, name) is None for name in ("left", "opened", "closed"))
        or known.sequence > told.sequence
        or _is_further(known, told)
    )


def _is_further(older: Entry, newer: Entry) -> bool:
    return (
        older.sure
        and newer.sure
        and older.epoch == newer.epoch
        and older.revision is not None
        and newer.revision is not None
        and older.revision > newer.revision
    )


def _applied_at(older: Entry, newer: Entry, revision: Entry) -> float | None:
    same = (older.epoch, older.revision) == (newer.epoch, newer.revision)
    if same and older.applied_at is not None and newer.applied_at is not None:
        return min(older.applied_at, newer.applied_at)
    return revision.applied_at


def _latest(one: float | None, other: float | None) -> float | None:
    return max((time for time in (one, other) if time is not None), default=None)
