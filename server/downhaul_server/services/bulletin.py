"""Tells whoever looks at a page that something has changed; what, they ask for themselves, with what they may see."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from downhaul_server.services.access import newest_view
from downhaul_server.services.errors import Overloaded
from downhaul_server.store import Store

MOST_WATCHERS = 500
"""Of one process; each costs a connection."""


class Bulletin:
    """Safe to share between threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._changed = threading.Condition()
        self._stopping = False
        self._watchers = 0
        store.subscribe(lambda view, entry: self._tell())

    @property
    def position(self) -> str:
        """Of the newest state: another one after every change. Raises Unavailable while nothing is loaded."""
        view = newest_view(self._store)
        return f"{view.epoch}:{view.revision}"

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Room for one who waits. Raises Overloaded."""
        with self._changed:
            if self._watchers >= MOST_WATCHERS:
                raise Overloaded(f"{MOST_WATCHERS} pages are watched through this server process already")
            self._watchers += 1
        try:
            yield
        finally:
            with self._changed:
                self._watchers -= 1

    def after(self, position: str, timeout_s: float) -> str | None:
        """The newest position, as soon as it is another one; None when the time is over, or the process ends."""
        ends = time.monotonic() + timeout_s
        with self._changed:
            while not self._stopping and (now := self.position) == position:
                left = ends - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    return None
            return None if self._stopping else now

    @property
    def stopping(self) -> bool:
        """Whether the process is about to end."""
        return self._stopping

    def stop(self) -> None:
        """Nobody waits any longer. Idempotent."""
        self._stopping = True
        self._tell()

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()
