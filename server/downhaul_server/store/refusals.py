"""Refused attempts, in a log of their own: chained like the main one, bounded, and in nobody's way (docs/adr/0017)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from downhaul_server.store import scripts
from downhaul_server.store.commits import Body
from downhaul_server.store.connections import Connections
from downhaul_server.store.documents import decode_object, encode
from downhaul_server.store.entries import RawEntry, body_digest, timestamp
from downhaul_server.store.errors import StoreDiverged
from downhaul_server.store.keys import REFUSALS, REFUSALS_META, log_id

KEEP = 50_000
"""Entries. What an attacker can fill is about 35 MB."""
A_MINUTE: Mapping[str, int] = {"known": 120, "unknown": 20, "rest": 4}
"""How many entries a minute may have, of all processes together, by kind: of callers with a good token or session, of
the others, and of sums of what there was no room for."""
PAGE = 500
TRIES = 5

Anchor = tuple[int, str]
"""Number and chain of an entry, as the main log has kept them."""


@dataclass(frozen=True, slots=True)
class Refused:
    """One entry."""

    number: int
    at: str
    """RFC 3339 with milliseconds, UTC, from the clock of Redis: when it was written down."""
    body: Body


@dataclass(frozen=True, slots=True)
class Extent:
    """What there is of the log: the oldest entry that is kept, the newest, and the chains before and at these."""

    origin: int
    origin_chain: str
    newest: int
    chain: str


class RefusalLog:
    """Asks Redis at each call. Every method raises RedisError (call them under `Store.asking`) and StoreDiverged."""

    def __init__(self, connections: Connections) -> None:
        self._writes = connections.writes
        self._reads = connections.reads
        self._script = connections.writes.register_script(scripts.source("refuse"))
        self.head: Anchor | None = None
        """The newest that this process knows of."""

    def append(self, entries: Sequence[tuple[str, Body]], *, keep: int = KEEP) -> list[bool]:
        """Write down (kind, body) pairs; for each whether there was room for it in this minute."""
        arguments: list[str] = [str(keep)]
        for kind, body in entries:
            text = encode(dict(body))
            arguments += [kind, str(A_MINUTE[kind]), body_digest(text), text]
        number, chain, *accepted = scripts.decoded(self._script(keys=[REFUSALS_META, REFUSALS], args=arguments))
        if int(number):
            self.head = int(number), chain
        return [each == "1" for each in accepted]

    def newest_first(self, before: int | None = None) -> Iterator[Refused]:
        """Backwards, from under a number, read a page at a time as it is consumed."""
        while before is None or before > 1:
            page = self._page(
                self._reads.xrevrange(REFUSALS, "+" if before is None else log_id(before - 1), "-", count=PAGE)
            )
            for raw in page:
                yield readable(raw)
            if len(page) < PAGE:
                return
            before = page[-1].revision

    def oldest_first(self, after: int, until: int) -> Iterator[RawEntry]:
        """Forwards, read a page at a time as it is consumed."""
        while page := self._page(self._reads.xrange(REFUSALS, log_id(after + 1), log_id(until), count=PAGE)):
            yield from page
            after = page[-1].revision

    def extent(self) -> Extent:
        """How far it goes."""
        names = ("origin", "origin_chain", "number", "chain")
        found: Any = self._reads.hmget(REFUSALS_META, names)
        if found[2] is None:
            return Extent(1, "", 0, "")
        try:
            origin, origin_chain, number, chain = (value.decode() for value in found)
            return Extent(int(origin), origin_chain, int(number), chain)
        except (AttributeError, ValueError) as error:
            raise StoreDiverged(f"{REFUSALS_META} is damaged: {error!r}") from error

    def verify(self, anchors: Mapping[int, str]) -> list[str]:
        """A sentence for each fault, oldest first. `anchors`: what the main log and this process know of it."""
        for _ in range(TRIES):
            extent = self.extent()
            faults = self._walk(extent, anchors)
            if self.extent().origin == extent.origin:  # else the oldest were let go while we looked
                break
        return faults

    def _walk(self, extent: Extent, anchors: Mapping[int, str]) -> list[str]:
        faults: list[str] = []
        due, chain = extent.origin, extent.origin_chain
        known: str | None = chain
        for raw in self.oldest_first(0, extent.newest):
            if raw.revision > due:
                faults.append(_missing(due, raw.revision - 1))
                known = None
            if fault := raw.fault(known):
                faults.append(fault.replace("revision", "refusal", 1))
            if raw.chain != anchors.get(raw.revision, raw.chain):
                faults.append(f"refusal {raw.revision}: it is not the entry that the log of changes refers to")
            due, known = raw.revision + 1, raw.chain
        if due <= extent.newest:
            faults.append(_missing(due, extent.newest))
        elif known is not None and known != extent.chain:
            faults.append(f"refusal {extent.newest}: the last hash is not the one that was kept beside it")
        if (last := max(anchors, default=0)) > extent.newest:
            faults.append(f"{_missing(extent.newest + 1, last)}, though the log of changes refers to it")
        return faults

    def _page(self, entries: Any) -> list[RawEntry]:
        try:
            return [RawEntry(entry_id, fields) for entry_id, fields in entries]
        except ValueError as error:
            raise StoreDiverged(str(error)) from error


def _missing(first: int, last: int) -> str:
    return f"refusal {first}: missing" if first == last else f"refusals {first} to {last}: missing"


def readable(raw: RawEntry) -> Refused:
    """The entry. Raises StoreDiverged when its body cannot be read."""
    try:
        return Refused(raw.revision, timestamp(raw.at_ms), decode_object(raw.body))
    except ValueError as error:
        raise StoreDiverged(f"refusal {raw.revision}: the body cannot be read: {error}") from error
