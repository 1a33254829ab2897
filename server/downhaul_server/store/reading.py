"""The log in Redis, for those who look for something in it, or want all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

import redis

from downhaul_server.store import queries
from downhaul_server.store.commits import Entry
from downhaul_server.store.entries import RawEntry, in_ms
from downhaul_server.store.errors import StoreDiverged

LOOK_PAGE = 300
"""Redis looks through so many at a time: 3 ms or so, for which a commit may have to wait."""
EXPORT_PAGE = 50
"""An entry may hold a megabyte, and what is exported is not to be all in memory."""
CLOCK_MARGIN_MS = 60_000
"""The clock of Redis may have been set back by so much, and entries are not quite in the order of their times."""


class Reading:
    """Asks Redis at each call."""

    def __init__(
        self,
        client: redis.Redis,
        asking: Callable[[], AbstractContextManager[None]],
        check: Callable[[], None],
        newest: Callable[[], int],
    ) -> None:
        """`asking` turns Redis's errors into ours, `check` raises when the store has diverged, `newest` is what is
        served."""
        self._client = client
        self._asking = asking
        self._check = check
        self._newest = newest

    def look(
        self, before: int | None, texts: Sequence[Sequence[bytes]], *, since: str | None = None, limit: int = 100
    ) -> tuple[list[Entry], int]:
        """Entries newest first, under revision `before`, whose text has one of each of `texts` in it, none older than
        `since` (RFC 3339): those of the next page, and the revision under which to go on (1: that was
        all). Entries without them never leave Redis. Raises StoreUnavailable, StoreDiverged.
        """
        self._check()
        count = LOOK_PAGE if texts else limit
        with self._asking():
            page, last = queries.look(self._client, before, texts, in_ms(since) if since else 0, count)
        return [readable(raw) for raw in page], last

    def raw_log(self, after: int) -> Iterator[RawEntry]:
        """Entries oldest first, as they lie in Redis, from over a revision to the newest of now; read a page at a time.

        Raises StoreUnavailable, StoreDiverged, also on the way.
        """
        self._check()
        with self._asking():
            yield from queries.oldest_first(self._client, self._newest(), after=after, page=EXPORT_PAGE)

    def chain_before(self, revision: int) -> str | None:
        """The chain from which that of a revision follows; None where the log does not tell any more.

        Raises StoreUnavailable, StoreDiverged.
        """
        with self._asking():
            origin, chain = queries.read_origin(self._client)
            if revision <= origin:
                return chain
            page = queries.page_before(self._client, revision, 1)
        return page[0].chain if page and page[0].revision == revision - 1 else None

    def revision_at(self, moment: str, *, back: bool = False) -> int:
        """A revision under which everything lies that was committed before a moment (RFC 3339); with `back`, one from
        which on everything lies that was committed later.

        Raises StoreUnavailable, StoreDiverged.
        """
        self._check()
        with self._asking():
            margin = -CLOCK_MARGIN_MS if back else CLOCK_MARGIN_MS
            return queries.revision_at(self._client, in_ms(moment) + margin, self._newest())


def readable(raw: RawEntry) -> Entry:
    """The entry. Raises StoreDiverged when its body cannot be read."""
    try:
        return raw.decode()
    except ValueError as error:
        raise StoreDiverged(f"the log of Redis is damaged: {error}") from error
