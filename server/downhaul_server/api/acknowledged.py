"""Writes that wait: how far a change has come, added to the answer for whoever asks with `?wait=`."""

from __future__ import annotations

from typing import Any

from flask import Response

from downhaul_server.api.answers import document_answer, json_answer, no_content
from downhaul_server.api.context import services
from downhaul_server.services.actors import ALL
from downhaul_server.services.commit import Deleted

Touches = tuple[tuple[str, str], ...]


def changed(document: dict[str, Any], query: dict[str, Any], touches: Touches, *, created: bool = False) -> Response:
    """A document that was written, with its `acknowledgement` where the client waits for it."""
    if "wait" in query:
        document |= {"acknowledgement": _of(document["version"], document["updated_at"], touches, query["wait"])}
    return document_answer(document, created=created)


def deleted(gone: Deleted, query: dict[str, Any], touches: Touches) -> Response:
    """204; or the `acknowledgement` where the client waits for it."""
    if "wait" not in query:
        return no_content()
    return json_answer({"acknowledgement": _of(gone.revision, gone.committed_at, touches, query["wait"])})


def everywhere(flag: dict[str, Any]) -> Touches:
    """The flag's service in each environment that the client may see."""
    return tuple((flag["service"], environment) for environment in flag["environments"])


def in_all(service: str) -> Touches:
    """The service in every environment."""
    return ((service, ALL),)


def _of(revision: int, at: str, touches: Touches, wait: float) -> dict[str, Any]:
    return services().acknowledgements.of_document(revision, at, touches, wait=wait).to_json()
