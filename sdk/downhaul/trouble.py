"""What can go wrong between the SDK and the service: one sentence each, fit for a log."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.client import HTTPException, IncompleteRead, RemoteDisconnected
from typing import Any

import requests
import urllib3

from downhaul.sockets import OutOfTimeError

# A ValueError is what requests raises for a redirect to an address that is none.
TROUBLE = (requests.RequestException, urllib3.exceptions.HTTPError, OSError, HTTPException, ValueError)


class LinkError(Exception):
    """The service gave no usable answer. `cause` names the kind of trouble in a word that does not change with details.

    `retry_after`: seconds for which the service asked to be left alone. `status`: of its answer, 0 without one.
    """

    def __init__(self, message: str, cause: str, *, retry_after: float | None = None, status: int = 0) -> None:
        super().__init__(message)
        self.cause = cause
        self.retry_after = retry_after
        self.status = status

    @property
    def refused(self) -> bool:
        """Whether the service does not accept the key."""
        return self.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)

    @property
    def missing(self) -> bool:
        """Whether the service has nothing at this address: it may be older than this SDK."""
        return self.status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)

    @property
    def unfit(self) -> bool:
        """Whether what was sent is not what the service takes."""
        return self.status in (
            HTTPStatus.BAD_REQUEST,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            HTTPStatus.UNPROCESSABLE_ENTITY,
        )


def phrase(status: int) -> str:
    """Number and name of a status."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"  # not the server's own words: they go into a log
    except ValueError:
        return str(status)


def seconds_in(value: str) -> int | None:
    """A number of seconds in a header."""
    return int(value[:9]) if value.isascii() and value.isdigit() else None


def retry_after_in(value: str) -> float | None:
    """Seconds from a Retry-After header (RFC 9110, 10.2.3): a number, or a date."""
    if (seconds := seconds_in(value)) is not None:
        return float(seconds)
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what lies behind it, outermost first: requests wraps urllib3, which wraps the system."""
    seen: set[int] = set()
    pending: list[Any] = [error]
    while pending:
        each = pending.pop(0)
        if isinstance(each, BaseException) and id(each) not in seen:
            seen.add(id(each))
            yield each
            pending += [*each.args, getattr(each, "reason", None), each.__cause__, each.__context__]


def describe(error: BaseException) -> tuple[str, str]:
    """The kind of a failure, and a sentence about it without addresses of objects and the library's stack of names."""
    causes = list(chain(error))
    for each in reversed(causes):
        if isinstance(each, OutOfTimeError):
            return "timeout", f"the service gave no whole answer in time: {each}"
        if isinstance(each, ssl.SSLCertVerificationError):
            return "TLS", f"the service's certificate is not trusted: {each.verify_message}"
        if isinstance(each, ssl.SSLError):
            return "TLS", f"no secure connection to the service: {each.reason or each}"
        if isinstance(each, socket.gaierror):
            return "name", f"the service's host name cannot be resolved: {each.strerror}"
        if isinstance(each, OSError) and each.strerror and not isinstance(each, requests.RequestException):
            return f"errno {each.errno}", f"no connection to the service: {each.strerror}"
        if isinstance(each, IncompleteRead | RemoteDisconnected):
            return "broken off", "the service's answer was broken off"
    return type(causes[-1]).__name__, f"the service's answer was broken off or unreadable ({type(causes[-1]).__name__})"
