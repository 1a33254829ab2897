"""What happens around every request: its id, the safe headers of its answer, its metrics, its line in the log."""

from __future__ import annotations

import re
import secrets
from time import perf_counter
from typing import Any

import structlog
from flask import Flask, Response, g, request

from downhaul_server.api.context import Wiring
from downhaul_server.services.actors import Actor, SdkKey

log = structlog.get_logger("downhaul_server.access")

SANE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
CONTENT_SECURITY = "default-src 'none'; frame-ancestors 'none'"


def register(app: Flask, wiring: Wiring) -> None:
    """Hook into the app. The hooks run for every poll, so they do little."""
    answered = wiring.metrics.answered
    debug = wiring.settings.log_level == "debug"

    def begin() -> None:
        g.began = perf_counter()
        given = request.environ.get("HTTP_X_REQUEST_ID")
        g.request_id = given if given and SANE_ID.fullmatch(given) else secrets.token_hex(8)

    def finish(response: Response) -> Response:
        seconds = perf_counter() - g.began
        headers = response.headers
        headers["X-Request-Id"] = g.request_id
        headers["X-Content-Type-Options"] = "nosniff"
        if response.status_code != 304:
            headers.setdefault("Content-Security-Policy", CONTENT_SECURITY)
            headers.setdefault("Cache-Control", "no-store")
            headers["Referrer-Policy"] = "no-referrer"
        rule = request.url_rule
        answered(rule.rule if rule else None, request.method, response.status_code, seconds)
        # A fleet asks many times a second whether anything is new; that nothing is, is worth no line.
        if response.status_code != 304:
            log.info("request", **_line(response, seconds))
        elif debug:
            log.debug("request", **_line(response, seconds))
        return response

    app.before_request(begin)
    app.after_request(finish)


def _line(response: Response, seconds: float) -> dict[str, Any]:
    return {
        "request_id": g.request_id,
        "method": request.method,
        "path": request.path,
        "status": response.status_code,
        "duration_ms": round(seconds * 1000, 2),
        "by": _name(g.get("holder")),
        "remote": request.remote_addr,
    }


def _name(holder: Actor | SdkKey | None) -> str | None:
    return holder.name if holder else None
