"""What cannot be done, as a page that says so: what happened, what was expected, and that nothing was lost."""

from __future__ import annotations

from collections.abc import Callable

from downhaul_server.services.errors import (
    AlreadyExists,
    Forbidden,
    InProgress,
    InUse,
    Invalid,
    NotFound,
    OperationConflict,
    Overloaded,
    ServiceError,
    TooMany,
    Unauthenticated,
    Unavailable,
    VersionMismatch,
)
from flask import Blueprint, Flask, Response, request
from werkzeug.exceptions import HTTPException

from downhaul_admin import gate, headers
from downhaul_admin.pages import page
from downhaul_admin.signin import form, sentence

SAID: dict[type[ServiceError], tuple[int, str, str]] = {
    NotFound: (404, "Not there", "It may have been deleted, or the address is mistyped."),
    Forbidden: (403, "Not allowed", "Ask an administrator of Downhaul for the role that this takes."),
    Invalid: (422, "That cannot be accepted", "Nothing was changed. Go back, and what you typed is still there."),
    VersionMismatch: (409, "Somebody else was quicker", "Nothing was changed. Look at what it is now, and try again."),
    AlreadyExists: (409, "There already", "Nothing was changed. Choose another key."),
    InUse: (409, "In use", "Nothing was changed. Take it out of use first."),
    InProgress: (409, "Going on already", "Wait until it is over."),
    OperationConflict: (409, "Done already", "This form was sent before, with other contents. Load the page again."),
    TooMany: (429, "Too many attempts", "Wait a little."),
    Overloaded: (503, "Too busy", "Try again in a moment."),
    Unavailable: (503, "Not now", "What is on stays on and what is off stays off, meanwhile. Try again in a moment."),
}
OTHERWISE = (409, "That cannot be done", "Nothing was changed.")


OF_FLASK: dict[int, tuple[str, str, str]] = {
    404: ("Not there", "There is no page at this address.", "It may be mistyped, or from an older version."),
    405: ("Not like that", "This address takes forms, and is no page.", "Go back, and use the button there."),
    413: ("Too much", "What was sent is larger than this server takes.", "Nothing was changed. Send less of it."),
}
FOR_PROGRAMS = ("/api/", "/sdk/", "/ofrep/", "/k/")

Answer = Callable[[HTTPException], Response]


def for_people(app: Flask, otherwise: Answer) -> None:
    """Pages for what Flask itself refuses, to browsers; programs get what `otherwise` says."""

    def said(error: HTTPException) -> Response:
        accepted = {kind for kind, _ in request.accept_mimetypes}
        if "text/html" not in accepted or request.path.startswith(FOR_PROGRAMS):
            return otherwise(error)
        try:
            actor = gate.current()
        except Unavailable:
            return otherwise(error)
        if actor is None:
            return headers.dress(gate.to_sign_in())
        status = error.code or 404
        title, detail, hint = OF_FLASK[status]
        data = {"title": title, "detail": detail, "hint": hint, "retry": False}
        return headers.dress(page("downhaul_admin/error.html", actor, status=status, live=False, **data))

    for status in OF_FLASK:
        app.register_error_handler(status, said)


def add(pages: Blueprint) -> None:
    """For every error of the services that a page has no better answer to."""

    @pages.errorhandler(ServiceError)
    def said(error: ServiceError) -> Response:
        try:
            actor = None if isinstance(error, Unauthenticated) else gate.current()
        except Unavailable as away:  # who this is cannot be learned now
            return form(error=sentence(str(away)), status=503)
        if actor is None:
            return gate.to_sign_in()
        if isinstance(error, (Forbidden, TooMany)):
            gate.wiring().services.audit.refused(actor, request.method, request.path, gate.address(), str(error))
        status, title, hint = next((said for kind, said in SAID.items() if isinstance(error, kind)), OTHERWISE)
        data = {"title": title, "detail": sentence(str(error)), "hint": hint, "retry": status == 503}
        return page("downhaul_admin/error.html", actor, status=status, live=False, **data)
