"""One POST to somebody else's server: to an address that was checked, within a time, and without believing anything.

The name is resolved once and the connection goes to the very address that was checked, so a name that leads elsewhere
a moment later (DNS rebinding) changes nothing; `Host`, SNI and the certificate are those of the name. No redirect is
followed, no proxy of the environment is used, no cookie kept, and little of the answer is read.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import SplitResult, urlsplit

import certifi

from downhaul_server.services.hook_addresses import is_allowed, is_public, parsed
from downhaul_server.settings import Network

CONNECT_S = 5.0
READ_S = 10.0
TOTAL_S = 15.0
"""From the first look-up to the end of the answer, whatever the other side does to make it last."""
TRIES = 3
"""Of one name's addresses."""
LOOKUPS = 4
"""At once: the resolver's threads are few, and others need them too."""
READ_BYTES = 4096
EXCERPT = 200
LONGEST_RETRY_AFTER_S = 24 * 3600.0
PORTS = {"http": 80, "https": 443}

Resolver = Callable[..., Sequence[tuple[Any, Any, Any, Any, Any]]]


class NotSent(Exception):  # noqa: N818 - named after what happened
    """There was no answer. One sentence, which tells nothing of networks that are not public."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    retry_after_s: float | None
    excerpt: str
    """The first EXCERPT characters, if it is a text."""

    @property
    def delivered(self) -> bool:
        return 200 <= self.status < 300


class Sender:
    """Safe to share between threads."""

    def __init__(
        self, allowed: Sequence[Network] = (), *, resolve: Resolver = socket.getaddrinfo, total_s: float = TOTAL_S
    ) -> None:
        self._allowed = tuple(allowed)
        self._resolve = resolve
        self._total_s = total_s
        self._lookups = threading.BoundedSemaphore(LOOKUPS)
        self._context: ssl.SSLContext | None = None

    def fault(self, url: str) -> str | None:
        """What is wrong with an address that somebody wants to keep; None when it may be tried."""
        try:
            parts = split(url)
            host = parsed(parts.hostname or "")
        except NotSent as error:
            return str(error)
        except ValueError:  # a name, which is looked up when something is sent
            return None
        return None if self._permitted(parts, host) else self._refusal(parts)

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """The answer, whatever its status. Raises NotSent."""
        parts = split(url)
        deadline = time.monotonic() + self._total_s
        connection = _Connection(parts, self._addresses(parts), deadline, self._tls() if _is_tls(parts) else None)
        guard = threading.Timer(max(0.0, deadline - time.monotonic()), connection.cut)
        guard.daemon = True
        guard.start()
        try:
            return _exchange(connection, parts, body, headers)
        except ssl.SSLCertVerificationError as error:
            raise NotSent(f"the certificate of {parts.hostname} is not accepted: {error.verify_message}") from error
        except ssl.SSLError as error:
            raise NotSent(_told_of_tls(parts, error, late=connection.late)) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NotSent(_told(parts, error, late=connection.late)) from error
        finally:
            guard.cancel()
            connection.close()

    def _addresses(self, parts: SplitResult) -> list[Any]:
        """Where to connect, checked. Raises NotSent."""
        if not self._lookups.acquire(timeout=CONNECT_S):
            raise NotSent("too many names are being looked up already")
        try:
            found = self._resolve(parts.hostname, _port(parts), 0, socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            found = ()  # told like an address that is not public: nobody learns which names a private network has
        finally:
            self._lookups.release()
        places = [place for _, _, _, _, place in found if self._permitted(parts, parsed(place[0]))]
        if not places:
            raise NotSent(self._refusal(parts))
        return list(dict.fromkeys(places))[:TRIES]

    def _permitted(self, parts: SplitResult, address: Any) -> bool:
        return is_allowed(address, self._allowed) or (_is_tls(parts) and is_public(address))

    def _refusal(self, parts: SplitResult) -> str:
        if _is_tls(parts):
            return f"{parts.hostname} leads to no address that is public, or that DOWNHAUL_WEBHOOK_ALLOW names"
        return "plain http goes only to addresses that DOWNHAUL_WEBHOOK_ALLOW names: use https"

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            context = ssl.create_default_context()
            context.load_verify_locations(certifi.where())  # machines may have no certificates of their own
            self._context = context
        return self._context


class _Connection(http.client.HTTPConnection):
    """To one of the places that were checked, and to nothing else."""

    def __init__(self, parts: SplitResult, places: list[Any], deadline: float, tls: ssl.SSLContext | None) -> None:
        self.default_port = PORTS[parts.scheme]  # as the Host header leaves it out
        super().__init__(parts.hostname or "", _port(parts))
        self._places = places
        self._deadline = deadline
        self._tls = tls
        self.late = False

    def connect(self) -> None:
        raw = self._first_open()
        raw.settimeout(self._left(READ_S))
        self.sock = raw
        if self._tls is not None:
            # Kept before the handshake, so that it can be cut off.
            wrapped = self._tls.wrap_socket(raw, server_hostname=self.host, do_handshake_on_connect=False)
            self.sock = wrapped
            wrapped.do_handshake()

    def cut(self) -> None:
        """The time is up."""
        self.late = True
        with suppress(OSError, AttributeError):
            self.sock.shutdown(socket.SHUT_RDWR)

    def _first_open(self) -> socket.socket:
        failure: OSError = TimeoutError()
        for place in self._places:
            try:
                return socket.create_connection(place[:2], timeout=self._left(CONNECT_S))
            except OSError as error:
                failure = error
        raise failure

    def _left(self, most: float) -> float:
        left = min(most, self._deadline - time.monotonic())
        if left <= 0 or self.late:
            raise TimeoutError
        return left


def split(url: str) -> SplitResult:
    """An address that can be sent to, taken apart. Raises NotSent."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise NotSent("the address cannot be read") from None
    if parts.scheme not in PORTS or not parts.hostname:
        raise NotSent("expected an address that begins with https://")
    if "@" in parts.netloc:
        raise NotSent("expected an address without a user name and password")
    if (
        port == 0
        or parts.fragment
        or not url.isascii()
        or any(character <= " " or character == "\x7f" for character in url)
    ):
        raise NotSent("expected an address in ASCII, without spaces and fragment")
    return parts


def _is_tls(parts: SplitResult) -> bool:
    return parts.scheme == "https"


def _port(parts: SplitResult) -> int:
    return parts.port or PORTS[parts.scheme]


def _exchange(connection: _Connection, parts: SplitResult, body: bytes, headers: Mapping[str, str]) -> Answer:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection.request("POST", target, body, {**headers, "Connection": "close"})
    response = connection.getresponse()
    return Answer(response.status, _retry_after(response.headers.get("Retry-After")), _excerpt(response))


def _excerpt(response: http.client.HTTPResponse) -> str:
    kind = response.headers.get_content_type()
    if not kind.startswith("text/") and "json" not in kind:
        return ""
    read = b""
    with suppress(OSError, http.client.HTTPException, ValueError):  # the status is what counts, and it is there
        read = response.read(READ_BYTES)
    text = " ".join(read.decode("utf-8", "replace").split())
    return "".join(each for each in text if unicodedata.category(each)[0] != "C")[:EXCERPT]


def _retry_after(text: str | None) -> float | None:
    """Seconds; None where nothing sensible is said (RFC 9110 section 10.2.3)."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return min(float(text), LONGEST_RETRY_AFTER_S)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - datetime.now(UTC).timestamp()
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_S)


def _told_of_tls(parts: SplitResult, error: ssl.SSLError, *, late: bool) -> str:
    if late:
        return f"{parts.hostname} did not answer in time"
    return f"no TLS with {parts.hostname}: {error.reason or 'the connection broke off'}"


def _told(parts: SplitResult, error: Exception, *, late: bool) -> str:
    if late or isinstance(error, TimeoutError):
        return f"{parts.hostname} did not answer in time"
    if isinstance(error, ConnectionRefusedError):
        return f"{parts.hostname} refuses connections at port {_port(parts)}"
    if isinstance(error, (http.client.HTTPException, ValueError)) and not isinstance(
        error, http.client.RemoteDisconnected
    ):
        return f"{parts.hostname} answered something that is not HTTP"
    return f"the connection to {parts.hostname} failed"
