"""Kill and restore, one flag or many. A kill is never held up: no version, no approval, no contention with others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, astuple, dataclass, field, replace
from typing import Any

from downhaul_server.services.actors import Action, Actor, authorize, home
from downhaul_server.services.commit import KILL_PATIENCE_S, Committer, Plan, Planner
from downhaul_server.services.documents import existing, now
from downhaul_server.services.errors import Invalid
from downhaul_server.services.flag_forms import kill_revision, state_of, with_state
from downhaul_server.services.holding import Held, held_by
from downhaul_server.services.references import name_of
from downhaul_server.services.selection import Selected, Selection
from downhaul_server.store import Document, View


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
    durability: Held | None = field(default=None, compare=False)
    """How safe the change is; None when there was nothing to do."""

    @property
    def touches(self) -> tuple[tuple[str, str], ...]:
        """The (service, environment) pairs whose instances are concerned."""
        return tuple(sorted({(name.partition("/")[0], self.environment) for name in self.flags}))

    def to_json(self) -> dict[str, Any]:
        """As the API answers it."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


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
        switch = _Switch(Action.KILL, actor, self._place(actor, environment), reason)
        return self._one(switch, service, flag, operation)

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
        switch = _Switch(Action.RESTORE, actor, self._place(actor, environment), reason)
        return self._one(switch, service, flag, operation)

    def plan_restore(self, actor: Actor, service: str, flag: str, environment: str, reason: str | None) -> Planner:
        """What `restore` would commit. Raises Forbidden and Invalid at once, all else when it is planned."""
        switch = _Switch(Action.RESTORE, actor, environment, reason)
        switch.authorize(service)
        return lambda view: switch.plan(view, _single(view, service, flag))

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

        What is named must be in the actor's scope; what a tag alone selects is left out when it is not.
        Raises Invalid without any selector, NotFound when nothing at all matches, Forbidden, Unavailable.
        """
        switch = _Switch(Action.KILL, actor, self._place(actor, environment), reason)
        return self._many(switch, Selection(tuple(services), tuple(tags), tuple(flags)), operation)

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
        switch = _Switch(Action.RESTORE, actor, self._place(actor, environment), reason)
        return self._many(switch, Selection(tuple(services), tuple(tags), tuple(flags)), operation)

    def _place(self, actor: Actor, environment: str | None) -> str:
        return environment or home(actor, self._default_environment)

    def _one(self, switch: _Switch, service: str, flag: str, operation: str | None) -> Killed:
        switch.authorize(service)
        return self._turn(switch, lambda view: _single(view, service, flag), (service, flag), operation)

    def _many(self, switch: _Switch, selection: Selection, operation: str | None) -> Killed:
        selection.check()
        switch.authorize(*selection.named_services())
        return self._turn(switch, lambda view: selection.of(view, switch.may), astuple(selection), operation)

    def _turn(
        self, switch: _Switch, select: Callable[[View], Selected], which: tuple[Any, ...], operation: str | None
    ) -> Killed:
        request = (switch.action, switch.environment, switch.reason, which)
        outcome = self._committer.run(
            switch.actor,
            lambda view: switch.plan(view, select(view)),
            request=request,
            operation=operation,
            patience=KILL_PATIENCE_S,
        )
        result = dict(outcome.result)
        standing = result.pop("standing")
        if outcome.committed:
            made = _killed(outcome.committed.revision, outcome.committed.committed_at, result)
            return replace(made, durability=held_by(outcome.committed))
        revision, since = standing
        return _killed(revision, self._committer.committed_at(revision, since), result)


@dataclass(frozen=True, slots=True)
class _Switch:
    """One request to kill or to restore."""

    action: Action
    actor: Actor
    environment: str
    reason: str | None

    @property
    def kills(self) -> bool:
        return self.action is Action.KILL

    def may(self, service: str) -> bool:
        """Whether the actor may do it in this service."""
        return self.actor.reaches(service, self.environment, self.action)

    def authorize(self, *services: str) -> None:
        """Raises Forbidden, and Invalid for a restore without a reason."""
        authorize(self.actor, self.action, environment=self.environment)
        for service in services:
            authorize(self.actor, self.action, service, self.environment)
        if not self.kills and not (self.reason or "").strip():
            raise Invalid.at("reason", message="a restore needs a reason")

    def plan(self, view: View, selected: Selected) -> Plan:
        """Everything in one commit, whatever else is going on: it depends on nothing but the flags themselves."""
        place = existing(view, "environment", self.environment)
        todo = [flag for flag in selected.flags if self._is_killed(flag) != self.kills]
        unchanged = [flag for flag in selected.flags if self._is_killed(flag) == self.kills]
        return Plan(
            action=f"flag.{self.action}",
            writes={flag.address: self._switched(flag) for flag in todo},
            touches=tuple(sorted({(flag.body["service"], self.environment) for flag in todo})),
            expect={place.address: place.version},
            alone=False,
            reason=self.reason,
            result={
                "environment": self.environment,
                "flags": [name_of(flag) for flag in selected.flags],
                "changed": bool(todo),
                "unchanged": [name_of(flag) for flag in unchanged],
                "not_found": list(selected.not_found),
                "standing": max(map(self._standing, unchanged), default=None) if not todo else None,
            },
        )

    def _is_killed(self, flag: Document) -> bool:
        return state_of(flag.body, self.environment)["killed"] is not None

    def _switched(self, flag: Document) -> dict[str, Any]:
        mark = {"at": now(), "by": self.actor.name, "reason": self.reason} if self.kills else None
        return with_state(flag, self.environment, state_of(flag.body, self.environment) | {"killed": mark})

    def _standing(self, flag: Document) -> tuple[int, str]:
        """Revision and time of what made the flag as wanted: its kill, else its last change."""
        if self.kills:
            return kill_revision(flag, self.environment), state_of(flag.body, self.environment)["killed"]["at"]
        return flag.version, flag.body["updated_at"]


def _single(view: View, service: str, flag: str) -> Selected:
    existing(view, "service", service)
    return Selected((existing(view, "flag", service, flag),))


def _killed(revision: int, committed_at: str, result: dict[str, Any]) -> Killed:
    known: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in result.items()}
    return Killed(revision, committed_at, **known)
