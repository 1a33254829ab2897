"""The one way to write: validate against the newest, commit, and try again when somebody was faster."""

from __future__ import annotations

from downhaul_server.store import Store


class Committer:
    """Shared by the services of one process."""

    def __init__(self, store: Store) -> None:
        self._store = store
