"""A form that another site sends in somebody's name is refused, before anything else is done with it."""

from __future__ import annotations

from downhaul_server import browsers
from downhaul_server.services.errors import Forbidden
from flask import Blueprint, Response, request

COOKIES = (browsers.SECURE_COOKIE, browsers.PLAIN_COOKIE)


def guard(pages: Blueprint) -> None:
    """For every page, the log-in too: nobody is to be logged in as somebody else without knowing."""

    @pages.before_request
    def refuse() -> Response | None:
        with_cookie = any(name in request.cookies for name in COOKIES)
        if reason := browsers.cross_site(request.environ, with_cookie=with_cookie):
            raise Forbidden(f"{reason}; open the page here, and send the form from it")
        return None
