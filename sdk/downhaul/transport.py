"""The one user of HTTP: asks the service, and hands back a body or one sentence about what went wrong.

Loaded by the sync thread, never at import: `requests` takes longer to load than all the rest of the SDK.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter

from downhaul import __version__
from downhaul.sockets import Limits, Patience, Pools, Watch, patient_pools
from downhaul.trouble import TROUBLE, LinkError, chain, describe, phrase, retry_after_in, seconds_in

_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_REDIRECTS = 3
_CHUNK = 1 << 16
_SHORT = 1 << 16
_PROBLEM = "application/problem+json"
_JSON = f"application/json, {_PROBLEM}"
# What compresses on the way may make it weak, or put something of its own into it: then it tells nothing.
_ETAG = re.compile(r'(?:W/)?"([^":]+:\d+)"')

# A first request would load these codecs in the middle of a wait, where a fork could catch them half loaded.
"localhost".encode("idna")
"localhost".encode("latin-1")


class Polled(NamedTuple):
    """An answer about the snapshot: `body`, or None if it is unchanged; `age_s` of the service's own knowledge.

    `place`: epoch and revision as the ETag names them; None where something on the way has given it another form.
    """

    body: bytes | None
    age_s: float
    place: str | None = None


class Transport:
    """One connection to the service, kept open between requests. For one thread."""

    def __init__(self, url: str, key: str, limits: Limits, watch: Watch) -> None:
        """`watch`: what is done while a request waits."""
        self._url = url
        self._key = key
        self._limits = limits
        self._patience = Patience(limits, watch)
        self._session = _session(key, patient_pools(self._patience))

    def snapshot(self, service: str, etag: str | None) -> Polled:
        """Ask for the service's snapshot, unless `etag` is still it. Raises LinkError."""
        headers = {"Accept": _JSON} | ({"If-None-Match": etag} if etag else {})
        with self._request("GET", f"/sdk/v1/snapshot?service={service}", headers) as response:
            age_s = float(seconds_in(response.headers.get("Age", "")) or 0)
            if response.status_code == HTTPStatus.NOT_MODIFIED and etag:
                return Polled(None, age_s)
            self._check(response, "application/json")
            named = _ETAG.fullmatch(response.headers.get("ETag", ""))
            return Polled(
                _limited(response.iter_content(_CHUNK), self._limits.body), age_s, named[1] if named else None
            )

    def report(self, document: Mapping[str, Any], total_s: float | None = None) -> dict[str, Any]:
        """Tell the service of this process, within `total_s` if that is given; its answer. Raises LinkError."""
        body = json.dumps(document, separators=(",", ":")).encode("ascii")
        headers = {"Accept": _JSON, "Content-Type": "application/json"}
        with self._request("POST", "/sdk/v1/report", headers, body, total_s) as response:
            self._check(response, "application/json")
            try:
                answer = json.loads(_limited(response.iter_content(_CHUNK), _SHORT))
            except (ValueError, RecursionError):
                answer = None
        if not isinstance(answer, dict):
            raise LinkError("the service answered a report with something else than a JSON object", "not an object")
        return answer

    @contextmanager
    def stream(self, service: str, process: str, place: str | None) -> Iterator[Iterator[bytes]]:
        """Open a stream of changes after `place` (epoch and revision); chunks of it, the moment they come.

        The iterator ends when the service ends the stream. Both raise LinkError.
        """
        headers = {
            "Accept": f"text/event-stream, {_PROBLEM}",
            "Accept-Encoding": "identity",
            "Cache-Control": "no-store",
        }
        if place:
            headers["Last-Event-ID"] = place
        with self._request("GET", f"/sdk/v1/stream?service={service}&process={process}", headers) as response:
            self._check(response, "text/event-stream")
            if coding := response.headers.get("Content-Encoding", ""):  # it could hold back an event
                raise LinkError(f"the service answered with a stream that is coded as {coding[:80]!r}", "coding")
            self._patience.begin_stream()
            yield _chunks(response)

    def close(self) -> None:
        self._session.close()

    def heard(self) -> bool:
        """Whether something has come that nobody has read yet."""
        return self._patience.heard()

    def descriptors(self) -> list[int]:
        """The connections, for whoever waits for something to come on them."""
        return self._patience.descriptors()

    def abandon(self) -> None:
        """In a forked child: let go of the parent's connections, without a word to the other side."""
        self._patience.abandon()

    @contextmanager
    def _request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        total_s: float | None = None,
    ) -> Iterator[requests.Response]:
        self._patience.begin(total_s)
        try:
            with self._final(method, self._url + path, headers, body) as response:
                yield response
        except TROUBLE as error:
            cause, sentence = describe(error)
            raise LinkError(sentence, cause) from None

    def _final(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> requests.Response:
        for _ in range(_MAX_REDIRECTS + 1):
            response = self._once_more(method, url, headers, body)
            if response.status_code not in _REDIRECTS:
                return response
            response.close()
            target = urljoin(url, response.headers.get("Location", ""))
            if _origin(target) != _origin(url):  # the key goes to the configured origin and nowhere else
                raise LinkError(f"the service redirects to {_origin(target)}, which is not followed", "redirect")
            url = target
        raise LinkError(f"the service redirects more than {_MAX_REDIRECTS} times", "redirect")

    def _once_more(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> requests.Response:
        try:
            return self._send(method, url, headers, body)
        except requests.ConnectionError as error:
            if not any(isinstance(each, ConnectionResetError | BrokenPipeError) for each in chain(error)):
                raise
        # The server may have closed an idle connection just as it was used again: that is no trouble, once.
        return self._send(method, url, headers, body)

    def _send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> requests.Response:
        timeout = (self._limits.connect, self._limits.silence)
        return self._session.request(
            method, url, headers=headers, data=body, timeout=timeout, stream=True, allow_redirects=False
        )

    def _check(self, response: requests.Response, expected: str) -> None:
        status = response.status_code
        if status != HTTPStatus.OK:
            raise LinkError(
                f"the service answered {phrase(status)}{self._detail(response)}",
                f"status {status}",
                retry_after=retry_after_in(response.headers.get("Retry-After", "")),
                status=status,
            )
        kind = response.headers.get("Content-Type", "").split(";")[0].strip().lower()
        if kind != expected:
            raise LinkError(f"the service answered with {kind[:80] or 'no content type'}, not with {expected}", "kind")

    def _detail(self, response: requests.Response) -> str:
        """What a problem document says about itself, made safe for a log: one line, short, without the key."""
        if not response.headers.get("Content-Type", "").startswith(_PROBLEM):
            return ""
        try:
            problem = json.loads(_limited(response.iter_content(_CHUNK), 1 << 14))
            detail = str(problem.get("detail") or problem.get("title") or "")
        except (requests.RequestException, ValueError, AttributeError, RecursionError, LinkError):
            return ""
        printable = "".join(each if each.isprintable() else " " for each in detail[:200]).replace(self._key, "***")
        return f": {printable}" if printable else ""


def _chunks(response: requests.Response) -> Iterator[bytes]:
    """What has come, as soon as anything has: `iter_content` would wait for a full chunk on some streams."""
    raw: Any = response.raw
    read1 = getattr(raw, "read1", None) or raw._fp.read1  # urllib3 has it since 2.1
    while chunk := read1(_CHUNK):
        yield chunk


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
