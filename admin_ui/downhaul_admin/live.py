"""What keeps the pages up to date: a stream that says when to look again, and the index of the palette."""

from __future__ import annotations

import time
from collections.abc import Iterator

from downhaul_server.services.actors import Action, Actor
from downhaul_server.services.container import Services
from downhaul_server.services.errors import ServiceError
from downhaul_server.settings import Settings
from flask import Blueprint, Response, jsonify, request

from downhaul_admin import gate
from downhaul_admin.pages import PLACES, environment_of

LASTS_S = 60.0
"""Then the page comes again: whoever was logged out is told so within that time."""
BEAT_S = 10.0
CALM_S = 0.3
"""At most so often is a page told."""
ACTIONS = (("Kill flags now", "/kill", Action.KILL),)


def add(pages: Blueprint, services: Services, settings: Settings) -> None:
    """`/ui/events` and `/ui/index.json`."""

    @pages.get("/ui/events")
    @gate.person
    def events(actor: Actor) -> Response:
        since = request.headers.get("Last-Event-ID") or request.args.get("since", "")
        waiting = services.bulletin.watching()
        waiting.__enter__()
        answer = Response(
            _events(services, since, gate.session_id() or ""), content_type="text/event-stream; charset=utf-8"
        )
        answer.headers["X-Accel-Buffering"] = "no"
        answer.call_on_close(lambda: waiting.__exit__(None, None, None))
        return answer

    @pages.get("/ui/index.json")
    @gate.person
    def index(actor: Actor) -> Response:
        rows = services.overview.flags(actor, environment_of(actor))
        known = sorted((row.service, row.flag) for row in rows)
        answer = jsonify(
            flags=known,
            services=sorted(item["key"] for item in services.catalog.list_services(actor, limit=500).items),
            actions=[(text, path) for text, path, action in ACTIONS if actor.may(action)]
            + [(place.label, place.path) for place in PLACES if place.action is None or actor.may(place.action)],
        )
        answer.add_etag()
        answer.headers["Cache-Control"] = "private, no-cache"
        answer.make_conditional(request)
        return answer


def _events(services: Services, position: str, session: str) -> Iterator[str]:
    """Ends with the session: whoever was logged out learns nothing more than one beat later."""
    ends = time.monotonic() + LASTS_S
    yield "retry: 1000\n\n"
    while not services.bulletin.stopping and (left := ends - time.monotonic()) > 0:
        newest = services.bulletin.after(position, min(BEAT_S, left))
        if not _still_logged_in(services, session):
            return
        if newest is None:
            yield ": still here\n\n"
            continue
        position = newest
        yield f"event: changed\nid: {position}\ndata: {position}\n\n"
        time.sleep(CALM_S)


def _still_logged_in(services: Services, session: str) -> bool:
    try:
        services.sessions.resolve(session, active=False)
    except ServiceError:
        return False
    return True
