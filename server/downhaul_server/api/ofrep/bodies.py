"""From a request to a context. What is wrong with it is a 400, whatever its media type says it is."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from flask import request

from downhaul_server.api.ofrep.refusals import BadRequestError
from downhaul_server.services import strict_json
from downhaul_server.services.evaluation import TARGETING_KEY

SECONDS = re.compile(r"[0-9]{1,15}")


def context() -> dict[str, Any]:
    """The body's `context`. Raises BadRequestError."""
    try:
        body = strict_json.loads(request.get_data(cache=True))
    except strict_json.MalformedError as error:
        raise BadRequestError("PARSE_ERROR", str(error)) from None
    if not isinstance(body, dict):
        raise BadRequestError("PARSE_ERROR", f'expected an object such as {{"context": {{}}}}, found {_kind(body)}')
    if "context" not in body:
        raise BadRequestError("INVALID_CONTEXT", "context: missing; it may be empty, as {}")
    found = body["context"]
    if not isinstance(found, dict):
        raise BadRequestError("INVALID_CONTEXT", f"context: expected an object, found {_kind(found)}")
    if not isinstance(found.get(TARGETING_KEY, ""), str):
        kind = _kind(found[TARGETING_KEY])
        raise BadRequestError("INVALID_CONTEXT", f"context.{TARGETING_KEY}: expected a text, found {kind}")
    return found


def told_of() -> str:
    """The position that an event has told the client of, from the query; empty where there was no event.

    Raises BadRequestError for a time that is none: it is looked at for nothing else.
    """
    modified = request.args.get("flagConfigLastModified", "0")
    if not SECONDS.fullmatch(modified):
        try:
            datetime.fromisoformat(modified)
        except ValueError:
            expected = "expected seconds since 1970, or a time as 2027-01-31T12:00:00Z"
            raise BadRequestError("PARSE_ERROR", f"flagConfigLastModified: {expected}") from None
    return request.args.get("flagConfigEtag", "")


def _kind(value: Any) -> str:
    return "null" if value is None else _KINDS.get(type(value), "a number")


_KINDS: dict[type, str] = {bool: "a boolean", dict: "an object", list: "an array", str: "a text"}
