"""The headers of every page: nothing from elsewhere, in no frame, kept by nobody."""

from __future__ import annotations

from types import MappingProxyType

from downhaul_server import browsers
from flask import Blueprint, Response, request

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; font-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
UNUSED = ("camera", "display-capture", "geolocation", "microphone", "midi", "payment", "usb")

ALWAYS = MappingProxyType(
    {
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
        "X-Content-Type-Options": "nosniff",
        # Not `no-referrer`: browsers would then send forms with `Origin: null`.
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": ", ".join(f"{feature}=()" for feature in UNUSED),
    }
)


def secure(pages: Blueprint) -> None:
    """For every answer of the pages."""

    pages.after_request(dress)


def dress(response: Response) -> Response:
    """Put them on an answer."""
    response.headers.update(ALWAYS)
    # A view that allows more has said so: static files may be kept.
    response.headers.setdefault("Cache-Control", "no-store")
    if browsers.is_secure(request.environ):
        response.headers.setdefault("Strict-Transport-Security", browsers.STRICT_TRANSPORT_SECURITY)
    return response
