"""What is asked of Redis; every answer is decoded here. Redis's own errors pass through, nonsense is StoreDiverged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import redis

from downhaul_server.store import scripts
from downhaul_server.store.documents import decode_object, undisturbed
from downhaul_server.store.entries import RawEntry
from downhaul_server.store.errors import StoreDiverged
from downhaul_server.store.keys import DOCS, EVERYTHING, LOG, META, TOUCHED, VERSIONS, log_id
from downhaul_server.store.place import Place
from downhaul_server.store.view import Document, Freshness, View

PAGE = 500


def read_place(client: redis.Redis, ours: int) -> Place | None:
    """Where the store is, and the chain at revision `ours`; None when Redis holds no part of a store."""
    transaction = client.pipeline(transaction=True)
    transaction.hgetall(META)
    transaction.xrange(LOG, log_id(ours), log_id(ours))
    transaction.exists(*EVERYTHING)
    meta, entries, parts = transaction.execute()
    if not parts:
        return None
    found = _meta(meta)
    try:
        return Place(
            schema=int(found["schema"]),
            epoch=found["epoch"],
            revision=int(found["revision"]),
            chain=found["chain"],
            succeeds=tuple(found.get("succeeds", "").split()),
            chain_at_ours=RawEntry(*entries[0]).chain if entries else None,
            lost=found.get("lost"),
        )
    except (KeyError, ValueError) as error:
        raise StoreDiverged(f"Redis holds a store whose {META} or log is damaged: {error!r}") from error


def read_view(client: redis.Redis, freshness: Freshness) -> View:
    """Everything, as it is at one moment."""
    transaction = client.pipeline(transaction=True)
    for key in (META, DOCS, VERSIONS, TOUCHED):
        transaction.hgetall(key)
    with undisturbed():
        return _view(freshness, *transaction.execute())


def _view(
    freshness: Freshness,
    meta: Mapping[bytes, bytes],
    docs: Mapping[bytes, bytes],
    versions: Mapping[bytes, bytes],
    touched: Mapping[bytes, bytes],
) -> View:
    found = _meta(meta)
    if docs.keys() != versions.keys():
        raise StoreDiverged("Redis holds a damaged store: its documents and their versions do not match")
    try:
        return View.of(
            (Document(name.decode(), int(versions[name]), decode_object(text)) for name, text in docs.items()),
            epoch=found["epoch"],
            revision=int(found["revision"]),
            chain=found["chain"],
            touched={field.decode(): int(revision) for field, revision in touched.items()},
            freshness=freshness,
            succeeds=tuple(found.get("succeeds", "").split()),
        )
    except (KeyError, ValueError) as error:
        raise StoreDiverged(f"Redis holds a damaged store: {error!r}") from error


def read_origin(client: redis.Redis) -> tuple[int, str]:
    """The first revision that the log ever had, and the chain before it."""
    found = client.hmget(META, ["origin", "origin_chain"])
    origin, chain = (value.decode() if isinstance(value, bytes) else value for value in found)
    if origin is None or chain is None or not origin.isdigit():
        raise StoreDiverged(f"Redis holds a store whose {META} does not say where its log began")
    return int(origin), chain


def read_end(client: redis.Redis) -> tuple[int, str | None]:
    """The store's revision, and the id of the log's newest entry (None: it has none)."""
    transaction = client.pipeline(transaction=True)
    transaction.hget(META, "revision")
    transaction.xrevrange(LOG, count=1)
    revision, entries = transaction.execute()
    if revision is None or not revision.isdigit():
        raise StoreDiverged(f"Redis holds a store whose {META} does not say where it is")
    return int(revision), entries[0][0].decode() if entries else None


def follow(client: redis.Redis, after: int, block_s: float) -> list[RawEntry]:
    """Entries after a revision; waits for one up to `block_s`, then gives none."""
    streams: Any = client.xread({LOG: log_id(after)}, count=PAGE, block=max(1, int(block_s * 1000)))
    return [raw for _, entries in streams or [] for raw in _raw(entries)]


def newest_first(client: redis.Redis, before: int | None, page: int = PAGE) -> Iterator[RawEntry]:
    """The log backwards, from under revision `before`, read a page at a time as it is consumed."""
    while before is None or before > 1:
        entries = _raw(client.xrevrange(LOG, "+" if before is None else log_id(before - 1), "-", count=page))
        yield from entries
        if len(entries) < page:
            return
        before = entries[-1].revision


def page_before(client: redis.Redis, before: int | None, count: int) -> list[RawEntry]:
    """The newest under revision `before`, newest first."""
    return _raw(client.xrevrange(LOG, "+" if before is None else log_id(before - 1), "-", count=count))


def look(
    client: redis.Redis, before: int | None, texts: Sequence[Sequence[bytes]], oldest_ms: int, count: int
) -> tuple[list[RawEntry], int]:
    """Those of a page of `count` that look.lua finds, newest first, and the revision under which to go on (1: none)."""
    begin = "+" if before is None else log_id(before - 1)
    lists: list[Any] = [part for each in texts for part in (len(each), *each)]
    script = client.register_script(scripts.source("look"))
    last, *found = script(keys=[LOG], args=[begin, count, oldest_ms, *lists])
    entries = [(entry_id, dict(zip(fields[::2], fields[1::2], strict=True))) for entry_id, fields in found]
    return _raw(entries), int(last.partition(b"-")[0]) if last else 1


def revision_at(client: redis.Redis, at_ms: int, newest: int) -> int:
    """The first revision that was not committed before `at_ms`, as far as the clock went on; found by halving."""
    low, high = 1, newest + 1
    while low < high:
        middle = (low + high) // 2
        found = page_before(client, middle + 1, 1)
        if found and found[0].at_ms >= at_ms:
            high = middle
        else:
            low = middle + 1
    return low


def oldest_first(client: redis.Redis, until: int, page: int = PAGE, after: int = 0) -> Iterator[RawEntry]:
    """The log forwards, from over one revision up to and with another, read a page at a time as it is consumed."""
    while entries := _raw(client.xrange(LOG, log_id(after + 1), log_id(until), count=page)):
        yield from entries
        after = entries[-1].revision


def entries(client: redis.Redis, stream: str, page: int = PAGE) -> Iterator[RawEntry]:
    """All of a stream of such entries, oldest first, read a page at a time as it is consumed."""
    after = 0
    while found := _raw(client.xrange(stream, log_id(after + 1), "+", count=page)):
        yield from found
        after = found[-1].revision


def _raw(entries: Any) -> list[RawEntry]:
    try:
        return [RawEntry(entry_id, fields) for entry_id, fields in entries]
    except ValueError as error:
        raise StoreDiverged(str(error)) from error


def _meta(meta: Mapping[bytes, bytes]) -> dict[str, str]:
    if not meta:
        raise StoreDiverged(f"Redis holds parts of a store, but no {META}")
    return {name.decode("utf-8", "replace"): value.decode("utf-8", "replace") for name, value in meta.items()}
