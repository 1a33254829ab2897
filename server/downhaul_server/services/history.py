"""What happened: the log with filters, and the history of one flag with differences."""

from __future__ import annotations

from datetime import datetime

from downhaul_server.services.actors import Actor
from downhaul_server.services.pages import LIMIT, Page
from downhaul_server.store import Store


class History:
    """Newest first. Read from Redis, so Unavailable while that is away."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def flag(self, actor: Actor, service: str, flag: str, *, limit: int = LIMIT, cursor: str | None = None) -> Page:
        """`{revision, at, actor, action, reason, environment, changes: [{op, path, before, after}]}` per change.

        `actor` is a name; `environment` is None unless all of it happened in one; `op` is add, remove or replace and
        `path` a JSON pointer into the flag's document. Raises NotFound, Forbidden, Unavailable.
        """
        raise NotImplementedError

    def log(
        self,
        actor: Actor,
        *,
        service: str | None = None,
        flag: str | None = None,
        environment: str | None = None,
        by: str | None = None,
        action: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = LIMIT,
        cursor: str | None = None,
    ) -> Page:
        """`{revision, at, actor, action, reason, documents: [{kind, service, key, changes}]}` per commit.

        `kind` is service, environment, flag, segment or key; `service` is None except for flags. `by` is the actor's
        name; `flag` needs `service`, or is `service/flag`; `action` is a whole action (`flag.kill`) or its noun (`flag`).
        Shows only what the actor's scope covers. Raises Invalid, Forbidden, Unavailable.
        """
        raise NotImplementedError
