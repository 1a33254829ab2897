"""What a review is about, and what it would do: the change, worked out by the service that makes such changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from downhaul_server.services.actors import Actor, home
from downhaul_server.services.catalog import Catalog
from downhaul_server.services.commit import Plan, Planner
from downhaul_server.services.documents import same_json
from downhaul_server.services.errors import Invalid
from downhaul_server.services.flag_forms import DEFINITION, comparable
from downhaul_server.services.flags import Flags
from downhaul_server.services.kill import Kill
from downhaul_server.services.names import address
from downhaul_server.services.protection import DEFAULTS, affected
from downhaul_server.services.references import segments_closure, segments_in, segments_of_state
from downhaul_server.services.segments import Segments
from downhaul_server.store import View

Body = Mapping[str, Any]

CHANGES = {
    "flag": ("state", "replace", "patch", "delete", "restore"),
    "segment": ("replace",),
    "environment": ("patch", "delete"),
}
"""What can be asked for, by what it is asked of. (A new segment, and one that goes, are used by nobody.)"""
IN_ONE_ENVIRONMENT = ("state", "restore")


@dataclass(frozen=True, slots=True)
class Subject:
    """A change, and what it is of."""

    service: str | None
    flag: str | None
    segment: str | None
    environment: str | None
    """Of a state or a restore; or itself what is to be changed."""
    change: Body

    @classmethod
    def of(cls, document: Body, actor: Actor, default_environment: str) -> Subject:
        """As a client names it. Raises Invalid."""
        service, flag, segment = document.get("service"), document.get("flag"), document.get("segment")
        environment, change = document.get("environment"), document.get("change")
        if (flag is None) is not (service is None) or (flag is not None and segment is not None):
            raise Invalid.at(message="expected service and flag, or segment, or only an environment")
        kind = "flag" if flag is not None else "segment" if segment is not None else "environment"
        verb = _verb(kind, change)
        if kind == "flag" and verb in IN_ONE_ENVIRONMENT:
            environment = environment or home(actor, default_environment)
        elif kind != "environment" and environment is not None:
            raise Invalid.at("environment", message=f"{verb} is for every environment: leave it out")
        elif kind == "environment" and environment is None:
            raise Invalid.at(message="expected service and flag, or segment, or an environment")
        return cls(service, flag, segment, environment, dict(change or {}))

    @property
    def verb(self) -> str:
        """`state`, `replace`, ..."""
        return next(iter(self.change))

    @property
    def address(self) -> str:
        """Of the document that is to be changed."""
        if self.flag is not None and self.service is not None:
            return address("flag", self.service, self.flag)
        if self.segment is not None:
            return address("segment", self.segment)
        return address("environment", str(self.environment))

    @property
    def in_words(self) -> str:
        """`the flag checkout/new-checkout in production`."""
        kind, _, name = self.address.partition("/")
        place = f" in {self.environment}" if self.verb in IN_ONE_ENVIRONMENT else ""
        return f"the {kind} {name}{place}"

    def to_json(self) -> dict[str, Any]:
        """As a review keeps it."""
        return {
            "service": self.service,
            "flag": self.flag,
            "segment": self.segment,
            "environment": self.environment,
            "change": self.change,
        }


def _verb(kind: str, change: Any) -> str:
    choices = CHANGES[kind]
    if not isinstance(change, Mapping) or len(change) != 1 or next(iter(change)) not in choices:
        raise Invalid.at("change", message=f"expected one of {', '.join(choices)}, for {_a(kind)}")
    verb = str(next(iter(change)))
    if verb in ("delete", "restore") and change[verb] is not True:
        raise Invalid.at("change", verb, message="expected true")
    if verb not in ("delete", "restore") and not isinstance(change[verb], Mapping):
        raise Invalid.at("change", verb, message="expected an object")
    return verb


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


@dataclass(frozen=True, slots=True)
class Picture:
    """What a change does to a view, as far as it concerns whoever approves it."""

    plan: Plan
    before: Body | None
    after: Body | None
    """None where there is no document. Of a change in one environment: the definition, and the state there."""
    version: int
    environments: tuple[str, ...]
    """In which what is evaluated changes, more than by switching off."""
    segments: Body
    """The conditions of the segments that rules name, before or after: whoever approves a rule, approves those."""

    def same_as(self, review: Body) -> bool:
        """Whether a review shows exactly this."""
        return (
            same_json(self.before, review["before"])
            and same_json(self.after, review["after"])
            and same_json(self.segments, review["segments"])
            and {*self.environments} <= {*review["environments"]}
        )


class Subjects:
    """Works changes out, with the services whose changes they are."""

    def __init__(self, flags: Flags, segments: Segments, kill: Kill, catalog: Catalog) -> None:
        self._flags = flags
        self._segments = segments
        self._kill = kill
        self._catalog = catalog

    def planner(self, actor: Actor, subject: Subject, reason: str) -> Planner:
        """What the actor's change would commit. Raises Forbidden and Invalid at once, all else when it is planned."""
        asked = subject.change[subject.verb]
        if subject.segment is not None:
            return self._segments.plan_replace(actor, subject.segment, asked, reason=reason)
        if subject.flag is None or subject.service is None:
            return self._of_environment(actor, subject, reason)
        where = (actor, subject.service, subject.flag)
        match subject.verb:
            case "state":
                return self._flags.plan_state(*where, str(subject.environment), asked, reason=reason)
            case "replace":
                return self._flags.plan_replace(*where, asked, reason=reason)
            case "patch":
                return self._flags.plan_patch(*where, asked, reason=reason)
            case "delete":
                return self._flags.plan_delete(*where, reason=reason)
            case _:
                return self._kill.plan_restore(*where, str(subject.environment), reason)

    def _of_environment(self, actor: Actor, subject: Subject, reason: str) -> Planner:
        environment = str(subject.environment)
        if subject.verb == "delete":
            return self._catalog.plan_delete_environment(actor, environment, reason=reason)
        return self._catalog.plan_environment(actor, environment, subject.change["patch"], reason=reason)

    def picture(self, view: View, actor: Actor, subject: Subject, reason: str) -> Picture:
        """Raises what the services raise, with paths into the review: `/change/state/rules/0`."""
        try:
            plan = self.planner(actor, subject, reason)(view)
        except Invalid as error:
            raise Invalid([(("change", subject.verb, *path), message) for path, message in error.errors]) from None
        standing = view.get(subject.address)
        before = standing.body if standing else None
        after = plan.writes.get(subject.address, before)
        environments = [document.key for document in view.of_kind("environment/")]
        shown = [shown_of(subject, body, environments) for body in (before, after)]
        return Picture(
            plan=plan,
            before=shown[0],
            after=shown[1],
            version=standing.version if standing else 0,
            environments=tuple(affected(view, plan.writes, environments)),
            segments=segments_closure(view, sorted(_segments_of(*shown))),
        )


def shown_of(subject: Subject, body: Body | None, environments: list[str]) -> dict[str, Any] | None:
    """What a review shows of a stored document."""
    if body is None:
        return None
    if subject.segment is not None:
        return {name: body[name] for name in ("key", "name", "when")}
    if subject.flag is None:
        return {"key": body["key"], "name": body["name"], **DEFAULTS, **{n: body[n] for n in DEFAULTS if n in body}}
    if subject.verb not in IN_ONE_ENVIRONMENT:
        return comparable(body, environments)
    whole = comparable(body, [str(subject.environment)])
    return {name: whole[name] for name in ("service", "key", *DEFINITION, "environments")}


def _segments_of(*shown: Body | None) -> set[str]:
    found: set[str] = set()
    for body in shown:
        for state in (body or {}).get("environments", {}).values():
            found.update(key for _, key in segments_of_state(state))
        if body and "when" in body:
            found.update(key for _, key in segments_in(body["when"]))
    return found
