"""Refused attempts, told to the audit. The path is as its route says it, without what is a secret in it."""

from __future__ import annotations

from flask import g, request

from downhaul_server.api.auth import address
from downhaul_server.api.context import services
from downhaul_server.services import errors

REFUSALS = (errors.Forbidden, errors.Unauthenticated, errors.TooMany)
SECRET = frozenset({"token", "secret", "code"})
"""Parts of a route's address that are never repeated."""


def note(error: Exception) -> None:
    """Keep what was refused, where the error is a refusal."""
    if isinstance(error, REFUSALS):
        holder = g.get("holder")
        services().audit.refused(holder, request.method, _target(known=holder is not None), address(), str(error))


def _target(*, known: bool) -> str:
    """The path. Of a caller whom nobody knows, only the route that it came by: they could make up any other part."""
    rule = request.url_rule
    if rule is None:
        return ""
    path = rule.rule
    for name, value in (request.view_args or {}).items() if known else ():
        if name not in SECRET:
            path = path.replace(f"<{name}>", str(value))
    return path
