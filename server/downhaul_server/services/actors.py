"""Who acts, and what each may do: one table of roles and actions, and a scope of services and environments."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from downhaul_server.services.errors import Forbidden

ALL = "*"
EVERYTHING = frozenset({ALL})


class Action(StrEnum):
    """What can be done; a role either may or may not."""

    READ = "read"
    KILL = "kill"
    DRILL = "drill"
    """Kill and restore the one flag that is made for it."""
    RESTORE = "restore"
    EDIT = "edit"
    """Flags and segments."""
    CATALOG = "catalog"
    """Services and environments."""
    KEYS = "keys"
    """See, make and revoke keys."""


_VIEWER = frozenset({Action.READ})
_OPERATOR = _VIEWER | {Action.KILL, Action.DRILL}
_EDITOR = _OPERATOR | {Action.RESTORE, Action.EDIT}
_ADMIN = _EDITOR | {Action.CATALOG, Action.KEYS}

ROLES = MappingProxyType(
    {"viewer": _VIEWER, "operator": _OPERATOR, "editor": _EDITOR, "approver": _EDITOR, "admin": _ADMIN}
)
"""Role -> the actions that it may do, from the least to the most mighty. (Approvals are not built yet.)"""


@dataclass(frozen=True, slots=True)
class Actor:
    """A person or a pipeline, by the token that it holds."""

    name: str
    """As the log records it: `admin` for the bootstrap administrator, else the token's name."""
    kind: str
    """`admin` (bootstrap) or `token`."""
    role: str
    services: frozenset[str] = EVERYTHING
    environments: frozenset[str] = EVERYTHING
    token_id: str | None = None
    """Id of the key document; None for the bootstrap administrator."""
    expires: str | None = None
    """When its token ends (RFC 3339); None: never."""
    secret: bytes | None = field(default=None, repr=False, compare=False)
    """Derived from the token it came with. Lets a retried request for a key be answered like the first."""

    def to_json(self) -> dict[str, Any]:
        """What the log keeps."""
        return {"name": self.name, "kind": self.kind, "role": self.role, "token": self.token_id}

    def may(self, action: Action) -> bool:
        """Whether its role allows it, somewhere."""
        return action in ROLES[self.role]

    def reaches(self, service: str | None = None, environment: str | None = None) -> bool:
        """Whether its scope covers the service and the environment (`*`: all of them; None: not asked)."""
        return _covers(self.services, service) and _covers(self.environments, environment)


@dataclass(frozen=True, slots=True)
class SdkKey:
    """An instance, by its SDK key: one environment, and the services that it may read."""

    id: str
    name: str
    environment: str
    services: frozenset[str]

    def reaches(self, service: str) -> bool:
        """Whether it may read the service."""
        return _covers(self.services, service)


def authorize(actor: Actor, action: Action, service: str | None = None, environment: str | None = None) -> None:
    """Raises Forbidden, saying which of role, service and environment is missing."""
    if not actor.may(action):
        raise Forbidden(f"the role {actor.role} of {actor.name} does not allow to {_PHRASES[action]}")
    if not _covers(actor.services, service):
        raise Forbidden(f"the token of {actor.name} is not for {_scope('service', service)}")
    if not _covers(actor.environments, environment):
        raise Forbidden(f"the token of {actor.name} is not for {_scope('environment', environment)}")


def home(actor: Actor, default: str) -> str:
    """The environment that an actor means who names none: its token's only one, else the server's default."""
    (only,) = actor.environments if len(actor.environments) == 1 else (ALL,)
    return default if only == ALL else only


def _covers(scope: frozenset[str], wanted: str | None) -> bool:
    return wanted is None or ALL in scope or wanted in scope


def _scope(kind: str, wanted: str | None) -> str:
    return f"every {kind}" if wanted == ALL else f"the {kind} {wanted}"


_PHRASES = {
    Action.READ: "read",
    Action.KILL: "kill flags",
    Action.DRILL: "run drills",
    Action.RESTORE: "restore flags",
    Action.EDIT: "change flags and segments",
    Action.CATALOG: "change services and environments",
    Action.KEYS: "see, make or revoke keys",
}
