"""Is the log whole, and does it lead to what is stored? Finds what was altered, removed or put in another order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import redis

from downhaul_server.store import queries
from downhaul_server.store.entries import RawEntry
from downhaul_server.store.keys import log_id
from downhaul_server.store.refusals import RefusalLog
from downhaul_server.store.view import Freshness, View


def verify(client: redis.Redis, served: View, refusals: RefusalLog) -> list[str]:
    """A sentence for each fault, oldest first; empty when all is whole.

    Checked: every entry since the first that the log ever had is there; its body has its digest; its hash follows from
    the entry before; the last hash is the store's, and the one that `served` was built on; the documents, and their
    versions, are what the log last wrote. Then the same of the refused attempts, as far as they are kept, and that they
    are those which the log of changes refers to. Raises redis errors, and StoreDiverged when the store cannot be read.
    """
    stored = queries.read_view(client, Freshness())
    origin, chain = queries.read_origin(client)
    walk = _Walk(origin, chain, served)
    for raw in queries.oldest_first(client, stored.revision):
        walk.visit(raw)
    walk.finish(stored)
    walk.faults += _beyond(client)
    head = dict([refusals.head] if refusals.head else [])
    return walk.faults + refusals.verify({**head, **walk.anchors})


def _beyond(client: redis.Redis) -> list[str]:
    """What lies in the log after the store's last revision; both are looked at in one moment."""
    revision, newest = queries.read_end(client)
    return [] if newest is None or newest == log_id(revision) else [f"{newest}: the store knows of no such entry"]


class _Walk:
    """Where the walk through the log is, and what it has found."""

    def __init__(self, origin: int, chain: str, served: View) -> None:
        self.faults: list[str] = []
        self._whole = origin == 1
        self._next = origin
        self._chain: str | None = chain
        self._served = served
        self._last: dict[str, tuple[int, Mapping[str, Any] | None]] = {}
        self.anchors: dict[int, str] = {}
        """Of refused attempts."""

    def visit(self, raw: RawEntry) -> None:
        self._skip_to(raw.revision)
        if raw.revision < self._next:
            self.faults.append(f"revision {raw.revision}: there is a second entry of this revision")
            return
        if fault := raw.fault(self._chain):
            self.faults.append(fault)
        if raw.revision == self._served.revision and raw.chain != self._served.chain:
            self.faults.append(f"revision {raw.revision}: it is not the entry that this server has served")
        try:
            entry = raw.decode()
            self._last |= {change.address: (raw.revision, change.after) for change in entry.changes}
            self.anchors |= [entry.anchor] if entry.anchor else []
        except ValueError as error:
            self.faults.append(str(error))
        self._next, self._chain = raw.revision + 1, raw.chain

    def finish(self, stored: View) -> None:
        self._skip_to(stored.revision + 1)
        if self._chain is not None and self._chain != stored.chain:
            self.faults.append(f"revision {stored.revision}: the last hash of the log is not the one of the store")
        for address, (revision, after) in sorted(self._last.items(), key=lambda item: item[0]):
            document = stored.get(address)
            if (document.body if document else None) != after:
                self.faults.append(f"{address}: what is stored is not what the log last wrote")
            elif document and document.version != revision:
                self.faults.append(f"{address}: it is kept as version {document.version}, but the log says {revision}")
        if self._whole:
            unknown = (document.address for document in stored if document.address not in self._last)
            self.faults += [f"{address}: it is stored, but the log never wrote it" for address in unknown]

    def _skip_to(self, revision: int) -> None:
        if self._next >= revision:
            return
        missing = (
            f"revision {self._next}" if revision == self._next + 1 else f"revisions {self._next} to {revision - 1}"
        )
        self.faults.append(f"{missing}: missing from the log")
        self._whole, self._chain = False, None
