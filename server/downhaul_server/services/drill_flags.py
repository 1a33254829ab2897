"""The harmless flag that drills kill and restore, and what they write. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from downhaul_server.services.actors import ALL, Action, Actor
from downhaul_server.services.documents import existing, now
from downhaul_server.services.errors import Invalid, NotFound
from downhaul_server.services.flag_changes import build
from downhaul_server.services.flag_forms import state_of, with_state
from downhaul_server.services.names import address
from downhaul_server.store import Document, View

FLAG = "downhaul-drill"
PURPOSE, TAG = "ops", "drill"
DOCUMENT = {
    "key": FLAG,
    "type": "boolean",
    "purpose": PURPOSE,
    "tags": [TAG],
    "description": "Killed and restored by drills, which measure how long the fleet takes to obey. Nothing reads it.",
}

Writes = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Drill:
    """One of them, under way."""

    id: str
    actor: Actor
    environment: str
    services: tuple[str, ...]

    @property
    def reason(self) -> str:
        """What the log says, and what tells its kills from everybody else's."""
        return f"drill {self.id}"

    def prepare(self, view: View) -> Writes:
        """Make the flag where there is none; lift what an interrupted drill has left."""
        written = {}
        for service in self.services:
            flag = _flag(view, service)
            if flag is None:
                written[address("flag", service, FLAG)] = build(view, DOCUMENT, service, FLAG, None)
            elif _killed(flag, self.environment) and not fault(view, service):
                written[flag.address] = _switched(flag, self.environment, None)
        return written

    def kill(self, view: View) -> Writes:
        """All of them."""
        mark = {"at": now(), "by": self.actor.name, "reason": self.reason}
        return {
            flag.address: _switched(flag, self.environment, mark)
            for flag in self._flags(view)
            if not _killed(flag, self.environment)
        }

    def restore(self, view: View) -> Writes:
        """What this drill has killed, and nobody else."""
        return {
            flag.address: _switched(flag, self.environment, None)
            for flag in self._flags(view)
            if _killed(flag, self.environment).get("reason") == self.reason
        }

    def touches(self, view: View, written: Writes) -> tuple[tuple[str, str], ...]:
        """Whose snapshots that changes: a new flag's service has it everywhere."""
        return tuple(
            sorted((flag["service"], self.environment if view.get(where) else ALL) for where, flag in written.items())
        )

    def _flags(self, view: View) -> list[Document]:
        return [flag for service in self.services if (flag := _flag(view, service)) and not fault(view, service)]


def sorted_out(
    view: View, actor: Actor, environment: str, named: Sequence[str]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """The services to drill (all in scope where none is named), and those that cannot be drilled, each with the reason.

    Raises NotFound, and Invalid for a named one that cannot.
    """
    for service in named:
        existing(view, "service", service)
    chosen = list(dict.fromkeys(named)) or [
        document.key for document in view.of_kind("service/") if actor.reaches(document.key, environment, Action.DRILL)
    ]
    unfit = {service: why for service in chosen if (why := fault(view, service))}
    if named and unfit:
        raise Invalid([(("services", list(named).index(service)), why) for service, why in unfit.items()])
    fit = tuple(service for service in chosen if service not in unfit)
    if not fit:
        raise NotFound("service", "that can be drilled")
    return fit, unfit


def fault(view: View, service: str) -> str | None:
    """Why the service's flag of that name is none of ours."""
    flag = _flag(view, service)
    if flag is None or (
        flag.body["type"] == "boolean" and flag.body["purpose"] == PURPOSE and TAG in flag.body["tags"]
    ):
        return None
    return f"the flag {service}/{FLAG} is not a drill's: expected type boolean, purpose {PURPOSE}, tag {TAG}"


def _flag(view: View, service: str) -> Document | None:
    return view.get(address("flag", service, FLAG))


def _killed(flag: Document, environment: str) -> dict[str, Any]:
    return state_of(flag.body, environment)["killed"] or {}


def _switched(flag: Document, environment: str, mark: dict[str, Any] | None) -> dict[str, Any]:
    return with_state(flag, environment, state_of(flag.body, environment) | {"killed": mark})
