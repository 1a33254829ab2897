"""The one map from what went wrong to the problem that is answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import structlog
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from downhaul_server.api import problems, refusals
from downhaul_server.api.problems import ProblemError, ProblemType
from downhaul_server.services import errors

log = structlog.get_logger(__name__)

RETRY_AFTER_S = 1
OVERLOADED_RETRY_AFTER_S = 30
CHALLENGE = 'Bearer realm="downhaul"'

_BY_STATUS = {
    401: problems.UNAUTHENTICATED,
    403: problems.FORBIDDEN,
    404: problems.NOT_FOUND,
    405: problems.METHOD_NOT_ALLOWED,
    408: problems.REQUEST_TIMEOUT,
    413: problems.BODY_TOO_LARGE,
    415: problems.UNSUPPORTED_MEDIA_TYPE,
    422: problems.INVALID,
    503: problems.UNAVAILABLE,
}


def register(app: Flask) -> None:
    """Every exception of a request becomes a problem document."""
    app.register_error_handler(ProblemError, problems.answer)
    app.register_error_handler(errors.ServiceError, from_service)
    app.register_error_handler(HTTPException, from_http)
    app.register_error_handler(Exception, from_bug)


def from_service(error: errors.ServiceError) -> Response:
    """The answer to what a service refused; a kind without an entry in the table is a bug of ours."""
    refusals.note(error)
    for kind, translate in _TABLE.items():
        if isinstance(error, kind):
            return problems.answer(translate(error))
    return from_bug(error)


def from_http(error: HTTPException) -> Response:
    """The answer to what Flask refused: no such route, no such method, too large a body."""
    if error.response is not None or (error.code or 500) < 400:
        return cast(Response, error.get_response())
    if (error.code or 500) >= 500 and error.code not in _BY_STATUS:
        return from_bug(error)
    kind = _BY_STATUS.get(error.code or 400, problems.BAD_REQUEST)
    headers = {name: value for name, value in error.get_headers() if name.lower() != "content-type"}
    return problems.answer(ProblemError(kind, _detail(kind, error), headers=headers))


def from_bug(error: Exception) -> Response:
    """The answer to what should not have happened; the log has the story, the client only the request's id."""
    log.error("request failed", path=request.path, method=request.method, exc_info=error)
    return problems.answer(ProblemError(problems.INTERNAL, "the server's log has the details under this request_id"))


def _detail(kind: ProblemType, error: HTTPException) -> str:
    if kind is problems.NOT_FOUND:
        return f"there is nothing at {request.path}"
    if kind is problems.METHOD_NOT_ALLOWED:
        return f"{request.path} does not take {request.method}"
    if kind is problems.BODY_TOO_LARGE:
        return f"a body may have {request.max_content_length} bytes at most"
    return error.description or error.name


def _unauthenticated(error: errors.Unauthenticated) -> ProblemError:
    return ProblemError(problems.UNAUTHENTICATED, str(error), headers={"WWW-Authenticate": CHALLENGE})


def _invalid(error: errors.Invalid) -> ProblemError:
    locate = problems.in_query if request.method in ("GET", "HEAD", "DELETE") else problems.in_body
    return ProblemError(problems.INVALID, str(error), errors=[locate(path, message) for path, message in error.errors])


def _mismatch(error: errors.VersionMismatch) -> ProblemError:
    return ProblemError(problems.VERSION_MISMATCH, str(error), current_version=error.current_version)


def _in_use(error: errors.InUse) -> ProblemError:
    return ProblemError(problems.IN_USE, str(error), used_by=list(error.by))


def _approval_required(error: errors.ApprovalRequired) -> ProblemError:
    return ProblemError(
        problems.APPROVAL_REQUIRED,
        str(error),
        environments=list(error.environments),
        approvals=error.approvals,
        ask="/api/v1/reviews",
    )


def _review_closed(error: errors.ReviewClosed) -> ProblemError:
    return ProblemError(problems.REVIEW_CLOSED, str(error), review=error.review, review_status=error.status)


def _unavailable(error: errors.Unavailable) -> ProblemError:
    return ProblemError(
        problems.UNAVAILABLE,
        str(error),
        headers={"Retry-After": str(RETRY_AFTER_S)},
        outcome_unknown=error.outcome_unknown,
    )


def _overloaded(error: errors.Overloaded) -> ProblemError:
    return ProblemError(problems.OVERLOADED, str(error), headers={"Retry-After": str(OVERLOADED_RETRY_AFTER_S)})


def _too_many(error: errors.TooMany) -> ProblemError:
    return ProblemError(problems.RATE_LIMITED, str(error), headers={"Retry-After": str(error.retry_after)})


def _plain(kind: ProblemType) -> Callable[[Exception], ProblemError]:
    return lambda error: ProblemError(kind, str(error))


_TABLE: dict[type[errors.ServiceError], Callable[[Any], ProblemError]] = {
    errors.NotFound: _plain(problems.NOT_FOUND),
    errors.Gone: _plain(problems.GONE),
    errors.AlreadyExists: _plain(problems.ALREADY_EXISTS),
    errors.VersionMismatch: _mismatch,
    errors.InUse: _in_use,
    errors.ApprovalRequired: _approval_required,
    errors.ReviewClosed: _review_closed,
    errors.Invalid: _invalid,
    errors.Unauthenticated: _unauthenticated,
    errors.Forbidden: _plain(problems.FORBIDDEN),
    errors.OperationConflict: _plain(problems.IDEMPOTENCY_KEY_REUSED),
    errors.Unavailable: _unavailable,
    errors.TooMany: _too_many,
    errors.InProgress: _plain(problems.IN_PROGRESS),
    errors.Overloaded: _overloaded,
}
