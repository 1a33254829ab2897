"""An operator's decision after Redis came back with another history than the one that was served.

Either what the servers remember wins (`from_checkpoint`), or what Redis holds wins (`from_redis`).
Both begin a new epoch that says which one it follows, so that running servers take it over by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

from redis.exceptions import RedisError

from downhaul_server.store import queries, scripts
from downhaul_server.store.commits import RECOVER, Commit
from downhaul_server.store.connections import Connections
from downhaul_server.store.documents import encode
from downhaul_server.store.entries import body_digest, change_text, entry_body
from downhaul_server.store.errors import StoreDiverged, StoreError, StoreUnavailable
from downhaul_server.store.place import Place, judge
from downhaul_server.store.scripts import SYSTEM
from downhaul_server.store.view import View

MOST_SUCCEEDED = 16
MEANWHILE = "something was committed meanwhile; look at what Redis holds now, and try again"


class RecoverRefused(StoreError):  # noqa: N818
    """There is nothing to decide, or deciding so would destroy something. One sentence: what it is, and what to do."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was done."""

    epoch: str
    """The new one."""
    succeeds: str
    """The one that running servers serve until they have taken over the new one."""
    revision: int
    documents: int


def from_checkpoint(connections: Connections, checkpoint: View, *, actor: str, reason: str) -> Recovered:
    """What was served wins. An empty Redis gets the checkpoint's documents, and revisions go on after the checkpoint's;
    one that holds another history keeps its log, with one entry more that makes its documents those of the checkpoint.

    Raises RecoverRefused when Redis holds what was served anyhow, or changes meanwhile; StoreDiverged when its store is
    damaged; StoreUnavailable.
    """
    try:
        place = queries.read_place(connections.reads, checkpoint.revision)
        commit = _commit("from checkpoint", checkpoint, actor, reason)
        if place is not None:
            _refuse_when_agreed(checkpoint, connections)
            return _adopt(connections, place, checkpoint, commit, _differences(connections, checkpoint))
        answer = scripts.create(
            connections.reads,
            commit,
            checkpoint,
            touched=checkpoint.touches,
            revision=checkpoint.revision + 1,
            chain=checkpoint.chain,
            succeeds=(checkpoint.epoch, *checkpoint.succeeds)[:MOST_SUCCEEDED],
        )
        if answer[0] == "exists":
            raise RecoverRefused(MEANWHILE)
        return _recovered(connections, checkpoint)
    except RedisError as error:
        raise StoreUnavailable(f"Redis does not answer: {error}") from error


def from_redis(connections: Connections, served: View, *, actor: str, reason: str) -> Recovered:
    """Keep what Redis holds, under a new epoch that follows the one of `served` (a server's checkpoint).

    What was served and is not in Redis is given up. Raises RecoverRefused when Redis is empty, or holds what was served
    anyhow, or changes meanwhile; StoreDiverged when its store is damaged; StoreUnavailable.
    """
    try:
        place = queries.read_place(connections.reads, served.revision)
        if place is None:
            raise RecoverRefused("Redis is empty: there is nothing to keep; recover from the checkpoint")
        _refuse_when_agreed(served, connections)
        return _adopt(connections, place, served, _commit("from redis", served, actor, reason), _Differences())
    except RedisError as error:
        raise StoreUnavailable(f"Redis does not answer: {error}") from error


@dataclass(frozen=True, slots=True)
class _Differences:
    """What makes the documents of Redis those that were served."""

    changes: tuple[str, ...] = ()
    """For the entry."""
    puts: tuple[tuple[str, str], ...] = ()
    deletes: tuple[str, ...] = ()
    touches: tuple[str, ...] = ()
    """Everything that was ever touched in either: nobody's snapshot may pass for unchanged."""

    def arguments(self) -> list[str]:
        puts = [part for put in self.puts for part in put]
        counts = [str(len(each)) for each in (self.puts, self.deletes, self.touches)]
        return [counts[0], *puts, counts[1], *self.deletes, counts[2], *self.touches]


def _differences(connections: Connections, wanted: View) -> _Differences:
    stored = queries.read_view(connections.reads, wanted.freshness)
    before, after = ({each.address: each for each in view} for view in (stored, wanted))
    changes: list[str] = []
    puts: list[tuple[str, str]] = []
    for address in sorted(before.keys() | after.keys()):
        old, new = before.get(address), after.get(address)
        if old and new and old.body == new.body:
            continue
        text = encode(new.body if new else None)
        changes.append(change_text(address, old.version if old else 0, old.body if old else None, text))
        if new:
            puts.append((address, text))
    touches = dict.fromkeys((*stored.touches, *wanted.touches))
    return _Differences(tuple(changes), tuple(puts), tuple(sorted(before.keys() - after.keys())), tuple(touches))


def _adopt(
    connections: Connections, place: Place, served: View, commit: Commit, differences: _Differences
) -> Recovered:
    body = entry_body(commit, differences.changes, operation=scripts.new_epoch())
    succeeds = dict.fromkeys((served.epoch, place.epoch, *served.succeeds, *place.succeeds))
    head = [place.epoch, str(place.revision), scripts.new_epoch(), " ".join([*succeeds][:MOST_SUCCEEDED])]
    answer = scripts.run(connections.reads, "adopt", [*head, body_digest(body), body, *differences.arguments()])
    if answer[0] == "changed":
        raise RecoverRefused(MEANWHILE)
    return _recovered(connections, served)


def _refuse_when_agreed(served: View, connections: Connections) -> None:
    if _agrees(served, connections):
        raise RecoverRefused(
            f"there is nothing to decide: Redis holds the history that was served up to revision {served.revision}"
        )


def _agrees(served: View, connections: Connections) -> bool:
    try:
        judge(served, queries.read_place(connections.reads, served.revision))
    except StoreDiverged:
        return False
    return True


def _commit(way: str, served: View, actor: str, reason: str) -> Commit:
    return Commit(
        action=RECOVER,
        actor={**SYSTEM, "name": actor},
        writes={},
        reason=reason,
        details={"way": way, "epoch": served.epoch, "revision": served.revision, "chain": served.chain},
    )


def _recovered(connections: Connections, served: View) -> Recovered:
    view = queries.read_view(connections.reads, served.freshness)
    return Recovered(view.epoch, served.epoch, view.revision, len(view))
