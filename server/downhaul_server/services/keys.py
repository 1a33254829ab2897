"""SDK keys and API tokens: make, list, revoke. A token is shown once; only its hash is kept."""

from __future__ import annotations

from typing import Any

from downhaul_server.services.actors import Actor
from downhaul_server.services.commit import Committer
from downhaul_server.services.pages import LIMIT, Page


class Keys:
    """Documents: `{id, kind, name, services, created_at, created_by}` with, for `sdk`, `environment`, and for `api`,
    `role`, `environments`, `expires` (RFC 3339 or None). Never the token or its hash."""

    def __init__(self, committer: Committer) -> None:
        self._committer = committer

    def list(self, actor: Actor, *, kind: str | None = None, limit: int = LIMIT, cursor: str | None = None) -> Page:
        """Keys in the order of their ids; only those whose rights the actor has too."""
        raise NotImplementedError

    def get(self, actor: Actor, key_id: str) -> dict[str, Any]:
        """Raises NotFound, Forbidden."""
        raise NotImplementedError

    def create(self, actor: Actor, document: dict[str, Any], *, operation: str | None = None) -> dict[str, Any]:
        """The new key with its `token`, this once. Raises Invalid, and Forbidden when it would be mightier than the
        actor."""
        raise NotImplementedError

    def revoke(self, actor: Actor, key_id: str, *, operation: str | None = None) -> None:
        """It is refused from now on. Raises NotFound, Forbidden."""
        raise NotImplementedError
