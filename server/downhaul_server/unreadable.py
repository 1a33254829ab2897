"""The answer to what is no HTTP request, or too large a one: gunicorn refuses it before the API could."""

from __future__ import annotations

import json
import secrets
from http import HTTPStatus

from gunicorn.http.errors import ExpectationFailed, LimitRequestHeaders, LimitRequestLine, UnsupportedTransferCoding

from downhaul_server.api.problems import BAD_REQUEST, CONTENT_TYPE, REQUEST_TIMEOUT
from downhaul_server.clients import TooSlowError

STATUSES = {
    LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
    UnsupportedTransferCoding: HTTPStatus.NOT_IMPLEMENTED,
    TooSlowError: HTTPStatus.REQUEST_TIMEOUT,
}
"""Refusals that are more than a bad request."""
KINDS = {HTTPStatus.BAD_REQUEST: BAD_REQUEST, HTTPStatus.REQUEST_TIMEOUT: REQUEST_TIMEOUT}
"""Those that have a type of their own."""


def refusal(error: Exception) -> bytes:
    """A whole HTTP answer with a problem document (RFC 9457), as the API gives; the connection ends with it."""
    status = STATUSES.get(type(error), HTTPStatus.BAD_REQUEST)
    kind = KINDS.get(status)
    request_id = secrets.token_hex(8)
    body = json.dumps(
        {
            # RFC 9457, 4.2.1: about:blank where the status says it all.
            "type": kind.uri if kind else "about:blank",
            "title": kind.title if kind else status.phrase,
            "status": status,
            "detail": error.description if isinstance(error, TooSlowError) else str(error),
            "request_id": request_id,
        }
    )
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Content-Type: {CONTENT_TYPE}",
        f"Content-Length: {len(body)}",
        f"X-Request-Id: {request_id}",
        "Connection: close",
    )
    return "\r\n".join((*head, "", body)).encode("ascii")
