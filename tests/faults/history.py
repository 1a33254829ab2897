"""What was true at every revision, worked out from the log as it lies in Redis, and from nothing else.

The log is read raw; the documents are what its entries say. Which flags a service needs, and what they give, is asked
of `gather` and of the engine's `explain`: the suite is about what faults do to changes on their way, not about those.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import redis
from downhaul.engine import Ruleset, decode_ruleset, explain
from downhaul_server.services.ruleset import Content, gather, revision_of
from downhaul_server.store.commits import RECOVER, Entry
from downhaul_server.store.entries import RawEntry
from downhaul_server.store.keys import LOG, META
from downhaul_server.store.view import Freshness, View
from faults.recording import ABSENT, USERS, Position

Group = tuple[str, str]


@dataclass(frozen=True)
class Life:
    """One life of the store: its epoch, and its log from the first entry."""

    epoch: str
    entries: tuple[Entry, ...]


def read_life(client: redis.Redis) -> Life:
    """What Redis holds now."""
    meta: Any = client.hgetall(META)
    raw: Any = client.xrange(LOG, "-", "+")
    return Life(meta[b"epoch"].decode(), tuple(RawEntry(entry_id, fields).decode() for entry_id, fields in raw))


@dataclass(frozen=True)
class Truth:
    """What one group's snapshot is at one of its revisions."""

    position: Position
    content: Content
    until: int
    """The last revision of the log at which it was so."""

    def values(self, name: str) -> list[Any]:
        """What each of the users gets."""
        return _values(json.dumps([self.content.flags, self.content.segments], sort_keys=True), name)


@lru_cache(maxsize=4096)
def _values(content: str, name: str) -> list[Any]:
    return [explain(_ruleset(content), name, user, default=ABSENT).value for user in USERS]


@lru_cache(maxsize=64)
def _ruleset(content: str) -> Ruleset:
    flags, segments = json.loads(content)
    return decode_ruleset({"flags": flags, "segments": segments})


@dataclass
class History:
    """All lives that the store had, the oldest first; each begins with what an operator kept of the one before."""

    lives: list[Life] = field(default_factory=list)

    def add(self, life: Life) -> None:
        """A new life, or the newest one, read again."""
        if self.lives and self.lives[-1].epoch == life.epoch:
            self.lives.pop()
        self.lives.append(life)

    def entries(self) -> Iterable[tuple[str, Entry]]:
        """Every entry with its epoch."""
        return ((life.epoch, entry) for life in self.lives for entry in life.entries)

    def views(self) -> dict[Position, View]:
        """Everything at every revision."""
        views: dict[Position, View] = {}
        before: Life | None = None
        for life in self.lives:
            view = self._first(life, before, views)
            for entry in life.entries:
                view = views[life.epoch, entry.revision] = view.apply(entry)
            before = life
        return views

    def truths(self, group: Group) -> dict[Position, Truth]:
        """What the instances of a group may ever have had, by the position that they name.

        Raises AssertionError where one position stands for two contents.
        """
        service, environment = group
        found: dict[Position, Truth] = {}
        content: Content | None = None
        for (epoch, revision), view in self.views().items():
            if view.get(f"service/{service}") is None:
                continue
            content = gather(view, service, environment, before=content)
            position = (epoch, revision_of(view, content.services, environment))
            known = found.get(position)
            assert known is None or known.content == content, f"{group} at {position} is two things"
            found[position] = Truth(position, content, revision)
        return found

    def _first(self, life: Life, before: Life | None, views: Mapping[Position, View]) -> View:
        """What was there before the first entry of a life."""
        origin = life.entries[0].revision - 1
        if before is None or life.entries[0].action != RECOVER:
            assert origin == 0, f"epoch {life.epoch} begins at revision {origin + 1}"
            return View.of((), epoch=life.epoch, revision=0, chain="", touched={}, freshness=Freshness())
        kept = views[before.epoch, origin]
        return View.of(
            kept, epoch=life.epoch, revision=origin, chain=kept.chain, touched=kept.touches, freshness=Freshness()
        )


def newest(truths: Mapping[Position, Truth]) -> Position:
    """Where the instances of a group must come to in the end."""
    return list(truths)[-1]


def target(truths: Mapping[Position, Truth], position: Position) -> int | None:
    """The snapshot's revision at a revision of the log; None if there was no such snapshot."""
    epoch, revision = position
    before = [known for (other, known), truth in truths.items() if other == epoch and known <= revision]
    return max(before, default=None)
