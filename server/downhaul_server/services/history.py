"""What happened: the log with filters, and the history of one flag with differences."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from downhaul_server.services.access import newest_view, store_errors
from downhaul_server.services.actors import ALL, Action, Actor, authorize
from downhaul_server.services.differences import Difference, whole
from downhaul_server.services.errors import Invalid, NotFound
from downhaul_server.services.flag_forms import comparable
from downhaul_server.services.grants import beyond
from downhaul_server.services.hook_documents import in_reach, shown
from downhaul_server.services.keys import excess
from downhaul_server.services.log_filters import LogFilter
from downhaul_server.services.names import address, parts
from downhaul_server.services.pages import LIMIT, Page, decode_cursor, encode_cursor
from downhaul_server.services.protection import BROKE_GLASS
from downhaul_server.services.refused_log import REFUSED, refused_page
from downhaul_server.services.review_forms import is_visible, logged
from downhaul_server.store import Change, Entry, Store

OPEN_KINDS = frozenset({"service", "environment", "segment"})
"""Beside flags. Every other kind of document has a rule of its own here, or is for those who audit everything."""
READ_AT_ONCE = 200
LOOK_S = 3.0
"""How long one request looks for entries that are wanted."""
MARKS = ("review", BROKE_GLASS)
"""Of an entry's details: the review that it applies, and the environments whose approvals it went past."""
HIDDEN = frozenset({"created_at", "updated_at", "hash", "previous_hash"})
"""Never in a difference: times are the entry's own, and the hashes of tokens are nobody's business."""


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

        page = self._page(item, limit, cursor, LogFilter(flag=where))
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
        """`{revision, at, actor, action, reason, documents: [{kind, service, key, name, changes}]}` per commit.

        `kind` is service, environment, flag, segment or key; `service` is None except for flags; `name` is what people
        call what has an id for its key, else None. `by` is the actor's
        name; `flag` needs `service`, or is `service/flag`; `action` is a whole one (`flag.kill`) or its noun (`flag`).
        `environment` and `service` select what was done to them and what changes their evaluations; `since` is
        included, `until` is not. Shows only what the actor's scope covers. Those who may audit all of it are told more
        of the actor in `by` (`{name, kind, role, token, address}`), and may ask for the action `refused` (see
        `refused_log.py`). A page may have less than `limit`, even nothing, and a `next` all the same: then it took too
        long to find more. Raises Invalid, Forbidden, Unavailable.
        """
        wanted = LogFilter.of(
            service=service, flag=flag, environment=environment, by=by, action=action, since=since, until=until
        )
        if action == REFUSED:
            return refused_page(self._store, actor, wanted, limit, cursor)
        for place in wanted.services:
            authorize(actor, Action.READ, place, environment)

        def item(entry: Entry) -> dict[str, Any] | None:
            return _item(actor, entry) if wanted.matches(entry) else None

        return self._page(item, limit, cursor, wanted)

    def entry(self, actor: Actor, revision: int) -> dict[str, Any]:
        """One commit, as in `log`. Raises NotFound (also where the actor may see nothing of it), Forbidden,
        Unavailable.
        """
        authorize(actor, Action.READ)
        with store_errors():
            found = self._store.entry(revision)
        shown = _item(actor, found) if found else None
        if shown is None:
            raise NotFound("revision", str(revision))
        return shown

    def version(self, actor: Actor, service: str, flag: str, revision: int) -> dict[str, Any]:
        """The flag as a commit left it, to be replaced by: without kills, in the environments that the actor sees.

        Raises NotFound (also where the flag was deleted by it), Forbidden, Unavailable.
        """
        authorize(actor, Action.READ, service)
        with store_errors():
            found = self._store.entry(revision)
        where = address("flag", service, flag)
        body = next((change.after for change in found.changes if change.address == where), None) if found else None
        if body is None:
            raise NotFound("version", f"{service}/{flag}", str(revision))
        known = [document.key for document in newest_view(self._store).of_kind("environment/")]
        whole = comparable(body, [place for place in known if actor.reaches(service, place)])
        states = {
            place: {name: value for name, value in state.items() if name != "killed"}
            for place, state in whole["environments"].items()
        }
        return whole | {"environments": states}

    def _page(
        self,
        item: Callable[[Entry], dict[str, Any] | None],
        limit: int,
        cursor: str | None,
        wanted: LogFilter,
    ) -> Page:
        """The first `limit` entries that `item` makes something of; those that were found in the time there is."""
        found: list[dict[str, Any]] = []
        before, deadline = _revision(cursor), time.monotonic() + LOOK_S
        if before is None and wanted.until is not None:
            with store_errors():
                before = self._store.reading.revision_at(wanted.until)
        while before is None or before > 1:
            with store_errors():
                entries, before = self._store.reading.look(before, wanted.texts, since=wanted.since, limit=READ_AT_ONCE)
            for entry in entries:
                if (shown := item(entry)) is None:
                    continue
                if len(found) == limit:
                    return Page(found, encode_cursor(str(found[-1]["revision"])))
                found.append(shown)
            if before > 1 and time.monotonic() > deadline:
                return Page(found, encode_cursor(str(before)))
        return Page(found)


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
    if kind == "review":
        return _review_differences(actor, change)
    if kind == "snooze":
        return whole(_public(change.before), _public(change.after)) if actor.reaches(service) else []
    if kind not in OPEN_KINDS and not actor.reaches(ALL, ALL, Action.AUDIT):
        return []
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


def _review_differences(actor: Actor, change: Change) -> list[Difference]:
    versions = [body for body in (change.before, change.after) if body is not None]
    if not all(is_visible(actor, body) for body in versions):
        return []
    return whole(*(body and logged(body) for body in (change.before, change.after)))


def _may_see_key(actor: Actor, change: Change) -> bool:
    versions = [body for body in (change.before, change.after) if body is not None]
    return actor.may(Action.KEYS) and all(excess(actor, body) is None for body in versions)


def _may_see_person(actor: Actor, change: Change) -> bool:
    versions = [body for body in (change.before, change.after) if body is not None]
    return actor.may(Action.PEOPLE) and all(beyond(actor, body["grants"]) is None for body in versions)


def _public(body: Any) -> Any:
    return body and {name: value for name, value in body.items() if name not in HIDDEN}


def _item(actor: Actor, entry: Entry) -> dict[str, Any] | None:
    """The entry, as far as the actor may see it; None: nothing of it."""
    documents = _documents(actor, entry)
    by = {"by": dict(entry.actor)} if actor.reaches(ALL, ALL, Action.AUDIT) else {}
    return _head(entry) | by | {"documents": documents} if documents else None


def _documents(actor: Actor, entry: Entry) -> list[dict[str, Any]]:
    found = []
    for change in entry.changes:
        kind, service, key = parts(change.address)
        if changes := visible(actor, change):
            named = {"name": _called(kind, change.after or change.before or {})}
            found.append({"kind": kind, "service": service, "key": key, **named, "changes": changes})
    return found


def _called(kind: str, body: Any) -> str | None:
    """What people call it, where its key is a number or says less."""
    if kind == "review":
        return f"{body['service']}/{body['flag']}" if body["flag"] else f"segment {body['segment']}"
    if kind == "snooze":
        return f"{body['service']}/{body['flag']}"
    field = {"person": "login", "key": "name", "link": "name", "hook": "name"}.get(kind)
    return str(body[field]) if field else None


def _head(entry: Entry) -> dict[str, Any]:
    return {
        "revision": entry.revision,
        "at": entry.at,
        "actor": entry.actor["name"],
        "action": entry.action,
        "reason": entry.reason,
        **{mark: entry.details[mark] for mark in MARKS if entry.details and mark in entry.details},
    }


def _environment(changes: list[Difference]) -> str | None:
    """The one environment in which all of it happened."""
    found = {tuple(change["path"].split("/")[1:3]) for change in changes}
    (place,) = found if len(found) == 1 else ((),)
    return place[1] if len(place) == 2 and place[0] == "environments" else None


def _revision(cursor: str | None) -> int | None:
    position = decode_cursor(cursor)
    if position is None:
        return None
    if not position.isascii() or not position.isdigit() or len(position) > 18:
        raise Invalid.at("cursor", message="expected the `next` of an earlier page")
    return int(position)
