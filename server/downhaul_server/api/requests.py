"""What happens around every request: its id, the safe headers of its answer, its metrics, its line in the log."""

from __future__ import annotations

from time import perf_counter
from types import MappingProxyType

import structlog
from flask import Flask, Response, g, request

from downhaul_server import browsers
from downhaul_server.addresses import client_address
from downhaul_server.api.context import Wiring
from downhaul_server.services import holding
from downhaul_server.services.actors import Actor, EnvironmentKey
from downhaul_server.services.holding import Held
from downhaul_server.tracing import ROUTE

log = structlog.get_logger("downhaul_server.access")

EVERY_ANSWER = MappingProxyType({"X-Content-Type-Options": "nosniff"})
UNLESS_SAID = MappingProxyType(
    {
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
)
"""Headers of answers with a body, where the view has not set them."""

DURABILITY = "Downhaul-Durability"


def register(app: Flask, wiring: Wiring) -> None:
    """Hook into the app."""
    answered = wiring.metrics.answered
    ids = wiring.request_ids

    def begin() -> None:
        g.began = perf_counter()
        holding.forget()
        g.request_id = ids.of(request.environ)

    def finish(response: Response) -> Response:
        seconds = perf_counter() - g.began
        response.headers["X-Request-Id"] = g.request_id
        response.headers.update(EVERY_ANSWER)
        if held := holding.of_this_request():
            response.headers[DURABILITY] = durability(held)
        if response.status_code != 304:
            for name, value in UNLESS_SAID.items():
                response.headers.setdefault(name, value)
            if browsers.is_secure(request.environ):
                response.headers.setdefault("Strict-Transport-Security", browsers.STRICT_TRANSPORT_SECURITY)
        rule = request.url_rule
        route = request.environ[ROUTE] = rule.rule if rule else None
        answered(route, request.method, response.status_code, seconds)
        by = _name(g.get("holder"))
        remote = client_address(request.environ, wiring.settings.trusted_proxies)
        log_request(g.request_id, request.method, request.path, response.status_code, seconds, by, remote)
        return response

    app.before_request(begin)
    app.after_request(finish)


def durability(held: Held) -> str:
    """The header's value, a structured field (RFC 9651): `failover;replicas=2;wanted=1`."""
    asked = "" if held.replicas is None else f";replicas={held.replicas};wanted={held.replicas_wanted}"
    return f"{held.survives}{asked}"


def log_request(
    request_id: str, method: str, path: str, status: int, seconds: float, by: str | None, remote: str | None
) -> None:
    """A request's line in the log."""
    # A fleet asks many times a second whether anything is new; that nothing is, is worth no line.
    (log.debug if status == 304 else log.info)(
        "request",
        request_id=request_id,
        method=method,
        path=path,
        status=status,
        duration_ms=round(seconds * 1000, 2),
        by=by,
        remote=remote,
    )


def _name(holder: Actor | EnvironmentKey | None) -> str | None:
    return holder.name if holder else None
