"""Errors as clients see them: RFC 9457 problem documents with a stable `type`, one table of all types."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from flask import Response

from downhaul_server.api.context import request_id

CONTENT_TYPE = "application/problem+json"
PREFIX = "urn:downhaul:problem:"


@dataclass(frozen=True, slots=True)
class ProblemType:
    """One kind of error; `docs/api.md` lists them all."""

    name: str
    status: int
    title: str

    @property
    def uri(self) -> str:
        """What `type` says. Clients compare it; nothing is to be found there."""
        return PREFIX + self.name


BAD_REQUEST = ProblemType("bad-request", 400, "The request cannot be understood")
MALFORMED_JSON = ProblemType("malformed-json", 400, "The body is not JSON that we accept")
UNAUTHENTICATED = ProblemType("unauthenticated", 401, "A valid token is needed")
FORBIDDEN = ProblemType("forbidden", 403, "The token does not allow this")
GATE_CLOSED = ProblemType("gate-closed", 403, "The flag is not on")
NOT_FOUND = ProblemType("not-found", 404, "There is no such thing")
GONE = ProblemType("gone", 410, "It is not good for anything any more")
METHOD_NOT_ALLOWED = ProblemType("method-not-allowed", 405, "The resource does not take this method")
NOT_ACCEPTABLE = ProblemType("not-acceptable", 406, "There is no answer of a media type that is accepted")
REQUEST_TIMEOUT = ProblemType("request-timeout", 408, "The request took too long to arrive")
ALREADY_EXISTS = ProblemType("already-exists", 409, "There is one of this name already")
IN_USE = ProblemType("in-use", 409, "Others use it")
VERSION_MISMATCH = ProblemType("version-mismatch", 412, "The document has changed")
APPROVAL_REQUIRED = ProblemType("approval-required", 409, "Others have to approve it first")
REVIEW_CLOSED = ProblemType("review-closed", 409, "The review cannot go on")
IN_PROGRESS = ProblemType("in-progress", 409, "The same is going on already")
BODY_TOO_LARGE = ProblemType("body-too-large", 413, "The body is too large")
UNSUPPORTED_MEDIA_TYPE = ProblemType("unsupported-media-type", 415, "The body's media type is not accepted")
INVALID = ProblemType("invalid", 422, "The request cannot be accepted")
IDEMPOTENCY_KEY_REUSED = ProblemType("idempotency-key-reused", 422, "The idempotency key was used for another request")
RATE_LIMITED = ProblemType("rate-limited", 429, "Too many attempts have failed")
INTERNAL = ProblemType("internal-error", 500, "Something went wrong on our side")
UNAVAILABLE = ProblemType("unavailable", 503, "The store cannot be read or written now")
OVERLOADED = ProblemType("overloaded", 503, "There is no room for more of these now")

ALL = (
    BAD_REQUEST,
    MALFORMED_JSON,
    UNAUTHENTICATED,
    FORBIDDEN,
    GATE_CLOSED,
    NOT_FOUND,
    GONE,
    METHOD_NOT_ALLOWED,
    NOT_ACCEPTABLE,
    REQUEST_TIMEOUT,
    ALREADY_EXISTS,
    IN_USE,
    IN_PROGRESS,
    APPROVAL_REQUIRED,
    REVIEW_CLOSED,
    VERSION_MISMATCH,
    BODY_TOO_LARGE,
    UNSUPPORTED_MEDIA_TYPE,
    INVALID,
    IDEMPOTENCY_KEY_REUSED,
    RATE_LIMITED,
    INTERNAL,
    UNAVAILABLE,
    OVERLOADED,
)

Path = tuple[str | int, ...]


class ProblemError(Exception):
    """Raised by this room where no ServiceError fits; answered as the problem that it names."""

    def __init__(
        self,
        problem: ProblemType,
        detail: str,
        *,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.problem = problem
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        self.members = members


def answer(error: ProblemError) -> Response:
    """The problem document, with the request's id."""
    kind = error.problem
    document = {
        "type": kind.uri,
        "title": kind.title,
        "status": kind.status,
        "detail": error.detail,
        "request_id": request_id(),
        **error.members,
    }
    if error.errors:
        document["errors"] = list(error.errors)
    return Response(json.dumps(document), kind.status, error.headers, content_type=CONTENT_TYPE)


def in_body(path: Path, detail: str) -> dict[str, str]:
    """One fault, at a JSON pointer (as a URI fragment, RFC 6901 section 6) into the body."""
    tokens = [str(part).replace("~", "~0").replace("/", "~1") for part in path]
    return {"detail": detail, "pointer": "#" + "".join("/" + quote(token, safe="~!$&'()*+,;=:@") for token in tokens)}


def in_query(path: Path, detail: str) -> dict[str, str]:
    """One fault in a query parameter."""
    return {"detail": detail, "parameter": ".".join(map(str, path))}
