"""A client's connection, as a web server's worker holds it: whatever it is waited for has an end."""

from __future__ import annotations

import errno
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import gevent.socket
from gunicorn.http.message import Request
from werkzeug.exceptions import RequestTimeout


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a client may take, in seconds."""

    idle: float = 75.0
    """From one request to the next. Longer than an SDK's pause between polls, and than the 60 s after which proxies
    commonly give up a connection."""
    head: float = 10.0
    """For all of a request's head, from its first byte."""
    body: float = 30.0
    """For all of a request's body."""
    answer: float = 30.0
    """To take what one write sends: an answer, or an event of a stream."""


class TooSlowError(RequestTimeout):
    """A request that did not arrive in time: answered with 408, by the application if that waits for its body."""


class Client(gevent.socket.socket):  # type: ignore[misc]
    """A socket that does not wait for ever. gunicorn reads requests from it and writes answers to it."""

    __slots__ = ("_begun", "_patience", "_reads", "_request", "_since", "_writes_since")

    def __init__(self, *args: Any, patience: Patience, **named: Any) -> None:
        super().__init__(*args, **named)
        self._patience = patience
        self._request: Request | None = None
        """The one that is being answered."""
        self._begun = False
        """The head of the next one has begun."""
        self._since = time.monotonic()
        """When that began for which we wait."""
        self._reads = False
        self._writes_since: float | None = None

    def serve(self, request: Request) -> None:
        """Its head is there; the application will read its body, and answer."""
        self._request = request
        self._since = time.monotonic()

    def rest(self) -> None:
        """It is answered; the next one may come."""
        self._request = None
        self._begun = False
        self._since = time.monotonic()

    def recv(self, *args: Any) -> bytes:
        """What has arrived; nothing when the client has hung up, or asked for nothing for long. Raises TooSlowError."""
        self._reads = True
        try:
            self.settimeout(max(0.001, self._since + self._allowed() - time.monotonic()))
            data: bytes = super().recv(*args)
        except TimeoutError:
            return self._waited_in_vain()
        finally:
            self._reads = False
        if data and not self._begun:
            self._begun = True
            if self._request is None:
                self._since = time.monotonic()
        return data

    def sendall(self, *args: Any) -> None:
        """Raises ConnectionResetError when the client does not take it in time."""
        self._writes_since = time.monotonic()
        try:
            self.settimeout(self._patience.answer)
            super().sendall(*args)
        except TimeoutError:
            raise ConnectionResetError(errno.ECONNRESET, "the client did not take its answer") from None
        finally:
            self._writes_since = None

    def waited(self, now: float) -> float | None:
        """How long (seconds) we have been waiting for something from it; None while it waits for us."""
        return now - self._since if self._reads else None

    def at_rest(self, now: float) -> float | None:
        """How long (seconds) it has asked for nothing; None while a request arrives or is answered."""
        return now - self._since if self._reads and not self._begun and self._request is None else None

    def stalled(self, now: float) -> float | None:
        """How long (seconds) it has not taken what we send; None while nothing is being sent."""
        return now - self._writes_since if self._writes_since is not None else None

    def close_after_answer(self) -> None:
        """The answer that is under way, if any, says that it is the last one on this connection."""
        if self._request is not None:
            self._request.force_close()

    def hang_up(self) -> None:
        """End what we read from it. A request that has arrived by now, if only in part, is not cut off."""
        try:
            self._sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            self._shut(socket.SHUT_RD)
        except OSError:
            pass  # It is gone, and its reader learns that by itself.

    def cut(self) -> None:
        """End it, whatever is under way."""
        self._shut(socket.SHUT_RDWR)

    def _shut(self, how: int) -> None:
        # gevent's own shutdown would raise an error in the reader; the system's gives it the end of the data, as when
        # the client hangs up.
        with suppress(OSError):
            self._sock.shutdown(how)

    def _allowed(self) -> float:
        if self._request is not None:
            return self._patience.body
        return self._patience.head if self._begun else self._patience.idle

    def _waited_in_vain(self) -> bytes:
        if self._request is None and not self._begun:
            return b""
        self.close_after_answer()
        raise TooSlowError(f"the request was not complete within {self._allowed():.0f} s")
