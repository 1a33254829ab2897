"""Services and environments. Document: `{key, name}`; answers add `version`, `created_at`, `updated_at`."""

from __future__ import annotations

from typing import Any

from downhaul_server.services.actors import Actor
from downhaul_server.services.commit import Committer
from downhaul_server.services.pages import LIMIT, Page


class Catalog:
    """What flags belong to. Everybody reads what their scope covers; administrators change it."""

    def __init__(self, committer: Committer, default_environment: str) -> None:
        self._committer = committer
        self._default_environment = default_environment

    def list_services(
        self, actor: Actor, *, query: str | None = None, limit: int = LIMIT, cursor: str | None = None
    ) -> Page:
        """Services in key order; only those of the actor's scope."""
        raise NotImplementedError

    def get_service(self, actor: Actor, service: str) -> dict[str, Any]:
        """Raises NotFound, Forbidden."""
        raise NotImplementedError

    def create_service(self, actor: Actor, document: dict[str, Any], *, operation: str | None = None) -> dict[str, Any]:
        """`name` defaults to the key. Raises AlreadyExists, Invalid, Forbidden."""
        raise NotImplementedError

    def patch_service(
        self,
        actor: Actor,
        service: str,
        changes: dict[str, Any],
        *,
        if_match: int | None = None,
        operation: str | None = None,
    ) -> dict[str, Any]:
        """Change its name. Raises NotFound, VersionMismatch, Invalid, Forbidden."""
        raise NotImplementedError

    def delete_service(
        self, actor: Actor, service: str, *, if_match: int | None = None, operation: str | None = None
    ) -> None:
        """Raises NotFound, VersionMismatch, InUse (it has flags), Forbidden."""
        raise NotImplementedError

    def list_environments(
        self, actor: Actor, *, query: str | None = None, limit: int = LIMIT, cursor: str | None = None
    ) -> Page:
        """Environments in key order; only those of the actor's scope."""
        raise NotImplementedError

    def get_environment(self, actor: Actor, environment: str) -> dict[str, Any]:
        """Raises NotFound, Forbidden."""
        raise NotImplementedError

    def create_environment(
        self, actor: Actor, document: dict[str, Any], *, operation: str | None = None
    ) -> dict[str, Any]:
        """Every flag is off there. Raises AlreadyExists, Invalid, Forbidden."""
        raise NotImplementedError

    def patch_environment(
        self,
        actor: Actor,
        environment: str,
        changes: dict[str, Any],
        *,
        if_match: int | None = None,
        operation: str | None = None,
    ) -> dict[str, Any]:
        """Change its name. Raises NotFound, VersionMismatch, Invalid, Forbidden."""
        raise NotImplementedError

    def delete_environment(
        self, actor: Actor, environment: str, *, if_match: int | None = None, operation: str | None = None
    ) -> None:
        """With every flag's state in it. Raises NotFound, VersionMismatch, InUse (keys name it, or it is the default
        environment), Forbidden."""
        raise NotImplementedError
