"""Who acts, and what each may do: one table of roles and actions, granted for services and environments."""

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
    AUDIT = "audit"
    """Look whether anybody has tampered with the log, and who was refused."""
    APPROVE = "approve"
    """Another's change, where the environment demands it."""
    PEOPLE = "people"
    """See, add and change people, and end their sessions."""
    HOOKS = "hooks"
    """See, make and change webhooks."""


_VIEWER = frozenset({Action.READ})
_OPERATOR = _VIEWER | {Action.KILL, Action.DRILL}
_EDITOR = _OPERATOR | {Action.RESTORE, Action.EDIT}

ROLES = MappingProxyType(
    {
        "killer": frozenset({Action.KILL}),
        "viewer": _VIEWER,
        "operator": _OPERATOR,
        "editor": _EDITOR,
        "approver": _EDITOR | {Action.APPROVE},
        "admin": frozenset(Action),
    }
)
"""Role -> the actions that it may do, from the least to the most mighty. `killer`, for tokens, cannot even read."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A role, and where it holds."""

    role: str
    services: frozenset[str] = EVERYTHING
    environments: frozenset[str] = EVERYTHING

    def allows(self, action: Action) -> bool:
        """Whether its role may do it, where it holds."""
        return action in ROLES[self.role]

    def covers(self, service: str | None = None, environment: str | None = None) -> bool:
        """Whether it holds for the service and the environment (`*`: all of them; None: not asked)."""
        return _covers(self.services, service) and _covers(self.environments, environment)


@dataclass(frozen=True, slots=True)
class Actor:
    """A person or a pipeline, and what it was granted."""

    name: str
    """As the log records it: `admin` for the bootstrap administrator, else the token's or the person's name."""
    kind: str
    """`admin` (bootstrap), `token`, `person`, `link` (a kill link) or `system`."""
    grants: tuple[Grant, ...]
    """What one of them allows, is allowed; two are never added up to a third."""
    token_id: str | None = None
    """Id of the document that stands for it: of the key, the person or the kill link; None where there is none."""
    address: str | None = None
    """Where the request came from; None: from within."""
    expires: str | None = None
    """When its token ends (RFC 3339); None: never."""
    secret: bytes | None = field(default=None, repr=False, compare=False)
    """Derived from the token it came with. Lets a retried request for a key be answered like the first."""

    @classmethod
    def single(
        cls,
        name: str,
        kind: str,
        role: str,
        services: frozenset[str] = EVERYTHING,
        environments: frozenset[str] = EVERYTHING,
        **more: Any,
    ) -> Actor:
        """One with one grant."""
        return cls(name, kind, (Grant(role, services, environments),), **more)

    @property
    def role(self) -> str:
        """The mightiest that it was granted, anywhere."""
        granted = {grant.role for grant in self.grants}
        return next((role for role in reversed(ROLES) if role in granted), "nobody")

    def to_json(self) -> dict[str, Any]:
        """What the log keeps."""
        return {
            "name": self.name,
            "kind": self.kind,
            "role": self.role,
            "token": self.token_id,
            "address": self.address,
        }

    def may(self, action: Action) -> bool:
        """Whether it is allowed, somewhere."""
        return any(grant.allows(action) for grant in self.grants)

    def reaches(self, service: str | None = None, environment: str | None = None, action: Action = Action.READ) -> bool:
        """Whether it is allowed there (`*`: in all of them; None: not asked)."""
        return any(grant.allows(action) and grant.covers(service, environment) for grant in self.grants)


@dataclass(frozen=True, slots=True)
class EnvironmentKey:
    """Who evaluates flags, by a key: for one environment, and the services that it names."""

    id: str
    name: str
    environment: str
    services: frozenset[str]
    mark: str = field(default="", repr=False)
    """Tells its two tokens apart, while a rotation lasts."""

    def reaches(self, service: str) -> bool:
        """Whether it is for the service."""
        return _covers(self.services, service)


class SdkKey(EnvironmentKey):
    """An instance. It may read whole snapshots, and evaluate every flag."""

    __slots__ = ()


class ClientKey(EnvironmentKey):
    """A browser, or whoever has looked into one: the key is no secret. It may evaluate the flags marked for clients."""

    __slots__ = ()


def authorize(actor: Actor, action: Action, service: str | None = None, environment: str | None = None) -> None:
    """Raises Forbidden, saying which of role, service and environment is missing."""
    able = [grant for grant in actor.grants if grant.allows(action)]
    if not able:
        raise Forbidden(f"the role {actor.role} of {actor.name} does not allow to {_PHRASES[action]}")
    there = [grant for grant in able if grant.covers(service)]
    if not there:
        raise Forbidden(_out_of_scope(actor, action, _scope("service", service)))
    if not any(grant.covers(service, environment) for grant in there):
        raise Forbidden(_out_of_scope(actor, action, _scope("environment", environment)))


def home(actor: Actor, default: str) -> str:
    """The environment that an actor means who names none: its only one, else the server's default."""
    places = frozenset[str]().union(*(grant.environments for grant in actor.grants))
    (only,) = places if len(places) == 1 else (ALL,)
    return default if only == ALL else only


def _covers(scope: frozenset[str], wanted: str | None) -> bool:
    return wanted is None or ALL in scope or wanted in scope


def _scope(kind: str, wanted: str | None) -> str:
    return f"every {kind}" if wanted == ALL else f"the {kind} {wanted}"


def _out_of_scope(actor: Actor, action: Action, scope: str) -> str:
    if actor.kind == "person":
        return f"{actor.name} may not {_PHRASES[action]} in {scope}"
    return f"the token of {actor.name} is not for {scope}"


_PHRASES = {
    Action.READ: "read",
    Action.KILL: "kill flags",
    Action.DRILL: "run drills",
    Action.RESTORE: "restore flags",
    Action.EDIT: "change flags and segments",
    Action.CATALOG: "change services and environments",
    Action.KEYS: "see, make or revoke keys",
    Action.AUDIT: "verify the log",
    Action.APPROVE: "approve changes",
    Action.PEOPLE: "see, add or change people",
    Action.HOOKS: "see, make or change webhooks",
}
