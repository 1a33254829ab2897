"""An operator's decision after Redis came back with another history than the one that was served.

Either what the servers remember wins (`from_checkpoint`, into an empty Redis), or what Redis holds wins (`from_redis`).
Both begin a new epoch that says which one it follows, so that running servers take it over by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

from redis.exceptions import RedisError

from downhaul_server.store import queries, scripts
from downhaul_server.store.commits import RECOVER, Commit
from downhaul_server.store.connections import Connections
from downhaul_server.store.entries import body_digest, entry_body
from downhaul_server.store.errors import StoreDiverged, StoreError, StoreUnavailable
from downhaul_server.store.place import judge
from downhaul_server.store.scripts import SYSTEM
from downhaul_server.store.view import View

MOST_SUCCEEDED = 16


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
    """Write the checkpoint's documents into a Redis that holds no store. Revisions go on after the checkpoint's.

    Raises RecoverRefused when Redis holds anything of a store; StoreUnavailable.
    """
    commit = _commit("from checkpoint", checkpoint, actor, reason)
    try:
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
            raise RecoverRefused(
                f"Redis is not empty (it holds {answer[1]}): recover from redis if what it holds shall win, "
                "or empty it first if the checkpoint shall"
            )
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
        if _agrees(served, connections):
            raise RecoverRefused(
                f"there is nothing to decide: Redis holds the history that was served up to revision {served.revision}"
            )
        body = entry_body(_commit("from redis", served, actor, reason), (), operation=scripts.new_epoch())
        succeeds = dict.fromkeys((served.epoch, place.epoch, *place.succeeds))
        answer = scripts.run(
            connections.reads,
            "adopt",
            (
                place.epoch,
                str(place.revision),
                scripts.new_epoch(),
                " ".join([*succeeds][:MOST_SUCCEEDED]),
                body_digest(body),
                body,
            ),
        )
        if answer[0] == "changed":
            raise RecoverRefused("something was committed meanwhile; look at what Redis holds now, and try again")
        return _recovered(connections, served)
    except RedisError as error:
        raise StoreUnavailable(f"Redis does not answer: {error}") from error


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
