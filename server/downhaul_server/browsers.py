"""What browsers say of where a request comes from, and the cookie that they keep: for the pages and the API alike."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

SECURE_COOKIE = "__Host-downhaul"
"""Over TLS, and on this machine: no other host, path or plain connection can set it."""
PLAIN_COOKIE = "downhaul"
"""Over plain HTTP, where the operator allows that."""

STRICT_TRANSPORT_SECURITY = "max-age=31536000"
"""A year. Subdomains are for the operator to promise, at the proxy that ends TLS."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
OWN_SITES = frozenset({"same-origin", "none"})
"""Values of Sec-Fetch-Site: one of our pages, or the user's own doing (address bar, bookmark)."""

Environ = Mapping[str, Any]


def cross_site(environ: Environ, *, with_cookie: bool) -> str | None:
    """Why a request that changes something may be another site's doing, as a sentence; None when it is ours.

    `with_cookie`: it came with a session's cookie, so a browser sent it, and every browser says where from.
    """
    if environ["REQUEST_METHOD"] in SAFE_METHODS:
        return None
    site, origin = environ.get("HTTP_SEC_FETCH_SITE"), environ.get("HTTP_ORIGIN")
    if site is not None and site not in OWN_SITES:
        return "the request comes from another site"
    if origin is not None and not _own(origin, environ):
        return "the request comes from another origin"
    if site is None and origin is None and with_cookie:
        return "the request does not say which site it comes from: neither Sec-Fetch-Site nor Origin is there"
    return None


def is_secure(environ: Environ) -> bool:
    """Whether the request came over TLS, as far as this process was told."""
    return bool(environ["wsgi.url_scheme"] == "https")


def is_local(environ: Environ) -> bool:
    """Whether the browser addressed this very machine: there, browsers keep secure cookies over plain HTTP too."""
    try:
        name = urlsplit(f"//{environ.get('HTTP_HOST', '')}").hostname or ""
        return name == "localhost" or name.endswith(".localhost") or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def cookie_name(environ: Environ, *, insecure_allowed: bool) -> str | None:
    """The name of the session's cookie on this connection; None: nobody can log in over it."""
    if is_secure(environ) or is_local(environ):
        return SECURE_COOKIE
    return PLAIN_COOKIE if insecure_allowed else None


def local_path(target: str | None) -> str:
    """Where to go after the log-in: a path of ours, or `/` when the target is anything else."""
    if not target or not target.startswith("/") or target[1:2] in ("/", "\\") or not target.isprintable():
        return "/"
    # Browsers take a backslash for a slash, and drop tabs and new lines (which are not printable).
    parts = urlsplit(target)
    return "/" if parts.scheme or parts.netloc or "\\" in target else target


def _own(origin: str, environ: Environ) -> bool:
    """Whether an Origin is that of the page's own host. Behind a proxy, only what TLS it ends can be wrong."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    if is_secure(environ) and parts.scheme != "https":
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == environ.get("HTTP_HOST", "").lower()
