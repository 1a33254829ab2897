"""Segments: named conditions that rules of any service reuse. Document: `{key, name, when}`."""

from __future__ import annotations

from typing import Any

from downhaul_server.services.actors import Actor
from downhaul_server.services.commit import Committer
from downhaul_server.services.pages import LIMIT, Page


class Segments:
    """Answers add `version`, `created_at`, `updated_at`."""

    def __init__(self, committer: Committer) -> None:
        self._committer = committer

    def list(self, actor: Actor, *, query: str | None = None, limit: int = LIMIT, cursor: str | None = None) -> Page:
        """Segments in key order; `query` is found in key or name."""
        raise NotImplementedError

    def get(self, actor: Actor, segment: str) -> dict[str, Any]:
        """Raises NotFound."""
        raise NotImplementedError

    def create(self, actor: Actor, document: dict[str, Any], *, operation: str | None = None) -> dict[str, Any]:
        """Raises AlreadyExists, Invalid (also for an unknown segment inside, or a cycle), Forbidden."""
        raise NotImplementedError

    def replace(
        self,
        actor: Actor,
        segment: str,
        document: dict[str, Any],
        *,
        if_match: int | None = None,
        operation: str | None = None,
    ) -> tuple[dict[str, Any], bool]:
        """The whole segment anew; True when that created it. Raises VersionMismatch, Invalid, Forbidden."""
        raise NotImplementedError

    def delete(self, actor: Actor, segment: str, *, if_match: int | None = None, operation: str | None = None) -> None:
        """Raises NotFound, VersionMismatch, InUse, Forbidden."""
        raise NotImplementedError
