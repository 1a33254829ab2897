"""What happened: the log with filters, and the history of one flag with differences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from downhaul_server.services.access import newest_view, store_errors
from downhaul_server.services.actors import ALL, Action, Actor, authorize
from downhaul_server.services.differences import Difference, whole
from downhaul_server.services.documents import timestamp
from downhaul_server.services.errors import Invalid, NotFound
from downhaul_server.services.flag_forms import comparable
from downhaul_server.services.grants import beyond
from downhaul_server.services.hook_documents import in_reach, shown
from downhaul_server.services.keys import excess
from downhaul_server.services.names import address, parts, resolve
from downhaul_server.services.pages import LIMIT, Page, decode_cursor, encode_cursor
from downhaul_server.store import Change, Entry, Store

READ_AT_ONCE = 200
HIDDEN = frozenset({"created_at", "updated_at", "hash"})
"""Never in a difference: times are the entry's own, and the hash of a token is nobody's business."""


class History:
    """Newest first. Read from Redis, so Unavailable while that is away."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def flag(self, actor: Actor, service: str, flag: str, *, limit: int = LIMIT, cursor: str | None = None) -> Page:
        """`{revision, at, actor, action, reason, environment, changes: [{op, path, before, after}]}` per change.

        `actor` is a name; `environment` is None unless all of it happened in one; `op` is add, remove or replace and
        `path` a JSON pointer into the flag's document. A flag that was deleted still has its history.
        Raises NotFound, Forbidden, Unavailable.
        """
        authorize(actor, Action.READ, service)
        where = address("flag", service, flag)

        def item(entry: Entry) -> dict[str, Any] | None:
            changes = [found for change in entry.changes if change.address == where for found in visible(actor, change)]
            return _head(entry) | {"environment": _environment(changes), "changes": changes} if changes else None

        page = self._page(item, limit, cursor)
        if not page.items and cursor is None and newest_view(self._store).get(where) is None:
            raise NotFound("flag", service, flag)
        return page

    def log(
        self,
        actor: Actor,
        *,
        service: str | None = None,
        flag: str | None = None,
        environment: str | None = None,
        by: str | None = None,
        action: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = LIMIT,
        cursor: str | None = None,
    ) -> Page:
        """`{revision, at, actor, action, reason, documents: [{kind, service, key, changes}]}` per commit.

        `kind` is service, environment, flag, segment or key; `service` is None except for flags. `by` is the actor's
        name; `flag` needs `service`, or is `service/flag`; `action` is a whole one (`flag.kill`) or its noun (`flag`).
        `environment` and `service` select what was done to them and what changes their evaluations; `since` is
        included, `until` is not. Shows only what the actor's scope covers. Raises Invalid, Forbidden, Unavailable.
        """
        named = _flag_address(service, flag)
        wanted = _Filter(
            service=service,
            flag=named,
            environment=environment,
            by=by,
            action=action,
            until=timestamp(until) if until else None,
        )
        for place in (service, parts(named)[1] if named else None):
            authorize(actor, Action.READ, place, environment)

        def item(entry: Entry) -> dict[str, Any] | None:
            documents = _documents(actor, entry) if wanted.matches(entry) else []
            return _head(entry) | {"documents": documents} if documents else None

        return self._page(item, limit, cursor, since=timestamp(since) if since else None)

    def _page(
        self,
        item: Callable[[Entry], dict[str, Any] | None],
        limit: int,
        cursor: str | None,
        since: str | None = None,
    ) -> Page:
        """The first `limit` entries that `item` makes something of."""
        found: list[dict[str, Any]] = []
        for entry in self._entries(_revision(cursor), since):
            shown = item(entry)
            if shown is not None and len(found) == limit:
                return Page(found, encode_cursor(str(found[-1]["revision"])))
            if shown is not None:
                found.append(shown)
        return Page(found)

    def _entries(self, before: int | None, since: str | None) -> Iterator[Entry]:
        while before is None or before > 1:
            with store_errors():
                entries = self._store.log(before=before, limit=READ_AT_ONCE)
            for entry in entries:
                if since is not None and entry.at < since:
                    return
                yield entry
            if len(entries) < READ_AT_ONCE:
                return
            before = entries[-1].revision


@dataclass(frozen=True, slots=True, kw_only=True)
class _Filter:
    service: str | None
    flag: str | None
    environment: str | None
    by: str | None
    action: str | None
    until: str | None

    def matches(self, entry: Entry) -> bool:
        return (
            (self.by is None or entry.actor["name"] == self.by)
            and (self.action is None or self.action in (entry.action, entry.action.partition(".")[0]))
            and (self.until is None or entry.at < self.until)
            and (self.flag is None or any(change.address == self.flag for change in entry.changes))
            and (self.service is None or _concerns_service(entry, self.service))
            and (self.environment is None or _concerns_environment(entry, self.environment))
        )


def _concerns_service(entry: Entry, service: str) -> bool:
    return any(service == touched for touched, _ in entry.touches) or any(
        parts(change.address)[1] == service or change.address == address("service", service) for change in entry.changes
    )


def _concerns_environment(entry: Entry, environment: str) -> bool:
    """Whether anything evaluates differently there, or it is named (by its own document, or by a key)."""
    if any(touched in (ALL, environment) for _, touched in entry.touches):
        return True
    return any(
        change.address == address("environment", environment)
        or environment in (body.get("environment"), *_scope_of(change.address, body))
        for change in entry.changes
        for body in (change.after or change.before or {},)
    )


def _scope_of(where: str, body: Any) -> tuple[str, ...]:
    return tuple(body.get("environments", ())) if where.startswith("key/") else ()


def visible(actor: Actor, change: Change) -> list[Difference]:
    """The differences that the actor may see; none of a document out of its scope."""
    kind, service, key = parts(change.address)
    if kind == "flag":
        return _flag_differences(actor, service or "", change) if actor.reaches(service) else []
    if kind == "key" and not _may_see_key(actor, change):
        return []
    if kind == "person" and not _may_see_person(actor, change):
        return []
    if kind == "hook":
        return _hook_differences(actor, change)
    seen = actor.reaches(key if kind == "service" else None, key if kind == "environment" else None)
    return whole(_public(change.before), _public(change.after)) if seen else []


def _flag_differences(actor: Actor, service: str, change: Change) -> list[Difference]:
    """As clients know the flag: states are filled in, so that what was changed first is seen as a change."""
    versions = [body for body in (change.before, change.after) if body is not None]
    stored = {environment for body in versions for environment in body["environments"]}
    environments = sorted(name for name in stored if actor.reaches(service, name))
    before, after = (body and comparable(body, environments) for body in (change.before, change.after))
    return whole(before, after)


def _hook_differences(actor: Actor, change: Change) -> list[Difference]:
    versions = [body for body in (change.before, change.after) if body is not None]
    if not all(in_reach(actor, body) for body in versions):
        return []
    before, after = (body and _public(shown(body)) for body in (change.before, change.after))
    return whole(before, after)


def _may_see_key(actor: Actor, change: Change) -> bool:
    versions = [body for body in (change.before, change.after) if body is not None]
    return actor.may(Action.KEYS) and all(excess(actor, body) is None for body in versions)


def _may_see_person(actor: Actor, change: Change) -> bool:
    versions = [body for body in (change.before, change.after) if body is not None]
    return actor.may(Action.PEOPLE) and all(beyond(actor, body["grants"]) is None for body in versions)


def _public(body: Any) -> Any:
    return body and {name: value for name, value in body.items() if name not in HIDDEN}


def _documents(actor: Actor, entry: Entry) -> list[dict[str, Any]]:
    found = []
    for change in entry.changes:
        kind, service, key = parts(change.address)
        if changes := visible(actor, change):
            found.append({"kind": kind, "service": service, "key": key, "changes": changes})
    return found


def _head(entry: Entry) -> dict[str, Any]:
    return {
        "revision": entry.revision,
        "at": entry.at,
        "actor": entry.actor["name"],
        "action": entry.action,
        "reason": entry.reason,
    }


def _environment(changes: list[Difference]) -> str | None:
    """The one environment in which all of it happened."""
    found = {tuple(change["path"].split("/")[1:3]) for change in changes}
    (place,) = found if len(found) == 1 else ((),)
    return place[1] if len(place) == 2 and place[0] == "environments" else None


def _flag_address(service: str | None, flag: str | None) -> str | None:
    if flag is None:
        return None
    if service is None and "/" not in flag:
        raise Invalid.at("flag", message="expected service/flag, or a service beside it")
    return address("flag", *resolve(flag, service or ""))


def _revision(cursor: str | None) -> int | None:
    position = decode_cursor(cursor)
    if position is None:
        return None
    if not position.isascii() or not position.isdigit() or len(position) > 18:
        raise Invalid.at("cursor", message="expected the `next` of an earlier page")
    return int(position)
