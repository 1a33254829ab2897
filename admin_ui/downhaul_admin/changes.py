"""`/changes`: everything that happened, by day and with filters; and each change in words, with what it changed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any
from urllib.parse import urlencode

from downhaul_server.services.actors import ALL, Action, Actor
from downhaul_server.services.container import Services
from downhaul_server.services.errors import Invalid, Unavailable
from downhaul_server.services.pages import Page
from downhaul_server.settings import Settings
from flask import Blueprint, Response, request

from downhaul_admin import forms, gate
from downhaul_admin.pages import page

SHOWN = 50
SHORT = 60
FILTERS = ("service", "flag", "by", "environment", "action")
DAYS = ("since", "until")
ACTIONS = (
    ("flag", "Flags: everything"),
    ("flag.kill", "Flags killed"),
    ("flag.restore", "Flags restored"),
    ("flag.state", "Flags: states changed"),
    ("segment", "Segments"),
    ("review", "Reviews"),
    ("service", "Services"),
    ("environment", "Environments"),
    ("key", "Keys and tokens"),
    ("link", "Kill links"),
    ("person", "People"),
    ("hook", "Webhooks"),
)
REFUSED = ("refused", "Refused attempts")


def add(pages: Blueprint, services: Services, settings: Settings) -> None:
    """The timeline, and one change."""

    @pages.get("/changes")
    @gate.person
    def changes(actor: Actor) -> Response:
        given = {name: request.args.get(name, "").strip() for name in (*FILTERS, *DAYS)}
        error: Invalid | None = None
        found = Page([])
        try:
            found = services.history.log(
                actor,
                **_filters(given),
                limit=SHOWN,
                cursor=request.args.get("cursor"),
            )
        except Invalid as fault:
            error = fault
        auditor = actor.reaches(ALL, ALL, Action.AUDIT)
        kept = {name: value for name, value in given.items() if value}
        return page(
            "downhaul_admin/changes/list.html",
            actor,
            status=forms.status_of(error),
            live=error is None and "cursor" not in request.args,
            given=given,
            errors=forms.errors(error),
            days=[(day, list(entries)) for day, entries in groupby(found.items, lambda entry: _day(entry["at"]))],
            next=urlencode({**kept, "cursor": found.next}) if found.next else None,
            later="cursor" in request.args,
            kept=urlencode(kept),
            actions=(*ACTIONS, REFUSED) if auditor else ACTIONS,
            services=[item["key"] for item in services.catalog.list_services(actor, limit=500).items],
            export=f"/api/v1/audit/export?{_export(given)}" if auditor else None,
        )

    @pages.get("/changes/<int:revision>")
    @gate.person
    def change(actor: Actor, revision: int) -> Response:
        entry, words = services.history.entry(actor, revision), services.change_words.of(actor, revision)
        return page(
            "downhaul_admin/changes/change.html",
            actor,
            entry=entry,
            documents=[_document(each, words) for each in entry["documents"]],
        )


def latest(services: Services, actor: Actor, limit: int, **wanted: str) -> list[dict[str, Any]] | None:
    """The last ones, for pages that show other things too; None while Redis cannot be asked."""
    try:
        return list(services.history.log(actor, limit=limit, **wanted).items)  # type: ignore[arg-type]
    except Unavailable:
        return None


def _filters(given: Mapping[str, str]) -> dict[str, Any]:
    """As the log takes them. Raises Invalid."""
    return {name: given[name] or None for name in FILTERS} | _days(given)


def _day(at: str) -> str:
    return datetime.fromisoformat(at).astimezone(UTC).strftime("%A, %-d %B %Y")


def _days(given: Mapping[str, str]) -> dict[str, datetime]:
    """From the first one's beginning to the last one's end, in UTC. Raises Invalid."""
    found = {}
    for name, more in (("since", 0), ("until", 1)):
        if given[name]:
            try:
                day = datetime.strptime(given[name], "%Y-%m-%d").replace(tzinfo=UTC)
                found[name] = day + timedelta(days=more)
            except (ValueError, OverflowError):
                raise Invalid.at(name, message="expected a day, such as 2027-01-31") from None
    return found


def _export(given: Mapping[str, str]) -> str:
    wanted: dict[str, str] = {name: given[name] for name in FILTERS if given[name]}
    with suppress(Invalid):
        wanted |= {name: moment.isoformat().replace("+00:00", "Z") for name, moment in _days(given).items()}
    return urlencode(wanted)


def _document(each: Mapping[str, Any], words: Mapping[tuple[str, str | None, str], Sequence[str]]) -> dict[str, Any]:
    flag = each["kind"] == "flag"
    return {
        "name": f"{each['service']}/{each['key']}" if flag else f"{each['kind']} {each.get('name') or each['key']}",
        "path": _path(each),
        "sentences": words.get((each["kind"], each["service"], each["key"]), ()),
        "changes": [line(change) for change in each["changes"]],
    }


def _path(each: Mapping[str, Any]) -> str | None:
    pages = {"service": "/services/", "segment": "/segments/", "person": "/people/", "review": "/reviews/"}
    if each["kind"] == "flag":
        return f"/services/{each['service']}/flags/{each['key']}"
    start = pages.get(each["kind"]) or ("/webhooks/" if each["kind"] == "hook" else None)
    return f"{start}{each['key']}" if start else None


def line(change: Mapping[str, Any]) -> dict[str, Any]:
    """A difference as templates take it."""
    where = " › ".join(part.replace("~1", "/").replace("~0", "~") for part in change["path"].split("/")[1:])
    return {
        "where": where or "all of it",
        "before": None if change["op"] == "add" else _json(change["before"]),
        "after": None if change["op"] == "remove" else _json(change["after"]),
    }


def _json(value: Any) -> str:
    """On one line where that is short."""
    short = json.dumps(value, ensure_ascii=False)
    return short if len(short) <= SHORT else json.dumps(value, ensure_ascii=False, indent=2)
