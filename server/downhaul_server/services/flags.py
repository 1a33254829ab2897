"""Flags: list, read, create, replace, patch, delete, and change one state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from downhaul_server.services.actors import ALL, Action, Actor, authorize, home
from downhaul_server.services.commit import Committer, Deleted, Outcome, Plan, Planner, Written
from downhaul_server.services.documents import check_version, existing
from downhaul_server.services.errors import AlreadyExists
from downhaul_server.services.flag_changes import build, change_state, difference
from downhaul_server.services.flag_forms import FIELDS, present, reach, state_of
from downhaul_server.services.merge import merge_patch, merge_serve
from downhaul_server.services.names import address, check_key
from downhaul_server.services.pages import LIMIT, Page, page_by_key
from downhaul_server.services.references import check_dependents, segments_of_state
from downhaul_server.store import Document, View


class Flags:
    """Documents are in the API's form, every environment filled in, with `version`, `created_at` and `updated_at`.

    Read-only parts that are sent back (`version`, times, `killed`) are ignored: an edit never lifts a kill. Only an
    attempt to set `killed` is Invalid, so that nobody believes to have killed by an edit.

    What is the same in every environment (all but the states) is changed only by those whose scope is every
    environment; an actor for some environments sees and changes the states of those.
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
        """Flags in key order. `state`: on | off | killed | partly (on, but not the same for all), in `environment`.

        `query` is found in key or description. Raises NotFound (service, environment), Forbidden.
        """
        place = environment or home(actor, self._default_environment)
        authorize(actor, Action.READ, service, place if environment or state else None)
        view = self._committer.view
        existing(view, "service", service)
        if environment:
            existing(view, "environment", environment)
        wanted = {"owner": owner, "purpose": purpose}

        def matching() -> Iterator[tuple[str, Document]]:
            for document in view.of_kind(f"flag/{service}/"):
                flag = document.body
                if (
                    (tag is None or tag in flag["tags"])
                    and all(value is None or flag[name] == value for name, value in wanted.items())
                    and (state is None or reach(state_of(flag, place)) == state)
                    and (query is None or query.lower() in f"{flag['key']}\n{flag['description']}".lower())
                ):
                    yield document.key, document

        return page_by_key(matching(), limit, cursor, lambda found: self._present(actor, found.body, found.version))

    def get(self, actor: Actor, service: str, flag: str) -> dict[str, Any]:
        """One flag. Raises NotFound, Forbidden."""
        authorize(actor, Action.READ, service)
        document = _flag(self._committer.view, service, flag)
        return self._present(actor, document.body, document.version)

    def create(
        self,
        actor: Actor,
        service: str,
        document: dict[str, Any],
        *,
        reason: str | None = None,
        operation: str | None = None,
    ) -> dict[str, Any]:
        """A new flag; `document["key"]` names it. Raises NotFound (service), AlreadyExists, Invalid, Forbidden."""
        authorize(actor, Action.EDIT, service, ALL)
        flag = check_key("flag", document.get("key"))

        def plan(view: View) -> Plan:
            existing(view, "service", service)
            if view.get(address("flag", service, flag)):
                raise AlreadyExists("flag", flag)
            return self._changing(actor, view, service, flag, document, "flag.create", reason)

        request = ("flag.create", service, document, reason)
        return self._written(actor, service, flag, plan, request, operation)[0]

    def replace(
        self,
        actor: Actor,
        service: str,
        flag: str,
        document: dict[str, Any],
        *,
        if_match: int | None = None,
        reason: str | None = None,
        operation: str | None = None,
    ) -> tuple[dict[str, Any], bool]:
        """The whole flag anew (salt and kills are kept); True when that created it.

        An environment that is left out is off again; one that is out of the actor's scope stays as it is.
        Raises NotFound, VersionMismatch, Invalid, InUse (a variant that another flag requires), Forbidden.
        """
        plan = self.plan_replace(actor, service, flag, document, if_match=if_match, reason=reason)
        request = ("flag.replace", service, flag, document, if_match, reason)
        return self._written(actor, service, flag, plan, request, operation)

    def plan_replace(
        self,
        actor: Actor,
        service: str,
        flag: str,
        document: dict[str, Any],
        *,
        if_match: int | None = None,
        reason: str | None = None,
    ) -> Planner:
        """What `replace` would commit. Raises Forbidden at once, all else when it is planned."""
        authorize(actor, Action.EDIT, service)

        def plan(view: View) -> Plan:
            existing(view, "service", service)
            before = view.get(address("flag", service, flag))
            check_version(before, if_match)
            check_key("flag", flag)
            beyond = {
                environment: state
                for environment, state in (before.body["environments"] if before else {}).items()
                if not actor.reaches(service, environment, Action.EDIT)
            }
            whole = document | {"environments": beyond | (document.get("environments") or {})}
            action = "flag.update" if before else "flag.create"
            return self._changing(actor, view, service, flag, whole, action, reason)

        return plan

    def patch(
        self,
        actor: Actor,
        service: str,
        flag: str,
        changes: dict[str, Any],
        *,
        if_match: int | None = None,
        reason: str | None = None,
        operation: str | None = None,
    ) -> dict[str, Any]:
        """RFC 7396 merge patch, but that `otherwise` never ends up as both a variant and a split. Raises like
        `replace`."""
        plan = self.plan_patch(actor, service, flag, changes, if_match=if_match, reason=reason)
        request = ("flag.patch", service, flag, changes, if_match, reason)
        return self._written(actor, service, flag, plan, request, operation)[0]

    def plan_patch(
        self,
        actor: Actor,
        service: str,
        flag: str,
        changes: dict[str, Any],
        *,
        if_match: int | None = None,
        reason: str | None = None,
    ) -> Planner:
        """What `patch` would commit. Raises Forbidden at once, all else when it is planned."""
        authorize(actor, Action.EDIT, service)

        def plan(view: View) -> Plan:
            before = _flag(view, service, flag)
            check_version(before, if_match)
            return self._changing(actor, view, service, flag, _patched(before, changes), "flag.update", reason)

        return plan

    def delete(
        self,
        actor: Actor,
        service: str,
        flag: str,
        *,
        if_match: int | None = None,
        reason: str | None = None,
        operation: str | None = None,
    ) -> Deleted:
        """Raises NotFound, VersionMismatch, InUse (another flag requires it), Forbidden."""
        plan = self.plan_delete(actor, service, flag, if_match=if_match, reason=reason)
        request = ("flag.delete", service, flag, if_match, reason)
        return self._committer.run(actor, plan, request=request, operation=operation).deleted

    def plan_delete(
        self, actor: Actor, service: str, flag: str, *, if_match: int | None = None, reason: str | None = None
    ) -> Planner:
        """What `delete` would commit. Raises Forbidden at once, all else when it is planned."""
        authorize(actor, Action.EDIT, service, ALL)

        def plan(view: View) -> Plan:
            before = _flag(view, service, flag)
            check_version(before, if_match)
            check_dependents(view, before, None)
            writes = {before.address: None}
            return Plan(action="flag.delete", writes=writes, touches=((service, ALL),), reason=reason)

        return plan

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
        Raises NotFound (also the environment), VersionMismatch, Invalid, Forbidden.
        """
        plan = self.plan_state(actor, service, flag, environment, changes, if_match=if_match, reason=reason)
        request = ("flag.state", service, flag, environment, changes, if_match, reason)
        return self._written(actor, service, flag, plan, request, operation)[0]

    def plan_state(
        self,
        actor: Actor,
        service: str,
        flag: str,
        environment: str,
        changes: dict[str, Any],
        *,
        if_match: int | None = None,
        reason: str | None = None,
    ) -> Planner:
        """What `set_state` would commit. Raises Forbidden at once, all else when it is planned."""
        authorize(actor, Action.EDIT, service, environment)

        def plan(view: View) -> Plan:
            before = _flag(view, service, flag)
            place = existing(view, "environment", environment)
            check_version(before, if_match)
            after = change_state(view, before, environment, changes)
            named = any(segments_of_state(after["environments"][environment]))
            changed = difference(before.body, after)
            return Plan(
                action="flag.state",
                writes={before.address: after} if changed else {},
                touches=changed.touches(service),
                expect={place.address: place.version},
                # Without segments it depends on nothing but the flag itself: others' changes need not be waited for.
                alone=named,
                reason=reason,
            )

        return plan

    def _changing(
        self,
        actor: Actor,
        view: View,
        service: str,
        flag: str,
        document: dict[str, Any],
        action: str,
        reason: str | None,
    ) -> Plan:
        before = view.get(address("flag", service, flag))
        after = build(view, document, service, flag, before)
        where = address("flag", service, flag)
        if before is None:
            authorize(actor, Action.EDIT, service, ALL)
            return Plan(action=action, writes={where: after}, touches=((service, ALL),), reason=reason)
        changed = difference(before.body, after)
        changed.authorize(actor, service)
        writes = {where: after} if changed else {}
        return Plan(action=action, writes=writes, touches=changed.touches(service), reason=reason)

    def _written(
        self,
        actor: Actor,
        service: str,
        flag: str,
        plan: Planner,
        request: tuple[Any, ...],
        operation: str | None,
    ) -> tuple[dict[str, Any], bool]:
        outcome: Outcome = self._committer.run(actor, plan, request=request, operation=operation)
        written: Written = self._committer.written(outcome, address("flag", service, flag))
        return self._present(actor, written.body, written.version), written.created

    def _present(self, actor: Actor, flag: Any, version: int) -> dict[str, Any]:
        environments = [document.key for document in self._committer.view.of_kind("environment/")]
        return present(flag, version, [key for key in environments if actor.reaches(flag["service"], key)])


def _flag(view: View, service: str, flag: str) -> Document:
    existing(view, "service", service)
    return existing(view, "flag", service, flag)


def _patched(before: Document, changes: dict[str, Any]) -> dict[str, Any]:
    """The whole flag that a patch means, as a client would send it."""
    whole = {name: before.body[name] for name in FIELDS if name in before.body}
    whole["variants"] = {name: whole["variants"][name] for name in before.body["order"]}
    merged = merge_patch(whole, changes)
    for environment, state in (changes.get("environments") or {}).items():
        if state and state.get("otherwise"):
            otherwise = state_of(before.body, environment)["otherwise"]
            merged["environments"][environment]["otherwise"] = merge_serve(otherwise, state["otherwise"])
    return merged
