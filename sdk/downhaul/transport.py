"""The one user of HTTP: asks the service, and hands back a body or one sentence about what went wrong.

Loaded by the sync thread, never at import: `requests` takes longer to load than all the rest of the SDK.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.client import HTTPException
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from downhaul import __version__
from downhaul.sockets import Limits, OutOfTimeError, Patience, Pools, patient_pools

_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_REDIRECTS = 3
_CHUNK = 1 << 16
# A ValueError is what requests raises for a redirect to an address that is none.
_TROUBLE = (requests.RequestException, urllib3.exceptions.HTTPError, OSError, HTTPException, ValueError)

# A first request would load these codecs in the middle of a wait, where a fork could catch them half loaded.
"localhost".encode("idna")
"localhost".encode("latin-1")


class LinkError(Exception):
    """The service gave no usable answer. `cause` names the kind of trouble in a word that does not change with details.

    `retry_after`: seconds for which the service asked to be left alone. `refused`: it does not accept the key.
    """

    def __init__(self, message: str, cause: str, *, retry_after: float | None = None, refused: bool = False) -> None:
        super().__init__(message)
        self.cause = cause
        self.retry_after = retry_after
        self.refused = refused


class Transport:
    """One connection to the service, kept open between requests. For one thread."""

    def __init__(self, url: str, key: str, limits: Limits, idle: Callable[[], None]) -> None:
        """`idle` is called every fraction of a second while a request waits; what it raises ends the request."""
        self._url = url
        self._key = key
        self._limits = limits
        self._patience = Patience(limits, idle)
        self._session = _session(key, patient_pools(self._patience))

    def snapshot(self, service: str, etag: str | None) -> bytes | None:
        """The body of the service's snapshot, or None if `etag` is still it. Raises LinkError for anything else."""
        headers = {"If-None-Match": etag} if etag else {}
        self._patience.begin()
        try:
            with self._get(f"{self._url}/sdk/v1/snapshot?service={service}", headers) as response:
                if response.status_code == HTTPStatus.NOT_MODIFIED and etag:
                    return None
                self._check(response)
                return self._body(response)
        except _TROUBLE as error:
            cause, sentence = _describe(error)
            raise LinkError(sentence, cause) from None

    def close(self) -> None:
        self._session.close()

    def _get(self, url: str, headers: dict[str, str]) -> requests.Response:
        for _ in range(_MAX_REDIRECTS + 1):
            response = self._get_once(url, headers)
            if response.status_code not in _REDIRECTS:
                return response
            response.close()
            target = urljoin(url, response.headers.get("Location", ""))
            if _origin(target) != _origin(url):  # the key goes to the configured origin and nowhere else
                raise LinkError(f"the service redirects to {_origin(target)}, which is not followed", "redirect")
            url = target
        raise LinkError(f"the service redirects more than {_MAX_REDIRECTS} times", "redirect")

    def _get_once(self, url: str, headers: dict[str, str]) -> requests.Response:
        try:
            return self._send(url, headers)
        except requests.ConnectionError as error:
            if not any(isinstance(each, ConnectionResetError | BrokenPipeError) for each in _chain(error)):
                raise
        # The server may have closed an idle connection just as it was used again: that is no trouble, once.
        return self._send(url, headers)

    def _send(self, url: str, headers: dict[str, str]) -> requests.Response:
        timeout = (self._limits.connect, self._limits.silence)
        return self._session.get(url, headers=headers, timeout=timeout, stream=True, allow_redirects=False)

    def _check(self, response: requests.Response) -> None:
        status = response.status_code
        if status != HTTPStatus.OK:
            raise LinkError(
                f"the service answered {_phrase(status)}{self._detail(response)}",
                f"status {status}",
                retry_after=_retry_after(response.headers.get("Retry-After", "")),
                refused=status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN),
            )
        kind = response.headers.get("Content-Type", "").split(";")[0].strip().lower()
        if kind != "application/json":
            raise LinkError(f"the service answered with {kind[:80] or 'no content type'}, not with JSON", "not JSON")

    def _detail(self, response: requests.Response) -> str:
        """What a problem document says about itself, made safe for a log: one line, short, without the key."""
        if not response.headers.get("Content-Type", "").startswith("application/problem+json"):
            return ""
        try:
            problem = json.loads(_limited(response.iter_content(_CHUNK), 1 << 14))
            detail = str(problem.get("detail") or problem.get("title") or "")
        except (requests.RequestException, ValueError, AttributeError, RecursionError, LinkError):
            return ""
        printable = "".join(each if each.isprintable() else " " for each in detail[:200]).replace(self._key, "***")
        return f": {printable}" if printable else ""

    def _body(self, response: requests.Response) -> bytes:
        return _limited(response.iter_content(_CHUNK), self._limits.body)


def _limited(chunks: Iterator[bytes], limit: int) -> bytes:
    body = bytearray()
    for chunk in chunks:  # decompressed, so that a small answer cannot grow without end
        body += chunk
        if len(body) > limit:
            raise LinkError(f"the answer is larger than {limit} bytes", "too large")
    return bytes(body)


def _session(key: str, pools: Pools) -> requests.Session:
    session = requests.Session()
    session.headers.clear()
    session.headers.update(
        {
            "User-Agent": f"downhaul-python/{__version__}",
            "Accept": "application/json, application/problem+json",
            "Accept-Encoding": "gzip",
        }
    )
    session.auth = _Bearer(key)
    for scheme in ("http://", "https://"):
        session.mount(scheme, _PatientAdapter(pools))
    return session


class _Bearer(requests.auth.AuthBase):
    """The key. As `auth` and not as a header, because requests would let a ~/.netrc take a header's place."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._key}"
        return request


class _PatientAdapter(HTTPAdapter):
    def __init__(self, pools: Pools) -> None:
        self._pools = pools
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._pools.ssl_context, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools.by_scheme

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, ssl_context=self._pools.ssl_context, **kwargs)
        if not proxy.lower().startswith("socks"):  # those have pools of their own, with plain timeouts
            manager.pool_classes_by_scheme = self._pools.by_scheme
        return manager


def _origin(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return "an address that is none"
    return f"{parts.scheme}://{parts.hostname}:{port}"


def _phrase(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"  # not the server's own words: they go into a log
    except ValueError:
        return str(status)


def _retry_after(value: str) -> float | None:
    """Seconds from a Retry-After header (RFC 9110, 10.2.3): a number, or a date."""
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what lies behind it, outermost first: requests wraps urllib3, which wraps the system."""
    seen: set[int] = set()
    pending: list[Any] = [error]
    while pending:
        each = pending.pop(0)
        if isinstance(each, BaseException) and id(each) not in seen:
            seen.add(id(each))
            yield each
            pending += [*each.args, getattr(each, "reason", None), each.__cause__, each.__context__]


def _describe(error: BaseException) -> tuple[str, str]:
    """The kind of a failure, and a sentence about it without addresses of objects and the library's stack of names."""
    causes = list(_chain(error))
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
    return type(causes[-1]).__name__, f"the service's answer was broken off or unreadable ({type(causes[-1]).__name__})"
