"""The room's front door."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from downhaul_server.settings import Settings
from downhaul_server.store.board import Board
from downhaul_server.store.commits import Commit, Committed, Entry
from downhaul_server.store.connections import Connections
from downhaul_server.store.view import View

Listener = Callable[[View, Entry | None], None]


class Store:
    """One process's hold on the store: a view in memory, a follower that keeps it fresh, and the way to write."""

    @classmethod
    def open(
        cls,
        settings: Settings,
        *,
        redis_url: str | None = None,
        data_dir: Path | None = None,
        board: Board | None = None,
        connections: Connections | None = None,
    ) -> Store:
        """Connect, load and follow. Call it after forking: it starts threads.

        `redis_url` (default: settings.redis_url) is the embedded server's when there is one. `connections` replaces the
        real clients in tests. Returns when the first view is there or the first attempt to load has failed; it never
        raises because Redis is away. Raises ValueError when there is no URL at all.
        """
        raise NotImplementedError

    @property
    def view(self) -> View:
        """The newest view. Raises StoreUnavailable while nothing has been loaded (never an empty view in its place)."""
        raise NotImplementedError

    def commit(self, commit: Commit) -> Committed:
        """Write all of it or nothing, then wait until this process, and the node's other workers, serve it.

        Raises Conflict, Stale, OperationReused, StoreDiverged, StoreUnavailable (within about a second), and ValueError
        for a commit that is malformed (no writes, a document that is not JSON).
        """
        raise NotImplementedError

    def recall(self, operation: str, fingerprint: str | None = None) -> Committed | None:
        """The first answer to an operation that was committed in the last 24 h, else None.

        Raises OperationReused when `fingerprint` is given and is not the recorded one; StoreUnavailable.
        """
        raise NotImplementedError

    def log(
        self, *, before: int | None = None, limit: int = 100, match: Callable[[Entry], bool] | None = None
    ) -> list[Entry]:
        """Entries newest first, those under revision `before` only, `limit` of those that `match`.

        Raises StoreUnavailable, StoreDiverged.
        """
        raise NotImplementedError

    def entry(self, revision: int) -> Entry | None:
        """One entry of the log; None when there is none (yet, or any more). Raises StoreUnavailable, StoreDiverged."""
        raise NotImplementedError

    def verify_log(self) -> list[str]:
        """Walk the hash chain from the oldest entry to the newest. A sentence per fault found; empty when it is whole."""
        raise NotImplementedError

    def health(self) -> dict[str, Any]:
        """`{"state": "following"|"away"|"diverged"|"loading", "revision", "epoch", "age_s", "source": "redis"|"checkpoint"|None,
        "durability": {...}, "warnings": [str]}`. Never asks Redis, never raises."""
        raise NotImplementedError

    def wait_for(self, revision: int, timeout: float) -> bool:
        """Wait (seconds) until the view is at `revision` or later; False when the time was up."""
        raise NotImplementedError

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener(view, entry)` after each change is applied, in order, from the follower's thread.

        `entry` is None when everything was loaded afresh. It must be quick. Returns the way to unsubscribe.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Stop following, write the last checkpoint, let go of every connection. Idempotent."""
        raise NotImplementedError

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
