"""A backup: one file with all that a store needs to go on. Whole, or not used.

Gzip of JSON lines. The first, the head, says where the store was; the others are parts: `["docs", address, version,
text]`, `["touched", field, revision]`, `["log"|"refusals", number, at_ms, digest, chain, body]`, or, of a hash that is
kept as it is, `[name, field, value]`. The last is the seal: the SHA-256 of all the lines before it, and how many.

Not in it: sessions (people log in again), answers to repeated requests, leases, the fleet (it reports by itself), and
counters of evaluations.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, cast

import redis
from redis.exceptions import RedisError

from downhaul_server.store import queries
from downhaul_server.store.connections import Connections
from downhaul_server.store.documents import decode, decode_object, encode
from downhaul_server.store.entries import RawEntry
from downhaul_server.store.errors import StoreDiverged, StoreError, StoreUnavailable
from downhaul_server.store.keys import (
    DOCS,
    DRILLS,
    EVERYTHING,
    HOOK_SECRETS,
    HOOK_STATES,
    LOG,
    REFUSALS,
    REFUSALS_META,
    SCHEMA,
    TOUCHED,
    USED,
    VERSIONS,
    log_id,
)
from downhaul_server.store.view import Freshness, View

FORMAT = 1
HASHES: Mapping[str, str] = {
    "refusals_meta": REFUSALS_META,
    "hooks": HOOK_STATES,
    "hook_secrets": HOOK_SECRETS,
    "used": USED,
    "drills": DRILLS,
}
STREAMS: Mapping[str, str] = {"log": LOG, "refusals": REFUSALS}
PLACES: Mapping[str, str] = {"docs": DOCS, "versions": VERSIONS, "touched": TOUCHED, **STREAMS, **HASHES}
"""Every part that is put in place, and where."""

Part = list[Any]


class BackupError(StoreError):
    """It cannot be made, or is not whole, or may not be used so. One sentence: what it is, and what to do."""


@dataclass(frozen=True, slots=True)
class Head:
    """Where the store was."""

    made_at: str
    """RFC 3339, UTC, by the clock of the machine that made it."""
    epoch: str
    succeeds: tuple[str, ...]
    revision: int
    chain: str
    origin: int
    """First revision of its log."""
    origin_chain: str
    documents: int
    schema: int = SCHEMA
    downhaul_backup: int = FORMAT


def write(connections: Connections, path: Path) -> Head:
    """Make the file (0600), whole or not at all. Beside running servers: it has all up to one revision.

    Raises BackupError when Redis holds no store or the file cannot be written, StoreDiverged when what Redis holds is
    damaged, StoreUnavailable.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        with _private(draft) as raw:
            with gzip.open(raw, "wb") as file:
                head = _fill(connections, cast(IO[bytes], file))
            raw.flush()
            os.fsync(raw.fileno())
        check(draft)  # what cannot be read again is no backup
        draft.replace(path)
    except RedisError as error:
        raise StoreUnavailable(f"Redis does not answer: {error}") from error
    except OSError as error:
        raise BackupError(f"the backup cannot be written to {path}: {error.strerror or error}") from error
    finally:
        draft.unlink(missing_ok=True)
    return head


def check(path: Path) -> Head:
    """Read all of it: the seal, every digest and the hash chain of the log. Raises BackupError."""
    lines = sealed(path)
    head = _head(path, next(lines))
    chain, due, documents = head.origin_chain, head.origin, 0
    try:
        for part in lines:
            if part[0] == "docs":
                decode_object(part[3])
                documents += 1
            elif part[0] == "log":
                raw = _entry(part)
                fault = f"revision {due} is missing" if raw.revision != due else raw.fault(chain)
                if fault:
                    raise BackupError(f"the log in {path} is not whole: {fault}")
                chain, due = raw.chain, raw.revision + 1
    except (LookupError, TypeError, ValueError) as error:
        raise BackupError(f"{path} holds what is no part of a backup: {error!r}") from error
    if (chain, due - 1, documents) != (head.chain, head.revision, head.documents):
        raise BackupError(f"{path} does not hold what its first line says")
    return head


def _fill(connections: Connections, file: IO[bytes]) -> Head:
    client = connections.reads
    if not client.exists(*EVERYTHING):
        raise BackupError("Redis is empty: there is nothing to back up")
    view = queries.read_view(client, Freshness())
    origin, origin_chain = queries.read_origin(client)
    made_at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    head = Head(made_at, view.epoch, view.succeeds, view.revision, view.chain, origin, origin_chain, len(view))
    digest, number = hashlib.sha256(), 0
    for value in _lines(client, head, view):
        line = f"{encode(value)}\n".encode("ascii")
        digest.update(line)
        file.write(line)
        number += 1
    file.write(f"{encode({'seal': digest.hexdigest(), 'lines': number})}\n".encode("ascii"))
    return head


def _lines(client: redis.Redis, head: Head, view: View) -> Iterator[Any]:
    yield asdict(head)
    for document in view:
        yield ["docs", document.address, document.version, encode(document.body)]
    for field, revision in view.touches.items():
        yield ["touched", field, revision]
    due = head.origin
    for raw in queries.oldest_first(client, head.revision):
        if raw.revision != due:
            raise StoreDiverged(f"the log of Redis is damaged: revision {due} is missing")
        due += 1
        yield _part("log", raw)
    for raw in queries.entries(client, REFUSALS):
        yield _part("refusals", raw)
    for name, key in HASHES.items():
        found: Any = client.hgetall(key)
        for field, value in sorted(found.items()):
            yield [name, field.decode(), value.decode()]


def _part(name: str, raw: RawEntry) -> Part:
    return [name, raw.revision, raw.at_ms, raw.digest, raw.chain, raw.body.decode("ascii")]


def _entry(part: Part) -> RawEntry:
    _, number, at_ms, digest, chain, body = part
    fields = {"at": str(at_ms), "digest": digest, "chain": chain, "body": body}
    return RawEntry(log_id(number).encode(), {name.encode(): text.encode("ascii") for name, text in fields.items()})


def sealed(path: Path) -> Iterator[Any]:
    """The lines as JSON: the head, then each part; at the end the seal has been compared. Raises BackupError."""
    digest, number, last = hashlib.sha256(), 0, b""
    try:
        with gzip.open(path, "rb") as file:
            for line in file:
                if last:
                    digest.update(last)
                    number += 1
                    yield decode(last)
                last = line
        seal = decode(last)
        if not isinstance(seal, dict) or (seal.get("seal"), seal.get("lines")) != (digest.hexdigest(), number):
            raise BackupError(f"{path} is not whole: its checksum does not match")
    except FileNotFoundError:
        raise BackupError(f"there is no file {path}") from None
    except (EOFError, OSError, ValueError, zlib.error) as error:
        raise BackupError(f"{path} is not whole, or no backup: {error}") from error


def _head(path: Path, found: Any) -> Head:
    if not isinstance(found, dict) or "downhaul_backup" not in found:
        raise BackupError(f"{path} is no backup of Downhaul's")
    if (found["downhaul_backup"], found.get("schema")) != (FORMAT, SCHEMA):
        raise BackupError(f"{path} was made by another release: this one reads format {FORMAT}, schema {SCHEMA}")
    try:
        return Head(**{**found, "succeeds": tuple(found["succeeds"])})
    except (KeyError, TypeError) as error:
        raise BackupError(f"the first line of {path} is not one of Downhaul's: {error!r}") from error


def _private(path: Path) -> IO[bytes]:
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
