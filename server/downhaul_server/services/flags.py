"""Flags: list, read, create, replace, patch, delete, and change one state."""

from __future__ import annotations

from typing import Any

from downhaul_server.services.actors import Actor
from downhaul_server.services.commit import Committer
from downhaul_server.services.pages import LIMIT, Page


class Flags:
    """Documents are in the API's form, every environment filled in, with `version`, `created_at` and `updated_at`.

    Read-only parts that are sent back (`version`, times, `killed`) are ignored: an edit never lifts a kill. Only an
    attempt to set `killed` is Invalid, so that nobody believes to have killed by an edit.
    """

    def __init__(self, committer: Committer, default_environment: str) -> None:
        self._committer = committer
        self._default_environment = default_environment

    def list(
        self,
        actor: Actor,
        service: str,
        *,
        tag: str | None = None,
        state: str | None = None,
        environment: str | None = None,
        query: str | None = None,
        owner: str | None = None,
        purpose: str | None = None,
        limit: int = LIMIT,
        cursor: str | None = None,
    ) -> Page:
        """Flags in key order. `state`: on | off | killed | partly (on, but not the same for all), in `environment`."""
        raise NotImplementedError

    def get(self, actor: Actor, service: str, flag: str) -> dict[str, Any]:
        """One flag. Raises NotFound, Forbidden."""
        raise NotImplementedError

    def create(
        self, actor: Actor, service: str, document: dict[str, Any], *, operation: str | None = None
    ) -> dict[str, Any]:
        """A new flag; `document["key"]` names it. Raises NotFound (service), AlreadyExists, Invalid, Forbidden."""
        raise NotImplementedError

    def replace(
        self,
        actor: Actor,
        service: str,
        flag: str,
        document: dict[str, Any],
        *,
        if_match: int | None = None,
        operation: str | None = None,
    ) -> tuple[dict[str, Any], bool]:
        """The whole flag anew (salt and kills are kept); True when that created it.

        Raises NotFound, VersionMismatch, Invalid, InUse (a variant that another flag requires), Forbidden.
        """
        raise NotImplementedError

    def patch(
        self,
        actor: Actor,
        service: str,
        flag: str,
        changes: dict[str, Any],
        *,
        if_match: int | None = None,
        operation: str | None = None,
    ) -> dict[str, Any]:
        """RFC 7396 merge patch. Raises like `replace`."""
        raise NotImplementedError

    def delete(
        self, actor: Actor, service: str, flag: str, *, if_match: int | None = None, operation: str | None = None
    ) -> None:
        """Raises NotFound, VersionMismatch, InUse (another flag requires it), Forbidden."""
        raise NotImplementedError

    def set_state(
        self,
        actor: Actor,
        service: str,
        flag: str,
        environment: str,
        changes: dict[str, Any],
        *,
        if_match: int | None = None,
        reason: str | None = None,
        operation: str | None = None,
    ) -> dict[str, Any]:
        """Any of `on`, `rules`, `otherwise`, or `rollout` (percent) with `by`, in one environment; gives the flag.

        `by` defaults to what the flag is split by already, else `user`: leave it out when the client did.
        """
        raise NotImplementedError
