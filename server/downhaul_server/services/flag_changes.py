"""What a client wants a flag to be, turned into what is stored; refused unless every part of it makes sense."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from downhaul.engine import decode_definition, decode_state

from downhaul_server.services import metadata, nesting, references, rollout
from downhaul_server.services.actors import ALL, Action, Actor, authorize
from downhaul_server.services.documents import READ_ONLY, check_fields, check_same, copied, refusing, same_json, stamped
from downhaul_server.services.errors import Invalid, Path
from downhaul_server.services.flag_forms import (
    CLIENT,
    DEFINITION,
    FIELDS,
    STATE,
    comparable,
    complete,
    default_state,
    definition_of,
    engine_state,
    plain_rules,
    remembering_kills,
    state_of,
    with_state,
)
from downhaul_server.services.names import address
from downhaul_server.store import Document, View

SHORT_STATE = (*STATE, "rollout", "by")

Body = Mapping[str, Any]


def build(view: View, document: Body, service: str, key: str, before: Document | None) -> dict[str, Any]:
    """The flag to be stored for a client's whole document. Raises Invalid, and InUse for a variant that others need."""
    check_fields(document, FIELDS | READ_ONLY)
    check_same(document, service=service, key=key)
    flag = complete(document, service, key, before)
    metadata.check(flag)
    with refusing():
        definition = decode_definition(definition_of(flag))
    flag["environments"] = _states(view, flag, document.get("environments") or {}, before)
    for environment, state in flag["environments"].items():
        path: Path = ("environments", environment)
        with refusing():
            decode_state(engine_state(state), definition, path)
        references.check_segments(view, references.segments_of_state(state, path))
    references.check_requires(view, flag)
    nesting.check_requirements(view, flag)
    if before is not None:
        references.check_dependents(view, before, flag["variants"])
    return stamped(flag, before)


def _states(view: View, flag: Body, given: Body, before: Document | None) -> dict[str, Any]:
    """The states to be stored: those given, under the kills that stand."""
    standing = remembering_kills(before)["environments"] if before else {}
    killed = {environment: state["killed"] for environment, state in standing.items() if state["killed"]}
    for environment, state in given.items():
        if view.get(address("environment", environment)) is None:
            raise Invalid.at("environments", environment, message=f"there is no environment {environment}")
        check_fields(state, STATE, ("environments", environment))
        check_killed(state, killed.get(environment), ("environments", environment))
    return {
        environment: default_state(flag) | _set(given.get(environment, {})) | {"killed": killed.get(environment)}
        for environment in (*given, *(killed.keys() - given.keys()))
    }


def _set(state: Body) -> dict[str, Any]:
    """A copy of what a client has set; null is nothing."""
    given = {name: copied(value) for name, value in state.items() if value is not None}
    return given | {"rules": plain_rules(given["rules"])} if "rules" in given else given


def check_killed(state: Body, standing: Body | None, path: Path = ()) -> None:
    """Raises Invalid for an edit that would kill. Whatever else it says of `killed` is ignored: the kill stands."""
    if state.get("killed") is not None and standing is None:
        raise Invalid.at(*path, "killed", message="is set by a kill only, never by an edit")


def change_state(view: View, before: Document, environment: str, changes: Body) -> dict[str, Any]:
    """The flag to be stored when one state changes. Raises Invalid with paths into `changes`."""
    check_fields(changes, SHORT_STATE)
    standing = state_of(remembering_kills(before), environment)
    check_killed(changes, standing["killed"])
    spelled = rollout.expand(_set(changes), before.body, standing["otherwise"])
    state = standing | spelled | {"killed": standing["killed"]}
    # A rollout's client knows nothing of `otherwise`, into which it was spelled out.
    with refusing(hide="otherwise" if "rollout" in changes else None):
        decode_state(engine_state(state), decode_definition(definition_of(before.body)))
    references.check_segments(view, references.segments_of_state(state))
    return with_state(before, environment, state)


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs between a flag before and after."""

    metadata: bool
    exposure: bool
    """Whether clients may evaluate it."""
    definition: bool
    environments: tuple[str, ...]

    def __bool__(self) -> bool:
        return self.metadata or self.exposure or self.definition or bool(self.environments)

    def authorize(self, actor: Actor, service: str) -> None:
        """Raises Forbidden. What is the same in every environment is for those who reach every one."""
        if self.metadata or self.exposure or self.definition:
            authorize(actor, Action.EDIT, service, ALL)
        for environment in self.environments:
            authorize(actor, Action.EDIT, service, environment)

    def touches(self, service: str) -> tuple[tuple[str, str], ...]:
        """Whose evaluations it changes: nobody's when only the description or the like differs."""
        if self.definition or self.exposure:
            return ((service, ALL),)
        return tuple((service, environment) for environment in self.environments)


def difference(before: Body, after: Body) -> Difference:
    """Of two stored flags."""
    environments = sorted(before["environments"].keys() | after["environments"].keys())
    one, other = comparable(before, environments), comparable(after, environments)
    changed = {name for name in one if not same_json(one[name], other[name])}
    return Difference(
        metadata=not changed <= {*DEFINITION, CLIENT, "environments"},
        exposure=CLIENT in changed,
        definition=not changed.isdisjoint(DEFINITION),
        environments=tuple(
            name for name in environments if not same_json(one["environments"][name], other["environments"][name])
        ),
    )
