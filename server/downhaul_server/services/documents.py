"""What all documents have in common: copies, times, versions, and the parts of them that clients may not set."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from downhaul.engine import DecodeError

from downhaul_server.services.errors import Invalid, NotFound, Path, VersionMismatch
from downhaul_server.services.names import address
from downhaul_server.store import Document, View

READ_ONLY = frozenset({"version", "created_at", "updated_at", "acknowledgement"})
"""In answers; ignored when they are sent back."""


def now() -> str:
    """RFC 3339, UTC, milliseconds, by this server's clock."""
    return timestamp(datetime.now(UTC))


def timestamp(moment: datetime) -> str:
    """RFC 3339, UTC, milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def copied(value: Any) -> Any:
    """A copy of plain JSON data, all the way down, the caller's own. (`copy.deepcopy` is ten times slower.)"""
    if isinstance(value, Mapping):
        return {name: copied(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [copied(inner) for inner in value]
    return value


def stamped(document: dict[str, Any], before: Document | None) -> dict[str, Any]:
    """With the times of its creation and of this change."""
    moment = now()
    created = before.body.get("created_at") if before else moment
    return document | {"created_at": created, "updated_at": moment}


def answer(body: Mapping[str, Any], version: int) -> dict[str, Any]:
    """A document as clients get it. (The first environments were made with the store, and have no times.)"""
    times = {"created_at": body.get("created_at"), "updated_at": body.get("updated_at")}
    return {**copied(body), "version": version, **times}


def existing(view: View, kind: str, *keys: str) -> Document:
    """The document. Raises NotFound."""
    document = view.get(address(kind, *keys))
    if document is None:
        raise NotFound(kind, *keys)
    return document


def check_version(current: Document | None, if_match: int | None) -> None:
    """Raises VersionMismatch when the change was meant for another version (0: for an absent document)."""
    version = current.version if current else 0
    if if_match is not None and if_match != version:
        raise VersionMismatch(if_match, version)


def check_fields(document: Mapping[str, Any], known: Iterable[str], path: Path = ()) -> None:
    """Raises Invalid for fields that the document cannot have."""
    unknown = [name for name in document if name not in {*known}]
    if unknown:
        raise Invalid([((*path, name), "unknown field") for name in unknown])


def check_same(document: Mapping[str, Any], **fixed: str) -> None:
    """Raises Invalid where the document says otherwise than its address."""
    for name, value in fixed.items():
        if document.get(name, value) != value:
            raise Invalid.at(name, message=f"expected {value}, as in the address")


def same_json(one: Any, other: Any) -> bool:
    """Whether two values are the same as JSON, where `true` is not 1."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


@contextmanager
def refusing(*, hide: str | None = None) -> Iterator[None]:
    """The engine's refusals as ours, with the same path; `hide`: a first part that the client's document has not."""
    try:
        yield
    except DecodeError as error:
        path = error.path[1:] if hide is not None and error.path[:1] == (hide,) else error.path
        raise Invalid([(path, error.message)]) from None
