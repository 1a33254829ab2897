"""The fleet as people look at it: who is there, what each has, who has gone deaf."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

from downhaul_server.services.access import newest_view
from downhaul_server.services.actors import Action, Actor, authorize, home
from downhaul_server.services.audience import Audience, Group
from downhaul_server.services.documents import existing
from downhaul_server.services.fleet import Fleet
from downhaul_server.services.instances import Entry, State
from downhaul_server.services.pages import LIMIT, Page, page_by_key
from downhaul_server.store import Store, View

BEHIND_S = 10.0
"""Who has not applied a change for so long is deaf, whatever else it says."""
MOST_EXPECTED = 100
TURN = 500
ORDER = {State.LIVE: "0", State.SILENT: "1", State.GONE: "2"}


@dataclass(frozen=True, slots=True)
class Seen:
    """An instance, looked at."""

    group: Group
    entry: Entry
    state: State
    applied: bool
    """Whether it certainly has its newest snapshot."""
    deaf: bool
    """Silent, or behind for too long. It may be serving what was changed."""

    @property
    def link(self) -> str:
        """`stream`, `poll` or `silent`."""
        return self.entry.link if self.state is State.LIVE else "silent"


@dataclass(frozen=True, slots=True)
class Fleets:
    """A page of instances, and what they are compared with."""

    page: Page
    epoch: str
    revision: int
    """Of the newest snapshot."""
    counts: dict[str, int]


class Survey:
    """Remembers since when each snapshot has been the newest."""

    def __init__(self, store: Store, fleet: Fleet, audience: Audience, default_environment: str) -> None:
        self._store = store
        self._fleet = fleet
        self._audience = audience
        self._default_environment = default_environment
        self._expected: dict[Group, _Expected] = {}

    def now(self) -> float:
        """What the entries' times are to be compared with."""
        return self._fleet.now()

    def look(self) -> None:
        """Note which snapshots are new. Call it every second or so."""
        view, now = newest_view(self._store), self._fleet.now()
        groups = self._fleet.groups()
        for group in groups:
            self._expect(view, group, now)
        self._expected = {group: expected for group, expected in self._expected.items() if group in set(groups)}

    def groups(self) -> list[Group]:
        """Where somebody is, or was a short while ago."""
        return list(self._fleet.groups())

    def instances(self, group: Group) -> Iterator[Seen]:
        """All that are known in a group, gone ones too; nobody where there is no such service any more."""
        now = self._fleet.now()
        expected = self._expect(newest_view(self._store), group, now)
        if expected is None:
            return
        patience = BEHIND_S + self._fleet.pace_of(group).spread_ms / 1000
        for entry in self._fleet.entries(group):
            state = entry.state(now)
            since = None if state is State.GONE else expected.missed(entry)
            deaf = state is State.SILENT or (since is not None and now - since > patience)
            applied = entry.has_applied(expected.epoch, expected.newest)
            yield Seen(group, entry, state, applied, deaf)

    def everybody(self) -> Iterator[Seen]:
        """The instances of every group. Lets others have their turn now and then, under gevent."""
        numbers = count(1)
        for group in self._fleet.groups():
            for seen in self.instances(group):
                yield seen
                if next(numbers) % TURN == 0:
                    time.sleep(0)

    def list(
        self,
        actor: Actor,
        service: str,
        *,
        environment: str | None = None,
        state: str | None = None,
        limit: int = LIMIT,
        cursor: str | None = None,
    ) -> Fleets:
        """Live ones first, then silent, then gone; each by name. Raises NotFound, Forbidden, Unavailable."""
        place = environment or home(actor, self._default_environment)
        authorize(actor, Action.READ, service, place)
        view, now = newest_view(self._store), self._fleet.now()
        existing(view, "service", service)
        existing(view, "environment", place)
        found = list(self.instances((service, place)))
        counts = Counter(seen.state.value for seen in found)
        in_order = sorted(
            ((_position(seen), seen) for seen in found if state in (None, seen.state.value)), key=lambda pair: pair[0]
        )
        expected = self._expect(view, (service, place), now)
        return Fleets(
            page=page_by_key(in_order, limit, cursor, lambda seen: present(seen, now)),
            epoch=view.epoch,
            revision=expected.newest if expected else 0,
            counts={name.value: counts[name.value] for name in State},
        )

    def _expect(self, view: View, group: Group, now: float) -> _Expected | None:
        snapshot = self._audience.snapshot(view, group)
        if snapshot is None:
            return None
        known = self._expected.get(group)
        if known is None or known.epoch != snapshot.epoch:
            known = _Expected(snapshot.epoch, ((snapshot.revision, now),))
        elif known.newest < snapshot.revision:
            known = _Expected(known.epoch, (*known.revisions[1 - MOST_EXPECTED :], (snapshot.revision, now)))
        self._expected[group] = known
        return known


@dataclass(frozen=True, slots=True)
class _Expected:
    """The revisions of one snapshot, and since when each has been there."""

    epoch: str
    revisions: tuple[tuple[int, float], ...]

    @property
    def newest(self) -> int:
        return self.revisions[-1][0]

    def missed(self, entry: Entry) -> float | None:
        """Since when an instance should have had something that it has not."""
        if entry.has_applied(self.epoch, self.newest):
            return None
        if entry.epoch != self.epoch:
            return max(entry.first, self.revisions[0][1])
        if not entry.sure or entry.revision is None:
            return max(entry.first, self.revisions[-1][1])
        has = entry.revision
        return max(entry.first, next(since for revision, since in self.revisions if revision > has))


def _position(seen: Seen) -> str:
    return f"{ORDER[seen.state]}{seen.entry.identity.instance}\0{seen.entry.process}"


def present(seen: Seen, now: float) -> dict[str, Any]:
    """As the API answers it."""
    entry = seen.entry
    return {
        **entry.identity._asdict(),
        "instance": entry.name,
        "process": entry.process,
        "link": seen.link,
        "state": seen.state.value,
        "deaf": seen.deaf,
        "epoch": entry.epoch,
        "revision": entry.revision,
        "last_seen_s": round(max(now - entry.heard, 0.0), 1),
        "applied": seen.applied,
    }
