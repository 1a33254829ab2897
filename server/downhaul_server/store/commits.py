"""What is written and what is answered: a Commit goes in, a Committed comes out, an Entry stays in the log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Body = Mapping[str, Any]
EVERYWHERE = "*"
"""In a touch: every environment of the service, or every service."""
CREATE = "store.create"
RECOVER = "store.recover"
"""The two actions that are the store's own: its birth, and an operator's decision for one history."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One change of any number of documents, all or nothing. Built by services, consumed by `Store.commit`."""

    action: str
    """What is done, `noun.verb`: `flag.kill`, `segment.replace`."""
    actor: Mapping[str, Any]
    """Who does it, as JSON: at least `{"name": str, "kind": str}`. Stored as it is."""
    writes: Mapping[str, Body | None]
    """Address -> whole new document, or None to delete it. Must not be empty."""
    expect: Mapping[str, int] = field(default_factory=dict)
    """Address -> version it must be at (0: absent). May name documents that are not written.

    A written address that is not named here is expected at the version in this process's current view, so nothing is
    ever overwritten unseen."""
    touches: tuple[tuple[str, str], ...] = ()
    """(service, environment) pairs whose snapshots this changes; `*` for either means all."""
    base: int | None = None
    """When given, the commit is refused with Stale unless the store is at exactly this revision."""
    operation: str | None = None
    """Idempotency id (1 to 256 characters, scoped to its client by the caller), kept for 24 h; made up when absent."""
    fingerprint: str | None = None
    """Digest of the request that `operation` stands for. The same operation with another fingerprint raises
    OperationReused. When absent: a digest of action, actor, reason and writes."""
    reason: str | None = None
    result: Body | None = None
    """Small JSON kept with the operation and given back as `Committed.result` when it is replayed."""
    details: Body | None = None
    """Anything else worth keeping in the log entry."""
    anchor: tuple[int, str] | None = None
    """Number and chain of the newest refused attempt: so the chain of this log vouches for that one too. The store's
    own; nobody else sets it."""


@dataclass(frozen=True, slots=True)
class Committed:
    """The answer to a commit; for a replayed operation, the first answer."""

    revision: int
    committed_at: str
    """RFC 3339 with milliseconds, UTC, from the clock of Redis."""
    replayed: bool = False
    """True when this operation had been committed before, by an earlier request or an earlier attempt of this one."""
    replicas: int | None = None
    """How many replicas confirmed that they hold it; None when none were asked (DOWNHAUL_REDIS_REPLICAS=0)."""
    replicas_wanted: int = 0
    """How many were to (DOWNHAUL_REDIS_REPLICAS)."""
    survives: str = "uncertain"
    """What the change survives: `failover`, `crash` or `uncertain`; see `Durability.of_write`."""
    applied: bool = True
    """False when this process's own view had not reached the revision when the time for waiting was up."""
    result: Body | None = None
    """What `Commit.result` held at the first attempt."""
    chain: str | None = None
    """Of its entry in the log; None for a replayed one."""


@dataclass(frozen=True, slots=True)
class Change:
    """One document in an entry."""

    address: str
    version_before: int
    """0 when the document was created."""
    before: Body | None
    after: Body | None
    """None when the document was deleted. Its version afterwards is the entry's revision."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the log."""

    revision: int
    at: str
    """RFC 3339 with milliseconds, UTC, from the clock of Redis."""
    actor: Mapping[str, Any]
    action: str
    reason: str | None
    touches: tuple[tuple[str, str], ...]
    changes: tuple[Change, ...]
    operation: str
    details: Body | None
    digest: str
    """SHA-256 of the entry's body as it is stored."""
    chain: str
    """SHA-1 over the chain of the entry before, the revision, the time in ms and the digest."""
    anchor: tuple[int, str] | None = None
