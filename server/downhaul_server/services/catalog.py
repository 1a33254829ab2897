"""Services and environments. Document: `{key, name}`; answers add `version`, `created_at`, `updated_at`.

An environment has `protected` (every change needs a reason), `approvals` (how many others must approve it) and
`review_days` (how long a review stays open) too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from downhaul_server.services.actors import ALL, Action, Actor, authorize
from downhaul_server.services.commit import Body, Committer, Plan, Planner
from downhaul_server.services.documents import (
    READ_ONLY,
    answer,
    check_fields,
    check_same,
    check_version,
    existing,
    now,
    stamped,
)
from downhaul_server.services.errors import AlreadyExists, InUse, Invalid
from downhaul_server.services.flag_forms import remembering_kills
from downhaul_server.services.names import address, check_key
from downhaul_server.services.pages import LIMIT, Page, page_by_key
from downhaul_server.services.protection import DEFAULTS
from downhaul_server.services.references import name_of
from downhaul_server.store import View

SERVICE = "service"
ENVIRONMENT = "environment"
LONG_AGO = "1970-01-01T00:00:00.000Z"


class Catalog:
    """What flags belong to. Everybody reads what their scope covers; administrators change it."""

    def __init__(self, committer: Committer, default_environment: str) -> None:
        self._committer = committer
        self._default_environment = default_environment

    def list_services(
        self, actor: Actor, *, query: str | None = None, limit: int = LIMIT, cursor: str | None = None
    ) -> Page:
        """Services in key order; only those of the actor's scope."""
        return self._list(actor, SERVICE, lambda key: actor.reaches(service=key), query, limit, cursor)

    def get_service(self, actor: Actor, service: str) -> dict[str, Any]:
        """Raises NotFound, Forbidden."""
        authorize(actor, Action.READ, service)
        return self._get(SERVICE, service)

    def create_service(self, actor: Actor, document: dict[str, Any], *, operation: str | None = None) -> dict[str, Any]:
        """`name` defaults to the key. Raises AlreadyExists, Invalid, Forbidden."""
        key = check_key(SERVICE, document.get("key"))
        authorize(actor, Action.CATALOG, key, ALL)
        return self._create(actor, SERVICE, key, document, ((key, ALL),), operation)

    def patch_service(
        self,
        actor: Actor,
        service: str,
        changes: dict[str, Any],
        *,
        if_match: int | None = None,
        operation: str | None = None,
    ) -> dict[str, Any]:
        """Change its name. Raises NotFound, VersionMismatch, Invalid, Forbidden."""
        authorize(actor, Action.CATALOG, service, ALL)
        plan = self._plan_update(SERVICE, service, changes, if_match, None)
        return self._written(actor, SERVICE, service, plan, ("service.update", service, changes, if_match), operation)

    def delete_service(
        self, actor: Actor, service: str, *, if_match: int | None = None, operation: str | None = None
    ) -> None:
        """Raises NotFound, VersionMismatch, InUse (it has flags), Forbidden."""
        authorize(actor, Action.CATALOG, service, ALL)

        def plan(view: View) -> Plan:
            document = existing(view, SERVICE, service)
            check_version(document, if_match)
            if flags := view.of_kind(f"flag/{service}/"):
                raise InUse(f"service {service}", [f"flag {name_of(flag)}" for flag in flags])
            return Plan(action="service.delete", writes={document.address: None}, touches=((service, ALL),))

        self._committer.run(actor, plan, request=("service.delete", service, if_match), operation=operation)

    def list_environments(
        self, actor: Actor, *, query: str | None = None, limit: int = LIMIT, cursor: str | None = None
    ) -> Page:
        """Environments in key order; only those of the actor's scope."""
        return self._list(actor, ENVIRONMENT, lambda key: actor.reaches(environment=key), query, limit, cursor)

    def get_environment(self, actor: Actor, environment: str) -> dict[str, Any]:
        """Raises NotFound, Forbidden."""
        authorize(actor, Action.READ, environment=environment)
        return self._get(ENVIRONMENT, environment)

    def create_environment(
        self, actor: Actor, document: dict[str, Any], *, operation: str | None = None
    ) -> dict[str, Any]:
        """Every flag is off there. Raises AlreadyExists, Invalid, Forbidden."""
        key = check_key(ENVIRONMENT, document.get("key"))
        authorize(actor, Action.CATALOG, ALL, key)
        return self._create(actor, ENVIRONMENT, key, document, ((ALL, key),), operation)

    def patch_environment(
        self,
        actor: Actor,
        environment: str,
        changes: dict[str, Any],
        *,
        if_match: int | None = None,
        reason: str | None = None,
        operation: str | None = None,
    ) -> dict[str, Any]:
        """Change its name, or how it is protected. Raises NotFound, VersionMismatch, Invalid, Forbidden."""
        plan = self.plan_environment(actor, environment, changes, if_match=if_match, reason=reason)
        request = ("environment.update", environment, changes, if_match, reason)
        return self._written(actor, ENVIRONMENT, environment, plan, request, operation)

    def plan_environment(
        self,
        actor: Actor,
        environment: str,
        changes: dict[str, Any],
        *,
        if_match: int | None = None,
        reason: str | None = None,
    ) -> Planner:
        """What `patch_environment` would commit. Raises Forbidden and Invalid at once, all else when it is planned."""
        authorize(actor, Action.CATALOG, ALL, environment)
        return self._plan_update(ENVIRONMENT, environment, changes, if_match, reason)

    def delete_environment(
        self,
        actor: Actor,
        environment: str,
        *,
        if_match: int | None = None,
        reason: str | None = None,
        operation: str | None = None,
    ) -> None:
        """With every flag's state in it. Raises NotFound, VersionMismatch, InUse (keys or people name it, or it is the
        default environment), Forbidden."""
        plan = self.plan_delete_environment(actor, environment, if_match=if_match, reason=reason)
        request = ("environment.delete", environment, if_match, reason)
        self._committer.run(actor, plan, request=request, operation=operation)

    def plan_delete_environment(
        self, actor: Actor, environment: str, *, if_match: int | None = None, reason: str | None = None
    ) -> Planner:
        """What `delete_environment` would commit. Raises Forbidden at once, all else when it is planned."""
        authorize(actor, Action.CATALOG, ALL, environment)

        def plan(view: View) -> Plan:
            document = existing(view, ENVIRONMENT, environment)
            check_version(document, if_match)
            if users := self._users_of_environment(view, environment):
                raise InUse(f"environment {environment}", users)
            writes = {document.address: None} | _without_states(view, environment)
            return Plan(action="environment.delete", writes=writes, touches=((ALL, environment),), reason=reason)

        return plan

    def _users_of_environment(self, view: View, environment: str) -> list[str]:
        default = ["the server, as its default environment"] if environment == self._default_environment else []
        keys = [
            f"key {key.key}"
            for key in view.of_kind("key/")
            if environment in (key.body.get("environment"), *key.body.get("environments", ()))
        ]
        people = [
            f"person {person.body['login']}"
            for person in view.of_kind("person/")
            if any(environment in granted["environments"] for granted in person.body["grants"])
        ]
        return default + keys + people

    def _list(
        self,
        actor: Actor,
        kind: str,
        reaches: Callable[[str], bool],
        query: str | None,
        limit: int,
        cursor: str | None,
    ) -> Page:
        authorize(actor, Action.READ)
        found = (
            (document.key, document.key)
            for document in self._committer.view.of_kind(f"{kind}/")
            if reaches(document.key)
            and (query is None or query.lower() in f"{document.key}\n{document.body['name']}".lower())
        )
        return page_by_key(found, limit, cursor, lambda key: self._get(kind, key))

    def _get(self, kind: str, key: str) -> dict[str, Any]:
        document = existing(self._committer.view, kind, key)
        return self._present(kind, document.body, document.version)

    def _dated(self, body: Body, version: int) -> dict[str, Any]:
        """With its times. The environments that were made with the store have none: the log knows when that was."""
        if "created_at" in body:
            return dict(body)
        return {**body, **dict.fromkeys(("created_at", "updated_at"), self._committer.committed_at(version, LONG_AGO))}

    def _create(
        self,
        actor: Actor,
        kind: str,
        key: str,
        document: dict[str, Any],
        touches: tuple[tuple[str, str], ...],
        operation: str | None,
    ) -> dict[str, Any]:
        check_fields(document, {"key", "name", *_own(kind), *READ_ONLY})

        def plan(view: View) -> Plan:
            if view.get(address(kind, key)):
                raise AlreadyExists(kind, key)
            settled = _settled(kind, document, _own(kind))
            body = stamped({"key": key, "name": document.get("name") or key, **settled}, None)
            return Plan(action=f"{kind}.create", writes={address(kind, key): body}, touches=touches)

        return self._written(actor, kind, key, plan, (f"{kind}.create", document), operation)

    def _plan_update(
        self, kind: str, key: str, changes: dict[str, Any], if_match: int | None, reason: str | None
    ) -> Planner:
        check_fields(changes, {"key", "name", *_own(kind), *READ_ONLY})
        check_same(changes, key=key)

        def plan(view: View) -> Plan:
            before = existing(view, kind, key)
            check_version(before, if_match)
            name = (changes["name"] or key) if "name" in changes else before.body["name"]
            standing = {field: before.body.get(field, value) for field, value in _own(kind).items()}
            wanted = {"name": name, **_settled(kind, changes, standing)}
            unchanged = wanted == {"name": before.body["name"], **standing}
            after = self._dated(before.body, before.version) | wanted | {"updated_at": now()}
            writes = {} if unchanged else {before.address: after}
            return Plan(action=f"{kind}.update", writes=writes, alone=False, reason=reason)

        return plan

    def _written(
        self,
        actor: Actor,
        kind: str,
        key: str,
        plan: Planner,
        request: tuple[Any, ...],
        operation: str | None,
    ) -> dict[str, Any]:
        outcome = self._committer.run(actor, plan, request=request, operation=operation)
        written = self._committer.written(outcome, address(kind, key))
        return self._present(kind, written.body, written.version)

    def _present(self, kind: str, body: Body, version: int) -> dict[str, Any]:
        return answer({**_own(kind), **self._dated(body, version)}, version)


def _own(kind: str) -> dict[str, Any]:
    """What only documents of this kind have, with the defaults."""
    return DEFAULTS if kind == ENVIRONMENT else {}


def _settled(kind: str, given: Body, standing: Body) -> dict[str, Any]:
    """How an environment is to be protected; null gives a default again. Raises Invalid."""
    own = _own(kind)
    wanted = {**standing, **{name: own[name] if given[name] is None else given[name] for name in own if name in given}}
    if own and not wanted["protected"] and wanted["approvals"]:
        if given.get("approvals"):
            raise Invalid.at("approvals", message="only a protected environment demands approvals: protect it too")
        wanted["approvals"] = 0
    return wanted


def _without_states(view: View, environment: str) -> dict[str, dict[str, Any]]:
    """Every flag that was ever set there, without that."""
    found = {}
    for document in view.of_kind("flag/"):
        if environment in document.body["environments"]:
            flag = remembering_kills(document)
            del flag["environments"][environment]
            found[document.address] = stamped(flag, document)
    return found
