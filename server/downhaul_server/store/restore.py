"""A backup, put back: into an empty Redis, or in the place of what is there; at once, and under a new epoch."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from redis.exceptions import RedisError

from downhaul_server.store import scripts
from downhaul_server.store.backup import PLACES, STREAMS, BackupError, Part, check, sealed
from downhaul_server.store.commits import RECOVER, Commit
from downhaul_server.store.connections import Connections
from downhaul_server.store.entries import body_digest, entry_body
from downhaul_server.store.errors import StoreUnavailable
from downhaul_server.store.keys import EVERYTHING, META, SCHEMA, log_id, operation_key, waiting_key
from downhaul_server.store.recover import MOST_SUCCEEDED
from downhaul_server.store.scripts import SYSTEM

PAGE = 500
WAITING_S = 3600
"""For so long at most a restore may take, before what it has written goes away by itself."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What was done."""

    epoch: str
    """The new one."""
    revision: int
    documents: int
    replaced: str | None
    """The epoch that was there before; None when Redis was empty."""


def restore(
    connections: Connections, path: Path, *, replace: bool, also_succeeds: tuple[str, ...], actor: str, reason: str
) -> Restored:
    """Put what the file holds into Redis, under a new epoch that follows the file's, `also_succeeds`, what it replaces.

    Nothing is changed before all of it is there and was checked; then everything at once. Raises BackupError for a file
    that is not whole, and for a Redis that holds a store unless it may be replaced; StoreUnavailable.
    """
    head = check(path)
    try:
        there = connections.reads.hmget(META, ["epoch", "revision"])
        epoch, revision = (value.decode() if isinstance(value, bytes) else "" for value in there)
        if not replace and connections.reads.exists(*EVERYTHING):
            raise BackupError(
                f"Redis holds a store (epoch {epoch or 'unknown'}, revision {revision or 'unknown'}): back that up "
                "first, and say --replace if it shall go"
            )
        _put_down(connections.reads, path)
        _forget_operations(connections.reads)
        commit = Commit(
            action=RECOVER,
            actor={**SYSTEM, "name": actor},
            writes={},
            reason=reason,
            details={"way": "from backup", "epoch": head.epoch, "revision": head.revision, "made_at": head.made_at},
        )
        body = entry_body(commit, (), operation=scripts.new_epoch())
        succeeds = [each for each in dict.fromkeys((epoch, *also_succeeds, head.epoch, *head.succeeds)) if each]
        new = scripts.new_epoch()
        answer = scripts.decoded(
            connections.reads.register_script(scripts.source("restore"))(
                keys=[*EVERYTHING, *(key for name, place in PLACES.items() for key in (waiting_key(name), place))],
                args=[
                    *(epoch, revision, SCHEMA, new, " ".join(succeeds[:MOST_SUCCEEDED]), head.revision, head.chain),
                    *(head.origin, head.origin_chain, body_digest(body), body),
                ],
            )
        )
    except RedisError as error:
        raise StoreUnavailable(f"Redis does not answer: {error}") from error
    finally:
        with suppress(RedisError):
            connections.reads.delete(*map(waiting_key, PLACES))
    if answer[0] == "changed":
        raise BackupError("something was committed meanwhile; look at what Redis holds now, and try again")
    return Restored(new, int(answer[1]), head.documents, epoch or None)


def _put_down(client: redis.Redis, path: Path) -> None:
    """All parts, where they wait for the moment in which they take their places."""
    client.delete(*map(waiting_key, PLACES))
    page: list[Part] = []
    lines = sealed(path)
    next(lines)
    for part in lines:
        page.append(part)
        if len(page) == PAGE:
            _put_page(client, page)
            page = []
    _put_page(client, page)
    for name in PLACES:
        client.expire(waiting_key(name), WAITING_S)


def _put_page(client: redis.Redis, page: list[Part]) -> None:
    with client.pipeline(transaction=False) as pipe:
        for part in page:
            name, field, *rest = part
            if name == "docs":
                pipe.hset(waiting_key("docs"), field, rest[1])
                pipe.hset(waiting_key("versions"), field, rest[0])
            elif name in STREAMS:
                at_ms, digest, chain, body = rest
                fields: dict[Any, Any] = {"at": at_ms, "digest": digest, "chain": chain, "body": body}
                pipe.xadd(waiting_key(name), fields, id=log_id(field))
            else:
                pipe.hset(waiting_key(name), field, rest[0])
        pipe.execute()


def _forget_operations(client: redis.Redis) -> None:
    """A request that is repeated must not get the answer of a change that is not there any more."""
    for key in client.scan_iter(match=operation_key("*"), count=1000):
        client.delete(key)
