"""Pages of other origins, which browsers let call us only where we say so (the Fetch standard's CORS protocol).

No cookie is ever looked at here, so whoever comes has nothing but the key that the page gave them.
"""

from __future__ import annotations

from flask import Blueprint, Response, request

from downhaul_server.api.context import wiring
from downhaul_server.settings import EVERY_ORIGIN

ASK_AGAIN_S = 7200
"""Browsers keep what a preflight has told for so long; the largest of them keeps nothing for longer."""
PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "Authorization, X-API-Key, Content-Type, If-None-Match, Last-Event-ID",
    "Access-Control-Max-Age": str(ASK_AGAIN_S),
}
EXPOSED = "ETag, Retry-After, X-Request-Id"


def register(blueprint: Blueprint) -> None:
    """For every answer of the blueprint's views, refusals too: a page must be able to read why."""
    blueprint.after_request(allow)


def allow(response: Response) -> Response:
    """Let the page's origin read the answer, where it may."""
    allowed = wiring().settings.ofrep_origins
    if allowed != (EVERY_ORIGIN,):
        response.vary.add("Origin")
    origin = _allowed(allowed, request.headers.get("Origin"))
    if origin is None:
        return response
    response.headers["Access-Control-Allow-Origin"] = origin
    response.headers["Access-Control-Expose-Headers"] = EXPOSED
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
        response.headers.update(PREFLIGHT)
    return response


def _allowed(allowed: tuple[str, ...], origin: str | None) -> str | None:
    if allowed == (EVERY_ORIGIN,):
        return EVERY_ORIGIN
    return origin if origin is not None and origin.lower() in allowed else None
