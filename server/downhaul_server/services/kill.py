"""Kill and restore, one flag or many. A kill is never held up: no version, no approval, no contention with others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from downhaul_server.services.actors import Actor
from downhaul_server.services.commit import Committer


@dataclass(frozen=True, slots=True)
class Killed:
    """The answer to a kill or a restore."""

    revision: int
    """Of the commit; of the standing kill when there was nothing to do."""
    committed_at: str
    """RFC 3339, UTC."""
    environment: str
    flags: tuple[str, ...]
    """`service/key` of every flag that was meant, whether it had to be changed or not."""
    changed: bool
    """False when all of them were as wanted already."""
    unchanged: tuple[str, ...] = ()
    """Those of `flags` that were as wanted already."""
    not_found: tuple[str, ...] = ()
    """Named flags and services that do not exist; the others were killed all the same."""

    def to_json(self) -> dict[str, Any]:
        """As the API answers it."""
        raise NotImplementedError


class Kill:
    """`environment` defaults to the token's only one, else the server's default environment."""

    def __init__(self, committer: Committer, default_environment: str) -> None:
        self._committer = committer
        self._default_environment = default_environment

    def kill(
        self,
        actor: Actor,
        service: str,
        flag: str,
        *,
        environment: str | None = None,
        reason: str | None = None,
        operation: str | None = None,
    ) -> Killed:
        """Raises NotFound, Forbidden, Unavailable."""
        raise NotImplementedError

    def restore(
        self,
        actor: Actor,
        service: str,
        flag: str,
        *,
        environment: str | None = None,
        reason: str | None = None,
        operation: str | None = None,
    ) -> Killed:
        """Raises Invalid without a reason, NotFound, Forbidden, Unavailable."""
        raise NotImplementedError

    def kill_many(
        self,
        actor: Actor,
        *,
        environment: str | None = None,
        services: Sequence[str] = (),
        tags: Sequence[str] = (),
        flags: Sequence[str] = (),
        reason: str | None = None,
        operation: str | None = None,
    ) -> Killed:
        """In one commit: the flags of any of `services` with any of `tags` (both, when both are given), plus `flags`.

        Raises Invalid without any selector, NotFound when nothing at all matches, Forbidden, Unavailable.
        """
        raise NotImplementedError

    def restore_many(
        self,
        actor: Actor,
        *,
        environment: str | None = None,
        services: Sequence[str] = (),
        tags: Sequence[str] = (),
        flags: Sequence[str] = (),
        reason: str | None = None,
        operation: str | None = None,
    ) -> Killed:
        """Like `kill_many`, with a reason."""
        raise NotImplementedError
