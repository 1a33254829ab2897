"""Who is asked about, in a request that has no body: attributes of the context in its query string and its headers.

Read from the WSGI environment, for the view and for the short way in front of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote

from downhaul_server.api import problems
from downhaul_server.api.problems import ProblemError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

USER = "HTTP_X_DOWNHAUL_USER"
ATTRIBUTE = "HTTP_X_DOWNHAUL_ATTRIBUTE_"
OURS = frozenset({"environment", "default", "variant"})
"""Parameters that are no attributes."""
PLAIN = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != "%")
"""What stands for itself in the value of a header."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a query string and headers ask for."""

    context: dict[str, str]
    environment: str | None
    default: str
    """The variant where there is no answer; empty: none was named."""
    variant: str | None
    """Which one opens a gate; None: that whose value is true."""


def asked(environ: WSGIEnvironment) -> Asked:
    """Read a request. An attribute in a header wins over one in the query; one that is empty counts as absent.

    Raises ProblemError for a query that cannot be read, or that has a parameter twice.
    """
    query = dict(_query(environ["QUERY_STRING"]))
    ours = {name: query.pop(name, "") for name in OURS}
    query |= _headers(environ)
    context = {name: value for name, value in query.items() if value}
    return Asked(context, ours["environment"] or None, ours["default"], ours["variant"] or None)


def in_header(text: str) -> str:
    """A variant's name as the value of a header: what is not printable ASCII, spaces and `%` are percent-encoded."""
    return quote(text, safe=PLAIN)


def default_in(environ: WSGIEnvironment) -> str:
    """The variant where there is no answer, whatever else is wrong with the request. Never raises."""
    try:
        return asked(environ).default
    except ProblemError:
        return ""


@lru_cache(maxsize=1024)
def _query(text: str) -> tuple[tuple[str, str], ...]:
    """Names and values. A proxy that says who asks in headers sends the same text each time."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict")
    except ValueError:
        raise ProblemError(problems.BAD_REQUEST, "expected a query string of UTF-8 text") from None
    names = [name for name, _ in pairs]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        errors = [problems.in_query((name,), "expected once, not repeatedly") for name in repeated]
        raise ProblemError(problems.INVALID, f"{repeated[0]}: {errors[0]['detail']}", errors=errors)
    return tuple(pairs)


def _headers(environ: WSGIEnvironment) -> dict[str, str]:
    """`X-Downhaul-User: u-1` and `X-Downhaul-Attribute-App-Version: 2` are `user` and `app_version`."""
    found = {
        name.removeprefix(ATTRIBUTE).lower(): _text(value)
        for name, value in environ.items()
        if name.startswith(ATTRIBUTE)
    }
    if USER in environ:
        found["user"] = _text(environ[USER])
    return found


def _text(value: str) -> str:
    """The UTF-8 that a header's bytes are, which WSGI gives as Latin-1; as Latin-1, where they are not UTF-8."""
    if value.isascii():
        return value
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value
