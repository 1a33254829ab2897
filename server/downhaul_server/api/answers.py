"""Success, as JSON: documents with their ETag, pages, and the conditions of a request (RFC 9110 section 13)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from flask import Response, request

from downhaul_server.api import problems
from downhaul_server.api.problems import ProblemError
from downhaul_server.services.errors import NotFound
from downhaul_server.services.pages import Page

PRIVATE = "private, no-cache"
"""May be kept by the client that asked, and is asked for again each time: what an ETag is for."""
OPERATION = re.compile(r"[!-~]{1,200}")
ENTITY_TAG = re.compile(r'(W/)?("[^"]*")')
LONGEST_REASON = 2000
VERSION = re.compile(r'"([0-9]{1,18})"')

Document = dict[str, Any]


def json_answer(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Any JSON."""
    body = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return Response(body, status, headers, content_type="application/json")


def page_answer(page: Page) -> Response:
    """`{items, next}`."""
    return json_answer({"items": page.items, "next": page.next})


def document_answer(document: Document, *, created: bool = False, part: tuple[str, str] | None = None) -> Response:
    """A document (or a `part` of it) with its ETag; 304 to a GET whose If-None-Match names it; 201 when it is new.

    Raises NotFound when it has no such part.
    """
    shown = document if part is None else _part(document, *part)
    etag = f'"{document["version"]}"'
    if request.method in ("GET", "HEAD") and none_match(request.headers.get("If-None-Match"), etag):
        return not_modified(etag)
    headers = _validators(etag)
    if created:
        headers["Location"] = request.path if request.method == "PUT" else f"{request.path}/{document['key']}"
    return json_answer(shown, 201 if created else 200, headers)


def not_modified(etag: str) -> Response:
    """304: what the client has is the newest."""
    return Response(status=304, headers=_validators(etag))


def _validators(etag: str) -> dict[str, str]:
    # What a token may see of a document depends on its scope.
    return {"ETag": etag, "Cache-Control": PRIVATE, "Vary": "Authorization, Cookie"}


def no_content() -> Response:
    """204."""
    return Response(status=204)


def none_match(header: str | None, etag: str) -> bool:
    """Whether If-None-Match names the ETag. The comparison is weak: a proxy that compresses may have weakened ours."""
    if header is None:
        return False
    return header == etag or header.strip() == "*" or etag in (tag for _, tag in ENTITY_TAG.findall(header))


def operation() -> str | None:
    """The request's Idempotency-Key. Raises ProblemError for one that is none."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not OPERATION.fullmatch(key):
        raise ProblemError(
            problems.BAD_REQUEST, "expected an Idempotency-Key of 1 to 200 printable ASCII characters without spaces"
        )
    return key


def reason(query: dict[str, Any]) -> str | None:
    """Why, where the body is a document: `?reason=`, else the header `X-Change-Reason` (percent-encoded UTF-8).

    Raises ProblemError for a header that is too long.
    """
    given: str | None = query.get("reason")
    if given is None and (header := request.headers.get("X-Change-Reason")) is not None:
        given = unquote(header)
        if len(given) > LONGEST_REASON:
            raise ProblemError(problems.BAD_REQUEST, f"X-Change-Reason may have {LONGEST_REASON} characters at most")
    return given


def if_match(read: Callable[[], Document]) -> int | None:
    """The version that the client's change is meant for; None: any; 0: it must not exist yet (`If-None-Match: *`).

    `read` gives the current document, for conditions that one version cannot express: `*`, several tags, tags that are
    none of ours. Raises ProblemError (412) when none of them matches.
    """
    if request.headers.get("If-None-Match", "").strip() == "*":
        return 0
    header = request.headers.get("If-Match")
    if header is None:
        return None
    if single := VERSION.fullmatch(header.strip()):
        return int(single[1])
    return _matching(header.strip(), _version(read))


def _part(document: Document, group: str, key: str) -> Any:
    try:
        return document[group][key]
    except KeyError:
        raise NotFound(group.removesuffix("s"), key) from None


def _matching(header: str, current: int) -> int | None:
    if header == "*" and current:
        return None
    # If-Match compares strongly: a weak tag never matches.
    if f'"{current}"' in (tag for weak, tag in ENTITY_TAG.findall(header) if not weak):
        return current
    there = f"it is at version {current}" if current else "it does not exist"
    raise ProblemError(
        problems.VERSION_MISMATCH, f"If-Match: {header[:100]} does not match, {there}", current_version=current
    )


def _version(read: Callable[[], Document]) -> int:
    try:
        return int(read()["version"])
    except NotFound:
        return 0
