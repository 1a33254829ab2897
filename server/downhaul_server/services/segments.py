"""Segments: named conditions that rules of any service reuse. Document: `{key, name, when}`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from downhaul.engine import decode_condition

from downhaul_server.services import nesting, references
from downhaul_server.services.actors import ALL, Action, Actor, authorize
from downhaul_server.services.commit import Committer, Deleted, Plan, Planner
from downhaul_server.services.documents import (
    READ_ONLY,
    answer,
    check_fields,
    check_same,
    check_version,
    copied,
    existing,
    refusing,
    same_json,
    stamped,
)
from downhaul_server.services.errors import AlreadyExists, InUse
from downhaul_server.services.names import address, check_key
from downhaul_server.services.pages import LIMIT, Page, page_by_key
from downhaul_server.store import View


class Segments:
    """Answers add `version`, `created_at`, `updated_at`.

    Everybody may read them. They are shared by all services, so those change them whose scope is all of it.
    """

    def __init__(self, committer: Committer) -> None:
        self._committer = committer

    def list(self, actor: Actor, *, query: str | None = None, limit: int = LIMIT, cursor: str | None = None) -> Page:
        """Segments in key order; `query` is found in key or name."""
        authorize(actor, Action.READ)
        found = (
            (document.key, document)
            for document in self._committer.view.of_kind("segment/")
            if query is None or query.lower() in f"{document.key}\n{document.body['name']}".lower()
        )
        return page_by_key(found, limit, cursor, lambda document: answer(document.body, document.version))

    def get(self, actor: Actor, segment: str) -> dict[str, Any]:
        """Raises NotFound."""
        authorize(actor, Action.READ)
        document = existing(self._committer.view, "segment", segment)
        return answer(document.body, document.version)

    def create(
        self,
        actor: Actor,
        document: dict[str, Any],
        *,
        reason: str | None = None,
        operation: str | None = None,
    ) -> dict[str, Any]:
        """Raises AlreadyExists, Invalid (also for an unknown segment inside, or a cycle), Forbidden."""
        authorize(actor, Action.EDIT, ALL, ALL)
        segment = check_key("segment", document.get("key"))

        def plan(view: View) -> Plan:
            if view.get(address("segment", segment)):
                raise AlreadyExists("segment", segment)
            return _changing(view, segment, document, reason)

        return self._written(actor, segment, plan, ("segment.create", document, reason), operation)[0]

    def replace(
        self,
        actor: Actor,
        segment: str,
        document: dict[str, Any],
        *,
        if_match: int | None = None,
        reason: str | None = None,
        operation: str | None = None,
    ) -> tuple[dict[str, Any], bool]:
        """The whole segment anew; True when that created it. Raises VersionMismatch, Invalid, Forbidden."""
        plan = self.plan_replace(actor, segment, document, if_match=if_match, reason=reason)
        return self._written(actor, segment, plan, ("segment.replace", segment, document, if_match, reason), operation)

    def plan_replace(
        self,
        actor: Actor,
        segment: str,
        document: dict[str, Any],
        *,
        if_match: int | None = None,
        reason: str | None = None,
    ) -> Planner:
        """What `replace` would commit. Raises Forbidden at once, all else when it is planned."""
        authorize(actor, Action.EDIT, ALL, ALL)

        def plan(view: View) -> Plan:
            check_version(view.get(address("segment", segment)), if_match)
            check_key("segment", segment)
            return _changing(view, segment, document, reason)

        return plan

    def delete(
        self,
        actor: Actor,
        segment: str,
        *,
        if_match: int | None = None,
        reason: str | None = None,
        operation: str | None = None,
    ) -> Deleted:
        """Raises NotFound, VersionMismatch, InUse, Forbidden."""
        authorize(actor, Action.EDIT, ALL, ALL)

        def plan(view: View) -> Plan:
            before = existing(view, "segment", segment)
            check_version(before, if_match)
            if users := references.users_of_segment(view, segment):
                raise InUse(f"segment {segment}", users)
            return Plan(action="segment.delete", writes={before.address: None}, reason=reason)

        request = ("segment.delete", segment, if_match, reason)
        return self._committer.run(actor, plan, request=request, operation=operation).deleted

    def reach(self, segment: str) -> tuple[tuple[str, str], ...]:
        """The (service, environment) pairs whose rules use it, directly or inside another one."""
        return references.reached_by_segment(self._committer.view, segment)

    def users(self, actor: Actor, segment: str) -> Sequence[str]:
        """Who names it, `flag checkout/new-checkout` or `segment beta`; flags of services that the actor may see.

        Raises NotFound, Forbidden.
        """
        authorize(actor, Action.READ)
        view = self._committer.view
        existing(view, "segment", segment)
        return [
            name
            for name in references.users_of_segment(view, segment)
            if name.startswith("segment ") or actor.reaches(name.removeprefix("flag ").partition("/")[0])
        ]

    def _written(
        self,
        actor: Actor,
        segment: str,
        plan: Planner,
        request: tuple[Any, ...],
        operation: str | None,
    ) -> tuple[dict[str, Any], bool]:
        outcome = self._committer.run(actor, plan, request=request, operation=operation)
        written = self._committer.written(outcome, address("segment", segment))
        return answer(written.body, written.version), written.created


def _changing(view: View, segment: str, document: dict[str, Any], reason: str | None) -> Plan:
    check_fields(document, {"key", "name", "when", *READ_ONLY})
    check_same(document, key=segment)
    with refusing():
        decode_condition(document.get("when"), ("when",))
    condition = copied(document["when"])
    nesting.check_segment(view, segment, condition)
    references.check_segments(view, references.segments_in(condition, ("when",)))
    before = view.get(address("segment", segment))
    after = {"key": segment, "name": document.get("name") or segment, "when": condition}
    if before is None:
        writes = {address("segment", segment): stamped(after, None)}
        return Plan(action="segment.create", writes=writes, reason=reason)
    means_the_same = same_json(before.body["when"], condition)
    unchanged = means_the_same and before.body["name"] == after["name"]
    return Plan(
        action="segment.update",
        writes={} if unchanged else {before.address: stamped(after, before)},
        touches=() if means_the_same else references.reached_by_segment(view, segment),
        reason=reason,
    )
