"""What goes wrong, as OFREP's clients understand it: the statuses that they know, and nothing but those."""

from __future__ import annotations

import json
from typing import cast

import structlog
from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException

from downhaul_server.api import refusals
from downhaul_server.api.errors import CHALLENGE, OVERLOADED_RETRY_AFTER_S, RETRY_AFTER_S
from downhaul_server.services import errors
from downhaul_server.services.notices import Expired

log = structlog.get_logger(__name__)


class BadRequestError(Exception):
    """The request cannot be evaluated; one sentence, fit for the client."""

    def __init__(self, code: str, details: str) -> None:
        super().__init__(details)
        self.code = code
        """OpenFeature's: `PARSE_ERROR`, `INVALID_CONTEXT`, ..."""


def register(blueprint: Blueprint) -> None:
    """Every exception of the blueprint's views becomes an answer of OFREP's."""
    blueprint.register_error_handler(BadRequestError, lambda error: failure(400, error.code, str(error)))
    blueprint.register_error_handler(errors.ServiceError, from_service)
    blueprint.register_error_handler(HTTPException, from_http)
    blueprint.register_error_handler(413, from_http)  # the app has pages for this very status, which would win
    blueprint.register_error_handler(Exception, from_bug)


def failure(status: int, code: str, details: str, headers: dict[str, str] | None = None) -> Response:
    """`{key, errorCode, errorDetails}`; without the key where all flags were asked for."""
    key = (request.view_args or {}).get("key")
    document = ({} if key is None else {"key": key}) | {"errorCode": code, "errorDetails": details}
    return Response(json.dumps(document), status, headers, content_type="application/json")


def from_service(error: errors.ServiceError) -> Response:
    """The answer to what a service refused."""
    if not isinstance(error, Expired):
        refusals.note(error)
    if isinstance(error, errors.Unauthenticated):
        return Response(status=401, headers={"WWW-Authenticate": CHALLENGE})
    if isinstance(error, errors.Forbidden):
        return Response(status=403)
    if isinstance(error, errors.NotFound):
        return failure(404, "FLAG_NOT_FOUND", str(error))
    if isinstance(error, errors.TooMany):
        return Response(status=429, headers={"Retry-After": str(error.retry_after)})
    if isinstance(error, errors.Unavailable | errors.Overloaded):
        # OFREP knows no 503; its clients take this for what it is, and their users get the defaults of their code.
        seconds = OVERLOADED_RETRY_AFTER_S if isinstance(error, errors.Overloaded) else RETRY_AFTER_S
        return failure(500, "GENERAL", str(error), {"Retry-After": str(seconds)})
    return from_bug(error)


def from_http(error: HTTPException) -> Response:
    """The answer to what Flask refused: a body that is too large, or that did not arrive."""
    if error.response is not None or (error.code or 500) < 400:
        return cast(Response, error.get_response())
    if (error.code or 500) >= 500:
        return from_bug(error)
    return failure(400, "PARSE_ERROR", error.description or error.name)


def from_bug(error: Exception) -> Response:
    """The answer to what should not have happened; the log has the story."""
    log.error("request failed", path=request.path, method=request.method, exc_info=error)
    return failure(500, "GENERAL", "the server's log has the details under this request's id, X-Request-Id")
