"""Grants of people: their form, and that nobody gives more than they have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from downhaul_server.services.actors import ALL, ROLES, Action, Actor, Grant
from downhaul_server.services.documents import check_fields
from downhaul_server.services.errors import Forbidden, Invalid, Path
from downhaul_server.services.names import address
from downhaul_server.store import View

ROLES_OF_PEOPLE = tuple(role for role in ROLES if role != "killer")
"""`killer` is for tokens: whoever logs in can read."""
GRANTS_MAX = 100

Body = Mapping[str, Any]


def beyond(actor: Actor, grants: Iterable[Body]) -> str | None:
    """What somebody with these grants may do that the actor may not, as a sentence; None when there is nothing."""
    for granted in grants:
        if not any(_within(own, granted) for own in actor.grants if own.allows(Action.PEOPLE)):
            return f"{actor.name} may not give or change the role {granted['role']} for {_places(granted)}"
    return None


def _within(own: Grant, granted: Body) -> bool:
    reaches = all(
        ALL in scope or scope.issuperset(granted[kind])
        for kind, scope in (("services", own.services), ("environments", own.environments))
    )
    return reaches and ROLES[own.role] >= ROLES[granted["role"]]


def _places(granted: Body) -> str:
    parts = [
        f"every {kind[:-1]}" if ALL in granted[kind] else f"{kind} {', '.join(granted[kind])}"
        for kind in ("services", "environments")
    ]
    return " and ".join(parts)


def check_reach(actor: Actor, grants: Iterable[Body]) -> None:
    """Raises Forbidden when somebody with these grants may do more than the actor."""
    if reason := beyond(actor, grants):
        raise Forbidden(reason)


def check_giving(actor: Actor, grants: Sequence[Body]) -> None:
    """Raises Forbidden for what the actor may not give: more than they have, or for longer."""
    check_reach(actor, grants)
    if grants and actor.expires:
        raise Forbidden(f"the token of {actor.name} expires, and what a person is given does not")


def administers(grants: Iterable[Body]) -> bool:
    """Whether somebody with these grants may change people."""
    return any(Action.PEOPLE in ROLES[granted["role"]] for granted in grants)


def grants_checked(grants: Any) -> list[dict[str, Any]]:
    """With every scope written out. Raises Invalid."""
    if not isinstance(grants, list) or len(grants) > GRANTS_MAX:
        raise Invalid.at("grants", message=f"expected a list of at most {GRANTS_MAX} grants")
    return [_grant_checked(granted, ("grants", index)) for index, granted in enumerate(grants)]


def _grant_checked(granted: Any, path: Path) -> dict[str, Any]:
    if not isinstance(granted, Mapping):
        raise Invalid([(path, "expected an object with role, services, environments")])
    check_fields(granted, ("role", "services", "environments"), path)
    if granted.get("role") not in ROLES_OF_PEOPLE:
        raise Invalid([((*path, "role"), f"expected one of {', '.join(ROLES_OF_PEOPLE)}")])
    scopes = {kind: list(dict.fromkeys(granted.get(kind) or [ALL])) for kind in ("services", "environments")}
    return {"role": granted["role"]} | {kind: [ALL] if ALL in keys else keys for kind, keys in scopes.items()}


def check_scopes(view: View, grants: Iterable[Body]) -> None:
    """Raises Invalid for services and environments that are not there."""
    faults: list[tuple[Path, str]] = [
        (("grants", index, field, place), f"there is no {kind} {key}")
        for index, granted in enumerate(grants)
        for kind, field in (("service", "services"), ("environment", "environments"))
        for place, key in enumerate(granted[field])
        if key != ALL and view.get(address(kind, str(key))) is None
    ]
    if faults:
        raise Invalid(faults)
