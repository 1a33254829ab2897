"""The log, oldest first, for those who follow it: the newest entries from memory, the others from Redis."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from downhaul_server.store import Entry, Store, View

RECENT = 32
"""Entries that are kept: hooks that are up to date ask Redis for nothing."""
PAGE = 100


class Feed:
    """One for all hooks of a process. Safe to share between threads."""

    def __init__(self, store: Store, on_change: Callable[[View, Entry | None], None]) -> None:
        """`on_change` is called after each change, from the follower's thread: it must be quick."""
        self._store = store
        self._on_change = on_change
        self._lock = threading.Lock()
        self._recent: deque[Entry] = deque(maxlen=RECENT)

    def follow(self) -> Callable[[], None]:
        """Gives the way to end it."""
        return self._store.subscribe(self._learn)

    def after(self, revision: int) -> list[Entry]:
        """The next entries, up to what this process serves. Raises StoreUnavailable, StoreDiverged."""
        newest = self._store.view.revision
        if revision >= newest:
            return []
        with self._lock:
            recent = list(self._recent)
        if recent and recent[0].revision <= revision + 1:
            return [entry for entry in recent if revision < entry.revision <= newest]
        with self._store.asking():
            entries = self._store.outbox.after(revision, PAGE)
        return [entry for entry in entries if entry.revision <= newest]

    def _learn(self, view: View, entry: Entry | None) -> None:
        with self._lock:
            if entry is None:
                self._recent.clear()  # loaded afresh: perhaps another history
            else:
                self._recent.append(entry)
        self._on_change(view, entry)
