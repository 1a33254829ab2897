"""What all pages have in common: their frame, what their templates may use, and how they answer."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, unquote

from downhaul_server import browsers
from downhaul_server.services.actors import Action, Actor, home
from downhaul_server.services.errors import Unavailable
from flask import Blueprint, Response, current_app, make_response, redirect, render_template, request
from werkzeug.exceptions import RequestEntityTooLarge

from downhaul_admin import gate
from downhaul_admin.change_titles import title
from downhaul_admin.health import Health, describe

STATIC = Path(__file__).parent / "static"
NOTE = "downhaul-note"
NOTE_S = 30
LONGEST_NOTE = 300
ENVIRONMENT = "downhaul-environment"
YEAR_S = 365 * 24 * 3600
MINUTE, HOUR, DAY = 60, 3600, 86400


@dataclass(frozen=True, slots=True)
class Place:
    """An entry of the menu."""

    path: str
    label: str
    icon: str
    action: Action | None = None
    """What somebody must be allowed to do, somewhere, to be shown it."""


PLACES: Sequence[Place] = (
    Place("/", "Flags", "house", Action.READ),
    Place("/changes", "Changes", "history", Action.READ),
    Place("/reviews", "Reviews", "git-pull-request", Action.READ),
    Place("/stale", "Stale flags", "hourglass", Action.READ),
    Place("/fleet", "Fleet", "server", Action.READ),
    Place("/services", "Services", "boxes", Action.READ),
    Place("/segments", "Segments", "funnel", Action.READ),
    Place("/environments", "Environments", "layers", Action.READ),
    Place("/keys", "Keys and tokens", "key-round", Action.KEYS),
    Place("/links", "Kill links", "link", Action.KEYS),
    Place("/people", "People", "users", Action.PEOPLE),
    Place("/webhooks", "Webhooks", "webhook", Action.HOOKS),
    Place("/health", "Health of Downhaul", "heart-pulse", None),
)


def page(template: str, actor: Actor, *, status: int = 200, live: bool = True, **data: Any) -> Response:
    """A whole page. `live=False`: it stays as it is while somebody works on it, whatever others change."""
    here, there = places_of(actor)
    text = render_template(
        template,
        **{
            "actor": actor,
            "can": _can(actor),
            "environment": here,
            "environments": there,
            "live": _own_path() if live and request.method == "GET" and status == 200 else None,
            "position": _position(),
            "nav": _nav(actor),
            "nav_kill": actor.may(Action.KILL) and "/kill" in _paths(),
            "trouble": _trouble(),
            "note": unquote(request.cookies.get(NOTE, ""))[:LONGEST_NOTE],
            **data,
        },
    )
    answer = make_response(text, status, {"Cache-Control": "no-store"})
    if NOTE in request.cookies and gate.BACKGROUND not in request.headers:
        answer.delete_cookie(NOTE)
    if request.args.get("environment") == here and request.cookies.get(ENVIRONMENT) != here:
        answer.set_cookie(ENVIRONMENT, here, max_age=YEAR_S, **_guarded())
    return answer


def see_other(path: str, *, note: str = "") -> Response:
    """To another page after a form was taken; `note` is shown there once."""
    answer = cast(Response, redirect(path, 303))
    if note:
        answer.set_cookie(NOTE, quote(note[:LONGEST_NOTE]), max_age=NOTE_S, **_guarded())
    return answer


def _guarded() -> dict[str, Any]:
    """Of cookies that hold nothing secret; over TLS they stay there."""
    return {"httponly": True, "samesite": "Lax", "secure": browsers.is_secure(request.environ)}


def environment_of(actor: Actor) -> str:
    """The environment that the request is about: the one it names, else the one looked at last, else the default."""
    return places_of(actor)[0]


def places_of(actor: Actor) -> tuple[str, list[str]]:
    """The environment that the request is about, and all that the actor may look at."""
    wiring = gate.wiring()
    default = home(actor, wiring.settings.default_environment)
    try:
        items = wiring.services.catalog.list_environments(actor, limit=500).items
    except Unavailable:
        items = []
    known = [item["key"] for item in items]
    wanted = (_sent_environment(), request.cookies.get(ENVIRONMENT), default, *known)
    chosen = next((name for name in wanted if name in known), default)
    return chosen, known or [chosen]


def _sent_environment() -> str | None:
    """That the request names. A form that is too large is refused by whoever has to read it."""
    try:
        return request.values.get("environment")
    except RequestEntityTooLarge:
        return request.args.get("environment")


def install(pages: Blueprint) -> None:
    """Give the templates what they use."""
    pages.add_app_template_filter(ago, "ago")
    pages.add_app_template_filter(moment, "moment")
    pages.add_app_template_filter(title, "change_title")
    pages.add_app_template_filter(lambda number: f"{number:,}".replace(",", "\u202f"), "number")
    pages.add_app_template_global(static, "static")


def static(filename: str) -> str:
    """The address of a file; another one whenever the file is another."""
    return f"/static/admin/{filename}?{_digest(filename)}"


@cache
def _digest(filename: str) -> str:
    return hashlib.sha256((STATIC / filename).read_bytes()).hexdigest()[:12]


def ago(time: str, now: datetime | None = None) -> str:
    """`3 minutes ago`, from RFC 3339; of what lies ahead `in 3 minutes`."""
    gone = ((now or datetime.now(UTC)) - datetime.fromisoformat(time)).total_seconds()
    text = _length(abs(gone))
    if text is None:
        return "just now"
    return f"{text} ago" if gone > 0 else f"in {text}"


def moment(time: str) -> str:
    """For people who want it exactly."""
    return datetime.fromisoformat(time).astimezone(UTC).strftime("%-d %B %Y, %H:%M:%S UTC")


def _length(seconds: float) -> str | None:
    if seconds < 5:
        return None
    for size, name in ((60 * DAY, None), (DAY, "day"), (HOUR, "hour"), (MINUTE, "minute"), (1, "second")):
        if seconds >= size:
            number, name = (int(seconds // (30 * DAY)), "month") if name is None else (int(seconds // size), name)
            return f"{number} {name}{'s' if number != 1 else ''}"
    return None


def _can(actor: Actor) -> Any:
    """For templates: whether the actor is allowed, there; with no place, anywhere."""

    def can(action: str, service: str | None = None, environment: str | None = None) -> bool:
        return actor.reaches(service, environment, Action(action))

    return can


def _own_path() -> str:
    return request.full_path.removesuffix("?")


def _position() -> str:
    try:
        return gate.wiring().services.bulletin.position
    except Unavailable:
        return ""


def _paths() -> set[str]:
    return {rule.rule for rule in current_app.url_map.iter_rules()}


def _nav(actor: Actor) -> list[dict[str, Any]]:
    there = _paths()
    shown = [place for place in PLACES if place.path in there and (place.action is None or actor.may(place.action))]
    return [
        {
            "path": place.path,
            "label": place.label,
            "icon": place.icon,
            "current": request.path == place.path or (place.path != "/" and request.path.startswith(f"{place.path}/")),
        }
        for place in shown
    ]


def _trouble() -> Health | None:
    health = describe(gate.wiring().services.health())
    return None if health.tone == "good" else health
