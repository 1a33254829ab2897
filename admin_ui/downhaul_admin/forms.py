"""What the pages' forms have in common: one operation each, a version, short texts, and errors at their fields."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from typing import Any

from downhaul_server.services import strict_json
from downhaul_server.services.errors import (
    AlreadyExists,
    ApprovalRequired,
    Forbidden,
    InProgress,
    InUse,
    Invalid,
    NotFound,
    ReviewClosed,
    ServiceError,
    Unavailable,
    VersionMismatch,
)
from flask import request

from downhaul_admin.signin import sentence

LONGEST_REASON = 1000
STATUSES: tuple[tuple[type[ServiceError], int], ...] = (
    (Invalid, 422),
    (AlreadyExists, 409),
    (VersionMismatch, 409),
    (InUse, 409),
    (InProgress, 409),
    (ApprovalRequired, 409),
    (ReviewClosed, 409),
    (Forbidden, 403),
    (NotFound, 404),
    (Unavailable, 503),
)


def operation() -> str:
    """Of the form that was sent, so that sending it again does nothing twice; of a new form, a new one."""
    sent = request.form.get("operation", "")
    return sent if re.fullmatch(r"[0-9a-f]{32}", sent) else new_operation()


def operation_of_review() -> str:
    """Of the review that is opened where the form's own operation has to be approved; sent again, the same."""
    return hashlib.sha256(f"review {operation()}".encode()).hexdigest()[:32]


def new_operation() -> str:
    """For a form that nobody has sent yet."""
    return secrets.token_hex(16)


def text(name: str, longest: int = LONGEST_REASON) -> str | None:
    """A field without what is around it; None when nothing was typed."""
    return request.form.get(name, "").strip()[:longest] or None


def words(name: str) -> list[str]:
    """A field with several keys, divided by blanks or commas."""
    return [part for part in re.split(r"[\s,]+", request.form.get(name, "")) if part]


def version() -> int | None:
    """Of the document that the form was made from."""
    sent = request.form.get("version", "")
    return int(sent) if re.fullmatch(r"[0-9]{1,18}", sent) else None


def json_of(typed: str) -> Any:
    """What was typed as JSON, held to what the API accepts. Raises ValueError with a sentence for people."""
    try:
        return strict_json.loads(typed.encode("utf-8", "replace"))
    except strict_json.MalformedError as error:
        raise ValueError(str(error).replace("the body", "this").replace("is not JSON", "is no JSON")) from None


def errors(error: ServiceError | None) -> dict[str, str]:
    """Sentences by the name of their field; what is about no field, under the empty name."""
    if error is None:
        return {}
    if isinstance(error, Invalid):
        found: dict[str, str] = {}
        for path, message in error.errors:
            found.setdefault(str(path[0]) if path else "", sentence(message))
        return found
    if isinstance(error, VersionMismatch):
        return {"": "Somebody else has changed this meanwhile. Look at what it is now, then save yours again."}
    if isinstance(error, AlreadyExists):
        return {"key": sentence(str(error))}
    return {"": sentence(str(error))}


def status_of(error: ServiceError | None) -> int:
    """Of the page that shows it."""
    if error is None:
        return 200
    return next((status for kind, status in STATUSES if isinstance(error, kind)), 400)


def typed(*names: str, otherwise: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What was typed into these fields; what is there, where no form was sent."""
    if request.method == "POST":
        return {name: request.form.get(name, "") for name in names}
    return {name: (otherwise or {}).get(name, "") for name in names}
