"""Log entries as text and as objects, and the hash that chains each to the one before."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from downhaul_server.store.commits import Body, Change, Commit, Entry
from downhaul_server.store.documents import decode_object, encode


def entry_body(commit: Commit, changes: Iterable[str], operation: str) -> str:
    """What is written down of a commit: who, what, why, before and after; `changes` are `change_text`s."""
    head: dict[str, Any] = {
        "action": commit.action,
        "actor": dict(commit.actor),
        "reason": commit.reason,
        "operation": operation,
        "details": commit.details,
        "touches": [list(touch) for touch in commit.touches],
    }
    if commit.anchor is not None:
        head["anchor"] = list(commit.anchor)
    return f'{encode(head)[:-1]},"changes":[{",".join(changes)}]}}'


def change_text(address: str, version_before: int, before: Body | None, after: str) -> str:
    """One change as JSON. `after` is JSON already: whoever writes a document has encoded it, and once is enough."""
    return (
        f'{{"address":{encode(address)},"version_before":{version_before},"before":{encode(before)},"after":{after}}}'
    )


def body_digest(body: bytes | str) -> str:
    """SHA-256 of a body, in hex."""
    return hashlib.sha256(body if isinstance(body, bytes) else body.encode("ascii")).hexdigest()


def link(previous: str, revision: int, at_ms: int, digest: str) -> str:
    """The chain after an entry; the same arithmetic as in commit.lua (SHA-1 is what Lua has in Redis)."""
    text = f"{previous}:{revision}:{at_ms}:{digest}".encode("ascii")
    return hashlib.sha1(text, usedforsecurity=False).hexdigest()  # else machines in FIPS mode refuse to


def timestamp(at_ms: int) -> str:
    """RFC 3339 with milliseconds, UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def in_ms(moment: str) -> int:
    """The other way round. Raises ValueError."""
    return round(datetime.fromisoformat(moment).timestamp() * 1000)


class RawEntry:
    """An entry as it lies in the stream. Raises ValueError when the stream's fields are not ours."""

    __slots__ = ("at_ms", "body", "chain", "digest", "revision")

    def __init__(self, entry_id: bytes, fields: Mapping[bytes, bytes]) -> None:
        try:
            self.revision = int(entry_id.partition(b"-")[0])
            self.at_ms = int(fields[b"at"])
            self.digest = fields[b"digest"].decode("ascii")
            self.chain = fields[b"chain"].decode("ascii")
            self.body = fields[b"body"]
        except (KeyError, ValueError) as error:
            raise ValueError(f"log entry {entry_id!r} is not one of Downhaul's: {error!r}") from error

    def fault(self, previous: str | None) -> str | None:
        """What is wrong with its digest or, where the chain before it is known, its chain; None when all is well."""
        if body_digest(self.body) != self.digest:
            return f"revision {self.revision}: the body does not have the digest that was written with it"
        if previous is not None and link(previous, self.revision, self.at_ms, self.digest) != self.chain:
            return f"revision {self.revision}: the hash does not follow from the entry before"
        return None

    def decode(self) -> Entry:
        """The entry. Raises ValueError when its body cannot be read."""
        try:
            return _entry(self, decode_object(self.body))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"revision {self.revision}: the body cannot be read: {error!r}") from error


def _entry(raw: RawEntry, body: Mapping[str, Any]) -> Entry:
    return Entry(
        revision=raw.revision,
        at=timestamp(raw.at_ms),
        actor=body["actor"],
        action=body["action"],
        reason=body["reason"],
        touches=tuple((service, environment) for service, environment in body["touches"]),
        changes=tuple(
            Change(change["address"], change["version_before"], change["before"], change["after"])
            for change in body["changes"]
        ),
        operation=body["operation"],
        details=body["details"],
        digest=raw.digest,
        chain=raw.chain,
        anchor=_anchor(body.get("anchor")),
    )


def _anchor(found: Any) -> tuple[int, str] | None:
    if found is None:
        return None
    number, chain = found
    return int(number), str(chain)
