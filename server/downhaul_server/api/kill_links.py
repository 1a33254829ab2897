"""`/k/<token>`: what a kill link leads to. A GET shows what it is for and changes nothing, a POST kills.

Chat tools and mail scanners look behind every address that they see, so nothing but a POST may kill. Whatever its body
is, it kills: an alert sends what it sends. No other credential, no limit of attempts (the token has 256 random bits).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from types import MappingProxyType
from typing import Any

from flask import Blueprint, Response, render_template, request
from werkzeug.exceptions import HTTPException

from downhaul_server.api import errors
from downhaul_server.api.answers import json_answer
from downhaul_server.api.auth import address, public
from downhaul_server.api.context import services, wiring
from downhaul_server.api.schemas.fields import LONG_TEXT
from downhaul_server.services import strict_json
from downhaul_server.services.acknowledgement import LONGEST_WAIT_S, Acknowledgement
from downhaul_server.services.errors import ServiceError
from downhaul_server.services.links import Target

blueprint = Blueprint("kill_links", __name__, template_folder="templates")

LINK = "/k/<token>"
PAGE_WAIT_S = 3.0
"""Who has pressed the button sees at once how far it has come."""
ALWAYS = MappingProxyType(
    {
        "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'",
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Robots-Tag": "noindex, nofollow",
        "Vary": "Accept",
    }
)

View = Callable[[str], Response]


@blueprint.after_request
def secure(response: Response) -> Response:
    """For every answer: the address is a secret."""
    response.headers.update(ALWAYS)
    return response


def by_accept(view: View) -> View:
    """What is refused is told as a page to those who want pages, else as a problem."""

    @wraps(view)
    def answered(token: str) -> Response:
        try:
            return view(token)
        except ServiceError as error:
            if not _wants_page():
                raise
            told = errors.from_service(error)
            page = _page("refused", told.status_code, message=str(error), away=told.status_code == 503)
            if "Retry-After" in told.headers:
                page.headers["Retry-After"] = told.headers["Retry-After"]
            return page

    return answered


@blueprint.get(LINK)
@public
@by_accept
def show(token: str) -> Response:
    """What the link is for, and how that is now. Changes nothing."""
    target = services().links.look(token)
    known = services().acknowledgements.of(target.revision, target.at, target.touches)
    if _wants_page():
        return _page("killed" if target.killed else "question", 200, target=target, known=known)
    return json_answer(target.to_json() | _progress(known))


@blueprint.post(LINK)
@public
@by_accept
def kill(token: str) -> Response:
    """Kill, and say how far it has come. Names no process: that is for those who may read."""
    target, given = services().links.look(token), _given()
    killed = services().links.kill(token, client=address(), reason=_reason(given))
    if killed.changed:
        wiring().metrics.killed(killed.environment, 1)
    wait = _wait(given, PAGE_WAIT_S if _wants_page() else 0.0)
    known = services().acknowledgements.of(killed.revision, killed.committed_at, killed.touches, wait=wait)
    if _wants_page():
        return _page("killed", 200, target=services().links.look(token), known=known)
    told = ("revision", "committed_at", "environment", "flags", "changed")
    answer = killed.to_json()
    return json_answer({name: answer[name] for name in told} | {"name": target.name} | _progress(known))


def _progress(known: Acknowledgement) -> dict[str, Any]:
    return {
        "instances": known.instances,
        "applied": known.applied,
        "silent": _silent(known),
        "confirmed": known.confirmed,
    }


def _silent(known: Acknowledgement) -> int:
    return sum(straggler.link == "silent" for straggler in known.stragglers)


def _page(what: str, status: int, *, known: Acknowledgement | None = None, **data: Any) -> Response:
    target: Target | None = data.get("target")
    html = render_template(
        "kill_link.html", what=what, known=known, silent=known and _silent(known), **{"target": target, **data}
    )
    return Response(html, status, content_type="text/html; charset=utf-8")


def _wants_page() -> bool:
    offered = ("application/json", "text/html")
    return request.accept_mimetypes.best_match(offered, offered[0]) == "text/html"


def _given() -> Mapping[str, Any]:
    """A form's or a JSON object's members; nothing of what cannot be read. A kill does not fail for its body."""
    try:
        raw = request.get_data(cache=True)
        found = strict_json.loads(raw) if request.is_json else request.form.to_dict()
    except (HTTPException, strict_json.MalformedError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _reason(given: Mapping[str, Any]) -> str | None:
    reason = given.get("reason")
    return reason.strip()[:LONG_TEXT] or None if isinstance(reason, str) else None


def _wait(given: Mapping[str, Any], otherwise: float) -> float:
    try:
        wait = float(given["wait"])
    except (KeyError, TypeError, ValueError):
        return otherwise
    return min(wait, LONGEST_WAIT_S) if wait >= 0 else otherwise
